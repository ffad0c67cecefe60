"""The person finder on our own rendering and on photos with nobody: who is found, and that nothing else decides it."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from humesh.body.joints import MEDIAPIPE33
from humesh.media.photo import Photo
from humesh.people import networks
from humesh.people.finder import LIMBS, PeopleFinder
from humesh.people.networks import Pose
from humesh.people.person import Person

MIRROR = list(MEDIAPIPE33.mirror)
HEADS = np.array([[141.0, 173], [343, 178], [574, 228]])  # noses of the three from left to right, read off by eye
BOXES = np.array([[60.0, 110, 200, 480], [290.0, 145, 405, 480], [490.0, 200, 650, 475]])
NOSE = MEDIAPIPE33.index("nose")


def photo(pixels: np.ndarray) -> Photo:
    return Photo.of(np.ascontiguousarray(pixels))


@pytest.fixture(scope="module")
def three(finder: PeopleFinder, rendered: np.ndarray) -> list[Pose]:
    """The rendering's people from left to right."""
    return in_order(finder.search(photo(rendered)))


def in_order(people: Sequence[Pose]) -> list[Pose]:
    return sorted(people, key=lambda pose: pose.points[:, 0].mean())


def off(one: np.ndarray, other: np.ndarray, size: float) -> float:
    """The median distance of limb joints, in sizes."""
    return float(np.median(np.linalg.norm(one[LIMBS, :2] - other[LIMBS, :2], axis=1)) / size)


def assert_are(found: Sequence[Pose], wanted: Sequence[np.ndarray], sizes: Sequence[float], within: float) -> None:
    assert len(found) == len(wanted)
    for pose, points, size in zip(in_order(found), sorted(wanted, key=lambda w: w[:, 0].mean()), sizes, strict=True):
        assert off(pose.points, points, size) < within


def test_three_people_are_found_where_they_are(three: list[Pose], finder: PeopleFinder, rendered: np.ndarray) -> None:
    np.testing.assert_allclose([pose.points[NOSE, :2] for pose in three], HEADS, atol=8)
    assert all(pose.score > 0.9 for pose in three)
    people = finder(photo(rendered))
    assert all(one.score >= other.score for one, other in pairwise(people))
    for person, pose in zip(sorted(people, key=lambda p: p.box[0]), three, strict=True):
        np.testing.assert_array_equal(person.keypoints, pose.points)
        assert person.keypoint_set is MEDIAPIPE33
        hips = person.landmarks3d[MEDIAPIPE33.indices("left_hip", "right_hip")].mean(0)
        assert np.linalg.norm(hips) < 0.05
        assert person.landmarks3d[NOSE, 1] < -0.4  # metres, y down


@pytest.mark.parametrize("name", ["grey", "white", "noise", "blocks", "dark"])
def test_nobody_where_nobody_is(finder: PeopleFinder, name: str) -> None:
    g = np.random.default_rng(0)
    pixels = {
        "grey": np.full((120, 640, 3), 127), "white": np.full((200, 300, 3), 255),
        "noise": g.integers(0, 256, (200, 300, 3)), "dark": g.integers(0, 9, (300, 200, 3)),
        "blocks": np.kron(g.integers(0, 256, (10, 15, 3)), np.ones((20, 20, 1))),
    }[name]  # fmt: skip
    assert finder(photo(pixels.astype(np.uint8))) == []


@pytest.mark.parametrize("shape", [(1, 1), (23, 23), (24, 24), (3, 2000), (2000, 25)])
def test_nobody_in_photos_that_are_hardly_any(finder: PeopleFinder, shape: tuple[int, int]) -> None:
    assert finder(photo(np.full((*shape, 3), 127, np.uint8))) == []


def test_the_cameraman_is_found(finder: PeopleFinder, cameraman: np.ndarray) -> None:
    """A photograph; places read off by eye, a tenth of the man's 450 px is allowed, more where his coat hides."""
    (man,) = finder(photo(cameraman))
    for name, x, y, within in (("nose", 254, 155, 45), ("right_shoulder", 105, 165, 45), ("right_hip", 65, 360, 60)):
        assert np.hypot(*(man.keypoints[MEDIAPIPE33.index(name), :2] - [x, y])) < within, name


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_who_lies_or_is_upside_down_is_found(
    finder: PeopleFinder, rendered: np.ndarray, three: list[Pose], quarters: int
) -> None:
    points, pixels = [pose.points for pose in three], rendered
    for _ in range(quarters):  # np.rot90 takes (x, y) to (y, width - x)
        points = [np.c_[p[:, 1], pixels.shape[1] - p[:, 0], p[:, 2]] for p in points]
        pixels = np.rot90(pixels)
    found = finder.search(photo(pixels))
    assert len(found) == 3
    for wanted in points:
        assert min(off(pose.points, wanted, 300) for pose in found) < 0.05


