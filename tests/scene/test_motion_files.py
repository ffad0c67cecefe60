"""Files of moving people, read back frame by frame: every format has the same joints at the right time."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pygltflib
import pytest
import torch
from scipy.spatial.transform import Rotation, Slerp

from humesh.body.joints import SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.data.synthetic.motion import Motion as MotionFiles
from humesh.errors import MissingPackageError
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_from_axis_angle
from humesh.scene.export import VIDEO_FORMATS, write
from humesh.scene.gltf import continuous
from humesh.scene.mocap import Z_UP, clock, motion_of, retimed, start_frame, write_amass, write_bvh
from humesh.scene.record import load
from humesh.scene.result import FileOptions, Motion, ResultError, VideoResult

from .bvh import read_bvh

Y_UP = np.array([1.0, -1.0, -1.0])
PER_PERSON = ("bvh", "amass")
NEEDS = {"usd": "pxr"}
TOOL = Path(__file__).parents[2] / "tools" / "check_gltf.mjs"
_DTYPES = {5121: np.uint8, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load("open-low")


def motion(track: int, frames: list[int], seed: int) -> Motion:
    """A body that turns all its joints steadily, once past a half turn, and walks to the right."""
    random, time = torch.Generator().manual_seed(seed), torch.tensor(frames)[:, None, None] / 10.0
    speed = torch.randn(1, 24, 3, generator=random)
    rotations = rotation_from_axis_angle(torch.randn(1, 24, 3, generator=random) + time * 2 * speed)
    shape = torch.randn(10, generator=random).expand(len(frames), -1)
    places = torch.tensor([0.2, 0.3, 4.0]) + time[:, 0] * torch.tensor([0.5, 0.0, 0.1])
    found = np.array([k % 4 != 2 for k in frames])
    pose = BodyPose(rotations, shape, places)
    return Motion(track, np.array(frames), pose, found, 0.8, torch.rand(len(frames), 24, generator=random))


def video(body: BodyModel, motions: list[Motion], count: int = 12, start: float = 2.5) -> VideoResult:
    size = (160, 120)
    facts = Camera.guess(size), "guessed", motions, body, "made-up", ("The focal length was guessed.",)
    return VideoResult(start + np.arange(count) / 25, size, *facts, path="clip.mp4")


CASES = {
    "two": lambda: ([motion(1, list(range(9)), 1), motion(4, [3, 4, 5, 8, 9, 10, 11], 2)], 12),
    "nobody": lambda: ([], 5),
    "one frame": lambda: ([motion(7, [0], 3)], 1),
    "a glimpse": lambda: ([motion(2, [3], 4)], 6),
}


@pytest.fixture(params=list(CASES))
def recovery(request: pytest.FixtureRequest, body: BodyModel) -> VideoResult:
    return video(body, *CASES[request.param]())


@pytest.fixture
def two(body: BodyModel) -> VideoResult:
    return video(body, *CASES["two"]())


def npz(recovery: VideoResult, folder: Path) -> dict[str, np.ndarray]:
    [path] = write(recovery, VIDEO_FORMATS["npz"], folder / "clip.npz")
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


class Player:
    """A small evaluator of a GLB's animation: what every node's global transform is at a time."""

    def __init__(self, path: Path) -> None:
        self.file = pygltflib.GLTF2().load_binary(str(path))
        self.names = {node.name: k for k, node in enumerate(self.file.nodes)}
        self.curves = {}
        for animation in self.file.animations:
            for channel in animation.channels:
                sampler = animation.samplers[channel.sampler]
                key = channel.target.node, channel.target.path
                assert key not in self.curves
                self.curves[key] = self.values(sampler.input)[:, 0], self.values(sampler.output), sampler.interpolation

    def values(self, accessor: int) -> np.ndarray:
        entry = self.file.accessors[accessor]
        view, width = self.file.bufferViews[entry.bufferView], _WIDTHS[entry.type]
        dtype, count = _DTYPES[entry.componentType], entry.count * width
        data = np.frombuffer(self.file.binary_blob(), dtype, count, view.byteOffset).reshape(entry.count, width)
        if entry.min:
            assert np.array_equal(data.min(0), np.float32(entry.min))
            assert np.array_equal(data.max(0), np.float32(entry.max))
        return data.astype(np.float64 if dtype == np.float32 else dtype)

    def curve(self, node: int, path: str, at: float, rest: np.ndarray) -> np.ndarray:
        if (node, path) not in self.curves:
            return rest
        times, values, interpolation = self.curves[node, path]
        assert (np.diff(times) > 0).all()
        low = int(np.clip(np.searchsorted(times, at, side="right") - 1, 0, len(times) - 1))
        high = min(low + 1, len(times) - 1)
        if interpolation == "STEP" or low == high or at < times[0]:
            return values[low]
        part = np.clip((at - times[low]) / (times[high] - times[low]), 0, 1)  # times are float32
        if path == "rotation":
            assert values[low] @ values[high] >= 0, "the short way"
            return Slerp([0, 1], Rotation.from_quat(values[[low, high]]))(part).as_quat()
        return values[low] * (1 - part) + values[high] * part

    def places(self, at: float) -> dict[int, np.ndarray]:
        found: dict[int, np.ndarray] = {}

        def descend(node: int, above: np.ndarray) -> None:
            entry, local = self.file.nodes[node], np.eye(4)
            turn = self.curve(node, "rotation", at, np.array(entry.rotation or [0, 0, 0, 1.0]))
            scale = self.curve(node, "scale", at, np.ones(3))
            local[:3, :3] = Rotation.from_quat(turn).as_matrix() * scale
            local[:3, 3] = self.curve(node, "translation", at, np.array(entry.translation or [0, 0, 0.0]))
            found[node] = above @ local
            for child in entry.children or []:
                descend(child, found[node])

        for node in self.file.scenes[self.file.scene].nodes:
            descend(node, np.eye(4))
        return found

    def skin(self, track: int) -> pygltflib.Skin:
        return self.file.skins[self.file.nodes[self.names[f"person{track}_mesh"]].skin]

    def joints(self, track: int, at: float) -> np.ndarray:
        places = self.places(at)
        return np.stack([places[joint][:3, 3] for joint in self.skin(track).joints])

    def vertices(self, track: int, at: float) -> np.ndarray:
        node = self.file.nodes[self.names[f"person{track}_mesh"]]
        attributes, places, skin = (
            self.file.meshes[node.mesh].primitives[0].attributes,
            self.places(at),
            self.skin(track),
        )
        moves = np.stack([places[joint] for joint in skin.joints])
        moves = moves @ self.values(skin.inverseBindMatrices).reshape(-1, 4, 4).transpose(0, 2, 1)
        sets = [k for k in range(6) if getattr(attributes, f"JOINTS_{k}", None) is not None]
        joints = np.concatenate([self.values(getattr(attributes, f"JOINTS_{k}")) for k in sets], axis=1)
        weights = np.concatenate([self.values(getattr(attributes, f"WEIGHTS_{k}")) for k in sets], axis=1)
        points = self.values(attributes.POSITION)
        points = np.concatenate([points, np.ones((len(points), 1))], axis=1)
        return np.einsum("vk,vkij,vj->vi", weights, moves[joints], points)[:, :3]


def test_glb_has_the_joints_of_the_npz_at_their_times(recovery: VideoResult, tmp_path: Path) -> None:
    data = npz(recovery, tmp_path)
    write(recovery, VIDEO_FORMATS["glb"], tmp_path / "clip.glb")
    player = Player(tmp_path / "clip.glb")
    assert player.file.extras["start_s"] == 2.5
    assert len(player.file.meshes) == len(data["tracks"])
    for track in data["tracks"]:
        times = data[f"person{track}/times_s"] - 2.5
        for time, wanted in zip(times, data[f"person{track}/joints/xyz_m"], strict=True):
            np.testing.assert_allclose(player.joints(track, time), wanted * Y_UP, atol=1e-4)
        extras = player.file.nodes[player.names[f"person{track}_mesh"]].extras
        assert extras["track"] == track
        assert extras["start_frame"] == data[f"person{track}/frames"][0]
        np.testing.assert_allclose(extras["betas"], data[f"person{track}/betas"], atol=1e-6)


def test_glb_moves_the_mesh(two: VideoResult, tmp_path: Path) -> None:
    write(two, VIDEO_FORMATS["glb"], tmp_path / "clip.glb")
    player = Player(tmp_path / "clip.glb")
    for person in two.tracks:
        vertices = two.body(person.pose).vertices.numpy()
        for k in (0, len(vertices) - 1):
            at = two.times[person.frames[k]] - two.times[0]
            np.testing.assert_allclose(player.vertices(person.track, at), vertices[k] * Y_UP, atol=2e-5)


def test_glb_shows_people_while_they_are_there(two: VideoResult, tmp_path: Path) -> None:
    write(two, VIDEO_FORMATS["glb"], tmp_path / "clip.glb")
    player = Player(tmp_path / "clip.glb")
    for person in two.tracks:
        for frame, time in enumerate(two.times - two.times[0]):
            for at in (time, time + 0.02):  # and in the middle between two frames
                height = np.ptp(player.vertices(person.track, at), axis=0).max()
                assert (height > 0.5) if frame in person.frames else (height < 1e-3)
    joints = {player.names[f"person{track}_pelvis"] for track in (1, 4)}
    assert {node for node, path in player.curves if path == "scale"} == joints, "Blender's armatures keep their scale"
    for (_, path), (_, values, interpolation) in player.curves.items():
        assert interpolation == ("STEP" if path == "scale" else "LINEAR")
        assert path != "scale" or (values > 0).all(), "a scale of 0 breaks Blender's exports"
    ends = [times[-1] for times, _, interpolation in player.curves.values() if interpolation == "STEP"]
    assert ends == pytest.approx([11 / 25] * 2), "the animation is as long as the video"


def test_glb_says_how_fast_its_frames_come(two: VideoResult, tmp_path: Path) -> None:
    always = replace(two, tracks=[motion(1, list(range(12)), 1)], times=5 + np.arange(12) / 30 * 1.001)
    write(always, VIDEO_FORMATS["glb"], tmp_path / "clip.glb")
    player = Player(tmp_path / "clip.glb")
    assert player.file.extras["fps"] == pytest.approx(30 / 1.001, abs=1e-9)
    assert player.file.extras["frames"] == 12
    assert {path for _, path in player.curves} == {"rotation", "translation"}, "who is always there needs no scale"


@pytest.mark.parametrize("options", [FileOptions(), FileOptions(fps=30.0, root_motion=False), FileOptions(rig="unity")])
def test_the_khronos_validator_is_content(recovery: VideoResult, options: FileOptions, tmp_path: Path) -> None:
    modules = os.environ.get("NODE_PATH", "/tmp/node_modules")
    if shutil.which("node") is None or not (Path(modules) / "gltf-validator").is_dir():
        pytest.skip("needs node and the npm package gltf-validator (tools/check_gltf.mjs)")
    for path in write(recovery, VIDEO_FORMATS["glb"], tmp_path / "clip.glb", options):
        run = subprocess.run(
            ["node", TOOL, path], env=os.environ | {"NODE_PATH": modules}, capture_output=True, text=True
        )
        assert run.returncode == 0, run.stdout + run.stderr


def test_bvh_has_the_joints_of_the_npz(recovery: VideoResult, tmp_path: Path) -> None:
    data = npz(recovery, tmp_path)
    paths = write(recovery, VIDEO_FORMATS["bvh"], tmp_path / "clip.bvh")
    assert [path.name for path in paths] == [f"clip_person{track}.bvh" for track in data["tracks"]]
    for track, path in zip(data["tracks"], paths, strict=True):
        clip, frames = read_bvh(path), data[f"person{track}/frames"]
        order = [clip.names.index(name) for name in SMPL24.names]
        joints = clip.joints()[:, order] * Y_UP
        assert clip.frame_time == pytest.approx(1 / recovery.fps)
        assert len(joints) == frames[-1] - frames[0] + 1
        np.testing.assert_allclose(joints[frames - frames[0]], data[f"person{track}/joints/xyz_m"], atol=1e-4)
        for gone in set(range(frames[0], frames[-1])) - set(frames.tolist()):
            np.testing.assert_array_equal(joints[gone - frames[0]], joints[gone - frames[0] - 1])


def test_another_bvh_reader_agrees(two: VideoResult, tmp_path: Path) -> None:
    bvhio = pytest.importorskip("bvhio")
    path = write(two, VIDEO_FORMATS["bvh"], tmp_path / "clip.bvh")[0]
    skeleton, wanted = bvhio.readAsHierarchy(str(path)), two.body.joints(two.tracks[0].pose).numpy() * Y_UP
    for frame in (0, 8):
        skeleton.loadPose(frame)
        found = {joint.Name: np.array(joint.PositionWorld) for joint, _, _ in skeleton.layout()}
        np.testing.assert_allclose([found[name] for name in SMPL24.names], wanted[frame], atol=1e-4)


def test_npz_gives_the_recovery_back(recovery: VideoResult, tmp_path: Path) -> None:
    data = npz(recovery, tmp_path)
    back = load(tmp_path / "clip.npz")
    assert isinstance(back, VideoResult)
    assert back.path == "clip.mp4"
    np.testing.assert_array_equal(back.times, recovery.times)
    assert (back.size, back.camera_source, back.method) == (recovery.size, "guessed", "made-up")
    assert (back.notes, back.body.name) == (recovery.notes, "open-low")
    assert torch.equal(back.camera.matrix, recovery.camera.matrix)
    assert [motion.track for motion in back.tracks] == data["tracks"].tolist()
    for ours, theirs in zip(recovery.tracks, back.tracks, strict=True):
        np.testing.assert_array_equal(theirs.frames, ours.frames)
        np.testing.assert_array_equal(theirs.found, ours.found)
        np.testing.assert_array_equal(theirs.confidence, ours.confidence)
        np.testing.assert_allclose(theirs.pose.rotations, ours.pose.rotations, atol=2e-6)
        np.testing.assert_allclose(theirs.pose.shape, ours.pose.shape, atol=1e-6)
        wanted = recovery.body.joints(ours.pose)
        np.testing.assert_allclose(data[f"person{ours.track}/joints/xyz_m"], wanted, atol=1e-5)
        np.testing.assert_allclose(back.body.joints(theirs.pose), wanted, atol=1e-5)


def test_limbs_keep_their_lengths(two: VideoResult, tmp_path: Path) -> None:
    data = npz(two, tmp_path)
    for track in data["tracks"]:
        joints = data[f"person{track}/joints/xyz_m"]
        limbs = np.stack([joints[:, c] - joints[:, p] for c, p in enumerate(SMPL24.parents) if p >= 0], axis=1)
        assert np.ptp(np.linalg.norm(limbs, axis=-1), axis=0).max() < 1e-5


def test_other_npz_files_are_refused(tmp_path: Path, two: VideoResult) -> None:
    np.savez(tmp_path / "other.npz", poses=np.zeros(3))
    with pytest.raises(ResultError, match=r"expected an .npz of humesh with method, .*, tracks, times_s, found poses"):
        load(tmp_path / "other.npz")
    (tmp_path / "text.npz").write_text("text")
    with pytest.raises(ResultError, match="cannot be read as one"):
        load(tmp_path / "text.npz")
    data = npz(two, tmp_path) | {"body": np.array("smpl")}
    np.savez(tmp_path / "clip.npz", **data)
    with pytest.raises(ResultError, match=r"its body 'smpl' is not shipped.*--body"):
        load(tmp_path / "clip.npz")
    assert load(tmp_path / "clip.npz", body=two.body).body is two.body


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("body", None, "expected an .npz of humesh with body"),
        ("body", np.array(["open-low"]), "'body' of shape one value, got 1"),
        ("tracks", np.array([1, 1]), "its tracks, size, times or camera cannot be"),
        ("tracks", np.array([1, 77]), r"person77/: expected an .npz of humesh with frames"),
        ("times_s", lambda times: times[::-1], "its tracks, size, times or camera cannot be"),
        ("times_s", lambda times: times * np.nan, "finite numbers in 'times_s'"),
        ("times_s", lambda times: times[:2], r"person\d/: expected frames, increasing, of the video's 2"),
        ("video/width", np.array(0), "its tracks, size, times or camera cannot be"),
        ("video/width", np.array(9.5), "'video/width' to hold integers"),
        ("video/width", np.array(2**40), "its tracks, size, times or camera cannot be"),
        ("times_s", lambda times: times * 1e200, "its tracks, size, times or camera cannot be"),
        ("camera/matrix", np.zeros((3, 3)), "its tracks, size, times or camera cannot be"),
        ("translation_m", lambda places: places * 0 + 1e30, "got numbers above 1e"),
        ("camera/matrix", np.eye(2), "'camera/matrix' of shape 3 x 3"),
        ("frames", lambda frames: frames[::-1], r"person\d/: expected frames, increasing"),
        ("frames", lambda frames: frames[:0], "'pose_axis_angle' of shape frames = 0 x 24 x 3"),
        ("frames", lambda frames: frames - 50, r"person\d/: expected frames, increasing"),
        ("frames", lambda frames: frames * 1.0, "'frames' to hold integers"),
        ("betas", np.zeros(3), "'betas' of shape betas = 10, got 3"),
        ("pose_axis_angle", lambda pose: pose[:, :23], "'pose_axis_angle' of shape"),
        ("translation_m", np.array("here"), "'translation_m' to hold numbers"),
        ("found", None, "with found"),
        ("score", np.array(np.inf), "finite numbers in 'score'"),
        ("joints/confidence", np.zeros((1, 24)), "'joints/confidence' of shape"),
    ],
)
def test_what_a_motion_file_lacks_or_contradicts_is_one_sentence(
    tmp_path: Path, two: VideoResult, name: str, value: Any, sentence: str
) -> None:
    data = npz(two, tmp_path)
    name = name if name in data else f"person{data['tracks'][0]}/{name}"
    data[name] = value(data[name]) if callable(value) else value
    np.savez(tmp_path / "clip.npz", **{key: array for key, array in data.items() if array is not None})
    with pytest.raises(ResultError, match=sentence):
        load(tmp_path / "clip.npz", body=two.body)


def amass_joints(body: BodyModel, path: Path, count: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """An AMASS file as its readers take it apart (SMPL-H: root, 21 joints, 15 + 15 of fingers), and its joints."""
    with np.load(path, allow_pickle=False) as file:
        data = {name: file[name] for name in file.files}
    assert data["poses"].shape == (count, 156)
    assert data["trans"].shape == (count, 3)
    assert data["betas"].shape == (16,)
    assert data["dmpls"].shape == (count, 8)
    assert str(data["gender"]) == "neutral"
    root, limbs, fingers = np.split(data["poses"], [3, 66], axis=1)
    assert not fingers.any(), "neither fingers nor, in SMPL-X, the jaw are turned"
    poses = np.concatenate([root, limbs, np.zeros((count, 6))], axis=1).reshape(count, 24, 3)
    betas = torch.from_numpy(data["betas"][:10]).expand(count, -1)
    pose = BodyPose(rotation_from_axis_angle(torch.from_numpy(poses)), betas, torch.from_numpy(data["trans"]))
    return data, body.joints(pose).numpy()


def test_amass_files_hold_the_same_motion_in_a_world_with_z_up(two: VideoResult, tmp_path: Path) -> None:
    paths = write(two, VIDEO_FORMATS["amass"], tmp_path / "clip_amass.npz")
    for person, path in zip(two.tracks, paths, strict=True):
        assert path.name == f"clip_amass_person{person.track}.npz"
        data, world = amass_joints(two.body, path, 9)
        assert data["mocap_framerate"] == 25
        assert data["start_frame"] == person.frames[0]
        assert data["start_s"] == pytest.approx(person.frames[0] / 25)
        for k in (0, -1):
            x, y, z = two.body.joints(person.pose)[k].numpy().T
            np.testing.assert_allclose(world[k], np.stack([x, z, -y], axis=1), atol=1e-5)


@pytest.mark.parametrize("name", PER_PERSON)
def test_padded_files_stay_in_step(two: VideoResult, tmp_path: Path, name: str) -> None:
    """Each file is as long as the video: frame k is the video's, before and after a person its nearest pose is held."""
    for row, person in enumerate(two.tracks):
        path, joints = tmp_path / f"{person.track}.{name}", two.body.joints(person.pose).numpy()
        if name == "bvh":
            write_bvh(two, row, path, FileOptions(pad=True))
            clip = read_bvh(path)
            got = clip.joints()[:, [clip.names.index(joint) for joint in SMPL24.names]] * Y_UP
        else:
            write_amass(two, row, path, FileOptions(pad=True))
            data, world = amass_joints(two.body, path, 12)
            got = world @ Z_UP
            assert data["start_frame"] == 0
        rows = np.searchsorted(person.frames, np.arange(12), side="right") - 1
        np.testing.assert_allclose(got, joints[rows.clip(0)], atol=1e-5)


