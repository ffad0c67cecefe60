"""MoveNet: what its points mean, MoveNet itself on a CC0 photo, and who is found with its help."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from humesh.body.joints import COCO17, LIMBS12, MEDIAPIPE33
from humesh.images import movenet, people
from humesh.people.regions import Pose, Pyramid, Roi
from humesh.people.movenet import MoveNet, movenet_is_there, pose_of
from humesh.people.finder import PeopleFinder
from humesh.images.photo import Photo

NEEDS_MOVENET = pytest.mark.skipif(not movenet_is_there(), reason="humesh was built without a connection to npm")


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


def test_told_points_keep_their_names_and_the_others_their_neighbours_place() -> None:
    points = standing()
    pose = pose_of(points, 0.4)
    assert pose.landmarks3d is None
    assert pose.score == 0.4
    for name in COCO17.names:
        np.testing.assert_array_equal(pose.points[MEDIAPIPE33.index(name)], points[COCO17.index(name)])
    for name, neighbour in {
        "left_heel": "left_ankle", "right_foot_index": "right_ankle", "left_pinky": "left_wrist",
        "right_thumb": "right_wrist", "left_eye_outer": "left_eye", "mouth_right": "nose",
    }.items():  # fmt: skip
        told = pose.points[MEDIAPIPE33.index(name)]
        np.testing.assert_array_equal(told[:2], points[COCO17.index(neighbour), :2])
        assert told[2] == 0


def test_the_next_look_holds_the_body_upright() -> None:
    roi = pose_of(standing(x=100, y=50, height=200), 0.4).next_roi
    assert (roi.x, roi.y, roi.angle) == pytest.approx((100, 150, 0), abs=1e-9)
    assert roi.side == pytest.approx(2.5 * 1.8 * 60)  # MediaPipe's margin about 1.8 trunks
    turned = standing()[:, [1, 0, 2]]  # lying: x and y change places, up is -x
    assert abs(pose_of(turned, 0.4).next_roi.angle) == pytest.approx(np.pi / 2)


def test_points_that_are_one_do_not_break_it() -> None:
    pose = pose_of(np.tile([5.0, 5.0, 0.1], (17, 1)), 0.1)
    assert np.isfinite(pose.points).all()
    assert pose.next_roi.side >= 1


@given(st.lists(st.floats(0, 1), min_size=2, max_size=9))
def test_confidence_rises_and_nothing_stays_nothing(sure: list[float]) -> None:
    told = people._near(np.array(sorted(sure)))
    assert (np.diff(told) >= 0).all()
    assert ((told >= 0) & (told <= 1)).all()
    assert people._near(np.zeros(3)).tolist() == [0, 0, 0]


@pytest.fixture(scope="module")
def cameraman() -> np.ndarray:
    """The man at a camera of scikit-image (CC0), 512 x 512."""
    return np.repeat(pytest.importorskip("skimage.data").camera()[..., None], 3, axis=-1)


@NEEDS_MOVENET
def test_both_networks_see_the_cameraman(cameraman: np.ndarray) -> None:
    networks, photo = MoveNet(), Pyramid(cameraman)
    first = networks.find(photo, Roi(256.0, 256.0, 512.0))[0]
    look = networks.look(photo, np.array([0.0, 60, 350, 512]))
    for pose in (first, look):  # places read off the picture by eye; a tenth of the man's 450 px is allowed
        for name, x, y in (("nose", 254, 155), ("right_shoulder", 105, 165)):
            found = pose.points[MEDIAPIPE33.index(name)]
            assert np.hypot(found[0] - x, found[1] - y) < 45, (name, found)
    assert first.score > 0.2


@NEEDS_MOVENET
def test_nobody_in_a_grey_photo() -> None:
    assert MoveNet().find(Pyramid(np.full((300, 400, 3), 127, np.uint8)), Roi(200.0, 150.0, 400.0)) == []


class Sees:
    """A MoveNet that sees one person at one place, wherever it looks."""

    def __init__(self, points: np.ndarray) -> None:
        self.points = points

    def find(self, photo: Pyramid, tile: Roi, least: float = 0.1) -> list[Pose]:
        return [pose_of(self.points, 0.5)]

    def look(self, photo: Pyramid, box: np.ndarray) -> Pose:
        return pose_of(self.points, 0.6)


@pytest.fixture
def finder() -> Iterator[PeopleFinder]:
    pytest.importorskip("mediapipe")
    with PeopleFinder(workers=1, model="full", movenet=False) as finder:
        finder._movenet = Sees(standing())
        yield finder


EMPTY = Photo.of(np.full((300, 240, 3), 127, np.uint8))
BOX = np.array([60.0, 40, 140, 255])


def test_whom_only_movenet_sees_is_told_by_its_points_alone(finder: PeopleFinder) -> None:
    told = [finder(EMPTY), finder.settled(EMPTY, BOX[None]), finder.landmarks(EMPTY, BOX[None])]
    for (person,) in told:
        assert person.landmarks3d is None
        assert person.keypoint_set == MEDIAPIPE33
        here, there = LIMBS12.map_to(COCO17)
        limbs = person.keypoints[MEDIAPIPE33.indices(*(LIMBS12.names[i] for i in here))]
        np.testing.assert_allclose(limbs[:, :2], standing()[there, :2])
        assert (limbs[:, 2] > 0.3).all()
        assert person.score >= finder.min_score
    np.testing.assert_array_equal(told[2][0].box, BOX)


def test_who_is_elsewhere_is_not_in_the_box(finder: PeopleFinder) -> None:
    box = np.array([[200.0, 200, 239, 299]])
    assert finder.settled(EMPTY, box) == [None]
    (nobody,) = finder.landmarks(EMPTY, box)
    assert not nobody.keypoints[:, 2].any()


def test_who_is_lost_by_mediapipe_is_followed_by_movenet(finder: PeopleFinder) -> None:
    (pose,) = finder.search(EMPTY)
    (again,) = finder.follow(EMPTY, [pose])
    np.testing.assert_allclose(again.points[:, :2], pose.points[:, :2])


def test_lacking_files_are_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("mediapipe")
    monkeypatch.setattr(movenet, "_ASSETS", tmp_path)
    with pytest.raises(FileNotFoundError, match="expected MoveNet's files, which building humesh fetches"):
        PeopleFinder(workers=1, model="full", movenet=True)
    with PeopleFinder(workers=1, model="full") as without:
        assert without._movenet is None


def test_without_movenet_nobody_is_there(finder: PeopleFinder) -> None:
    finder._movenet = None
    assert finder(EMPTY) == []
    assert finder.settled(EMPTY, BOX[None]) == [None]
    assert not finder.landmarks(EMPTY, BOX[None])[0].keypoints[:, 2].any()
