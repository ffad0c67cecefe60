"""People without pictures: poses, cameras and what a detector would say, for networks that look at points alone.

Hundreds are made at once, in 0.2 ms each. Poses are drawn as for the rendered scenes, cameras much alike.
What hides a joint is only roughly true: limbs as capsules, the photo's edge, and boxes held before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.random import Generator, default_rng
from torch import Tensor

from humesh.body.joints import JOTR30, LIMBS12, MEDIAPIPE33, SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.body.rig import Rig
from humesh.crops.crops import CropSpec
from humesh.data.augment import Augment
from humesh.data.batch import Batch
from humesh.data.sample import Sample
from humesh.data.synthetic.motion import Motion
from humesh.data.synthetic.points import Points, batch_of, sample_of
from humesh.data.synthetic.poses import PoseSource, mirrored, turn
from humesh.data.synthetic.scenery import FRAMINGS, TO_CAMERA
from humesh.data.synthetic.seen import looked_at

_CHUNK, _VIEWS = 512, 4  # people made at once; of each pose so many, from other sides: poses are what takes time
FEWEST = 4  # limb joints that must be seen
LIMBS33 = MEDIAPIPE33.indices(*LIMBS12.names)
_NEAREST_M = 0.45  # of any joint to the camera
_SKIN_M = 0.05  # how far behind the axis of what hides it a point lies at least, beyond the radius
_SKULL_M = (0.085, 0.03)  # its radius; points this far behind its middle are hidden: face and ears lie on it
_RADII = {
    "spine": 0.13, "hip": 0.12, "neck": 0.1, "head": 0.1, "collar": 0.09, "shoulder": 0.09, "knee": 0.085,
    "ankle": 0.06, "elbow": 0.055, "hand": 0.05, "foot": 0.05, "wrist": 0.045,
}  # fmt: skip
"""Metres; how thick the bone that ends at a joint is with its flesh."""
_BONES = [(parent, joint) for joint, parent in enumerate(SMPL24.parents) if parent >= 0]
_SHARES = (0.2, 0.5, 0.8)  # of a bone, where its flesh is put as balls


class PosedPeople:
    """One labelled person a sample, in a black photo of `size` pixels; the same seed and number, the same sample."""

    def __init__(
        self, motion: Sequence[str | Path], *, count: int = 10**8, size: int = 256, seed: int = 0,
        body: BodyModel | None = None,
    ) -> None:  # fmt: skip
        self.body = body or BodyModel.load("open-low")
        self.source = PoseSource(Motion.read(motion), self.body.rest_joints(torch.zeros(self.body.shapes)).numpy())
        self.rig = rig_of_both(self.body)
        self.count, self.size, self.seed = count, size, seed
        self.tracks: tuple[range, ...] = ()
        self._kept: tuple[int, Points] | None = None

    def __len__(self) -> int:
        return self.count

    def chunk(self, number: int) -> Points:
        """The people of numbers from `512 number` on."""
        if self._kept is None or self._kept[0] != number:
            with torch.no_grad():
                self._kept = number, self._made(default_rng([self.seed, 7, number]))
        return self._kept[1]

    def people(self, numbers: Sequence[int]) -> Points:
        """The people of some numbers, ordered by chunk."""
        parts = []
        for chunk in sorted({number // _CHUNK for number in numbers}):
            rows = torch.tensor([number % _CHUNK for number in numbers if number // _CHUNK == chunk])
            parts.append(self.chunk(chunk).rows(rows))
        return Points.together(parts)

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.count:
            raise IndexError(f"expected a sample below {self.count}, got {index}.")
        one = self.chunk(index // _CHUNK).rows(torch.tensor([index % _CHUNK]))
        return sample_of(one, index, f"posed {index}")

    def batch(self, numbers: Sequence[int], spec: CropSpec, augment: Augment, g: Generator) -> Batch:
        """The people of some numbers at once; of the augmentation the box's changes and the focal length's alone."""
        augment = replace(augment, mirror=0.0, roll=0.0)  # they are varied enough
        return batch_of(self.people(numbers), numbers, spec, augment, self.body, g)

    def _made(self, g: Generator) -> Points:
        """A chunk; whoever shows too little is somebody else of it, from the same side."""
        drawn = np.stack([self.source.draw(g) for _ in range(_CHUNK // _VIEWS)]).repeat(_VIEWS, 0)
        poses = drawn[g.permutation(_CHUNK)]
        flips = g.random(_CHUNK) < 0.5
        poses[flips] = mirrored(poses[flips])
        poses[:, 0] = turns(_CHUNK, g) @ poses[:, 0]
        shapes = np.clip(g.normal(0, 1, (_CHUNK, self.body.shapes)), -2.2, 2.2)
        pose = BodyPose(_tensor(poses), _tensor(shapes), torch.zeros(_CHUNK, 3))
        points, joints = self.rig.points(self.body, pose)
        focal, shift = cameras(points, joints, self.size, g)
        points, joints = points + shift[:, None], joints + shift[:, None]
        pixels, visible = seen_from(points, joints, focal, self.size)
        visible &= ~behind_boxes(pixels, self.size, g)
        nobody, size = np.zeros((_CHUNK, 0, len(MEDIAPIPE33), 2)), (self.size, self.size)
        keypoints, landmarks = looked_at(points[:, 30:], pixels[:, 30:], visible[:, 30:], focal, nobody, size, g)
        placed = BodyPose(pose.rotations, pose.shape, shift)
        camera = camera_matrices(focal, self.size)
        joints30 = slice(None, len(JOTR30))
        chunk = Points(
            placed, points[:, joints30], pixels[:, joints30], visible[:, joints30], keypoints,
            landmarks,
            camera, torch.full((_CHUNK, 2), float(self.size)),
        )  # fmt: skip
        enough = (visible[:, 30:][:, LIMBS33].sum(-1) >= FEWEST).nonzero()[:, 0]
        return chunk.rows(enough[torch.arange(_CHUNK) % len(enough)])


def rig_of_both(body: BodyModel) -> Rig:
    """Of JOTR's 30 points, then MediaPipe's 33."""
    rigs = [Rig.of(body, joint_set)[0] for joint_set in (JOTR30, MEDIAPIPE33)]
    offset, share = (torch.cat([getattr(rig, name) for rig in rigs]).float() for name in ("offset", "share"))
    return Rig(offset, torch.cat([rig.slope for rig in rigs], dim=1).float(), share)


def cameras(
    points: Float[Tensor, "n 63 3"], joints: Float[Tensor, "n 24 3"], size: int, g: Generator
) -> tuple[Float[Tensor, " n"], Float[Tensor, "n 3"]]:
    """Focal lengths (px) and where the bodies stand: the wanted part of each fills the photo."""
    n = len(points)
    usual = np.clip(g.normal(58, 10, n), 25, 90)
    degrees = np.where(g.random(n) < 0.5, g.uniform(25, 90, n), usual)
    focal = _tensor(size / 2 / np.tan(np.radians(degrees) / 2))
    part = g.choice(len(FRAMINGS), size=n, p=[0.58, 0.14, 0.17, 0.08, 0.03])
    whole = np.where(g.random(n) < 0.75, g.uniform(0.65, 0.98, n), g.uniform(0.3, 0.65, n))
    fill = _tensor(np.where(part == 0, whole, g.uniform(0.6, 1.1, n)))
    masks = torch.zeros(len(FRAMINGS), len(JOTR30), dtype=torch.bool)
    for number, indices in enumerate(FRAMINGS.values()):
        masks[number, indices] = True
    wanted = masks[torch.from_numpy(part)][..., None]

    def ends(some: Tensor) -> tuple[Tensor, Tensor]:
        return (torch.where(wanted, some, torch.inf).amin(1), torch.where(wanted, some, -torch.inf).amax(1))

    low, high = ends(points[:, :30])
    middle = (low + high) / 2
    seen = points[:, :30] - middle[:, None]
    deepest = torch.cat([points[..., 2], joints[..., 2]], dim=1).amin(1)
    closest = _NEAREST_M - (deepest - middle[:, 2])
    distance = closest.clamp(min=3.0)
    for _ in range(5):
        ahead = (seen[..., 2:] + distance[:, None, None]).clamp(min=0.1)
        low, high = ends(focal[:, None, None] * seen[..., :2] / ahead)
        span = (high - low).amax(-1).clamp(min=1)
        distance = torch.maximum(distance * span / (fill * size), closest)
    far = np.where(g.random(n) < 0.85, 1, 3)[:, None]
    off = np.clip(g.normal(0, 1, (n, 2)) * [0.08, 0.04] * far, -0.3, 0.3) * size
    beside = _tensor(off) * (distance / focal)[:, None]
    return focal, torch.cat([beside, distance[:, None]], dim=-1) - middle


def camera_matrices(focal: Float[Tensor, " n"], size: int) -> Float[Tensor, "n 3 3"]:
    """Cameras of square photos that look through their middles."""
    camera = torch.eye(3).repeat(len(focal), 1, 1)
    camera[:, 0, 0] = camera[:, 1, 1] = focal
    camera[:, :2, 2] = size / 2
    return camera


def seen_from(
    points: Float[Tensor, "n 63 3"], joints: Float[Tensor, "n 24 3"], focal: Float[Tensor, " n"], size: int
) -> tuple[Float[Tensor, "n 63 2"], Bool[Tensor, "n 63"]]:
    """Where points lie in square photos, and which are inside and not behind the person's own flesh."""
    depth = points[..., 2:]
    safe = torch.where(depth.abs() < 1e-3, 1e-3, depth)
    pixels = focal[:, None, None] * points[..., :2] / safe + size / 2
    inside = ((pixels >= 0) & (pixels < size)).all(-1) & (depth[..., 0] > 0.05)
    return pixels, inside & ~_behind_flesh(points, joints)


