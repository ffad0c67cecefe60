"""People without pictures: labels, cameras and simulated detections, and training batches of them, many at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.random import Generator
from torch import Tensor

from humesh.body.joints import JOTR30, LIMBS12, MEDIAPIPE33, SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.body.rig import Rig
from humesh.crops.crops import Crops, CropSpec, jotr_boxes, points_as
from humesh.data.augment import Augment
from humesh.data.batch import Batch
from humesh.data.detector_errors import simulated_person
from humesh.data.sample import LabelledPerson, Sample
from humesh.data.synthetic.cameras import is_near_photo
from humesh.geometry.boxes import affine_apply, crop_around
from humesh.geometry.camera import Camera
from humesh.losses.targets import Targets
from humesh.media.photo import Photo

LIMBS33 = MEDIAPIPE33.indices(*LIMBS12.names)
FEWEST = 4  # of these that must be visible
_GUESSED = 0.6  # share of people whose focal length is not known


@dataclass(frozen=True, eq=False)
class Points:
    """n labelled people, each alone in a photo: JOTR30's points as they are, MediaPipe's as detected."""

    pose: BodyPose  # in the camera's frame
    points: Float[Tensor, "n 30 3"]
    pixels: Float[Tensor, "n 30 2"]
    visible: Bool[Tensor, "n 30"]
    keypoints: Float[Tensor, "n 33 3"]
    landmarks: Float[Tensor, "n 33 3"]
    camera: Float[Tensor, "n 3 3"]
    size: Float[Tensor, "n 2"]  # (width, height) of the photos

    def rows(self, which: Tensor) -> Points:
        """Some of the people."""
        values = {f.name: getattr(self, f.name)[which] for f in fields(self) if f.name != "pose"}
        return Points(pose=self.pose.map(lambda tensor: tensor[which]), **values)

    @classmethod
    def joined(cls, parts: Sequence[Points]) -> Points:
        """The people of all parts, one after the other."""
        values = {f.name: torch.cat([getattr(p, f.name) for p in parts]) for f in fields(cls) if f.name != "pose"}
        return cls(pose=BodyPose.joined([part.pose for part in parts]), **values)


def rig_of(body: BodyModel) -> Rig:
    """Of JOTR's 30 points, then MediaPipe's 33."""
    rigs = [Rig.of(body, joint_set)[0] for joint_set in (JOTR30, MEDIAPIPE33)]
    offset, share = (torch.cat([getattr(rig, name) for rig in rigs]).float() for name in ("offset", "share"))
    return Rig(offset, torch.cat([rig.slope for rig in rigs], dim=1).float(), share)


def batch_of(people: Points, numbers: Sequence[int], spec: CropSpec, augment: Augment, g: Generator) -> Batch:
    """The people as crops around each one's keypoints (a row for every box of "rois"); the pictures are empty.

    Of the augmentation the box's changes and a guessed focal length are drawn, from `g`.
    """
    n, copies = len(numbers), len(spec.copies)
    if augment.focal:  # not known of photos without EXIF
        factor = np.where(g.random(n) < _GUESSED, np.exp(augment.focal * g.normal(size=n)), 1.0)
        camera = people.camera.clone()
        camera[:, [0, 1], [0, 1]] *= torch.from_numpy(factor).to(camera)[:, None]
        people = replace(people, camera=camera)
    detected = people.keypoints.double().numpy()
    keypoints = points_as(detected, MEDIAPIPE33, JOTR30)
    around = np.concatenate([detected[..., :2].min(1), detected[..., :2].max(1)], axis=-1)
    boxes = jotr_boxes(keypoints, around, people.size.double().numpy())
    side, middle = boxes[:, 2] - boxes[:, 0], (boxes[:, :2] + boxes[:, 2:]) / 2
    middle = middle + augment.centre * side[:, None] * np.clip(g.normal(size=middle.shape), -2, 2)
    side = side * (1 + augment.scale * np.clip(g.normal(size=n), -1, 1))
    shifts, lengths = np.split(np.array(spec.copies), [2], axis=-1)
    middles, sides = middle[:, None] + side[:, None, None] * shifts, side[:, None] * lengths[:, 0]
    affine = crop_around(torch.from_numpy(middles), torch.from_numpy(sides), spec.size)

    def repeated(tensor: Tensor) -> Tensor:
        return tensor[:, None].repeat(1, copies, *[1] * (tensor.dim() - 1))

    cropped = affine_apply(affine, repeated(torch.from_numpy(keypoints[..., :2])))
    confidence = repeated(torch.from_numpy(keypoints[..., 2:]))
    hips = people.landmarks[:, MEDIAPIPE33.indices("left_hip", "right_hip")].mean(1, keepdim=True)
    landmarks = torch.cat([people.landmarks - hips, people.keypoints[..., 2:]], dim=-1)
    present = torch.ones(n, copies, dtype=torch.bool)
    crops = Crops(
        pixels=torch.zeros(n, copies, 3, *spec.size),
        crop_from_photo=affine.float(),
        photo_camera=Camera(repeated(people.camera)),
        keypoints=torch.cat([cropped, confidence], dim=-1).float(),
        present=present,
        wanted=present & (torch.arange(copies) == 0),
        landmarks=repeated(landmarks),
    )
    one = present.float()
    targets = Targets(
        pose=people.pose.map(repeated),
        pose_weight=one[..., None].expand(-1, -1, len(SMPL24)),
        shape_weight=one,
        translation_weight=one,
        joint_set=JOTR30,
        points3d=repeated(people.points),
        points3d_weight=one[..., None].expand(-1, -1, len(JOTR30)),
        points2d=affine_apply(affine.float(), repeated(people.pixels)),
        points2d_weight=repeated(_is_near(people).float()),
        identity=repeated(torch.tensor(numbers)),
        metric_weight=one,
        body_weight=one,
    )
    return Batch(crops, targets)


def sample_of(one: Points, number: int, name: str) -> Sample:
    """One person as a sample with a black photo."""
    width, height = map(int, one.size[0].tolist())
    keypoints, landmarks = (part[0].double().numpy() for part in (one.keypoints, one.landmarks))
    person = LabelledPerson.fully_labelled(
        simulated_person(keypoints, MEDIAPIPE33, (width, height), landmarks),
        number,
        one.pose.map(lambda tensor: tensor[0]),
        one.points[0],
        one.pixels[0],
        one.visible[0].float(),
        points2d_weight=_is_near(one)[0].float(),
    )
    black = np.broadcast_to(np.uint8(0), (height, width, 3))
    return Sample(Photo.of(black, Camera(one.camera[0].double())), (person,), name)


def _is_near(people: Points) -> Bool[Tensor, "n 30"]:
    return is_near_photo(people.pixels, people.points[..., 2], people.size)
