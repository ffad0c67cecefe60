"""Weighing: means of weight x error, learned weights, labels that are missing."""

import math
from dataclasses import replace

import pytest
import torch

from humesh.body.joints import COCO17, LIMBS12, SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.geometry.camera import Camera
from humesh.losses import (
    LearnedWeights,
    Targets,
    absolute,
    body_losses,
    centred,
    mean_of,
    mean_of_labelled,
    reduced,
    squared,
)


def test_terms_are_what_their_names_say() -> None:
    a, b = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 4.0]])
    one = torch.ones(1, 1)
    assert absolute(a, b, one)[0].tolist() == [[3, 4]]
    assert squared(a, b, one)[0].tolist() == [[9, 16]]
    assert centred(torch.tensor([[1.0, 1, 1], [3, 3, 3]]), 0, 1).tolist() == [[-1, -1, -1], [1, 1, 1]]


def test_means_are_over_all_over_those_counted_or_over_those_labelled() -> None:
    error, weight = torch.tensor([[2.0, 4.0], [6.0, 8.0]]), torch.tensor([[0.5], [0.0]])
    assert reduced((error, weight)) == 0.75
    assert mean_of_labelled((error, weight)) == 1.5
    assert mean_of((error, torch.ones(2, 1)), torch.tensor([[True], [False]])) == 3
    assert mean_of((error, weight), torch.zeros(2, 1)) == mean_of_labelled((error, 0 * weight)) == 0


def test_learned_weights_are_their_formula() -> None:
    learned = LearnedWeights(("a", "b"))
    learned.scales.data = torch.tensor([1.0, 2.0])
    weighed = learned({"a": torch.tensor(3.0), "b": torch.tensor(5.0)})
    assert weighed["a"].item() == pytest.approx(0.5 * 3 + math.log(2))
    assert weighed["b"].item() == pytest.approx(0.125 * 5 + math.log(5))


def _targets(body: BodyModel, pose: BodyPose, camera: Camera) -> Targets:
    points = body.keypoints(body(pose).vertices, COCO17)
    one = torch.ones(points.shape[:-1])
    return Targets(
        pose, torch.ones(2, 24), torch.ones(2), torch.ones(2), COCO17, points, one, camera.project(points), one,
        torch.arange(2), torch.ones(2), torch.ones(2),
    )  # fmt: skip


def test_the_labels_themselves_have_no_error_and_missing_ones_do_not_count(open_body: BodyModel) -> None:
    rest = BodyPose.rest(2)
    pose = BodyPose(rest.rotations, rest.shape + 0.3, torch.tensor([0.0, 0.0, 3.0]).expand(2, 3))
    camera = Camera(Camera.virtual(500.0, (256, 256)).matrix.float().expand(2, 3, 3))
    targets = _targets(open_body, pose, camera)
    losses = body_losses(open_body, pose, camera, (256, 256), targets)
    assert losses.keys() == {"rotations", "shape", "points3d", "points2d"}
    assert all(loss < 1e-4 for loss in losses.values()), losses
    off = body_losses(open_body, BodyPose(rest.rotations, rest.shape, pose.translation), camera, (256, 256), targets)
    assert off["shape"] == pytest.approx(0.3)
    points, true = open_body.points(open_body(rest), COCO17), targets.points3d - pose.translation[:, None]
    apart = (points - points.mean(1, keepdim=True)) - (true - true.mean(1, keepdim=True))
    assert off["points3d"] == pytest.approx(float(apart.abs().mean()), rel=1e-3)
    pixels = camera.project(points + pose.translation[:, None])
    assert off["points2d"] == pytest.approx(float((pixels - targets.points2d).abs().mean() / 128), rel=1e-3)
    zero = torch.zeros_like(targets.points3d_weight)
    blind = Targets(
        pose, torch.zeros(2, 24), torch.zeros(2), torch.zeros(2), COCO17, targets.points3d, zero, targets.points2d,
        zero, targets.identity, torch.zeros(2), torch.ones(2),
    )  # fmt: skip
    turned = pose.rotations.clone()
    turned[:, 1] = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])  # four entries off by 1
    targets = replace(targets, pose_weight=torch.arange(24.0).expand(2, 24))  # joint 1 counts once
    off = body_losses(open_body, BodyPose(turned, pose.shape, pose.translation), camera, (256, 256), targets)
    assert off["rotations"] == pytest.approx(4 / 9 / 24)
    moved = BodyPose(turned, rest.shape, pose.translation - 5.0)
    assert all(loss == 0 for loss in body_losses(open_body, moved, camera, (256, 256), blind).values())


def test_labels_are_chosen_by_name(open_body: BodyModel) -> None:
    camera = Camera(Camera.virtual(500.0, (256, 256)).matrix.float().expand(2, 3, 3))
    targets = _targets(open_body, BodyPose.rest(2), camera)
    limbs = targets.only(LIMBS12)
    assert torch.equal(limbs.points3d[:, 0], targets.points3d[:, COCO17.index("left_shoulder")])
    with pytest.raises(ValueError, match="has no joint 'pelvis'"):
        targets.only(SMPL24)
