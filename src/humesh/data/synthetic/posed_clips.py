"""Moving people without pictures: what a detector would find in them frame by frame.

For networks that see points through time. Motion is that of the files' clips at the speeds of usual cameras, which
stand still, turn or are carried along; a detector's error in one frame is much like that in the frame before.
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
from scipy.special import ndtr
from torch import Tensor

from humesh.body.joints import JOTR30
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.crops.crops import ClipCrops, CropSpec
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
from humesh.data.synthetic.motion import Motion, MotionError
from humesh.data.synthetic.points import FEWEST, LIMBS33, Points, batch_of, rig_of, sample_of
from humesh.data.synthetic.poses import ClipSampler, draw_shapes

_FPS = (7.5, 60.0)  # of the frames that are used: one to four of a camera's apart
_HELD_OUT = 10_000  # the last numbers play sequences that no other number plays: every tenth one
_NEAREST_M = 0.3  # of any joint to the camera
_FARTHEST_M = 3.0  # from the place that the camera looks at
_STILL = 0.5  # share of cameras that do not move
_TURNING, _CARRIED = (0.15, 0.25, 0.05), (0.25, 0.1, 0.3)  # deviations of the others' speeds: rad/s and m/s, each axis
_GUESSED, _GUESS_SD = 0.6, 0.2  # how often the focal length is not known, and the sd of its logarithm then


class PosedClips:
    """One person in some `frames` (fewest, most) of a black video of `size` pixels; equal numbers, equal clips."""

    def __init__(
        self, motion: Sequence[str | Path], *, count: int = 10**8, frames: tuple[int, int] = (8, 64), size: int = 256,
        seed: int = 0, body: BodyModel | None = None,
    ) -> None:  # fmt: skip
        self.body = body or BodyModel.load("open-low")
        self.motion, self.rig = Motion.read(motion), rig_of(self.body)
        self.count, self.frames, self.size, self.seed = count, frames, size, seed
        self.tracks: tuple[range, ...] = ()
        long = [clip for clip in self.motion.clips if clip.length / clip.fps > frames[1] / _FPS[1]]
        if not long:
            raise MotionError(
                f"motion: expected clips of at least {frames[1]} frames at {_FPS[1]:g} a second, found none."
            )
        kept = [clip for clip in long if clip.sequence % 10 == 9], [clip for clip in long if clip.sequence % 10 != 9]
        self.held_out, self.clips = (
            ClipSampler(self.motion, clips, self.body) for clips in (kept if all(kept) else (long, long))
        )

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        """The first frame of a clip."""
        people, *_ = self.people([index], default_rng([self.seed, 8, index]))
        return sample_of(people.rows(torch.tensor([0])), index, f"posed clip {index}")

    def batch(self, numbers: Sequence[int], spec: CropSpec, augment: Augment, g: Generator) -> Batch:
        """The clips of some numbers, all of one length; drawn from the numbers, and varied enough as they are."""
        g = default_rng([self.seed, 8, *numbers])
        with torch.no_grad():
            people, present, seconds = self.people(numbers, g)
        n, frames = seconds.shape
        batch = batch_of(people, np.repeat(numbers, frames).tolist(), spec, replace(augment, centre=0.0, scale=0.0), g)
        batch = batch.map(lambda tensor: tensor[:, 0].unflatten(0, (n, frames)))
        present = present.unflatten(0, (n, frames))
        crops = ClipCrops(**vars(batch.crops) | {"present": present, "wanted": present}, seconds=seconds)
        weights = {name: value for name, value in vars(batch.targets).items() if name.endswith("_weight")}
        for name, weight in weights.items():
            weights[name] = torch.where(present.reshape(*present.shape, *[1] * (weight.dim() - 2)), weight, 0.0)
        return Batch(crops, replace(batch.targets, **weights))

    def people(self, numbers: Sequence[int], g: Generator) -> tuple[Points, Tensor, Float[Tensor, "n T"]]:
        """The clips' people in all frames, one after the other, in which of these enough is visible, and the times."""
        n, frames = len(numbers), int(np.exp(g.uniform(np.log(self.frames[0]), np.log(self.frames[1] + 1))))
        samplers = [self.held_out if number >= self.count - _HELD_OUT else self.clips for number in numbers]
        played = self.clips.play([sampler.choose(g) for sampler in samplers], frames, _FPS, g)
        rotations, moved, seconds = map(as_tensor, played)
        turn = as_tensor(draw_turns(n, g))
        rotations = torch.cat([turn[:, None, None] @ rotations[:, :, :1], rotations[:, :, 1:]], dim=2)
        moved = moved @ turn.mT
        shapes = as_tensor(draw_shapes(n, self.body, g))[:, None].expand(-1, frames, -1)
        pose = BodyPose(rotations, shapes, moved).map(lambda tensor: tensor.flatten(0, 1))
        points, joints = (part.unflatten(0, (n, frames)) for part in self.rig.points(self.body, pose))
        middle, count = frames // 2, len(JOTR30)
        nearest = torch.cat([points[:, middle, :, 2], joints[:, middle, :, 2]], dim=1).amin(1)
        focal, shift = draw_cameras(points[:, middle, :count], nearest, self.size, g)
        swing, carried = _draw_camera_motion(seconds - seconds[:, middle : middle + 1], g)
        # Who comes too near to the camera or goes far away stays in place, before a camera that does so too.
        deep = (swing @ (joints + shift[:, None, None]).mT).mT[..., 2].amin(-1) + carried[..., 2]
        away = (moved[..., 2] - moved[:, middle : middle + 1, 2] + carried[..., 2]).abs().amax(1)
        still = ((deep.amin(1) < _NEAREST_M) | (away > _FARTHEST_M))[:, None, None]
        shift = (shift[:, None] - torch.where(still, moved - moved[:, middle : middle + 1], 0.0)).flatten(0, 1)
        swing = torch.where(still[..., None], torch.eye(3), swing).flatten(0, 1)
        carried = torch.where(still, 0.0, carried).flatten(0, 1)
        pelvis = self.body.rest_joints(pose.shape)[:, 0]
        root = swing @ pose.rotations[:, 0]
        place = (swing @ (pose.translation + pelvis + shift)[..., None])[..., 0] + carried - pelvis
        rotations = torch.cat([root[:, None], pose.rotations[:, 1:]], dim=1)
        points, joints = (
            (part.flatten(0, 1) + shift[:, None]) @ swing.mT + carried[:, None] for part in (points, joints)
        )
        focal = focal.repeat_interleave(frames)
        pixels, visible = project(points, joints, focal, self.size)
        of_clips = pixels.unflatten(0, (n, frames)).flatten(1, 2)
        visible &= ~is_behind_boxes(of_clips, self.size, g).unflatten(1, (frames, -1)).flatten(0, 1)
        noise, size = LastingNoise(g, seconds.double().numpy()), (self.size, self.size)
        points33, pixels33, visible33 = (part[:, count:] for part in (points, pixels, visible))
        keypoints, landmarks = simulate_detection(points33, pixels33, visible33, focal, size, noise)
        present = (visible[:, count:][:, LIMBS33].sum(-1) >= FEWEST) & (joints[..., 2] > _NEAREST_M).all(-1)
        # With a wrong focal length everybody seems nearer or farther, and as large in the picture.
        factor = np.where(g.random(n) < _GUESSED, np.exp(g.normal(0, _GUESS_SD, n)), 1.0)
        wrong, farther = as_tensor(factor).repeat_interleave(frames), torch.zeros(n * frames, 3)
        farther[:, 2] = (wrong - 1) * (place + pelvis)[:, 2]
        people = Points(
            BodyPose(rotations, pose.shape, place + farther), points[:, :count] + farther[:, None], pixels[:, :count],
            visible[:, :count], keypoints, landmarks, camera_matrices(focal * wrong, self.size),
            torch.full((n * frames, 2), float(self.size)),
        )  # fmt: skip
        # A clip in which nobody is ever visible teaches nothing, but a group must hold somebody.
        present = present.unflatten(0, (n, frames))
        return people, (present | ~present.any(1, keepdim=True)).flatten(), seconds


