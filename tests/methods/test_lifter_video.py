"""The lifter through time: on a single frame the lifter itself, on clips means over time of what it estimates."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.crops.crops import ClipCrops, Crops, seconds_of
from humesh.geometry.rotations import rotation_from_6d_rows, rotation_from_axis_angle
from humesh.losses import reduced
from humesh.methods.lifter import LifterConfig, LifterMethod
from humesh.methods.lifter_video import LifterVideo, LifterVideoConfig
from humesh.methods.weights import load_fitting

SMALL = LifterVideoConfig(width=32, heads=2, depth=1, frames=4, lifter=24, lifter_blocks=1)
Made = Callable[..., Any]


def _lifter(body: BodyModel) -> LifterMethod:
    torch.manual_seed(0)
    lifter = LifterMethod(LifterConfig(width=24, blocks=1), body).eval()
    for parameter in lifter.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    return lifter


def _silent(body: BodyModel) -> LifterVideo:
    """With the lifter's weights inside, and heads that correct nothing."""
    method = LifterVideo(SMALL, body).eval()
    assert load_fitting(method, _lifter(body).state_dict()) == len(_lifter(body).state_dict())
    for head in (method.answer, method.paths):
        torch.nn.init.zeros_(head.weight)
    return method


def _clip(made_up_batch: Made, method: LifterVideo, seconds: Tensor | None = None) -> Crops:
    """Two clips of three frames."""
    crops = made_up_batch(method, "lifter_video").crops
    return crops if seconds is None else ClipCrops(**vars(crops), seconds=seconds.expand(crops.present.shape))


def test_a_single_frame_is_the_lifters_estimate(small_body: BodyModel, made_up_batch: Made) -> None:
    lifter, method = _lifter(small_body), _silent(small_body)
    crops = _clip(made_up_batch, method).map(lambda tensor: tensor[:, :1])
    with torch.no_grad():
        mine, its = method(crops).pose, lifter(crops).pose
    assert torch.allclose(mine.rotations, its.rotations, atol=1e-5)
    assert torch.allclose(mine.shape, its.shape, atol=1e-6)
    assert torch.allclose(mine.translation, its.translation, rtol=1e-4)


def test_frames_are_means_by_their_distance_in_seconds(small_body: BodyModel, made_up_batch: Made) -> None:
    """Naive twin of a joint whose path has a Gaussian of 0.1 s; the shape is the clip's mean."""
    lifter, method = _lifter(small_body), _silent(small_body)
    method.reach.data[:] = torch.tensor(0.1).log()
    seconds = torch.tensor([0.0, 0.05, 0.2])
    crops = _clip(made_up_batch, method, seconds)
    with torch.no_grad():
        mine, its = method(crops).pose, lifter(crops).pose
    six = its.rotations[:, :, 4, :, :2].flatten(-2)
    for frame in range(3):
        weights = (-(((seconds - seconds[frame]) / 0.1) ** 2) / 2).exp()
        mean = (six * weights[:, None]).sum(1) / weights.sum()
        assert torch.allclose(mine.rotations[:, frame, 4], rotation_from_6d_rows(mean), atol=1e-5)
    assert torch.allclose(mine.shape, its.shape.mean(1, keepdim=True).expand_as(mine.shape), atol=1e-6)


def test_the_path_keeps_the_size_in_the_picture(small_body: BodyModel, made_up_batch: Made) -> None:
    """Frames far apart in time keep their own direction and depth, but for the clip's one size of the body."""
    lifter, method = _lifter(small_body), _silent(small_body)
    crops = _clip(made_up_batch, method, torch.tensor([0.0, 9.0, 18.0]))
    with torch.no_grad():
        mine, its = method(crops).pose, lifter(crops).pose
    spans = []
    for pose in (mine, its):
        rest, (first, last) = small_body.rest_joints(pose.shape), (12, 5)  # any bones will do
        pelvis = rest[..., 0, :] + pose.translation
        length = (rest[..., first, :] - rest[..., last, :]).norm(dim=-1)
        spans.append((length / pelvis[..., 2], pelvis / pelvis[..., 2:]))
    assert torch.allclose(spans[0][1], spans[1][1], atol=1e-4)
    assert torch.allclose(spans[0][0], spans[1][0], rtol=0.02)


def test_only_differences_of_times_count(small_body: BodyModel, made_up_batch: Made) -> None:
    torch.manual_seed(1)
    method = LifterVideo(SMALL, small_body).eval()
    for head in (method.answer, method.paths):
        torch.nn.init.normal_(head.weight, std=0.3)
    seconds = torch.arange(3) / 30
    with torch.no_grad():
        clip, later, slower, unknown = (
            method(_clip(made_up_batch, method, times)).pose.rotations
            for times in (seconds, seconds + 4.0, 3 * seconds, None)
        )
    assert torch.allclose(clip, later, atol=1e-4)
    assert torch.allclose(clip, unknown, atol=1e-6)  # 30 frames a second
    assert not torch.allclose(clip, slower, atol=1e-2)