def turns(n: int, g: Generator) -> Float[np.ndarray, "n 3 3"]:
    """World to camera, any yaw: mostly level, now and then from high above, from below or rolled."""
    pitch = np.radians(np.where(g.random(n) < 0.8, g.normal(6, 10, n), g.uniform(-40, 70, n)))
    roll = np.radians(np.where(g.random(n) < 0.88, g.normal(0, 3, n), g.normal(0, 25, n)))
    yaw = np.radians(g.uniform(0, 360, n))
    return turn("z", roll) @ turn("x", pitch) @ TO_CAMERA @ turn("y", yaw)


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))


def _behind_flesh(points: Float[Tensor, "n 63 3"], joints: Float[Tensor, "n 24 3"]) -> Bool[Tensor, "n 63"]:
    """Whether a limb or the trunk lies before a point; limbs are rows of balls."""
    ends = [joints[:, list(side)] for side in zip(*_BONES, strict=True)]
    skull = points[:, JOTR30.indices("left_ear", "right_ear")].mean(1, keepdim=True)
    balls = torch.cat([*(ends[0] + share * (ends[1] - ends[0]) for share in _SHARES), skull], dim=1)
    names = [SMPL24.names[joint] for _, joint in _BONES]
    thick = [next(r for part, r in _RADII.items() if part in name) for name in names] * len(_SHARES)
    radii, room = torch.tensor([*thick, _SKULL_M[0]]), torch.tensor([*(r + _SKIN_M for r in thick), _SKULL_M[1]])
    depth, far = balls[..., 2].clamp(min=0.1), points[..., 2].clamp(min=0.1)
    flat, spots = balls[..., :2] / depth[..., None], points[..., :2] / far[..., None]
    beside = torch.cdist(spots, flat) * depth[:, None] < radii
    before = depth[:, None] < far[..., None] - room
    return (beside & before).any(-1)


def behind_boxes(pixels: Float[Tensor, "n P 2"], size: int, g: Generator) -> Bool[Tensor, "n P"]:
    """Points behind none to two boxes anywhere in the photo."""
    boxes = torch.from_numpy(g.choice([0, 1, 2], size=len(pixels), p=[0.55, 0.3, 0.15]))
    hidden = torch.zeros(pixels.shape[:2], dtype=torch.bool)
    for number in range(2):
        middle = _tensor(g.uniform(0, size, (len(pixels), 1, 2)))
        half = _tensor(size * g.uniform(0.04, 0.3, (len(pixels), 1, 2)))
        hidden |= (boxes > number)[:, None] & ((pixels - middle).abs() < half).all(-1)
    return hidden
