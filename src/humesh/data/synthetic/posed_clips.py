"""People moving before a camera, without pictures: what a detector would see of them frame by frame.

For networks that look at points through time. Motion is that of the files' clips at the speeds of usual cameras, which
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
from torch import Tensor

from humesh.body.joints import JOTR30, MEDIAPIPE33, SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.crops.crops import ClipCrops, CropSpec
from humesh.data.augment import Augment
from humesh.data.batch import Batch
from humesh.data.sample import Sample
from humesh.data.synthetic.motion import REFERENCE_LEG, Clip, Motion, MotionError, rotations
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
from humesh.data.synthetic.seen import looked_at
from humesh.data.synthetic.steady import SteadyNoise
from humesh.losses.targets import Targets

_FPS = (7.5, 60.0)  # of the frames looked at: one to four of a camera's apart
_HELD_OUT = 10_000  # the last numbers play sequences that no other number plays: every tenth one
_NEAREST_M = 0.3  # of any joint to the camera
_MOST_AWAY_M = 3.0  # from where the camera looks
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
        self.motion, self.rig = Motion.read(motion), rig_of_both(self.body)
        self.count, self.frames, self.size, self.seed = count, frames, size, seed
        self.tracks: tuple[range, ...] = ()
        long = [clip for clip in self.motion.clips if clip.length / clip.fps > frames[1] / _FPS[1]]
        if not long:
            raise MotionError(
                f"motion: expected clips of at least {frames[1]} frames at {_FPS[1]:g} a second, found none."
            )
        kept = [clip for clip in long if clip.sequence % 10 == 9], [clip for clip in long if clip.sequence % 10 != 9]
        self.held_out, self.clips = map(self._weighed, kept if all(kept) else (long, long))
        rest = self.body.rest_joints(torch.zeros(self.body.shapes))
        leg = rest[SMPL24.indices("left_hip", "left_ankle"), 1]
        self.stride = float(leg[0] - leg[1]) / REFERENCE_LEG

    def _weighed(self, clips: list[Clip]) -> tuple[list[Clip], Float[np.ndarray, " _"]]:
        """Clips and how often each is played: categories by `RARE`, their clips by length."""
        weights = np.array([RARE.get(self.motion.categories[c.category], 5) for c in clips], dtype=np.float64)
        shares = np.bincount([c.category for c in clips], [c.length for c in clips])
        weights *= [clip.length / shares[clip.category] for clip in clips]
        return clips, weights / weights.sum()

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
            people, there, seconds = self.people(numbers, g)
        n, frames = seconds.shape
        rows = np.repeat(numbers, frames).tolist()
        plain = replace(augment, mirror=0.0, roll=0.0, centre=0.0, scale=0.0)
        batch = batch_of(people, rows, spec, plain, self.body, g)
        batch = batch.map(lambda tensor: tensor[:, 0].unflatten(0, (n, frames)))
        present = there.unflatten(0, (n, frames))
        crops = ClipCrops(**vars(batch.crops) | {"present": present, "wanted": present}, seconds=seconds)
        weights = [name for name in vars(batch.targets) if name.endswith("_weight")]

        def where_seen(weight: Tensor) -> Tensor:
            return torch.where(present.reshape(*present.shape, *[1] * (weight.dim() - 2)), weight, 0.0)

        seen = {name: where_seen(getattr(batch.targets, name)) for name in weights}
        return Batch(crops, Targets(**(vars(batch.targets) | seen)))

    def people(self, numbers: Sequence[int], g: Generator) -> tuple[Points, Tensor, Float[Tensor, "n T"]]:
        """The clips' people in all frames, one after the other, in which of these enough is seen, and the times."""
        n, frames = len(numbers), int(np.exp(g.uniform(np.log(self.frames[0]), np.log(self.frames[1] + 1))))
        kept = [self.held_out if number >= self.count - _HELD_OUT else self.clips for number in numbers]
        drawn = [clips[g.choice(len(clips), p=weights)] for clips, weights in kept]
        turned, moved, seconds = (torch.from_numpy(part).float() for part in self._play(drawn, frames, g))
        turn = torch.from_numpy(turns(n, g)).float()
        turned = torch.cat([turn[:, None, None] @ turned[:, :, :1], turned[:, :, 1:]], dim=2)
        moved = moved @ turn.mT
        shapes = torch.from_numpy(np.clip(g.normal(0, 1, (n, self.body.shapes)), -2.2, 2.2)).float()
        shapes = shapes[:, None].expand(-1, frames, -1)
        pose = BodyPose(turned, shapes, moved).map(lambda tensor: tensor.flatten(0, 1))
        points, joints = (part.unflatten(0, (n, frames)) for part in self.rig.points(self.body, pose))
        middle = frames // 2
        focal, shift = cameras(points[:, middle], joints[:, middle], self.size, g)
        swing, carried = self._camera(seconds - seconds[:, middle : middle + 1], g)
        # Who comes too near to the camera or goes far away stays in place, before a camera that does so too.
        deep = (swing @ (joints + shift[:, None, None]).mT).mT[..., 2].amin(-1) + carried[..., 2]
        away = (moved[..., 2] - moved[:, middle : middle + 1, 2] + carried[..., 2]).abs().amax(1)
        still = ((deep.amin(1) < _NEAREST_M) | (away > _MOST_AWAY_M))[:, None, None]
        shift = (shift[:, None] - torch.where(still, moved - moved[:, middle : middle + 1], 0.0)).flatten(0, 1)
        swing = torch.where(still[..., None], torch.eye(3), swing).flatten(0, 1)
        carried = torch.where(still, 0.0, carried).flatten(0, 1)
        pelvis = self.body.rest_joints(pose.shape)[:, 0]
        root = swing @ pose.rotations[:, 0]
        place = (swing @ (pose.translation + pelvis + shift)[..., None])[..., 0] + carried - pelvis
        pose = BodyPose(torch.cat([root[:, None], pose.rotations[:, 1:]], dim=1), pose.shape, place)
        points, joints = (
            (part.flatten(0, 1) + shift[:, None]) @ swing.mT + carried[:, None] for part in (points, joints)
        )
        focal = focal.repeat_interleave(frames)
        pixels, visible = seen_from(points, joints, focal, self.size)
        of_clips = pixels.unflatten(0, (n, frames)).flatten(1, 2)
        visible &= ~behind_boxes(of_clips, self.size, g).unflatten(1, (frames, -1)).flatten(0, 1)
        count, size = len(JOTR30), (self.size, self.size)
        nobody = np.zeros((len(pixels), 0, len(MEDIAPIPE33), 2))
        noise = SteadyNoise(g, seconds.double().numpy())
        keypoints, landmarks = looked_at(
            points[:, count:], pixels[:, count:], visible[:, count:], focal, nobody, size, noise
        )
        there = visible[:, count:][:, LIMBS33].sum(-1) >= FEWEST
        there &= (joints[..., 2] > _NEAREST_M).all(-1)
        # With a wrong focal length everybody seems nearer or farther, and as large in the picture.
        factor = np.where(g.random(n) < _GUESSED, np.exp(g.normal(0, _GUESS_SD, n)), 1.0)
        wrong = torch.from_numpy(factor).float().repeat_interleave(frames)
        farther = torch.zeros(n * frames, 3)
        farther[:, 2] = (wrong - 1) * (pose.translation + pelvis)[:, 2]
        people = Points(
            replace(pose, translation=pose.translation + farther), points[:, :count] + farther[:, None],
            pixels[:, :count], visible[:, :count], keypoints, landmarks, camera_matrices(focal * wrong, self.size),
            torch.full((n * frames, 2), float(self.size)),
        )  # fmt: skip
        # A clip in which nobody is ever seen teaches nothing, but a group must hold somebody.
        there = there.unflatten(0, (n, frames))
        return people, (there | ~there.any(1, keepdim=True)).flatten(), seconds

    def _play(
        self, clips: Sequence[Clip], frames: int, g: Generator
    ) -> tuple[Float[np.ndarray, "n T 24 3 3"], Float[np.ndarray, "n T 3"], Float[np.ndarray, "n T"]]:
        """Poses, places (metres, world) and times (s) of a piece of each clip, mirrored half of the time."""
        last, fps, start = (np.array([[getattr(c, name)] for c in clips]) for name in ("length", "fps", "start"))
        last = last - 1
        slowest = np.clip(fps * (frames - 1) / last, *_FPS)
        step = fps / np.exp(g.uniform(np.log(slowest), np.log(_FPS[1])))
        when = g.uniform(0, np.maximum(last - step * (frames - 1), 0)) + step * np.arange(frames)
        when = np.minimum(when, last)
        before = np.minimum(when.astype(np.int64), last - 1)
        share = when - before
        here, there = (
            torch.from_numpy(rotations(self.motion.poses[start + before + k].astype(np.float64).reshape(-1, 3)))
            for k in (0, 1)
        )
        part = torch.from_numpy(share).reshape(-1, 1).repeat_interleave(len(SMPL24), 0)
        poses = (here @ roma.rotvec_to_rotmat(part * roma.rotmat_to_rotvec(here.mT @ there))).numpy()
        poses = poses.reshape(*share.shape, len(SMPL24), 3, 3)
        ends = (self.motion.places[start + before + k].astype(np.float64) for k in (0, 1))
        places = self.stride * sum(w[..., None] * end for w, end in zip((1 - share, share), ends, strict=True))
        flips = g.random(len(clips)) < 0.5
        poses[flips], places[flips] = mirrored(poses[flips]), places[flips] * [-1, 1, 1]
        return poses, places - places[:, frames // 2 :][:, :1], step / fps * np.arange(frames)

    def _camera(self, seconds: Float[Tensor, "n T"], g: Generator) -> tuple[Tensor, Tensor]:
        """How the world turns about the camera and passes it, at times from the middle frame on."""
        n = len(seconds)
        moves = torch.from_numpy((g.random(n) >= _STILL)[:, None] * g.normal(0, [*_TURNING, *_CARRIED], (n, 6))).float()
        way = seconds[..., None] * moves[:, None]
        return roma.rotvec_to_rotmat(way[..., :3]), way[..., 3:]
