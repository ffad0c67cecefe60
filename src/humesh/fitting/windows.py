"""Methods for clips (INT, the lifter through time) on videos of any length: overlapping windows, cross-faded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from operator import itemgetter

import roma
import torch
from torch import Tensor

from humesh.body.pose import BodyPose
from humesh.crops.crops import ClipCrops, Crops
from humesh.methods.base import ClipMethod


class Windows:
    """Looks at the crops of tracks frame by frame, then at windows of `length` frames, `interval` apart, together.

    A window spans length x interval frames; the next ones begin half of that later, so that every frame is in two of
    them but at the ends, and their poses are mixed by how near to their middles it lies. Each crop is looked at once;
    what that gave is kept for one span, pixels are not. Frames without the person are absent.
    """

    def __init__(
        self,
        method: ClipMethod,
        length: int,
        interval: int = 1,
        device: torch.device | None = None,
        at_once: int = 1,
    ) -> None:
        self.method, self.length, self.interval, self.at_once = method, length, interval, at_once
        self.device = device or torch.device("cpu")
        self.span = length * interval
        self.hop = max(self.span // 2, 1)
        self._start = 0
        self._kept: dict[int, dict[int, tuple[Tensor, ClipCrops]]] = {}
        self._sums: dict[tuple[int, int], tuple[BodyPose, float]] = {}  # weighed poses of a frame and track

    @torch.no_grad()
    def add(self, frames: Sequence[tuple[int, float, list[int]]], crops: Crops) -> None:
        """Frames with their times in seconds and tracks, and the crops `B 1` of all their people.

        They are copied to the device together, once.
        """
        seconds = torch.tensor([[time_s] for _, time_s, tracks in frames for _ in tracks]).to(self.device)
        crops = crops.map(lambda tensor: tensor.to(self.device))
        looked = self.method.frame_features(crops)
        blank = crops.pixels.new_zeros(()).expand(crops.pixels.shape)  # of them only the size is needed from here on
        timed = ClipCrops(**vars(replace(crops, pixels=blank)), seconds=seconds.to(looked.dtype))
        row = 0
        for frame, _, tracks in frames:
            while frame >= self._start + self.span:
                self._run()
            for track in tracks:
                one = itemgetter(slice(row, row + 1))
                self._kept.setdefault(track, {})[frame] = one(looked), timed.map(one)
                row += 1

    def ready(self) -> dict[tuple[int, int], BodyPose]:
        """Poses by (frame, track), in that order, that no later window can change; each is given once."""
        return self._mixed(sorted(key for key in self._sums if key[0] < self._start))

    def poses(self) -> dict[tuple[int, int], BodyPose]:
        """All other poses by (frame, track), in that order, after the last frame."""
        last = max((frame for frames in self._kept.values() for frame in frames), default=-1)
        while self._kept:
            seen_to = self._start + self.span
            self._run()
            if seen_to > last:
                self._kept = {}
        return self._mixed(sorted(self._sums))

    def _mixed(self, keys: list[tuple[int, int]]) -> dict[tuple[int, int], BodyPose]:
        poses = {}
        for key in keys:
            total, weight = self._sums.pop(key)
            turns, share = roma.special_procrustes(total.rotations), 1 / weight
            poses[key] = BodyPose(turns, total.shape * share, total.translation * share)
        return poses

    @torch.no_grad()
    def _run(self) -> None:
        """All windows of the span that begins at the start, `at_once` together; then on by a hop."""
        windows = [
            (track, here, self._clip(window, frames))
            for track, frames in self._kept.items()
            for phase in range(self.interval)
            for window in [range(self._start + phase, self._start + self.span, self.interval)]
            if (here := [frame for frame in window if frame in frames])
        ]
        for first in range(0, len(windows), self.at_once):
            some = windows[first : first + self.at_once]
            features, crops = zip(*(clip for _, _, clip in some), strict=True)
            pose = self.method.through_time(torch.cat(features), ClipCrops.joined(crops)).pose.map(Tensor.cpu)
            for row, (track, here, _) in enumerate(some):
                places = [(frame - self._start) // self.interval for frame in here]
                self._add(track, here, pose.map(lambda tensor: tensor[row, places]))  # noqa: B023
        self._start += self.hop
        left = {
            track: {frame: kept for frame, kept in frames.items() if frame >= self._start}
            for track, frames in self._kept.items()
        }
        self._kept = {track: frames for track, frames in left.items() if frames}

    def _clip(self, window: range, frames: dict[int, tuple[Tensor, ClipCrops]]) -> tuple[Tensor, ClipCrops]:
        """The features and crops of a window's frames, those without the person absent."""
        blank, crops = next(frames[frame] for frame in window if frame in frames)
        nobody = torch.zeros_like(crops.present)
        absent = torch.zeros_like(blank), replace(crops, present=nobody, wanted=nobody)
        parts = [frames.get(frame, absent) for frame in window]
        return torch.cat([looked for looked, _ in parts], dim=1), ClipCrops.joined([crops for _, crops in parts], dim=1)

    def _add(self, track: int, here: list[int], pose: BodyPose) -> None:
        """Adds a window's poses of some frames to their sums."""
        for row, frame in enumerate(here):
            place = (frame - self._start + 0.5) / self.span
            weight = 1e-3 + 1 - abs(2 * place - 1)  # a tent; never nothing, for the ends have one window only
            one = pose.map(itemgetter(row)).map(partial(torch.mul, torch.tensor(weight)))
            if (frame, track) in self._sums:
                total, weights = self._sums[frame, track]
                one = BodyPose(
                    total.rotations + one.rotations, total.shape + one.shape, total.translation + one.translation
                )
                weight += weights
            self._sums[frame, track] = one, weight
