"""Our own test sets: clips of a moving person as keypoints, and what makes a rendered person difficult."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import torch
from numpy.random import default_rng
from torch import Tensor

from humesh.body.joints import JOTR30, LIMBS12
from humesh.body.pose_prior import PosePrior
from humesh.data.sample import LabelledPerson, Sample
from humesh.data.synthetic.posed import Points, PosedClips, sample_of

CLIP_FRAMES = 64
"""Frames of a clip, whatever number of them a method sees together."""
_LIMBS = JOTR30.indices(*LIMBS12.names)
_UNUSUAL_NATS = -1.0  # of the pose prior; a quarter of the test's poses have more
_STEEP = 0.5  # sine of 30 degrees: viewed from that far above or below


class ClipFrames:
    """The frames of `count` clips, each clip a track; frames in which too little of the person is visible are empty.

    The same seed has the same clips.
    """

    def __init__(self, motion: Sequence[str | Path], count: int, seed: int, frames: int = CLIP_FRAMES) -> None:
        self.clips, self.seed, self.frames = PosedClips(motion, frames=(frames, frames), seed=seed), seed, frames
        self.tracks = tuple(range(i * frames, (i + 1) * frames) for i in range(count))
        self._clip = lru_cache(maxsize=4)(self._make)  # threads read ahead

    def __len__(self) -> int:
        return len(self.tracks) * self.frames

    def __getitem__(self, index: int) -> Sample:
        clip, frame = divmod(index, self.frames)
        people, visible, seconds = self._clip(clip)
        name = f"clip {clip:05d}"
        sample = sample_of(people.rows(torch.tensor([frame])), clip, f"{name}/{frame:05d}")
        labelled = sample.people if visible[frame] else ()
        return replace(sample, people=labelled, sequence=name, frame=frame, time_s=float(seconds[frame]))

    def _make(self, clip: int) -> tuple[Points, Tensor, Tensor]:
        with torch.no_grad():
            people, visible, seconds = self.clips.people([clip], default_rng([self.seed, 8, clip]))
        return people, visible, seconds[0]


def difficulties(sample: Sample, person: LabelledPerson) -> frozenset[str]:
    """What makes a person difficult: limb joints outside of the photo or hidden, company, pose, view, distance."""
    width, height = sample.photo.size
    pixels, hidden = person.points2d[_LIMBS], 1 - person.visible[_LIMBS]
    inside = ((pixels >= 0) & (pixels < torch.tensor([width, height]))).all(-1)
    up = person.pose.rotations[0, :, 1] if len(person.pose.rotations) else torch.zeros(3)
    towards = person.points3d[JOTR30.index("pelvis")]
    size = float((person.seen.box[2:] - person.seen.box[:2]).max()) / max(width, height)
    is_ = {
        "truncated": bool((~inside).any()),
        "occluded": float(hidden[inside].mean() if inside.any() else 1.0) > 1 / 2,
        "crowded": len(sample.people) > 1,
        "unusual pose": float(PosePrior.load().energy(person.pose.rotations.double())) > _UNUSUAL_NATS,
        "extreme view": abs(float(up @ (towards / towards.norm()))) > _STEEP,
        "small": size < 0.4,
        "near": float(towards[2]) < 2.0,
    }
    return frozenset(name for name, value in is_.items() if value) or frozenset({"easy"})