def test_our_motion_reader_reads_amass_files(two: VideoResult, tmp_path: Path) -> None:
    path = write(two, VIDEO_FORMATS["amass"], tmp_path / "clip_amass.npz")[0]
    read, ours = MotionFiles.read([path]), two.tracks[0].pose
    assert read.clips[0].fps == pytest.approx(25)
    turns = Rotation.from_rotvec(read.poses.reshape(-1, 3)).as_matrix().reshape(-1, 24, 3, 3)
    wanted = ours.rotations.numpy().copy()
    pelvis, hands = SMPL24.index("pelvis"), SMPL24.indices("left_hand", "right_hand")
    wanted[:, pelvis] = np.diag(Y_UP) @ wanted[:, pelvis]  # it wants y up
    wanted[:, hands] = np.eye(3)  # and leaves hands out
    np.testing.assert_allclose(turns, wanted, atol=1e-5)
    steps, walked = np.diff(read.places, axis=0), np.diff(ours.translation.numpy(), axis=0) * Y_UP
    np.testing.assert_allclose(steps, walked, atol=1e-5)


def test_even_videos_keep_their_frames(body: BodyModel) -> None:
    recovery = video(body, [motion(1, list(range(300)), 1)], 300, 0.0)
    rounded = replace(recovery, times=np.round(np.arange(300) / 30, 3))  # Matroska's milliseconds: median 33 ms
    pose, fps = motion_of(rounded, 0)
    assert fps == pytest.approx(30, rel=1e-4)
    np.testing.assert_allclose(pose.rotations, recovery.tracks[0].pose.rotations, atol=2e-6)


