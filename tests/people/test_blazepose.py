"""MediaPipe's landmark models: our arithmetic and our networks against mediapipe 0.10.21's own graph."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from humesh.body.joints import MEDIAPIPE33
from humesh.people.networks import (
    NETWORK_PX,
    LandmarkModel,
    Pose,
    Pyramid,
    Roi,
    blazepose,
    pose_of_landmarks,
    refined,
)

FIXTURES = Path(__file__).parents[1] / "data/mediapipe"
CROPS = ["standing", "turned", "kneeling", "cut"]
WHOLE = Roi(128.0, 128.0, 256.0)
MIRROR = list(MEDIAPIPE33.mirror)

both = pytest.mark.parametrize("model", get_args(LandmarkModel))
each = pytest.mark.parametrize("crop", CROPS)


def pixels(crop: str) -> np.ndarray:
    return np.asarray(Image.open(FIXTURES / f"landmarks_{crop}.png"))


def assert_is(pose: Pose, model: str, crop: str, px: float, share: float, metres: float) -> None:
    """A pose in a crop is the one of MediaPipe's graph, off by at most `px` of 256."""
    with np.load(FIXTURES / f"landmarks_{model}.npz") as kept:
        points, world, score = (kept[f"{crop}_{part}"] for part in ("points", "world", "score"))
    np.testing.assert_allclose(pose.points[:, :2], points[:33, :2] * NETWORK_PX, atol=px, rtol=0)
    np.testing.assert_allclose(pose.points[:, 2], points[:33, 3] * points[:33, 4], atol=share, rtol=0)
    np.testing.assert_allclose(pose.landmarks3d, world[:33], atol=metres, rtol=0)
    assert pose.score == pytest.approx(score, abs=1e-3 * (px > 1e-3))
    centre, rim = points[33:35, :2] * NETWORK_PX
    np.testing.assert_allclose([pose.next_roi.x, pose.next_roi.y], centre, atol=px)
    assert pose.next_roi.side == pytest.approx(2.5 * np.linalg.norm(rim - centre), abs=5 * px)


@cache
def recorded(model: str, crop: str) -> tuple[np.ndarray, float, np.ndarray, np.ndarray]:
    """The network's raw answer as MediaPipe's graph had it."""
    with np.load(FIXTURES / f"landmarks_{model}.npz") as kept:
        flat, heat, world = (kept[f"{crop}_{part}"] for part in ("told", "heatmap", "world"))
        return flat.ravel(), float(kept[f"{crop}_score"]), heat, world.ravel()


@both
@each
def test_the_arithmetic_is_the_graphs(model: str, crop: str) -> None:
    assert_is(pose_of_landmarks(*recorded(model, crop), WHOLE), model, crop, px=2e-4, share=1e-6, metres=0)


@both
@pytest.mark.parametrize("crop", ["standing", "turned", "kneeling"])
def test_the_network_is_mediapipes(networks: None, model: LandmarkModel, crop: str) -> None:
    """But for kernels rounded to 8 bits. (Before they were: points to 1e-3 px, 3D to 3e-5 m, on all crops.)"""
    pose = blazepose(Pyramid(pixels(crop)), WHOLE, model)
    assert pose.network == model
    assert_is(pose, model, crop, px=1.0, share=0.3, metres=0.05)
    with np.load(FIXTURES / f"landmarks_{model}.npz") as kept:
        points, mask = kept[f"{crop}_points"][:33, :2] * NETWORK_PX, kept[f"{crop}_mask"]
    assert np.median(np.abs(pose.points[:, :2] - points)) < 0.15
    assert pose.mask is not None
    assert np.mean(pose.mask.region[::4, ::4] == (mask > 0)) > 0.98  # its cells are a pixel of 256 beside each other


@both
def test_the_mirrored_look_at_a_mirrored_photo_is_the_mirrored_blazepose(networks: None, model: LandmarkModel) -> None:
    """Sides change places, x turns round, and the photo's x of the next region too."""
    photo = pixels("turned")
    one = blazepose(Pyramid(photo), WHOLE, model)
    other = blazepose(Pyramid(np.ascontiguousarray(photo[:, ::-1])), WHOLE, model, mirrored=True)
    np.testing.assert_allclose((other.points * [-1, 1, 1] + [256, 0, 0])[MIRROR], one.points, atol=1e-9)
    np.testing.assert_allclose((other.landmarks3d * [-1, 1, 1])[MIRROR], one.landmarks3d, atol=1e-9)
    assert one.mask is not None
    assert other.mask is not None
    assert np.mean(one.mask.region == other.mask.region[:, ::-1]) > 0.98
    expected = replace(one.next_roi, x=256 - one.next_roi.x, angle=-one.next_roi.angle)
    for part in ("x", "y", "side", "angle"):
        assert getattr(other.next_roi, part) == pytest.approx(getattr(expected, part), abs=1e-9)


@given(st.floats(-3.1, 3.1), st.floats(10, 900))
def test_a_turned_region_turns_points_and_landmarks(angle: float, side: float) -> None:
    """Of one raw answer: points by the region's turn, zoom and shift, 3D landmarks by its turn about the view axis."""
    outputs = recorded("full", "kneeling")
    plain, turned = pose_of_landmarks(*outputs, WHOLE), pose_of_landmarks(*outputs, Roi(300.0, 200.0, side, angle))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    places = (plain.points[:, :2] - 128) * side / 256 @ turn.T + [300, 200]
    np.testing.assert_allclose(turned.points, np.c_[places, plain.points[:, 2]], atol=1e-9)
    np.testing.assert_allclose(turned.landmarks3d[:, :2], plain.landmarks3d[:, :2] @ turn.T, atol=1e-9)
    np.testing.assert_array_equal(turned.landmarks3d[:, 2], plain.landmarks3d[:, 2])
    assert np.cos(turned.next_roi.angle - plain.next_roi.angle - angle) == pytest.approx(1)


def refined_slowly(point: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """RefineLandmarksFromHeatmapCalculator's loop for one landmark (x, y in 0..1)."""
    height, width = heat.shape
    column, row = int(point[0] * width), int(point[1] * height)
    if not (0 <= column < width and 0 <= row < height):
        return point
    total = x = y = most = 0.0
    for r in range(max(row - 4, 0), min(row + 5, height)):
        for c in range(max(column - 4, 0), min(column + 5, width)):
            heat_here = 1 / (1 + np.exp(-float(heat[r, c])))
            total, x, y, most = total + heat_here, x + c * heat_here, y + r * heat_here, max(most, heat_here)
    return np.array([x / width, y / height]) / total if most >= 0.5 and total > 0 else point


@given(
    arrays(np.float64, (3, 2), elements=st.floats(-0.5, 1.5)), st.integers(0, 2**32 - 1),
    st.sampled_from([-20.0, -4.0, 0.0]),
)  # fmt: skip
def test_refinement_is_mediapipes_loop(points: np.ndarray, seed: int, level: float) -> None:
    heat = np.random.default_rng(seed).normal(level, 3, (10, 14, 3)).astype(np.float32)
    wanted = [refined_slowly(points[k], heat[:, :, k]) for k in range(3)]
    np.testing.assert_allclose(refined(points, heat), wanted, atol=1e-7)