def test_people_not_found_upright_are_searched_for_in_turned_photos(
    finder: PeopleFinder, rendered: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MultiPose is blind here, unless the photo is turned."""
    real = networks.multipose
    monkeypatch.setattr(
        networks, "multipose", lambda photo, tile, *w, **k: real(photo, tile, *w, **k) if tile.angle else []
    )
    found = finder.search(photo(rendered[::-1, ::-1]))
    np.testing.assert_allclose([p.points[NOSE, :2] for p in in_order(found)], ([700, 525] - HEADS)[::-1], atol=15)


def test_mirrored_people_are_mirrored(finder: PeopleFinder, rendered: np.ndarray, three: list[Pose]) -> None:
    found = finder.search(photo(rendered[:, ::-1]))
    wanted = [(pose.points * [-1, 1, 1] + [700, 0, 0])[MIRROR] for pose in three]
    assert_are(found, wanted, [300] * 3, 0.02)


def test_people_cut_by_the_edge_are_found(finder: PeopleFinder, rendered: np.ndarray, three: list[Pose]) -> None:
    """Legs are cut off, and of another one half of the body; what lies outside has no confidence."""
    above = finder(photo(rendered[:300]))
    assert len(above) == 3
    for person in above:
        assert not person.keypoints[person.keypoints[:, 1] > 300, 2].any()
    assert_are(finder.search(photo(rendered[:, 140:])), [p.points - [140, 0, 0] for p in three], [300] * 3, 0.08)


def test_small_people_in_a_large_photo_are_found(finder: PeopleFinder, rendered: np.ndarray, three: list[Pose]) -> None:
    """The whole photo shows them in 30 px: where one seems to be, a finer tile shows all."""
    small = rendered.reshape(105, 5, 140, 5, 3).mean((1, 3)).astype(np.uint8)
    pixels = np.full((700, 1000, 3), 127, np.uint8)
    pixels[370:475, 500:640] = small
    wanted = [pose.points / [5, 5, 1] + [500, 370, 0] for pose in three]
    found = finder.search(photo(pixels))
    assert_are(found, wanted, [60] * 3, 0.05)
    assert all(pose.score > 0.9 for pose in found)


def test_one_in_front_of_another_are_two(finder: PeopleFinder, rendered: np.ndarray, three: list[Pose]) -> None:
    """The second of them is set before the first one's arm; each keeps their own points."""
    pixels = rendered.copy()
    pixels[145:480, 180:249] = rendered[145:480, 331:400]
    found = in_order(finder.search(photo(pixels)))
    assert len(found) == 4
    assert off(found[0].points, three[0].points, 300) < 0.04
    assert np.linalg.norm(found[1].points[NOSE, :2] - HEADS[1] + [151, 0]) < 10


def count(monkeypatch: pytest.MonkeyPatch, name: str) -> list[int]:
    """Grows by one with each call."""
    calls, real = list[int](), getattr(networks, name)

    def counted(*words: object, **more: object) -> object:
        calls.append(1)
        return real(*words, **more)

    monkeypatch.setattr(networks, name, counted)
    return calls


def test_few_passes_a_person(
    finder: PeopleFinder, rendered: np.ndarray, three: list[Pose], monkeypatch: pytest.MonkeyPatch
) -> None:
    deep, thunder, multi = (count(monkeypatch, name) for name in ("blazepose", "thunder", "multipose"))
    finder.search(photo(rendered))
    assert 3 <= len(deep) <= 3 * 3
    assert len(thunder) == 3
    assert len(multi) == 2  # nobody is so small that tiles are searched
    deep.clear(), thunder.clear(), multi.clear()
    assert_are(finder.follow(photo(rendered), three, quick=True), [p.points for p in three], [300] * 3, 0.02)
    assert (len(deep), len(thunder), len(multi)) == (3, 3, 0)
    assert_are(finder.search(photo(rendered), three), [p.points for p in three], [300] * 3, 1e-9)
    assert (len(deep), len(thunder), len(multi)) == (3, 3, 2)  # who is known is not looked at again


def test_the_fast_finder_takes_one_pass_and_finds_the_same(
    networks: None, rendered: np.ndarray, three: list[Pose], monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = count(monkeypatch, "blazepose")
    found = PeopleFinder(fast=True, workers=1).search(photo(rendered))
    assert_are(found, [pose.points for pose in three], [300] * 3, 0.03)
    assert len(passes) == 3
    assert {pose.network for pose in found} == {"full"}


def test_known_people_are_followed_and_not_found_twice(
    finder: PeopleFinder, rendered: np.ndarray, three: list[Pose]
) -> None:
    points = [pose.points for pose in three]
    assert_are(finder.follow(photo(rendered), three), points, [300] * 3, 0.02)
    again = finder.search(photo(rendered), three[:1])
    assert_are(again, points, [300] * 3, 1e-9)
    assert any(pose is three[0] for pose in again)
    empty = photo(np.full_like(rendered, 127))
    assert finder.follow(empty, three) == []
    assert finder.follow(photo(rendered), []) == []


def test_given_boxes_are_answered_in_order_each_by_who_is_in_it(finder: PeopleFinder, rendered: np.ndarray) -> None:
    order = [2, 0, 1, 0]
    people = finder.landmarks(photo(rendered), BOXES[order])
    for person, i in zip(people, order, strict=True):
        np.testing.assert_array_equal(person.box, BOXES[i])
        assert np.linalg.norm(person.keypoints[NOSE, :2] - HEADS[i]) < 8
        assert person.keypoints[NOSE, 2] > 0.9
        assert person.landmarks3d.shape == (33, 3)
    assert finder.landmarks(photo(rendered), np.zeros((0, 4))) == []


def test_who_is_beside_an_empty_box_is_not_in_it(finder: PeopleFinder, rendered: np.ndarray) -> None:
    boxes = np.array([[330.0, 0, 460, 140], [-50, -50, -10, -10], [900, 10, 990, 200]])
    for person, box in zip(finder.landmarks(photo(rendered), boxes), boxes, strict=True):
        np.testing.assert_array_equal(person.box, box)
        assert not person.keypoints[:, 2].any()


def same(one: Sequence[Person], other: Sequence[Person]) -> bool:
    return len(one) == len(other) and all(
        np.array_equal(a.keypoints, b.keypoints) and np.array_equal(a.landmarks3d, b.landmarks3d)
        for a, b in zip(one, other, strict=True)
    )


def test_the_number_of_threads_changes_nothing(finder: PeopleFinder, one_rendered: np.ndarray) -> None:
    shot, first = photo(one_rendered), finder(photo(one_rendered))
    assert len(first) == 1
    for workers in (1, 4):
        assert same(PeopleFinder(workers=workers)(shot), first)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1 if before > 1 else 3)
        assert same(finder(shot), first)
    finally:
        torch.set_num_threads(before)
    with ThreadPoolExecutor(3) as pool:  # one finder, several callers
        assert all(same(people, first) for people in pool.map(finder, [shot] * 3))


_ALONE = """
import hashlib, socket, sys
def refuse(*words): raise AssertionError("nothing may be fetched")
socket.socket.connect = socket.getaddrinfo = refuse
from humesh.media.photo import Photo
from humesh.people.finder import PeopleFinder
people = PeopleFinder()(Photo.read(sys.argv[1]))
print(hashlib.sha256(b"".join(p.keypoints.tobytes() for p in people)).hexdigest())
print(*(m for m in ("mediapipe", "cv2", "tensorflow", "jax") if m in sys.modules))
"""


def test_alone_without_a_connection_with_more_threads_of_openmp_it_quietly_gives_the_same(
    finder: PeopleFinder, one_rendered: np.ndarray, tmp_path: Path
) -> None:
    Image.fromarray(one_rendered).save(tmp_path / "a.png")
    (person,) = finder(Photo.read(tmp_path / "a.png"))
    wanted = hashlib.sha256(person.keypoints.tobytes()).hexdigest()
    environment = {**os.environ, "OMP_NUM_THREADS": "3"}
    words = [sys.executable, "-c", _ALONE, str(tmp_path / "a.png")]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    assert (done.stdout, done.stderr) == (f"{wanted}\n\n", "")
