"""MoveNet: what its points mean, and its networks against the TensorFlow.js interpreter that humesh had before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from humesh.body.joints import COCO17, MEDIAPIPE33
from humesh.people.networks import Pyramid, Roi, multipose, pose_of_coco, thunder

FIXTURES = Path(__file__).parents[1] / "data/mediapipe"
HERE, THERE = COCO17.map_to(MEDIAPIPE33)
PX, SHARE = 1.0, 0.2  # of single points; kernels are rounded to 8 bits. (Before they were: 0.05 and 1e-3.)


def standing(x: float = 100.0, y: float = 50.0, height: float = 200.0) -> np.ndarray:
    """COCO's points of somebody who stands: hips in the middle, the head up to `y`."""
    places = {
        "nose": (0, 0.08), "eye": (0.03, 0.06), "ear": (0.05, 0.07), "shoulder": (0.1, 0.2), "elbow": (0.15, 0.35),
        "wrist": (0.15, 0.5), "hip": (0.07, 0.5), "knee": (0.07, 0.75), "ankle": (0.07, 0.95),
    }  # fmt: skip
    rows = []
    for name in COCO17.names:
        side, _, joint = name.rpartition("_")
        across, down = places[joint]
        rows.append((x + height * across * {"left": 1, "right": -1, "": 0}[side], y + height * down, 0.6))
    return np.array(rows)


def test_given_points_keep_their_names_and_the_others_lie_on_their_parent() -> None:
    points = standing()
    pose = pose_of_coco(points, 0.4, "thunder")
    assert (pose.landmarks3d, pose.score, pose.network) == (None, 0.4, "thunder")
    for name in COCO17.names:
        np.testing.assert_array_equal(pose.points[MEDIAPIPE33.index(name)], points[COCO17.index(name)])
    for name, parent in {
        "left_heel": "left_ankle", "right_foot_index": "right_ankle", "left_pinky": "left_wrist",
        "right_thumb": "right_wrist", "left_eye_outer": "left_eye", "mouth_right": "nose",
    }.items():  # fmt: skip
        found = pose.points[MEDIAPIPE33.index(name)]
        np.testing.assert_array_equal(found[:2], points[COCO17.index(parent), :2])
        assert found[2] == 0


def test_the_next_look_holds_the_body_upright() -> None:
    roi = pose_of_coco(standing(x=100, y=50, height=200), 0.4, "thunder").next_roi
    assert (roi.x, roi.y, roi.angle) == pytest.approx((100, 150, 0), abs=1e-9)
    assert roi.side == pytest.approx(2.5 * 1.8 * 60)  # MediaPipe's margin about 1.8 trunks
    turned = standing()[:, [1, 0, 2]]  # lying: x and y change places, up is -x
    assert pose_of_coco(turned, 0.4, "thunder").next_roi.angle == pytest.approx(-np.pi / 2)


def test_points_that_are_one_do_not_break_it() -> None:
    pose = pose_of_coco(np.tile([5.0, 5.0, 0.1], (17, 1)), 0.1, "thunder")
    assert np.isfinite(pose.points).all()
    assert pose.next_roi.side >= 1


def recorded(kind: str, crop: str) -> np.ndarray:
    with np.load(FIXTURES / "movenet.npz") as kept:
        return kept[f"{kind}_{crop}"].astype(np.float64)


def photo(name: str) -> np.ndarray:
    return np.asarray(Image.open(FIXTURES / f"{name}.png"))


@pytest.mark.parametrize("crop", ["standing", "turned", "kneeling", "cut"])
def test_thunder_is_the_interpreters(networks: None, crop: str) -> None:
    wanted = recorded("thunder", crop)
    pose = thunder(Pyramid(photo(f"landmarks_{crop}")), Roi(128.0, 128.0, 256.0))
    np.testing.assert_allclose(pose.points[THERE, :2], 256 * wanted[HERE][:, [1, 0]], atol=PX)
    np.testing.assert_allclose(pose.points[THERE, 2], wanted[HERE, 2], atol=SHARE)
    assert pose.score == pytest.approx(wanted[:, 2].mean(), abs=0.05)


@pytest.mark.parametrize("name", ["landmarks_standing", "landmarks_turned", "movenet_wide", "movenet_small"])
def test_multipose_is_the_interpreters_also_where_the_photo_is_no_square(networks: None, name: str) -> None:
    pixels = photo(name)
    height, width = pixels.shape[:2]
    wanted = recorded("multipose", name.partition("_")[2])
    wanted = wanted[wanted[:, 55] >= 0.3]
    wanted = wanted[np.argsort(-wanted[:, 55])]
    assert len(wanted) >= (3 if "movenet" in name else 1)
    poses = multipose(Pyramid(pixels), Roi(width / 2, height / 2, float(max(width, height))), width, height, 0.3)
    np.testing.assert_allclose([pose.score for pose in poses], wanted[:, 55], atol=0.01)
    for pose, row in zip(poses, wanted, strict=True):
        points = row[:51].reshape(17, 3)[HERE]
        np.testing.assert_allclose(pose.points[THERE, :2], points[:, [1, 0]] * [width, height], atol=PX)
        np.testing.assert_allclose(pose.points[THERE, 2], points[:, 2], atol=0.06)
        assert np.median(np.abs(pose.points[THERE, :2] - points[:, [1, 0]] * [width, height])) < 0.1


@pytest.mark.parametrize(("least", "count"), [(0.0, 6), (0.3, 3), (0.55, 2), (0.6, 1), (0.7, 0)])
def test_who_scores_lower_than_wished_is_left_out(networks: None, least: float, count: int) -> None:
    poses = multipose(Pyramid(photo("movenet_small")), Roi(96.0, 80.0, 192.0), 192, 160, least)
    scores = np.sort(recorded("multipose", "small")[:, 55])[::-1][:count]
    assert [pose.score for pose in poses] == pytest.approx(scores, abs=0.01)


def test_both_networks_see_the_cameraman(networks: None, cameraman: np.ndarray) -> None:
    pyramid = Pyramid(cameraman)
    first, near = multipose(pyramid, Roi(256.0, 256.0, 512.0))[0], thunder(pyramid, Roi(175.0, 286.0, 480.0))
    for pose in (first, near):  # places read off the picture by eye; a tenth of the man's 450 px is allowed
        for name, x, y in (("nose", 254, 155), ("right_shoulder", 105, 165)):
            found = pose.points[MEDIAPIPE33.index(name)]
            assert np.hypot(found[0] - x, found[1] - y) < 45, (name, found)
    assert first.score > 0.2
