"""Our posed clips as a benchmark: the same clips of one person each for the same seed, frame by frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import torch
from numpy.random import default_rng
from torch import Tensor

from humesh.data.sample import Sample
from humesh.data.synthetic.points import Points, sample_of
from humesh.data.synthetic.posed_clips import PosedClips

CLIP_FRAMES = 64
"""Frames of a clip, whatever number of them a method sees together."""


class ClipFrames:
    """The frames of `count` clips, each clip a track; frames in which too little of the person is seen are empty."""

    def __init__(self, motion: Sequence[str | Path], count: int, seed: int, frames: int = CLIP_FRAMES) -> None:
        self.clips, self.seed, self.frames = PosedClips(motion, frames=(frames, frames), seed=seed), seed, frames
        self.tracks = tuple(range(i * frames, (i + 1) * frames) for i in range(count))
        self._clip = lru_cache(maxsize=4)(self._drawn)  # threads read ahead

    def __len__(self) -> int:
        return len(self.tracks) * self.frames

    def __getitem__(self, index: int) -> Sample:
        clip, frame = divmod(index, self.frames)
        people, seen, seconds = self._clip(clip)
        name = f"clip {clip:05d}"
        sample = sample_of(people.rows(torch.tensor([frame])), clip, f"{name}/{frame:05d}")
        whole = sample.people if seen[frame] else ()
        return replace(sample, people=whole, sequence=name, frame=frame, time_s=float(seconds[frame]))

    def _drawn(self, clip: int) -> tuple[Points, Tensor, Tensor]:
        with torch.no_grad():
            people, seen, seconds = self.clips.people([clip], default_rng([self.seed, 8, clip]))
        return people, seen, seconds[0]