@pytest.mark.parametrize(
    ("times", "rate"),
    [
        (np.arange(200) / 30, 30.0),  # the mean of which is 29.999999999999996
        (np.arange(1000) * 1001 / 30000, 30 / 1.001),
        (np.round(np.arange(1000) * 1001 / 30000, 3), 30 / 1.001),
        (np.round(np.arange(300) / 30, 3), 30.0),
        (7.7 + np.round(np.arange(50) / 24, 3), 24.0),
        (np.arange(100) / 12.5, 12.5),
        (np.arange(100) / 14.9, 14.9),
        (np.arange(2) * 5.0, 0.2),
        (np.arange(1), 30.0),
    ],
)
def test_rates_are_what_was_meant(body: BodyModel, times: np.ndarray, rate: float) -> None:
    """Readers of AMASS's take int() of the rate: 29.999999999999996 would be 29."""
    recovery = replace(video(body, [motion(1, [0], 1)], len(times)), times=times.astype(float))
    fps, at = clock(recovery)
    assert fps == pytest.approx(rate, abs=1e-9 if rate > 15 else 1e-6)
    assert int(fps) == int(rate)
    np.testing.assert_array_equal(at, np.arange(len(times)))


def test_people_of_uneven_videos_share_one_clock(two: VideoResult) -> None:
    """Who comes later starts on a frame of the common grid, so that padded files and offsets agree."""
    times = np.cumsum(np.array([0, 1, 1, 3, 1, 1, 2, 1, 1, 4, 1, 1]) / 25)
    uneven = replace(two, times=times)
    common = retimed(uneven, FileOptions(fps=25))
    for row, person in enumerate(two.tracks):
        pose, fps = motion_of(uneven, row)
        whole, same = motion_of(uneven, row, FileOptions(pad=True))
        start = start_frame(uneven, person)
        assert fps == same == 25
        assert start == pytest.approx(25 * times[person.frames[0]]) == common.tracks[row].frames[0]
        assert len(whole.translation) == 18
        torch.testing.assert_close(whole.translation[start : start + len(pose.translation)], pose.translation)


