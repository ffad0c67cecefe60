"""Simulated 3D landmarks: they repeat the keypoints across the view, and their depths err as they are told to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

from humesh.body.joints import LIMBS12, MEDIAPIPE33
from humesh.body.kinematics import swing
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.data.detector_errors import DetectorErrors, Told, told_by_detector
from humesh.data.landmark_errors import LandmarkErrors, landmarks_by_detector
from humesh.evaluation.metrics import pa_mpjpe

NONE = LandmarkErrors(
    across=0.0, along=(0.0, 0.0), limb=(1.0, 0.0), turned=(0.0, 0.0, 0.0), leant=(0.0, 0.0), flattened=(1.0, 1.0),
    size=(0.0, 0.0),
)  # fmt: skip
HIPS = MEDIAPIPE33.indices("left_hip", "right_hip")
COUNT, FOCAL, DEPTH = 300, 500.0, 4.0
SCALE = np.full(COUNT, DEPTH / FOCAL)


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    """The landmarks of people in natural poses, 4 m away."""
    body, generator = BodyModel.load("open-low"), torch.Generator().manual_seed(0)
    turns = roma.rotvec_to_rotmat(0.3 * torch.randn(COUNT, 24, 3, generator=generator).double())
    place = torch.tensor([0.0, 0.0, DEPTH]).double().expand(COUNT, 3)
    pose = BodyPose(turns, torch.zeros(COUNT, 10).double(), place)
    return body.points(body(pose), MEDIAPIPE33).numpy()


def told(points: np.ndarray, hidden: float = 0.0, errors: DetectorErrors | None = None) -> Told:
    """By default a detector that makes no mistakes."""
    pixels = FOCAL * points[..., :2] / points[..., 2:] + 320
    visible = (np.random.default_rng(0).random((COUNT, 33)) >= hidden).astype(float)
    nobody = np.zeros((COUNT, 0, 33, 2))
    exact = errors or DetectorErrors(harder=0.0)
    return told_by_detector(pixels, visible, MEDIAPIPE33, nobody, (640, 640), exact, np.random.default_rng(1))


def made(points: np.ndarray, errors: LandmarkErrors, said: Told | None = None) -> np.ndarray:
    return landmarks_by_detector(points, said or told(points), SCALE, errors, np.random.default_rng(2))


def test_without_errors_depth_is_true_and_the_rest_is_where_the_keypoints_are(points: np.ndarray) -> None:
    said = told(points)
    found = made(points, NONE, said)
    flat = said.keypoints[..., :2] * DEPTH / FOCAL
    np.testing.assert_allclose(found[..., :2], flat - flat[:, HIPS].mean(1, keepdims=True), atol=1e-9)
    ray = torch.from_numpy(points.mean(1))
    turn = swing(torch.tensor([0.0, 0.0, 1.0]).double().expand_as(ray), ray).numpy()
    true = (points - points[:, HIPS].mean(1, keepdims=True)) @ turn
    np.testing.assert_allclose(found[..., 2], true[..., 2], atol=1e-9)


def test_exchanged_sides_are_exchanged_in_depth_too(points: np.ndarray) -> None:
    certain = DetectorErrors(harder=1.0, turned=(1.0, 1.0))
    found, plain = made(points, NONE, told(points, errors=certain)), made(points, NONE)
    swapped = plain[:, list(MEDIAPIPE33.mirror), 2]
    np.testing.assert_allclose(found[..., 2], swapped, atol=1e-9)


def test_a_limbs_depth_comes_with_one_factor(points: np.ndarray) -> None:
    plain, halved = made(points, NONE), made(points, replace(NONE, limb=(0.5, 0.0)))
    at = MEDIAPIPE33.index
    for side in ("left", "right"):
        for limb in (("shoulder", "elbow", "wrist", "index"), ("hip", "knee", "ankle", "heel")):
            start, *rest = (at(f"{side}_{joint}") for joint in limb)
            for joint in rest:
                before, after = (d[:, joint, 2] - d[:, start, 2] for d in (plain, halved))
                np.testing.assert_allclose(after, 0.5 * before, atol=1e-9)
    np.testing.assert_allclose(halved[:, at("nose")], plain[:, at("nose")], atol=1e-9)


def test_some_limbs_point_the_wrong_way_and_hidden_ones_more_often(points: np.ndarray) -> None:
    errors = replace(NONE, limb=(0.5, 0.5), hidden=2.0)
    knee, hip = MEDIAPIPE33.index("left_knee"), MEDIAPIPE33.index("left_hip")
    wrong = []
    for hidden in (0.0, 1.0):
        plain, found = made(points, NONE), made(points, errors, told(points, hidden))
        before, after = (d[:, knee, 2] - d[:, hip, 2] for d in (plain, found))
        wrong.append(np.mean(before * after < 0))
    assert wrong[0] == pytest.approx(0.16, abs=0.07)  # of a normal number below minus one deviation
    assert wrong[1] == pytest.approx(0.31, abs=0.08)  # below minus half of one


def test_flattened_leant_turned_and_of_another_size(points: np.ndarray) -> None:
    plain = made(points, NONE)
    np.testing.assert_allclose(made(points, replace(NONE, flattened=(0.5, 0.5))), plain * [1, 1, 0.5], atol=1e-9)
    np.testing.assert_allclose(made(points, replace(NONE, size=(np.log(1.1), 0.0))), 1.1 * plain, atol=1e-9)
    lean = made(points, replace(NONE, leant=(0.2, 0.0)))
    assert np.abs(lean[..., 2] - plain[..., 2] - 0.2 * plain[..., 1]).max() < 0.1  # perspective is not in the latter
    turned = made(points, replace(NONE, turned=(0.0, 1.0, 1.0)))
    slope = (turned[..., 2] - plain[..., 2])[:, 13] / plain[:, 13, 0]
    assert 0.5 < np.median(np.abs(slope)) < 0.9  # of a normal number: 0.67


def test_their_level_is_the_one_that_was_chosen(points: np.ndarray) -> None:
    """Of people of whom a third is hidden: between MediaPipe's on photographs (110 mm) and on renderings (142 mm)."""
    found = made(points, LandmarkErrors(), told(points, 0.3, DetectorErrors()))
    limbs = MEDIAPIPE33.indices(*LIMBS12.names)
    error = pa_mpjpe(torch.from_numpy(found[:, limbs]), torch.from_numpy(points[:, limbs])).mean()
    assert 0.08 < float(error) < 0.15
