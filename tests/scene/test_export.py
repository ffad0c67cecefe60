"""Every format's file, read back, and none half-written."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from humesh.body.joints import COCO17, SMPL24
from humesh.body.model import BodyModel
from humesh.files import writing
from humesh.scene.export import PHOTO_FORMATS, write
from humesh.scene.record import record
from humesh.scene.result import Result

Y_UP = np.array([1.0, -1.0, -1.0])
QUICK = [name for name in PHOTO_FORMATS if name != "mp4"]


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("who", ["recovery", "nobody", "open_recovery"])
def test_every_format_is_written(name: str, who: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    recovery = request.getfixturevalue(who)
    paths = write(recovery, PHOTO_FORMATS[name], tmp_path / f"photo{PHOTO_FORMATS[name].ending}")
    assert sorted(paths) == sorted(tmp_path.iterdir())
    assert all(path.stat().st_size > 0 for path in paths)
    assert len(paths) == (len(recovery.people) if name == "bvh" else 1)


def test_save_writes_the_formats_beside_each_other(recovery: Result, tmp_path: Path) -> None:
    paths = recovery.save(tmp_path / "new" / "holiday.2024", ["json", "obj", "bvh"])
    assert [path.name for path in paths] == [
        "holiday.2024.obj",
        "holiday.2024_person0.bvh",
        "holiday.2024_person1.bvh",
        "holiday.2024.json",
    ]


def test_save_names_the_formats_it_knows(recovery: Result, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"formats: expected some of jpg, views, .*, got fbx"):
        recovery.save(tmp_path / "photo", ["json", "fbx"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_interrupted_writing_leaves_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "file.glb"
    target.write_text("old")

    def interrupted() -> None:
        with writing(target) as temporary:
            assert temporary.parent == target.parent
            assert temporary.suffix == ".glb"
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        interrupted()
    assert [path.name for path in tmp_path.iterdir()] == ["file.glb"]
    assert target.read_text() == "old"


def test_interrupted_writer_leaves_no_file(recovery: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("humesh.scene.pictures.FloorView.picture", fail)
    with pytest.raises(KeyboardInterrupt):
        write(recovery, PHOTO_FORMATS["mp4"], tmp_path / "film.mp4")
    assert not list(tmp_path.iterdir())


def test_jpg_has_the_photos_size(recovery: Result, tmp_path: Path) -> None:
    write(recovery, PHOTO_FORMATS["jpg"], tmp_path / "photo.jpg")
    assert Image.open(tmp_path / "photo.jpg").size == (160, 120)


def test_obj_reads_back(recovery: Result, tmp_path: Path) -> None:
    write(recovery, PHOTO_FORMATS["obj"], tmp_path / "photo.obj")
    scene = trimesh.load_scene(tmp_path / "photo.obj", split_objects=True, group_material=False, process=False)
    assert len(scene.geometry) == 2
    for person, vertices in enumerate(recovery.bodies.vertices.numpy()):
        mesh = scene.geometry[f"person{person}"]
        assert len(mesh.faces) == len(recovery.bodies.faces)
        np.testing.assert_allclose(mesh.bounds, [(vertices * Y_UP).min(0), (vertices * Y_UP).max(0)], atol=1e-6)
        assert mesh.volume > 0  # the turn is no mirror: normals still point outwards


def test_ply_reads_back(recovery: Result, tmp_path: Path) -> None:
    write(recovery, PHOTO_FORMATS["ply"], tmp_path / "photo.ply")
    mesh = trimesh.load_mesh(tmp_path / "photo.ply", process=False)
    wanted = recovery.bodies.vertices.numpy().reshape(-1, 3) * Y_UP
    np.testing.assert_allclose(mesh.vertices, wanted, atol=1e-6)
    assert len(mesh.faces) == 2 * len(recovery.bodies.faces)
    assert mesh.volume > 0
    colours = mesh.visual.vertex_colors[:, :3].reshape(2, -1, 3)
    assert (np.ptp(colours, axis=1) == 0).all()
    assert (colours[0, 0] != colours[1, 0]).any()


LAYOUT = {
    "image": {"path", "width", "height"},
    "camera": {"focal_px", "principal_point_px", "source"},
    "joints": {"names", "xyz_m", "xy_px", "confidence", "seen"},
    "keypoints_coco17": {"names", "xyz_m", "xy_px"},
}
TOP = {"image", "camera", "method", "body", "humesh_version", "people", "notes"}
PERSON = {"id", "score", "box_xyxy", "translation_m", "pose_axis_angle", "betas", "joints", "keypoints_coco17"}


def finite(value: object) -> bool:
    if isinstance(value, dict):
        return all(map(finite, value.values()))
    if isinstance(value, list):
        return all(map(finite, value))
    return not isinstance(value, float) or bool(np.isfinite(value))


def test_json(any_body: BodyModel, recover_with: Callable[..., Result], tmp_path: Path) -> None:
    recovery = recover_with(any_body, people=2)
    recovery = replace(recovery, photo=replace(recovery.photo, path="a/photo.jpg"))
    write(recovery, PHOTO_FORMATS["json"], tmp_path / "photo.json")
    content = json.loads((tmp_path / "photo.json").read_text(encoding="utf-8"))
    assert content == record(recovery)
    assert set(content) == TOP
    assert all(set(content[group]) == LAYOUT[group] for group in ("image", "camera"))
    assert content["image"] == {"path": "a/photo.jpg", "width": 160, "height": 120}
    assert content["camera"] == {"focal_px": 200.0, "principal_point_px": [80.0, 60.0], "source": "guessed"}
    assert content["notes"] == ["The focal length was guessed."]
    assert finite(content)
    for index, person in enumerate(content["people"]):
        assert set(person) == PERSON
        assert all(set(person[group]) == LAYOUT[group] for group in ("joints", "keypoints_coco17"))
        assert person["id"] == index
        assert person["box_xyxy"] == [1.0, 2.0, 30.5, 40.0]
        assert np.shape(person["pose_axis_angle"]) == (24, 3)
        assert np.shape(person["betas"]) == (10,)
        assert person["joints"]["names"] == list(SMPL24.names)
        assert person["joints"]["seen"] == [True] * 24
        assert person["joints"]["confidence"] == [0.75] * 24
        np.testing.assert_allclose(person["joints"]["xyz_m"], recovery.bodies.joints[index], atol=1e-6)
        keypoints = person["keypoints_coco17"]
        if "coco17" in any_body.keypoint_names:
            assert keypoints["names"] == list(COCO17.names)
        else:  # the joints that SMPL has too, without the face
            assert keypoints["names"] == [name for name in COCO17.names if name in SMPL24.names]
            wrist = SMPL24.index("left_wrist")
            assert keypoints["xyz_m"][keypoints["names"].index("left_wrist")] == person["joints"]["xyz_m"][wrist]
        for points in (person["joints"], keypoints):
            x, y, z = np.array(points["xyz_m"]).T
            pixels = np.stack([200 * x / z + 80, 200 * y / z + 60], axis=-1)
            np.testing.assert_allclose(points["xy_px"], pixels, atol=2e-3)


def test_json_of_nobody(nobody: Result) -> None:
    content = json.loads(json.dumps(record(nobody)))
    assert set(content) == TOP
    assert content["people"] == []


def test_npz_holds_the_same_and_needs_no_pickle(recovery: Result, tmp_path: Path) -> None:
    write(recovery, PHOTO_FORMATS["npz"], tmp_path / "photo.npz")
    content = record(recovery)
    with np.load(tmp_path / "photo.npz", allow_pickle=False) as arrays:
        for row, person in enumerate(content["people"]):
            for key, value in person.items():
                if isinstance(value, dict):
                    for field, column in value.items():
                        stored = arrays[f"{key}/{field}"]
                        assert (stored if field == "names" else stored[row]).tolist() == column
                else:
                    assert arrays[key][row].tolist() == value
        assert arrays["camera/focal_px"].item() == content["camera"]["focal_px"]
        assert arrays["notes"].tolist() == content["notes"]
        assert np.array_equal(arrays["vertices_m"], recovery.bodies.vertices.numpy())
        assert np.array_equal(arrays["faces"], recovery.bodies.faces)


def test_npz_of_nobody_has_empty_arrays(nobody: Result, tmp_path: Path) -> None:
    write(nobody, PHOTO_FORMATS["npz"], tmp_path / "photo.npz")
    with np.load(tmp_path / "photo.npz", allow_pickle=False) as arrays:
        assert arrays["joints/xyz_m"].shape == (0, 24, 3)
        assert arrays["box_xyxy"].shape == (0, 4)
