"""People moving before a still camera, without pictures: what a detector would say of them frame by frame.

For networks that look at points through time. Motion is that of the files' clips, at the speeds of usual cameras; a
detector's error in one frame is much like that in the frame before, in some videos more than in others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import roma
import torch
from jaxtyping import Float
from numpy.random import Generator, default_rng
from torch import Tensor

from humesh.body.joints import JOTR30, MEDIAPIPE33, SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.data.augment import Augment
from humesh.data.batch import Batch
from humesh.data.sample import Sample
from humesh.data.synthetic.motion import REFERENCE_LEG, Motion, MotionError, rotations
from humesh.data.synthetic.points import Points, batch_of, sample_of
from humesh.data.synthetic.posed import (
    FEWEST,
    LIMBS33,
    behind_boxes,
    camera_matrices,
    cameras,
    rig_of_both,
    seen_from,
    turns,
)
from humesh.data.synthetic.poses import RARE, mirrored
from humesh.data.synthetic.seen import seen_people
from humesh.images.crops import CropSpec
from humesh.losses.targets import Targets

_FPS = (12.0, 30.0)  # of the videos; INT's frames are one to a few of a camera's apart
_LIKE = (0.3, 0.95)  # correlation of a detector's errors from frame to frame
_NEAREST_M = 0.3  # of any joint to the camera
_MOST_AWAY_M = 3.0  # from where the camera looks


class PosedClips:
    """One person in `frames` frames of a black video of `size` pixels; the same seed and number, the same clip."""

    def __init__(
        self, motion: Sequence[str | Path], *, count: int = 10**8, frames: int = 16, size: int = 256, seed: int = 0,
        body: BodyModel | None = None,
    ) -> None:  # fmt: skip
        self.body = body or BodyModel.load("open-low")
        self.motion, self.rig = Motion.read(motion), rig_of_both(self.body)
        self.count, self.frames, self.size, self.seed = count, frames, size, seed
        self.tracks: tuple[range, ...] = ()
        self.clips = [clip for clip in self.motion.clips if clip.length / clip.fps > frames / _FPS[1]]
        if not self.clips:
            raise MotionError(
                f"motion: expected clips of at least {frames} frames at {_FPS[1]:g} a second, found none."
            )
        weights = np.array([RARE.get(self.motion.categories[c.category], 5) for c in self.clips], dtype=np.float64)
        shares = np.bincount([c.category for c in self.clips], [c.length for c in self.clips])
        lengths = np.array([clip.length / shares[clip.category] for clip in self.clips])
        self.weights = weights * lengths / (weights * lengths).sum()
        rest = self.body.rest_joints(torch.zeros(self.body.shapes))
        leg = rest[SMPL24.indices("left_hip", "left_ankle"), 1]
        self.stride = float(leg[0] - leg[1]) / REFERENCE_LEG

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        """The first frame of a clip."""
        people, _ = self.people(1, default_rng([self.seed, 8, index]))
        return sample_of(people.rows(torch.tensor([0])), index, f"posed clip {index}")

    def batch(self, numbers: Sequence[int], spec: CropSpec, augment: Augment, g: Generator) -> Batch:
        """As many clips as numbers, drawn from `g`; nothing is augmented: they are varied enough."""
        n, frames = len(numbers), self.frames
        with torch.no_grad():
            people, there = self.people(n, g)
        rows = np.repeat(numbers, frames).tolist()
        plain = replace(augment, mirror=0.0, roll=0.0, centre=0.0, scale=0.0)
        batch = batch_of(people, rows, spec, plain, self.body, g)
        batch = batch.map(lambda tensor: tensor[:, 0].unflatten(0, (n, frames)))
        present = there.unflatten(0, (n, frames))
        crops = replace(batch.crops, present=present, wanted=present)
        weights = [name for name in vars(batch.targets) if name.endswith("_weight")]

        def where_seen(weight: Tensor) -> Tensor:
            return torch.where(present.reshape(*present.shape, *[1] * (weight.dim() - 2)), weight, 0.0)

        seen = {name: where_seen(getattr(batch.targets, name)) for name in weights}
        return Batch(crops, Targets(**(vars(batch.targets) | seen)))

    def people(self, n: int, g: Generator) -> tuple[Points, Tensor]:
        """n people in all their frames, one after the other, and in which of these enough of them is seen."""
        frames = self.frames
        poses, places = zip(*(self._play(g) for _ in range(n)), strict=True)
        turned, moved = torch.from_numpy(np.stack(poses)).float(), torch.from_numpy(np.stack(places)).float()
        turn = torch.from_numpy(turns(n, g)).float()
        turned = torch.cat([turn[:, None, None] @ turned[:, :, :1], turned[:, :, 1:]], dim=2)
        moved = moved @ turn.mT
        shapes = torch.from_numpy(np.clip(g.normal(0, 1, (n, self.body.shapes)), -2.2, 2.2)).float()
        pose = BodyPose(turned, shapes[:, None].expand(-1, frames, -1), moved).map(lambda tensor: tensor.flatten(0, 1))
        points, joints = (part.unflatten(0, (n, frames)) for part in self.rig.points(self.body, pose))
        middle = frames // 2
        focal, shift = cameras(points[:, middle], joints[:, middle], self.size, g)
        # Who comes too near to the camera or goes far away stays in place.
        deep = (joints[..., 2] + shift[:, None, None, 2]).amin((1, 2))
        away = (moved[..., 2] - moved[:, middle : middle + 1, 2]).abs().amax(1)
        still = (deep < _NEAREST_M) | (away > _MOST_AWAY_M)
        back = torch.where(still[:, None, None], moved - moved[:, middle : middle + 1], 0.0)
        shift = (shift[:, None] - back).flatten(0, 1)
        points, joints = points.flatten(0, 1) + shift[:, None], joints.flatten(0, 1) + shift[:, None]
        focal = focal.repeat_interleave(frames)
        pixels, visible = seen_from(points, joints, focal, self.size)
        of_clips = pixels.unflatten(0, (n, frames)).flatten(1, 2)
        visible &= ~behind_boxes(of_clips, self.size, g).unflatten(1, (frames, -1)).flatten(0, 1)
        told = self._told(pixels[:, len(JOTR30) :], visible[:, len(JOTR30) :], n, g)
        nothing = torch.zeros(n * frames, len(MEDIAPIPE33), 3)
        people = Points(
            BodyPose(pose.rotations, pose.shape, pose.translation + shift), points[:, : len(JOTR30)],
            pixels[:, : len(JOTR30)], visible[:, : len(JOTR30)], told, nothing, camera_matrices(focal, self.size),
            torch.full((n * frames, 2), float(self.size)),
        )  # fmt: skip
        there = visible[:, len(JOTR30) :][:, LIMBS33].sum(-1) >= FEWEST
        there &= (joints[..., 2] > _NEAREST_M).all(-1)
        # A clip in which nobody is ever seen teaches nothing, but a group must hold somebody.
        there = there.unflatten(0, (n, frames))
        return people, (there | ~there.any(1, keepdim=True)).flatten()

    def _play(self, g: Generator) -> tuple[Float[np.ndarray, "T 24 3 3"], Float[np.ndarray, "T 3"]]:
        """Poses and places (metres, world) of a piece of a clip at a camera's speed, mirrored half of the time."""
        clip = self.clips[g.choice(len(self.clips), p=self.weights)]
        slowest = max(_FPS[0], clip.fps * (self.frames - 1) / (clip.length - 1))
        step = clip.fps / g.uniform(min(slowest, _FPS[1]), _FPS[1])
        first = g.uniform(0, max(clip.length - 1 - step * (self.frames - 1), 0))
        when = np.minimum(first + step * np.arange(self.frames), clip.length - 1)
        before = np.minimum(when.astype(np.int64), clip.length - 2)
        share = when - before
        vectors = self.motion.poses[clip.start + before[0] : clip.start + before[-1] + 2].astype(np.float64)
        turned = torch.from_numpy(rotations(vectors))
        here, there = turned[before - before[0]], turned[before - before[0] + 1]
        part = torch.from_numpy(share)[:, None, None] * roma.rotmat_to_rotvec(here.mT @ there)
        poses = (here @ roma.rotvec_to_rotmat(part)).numpy()
        ends = (self.motion.places[clip.start + before + k].astype(np.float64) for k in (0, 1))
        places = self.stride * sum(weight[:, None] * end for weight, end in zip((1 - share, share), ends, strict=True))
        if g.random() < 0.5:
            poses, places = mirrored(poses), places * [-1, 1, 1]
        return poses, places - places[self.frames // 2]

    def _told(self, pixels: Float[Tensor, "P 33 2"], visible: Tensor, n: int, g: Generator) -> Float[Tensor, "P 33 3"]:
        """Keypoints whose errors are each frame's own in part, and in part those of the frame before (an AR(1))."""
        size = (self.size, self.size)
        nobody = np.zeros((len(pixels), 0, len(MEDIAPIPE33), 2))
        fresh = torch.from_numpy(seen_people(pixels.double().numpy(), visible.numpy(), nobody, size, g)).float()
        off = torch.cat([fresh[..., :2] - pixels, fresh[..., 2:]], dim=-1).unflatten(0, (n, self.frames))
        like = torch.from_numpy(g.uniform(*_LIKE, (n, 1, 1))).float()
        keep = torch.cat([like, like, like**2], dim=-1)  # places as noise of constant size, confidences as a mean
        new = torch.cat([(1 - like**2).sqrt(), (1 - like**2).sqrt(), 1 - like**2], dim=-1)
        told = [off[:, 0]]
        for frame in range(1, self.frames):
            told.append(keep * told[-1] + new * off[:, frame])
        errors = torch.stack(told, dim=1).flatten(0, 1)
        return torch.cat([pixels + errors[..., :2], errors[..., 2:]], dim=-1)