def test_uneven_videos_are_resampled(body: BodyModel) -> None:
    """A joint turning at a constant rate, seen at uneven times, is where it should be at even ones."""
    times = np.array([0.0, 0.04, 0.08, 0.12, 0.2, 0.24, 0.28, 0.36, 0.4])
    angles = torch.zeros(9, 24, 3, dtype=torch.float64)
    knee = SMPL24.index("left_knee")
    angles[:, knee, 0] = torch.from_numpy(3 * times)
    places = torch.from_numpy(times)[:, None] * torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    pose = BodyPose(rotation_from_axis_angle(angles), torch.zeros(9, 10, dtype=torch.float64), places)
    person = Motion(0, np.arange(9), pose, np.ones(9, bool), 1.0)
    got, fps = motion_of(replace(video(body, [person], 9), times=times), 0)
    assert fps == pytest.approx(25)
    even = np.arange(11) / 25
    np.testing.assert_allclose(got.translation[:, 0], even, atol=1e-9)
    turned = Rotation.from_matrix(got.rotations[:, knee].numpy()).as_rotvec()[:, 0]
    np.testing.assert_allclose(turned, 3 * even, atol=1e-9)
    there = [0, 1, 2, 3, 5, 6, 7, 8]
    gap = Motion(0, np.array(there), pose.map(lambda tensor: tensor[there]), np.ones(8, bool), 1.0)
    held, _ = motion_of(replace(video(body, [gap], 9), times=times), 0)
    np.testing.assert_allclose(held.translation[3:6, 0], 0.12, atol=1e-9)


