"""What Python users do with a recovery: save it by name, change its pose, ask when a frame was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import humesh
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose, PoseError
from humesh.geometry.camera import Camera
from humesh.media.photo import Photo, PhotoTypeError
from humesh.media.video import Frame, Video
from humesh.scene.result import Motion, OptionsError, Result, ResultError, VideoResult

SIZE = (64, 48)


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load("open-low")


@pytest.fixture
def recovery(body: BodyModel, tmp_path: Path) -> Result:
    """Two people in a photo that was read from a file."""
    path = tmp_path / "photo.jpg"
    Image.new("RGB", SIZE, "grey").save(path)
    people = [humesh.Person(np.array([1.0, 2, 30, 40]), score) for score in (0.9, 0.8)]
    pose = replace(BodyPose.rest(2), translation=torch.tensor([[0.0, 0, 4], [1, 0, 5]]))
    return Result(Photo.read(path), people, pose, torch.ones(2, 24), torch.ones(2, 24).bool(), body, "made up")


def _names(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


@pytest.mark.parametrize(
    ("name", "formats", "expected"),
    [
        ("a.glb", None, ["a.glb"]),
        ("a.glb", ["glb"], ["a.glb"]),
        ("a.glb", "glb", ["a.glb"]),
        ("a.GLB", None, ["a.GLB"]),
        ("a", "glb", ["a.glb"]),
        ("a.json", ["glb", "json"], ["a.glb", "a.json"]),
        ("a.obj", ["glb"], ["a.obj.glb"]),
        ("holiday.2024", ("npz",), ["holiday.2024.npz"]),
        ("a.bvh", None, ["a_person0.bvh", "a_person1.bvh"]),
        ("b.jpg", "jpg", ["b.jpg"]),
        ("b.jpeg", None, ["b.jpeg"]),
        ("b.fbx", "glb", ["b.fbx.glb"]),
        ("a", "jpg", ["a_overlay.jpg"]),
    ],
)
def test_an_ending_that_names_the_format_is_understood(
    recovery: Result, tmp_path: Path, name: str, formats: Any, expected: list[str]
) -> None:
    paths = recovery.save(tmp_path / "out" / name, formats)
    assert _names(paths) == expected
    assert sorted(expected) == sorted(path.name for path in (tmp_path / "out").iterdir())


def test_without_formats_and_ending_the_usual_ones_are_written(recovery: Result, tmp_path: Path) -> None:
    assert _names(recovery.save(tmp_path / "a")) == ["a_overlay.jpg", "a.glb", "a.json"]


def test_formats_that_there_are_not_are_told_in_a_sentence(recovery: Result, tmp_path: Path) -> None:
    for formats in ("fbx", ["glb", "fbx"]):
        with pytest.raises(OptionsError, match=r"^formats: expected some of jpg, .*, got fbx\.$"):
            recovery.save(tmp_path / "a", formats)
    with pytest.raises(OptionsError, match=r"expected some of mp4, glb, .*, got json"):
        _video(recovery).save(tmp_path / "a", "json")
    assert _names(list(tmp_path.iterdir())) == ["photo.jpg"]


def test_names_that_are_none_or_of_other_formats_are_refused(
    recovery: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("", ".", "out/", "out/.."):
        with pytest.raises(OptionsError, match=r"^path '.*': expected the name of a file, got a folder's or none; add"):
            recovery.save(name)
    with pytest.raises(OptionsError, match=r"x\.fbx: expected no ending, or one of jpg, .*, json, got fbx; for a name"):
        recovery.save("x.fbx")
    with pytest.raises(OptionsError, match=r"expected no ending, or one of mp4, .*, npz, got mov"):
        _video(recovery).save(Path("x.MOV"))
    assert _names(list(tmp_path.iterdir())) == ["photo.jpg"]


def test_the_photo_is_not_overwritten(recovery: Result, tmp_path: Path) -> None:
    before = (tmp_path / "photo.jpg").read_bytes()
    with pytest.raises(OptionsError, match="expected another file than the photo itself"):
        recovery.save(tmp_path / "photo.jpg")
    assert (tmp_path / "photo.jpg").read_bytes() == before


def test_the_record_says_where_the_photo_is(recovery: Result, tmp_path: Path) -> None:
    (path,) = recovery.save(tmp_path / "a.json")
    assert json.loads(path.read_text())["image"]["path"] == str(tmp_path / "photo.jpg") == recovery.photo.path
    replace(recovery, photo=replace(recovery.photo, path="elsewhere.jpg")).save(path)
    assert json.loads(path.read_text())["image"]["path"] == "elsewhere.jpg"


def test_another_pose_has_other_joints_in_every_file(recovery: Result, tmp_path: Path) -> None:
    before = recovery.bodies.joints.clone()
    pose = replace(recovery.pose, translation=recovery.pose.translation + torch.tensor([0.0, 0, 1]))
    moved = replace(recovery, pose=pose)
    assert torch.allclose(moved.bodies.joints, before + torch.tensor([0.0, 0, 1]), atol=1e-5)
    (path,) = moved.save(tmp_path / "a.json")
    person = json.loads(path.read_text())["people"][0]
    assert person["translation_m"][2] == 5
    assert person["joints"]["xyz_m"][0][2] == pytest.approx(float(before[0, 0, 2]) + 1, abs=1e-4)


def test_parts_of_other_people_are_refused(recovery: Result) -> None:
    with pytest.raises(ResultError, match=r"got 1 people, 2 poses, 2 rows of confidence and 2 of visible"):
        replace(recovery, people=recovery.people[:1])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"rotations": torch.eye(3).expand(2, 23, 3, 3)}, r"expected rotations of 24 x 3 x 3 .*got 2 x 23 x 3 x 3"),
        ({"rotations": torch.zeros(2, 24, 3)}, "got 2 x 24 x 3 and 2 x 3"),
        ({"translation": torch.zeros(3)}, "got 2 x 24 x 3 x 3 and 3"),
        ({"translation": torch.zeros(2, 4)}, "got 2 x 24 x 3 x 3 and 2 x 4"),
        ({"shape": torch.zeros(10)}, "expected shape coefficients for each translation of 3, got 10 and 2 x 3"),
        ({"rotations": np.zeros((2, 24, 3, 3))}, r"expected tensors, got ndarray; make one with torch\.as_tensor"),
    ],
)
def test_poses_of_wrong_shapes_are_refused(change: dict[str, Any], sentence: str) -> None:
    rest = BodyPose.rest(2)
    pose = object.__new__(BodyPose)  # past the tests' own check of annotations, which users do not have
    for name in ("rotations", "shape", "translation"):
        object.__setattr__(pose, name, change.get(name, getattr(rest, name)))
    with pytest.raises(PoseError, match=sentence):
        pose.__post_init__()


def test_poses_are_checked_as_they_are_made() -> None:
    with pytest.raises(PoseError, match="got 1 x 23 x 3 x 3"):
        replace(BodyPose.rest(1), rotations=torch.eye(3).expand(1, 23, 3, 3))


def test_a_shape_of_another_body_is_refused(body: BodyModel) -> None:
    with pytest.raises(PoseError, match="expected 10 shape coefficients, got 16"):
        body(BodyPose.rest(1, shapes=16))


@pytest.mark.parametrize("source", [[np.zeros((4, 4, 3), np.uint8)], None, np.zeros((4, 4, 3))])
def test_what_is_no_photo_is_told_before_anything_is_loaded(source: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BodyModel, "load", lambda *_: pytest.fail("loaded"))
    with pytest.raises(PhotoTypeError, match=r"^photo: expected "):
        humesh.recover(source)


def test_a_recoverer_takes_whatever_holds_a_photo(body: BodyModel, tmp_path: Path) -> None:
    image = Image.new("RGBA", SIZE, "red")
    image.save(tmp_path / "a.png")
    recoverer = humesh.Recoverer(body, finder=lambda photo: [], weights="landmarks")
    with (tmp_path / "a.png").open("rb") as stream:
        for source in (tmp_path / "a.png", str(tmp_path / "a.png"), image, np.asarray(image), stream):
            assert recoverer(source).photo.size == SIZE
    assert recoverer(tmp_path / "a.png").photo.path == str(tmp_path / "a.png")


def _video(recovery: Result) -> VideoResult:
    pose = replace(BodyPose.rest(2), translation=torch.tensor([[0.0, 0, 4]] * 2))
    motion = Motion(7, np.array([1, 2]), pose, np.ones(2, bool), 0.5, torch.ones(2, 24))
    facts = [motion], recovery.body, "made up"
    return VideoResult(np.array([0.0, 0.5, 0.75]), SIZE, Camera.guess(SIZE), "guessed", *facts)


class _Frames(Video):
    """Three frames at uneven times."""

    def __init__(self) -> None: ...

    def __iter__(self) -> Iterator[Frame]:
        for number, time_s in enumerate((0.0, 0.5, 0.75)):
            yield Frame(number, time_s, np.zeros((48, 64, 3), np.uint8))


def test_a_videos_frames_say_when_they_are(recovery: Result) -> None:
    frames = list(replace(_video(recovery), video=_Frames()).frames)
    assert [frame.time_s for frame in frames] == [0.0, 0.5, 0.75]
    assert [[person.track for person in frame.people] for frame in frames] == [[], [7], [7]]
    assert recovery.time_s is None
    (person,) = frames[1].people
    pixels = frames[1].photo.camera.project(frames[1].bodies.vertices[0].double())
    assert np.allclose(person.box, torch.cat([pixels.amin(0), pixels.amax(0)]))
