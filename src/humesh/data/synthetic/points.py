"""Many people told by their points alone, without pictures: what they are made of, and batches of them at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.random import Generator
from torch import Tensor

from humesh.body.joints import JOTR30, MEDIAPIPE33, SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.crops.crops import Crops, CropSpec
from humesh.crops.groups import jotr_boxes, points_as
from humesh.data.augment import Augment
from humesh.data.batch import Batch
from humesh.data.detector_errors import DetectorErrors, person_of
from humesh.data.sample import LabelledPerson, Sample
from humesh.data.synthetic.layer import near_view
from humesh.geometry.boxes import affine_apply, crop_around
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_about_z
from humesh.losses.targets import Targets
from humesh.media.photo import Photo
from humesh.people.person import Person

_GUESSED = 0.6  # share of people whose focal length is not known


@dataclass(frozen=True)
class Points:
    """n labelled people, each alone in a photo: JOTR30's points as they are, MediaPipe's as it tells them."""

    pose: BodyPose  # in the camera's frame
    points: Float[Tensor, "n 30 3"]
    pixels: Float[Tensor, "n 30 2"]
    visible: Bool[Tensor, "n 30"]
    keypoints: Float[Tensor, "n 33 3"]
    landmarks: Float[Tensor, "n 33 3"]  # zeros: not told
    camera: Float[Tensor, "n 3 3"]
    size: Float[Tensor, "n 2"]  # (width, height) of the photos

    def rows(self, which: Tensor) -> Points:
        """Some of the people."""
        values = {f.name: getattr(self, f.name)[which] for f in fields(self) if f.name != "pose"}
        return Points(pose=self.pose.map(lambda tensor: tensor[which]), **values)

    @classmethod
    def together(cls, parts: Sequence[Points]) -> Points:
        """The people of all parts, one after the other."""
        values = {f.name: torch.cat([getattr(p, f.name) for p in parts]) for f in fields(cls) if f.name != "pose"}
        return cls(pose=BodyPose.joined([part.pose for part in parts]), **values)

    def mirrored(self, which: Bool[Tensor, " n"]) -> Points:
        """Some of the people in a mirror, with their cameras."""
        metres, wide = torch.tensor([-1.0, 1.0, 1.0]), self.size[:, :1]
        swap30, swap33 = list(JOTR30.mirror), list(MEDIAPIPE33.mirror)
        camera = self.camera.clone()
        camera[:, 0, 2] = wide[:, 0] - camera[:, 0, 2]
        pixels, keypoints = self.pixels[:, swap30].clone(), self.keypoints[:, swap33].clone()
        pixels[..., 0], keypoints[..., 0] = wide - pixels[..., 0], wide - keypoints[..., 0]
        other = Points(
            self.pose.mirrored(), self.points[:, swap30] * metres, pixels, self.visible[:, swap30], keypoints,
            self.landmarks[:, swap33] * metres, camera, self.size,
        )  # fmt: skip

        def either(a: Tensor, b: Tensor) -> Tensor:
            return torch.where(which.reshape(-1, *[1] * (a.dim() - 1)), b, a)

        names, of_pose = ([f.name for f in fields(kind) if f.name != "pose"] for kind in (Points, BodyPose))
        pose = BodyPose(*(either(getattr(self.pose, name), getattr(other.pose, name)) for name in of_pose))
        return Points(pose=pose, **{name: either(getattr(self, name), getattr(other, name)) for name in names})

    def rolled(self, angle: Float[Tensor, " n"], body: BodyModel) -> Points:
        """The people seen by cameras rolled by some radians: everything turns about the optical axis."""
        turn = rotation_about_z(angle)
        centre = self.camera[:, :2, 2][:, None]

        def turned(pixels: Tensor) -> Tensor:
            return (pixels - centre) @ turn[:, :2, :2].mT + centre

        pelvis = body.rest_joints(self.pose.shape)[:, 0]  # the root turns about it
        root = turn @ self.pose.rotations[:, 0]
        rotations = torch.cat([root[:, None], self.pose.rotations[:, 1:]], dim=1)
        place = ((self.pose.translation + pelvis)[:, None] @ turn.mT)[:, 0] - pelvis
        keypoints = torch.cat([turned(self.keypoints[..., :2]), self.keypoints[..., 2:]], dim=-1)
        return Points(
            BodyPose(rotations, self.pose.shape, place), self.points @ turn.mT, turned(self.pixels), self.visible,
            keypoints, self.landmarks @ turn.mT, self.camera, self.size,
        )  # fmt: skip


def batch_of(
    people: Points, numbers: Sequence[int], spec: CropSpec, augment: Augment, body: BodyModel, g: Generator
) -> Batch:
    """The people as crops around what was seen of each (a row for every box of "rois"); the pictures are empty.

    Of the augmentation mirror, roll (the same for label and points) and the box's changes are drawn, from `g`.
    """
    n, size = len(numbers), people.size.double().numpy()
    if augment.focal:  # not known of photos without EXIF
        factor = np.where(g.random(n) < _GUESSED, np.exp(augment.focal * g.normal(size=n)), 1.0)
        camera = people.camera.clone()
        camera[:, [0, 1], [0, 1]] *= torch.from_numpy(factor).to(camera)[:, None]
        people = replace(people, camera=camera)
    if augment.mirror:
        people = people.mirrored(torch.from_numpy(g.random(n) < augment.mirror))
    told = people.keypoints.double().numpy()
    keypoints = points_as(told, MEDIAPIPE33, JOTR30)
    boxes = jotr_boxes(keypoints, np.concatenate([told[..., :2].min(1), told[..., :2].max(1)], axis=-1), size)
    side, middle = boxes[:, 2] - boxes[:, 0], (boxes[:, :2] + boxes[:, 2:]) / 2
    if augment.roll:  # the box was found in the photo as it is
        angle = torch.from_numpy(np.radians(augment.roll) * np.clip(g.normal(size=n), -2, 2)).float()
        angle = angle * torch.from_numpy(g.random(n) < augment.rolled)
        turn = rotation_about_z(angle)[:, :2, :2].double().numpy()
        centre = people.camera[:, :2, 2].double().numpy()
        middle = np.einsum("nij,nj->ni", turn, middle - centre) + centre
        people = people.rolled(angle, body)
        keypoints = points_as(people.keypoints.double().numpy(), MEDIAPIPE33, JOTR30)
    middle = middle + augment.centre * side[:, None] * np.clip(g.normal(size=middle.shape), -2, 2)
    side = side * (1 + augment.scale * np.clip(g.normal(size=n), -1, 1))
    shifts, lengths = np.split(np.array(spec.copies), [2], axis=-1)
    middles, sides = middle[:, None] + side[:, None, None] * shifts, side[:, None] * lengths[:, 0]
    affine = crop_around(torch.from_numpy(middles), torch.from_numpy(sides), spec.size)
    every = len(spec.copies)
    places = affine_apply(affine, torch.from_numpy(keypoints[:, None, :, :2]).expand(-1, every, -1, -1))
    confidence = torch.from_numpy(keypoints[:, None, :, 2:]).expand(-1, every, -1, -1)
    there = torch.ones(n, every, dtype=torch.bool)
    wanted = there & (torch.arange(every) == 0)
    sure = people.keypoints[..., 2:] * people.landmarks.flatten(1).any(1)[:, None, None]
    hips = people.landmarks[:, MEDIAPIPE33.indices("left_hip", "right_hip")].mean(1, keepdim=True)
    crops = Crops(
        pixels=torch.zeros(n, every, 3, *spec.size),
        crop_from_photo=affine.float(),
        photo_camera=Camera(people.camera[:, None].expand(-1, every, -1, -1)),
        keypoints=torch.cat([places, confidence], dim=-1).float(),
        present=there,
        wanted=wanted,
        landmarks=torch.cat([people.landmarks - hips, sure], dim=-1)[:, None].repeat(1, every, 1, 1),
    )
    one, joints = there.float(), len(JOTR30)
    targets = Targets(
        pose=people.pose.map(lambda tensor: tensor[:, None].repeat(1, every, *[1] * (tensor.dim() - 1))),
        pose_weight=one[..., None].expand(-1, -1, len(SMPL24)),
        shape_weight=one,
        translation_weight=one,
        joint_set=JOTR30,
        points3d=people.points[:, None].repeat(1, every, 1, 1),
        points3d_weight=one[..., None].expand(-1, -1, joints),
        points2d=affine_apply(affine.float(), people.pixels[:, None].expand(-1, every, -1, -1)),
        points2d_weight=_near(people)[:, None].repeat(1, every, 1),
        identity=torch.tensor(numbers)[:, None].repeat(1, every),
        metric_weight=one,
        body_weight=one,
    )
    return Batch(crops, targets)


def sample_of(one: Points, number: int, name: str) -> Sample:
    """One person as a sample with a black photo."""
    width, height = map(int, one.size[0].tolist())
    person = LabelledPerson(
        seen=_seen(one, (width, height)),
        identity=number,
        pose=one.pose.map(lambda tensor: tensor[0]),
        pose_weight=torch.ones(len(SMPL24)),
        shape_weight=torch.tensor(1.0),
        translation_weight=torch.tensor(1.0),
        joint_set=JOTR30,
        points3d=one.points[0],
        points3d_weight=torch.ones(len(JOTR30)),
        points2d=one.pixels[0],
        points2d_weight=_near(one)[0],
        visible=one.visible[0].float(),
    )
    black = np.broadcast_to(np.uint8(0), (height, width, 3))
    return Sample(Photo.of(black, Camera(one.camera[0].double())), (person,), name)


def _near(people: Points) -> Float[Tensor, "n 30"]:
    size = people.size[:, None].numpy()
    return torch.from_numpy(near_view(people.pixels.numpy(), people.points[..., 2].numpy(), size)).float()


def _seen(one: Points, size: tuple[int, int]) -> Person:
    keypoints = one.keypoints[0].double().numpy()
    within = one.pixels[0][one.visible[0]] if one.visible.any() else one.pixels[0]
    limits = torch.tensor([*size, *size])
    box = torch.minimum(torch.cat([within.amin(0), within.amax(0)]).clamp(min=0), limits).double().numpy()
    person = person_of(keypoints, MEDIAPIPE33, box, size, DetectorErrors())
    landmarks = one.landmarks[0].double().numpy() if one.landmarks.any() else None
    return Person(person.box, person.score, keypoints, MEDIAPIPE33, landmarks)
