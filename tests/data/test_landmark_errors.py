"""Simulated 3D landmarks: without errors they are the truth, and errors are of the sizes that were asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.random import default_rng

from humesh.body.joints import MEDIAPIPE33
from humesh.data.landmark_errors import LandmarkErrors, simulate_landmarks

NONE = LandmarkErrors(
    flat=(1.0, 0.0), size=(1.0, 0.0), turn_deg=(0.0, 0.0, 0.0), trunk_m=0.0, bone=0.0, across=(0.0, 0.0),
    spread=(0.0, 0.0), flipped=0.0, made_up=(0.0, 0.0),
)  # fmt: skip
PEOPLE, ITSELF = 400, np.tile(np.arange(33), (400, 1))
HIPS = MEDIAPIPE33.indices("left_hip", "right_hip")
ELBOW, WRIST, SHOULDER = MEDIAPIPE33.indices("left_elbow", "left_wrist", "left_shoulder")


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    return default_rng(3).normal(0, 0.4, (PEOPLE, 33, 3)) + np.array([0, 0, 4.0])


def _landmarks(points: np.ndarray, errors: LandmarkErrors, hidden: float = 0.0, **changes: np.ndarray) -> np.ndarray:
    others = {"across": np.zeros((PEOPLE, 33, 2)), "hidden": np.full((PEOPLE, 33), hidden), "source": ITSELF} | changes
    return simulate_landmarks(points, errors=errors, g=default_rng(7), **others)


def test_without_errors_they_are_the_points_about_the_hips(points: np.ndarray) -> None:
    true = points - points[:, HIPS].mean(1, keepdims=True)
    assert np.allclose(_landmarks(points, NONE), true, atol=1e-9)
    assert np.allclose(_landmarks(points, replace(NONE, size=(0.9, 0.0))), 0.9 * true, atol=1e-9)
    flat = _landmarks(points, replace(NONE, flat=(0.5, 0.0)))
    assert np.allclose(flat, true * [1, 1, 0.5], atol=1e-9)


def test_points_that_are_swapped_in_the_picture_are_swapped_in_space(points: np.ndarray) -> None:
    swapped = _landmarks(points, NONE, source=ITSELF[:, MEDIAPIPE33.mirror])
    assert np.allclose(swapped, _landmarks(points, NONE)[:, MEDIAPIPE33.mirror], atol=1e-9)


def test_errors_across_the_ray_are_a_share_of_the_keypoints(points: np.ndarray) -> None:
    across = np.zeros((PEOPLE, 33, 2))
    across[:, WRIST] = [0.1, -0.2]
    error = _landmarks(points, replace(NONE, across=(0.5, 0.0)), across=across) - _landmarks(points, NONE)
    assert np.allclose(error[:, WRIST], [0.05, -0.1, 0], atol=1e-9)
    assert np.allclose(np.delete(error, WRIST, axis=1), 0, atol=1e-9)


def test_depths_of_bones_err_in_shares_of_their_length(points: np.ndarray) -> None:
    errors = replace(NONE, bone=0.1)
    error = (_landmarks(points, errors) - _landmarks(points, NONE))[..., 2]
    upper = np.linalg.norm(points[:, ELBOW] - points[:, SHOULDER], axis=-1)
    assert error[:, SHOULDER] == pytest.approx(0, abs=1e-9)
    assert (error[:, ELBOW] / upper).std() == pytest.approx(0.1, rel=0.15)
    lower = np.linalg.norm(points[:, WRIST] - points[:, ELBOW], axis=-1)
    assert ((error[:, WRIST] - error[:, ELBOW]) / lower).std() == pytest.approx(0.14, rel=0.2)  # a little is cut off
    hidden = (_landmarks(points, replace(errors, hidden=3.0), hidden=1.0) - _landmarks(points, NONE))[..., 2]
    assert (hidden[:, ELBOW] / upper).std() > 0.2


def test_a_hidden_limb_may_be_anothers_of_its_own_lengths(points: np.ndarray) -> None:
    made_up = _landmarks(points, replace(NONE, made_up=(0.0, 1.0)), hidden=1.0)
    plain = _landmarks(points, NONE)
    theirs = np.linalg.norm(plain[:, WRIST] - plain[:, SHOULDER], axis=-1)
    assert np.allclose(np.linalg.norm(made_up[:, WRIST] - made_up[:, SHOULDER], axis=-1), np.roll(theirs, 1))
    assert np.allclose(made_up[:, SHOULDER], plain[:, SHOULDER])
    assert np.allclose(_landmarks(points, replace(NONE, made_up=(0.0, 1.0))), plain)
