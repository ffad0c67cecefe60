"""Motions of one person: gaps bridged, one shape, smoothed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.fitting.motion import bridged, smoothed_pose, with_one_shape
from humesh.geometry.rotations import rotation_from_axis_angle


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load("open-low")


def _walk(frames: int, seed: int = 0) -> BodyPose:
    generator = torch.Generator().manual_seed(seed)
    swing = 0.4 * torch.randn(24, 3, generator=generator)
    time = torch.arange(frames)[:, None, None] / 30
    turns = rotation_from_axis_angle(torch.sin(3 * time) * swing)
    place = torch.stack([time[:, 0, 0], 0 * time[:, 0, 0], 4 + 0 * time[:, 0, 0]], dim=-1)
    return BodyPose(turns, torch.zeros(frames, 10), place)


def _rows(pose: BodyPose, rows: list[int]) -> BodyPose:
    return pose.map(lambda tensor: tensor[rows])


def test_short_gaps_are_bridged_and_long_ones_stay() -> None:
    times, walk = np.arange(40) / 30, _walk(40)
    kept = [*range(5), *range(8, 15), *range(35, 40)]
    frames, pose, found = bridged(np.array(kept), times, _rows(walk, kept), seconds=0.2)
    assert frames.tolist() == [*range(15), *range(35, 40)]
    assert np.flatnonzero(~found).tolist() == [5, 6, 7]
    assert torch.allclose(pose.translation[:15], walk.translation[:15], atol=1e-6)  # it goes straight on
    assert torch.equal(pose.rotations[torch.from_numpy(found)], walk.rotations[kept])
    assert torch.allclose(pose.rotations[5:8], walk.rotations[5:8], atol=0.05)
    assert torch.allclose(pose.rotations @ pose.rotations.mT, torch.eye(3).expand_as(pose.rotations), atol=1e-5)


@pytest.mark.parametrize("kept", [[], [3]])
def test_nothing_to_bridge(kept: list[int]) -> None:
    frames, pose, found = bridged(np.array(kept, int), np.arange(9) / 30, _rows(_walk(9), kept), seconds=1.0)
    assert frames.tolist() == kept
    assert found.all()
    assert len(pose.shape) == len(kept)


def test_one_shape_keeps_size_in_the_picture(body: BodyModel) -> None:
    walk = _walk(9)
    shapes = torch.randn(9, 10, generator=torch.Generator().manual_seed(1))
    pose = BodyPose(walk.rotations, shapes, walk.translation)
    one = with_one_shape(pose, body)
    assert torch.equal(one.shape, one.shape[:1].expand_as(one.shape))
    assert torch.equal(one.shape[0], shapes.median(0).values)

    def extent(pose: BodyPose) -> torch.Tensor:
        joints = body.joints(pose)
        flat = joints[..., :2] / joints[..., 2:]
        return (flat.amax(1) - flat.amin(1)).norm(dim=-1)

    naive = BodyPose(walk.rotations, one.shape, walk.translation)
    assert (extent(one) / extent(pose) - 1).abs().mean() < 0.5 * (extent(naive) / extent(pose) - 1).abs().mean()


def test_smoothing_takes_noise_off_and_leaves_a_kick(body: BodyModel) -> None:
    clean, times = _walk(60), np.arange(60) / 30
    kick = rotation_from_axis_angle(
        torch.tensor([1.2, 0.0, 0.0]) * torch.exp(-(((torch.arange(60)[:, None] - 30) / 4.0) ** 2))
    )
    clean = BodyPose(
        torch.cat([clean.rotations[:, :1], (clean.rotations[:, 1:2] @ kick[:, None]), clean.rotations[:, 2:]], 1),
        clean.shape,
        clean.translation,
    )
    generator = torch.Generator().manual_seed(2)
    shake = rotation_from_axis_angle(0.06 * torch.randn(60, 24, 3, generator=generator))
    noisy = BodyPose(
        clean.rotations @ shake, clean.shape, clean.translation + 0.02 * torch.randn(60, 3, generator=generator)
    )
    smooth = smoothed_pose(noisy, times, torch.ones(60, 24), 0.08)

    def error(pose: BodyPose) -> torch.Tensor:
        return (body.joints(pose) - body.joints(clean)).norm(dim=-1).mean()

    def shaking(pose: BodyPose) -> torch.Tensor:
        return (body.joints(pose).diff(n=2, dim=0)).norm(dim=-1).mean()

    assert error(smooth) < 0.75 * error(noisy)
    assert shaking(smooth) < 0.4 * shaking(noisy)
    knee = body.joints(smooth)[:, 4] - body.joints(clean)[:, 4]
    assert knee.norm(dim=-1).max() < 0.06  # metres, of a kick that moves the knee by half a metre
    assert smoothed_pose(noisy, times, torch.ones(60, 24), 0.0) is noisy


def test_behind_the_camera_only_rotations_are_smoothed() -> None:
    walk = _walk(10)
    behind = BodyPose(walk.rotations, walk.shape, -walk.translation)
    assert torch.equal(
        smoothed_pose(behind, np.arange(10) / 30, torch.ones(10, 24), 0.1).translation, -walk.translation
    )