def _draw_camera_motion(seconds: Float[Tensor, "n T"], g: Generator) -> tuple[Tensor, Tensor]:
    """How the world turns about the camera and passes it, at times from the middle frame on."""
    n = len(seconds)
    speeds = as_tensor((g.random(n) >= _STILL)[:, None] * g.normal(0, [*_TURNING, *_CARRIED], (n, 6)))
    way = seconds[..., None] * speeds[:, None]
    return roma.rotvec_to_rotmat(way[..., :3]), way[..., 3:]


_LASTING = ((0.2, 0.4), (2.0, 0.6))
"""Seconds after which what lasts is a share 1 / e of what it was, and the variances' shares."""
_FRESH = (0.03, 0.4)
"""The share of the variance that is each frame's own, in one clip less than in another."""


class LastingNoise(Generator):
    """A generator of numbers whose rows are the frames of n clips, one clip after the other.

    Every number is distributed normally (or uniformly) as another generator's, but correlated in time as the errors of
    `PeopleFinder` on rendered videos are: 0.84 from one frame at 30 a second to the next, 0.6 after 8, 0.4 after 20.
    """

    def __init__(self, g: Generator, seconds: Float[np.ndarray, "n T"]) -> None:
        super().__init__(g.bit_generator)
        self.shape, self.steps = seconds.shape, np.diff(seconds, axis=1)
        self.fresh = np.exp(g.uniform(np.log(_FRESH[0]), np.log(_FRESH[1]), len(seconds)))

    def standard_normal(  # type: ignore[override]
        self, size: int | tuple[int, ...]
    ) -> Float[np.ndarray, "..."]:
        """Normal numbers; one axis of `size` is that of the n T frames."""
        size, (n, frames) = (size,) if isinstance(size, int) else size, self.shape
        axis = size.index(n * frames)
        rest = size[:axis] + size[axis + 1 :]
        ones, draw = (1,) * len(rest), super().standard_normal
        found = np.sqrt(self.fresh).reshape(-1, 1, *ones) * draw((n, frames, *rest))
        for lasts_s, share in _LASTING:
            keep = np.exp(-self.steps / lasts_s).reshape(n, frames - 1, *ones)
            noise = draw((n, frames, *rest))
            for frame in range(1, frames):
                like = keep[:, frame - 1]
                noise[:, frame] = like * noise[:, frame - 1] + np.sqrt(1 - like**2) * noise[:, frame]
            found += np.sqrt(share * (1 - self.fresh)).reshape(-1, 1, *ones) * noise
        return np.moveaxis(found.reshape(n * frames, *rest), 0, axis)

    def random(self, size: int | tuple[int, ...]) -> Float[np.ndarray, "..."]:  # type: ignore[override]
        """Uniform numbers from 0 to 1: the normal ones' places in their distribution."""
        return ndtr(self.standard_normal(size))
