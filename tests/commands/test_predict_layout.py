"""`humesh predict` with --units, --floor, --rig, --fps and their like: files for other programs."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from humesh.body.joints import MEDIAPIPE33
from humesh.commands import main
from humesh.media.film import Film
from humesh.media.photo import Photo
from humesh.people.finder import PeopleFinder
from humesh.people.person import Person
from tests.scene.bvh import read_bvh


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """`humesh` with these words; its exit code."""
    monkeypatch.setattr(sys, "argv", ["humesh", *map(str, words)])
    with pytest.raises(SystemExit) as stopped:
        main.main()
    return int(stopped.value.code or 0)


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """A video of 14 frames and two people; the second comes in the fifth."""
    landmarks = np.random.default_rng(0).normal(0, 0.3, (33, 3))

    def detected(self: PeopleFinder, photo: Photo, boxes: np.ndarray) -> list[Person]:
        return [
            Person(box, 1.0, np.append(landmarks[:, :2] * 20 + 25, np.ones((33, 1)), axis=1), MEDIAPIPE33, landmarks)
            for box in boxes
        ]

    monkeypatch.setattr(PeopleFinder, "landmarks", detected)
    with Film(tmp_path / "clip.mp4", (64, 48), 25.0) as film:
        for number in range(14):
            film.write(np.full((48, 64, 3), 10 * number, np.uint8), number / 25)
    lines = [f"{frame},{who},{5 * who},5,20,30,1\n" for who in (1, 2) for frame in range(4 * who - 3, 15)]
    (tmp_path / "tracks.txt").write_text("".join(lines))
    given = ("--video.tracks", tmp_path / "tracks.txt", "--no-refine", "--weights", "lifter")
    return ["predict", tmp_path / "clip.mp4", "-o", tmp_path / "out", *given]


def test_people_who_come_later_are_named_or_padded(
    words: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, *words, "--video.formats", "bvh", "amass") == 0
    assert "starts when its person comes: person 2 at frame 4 (0.16 s); --video.pad" in capsys.readouterr().out
    with np.load(tmp_path / "out" / "clip_amass_person2.npz") as file:
        assert (len(file["poses"]), int(file["start_frame"])) == (10, 4)
    assert run(monkeypatch, *words, "--video.formats", "bvh", "amass", "--video.pad") == 0
    assert "--video.pad" not in capsys.readouterr().out
    for person in (1, 2):
        assert len(read_bvh(tmp_path / "out" / f"clip_person{person}.bvh").rotations) == 14
        with np.load(tmp_path / "out" / f"clip_amass_person{person}.npz") as file:
            assert (len(file["poses"]), int(file["start_frame"])) == (14, 0)


def test_units_and_floor_reach_the_files(
    words: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read, path = [], tmp_path / "out" / "clip_person1.bvh"
    for more in ((), ("--units", "cm"), ("--floor",)):  # other options: another result, not one that is finished
        assert run(monkeypatch, *words, "--video.formats", "bvh", *more) == 0
        read.append(read_bvh(path).joints())
    np.testing.assert_allclose(read[1], 100 * read[0], atol=1e-4)
    moved = (read[2] - read[0]).reshape(-1, 3)
    np.testing.assert_allclose(moved, np.tile(moved[0], (len(moved), 1)), atol=1e-6)
    assert 0 < read[2][..., 1].min() < 0.15, "of the joints, which are inside the body"


def test_rig_rate_and_axis_reach_the_files(
    words: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, files = tmp_path / "out", ("--video.formats", "bvh", "glb")
    assert run(monkeypatch, *words, *files) == 0
    assert {path.name for path in out.glob("*.glb")} == {"clip.glb"}
    before = read_bvh(out / "clip_person2.bvh")
    assert run(monkeypatch, *words, *files, "--rig", "mixamo", "--fps", "50", "--up", "z", "--no-root-motion") == 0
    printed = capsys.readouterr().out
    assert "Each BVH or GLB file starts when its person comes: person 2 at frame 8 (0.16 s)" in printed
    assert {path.name for path in out.glob("*.glb")} == {"clip_person1.glb", "clip_person2.glb"}, "the old one is gone"
    after = read_bvh(out / "clip_person2.bvh")
    assert after.names[0] == "mixamorig:Hips"
    assert after.frame_time == pytest.approx(0.02)
    assert len(after.rotations) == 2 * len(before.rotations) - 1
    assert np.ptp(after.positions[:, 0, :2], axis=0).max() < 1e-6, "they stay above their first place"
    np.testing.assert_allclose(after.positions[::2, 0, 2], before.positions[:, 0, 1], atol=1e-6)
    assert run(monkeypatch, *words, *files, "--rig", "mixamo", "--fps", "50", "--up", "z", "--no-root-motion") == 0
    assert "finished and skipped" in capsys.readouterr().out
    assert run(monkeypatch, *words, *files) == 0
    assert {path.name for path in out.glob("*.glb")} == {"clip.glb"}


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--fps", "30"), "fps: expected a video, whose motion it is for, got a photo"),
        (("--no-root-motion",), "root_motion: expected a video"),
        (("--up", "z"), "up: expected one of the formats it is for, bvh, obj, ply, got glb; glTF is y up"),
        (("--rig", "mixamo", "--formats", "obj"), "rig: expected one of the formats it is for, glb, bvh, got obj"),
    ],
)
def test_options_that_change_no_file_of_a_photo_are_refused(
    tmp_path: Path,
    more: tuple[str, ...],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Image.new("RGB", (64, 48)).save(tmp_path / "photo.png")
    words = ("predict", tmp_path / "photo.png", "-o", tmp_path / "out", "--formats", "glb", *more)
    assert run(monkeypatch, *words) == 2
    assert sentence in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("more", [("--units", "cm"), ("--floor",), ("--video.pad",), ("--fps", "30"), ("--up", "z")])
def test_options_that_change_no_file_are_refused(
    words: list[object],
    tmp_path: Path,
    more: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, *words, "--video.formats", "npz", *more) == 2
    name = more[0].rpartition("-")[2].rpartition(".")[2]
    assert f"{name}: expected one of the formats it is for" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
