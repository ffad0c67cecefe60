"""Files for retargeting: bones as Mixamo and Unity name them, another rate, no root motion, another axis up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pygltflib
import pytest
import torch
import trimesh
from scipy.spatial.transform import Rotation, Slerp

from humesh.body.joints import RIGS, SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_from_axis_angle
from humesh.scene.result import FileOptions, Motion, OptionsError, Result, VideoResult

from .bvh import read_bvh

Y_UP = np.array([1.0, -1.0, -1.0])
SIDES = ("Left", "Right")
UNITY_REQUIRED = ["Hips", "Spine", "Head"] + [  # without which Unity makes no humanoid avatar
    side + bone for side in SIDES for bone in ("UpperArm", "LowerArm", "Hand", "UpperLeg", "LowerLeg", "Foot")
]
MIXAMO_PARENTS = {
    "Spine": "Hips", "Spine1": "Spine", "Spine2": "Spine1", "Neck": "Spine2", "Head": "Neck",
    **{f"{s}{b}": f"{s}{p}" for s in SIDES for b, p in [
        ("Arm", "Shoulder"), ("ForeArm", "Arm"), ("Hand", "ForeArm"), ("HandMiddle1", "Hand"),
        ("Leg", "UpLeg"), ("Foot", "Leg"), ("ToeBase", "Foot"),
    ]},
    **{f"{s}Shoulder": "Spine2" for s in SIDES},
    **{f"{s}UpLeg": "Hips" for s in SIDES},
}  # fmt: skip


@pytest.fixture(scope="module")
def clip() -> VideoResult:
    """Two people of the shipped body who turn, walk and jump; the second comes later and is gone for a while."""
    body, motions = BodyModel.load("open-low"), []
    for track, frames in ((1, list(range(12))), (4, [3, 4, 5, 8, 9, 10])):
        random, time = torch.Generator().manual_seed(track), torch.tensor(frames).double() / 25
        axis = torch.randn(1, 24, 3, generator=random, dtype=torch.float64)
        speed = torch.randn(1, 24, 3, generator=random, dtype=torch.float64)
        rotations = rotation_from_axis_angle(axis) @ rotation_from_axis_angle(speed * 2 * time[:, None, None])
        places = torch.stack([0.2 + time, 0.3 - time**2, 4 + 0.3 * time], dim=-1)
        shape = torch.randn(10, generator=random, dtype=torch.float64).expand(len(frames), -1)
        pose, found = BodyPose(rotations, shape, places), np.ones(len(frames), bool)
        motions.append(Motion(track, np.array(frames), pose, found, 0.8, torch.rand(len(frames), 24)))
    size = (160, 120)
    return VideoResult(2.5 + np.arange(12) / 25, size, Camera.guess(size), "guessed", motions, body, "made-up")


def joints_at(clip: VideoResult, person: int) -> np.ndarray:
    """Y up."""
    return clip.body.joints(clip.tracks[person].pose).numpy() * Y_UP


class Rigged:
    """A rigged GLB: its bones at rest and through its animation."""

    def __init__(self, path: Path) -> None:
        self.file = pygltflib.GLTF2().load_binary(str(path))
        self.skin = self.file.skins[0]
        self.nodes = self.file.nodes
        self.names = [self.nodes[joint].name for joint in self.skin.joints]
        self.above = {child: k for k, node in enumerate(self.nodes) for child in node.children or []}
        [animation] = self.file.animations
        self.curves = {}
        for channel in animation.channels:
            sampler = animation.samplers[channel.sampler]
            assert sampler.interpolation == "LINEAR"
            self.times = self.values(sampler.input)
            self.curves[channel.target.node, channel.target.path] = self.values(sampler.output)

    def values(self, number: int) -> np.ndarray:
        entry = self.file.accessors[number]
        width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}[entry.type]
        view = self.file.bufferViews[entry.bufferView]
        data = np.frombuffer(self.file.binary_blob(), np.float32, entry.count * width, view.byteOffset)
        return data.reshape(entry.count, width).squeeze().astype(float) if width > 1 else data.astype(float)

    def globals(self, frame: int | None) -> np.ndarray:
        """Of the joints, at rest or in a frame."""

        def world(node: int) -> np.ndarray:
            local = np.eye(4)
            turn, place = self.nodes[node].rotation or [0, 0, 0, 1.0], self.nodes[node].translation or [0, 0, 0.0]
            if frame is not None:
                turn = self.curves.get((node, "rotation"), np.tile(turn, (frame + 1, 1))).reshape(-1, 4)[frame]
                place = self.curves.get((node, "translation"), np.tile(place, (frame + 1, 1))).reshape(-1, 3)[frame]
            local[:3, :3], local[:3, 3] = Rotation.from_quat(turn).as_matrix(), place
            return world(self.above[node]) @ local if node in self.above else local

        return np.stack([world(joint) for joint in self.skin.joints])

    def joints(self, frame: int | None) -> np.ndarray:
        return self.globals(frame)[:, :3, 3]

    def vertices(self, frame: int | None) -> np.ndarray:
        moves = self.globals(frame) @ self.values(self.skin.inverseBindMatrices).reshape(-1, 4, 4).transpose(0, 2, 1)
        attributes = self.file.meshes[0].primitives[0].attributes
        points = np.c_[self.values(attributes.POSITION), np.ones(self.file.accessors[attributes.POSITION].count)]
        total = np.zeros((len(points), 3))
        for k in range(8):
            if getattr(attributes, f"JOINTS_{k}", None) is None:
                break
            weights = self.values(getattr(attributes, f"WEIGHTS_{k}"))
            view = self.file.bufferViews[self.file.accessors[getattr(attributes, f"JOINTS_{k}")].bufferView]
            joints = np.frombuffer(self.file.binary_blob(), np.uint8, 4 * len(points), view.byteOffset).reshape(-1, 4)
            total += np.einsum("vk,vkij,vj->vi", weights, moves[joints], points)[:, :3]
        return total


def test_the_names_are_those_of_mixamo_and_unity() -> None:
    mixamo, unity = RIGS["mixamo"], RIGS["unity"]
    for rig in (mixamo, unity):
        assert len(set(rig.names)) == len(rig) == 24
        assert rig.parents == SMPL24.parents
    assert mixamo.names[0] == "mixamorig:Hips"
    for bone, parent in MIXAMO_PARENTS.items():
        at = mixamo.index(f"mixamorig:{bone}")
        assert mixamo.names[mixamo.parents[at]] == f"mixamorig:{parent}"
    assert set(UNITY_REQUIRED) < set(unity.names)
    for ours, theirs in (("left_hip", "LeftUpperLeg"), ("spine2", "Chest"), ("spine3", "UpperChest"),
                         ("left_elbow", "LeftLowerArm"), ("right_collar", "RightShoulder"),
                         ("right_foot", "RightToes"), ("left_hand", "LeftMiddleProximal")):  # fmt: skip
        assert unity.index(theirs) == SMPL24.index(ours)


@pytest.mark.parametrize("rig", RIGS)
@pytest.mark.parametrize("up", ["y", "z"])
def test_bvh_has_the_joints_under_every_rig(clip: VideoResult, rig: str, up: str, tmp_path: Path) -> None:
    for person, path in enumerate(clip.save(tmp_path / "clip", ["bvh"], rig=rig, up=up)):
        read, frames = read_bvh(path), clip.tracks[person].frames
        assert set(read.names) == set(RIGS[rig].names)
        order = [read.names.index(name) for name in RIGS[rig].names]
        x, y, z = np.moveaxis(joints_at(clip, person), -1, 0)
        wanted = np.stack([x, y, z] if up == "y" else [x, -z, y], axis=-1)
        np.testing.assert_allclose(read.joints()[frames - frames[0]][:, order], wanted, atol=1e-5)
        # At rest: a T-pose, which faces +z (y up) or -y (z up).
        rest = {name: read.offsets[place] for name, place in zip(SMPL24.names, order, strict=True)}
        high, front = (1, 2) if up == "y" else (2, 1)
        assert rest["left_elbow"][0] > 0.2 > 0.01 > np.abs(rest["left_elbow"][1:]).max()
        assert rest["right_elbow"][0] < -0.2
        assert rest["left_knee"][high] < -0.3
        assert rest["left_foot"][front] * (1 if up == "y" else -1) > 0.05


def test_another_bvh_reader_agrees(clip: VideoResult, tmp_path: Path) -> None:
    bvhio = pytest.importorskip("bvhio")
    [path, _] = clip.save(tmp_path / "clip", ["bvh"], rig="mixamo")
    skeleton = bvhio.readAsHierarchy(str(path))
    skeleton.loadPose(7)
    found = {joint.Name: np.array(joint.PositionWorld) for joint, _, _ in skeleton.layout()}
    places = [found[name] for name in RIGS["mixamo"].names]
    np.testing.assert_allclose(places, joints_at(clip, 0)[7], atol=1e-4)


@pytest.mark.parametrize("rig", ["mixamo", "unity"])
def test_rigged_glb_rests_in_a_t_pose_and_moves(clip: VideoResult, rig: str, tmp_path: Path) -> None:
    paths = clip.save(tmp_path / "clip", ["glb"], rig=rig)
    assert [path.name for path in paths] == ["clip_person1.glb", "clip_person4.glb"]
    for person, path in enumerate(paths):
        read, motion = Rigged(path), clip.tracks[person]
        assert read.names == list(RIGS[rig].names)
        assert len({node.name for node in read.nodes}) == len(read.nodes), "names are unique"
        assert not read.file.cameras
        extras = read.file.extras
        assert (extras["rig"], extras["fps"], extras["start_frame"]) == (rig, 25, motion.frames[0])
        rest = dict(zip(SMPL24.names, read.joints(None), strict=True))
        np.testing.assert_allclose(read.globals(None)[:, :3, :3], np.tile(np.eye(3), (24, 1, 1)), atol=1e-7)
        for side, sign in (("left", 1), ("right", -1)):
            arm = rest[f"{side}_wrist"] - rest[f"{side}_shoulder"]
            assert sign * arm[0] > 0.99 * np.linalg.norm(arm), "arms lie along x"
            assert rest[f"{side}_ankle"][1] < rest[f"{side}_knee"][1] < rest[f"{side}_hip"][1]
            assert rest[f"{side}_foot"][2] > rest[f"{side}_ankle"][2], "it faces +z"
        at_rest = read.vertices(None)
        assert at_rest[:, 1].min() == pytest.approx(0, abs=1e-5)
        surface = clip.body.rest_vertices(motion.pose.shape[0]).numpy()
        np.testing.assert_allclose(at_rest - at_rest[0], surface - surface[0], atol=1e-5)
        vertices = clip.body(motion.pose).vertices.numpy() * Y_UP
        for k in (0, len(motion.frames) - 1):
            frame = motion.frames[k] - motion.frames[0]
            np.testing.assert_allclose(read.joints(frame), joints_at(clip, person)[k], atol=1e-5)
            np.testing.assert_allclose(read.vertices(frame), vertices[k], atol=2e-5)
            assert read.times[frame] == pytest.approx(frame / 25, abs=1e-6)


@pytest.mark.parametrize("pad", [False, True])
def test_people_who_are_gone_are_held_in_rigged_glbs_as_in_bvh(clip: VideoResult, tmp_path: Path, pad: bool) -> None:
    glb, bvh = (clip.save(tmp_path / name, [name], rig="unity", pad=pad)[1] for name in ("glb", "bvh"))
    frames = np.arange(12) if pad else np.arange(clip.tracks[1].frames[0], clip.tracks[1].frames[-1] + 1)
    read, clip_read = Rigged(glb), read_bvh(bvh)
    order = [clip_read.names.index(name) for name in RIGS["unity"].names]
    assert len(read.times) == len(clip_read.rotations) == len(frames) > len(clip.tracks[1].frames)
    assert read.file.extras["start_frame"] == frames[0]
    for frame in range(len(frames)):
        np.testing.assert_allclose(read.joints(frame), clip_read.joints()[frame, order], atol=1e-5)
    assert {path for _, path in read.curves} == {"rotation", "translation"}, "a humanoid knows no scales"


def test_a_photo_on_a_rig(recovery: Result, nobody: Result, tmp_path: Path) -> None:
    paths = recovery.save(tmp_path / "photo", ["glb", "bvh"], rig="mixamo", floor=True)
    assert [path.name for path in paths] == [f"photo_person{k}.{name}" for name in ("glb", "bvh") for k in (0, 1)]
    for person in (0, 1):
        lowest = recovery.bodies.vertices[person, :, 1].max().item()
        wanted = recovery.bodies.joints[person].double().numpy() * Y_UP + [0, lowest, 0]
        np.testing.assert_allclose(Rigged(paths[person]).joints(0), wanted, atol=1e-5)
        assert isinstance(trimesh.load_scene(paths[person]), trimesh.Scene)
    assert nobody.save(tmp_path / "nobody", ["glb"], rig="mixamo") == []


def test_nobody_on_a_rig_and_one_person(open_recovery: Result, tmp_path: Path) -> None:
    [path] = open_recovery.save(tmp_path / "one.glb", rig="unity")
    assert path == tmp_path / "one.glb"
    assert Rigged(path).names == list(RIGS["unity"].names)


@pytest.mark.parametrize("fps", [30, 12.5, 29.97, 50])
def test_another_rate_is_slerped(clip: VideoResult, fps: float, tmp_path: Path) -> None:
    """BVH, AMASS and GLB hold each joint's rotation where a slerp between the video's frames has it."""
    motion, times = clip.tracks[0], np.arange(int(11 / 25 * fps + 1e-6) + 1) / fps
    glb, bvh, _, amass, _ = clip.save(tmp_path / "clip", ["glb", "bvh", "amass"], fps=fps, rig="smpl")
    wanted = np.stack([
        Slerp(np.arange(12) / 25, Rotation.from_matrix(motion.pose.rotations[:, joint].numpy()))(times).as_matrix()
        for joint in range(24)
    ], axis=1)  # fmt: skip
    read = read_bvh(bvh)
    order = [read.names.index(name) for name in SMPL24.names]
    assert read.frame_time == pytest.approx(1 / fps, abs=1e-8)
    turns = read.rotations[:, order]
    turns[:, 0] = np.diag(Y_UP) @ turns[:, 0]
    np.testing.assert_allclose(turns, wanted, atol=1e-6)
    places = np.stack([np.interp(times, np.arange(12) / 25, axis) for axis in motion.pose.translation.numpy().T], 1)
    pelvis = clip.body.rest_joints(motion.pose.shape[0])[0].numpy()
    np.testing.assert_allclose(read.positions[:, 0], (places + pelvis) * Y_UP, atol=1e-6)
    with np.load(amass) as file:
        assert file["mocap_framerate"] == fps
        body = Rotation.from_rotvec(file["poses"].reshape(len(times), -1, 3)[:, 1:22].reshape(-1, 3)).as_matrix()
        np.testing.assert_allclose(body.reshape(-1, 21, 3, 3), wanted[:, 1:22], atol=1e-6)
    scene = pygltflib.GLTF2().load_binary(str(glb))
    assert (scene.extras["fps"], scene.extras["frames"]) == (fps, len(times))
    keys = scene.accessors[scene.animations[0].samplers[0].input]
    assert (keys.count, keys.max[0]) == (len(times), pytest.approx(times[-1], abs=1e-6))


def test_the_own_rate_changes_nothing(clip: VideoResult, tmp_path: Path) -> None:
    plain, same = (clip.save(tmp_path / name, ["bvh"], **more) for name, more in (("a", {}), ("b", {"fps": 25})))
    for one, other in zip(plain, same, strict=True):
        a, b = read_bvh(one), read_bvh(other)
        np.testing.assert_allclose(a.joints(), b.joints(), atol=1e-6)


def test_a_late_person_at_another_rate_is_shown_while_there(clip: VideoResult, tmp_path: Path) -> None:
    """Frames 3 to 5 and 8 to 10 of 25 a second are 6, 8, 10 and 16, 18, 20 of 50; between two of them as well."""
    from humesh.scene.mocap import retimed, start_frame

    moved = retimed(clip, FileOptions(fps=50))
    assert moved.tracks[1].frames.tolist() == [6, 7, 8, 9, 10, 16, 17, 18, 19, 20]
    assert len(moved.times) == 23
    assert start_frame(clip, clip.tracks[1], 50) == 6
    with np.load(clip.save(tmp_path / "clip", ["amass"], fps=50)[1]) as file:
        assert (file["start_frame"], file["start_s"], len(file["poses"])) == (6, 0.12, 15)
    places = moved.tracks[1].pose.translation
    torch.testing.assert_close(places[[0, 2, 4, 5, 7, 9]], clip.tracks[1].pose.translation)
    torch.testing.assert_close(places[6], (places[5] + places[7]) / 2)
    [path] = clip.save(tmp_path / "clip", ["glb"], fps=50)
    scene = pygltflib.GLTF2().load_binary(str(path))
    late = next(node for node in scene.nodes if node.name == "person4_mesh")
    assert late.extras["start_frame"] == 6


def test_a_glimpse_between_two_slow_frames_is_kept(clip: VideoResult, tmp_path: Path) -> None:
    glimpse = replace(clip.tracks[0], frames=np.array([7]), pose=clip.tracks[0].pose.map(lambda t: t[7:8]),
                      found=np.ones(1, bool), confidence=torch.zeros(1, 24))  # fmt: skip
    video = replace(clip, tracks=[glimpse])
    for path in video.save(tmp_path / "clip", ["bvh"], fps=5):
        assert len(read_bvh(path).rotations) == 1
    assert len(video.save(tmp_path / "clip", ["glb"], fps=5)) == 1


@pytest.mark.parametrize("fps", [None, 30])
def test_without_root_motion_people_stay_above_their_first_place(
    clip: VideoResult, fps: float | None, tmp_path: Path
) -> None:
    with_it = clip.save(tmp_path / "with", ["bvh"], fps=fps)
    without = clip.save(tmp_path / "without", ["bvh"], fps=fps, root_motion=False)
    for one, other in zip(with_it, without, strict=True):
        before, after = read_bvh(one), read_bvh(other)
        roots, kept = before.positions[:, 0], after.positions[:, 0]
        assert np.ptp(roots, axis=0).min() > 0.01, "they walk and jump"
        np.testing.assert_allclose(kept[:, 1], roots[:, 1], atol=1e-7)
        np.testing.assert_allclose(kept[:, [0, 2]], np.tile(roots[0, [0, 2]], (len(kept), 1)), atol=1e-7)
        np.testing.assert_array_equal(before.rotations, after.rotations)


def test_glb_and_amass_without_root_motion(clip: VideoResult, tmp_path: Path) -> None:
    [glb, one, _] = clip.save(tmp_path / "a", ["glb", "amass"], root_motion=False)
    scene = pygltflib.GLTF2().load_binary(str(glb))
    moving = [channel for channel in scene.animations[0].channels if channel.target.path == "translation"]
    assert len(moving) == 2
    for channel in moving:
        entry = scene.accessors[scene.animations[0].samplers[channel.sampler].output]
        view = scene.bufferViews[entry.bufferView]
        data = np.frombuffer(scene.binary_blob(), np.float32, 3 * entry.count, view.byteOffset).reshape(-1, 3)
        assert np.ptp(data[:, [0, 2]], axis=0).max() == 0
        assert np.ptp(data[:, 1]) > 0.01
    with np.load(one) as file:
        assert np.ptp(file["trans"][:, :2], axis=0).max() < 1e-12
        assert np.ptp(file["trans"][:, 2]) > 0.01


@pytest.mark.parametrize("name", ["obj", "ply"])
def test_meshes_with_z_up(recovery: Result, name: str, tmp_path: Path) -> None:
    [path] = recovery.save(tmp_path / "photo", [name], up="z", units="cm", floor=True)
    x, y, z = np.moveaxis(recovery.bodies.vertices.double().numpy(), -1, 0)
    wanted = 100 * np.stack([x, z, y.max() - y], axis=-1)
    read = trimesh.load_scene(path, process=False).to_geometry()
    np.testing.assert_allclose(read.vertices, wanted.reshape(-1, 3), atol=1e-3)
    assert read.vertices[:, 2].min() == pytest.approx(0, abs=1e-4)
    assert b"humesh: cm, z up" in path.read_bytes()
    assert read.volume > 0, "it is turned, not mirrored"


@pytest.mark.parametrize(
    ("options", "formats", "sentence"),
    [
        ({"up": "z"}, ["glb"], "up: expected one of the formats it is for, bvh, obj, ply, got glb; glTF is y up"),
        ({"rig": "mixamo"}, ["amass"], "rig: expected one of the formats it is for, glb, bvh, got amass"),
        ({"fps": 30}, ["npz"], "fps: expected one of the formats it is for, glb, bvh, amass, usd, got npz"),
        ({"root_motion": False}, ["mp4"], "root_motion: expected one of the formats"),
        ({"pad": True}, ["glb"], "pad: expected one of the formats it is for, bvh, amass, got glb"),
        ({"fps": 0}, ["glb"], r"fps: expected from 1 to 1000 frames a second, got 0\."),
        ({"fps": float("nan")}, ["glb"], "fps: expected from 1 to 1000 frames a second, got nan"),
        ({"rig": "rigify"}, ["glb"], r"rig: expected smpl, mixamo or unity, got 'rigify'\."),
        ({"up": "x"}, ["bvh"], r"up: expected y or z, got 'x'\."),
    ],
)
def test_options_that_cannot_be_honoured_are_refused(
    clip: VideoResult, options: dict, formats: list[str], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(OptionsError, match=sentence):
        clip.save(tmp_path / "a", formats, **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("options", [{"fps": 30}, {"root_motion": False}, {"pad": True}])
def test_a_photo_has_no_motion(recovery: Result, options: dict, tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match="expected a video, whose motion it is for, got a photo"):
        recovery.save(tmp_path / "a.bvh", **options)


def test_usd_at_another_rate_in_place(clip: VideoResult, tmp_path: Path) -> None:
    pytest.importorskip("pxr")
    from pxr import Usd, UsdSkel

    [path] = clip.save(tmp_path / "clip", ["usd"], fps=50, root_motion=False)
    stage = Usd.Stage.Open(str(path))
    assert (stage.GetTimeCodesPerSecond(), stage.GetEndTimeCode()) == (50, 22)
    animation = UsdSkel.Animation(stage.GetPrimAtPath("/humesh/camera_frame/person1/motion"))
    codes = animation.GetTranslationsAttr().GetTimeSamples()
    assert codes == list(range(23))
    roots = np.array([animation.GetTranslationsAttr().Get(code)[0] for code in codes])
    assert np.ptp(roots[:, [0, 2]], axis=0).max() == 0
    assert np.ptp(roots[:, 1]) > 0.01


def test_the_command_knows_the_same_rigs() -> None:
    from typing import get_args, get_type_hints

    from humesh.commands.predict import Options

    assert get_args(get_type_hints(Options)["rig"]) == tuple(RIGS)


def test_the_documented_names_are_the_rigs() -> None:
    text = (Path(__file__).parents[2] / "docs" / "other_programs.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.count("|") == 5]
    named = {row[0]: row[1:3] for row in rows if row[0] in SMPL24.names}
    assert set(named) == {name for name in SMPL24.names if not name.startswith("right_")}
    for joint, (mixamo, unity) in named.items():
        at = SMPL24.index(joint)
        assert [f"mixamorig:{mixamo}", unity] == [RIGS["mixamo"].names[at], RIGS["unity"].names[at]]
