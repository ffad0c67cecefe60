"""Units, the floor, and what they leave alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pygltflib
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from humesh.body.joints import SMPL24
from humesh.body.model import BodyModel
from humesh.scene.result import FileOptions, Motion, OptionsError, Result, VideoResult

from .bvh import read_bvh

Y_UP = np.array([1.0, -1.0, -1.0])


@pytest.fixture
def clip(body: BodyModel, recover_with: Callable[..., Result]) -> VideoResult:
    """Two people, one lower than the other, in 70 frames: more than are posed at once."""
    motions = []
    for track in (1, 2):
        made = recover_with(body, people=70, seed=track)
        pose = made.pose.map(lambda tensor: tensor.clone())
        pose.shape[:] = pose.shape[0]
        pose.translation[:] = pose.translation[0]
        pose.translation[69, 1] += track  # the lowest frame is the last
        motions.append(Motion(track, np.arange(70), pose, np.ones(70, bool), 0.8))
    return VideoResult(np.arange(70) / 25, made.photo.size, made.photo.camera, "guessed", motions, body, "made-up")


def joints_of(path: Path) -> np.ndarray:
    clip = read_bvh(path)
    return clip.joints()[:, [clip.names.index(name) for name in SMPL24.names]]


@pytest.mark.parametrize("name", ["obj", "ply"])
@pytest.mark.parametrize("floor", [False, True])
def test_meshes_in_centimetres_on_the_floor(recovery: Result, tmp_path: Path, name: str, floor: bool) -> None:
    [path] = recovery.save(tmp_path / "photo", [name], units="cm", floor=floor)
    points = recovery.bodies.vertices.double().numpy() * Y_UP
    wanted = 100 * (points - [0, points[..., 1].min() if floor else 0, 0])
    read = trimesh.load_scene(path, process=False).to_geometry().vertices
    np.testing.assert_allclose(read, wanted.reshape(-1, 3), atol=1e-3)
    assert b"humesh: cm, y up" in path.read_bytes()


def test_skeletons_in_centimetres_on_the_floor(recovery: Result, tmp_path: Path) -> None:
    """Every BVH file's person stands on the floor by itself."""
    for person, path in enumerate(recovery.save(tmp_path / "photo", ["bvh"], units="cm", floor=True)):
        lowest = (recovery.bodies.vertices[person, :, 1] * -1).min().item()
        wanted = 100 * (recovery.bodies.joints[person].double().numpy() * Y_UP - [0, lowest, 0])
        np.testing.assert_allclose(joints_of(path)[0], wanted, atol=1e-3)


def test_motions_in_centimetres_on_the_floor(clip: VideoResult, tmp_path: Path) -> None:
    for motion, path in zip(clip.tracks, clip.save(tmp_path / "clip", ["bvh"], units="cm", floor=True), strict=True):
        bodies = clip.body(motion.pose)
        lowest = (bodies.vertices[..., 1] * -1).min().item()
        wanted = 100 * (bodies.joints.double().numpy() * Y_UP - [0, lowest, 0])
        np.testing.assert_allclose(joints_of(path), wanted, atol=1e-3)


def test_amass_files_on_the_floor(clip: VideoResult, tmp_path: Path) -> None:
    plain = clip.save(tmp_path / "plain", ["amass"])
    for motion, one, other in zip(
        clip.tracks, plain, clip.save(tmp_path / "floor", ["amass"], floor=True), strict=True
    ):
        moved = np.load(other)["trans"] - np.load(one)["trans"]
        lowest = (clip.body(motion.pose).vertices[..., 1] * -1).min().item()
        np.testing.assert_allclose(moved, np.tile([0, 0, -lowest], (70, 1)), atol=1e-6)


