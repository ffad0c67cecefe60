"""Augmentation: random changes of samples, drawn from a seed, labels changed along with the pixels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from humesh.body.joints import SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.crops.crops import Box
from humesh.data.sample import LabelledPerson, Sample
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_about_z
from humesh.people.person import Person


@dataclass(frozen=True)
class Augment:
    """How strongly samples are changed; all zeros: not at all.

    `centre`: standard deviation of the box's shift, in its sides; `scale`: that of the relative change of its side, and
    the largest one (SPIN, JOTR); `mirror`: probability; `roll`: standard deviation of the camera's roll, degrees, drawn
    for the share `rolled` of samples; `focal`: of the logarithm of a guessed focal length over the true one (people
    without pictures alone); `colour`, `brightness`, `contrast`: largest relative changes; `noise`: largest standard
    deviation, of 1; `erase`: probability of a rectangle without a picture, up to half a side each way;
    `keypoint_errors`: of exact input keypoints, as `DetectorErrors.harder` (people with pictures alone).
    """

    centre: float = 0.0
    scale: float = 0.0
    mirror: float = 0.0
    roll: float = 0.0
    rolled: float = 0.6  # JOTR's share
    focal: float = 0.0
    colour: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    noise: float = 0.0
    erase: float = 0.0
    keypoint_errors: float = 0.0

    def draw(self, rng: np.random.Generator) -> Change:
        """One sample's change; the frames of a clip share it."""
        shift = self.centre * np.clip(rng.standard_normal(2), -2, 2)
        scale = 1 + self.scale * float(np.clip(rng.standard_normal(), -1, 1))
        mirrored = bool(rng.random() < self.mirror)
        angle = math.radians(self.roll) * float(np.clip(rng.standard_normal(), -2, 2))
        angle *= rng.random() < self.rolled
        gain, light = 1 + self.colour * rng.uniform(-1, 1, 3), 1 + self.brightness * rng.uniform(-1, 1)
        contrast = 1 + self.contrast * rng.uniform(-1, 1)
        noise, erased = self.noise * rng.random(), None
        if rng.random() < self.erase:
            extent, place = rng.uniform(0.1, 0.5, 2), rng.random(2)
            (x0, y0), (x1, y1) = (place * (1 - extent)).tolist(), (place * (1 - extent) + extent).tolist()
            erased = (x0, y0, x1, y1)
        red, green, blue = (gain * light * contrast).tolist()
        level = float(0.5 * (1 - contrast))  # contrast is about the middle grey
        seed, errors, moved = int(rng.integers(2**31)), self.keypoint_errors, (float(shift[0]), float(shift[1]))
        return Change(moved, scale, mirrored, angle, (red, green, blue), level, float(noise), erased, seed, errors)


@dataclass(frozen=True)
class Change:
    """One draw: `roll` in radians, pixels become `colours` x pixel + `level` + `noise`, `erased` in shares."""

    shift: tuple[float, float] = (0.0, 0.0)
    scale: float = 1.0
    mirrored: bool = False
    roll: float = 0.0
    colours: tuple[float, float, float] = (1.0, 1.0, 1.0)
    level: float = 0.0
    noise: float = 0.0
    erased: tuple[float, float, float, float] | None = None  # x0 y0 x1 y1
    seed: int = 0
    keypoint_errors: float = 0.0

    def of_box(self, box: Callable[[Person, tuple[int, int]], Box]) -> Callable[[Person, tuple[int, int]], Box]:
        """The rule for a person's box, followed by this change's shift and scale."""

        def changed(person: Person, size: tuple[int, int]) -> Box:
            plain = box(person, size)
            extent = plain[2:] - plain[:2]
            centre = (plain[:2] + plain[2:]) / 2 + np.array(self.shift) * extent.max()
            return np.concatenate([centre - self.scale * extent / 2, centre + self.scale * extent / 2])

        return changed

    def of_pixels(self, pixels: Float[Tensor, "N 3 H W"]) -> Float[Tensor, "N 3 H W"]:
        """Crops in other colours, with noise and a rectangle of one colour over all of them."""
        generator = torch.Generator().manual_seed(self.seed)
        if self.colours != (1.0, 1.0, 1.0) or self.level:
            pixels = torch.addcmul(torch.tensor(self.level), pixels, torch.tensor(self.colours)[:, None, None])
        if self.noise:
            pixels = pixels + self.noise * torch.randn(pixels.shape, generator=generator)
        if self.erased is not None:
            pixels = pixels.clone()
            height, width = pixels.shape[-2:]
            x0, y0, x1, y1 = self.erased
            part = pixels[..., round(y0 * height) : round(y1 * height), round(x0 * width) : round(x1 * width)]
            part.copy_(torch.rand(3, 1, 1, generator=generator).expand_as(part))
        return pixels.clamp(0, 1)


def mirrored(sample: Sample) -> Sample:
    """The sample in a mirror: pixels, camera, detected keypoints and all labels, left and right names exchanged."""
    photo, width = sample.photo, sample.photo.size[0]
    pixels = torch.tensor([[-1.0, 0.0, width], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]).to(photo.camera.matrix)
    camera = Camera(pixels @ photo.camera.matrix * torch.tensor([-1.0, 1.0, 1.0]).to(pixels))
    people = tuple(_mirrored_person(person, width) for person in sample.people)
    return replace(sample, photo=replace(photo, pixels=photo.pixels[:, ::-1], camera=camera), people=people)


def _mirrored_person(person: LabelledPerson, width: int) -> LabelledPerson:
    swap, flip = list(person.joint_set.mirror), torch.tensor([-1.0, 1.0, 1.0])
    swapped = {name: getattr(person, name)[swap] for name in ("points3d_weight", "points2d_weight", "visible")}
    return replace(
        person,
        seen=_mirrored_seen(person.seen, width),
        pose=person.pose.mirrored(),
        pose_weight=person.pose_weight[list(SMPL24.mirror)],
        points3d=(person.points3d * flip.to(person.points3d))[swap],
        points2d=torch.stack([width - person.points2d[swap, 0], person.points2d[swap, 1]], dim=-1),
        **swapped,
    )


def _mirrored_seen(seen: Person, width: int) -> Person:
    x0, y0, x1, y1 = seen.box
    swap = [] if seen.keypoint_set is None else list(seen.keypoint_set.mirror)
    keypoints = None if seen.keypoints is None else seen.keypoints[swap] * [-1, 1, 1] + [width, 0, 0]
    landmarks = None if seen.landmarks3d is None else seen.landmarks3d[swap] * [-1, 1, 1]
    return replace(seen, box=np.array([width - x1, y0, width - x0, y1]), keypoints=keypoints, landmarks3d=landmarks)


def rolled_pose(pose: BodyPose, angle: float, body: BodyModel) -> BodyPose:
    """The pose in the axes of a camera that was rolled: `Rz(angle)` times the body's points, for radians."""
    turn = rotation_about_z(torch.tensor(angle).to(pose.rotations))
    rotations = pose.rotations.clone()
    rotations[..., 0, :, :] = turn @ rotations[..., 0, :, :]
    pelvis = body.rest_joints(pose.shape)[..., 0, :]  # the root turns about it
    translation = (pose.translation + pelvis) @ turn.mT - pelvis
    return BodyPose(rotations, pose.shape, translation)