def test_quaternions_stay_on_one_side() -> None:
    turns = Rotation.from_rotvec(np.linspace(0, 13, 40)[:, None] * [0.6, 0.8, 0.0]).as_quat()
    turns *= np.random.default_rng(0).choice([-1, 1], (40, 1))
    out = continuous(turns)
    assert ((out[1:] * out[:-1]).sum(-1) > 0).all()
    np.testing.assert_allclose(np.abs((out * turns).sum(-1)), 1)


@pytest.mark.parametrize("name", [name for name in VIDEO_FORMATS if name != "mp4"])
@pytest.mark.parametrize("case", CASES)
def test_every_format_is_written_whole(name: str, case: str, body: BodyModel, tmp_path: Path) -> None:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    recovery = video(body, *CASES[case]())
    paths = recovery.save(tmp_path / "new" / "clip.2024", [name])
    assert sorted(paths) == sorted((tmp_path / "new").iterdir())
    assert all(path.stat().st_size > 0 for path in paths)
    assert len(paths) == (len(recovery.tracks) if name in PER_PERSON else 1)
    if name not in PER_PERSON:
        assert paths[0].name == f"clip.2024{VIDEO_FORMATS[name].ending}"


@pytest.mark.parametrize("name", PER_PERSON)
def test_files_that_are_not_written_anew_stay(two: VideoResult, tmp_path: Path, name: str) -> None:
    both = two.save(tmp_path / "clip", [name])
    others = [both[0].with_name(both[0].name.replace("clip", "clap")), both[0].with_name(f"{both[0].name}.bak")]
    for other in others:
        other.write_bytes(b"somebody else's")
    [kept] = replace(two, tracks=two.tracks[1:]).save(tmp_path / "clip", [name])
    assert kept in both
    assert sorted(tmp_path.iterdir()) == sorted([*both, *others])


