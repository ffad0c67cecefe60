"""People of a photo into the groups of crops that a method wants."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from humesh.body.joints import JointSet
from humesh.geometry.boxes import affine_apply
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_about_z
from humesh.images.crops import Crops, CropSpec, crop_around, cut
from humesh.images.photo import Person, Photo

_MADE_OF = {"pelvis": ("left_hip", "right_hip"), "neck": ("left_shoulder", "right_shoulder")}


def group_people(spec: CropSpec, photo: Photo, people: list[Person], roll: float = 0.0) -> Crops:
    """The groups of a photo's people: one group a person, or for "people" one group of everyone.

    `roll` (radians) turns what the crops show clockwise, as if the camera had been rolled: bodies seen in them are in
    the axes of that camera, `Rz(roll)` times what they were.

    Raises ValueError for people without the keypoints that the method needs, and for more than it allows.
    """
    if spec.group == "people" and spec.count is not None and len(people) > spec.count:
        raise ValueError(f"expected at most {spec.count} people in a group, got {len(people)}; give fewer boxes.")
    boxes = torch.tensor(np.array([spec.box(person, photo.size) for person in people]).reshape(-1, 4)).double()
    centre, extent = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    height = spec.margin * torch.maximum(extent[:, 1], extent[:, 0] * spec.size[0] / spec.size[1])
    copies = torch.tensor(spec.copies, dtype=torch.float64)  # n 3
    turn = rotation_about_z(torch.tensor(roll, dtype=torch.float64))
    # Copies are shifted along the axes of the crops; a row times the turn is turned back.
    centres = centre[:, None] + height[:, None, None] * (copies[:, :2] @ turn[:2, :2])
    affine = crop_around(centres, height[:, None] * copies[:, 2], spec.size, roll)  # people n 2 3
    points = torch.tensor(np.array([keypoints_as(person, spec.keypoints) for person in people])).reshape(
        len(people), -1, 3
    )
    moved = affine_apply(affine, points[:, None, :, :2].expand(-1, len(copies), -1, -1))
    confidence = points[:, None, :, 2:].expand(-1, len(copies), -1, -1)
    keypoints = torch.cat([moved, confidence], dim=-1)
    pixels = cut(photo.pixels, affine.flatten(0, 1), spec.size).unflatten(0, affine.shape[:2])
    if spec.group == "people":
        affine, keypoints, pixels = (tensor.transpose(0, 1) for tensor in (affine, keypoints, pixels))
    present = torch.ones(affine.shape[:2], dtype=torch.bool)
    wanted = present.clone()
    if spec.group == "rois":
        wanted[:, 1:] = False
    return Crops(
        pixels=pixels,
        crop_from_photo=affine.float(),
        photo_camera=Camera((photo.camera.matrix.double() @ turn.mT).float().expand(*affine.shape[:2], 3, 3)),
        keypoints=keypoints.float(),
        present=present,
        wanted=wanted,
    )


def keypoints_as(person: Person, joint_set: JointSet | None) -> Float[np.ndarray, "K 3"]:
    """A person's keypoints (x, y px, confidence) in another set, matched by name; confidence 0 where there is none.

    Pelvis and neck, if not given, are the middles of hips and shoulders, their confidence the product of the two
    (3DCrowdNet's and JOTR's rule). ValueError where the person has no keypoints or shares no joint with the set.
    """
    if joint_set is None:
        return np.zeros((0, 3))
    if person.keypoints is None or person.keypoint_set is None:
        raise ValueError(f"this method needs 2D keypoints of {joint_set.name!r}, got a person with only a box.")
    given = dict(zip(person.keypoint_set.names, np.asarray(person.keypoints, dtype=np.float64), strict=True))
    for name, pair in _MADE_OF.items():
        if name not in given and all(joint in given for joint in pair):
            a, b = (given[joint] for joint in pair)
            given[name] = np.array([*((a + b) / 2)[:2], a[2] * b[2]])
    if not any(name in given for name in joint_set.names):
        raise ValueError(
            f"expected keypoints that share joints with {joint_set.name!r}, got {person.keypoint_set.name!r} "
            f"({', '.join(person.keypoint_set.names[:4])}, ...)."
        )
    return np.stack([given.get(name, np.zeros(3)) for name in joint_set.names])