def test_absent_frames_change_nothing(small_body: BodyModel, made_up_batch: Made) -> None:
    method = LifterVideo(SMALL, small_body).eval()
    torch.nn.init.normal_(method.answer.weight, std=0.1)
    crops = _clip(made_up_batch, method)
    present = torch.tensor([[True, True, False], [True, False, True]])
    crops = dataclasses.replace(crops, present=present, wanted=present)
    other = dataclasses.replace(crops, keypoints=torch.where(present[..., None, None], crops.keypoints, 7.0))
    features = method.frame_features(crops)
    with torch.no_grad():
        one, two = method(crops).pose, method(other).pose
        blank = method.through_time(torch.where(present[..., None], features, 0.0), crops).pose
        short = method(crops.map(lambda tensor: tensor[:1, :2])).pose
    for pose in (two, blank):
        for name in ("rotations", "shape", "translation"):
            assert torch.allclose(getattr(one, name)[present], getattr(pose, name)[present], atol=1e-5)
    assert torch.allclose(one.rotations[0, :2], short.rotations[0], atol=1e-5)


def test_its_terms_are_zero_for_the_truth_and_count_what_moves(small_body: BodyModel, made_up_batch: Made) -> None:
    method = LifterVideo(SMALL, small_body).eval()
    batch = made_up_batch(method, "lifter_video")
    still = batch.targets.pose.map(lambda tensor: tensor[:, :1].expand(tensor.shape).clone())
    targets = dataclasses.replace(batch.targets, pose=still)
    crops = ClipCrops(**vars(batch.crops), seconds=torch.tensor([0.0, 0.1, 0.3]).expand(2, 3))
    prediction = method(crops)
    same = method.own_terms(crops, dataclasses.replace(prediction, pose=still), targets)
    assert all(reduced(same[name]) < 1e-6 for name in ("depth", "path", "velocity"))
    walk = torch.tensor([[0.0, 0, 0], [0.1, 0, 0], [0.3, 0, 0]])  # 1 m/s along x
    moved = dataclasses.replace(still, translation=still.translation + walk)
    terms = method.own_terms(crops, dataclasses.replace(prediction, pose=moved), targets)
    depth = (small_body.rest_joints(still.shape)[..., 0, 2] + still.translation[..., 2])[:, 0]
    assert reduced(terms["path"]) == pytest.approx(float((1 / depth / 3).mean()), rel=1e-4)
    assert reduced(terms["velocity"]) < 1e-6
    placed = dataclasses.replace(targets, translation_weight=torch.tensor([0.0, 1.0, 1.0]).expand(2, 3))
    later = method.own_terms(crops, dataclasses.replace(prediction, pose=moved), placed)  # one step of two counts
    assert reduced(later["path"]) == pytest.approx(float(reduced(terms["path"])) / 2, rel=1e-4)
    walking = dataclasses.replace(targets, pose=moved)
    assert reduced(method.own_terms(crops, dataclasses.replace(prediction, pose=moved), walking)["path"]) < 1e-6
    turned = still.rotations.clone()
    turned[:, 1:, 0] = rotation_from_axis_angle(torch.tensor([0.0, 0.3, 0.0])) @ turned[:, 1:, 0]
    pose = BodyPose(turned, still.shape, still.translation)
    turning = method.own_terms(crops, dataclasses.replace(prediction, pose=pose), targets)
    assert reduced(turning["velocity"]) > 0.1
    away = BodyPose(turned, still.shape, still.translation + torch.tensor([0.0, 0.0, 1.0]))
    doubt = torch.linspace(-1, 1, 24).expand(2, 3, 24)
    terms = method.own_terms(crops, dataclasses.replace(prediction, pose=away, log_error=doubt), targets)
    assert reduced(terms["depth"]) == pytest.approx(float(((depth + 1) / depth).log().mean()), rel=1e-4)
    joints, true = (small_body.joints(pose) for pose in (away, still))
    apart = (joints - joints.mean(-2, keepdim=True) - true + true.mean(-2, keepdim=True)).norm(dim=-1)
    error, weight = terms["log_error"]  # Laplace's, of decimetres
    assert torch.allclose(error, 10 * apart / doubt.exp() + doubt, atol=1e-3)
    assert torch.equal(weight, targets.points3d_weight[..., :24].amin(-1, keepdim=True))


def test_times_are_those_of_the_crops_or_thirty_a_second(small_body: BodyModel, made_up_batch: Made) -> None:
    crops = _clip(made_up_batch, LifterVideo(SMALL, small_body))
    assert torch.allclose(seconds_of(crops), torch.tensor([[0, 1 / 30, 2 / 30]] * 2))
    timed = ClipCrops(**vars(crops), seconds=torch.tensor([[0.0, 2.0, 3.0]] * 2))
    assert torch.equal(seconds_of(timed.map(lambda tensor: tensor[:1])), torch.tensor([[0.0, 2.0, 3.0]]))
    assert seconds_of(ClipCrops.joined([timed, timed], dim=1)).shape == (2, 6)