def test_interrupted_writing_leaves_nothing(two: VideoResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez_compressed", fail)
    with pytest.raises(KeyboardInterrupt):
        two.save(tmp_path / "clip", ["npz"])
    assert not list(tmp_path.iterdir())


def test_save_names_the_formats_it_knows(two: VideoResult, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"formats: expected some of mp4, glb, bvh, .*, got fbx"):
        two.save(tmp_path / "clip", ["fbx"])


def test_missing_packages_are_named(two: VideoResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in NEEDS.values():
        monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(MissingPackageError, match="usd-core; run: pip install") as caught:
        two.save(tmp_path / "clip", ["usd"])
    assert isinstance(caught.value, ImportError), "as callers of other libraries expect"
    assert not list(tmp_path.iterdir())


def test_usd_has_the_joints(two: VideoResult, tmp_path: Path) -> None:
    pytest.importorskip("pxr")
    from pxr import Usd, UsdGeom, UsdSkel

    [path] = write(two, VIDEO_FORMATS["usd"], tmp_path / "clip.usd")
    stage, cache = Usd.Stage.Open(str(path)), UsdSkel.Cache()
    assert UsdGeom.GetStageUpAxis(stage) == "Y"
    for person in two.tracks:
        prim = stage.GetPrimAtPath(f"/humesh/camera_frame/person{person.track}")
        cache.Populate(UsdSkel.Root(prim), Usd.PrimDefaultPredicate)
        skeleton = UsdSkel.Skeleton(stage.GetPrimAtPath(f"{prim.GetPath()}/skeleton"))
        query, wanted = cache.GetSkelQuery(skeleton), two.body.joints(person.pose).numpy()
        for frame in range(len(two.times)):
            code = float(frame)  # this video's frames are even
            seen = UsdGeom.Imageable(prim).ComputeVisibility(code) != "invisible"
            assert seen == (frame in person.frames)
            if seen:
                moves = query.ComputeJointSkelTransforms(code)
                places = np.array([move.ExtractTranslation() for move in moves])
                np.testing.assert_allclose(places, wanted[list(person.frames).index(frame)], atol=1e-4)
