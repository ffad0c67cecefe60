"""The path of a video: known motions, given as a detector gives them, come back complete, smooth and in place."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import humesh
from humesh.body.joints import LIMBS12, MEDIAPIPE33, SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.evaluation.metrics import acceleration_error, pa_mpjpe
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_from_axis_angle
from humesh.media.film import Film
from humesh.media.photo import Photo
from humesh.media.video import Video
from humesh.methods.weights import build, save_weights
from humesh.people.person import Mask, Person, VideoDetections
from humesh.recover import Recoverer
from humesh.recover_video import pose_video, recover_live, recover_video, track_people
from humesh.video_options import VideoOptions

SIZE, FPS, FRAMES = (160, 120), 25.0, 20
LIMBS = SMPL24.indices(*LIMBS12.names)


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load("open-low")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Video:
    """A video of nothing; who is in it the finders say."""
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    with Film(path, SIZE, FPS) as film:
        for frame in range(FRAMES):
            film.write(np.full((SIZE[1], SIZE[0], 3), 40 + 5 * frame, np.uint8), frame / FPS)
    return Video(path)


def truth(track: int) -> BodyPose:
    """Somebody upright who waves and walks to the right, 4 metres away."""
    time = torch.arange(FRAMES) / FPS
    vectors = torch.zeros(FRAMES, 24, 3)
    vectors[:, 0, 0] = torch.pi  # y up to y down
    vectors[:, SMPL24.index("left_elbow"), 1] = -1.2 + 0.6 * torch.sin(5 * time)
    vectors[:, SMPL24.index("right_hip"), 0] = -0.5 + 0.3 * torch.cos(4 * time)
    vectors[:, SMPL24.index("right_knee"), 0] = 0.6
    place = torch.stack([-0.9 + 0.4 * time + 0.8 * (track % 3), 0.2 + 0 * time, 4 + 0 * time], dim=-1)
    return BodyPose(rotation_from_axis_angle(vectors), torch.zeros(FRAMES, 10), place)


class KnownPeople:
    """A finder that knows the truth of some frames, with noise in pixels."""

    def __init__(self, body: BodyModel, seen: dict[int, range | list[int]], noise: float = 0.0) -> None:
        self.seen, self.calls, self.noise = seen, 0, np.random.default_rng(0).normal(0, noise, (FRAMES, 33, 2))
        self.people: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        camera = Camera.guess(SIZE)
        for track in seen:
            points = body.points(body(truth(track)), MEDIAPIPE33)
            self.people[track] = camera.project(points.double()).numpy(), points.double().numpy()

    def __call__(self, photo: Photo, time_s: float) -> list[Person]:
        frame, self.calls = round(time_s * FPS), self.calls + 1
        people = []
        for track, frames in self.seen.items():
            if frame in frames:
                pixels, points = (array[frame] for array in self.people[track])
                flat = np.concatenate([pixels + self.noise[frame], np.ones((33, 1))], axis=1)
                box = np.concatenate([flat[:, :2].min(0), flat[:, :2].max(0)])
                people.append(Person(box, 0.9, flat, MEDIAPIPE33, points - points.mean(0), track))
        return people


def _all(video: Video, finder: Any) -> VideoDetections:
    detections = VideoDetections()
    assert list(track_people(video, finder, detections)) == list(range(FRAMES))
    return detections


def test_everybody_comes_back_in_every_frame(clip: Video, body: BodyModel) -> None:
    recoverer = humesh.Recoverer(body)
    finder = KnownPeople(body, {3: range(FRAMES), 4: range(5, FRAMES)})
    results = list(recover_video(clip, recoverer, finder=finder).frames)
    assert len(results) == FRAMES
    assert [len(result.people) for result in results] == [1] * 5 + [2] * (FRAMES - 5)
    for frame, result in enumerate(results):
        assert [person.track for person in result.people] == ([3, 4] if frame >= 5 else [3])
        assert result.photo.pixels.shape == (SIZE[1], SIZE[0], 3)
        for row, person in enumerate(result.people):
            true = body.joints(truth(person.track or 0))[frame, LIMBS]
            found = result.bodies.joints[row, LIMBS]
            assert pa_mpjpe(found, true) < 0.09
            pixels = [result.photo.camera.project(points.double()) for points in (found, true)]
            assert (pixels[0] - pixels[1]).norm(dim=-1).mean() < 4  # of about 60 px
            assert person.box[0] < pixels[1][:, 0].mean() < person.box[2]
    shapes = torch.cat([result.pose.shape[:1] for result in results])
    assert torch.equal(shapes, shapes[:1].expand_as(shapes))


def test_smoothing_calms_and_costs_nothing(clip: Video, body: BodyModel) -> None:
    detections = _all(clip, KnownPeople(body, {1: range(FRAMES)}, noise=1.5))
    recoverer = humesh.Recoverer(body)
    true = body.joints(truth(1))[:, LIMBS]
    true = true - true.mean(1, keepdim=True)
    errors, shaking = [], []
    for smooth in (0.0, 0.08):
        (motion,) = pose_video(clip, detections, recoverer, VideoOptions(smooth_s=smooth)).tracks
        found = body.joints(motion.pose)[:, LIMBS]
        errors.append(float(pa_mpjpe(found, true).mean()))
        shaking.append(float(acceleration_error(found - found.mean(1, keepdim=True), true, FPS).mean()))
    assert errors[1] < 1.05 * errors[0]
    assert shaking[1] < 0.67 * shaking[0]  # by a third at least (issue "Video in")


def test_gaps_are_bridged_or_end_a_motion_and_glimpses_are_left_out(clip: Video, body: BodyModel) -> None:
    seen = {1: [*range(8), *range(11, FRAMES)], 2: [*range(2), *range(17, FRAMES)], 5: [4, 5]}
    recoverer = humesh.Recoverer(body, refine=False)
    settings = VideoOptions(bridge_s=0.3, least_s=0.2)
    recovery = pose_video(clip, _all(clip, KnownPeople(body, seen)), recoverer, settings)
    assert [motion.track for motion in recovery.tracks] == [1, 2]
    first, second = recovery.tracks
    assert first.frames.tolist() == list(range(FRAMES))
    assert np.flatnonzero(~first.found).tolist() == [8, 9, 10]
    assert not first.confidence[8:11].any()
    assert second.frames.tolist() == seen[2]
    assert any("1 track shorter than 0.2 s was left out" in note for note in recovery.notes)
    assert any("3 poses were put in between" in note for note in recovery.notes)
    length = [joints.diff(dim=0).norm(dim=-1)[0] for joints in body.joints(first.pose)[:, [1, 4]]]
    assert max(length) - min(length) < 1e-5


SMALL = {
    "int": {"encoder": "test_resnet", "crop": (64, 64), "width": 16, "heads": 2, "depth": 2, "frames": 4},
    "ik_refine": {
        "encoder": "test_resnet", "size": 64, "twist_width": 16, "width": 16, "heads": 2, "head_width": 8, "hidden": 16,
    },
    "multi_roi": {"encoder": "test_resnet", "crop": (64, 64), "hidden": (16, 16)},
}  # fmt: skip


@pytest.mark.parametrize("method", SMALL)
def test_every_kind_of_group_goes_through_a_video(clip: Video, body: BodyModel, method: str, tmp_path: Path) -> None:
    save_weights(tmp_path / "w.safetensors", method, build(method, SMALL[method], body))
    recoverer = humesh.Recoverer(body, weights=tmp_path / "w.safetensors", refine=False)
    finder = KnownPeople(body, {1: range(FRAMES), 2: range(3, 15), 7: range(6, FRAMES)})
    recovery = pose_video(clip, _all(clip, finder), recoverer, VideoOptions(interval=2 if method == "int" else 1))
    assert {motion.track: motion.frames.tolist() for motion in recovery.tracks} == {
        1: list(range(FRAMES)), 2: list(range(3, 15)), 7: list(range(6, FRAMES)),
    }  # fmt: skip
    assert all(motion.pose.rotations.isfinite().all() for motion in recovery.tracks)


def test_what_was_seen_is_kept_and_gone_on_from(clip: Video, body: BodyModel, tmp_path: Path) -> None:
    finder = KnownPeople(body, {1: range(FRAMES)})
    detections = VideoDetections()
    for number in track_people(clip, finder, detections):
        if number == 6:
            break
    detections.save(tmp_path / "people.npz", "this clip")
    again = VideoDetections.load(tmp_path / "people.npz", "this clip")
    assert again.times == detections.times
    assert len(again.people) == 7
    for one, other in zip(detections.people[3], again.people[3], strict=True):
        assert np.array_equal(one.keypoints, other.keypoints)  # type: ignore[arg-type]
        assert np.array_equal(one.landmarks3d, other.landmarks3d)  # type: ignore[arg-type]
        assert (one.track, one.score, one.keypoint_set) == (other.track, other.score, other.keypoint_set)
    assert list(track_people(clip, finder, again)) == list(range(7, FRAMES))
    assert finder.calls == FRAMES
    whole = _all(clip, KnownPeople(body, {1: range(FRAMES)}))
    assert again.times == whole.times
    assert VideoDetections.load(tmp_path / "people.npz", "another clip").times == []
    data = (tmp_path / "people.npz").read_bytes()
    for damaged in (data[: len(data) // 2], b"", b"PK no zip"):
        (tmp_path / "bad.npz").write_bytes(damaged)
        assert VideoDetections.load(tmp_path / "bad.npz", "this clip").times == []
    assert VideoDetections.load(tmp_path / "none.npz", "").people == []


def test_boxes_alone_survive_the_file(tmp_path: Path) -> None:
    people = [[Person(np.array([1.0, 2, 3, 4]), 0.5, track=2)], []]
    VideoDetections([0.0, 0.1], people).save(tmp_path / "s.npz", "x")
    (one,), nobody = VideoDetections.load(tmp_path / "s.npz", "x").people
    assert one.keypoints is None
    assert one.landmarks3d is None
    assert one.keypoint_set is None
    assert one.box.tolist() == [1, 2, 3, 4]
    assert nobody == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("of", np.array(5)),
        ("of", None),
        ("times_s", np.array([0.0])),  # fewer frames than people are in
        ("times_s", np.array([0.0, np.nan])),
        ("frame", np.array([-1])),
        ("frame", np.array([0.5])),
        ("frame", np.array([0, 1])),
        ("box", np.zeros((1, 3))),
        ("set", np.array([b"mediapipe33", b""])),
        ("keypoints", np.zeros((1, 3))),
        ("keypoints", lambda rows: np.where(np.arange(rows.shape[1])[:, None] == 3, np.inf, rows)),
        ("mask", lambda rows: rows[:, :-1]),
        ("mask", lambda rows: rows.astype(np.float64)),
        ("mask", None),
        ("mask_place", np.zeros((1, 3, 3))),
        ("mask_place", np.full((1, 2, 3), np.nan)),
    ],
)
def test_a_kept_file_that_contradicts_itself_is_made_again(tmp_path: Path, name: str, value: Any) -> None:
    mask = Mask.of(np.ones((128, 128), bool), np.eye(2, 3))
    points = np.ones((33, 3))
    person = Person(np.array([1.0, 2, 3, 4]), 0.5, points, MEDIAPIPE33, points, 2, mask)
    path = tmp_path / "s.npz"
    VideoDetections([0.0, 0.1], [[], [person]]).save(path, "x")
    ((), (kept,)) = VideoDetections.load(path, "x").people
    assert kept.mask is not None
    assert kept.mask.region.all()
    with np.load(path) as file:
        arrays = dict(file)
    arrays[name] = value(arrays[name]) if callable(value) else value
    np.savez(path, **{key: array for key, array in arrays.items() if array is not None})
    assert VideoDetections.load(path, "x").times == []


def test_nobody_and_broken_frames(clip: Video, body: BodyModel) -> None:
    recoverer = humesh.Recoverer(body, refine=False)
    results = list(recover_video(clip, recoverer, finder=lambda photo, time_s: []).frames)
    assert [result.people for result in results] == [[]] * FRAMES

    class Broken(Video):
        def __iter__(self) -> Any:
            yield from (replace(frame, broken=frame.number == 4) for frame in super().__iter__())

    assert clip.path is not None
    finder = KnownPeople(body, {1: range(FRAMES)})
    detections = _all(Broken(clip.path), finder)
    assert finder.calls == FRAMES - 1
    assert detections.people[4] == []
    (motion,) = pose_video(clip, detections, recoverer).tracks
    assert np.flatnonzero(~motion.found).tolist() == [4]


def test_a_guessed_camera_is_noted_and_a_given_one_is_kept(clip: Video, body: BodyModel) -> None:
    recoverer = humesh.Recoverer(body, refine=False)
    detections = _all(clip, KnownPeople(body, {1: range(FRAMES)}))
    guessed = pose_video(clip, detections, recoverer)
    assert guessed.camera_source.startswith("guessed")
    assert any("does not say its focal length" in note for note in guessed.notes)
    camera = Camera.virtual(321.0, SIZE)
    given = pose_video(clip, detections, recoverer, camera=camera)
    assert given.camera_source == "given"
    assert torch.equal(given.camera.matrix, camera.matrix)
    assert not any("focal length" in note for note in given.notes)


def test_a_slow_recoverer_does_not_lag_behind_a_live_stream(live_stream: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream sends 25 frames a second and each takes as long as five of them."""
    frames_behind: list[int] = []

    def slow(self: Recoverer, photo: Photo, people: Any) -> Any:
        frames_behind.append(live_stream.sent - (int(photo.pixels[24, 32, 0]) - 20))
        time.sleep(0.2)
        return result

    result = Recoverer("open-low")(Photo.of(np.zeros((48, 64, 3), np.uint8)), [])
    monkeypatch.setattr(Recoverer, "__call__", slow)
    nobody = lambda finder: lambda photo, time_s: []  # noqa: E731
    monkeypatch.setattr(import_module("humesh.recover_video"), "VideoPeople", nobody)
    video = Video(f"{live_stream.address}/live.ts")
    with closing(recover_live(video, Recoverer("open-low"))) as recovered:
        times = [next(recovered).time_s for _ in range(7)]
    assert max(frames_behind[1:]) <= 10  # the way over the loopback on a busy machine; frame by frame it would be 45
    assert np.min(np.diff(times[1:])) > 0.1
    assert len(times) + video.passed_over >= round(times[-1] * 25) + 1
