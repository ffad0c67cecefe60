"""Simulated 3D landmarks: the truth where they are told not to err, and errors of the asked kind where they are."""

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
    deviation=tuple((kind, 0.0) for kind, _ in LandmarkErrors().deviation), as_2d=0.0, level=(0.0, 0.0),
    flattened=(1.0, 1.0), leant=(0.0, 0.0), size=(0.0, 0.0),
)  # fmt: skip
HIPS = MEDIAPIPE33.indices("left_hip", "right_hip")
ONE_METRE = np.ones(400)


def told(hidden: float = 0.0, **errors: object) -> Told:
    points = np.random.default_rng(0).uniform(100, 300, (400, 33, 2))
    exact = replace(DetectorErrors(harder=0.0), **errors)
    return told_by_detector(
        points, np.full((400, 33), 1 - hidden), MEDIAPIPE33, np.zeros((400, 0, 33, 2)), (640, 480), exact,
        np.random.default_rng(1),
    )  # fmt: skip


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    """People of 60 cm, 4 m away, somewhere in the view."""
    rng = np.random.default_rng(2)
    return rng.normal(0, 0.3, (400, 33, 3)) + rng.uniform(-1.5, 1.5, (400, 1, 3)) * [1, 1, 0] + [0, 0, 4]


def test_without_errors_they_are_the_truth_seen_along_the_ray(points: np.ndarray) -> None:
    found = landmarks_by_detector(points, told(), ONE_METRE, NONE, np.random.default_rng(3))
    ray = torch.from_numpy(points.mean(1))
    turn = swing(torch.tensor([0.0, 0.0, 1.0]).double().expand_as(ray), ray).numpy()
    back = found @ turn.transpose(0, 2, 1)
    np.testing.assert_allclose(back, points - points[:, HIPS].mean(1, keepdims=True), atol=1e-12)


def test_exchanged_sides_are_exchanged_in_3d_too(points: np.ndarray) -> None:
    certain = told(turned=(1.0, 1.0), harder=1.0)
    found = landmarks_by_detector(points, certain, ONE_METRE, NONE, np.random.default_rng(3))
    plain = landmarks_by_detector(points, told(), ONE_METRE, NONE, np.random.default_rng(3))
    np.testing.assert_allclose(found, plain[:, list(MEDIAPIPE33.mirror)], atol=1e-12)


def test_depth_is_told_worst_and_hidden_joints_worse(points: np.ndarray) -> None:
    errors = replace(LandmarkErrors(), flattened=(1.0, 1.0), leant=(0.0, 0.0), size=(0.0, 0.0))
    plain = landmarks_by_detector(points, told(), ONE_METRE, NONE, np.random.default_rng(3))
    seen, hidden = (
        np.abs(landmarks_by_detector(points, told(h), ONE_METRE, errors, np.random.default_rng(4)) - plain).mean((0, 1))
        for h in (0.0, 1.0)
    )
    assert seen[2] > 1.5 * seen[:2].max()
    assert (hidden > 1.5 * seen).all()


def test_flattened_leant_and_of_another_size(points: np.ndarray) -> None:
    def made(**changes: tuple[float, float]) -> np.ndarray:
        return landmarks_by_detector(points, told(), ONE_METRE, replace(NONE, **changes), np.random.default_rng(5))

    plain = made()
    np.testing.assert_allclose(made(flattened=(0.5, 0.5)), plain * [1, 1, 0.5], atol=1e-12)
    np.testing.assert_allclose(made(size=(np.log(1.1), 0.0)), 1.1 * plain, atol=1e-12)
    lean = made(leant=(0.2, 0.0))
    np.testing.assert_allclose(lean[..., 2], plain[..., 2] + 0.2 * plain[..., 1], atol=1e-12)


def test_their_level_is_the_one_that_was_chosen() -> None:
    """Of upright people of natural size: between what MediaPipe's have on photographs (110 mm) and on renderings."""
    body = BodyModel.load("open-low")
    rng = np.random.default_rng(0)
    angles = torch.from_numpy(rng.normal(0, 0.3, (400, 24, 3)))
    place = torch.tensor([0.0, 0.0, 4.0]).double().expand(400, 3)
    pose = BodyPose(roma.rotvec_to_rotmat(angles), torch.zeros(400, 10).double(), place)
    marks = body.points(body(pose), MEDIAPIPE33).numpy()
    pixels = 500 * marks[..., :2] / marks[..., 2:] + 320
    visible = (rng.random((400, 33)) > 0.3).astype(float)
    said = told_by_detector(pixels, visible, MEDIAPIPE33, np.zeros((400, 0, 33, 2)), (640, 640), DetectorErrors(), rng)
    extent = np.ptp(pixels, axis=1).max(-1) * 4 / 500
    found = landmarks_by_detector(marks, said, extent, LandmarkErrors(), rng)
    limbs = MEDIAPIPE33.indices(*LIMBS12.names)
    error = pa_mpjpe(torch.from_numpy(found[:, limbs]), torch.from_numpy(marks[:, limbs])).mean()
    assert 0.08 < float(error) < 0.15
