"""People without pictures: poses, cameras and simulated detections, for networks that are given points alone.

Hundreds are made at once. Poses are drawn as for the rendered scenes, cameras too. What hides a joint is only roughly
true: limbs as capsules, the photo's edge, and boxes held before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.random import Generator, default_rng

from humesh.body.joints import JOTR30
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.crops.crops import CropSpec
from humesh.data.augment import Augment
from humesh.data.batch import Batch
from humesh.data.landmark_errors import simulate_detection
from humesh.data.sample import Sample
from humesh.data.synthetic.cameras import (
    as_tensor,
    camera_matrices,
    draw_cameras,
    draw_turns,
    is_behind_boxes,
    project,
)
from humesh.data.synthetic.motion import Motion
from humesh.data.synthetic.points import FEWEST, LIMBS33, Points, batch_of, rig_of, sample_of
from humesh.data.synthetic.poses import PoseSampler, draw_shapes, mirrored

_CHUNK, _VIEWS = 512, 4  # people made at once, and views of each pose among them: poses are what takes time


class PosedPeople:
    """One labelled person a sample, in a black photo of `size` pixels; the same seed and number, the same sample."""

    def __init__(
        self, motion: Sequence[str | Path], *, count: int = 10**8, size: int = 256, seed: int = 0,
        body: BodyModel | None = None,
    ) -> None:  # fmt: skip
        self.body = body or BodyModel.load("open-low")
        self.poses, self.rig = PoseSampler(Motion.read(motion), self.body), rig_of(self.body)
        self.count, self.size, self.seed = count, size, seed
        self.tracks: tuple[range, ...] = ()
        self._last: tuple[int, Points] | None = None

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.count:
            raise IndexError(f"expected a sample below {self.count}, got {index}.")
        return sample_of(self.people([index]), index, f"posed {index}")

    def batch(self, numbers: Sequence[int], spec: CropSpec, augment: Augment, g: Generator) -> Batch:
        """The people of some numbers at once; of the augmentation the box's changes and the focal length's alone."""
        return batch_of(self.people(numbers), numbers, spec, augment, g)

    def people(self, numbers: Sequence[int]) -> Points:
        """The people of some numbers, ordered by chunk."""
        parts = []
        for chunk in sorted({number // _CHUNK for number in numbers}):
            rows = torch.tensor([number % _CHUNK for number in numbers if number // _CHUNK == chunk])
            parts.append(self.chunk(chunk).rows(rows))
        return Points.joined(parts)

    def chunk(self, number: int) -> Points:
        """The people of numbers from `512 number` on."""
        if self._last is None or self._last[0] != number:
            with torch.no_grad():
                self._last = number, self._drawn(default_rng([self.seed, 7, number]))
        return self._last[1]

    def _drawn(self, g: Generator) -> Points:
        """A chunk; whoever shows too little is replaced by somebody else of it."""
        drawn = np.stack([self.poses.draw(g) for _ in range(_CHUNK // _VIEWS)]).repeat(_VIEWS, 0)
        poses = drawn[g.permutation(_CHUNK)]
        flips = g.random(_CHUNK) < 0.5
        poses[flips] = mirrored(poses[flips])
        poses[:, 0] = draw_turns(_CHUNK, g) @ poses[:, 0]
        shapes = as_tensor(draw_shapes(_CHUNK, self.body, g))
        rotations, size, here = as_tensor(poses), (self.size, self.size), slice(len(JOTR30))
        points, joints = self.rig.points(self.body, BodyPose(rotations, shapes, torch.zeros(_CHUNK, 3)))
        nearest = torch.cat([points[..., 2], joints[..., 2]], dim=1).amin(1)
        focal, shift = draw_cameras(points[:, here], nearest, self.size, g)
        points, joints = points + shift[:, None], joints + shift[:, None]
        pixels, visible = project(points, joints, focal, self.size)
        visible &= ~is_behind_boxes(pixels, self.size, g)
        points33, pixels33, visible33 = (part[:, len(JOTR30) :] for part in (points, pixels, visible))
        keypoints, landmarks = simulate_detection(points33, pixels33, visible33, focal, size, g)
        chunk = Points(
            BodyPose(rotations, shapes, shift), points[:, here], pixels[:, here], visible[:, here], keypoints,
            landmarks, camera_matrices(focal, self.size), torch.full((_CHUNK, 2), float(self.size)),
        )  # fmt: skip
        enough = (visible[:, len(JOTR30) :][:, LIMBS33].sum(-1) >= FEWEST).nonzero()[:, 0]
        return chunk.rows(enough[torch.arange(_CHUNK) % len(enough)])