@pytest.mark.parametrize("video", [False, True])
def test_scenes_on_the_floor_take_their_camera_along(
    recovery: Result, clip: VideoResult, tmp_path: Path, video: bool
) -> None:
    """All people of a GLB go up together, and the camera: what it sees is as before."""
    if video:
        path = clip.save(tmp_path / "a", ["glb", "bvh"], units="cm", floor=True)[0]
        lowest = min((clip.body(m.pose).vertices[..., 1] * -1).min().item() for m in clip.tracks)
    else:
        path = recovery.save(tmp_path / "a", ["glb", "bvh"], units="cm", floor=True)[0]
        lowest = (recovery.bodies.vertices[..., 1] * -1).min().item()
    nodes = {node.name: node for node in pygltflib.GLTF2().load_binary(str(path)).nodes}
    for name in ("camera_frame", "video_camera" if video else "photo_camera"):
        np.testing.assert_allclose(nodes[name].translation, [0, -lowest, 0], atol=1e-6)
    frame = Rotation.from_quat(nodes["camera_frame"].rotation).as_matrix()
    np.testing.assert_allclose(frame, np.diag(Y_UP), atol=1e-12)


def test_usd_on_the_floor_takes_its_camera_along(clip: VideoResult, tmp_path: Path) -> None:
    pytest.importorskip("pxr")
    from pxr import Usd, UsdGeom

    [path] = clip.save(tmp_path / "a", ["usd"], floor=True)
    stage, cache = Usd.Stage.Open(str(path)), UsdGeom.XformCache()
    lowest = min((clip.body(m.pose).vertices[..., 1] * -1).min().item() for m in clip.tracks)
    for name in ("camera_frame", "video_camera"):
        place = cache.GetLocalToWorldTransform(stage.GetPrimAtPath(f"/humesh/{name}")).ExtractTranslation()
        np.testing.assert_allclose(place, [0, -lowest, 0], atol=1e-6)


def test_records_stay_as_they_are(recovery: Result, clip: VideoResult, tmp_path: Path) -> None:
    recovery.save(tmp_path / "a", ["json", "obj"], units="cm", floor=True)
    recovery.save(tmp_path / "b", ["json"])
    assert json.loads((tmp_path / "a.json").read_text()) == json.loads((tmp_path / "b.json").read_text())
    one = clip.save(tmp_path / "a", ["bvh", "npz"], units="cm", floor=True, pad=True)[-1]
    [other] = clip.save(tmp_path / "b", ["npz"])
    np.testing.assert_array_equal(np.load(one)["person1/translation_m"], np.load(other)["person1/translation_m"])


def test_nobody_stands_on_any_floor(nobody: Result, tmp_path: Path) -> None:
    paths = nobody.save(tmp_path / "photo", ["glb", "obj", "ply", "bvh"], units="cm", floor=True)
    assert [path.suffix for path in paths] == [".glb", ".obj", ".ply"]


@pytest.mark.parametrize(
    ("options", "formats", "sentence"),
    [
        (
            {"units": "cm"},
            ["glb", "amass"],
            "units: expected one of the formats it is for, bvh, obj, ply, got glb, amass.",
        ),
        ({"floor": True}, ["npz"], "floor: expected one of the formats .*, got npz."),
        ({"pad": True}, ["glb"], "pad: expected one of the formats it is for, bvh, amass, got glb."),
    ],
)
def test_options_without_effect_are_refused(
    clip: VideoResult, tmp_path: Path, options: dict, formats: list[str], sentence: str
) -> None:
    with pytest.raises(OptionsError, match=sentence):
        clip.save(tmp_path / "new" / "a", formats, **options)
    assert not list(tmp_path.iterdir())


def test_options_of_photos_without_effect_are_refused(recovery: Result, tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match="units: expected one of the formats it is for, bvh, obj, ply, got glb"):
        recovery.save(tmp_path / "a", ["glb"], units="cm")


def test_other_units_are_refused() -> None:
    with pytest.raises(OptionsError, match=r"units: expected m or cm, got 'inch'\."):
        FileOptions("inch")
