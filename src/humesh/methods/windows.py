"""Methods that look at a person through time (INT), on videos of any length: overlapping windows, cross-faded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from operator import itemgetter

import roma
import torch
from jaxtyping import Float
from torch import Tensor

from humesh.body.pose import BodyPose
from humesh.images.crops import Crops


@dataclass
class _Sum:
    """What the windows said of one person in one frame, times how much each of them counts."""

    rotations: Float[Tensor, "24 3 3"]
    shape: Float[Tensor, "S"]
    translation: Float[Tensor, "3"]
    weight: float


class Windows:
    """Collects the crops of tracks frame by frame and asks `answer` about windows of `length` frames, `interval` apart.

    A window spans length x interval frames; the next ones begin half of that later, so that every moment is seen by
    two but at the ends, and what they say is mixed by how near to their middles it lies. Crops are kept, in 16 bits,
    for one span. Frames in which a person is not seen are absent.
    """

    def __init__(self, answer: Callable[[Crops], BodyPose], length: int, interval: int = 1) -> None:
        self.answer, self.length, self.interval = answer, length, interval
        self.span = length * interval
        self.hop = max(self.span // 2, 1)
        self._start = 0
        self._kept: dict[int, dict[int, Crops]] = {}
        self._sums: dict[tuple[int, int], _Sum] = {}

    def add(self, frame: int, tracks: list[int], crops: Crops) -> None:
        """The crops `B 1` of a frame's people; frames come in order."""
        while frame >= self._start + self.span:
            self._look()
        for row, track in enumerate(tracks):
            one = crops.map(itemgetter(slice(row, row + 1))).map(torch.clone)
            self._kept.setdefault(track, {})[frame] = replace(one, pixels=one.pixels.half())

    def ready(self) -> dict[tuple[int, int], BodyPose]:
        """Poses by (frame, track), in that order, that no later window can change; each is told once."""
        return self._mixed(sorted(key for key in self._sums if key[0] < self._start))

    def poses(self) -> dict[tuple[int, int], BodyPose]:
        """All other poses by (frame, track), in that order, after the last frame."""
        last = max((frame for frames in self._kept.values() for frame in frames), default=-1)
        while self._kept:
            seen_to = self._start + self.span
            self._look()
            if seen_to > last:
                self._kept = {}
        return self._mixed(sorted(self._sums))

    def _mixed(self, keys: list[tuple[int, int]]) -> dict[tuple[int, int], BodyPose]:
        poses = {}
        for key in keys:
            total = self._sums.pop(key)
            turns, share = roma.special_procrustes(total.rotations), 1 / total.weight
            poses[key] = BodyPose(turns, total.shape * share, total.translation * share)
        return poses

    def _look(self) -> None:
        """All windows of the span that begins at the start; then on by a hop."""
        for track, frames in self._kept.items():
            for phase in range(self.interval):
                window = range(self._start + phase, self._start + self.span, self.interval)
                here = [frame for frame in window if frame in frames]
                if here:
                    self._ask(track, window, here, frames)
        self._start += self.hop
        left = {
            track: {frame: crops for frame, crops in frames.items() if frame >= self._start}
            for track, frames in self._kept.items()
        }
        self._kept = {track: frames for track, frames in left.items() if frames}

    def _ask(self, track: int, window: range, here: list[int], frames: dict[int, Crops]) -> None:
        parts = [frames.get(frame) for frame in window]
        blank = frames[here[0]]
        nobody = torch.zeros_like(blank.present)
        whole = [replace(blank, present=nobody, wanted=nobody) if part is None else part for part in parts]
        crops = Crops.joined(whole, dim=1)
        pose = self.answer(replace(crops, pixels=crops.pixels.float()))
        for row, frame in enumerate(here):
            place = (frame - self._start + 0.5) / self.span
            weight = 1e-3 + 1 - abs(2 * place - 1)  # a tent; never nothing, for the ends have one window only
            said = pose.map(itemgetter(row)).map(partial(torch.mul, torch.tensor(weight)))
            total = self._sums.get((frame, track))
            if total is None:
                self._sums[frame, track] = _Sum(said.rotations, said.shape, said.translation, weight)
            else:
                total.rotations = total.rotations + said.rotations
                total.shape, total.translation = total.shape + said.shape, total.translation + said.translation
                total.weight += weight
