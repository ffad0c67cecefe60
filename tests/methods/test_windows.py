"""Windows over a video: every frame answered, seams mixed, people apart."""

from __future__ import annotations

from itertools import pairwise

import pytest
import roma
import torch

from humesh.body.pose import BodyPose
from humesh.geometry.camera import Camera
from humesh.images.crops import Crops
from humesh.methods.windows import Windows


def _crops(values: list[float]) -> Crops:
    """One crop a person; its number is what the answers are made of."""
    count = len(values)
    there = torch.ones(count, 1, dtype=torch.bool)
    place = torch.tensor(values, dtype=torch.float32).reshape(-1, 1, 1, 1).expand(-1, 1, 2, 3)
    camera = Camera(torch.eye(3).expand(count, 1, 3, 3))
    nothing = torch.zeros(count, 1, 0, 3), torch.zeros(count, 1, 0, 4)
    pixels = torch.full((count, 1, 3, 2, 2), 0.5)
    return Crops(pixels, place.clone(), camera, nothing[0], there, there, nothing[1])


class Answers:
    """Says of each wanted crop its number, plus how many the window held; remembers the windows."""

    def __init__(self) -> None:
        self.windows: list[list[float]] = []

    def __call__(self, crops: Crops) -> BodyPose:
        assert crops.pixels.dtype == torch.float32
        assert crops.pixels[crops.present].sub(0.5).abs().max() < 1 / 255
        numbers = crops.crop_from_photo[crops.wanted][:, 0, 0]
        assert torch.equal(crops.present, crops.wanted)
        self.windows.append(numbers.tolist())
        turns = roma.rotvec_to_rotmat(torch.stack([numbers / 1000] * 3, dim=-1))[:, None].expand(-1, 24, 3, 3)
        return BodyPose(turns, numbers[:, None].expand(-1, 10), numbers[:, None].expand(-1, 3))


@pytest.mark.parametrize("frames", [1, 3, 8, 9, 31])
@pytest.mark.parametrize("interval", [1, 3])
def test_every_frame_is_answered_by_what_it_shows(frames: int, interval: int) -> None:
    answers = Answers()
    windows = Windows(answers, 4, interval)
    for frame in range(frames):
        windows.add(frame, [7, 9], _crops([frame, 100.0 + frame]))
    poses = windows.poses()
    assert set(poses) == {(frame, track) for frame in range(frames) for track in (7, 9)}
    for (frame, track), pose in poses.items():
        wanted = frame + (100.0 if track == 9 else 0.0)
        assert torch.allclose(pose.translation, torch.full((3,), wanted), atol=1e-4)
        assert torch.allclose(roma.rotmat_to_rotvec(pose.rotations[0]), torch.full((3,), wanted / 1000), atol=1e-5)
    for window in answers.windows:
        assert len(window) <= 4
        assert all(b - a == interval for a, b in pairwise(window))


@pytest.mark.parametrize("interval", [1, 2])
def test_what_is_ready_early_is_what_is_said_in_the_end(interval: int) -> None:
    """Each answer is told once, in the order of frames, and soon: no more than two spans are kept."""
    early, late = Windows(Answers(), 4, interval), Windows(Answers(), 4, interval)
    told: list[tuple[tuple[int, int], BodyPose]] = []
    for frame in range(40):
        for windows in (early, late):
            windows.add(frame, [7, 9] if frame != 11 else [9], _crops([frame, 100.0 + frame] if frame != 11 else [3.0]))
        told += early.ready().items()
        assert frame - (told[-1][0][0] if told else -1) <= 2 * 4 * interval
    told += early.poses().items()
    wanted = late.poses()
    assert [key for key, _ in told] == list(wanted)
    for key, pose in told:
        assert torch.equal(pose.rotations, wanted[key].rotations)
        assert torch.equal(pose.translation, wanted[key].translation)
    assert early.poses() == {}


def test_windows_overlap_by_half() -> None:
    answers = Answers()
    windows = Windows(answers, 4)
    for frame in range(8):
        windows.add(frame, [1], _crops([frame]))
    windows.poses()
    assert answers.windows == [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7]]


def test_gaps_are_absent() -> None:
    answers = Answers()
    windows = Windows(answers, 4)
    for frame in (0, 1, 3, 30, 31):
        windows.add(frame, [1], _crops([frame]))
    assert set(windows.poses()) == {(frame, 1) for frame in (0, 1, 3, 30, 31)}
    assert [0, 1, 3] in answers.windows
    assert all(window for window in answers.windows)


def test_nobody() -> None:
    assert Windows(Answers(), 16).poses() == {}
