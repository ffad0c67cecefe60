"""What Python users do with a recovery: save it by name, change its pose, ask when a frame was."""

from __future__ import annotations

import io
import json
import sys
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
from humesh.geometry.rotations import rotation_from_axis_angle
from humesh.media.film import Film
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


def test_formats_that_there_are_not_are_refused(recovery: Result, tmp_path: Path) -> None:
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


def test_a_body_takes_smpls_parameters(body: BodyModel) -> None:
    vectors, betas, place = torch.randn(2, 72), torch.randn(2, 10), torch.randn(2, 3)
    rotations = rotation_from_axis_angle(vectors.unflatten(-1, (24, 3)))
    wanted = body(BodyPose(rotations, betas, place)).vertices
    for pose in (vectors, vectors.unflatten(-1, (24, 3)), rotations):
        assert torch.equal(body(pose, betas, place).vertices, wanted)
    assert torch.allclose(body(vectors, betas).joints, body(vectors, betas, place).joints - place[:, None], atol=1e-6)
    assert body(torch.zeros(72)).vertices.shape == wanted.shape[1:]


@pytest.mark.parametrize("source", [[np.zeros((4, 4, 3), np.uint8)], None, np.zeros((4, 4, 3))])
def test_what_is_no_photo_is_refused_before_anything_is_loaded(source: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BodyModel, "load", lambda *_: pytest.fail("loaded"))
    with pytest.raises(PhotoTypeError, match=r"^photo: expected "):
        humesh.recover(source)


def test_a_recoverer_takes_whatever_holds_a_photo(body: BodyModel, tmp_path: Path) -> None:
    image = Image.new("RGBA", SIZE, "red")
    image.save(tmp_path / "a.png")
    recoverer = humesh.Recoverer(body, finder=lambda photo: [])
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


def test_a_saved_photo_is_loaded_again(recovery: Result, tmp_path: Path) -> None:
    """With all that files hold; the photo itself only where it is given, and never because the file names it."""
    turns = rotation_from_axis_angle(torch.randn(2, 24, 3))
    camera = Camera(torch.tensor([[90.0, 1.0, 30.0], [0.0, 80.0, 20.0], [0.0, 0.0, 1.0]], dtype=torch.float64))
    error = torch.rand(2, 24)
    result = replace(
        recovery,
        pose=replace(recovery.pose, rotations=turns, shape=torch.randn(2, 10)),
        visible=torch.rand(2, 24) > 0.5,
        photo=replace(recovery.photo, camera=camera),
        expected_error_m=error,
        notes=("a note",),
    )
    (path,) = result.save(tmp_path / "a.npz")
    blank, same = humesh.load(path), humesh.load(path, source=recovery.photo.path)
    assert isinstance(blank, Result)
    assert isinstance(same, Result)
    assert (blank.photo.pixels == 255).all()
    assert np.array_equal(same.photo.pixels, recovery.photo.pixels)
    for back in (blank, same):
        assert torch.allclose(back.bodies.vertices, result.bodies.vertices, atol=2e-6)
        assert torch.equal(back.visible, result.visible)
        assert torch.allclose(back.expected_error_m, error, atol=1e-6)
        assert torch.equal(back.photo.camera.matrix, camera.matrix)
        assert (back.photo.path, back.photo.camera_source) == (result.photo.path, result.photo.camera_source)
        assert (back.method, back.notes, back.body.name) == ("made up", ("a note",), "open-low")
        assert [person.score for person in back.people] == [0.9, 0.8]
        assert [person.box.tolist() for person in back.people] == [[1, 2, 30, 40]] * 2
    with pytest.raises(ResultError, match=r"expected its photo of 64 x 48 pixels as source, got \(4, 4\)"):
        humesh.load(path, source=np.zeros((4, 4, 3), np.uint8))


def test_a_photo_saved_by_the_first_version_is_loaded(recovery: Result, tmp_path: Path) -> None:
    (path,) = recovery.save(tmp_path / "a.npz")
    with np.load(path) as file:
        np.savez(path, **{name: file[name] for name in file.files if name != "camera/matrix"})
    back = humesh.load(path)
    assert isinstance(back, Result)
    assert torch.allclose(back.photo.camera.matrix, recovery.photo.camera.matrix, atol=1e-6)


def test_a_result_is_drawn_from_all_sides(recovery: Result) -> None:
    assert recovery.render().shape == (48, 64, 3)
    views = [recovery.render(view) for view in ("front", "side", "top")]
    for picture in views:
        assert picture.shape == (48, 36, 3)
        assert (np.ptp(picture.astype(int), axis=-1) > 25).any()  # somebody in colour
    assert not np.array_equal(views[0], views[1])
    assert Image.open(io.BytesIO(recovery._repr_png_())).size == (64 + 2 * (2 + 36), 48)


def test_a_result_is_a_scene_of_trimeshs(recovery: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = recovery.to_trimesh()
    assert sorted(scene.geometry) == ["person0", "person1"]
    wanted = recovery.bodies.vertices[1].double().numpy() * [1, -1, -1]
    np.testing.assert_allclose(scene.geometry["person1"].vertices, wanted)
    monkeypatch.setitem(sys.modules, "trimesh", None)
    with pytest.raises(humesh.MissingPackageError, match="run: pip install trimesh"):
        recovery.to_trimesh()


def test_a_video_is_saved_as_a_film_of_its_length(recovery: Result, tmp_path: Path) -> None:
    with Film(tmp_path / "clip.mp4", SIZE, 4.0) as film:
        for frame in range(3):
            film.write(np.full((48, 64, 3), 60 * frame, np.uint8), frame / 4)
    video = replace(_video(recovery), times=np.arange(3) / 4, path=str(tmp_path / "clip.mp4"))
    (path,) = video.save(tmp_path / "clip.npz")
    back = humesh.load(path, source=tmp_path / "clip.mp4")
    assert isinstance(back, VideoResult)
    (written,) = back.save(tmp_path / "out_overlay.mp4")
    pictures = [frame.pixels for frame in Video(written)]
    assert [picture.shape for picture in pictures] == [(48, 64 + 36, 3)] * 3
    with pytest.raises(OptionsError, match="expected another file than the video itself"):
        back.save(tmp_path / "clip.mp4")
    assert video.video is None
    with pytest.raises(ResultError, match="expected a result with its video"):
        next(video.frames)


def test_a_batch_is_as_one_by_one(body: BodyModel, tmp_path: Path) -> None:
    """And a file of detections serves all its photos."""
    photos = []
    for number in range(3):
        photos.append(tmp_path / f"{number}.png")
        Image.new("RGB", SIZE, (number, 0, 0)).save(photos[-1])
    (tmp_path / "boxes.json").write_text(json.dumps({"1.png": [[1, 2, 30, 40]]}))
    results = humesh.recover_batch(photos, body, detections=tmp_path / "boxes.json", focal_px=50.0)
    assert [result.photo.path for result in results] == list(map(str, photos))
    assert [float(result.photo.camera.focal_px) for result in results] == [50.0] * 3
    left_out = "1 of 1 people left out: no body seen in their boxes."
    assert [left_out in result.notes for result in results] == [False, True, False]


def test_arrays_make_results_neither_equal_nor_unhashable(recovery: Result) -> None:
    assert recovery in [recovery]
    assert recovery != replace(recovery)
    assert len({recovery, recovery.people[0]}) == 2
