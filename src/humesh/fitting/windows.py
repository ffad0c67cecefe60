"""Methods for clips (INT, the lifter through time) on videos of any length: overlapping windows, cross-faded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from operator import itemgetter

import roma
import torch
from jaxtyping import Float
from torch import Tensor

from humesh.body.pose import BodyPose
from humesh.crops.crops import ClipCrops, Crops
from humesh.methods.base import ClipMethod


@dataclass
class _Sum:
    """What the windows gave of one person in one frame, times how much each of them counts."""

    rotations: Float[Tensor, "24 3 3"]
    shape: Float[Tensor, " S"]
    translation: Float[Tensor, "3"]
    weight: float


class Windows:
    """Looks at the crops of tracks frame by frame, then at windows of `length` frames, `interval` apart, together.

    A window spans length x interval frames; the next ones begin half of that later, so that every frame is in two of
    them but at the ends, and their poses are mixed by how near to their middles it lies. Each crop is looked at once;
    what that gave is kept for one span, pixels are not. Frames without the person are absent.
    """

    def __init__(self, method: ClipMethod, length: int, interval: int = 1, device: torch.device | None = None) -> None:
        self.method, self.length, self.interval = method, length, interval
        self.device = device or torch.device("cpu")
        self.span = length * interval
        self.hop = max(self.span // 2, 1)
        self._start = 0
        self._kept: dict[int, dict[int, tuple[Tensor, ClipCrops]]] = {}
        self._sums: dict[tuple[int, int], _Sum] = {}

    @torch.no_grad()
    def add(self, frame: int, time_s: float, tracks: list[int], crops: Crops) -> None:
        """The crops `B 1` of a frame's people; frames come in order."""
        while frame >= self._start + self.span:
            self._answer()
        crops = crops.map(lambda tensor: tensor.to(self.device))
        looked = self.method.frame_features(crops)
        blank = crops.pixels.new_zeros(()).expand(crops.pixels.shape)  # of them only the size is needed from here on
        seconds = torch.full(crops.present.shape, time_s).to(looked)
        timed = ClipCrops(**vars(replace(crops, pixels=blank)), seconds=seconds)
        for row, track in enumerate(tracks):
            one = itemgetter(slice(row, row + 1))
            self._kept.setdefault(track, {})[frame] = one(looked), timed.map(one)

    def ready(self) -> dict[tuple[int, int], BodyPose]:
        """Poses by (frame, track), in that order, that no later window can change; each is given once."""
        return self._mixed(sorted(key for key in self._sums if key[0] < self._start))

    def poses(self) -> dict[tuple[int, int], BodyPose]:
        """All other poses by (frame, track), in that order, after the last frame."""
        last = max((frame for frames in self._kept.values() for frame in frames), default=-1)
        while self._kept:
            seen_to = self._start + self.span
            self._answer()
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

    @torch.no_grad()
    def _answer(self) -> None:
        """All windows of the span that begins at the start; then on by a hop."""
        for track, frames in self._kept.items():
            for phase in range(self.interval):
                window = range(self._start + phase, self._start + self.span, self.interval)
                here = [frame for frame in window if frame in frames]
                if here:
                    self._ask(track, window, here, frames)
        self._start += self.hop
        left = {
            track: {frame: kept for frame, kept in frames.items() if frame >= self._start}
            for track, frames in self._kept.items()
        }
        self._kept = {track: frames for track, frames in left.items() if frames}

    def _ask(self, track: int, window: range, here: list[int], frames: dict[int, tuple[Tensor, ClipCrops]]) -> None:
        blank, crops = frames[here[0]]
        nobody = torch.zeros_like(crops.present)
        absent = torch.zeros_like(blank), replace(crops, present=nobody, wanted=nobody)
        parts = [frames.get(frame, absent) for frame in window]
        whole = ClipCrops.joined([crops for _, crops in parts], dim=1)
        pose = self.method.through_time(torch.cat([looked for looked, _ in parts], dim=1), whole).pose
        pose = pose.map(lambda tensor: tensor.cpu()[whole.wanted.cpu()])
        for row, frame in enumerate(here):
            place = (frame - self._start + 0.5) / self.span
            weight = 1e-3 + 1 - abs(2 * place - 1)  # a tent; never nothing, for the ends have one window only
            one = pose.map(itemgetter(row)).map(partial(torch.mul, torch.tensor(weight)))
            total = self._sums.get((frame, track))
            if total is None:
                self._sums[frame, track] = _Sum(one.rotations, one.shape, one.translation, weight)
            else:
                total.rotations = total.rotations + one.rotations
                total.shape, total.translation = total.shape + one.shape, total.translation + one.translation
                total.weight += weight
