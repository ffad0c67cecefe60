"""Windows over a video: every frame looked at once, seams mixed, people apart."""

from __future__ import annotations

from itertools import pairwise

import pytest
import roma
import torch
from torch import Tensor

from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.crops.crops import Crops, seconds_of
from humesh.fitting.windows import Windows
from humesh.geometry.camera import Camera
from humesh.methods.base import ClipMethod, Prediction

FPS = 25


def _crops(values: list[float]) -> Crops:
    """One crop a person; its number is what the poses are made of."""
    count = len(values)
    there = torch.ones(count, 1, dtype=torch.bool)
    camera = Camera(torch.eye(3).expand(count, 1, 3, 3))
    nothing = torch.zeros(count, 1, 0, 3), torch.zeros(count, 1, 0, 4)
    pixels = torch.tensor(values, dtype=torch.float32).reshape(-1, 1, 1, 1, 1).expand(-1, 1, 3, 2, 2)
    return Crops(pixels, torch.zeros(count, 1, 2, 3), camera, nothing[0], there, there, nothing[1])


class Numbers(ClipMethod):
    """Each pose is the crop's number, or, with `first`, that of its window's first crop; remembers its windows."""

    def __init__(self, body: BodyModel, first: bool = False) -> None:
        super().__init__(None, body)
        self.first, self.windows, self.looks, self.times = first, list[list[float]](), 0, list[Tensor]()

    def frame_features(self, crops: Crops) -> Tensor:
        self.looks += len(crops.pixels)
        return crops.pixels[:, :, :1, 0, 0]

    def through_time(self, features: Tensor, crops: Crops) -> Prediction:
        assert crops.size == (2, 2)
        assert torch.equal(crops.present, crops.wanted)
        numbers = features[..., 0]
        self.windows.append(numbers[crops.present].tolist())
        self.times.append(seconds_of(crops)[crops.present])
        if self.first:
            numbers = numbers[:, :1].expand_as(numbers)
        turns = roma.rotvec_to_rotmat(torch.stack([numbers / 1000] * 3, dim=-1))[..., None, :, :]
        many = numbers[..., None].expand(*numbers.shape, 10)
        return Prediction(BodyPose(turns.expand(*numbers.shape, 24, 3, 3), many, many[..., :3]))


@pytest.fixture
def method(small_body: BodyModel) -> Numbers:
    return Numbers(small_body)


@pytest.mark.parametrize("frames", [1, 3, 8, 9, 31])
@pytest.mark.parametrize("interval", [1, 3])
def test_every_frame_is_posed_by_what_it_shows(method: Numbers, frames: int, interval: int) -> None:
    windows = Windows(method, 4, interval)
    for frame in range(frames):
        windows.add([(frame, frame / FPS, [7, 9])], _crops([frame, 100.0 + frame]))
    poses = windows.poses()
    assert set(poses) == {(frame, track) for frame in range(frames) for track in (7, 9)}
    for (frame, track), pose in poses.items():
        wanted = frame + (100.0 if track == 9 else 0.0)
        assert torch.allclose(pose.translation, torch.full((3,), wanted), atol=1e-4)
        assert torch.allclose(roma.rotmat_to_rotvec(pose.rotations[0]), torch.full((3,), wanted / 1000), atol=1e-5)
    assert method.looks == 2 * frames  # each crop once, however many windows it is in
    for window, times in zip(method.windows, method.times, strict=True):
        assert len(window) <= 4
        assert all(b - a == interval for a, b in pairwise(window))
        assert torch.allclose(times.diff(), torch.tensor(interval / FPS))


@pytest.mark.parametrize("interval", [1, 2])
def test_what_is_ready_early_is_the_same_in_the_end(small_body: BodyModel, interval: int) -> None:
    """Each pose is given once, in the order of frames, and soon: no more than two spans are kept."""
    early, late = (Windows(Numbers(small_body), 4, interval) for _ in range(2))
    given: list[tuple[tuple[int, int], BodyPose]] = []
    for frame in range(40):
        for windows in (early, late):
            tracks, numbers = ([7, 9], [frame, 100.0 + frame]) if frame != 11 else ([9], [3.0])
            windows.add([(frame, frame / FPS, tracks)], _crops(numbers))
        given += early.ready().items()
        assert frame - (given[-1][0][0] if given else -1) <= 2 * 4 * interval
    given += early.poses().items()
    wanted = late.poses()
    assert [key for key, _ in given] == list(wanted)
    for key, pose in given:
        assert torch.equal(pose.rotations, wanted[key].rotations)
        assert torch.equal(pose.translation, wanted[key].translation)
    assert early.poses() == {}


def test_windows_overlap_by_half(method: Numbers) -> None:
    windows = Windows(method, 4)
    for frame in range(8):
        windows.add([(frame, frame / FPS, [1])], _crops([frame]))
    windows.poses()
    assert method.windows == [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7]]


def test_windows_weigh_by_how_near_to_their_middles_a_frame_lies(small_body: BodyModel) -> None:
    """Frames 2 and 3 are in windows that begin at 0 and 2: places 5/8 and 7/8 of the one, 1/8 and 3/8 of the other."""
    windows = Windows(Numbers(small_body, first=True), 4)
    for frame in range(6):
        windows.add([(frame, frame / FPS, [1])], _crops([frame]))
    poses = windows.poses()
    assert float(poses[1, 1].translation[0]) == 0.0
    assert float(poses[2, 1].translation[0]) == pytest.approx(2 * 0.25 / (0.75 + 0.25), abs=1e-2)
    assert float(poses[3, 1].translation[0]) == pytest.approx(2 * 0.75 / (0.25 + 0.75), abs=1e-2)


def test_gaps_are_absent(method: Numbers) -> None:
    windows = Windows(method, 4)
    for frame in (0, 1, 3, 30, 31):
        windows.add([(frame, frame / FPS, [1])], _crops([frame]))
    assert set(windows.poses()) == {(frame, 1) for frame in (0, 1, 3, 30, 31)}
    assert [0, 1, 3] in method.windows
    assert all(window for window in method.windows)


def test_nobody(method: Numbers) -> None:
    assert Windows(method, 16).poses() == {}
