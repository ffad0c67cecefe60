"""People of a photo into the groups of crops that a method wants."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float

from humesh.body.joints import MEDIAPIPE33, JointSet
from humesh.crops.crops import Crops, CropSpec, cut
from humesh.errors import HumeshError
from humesh.geometry.boxes import affine_apply, crop_around
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_about_z
from humesh.media.photo import Photo
from humesh.people.person import Person

_MADE_OF = {"pelvis": ("left_hip", "right_hip"), "neck": ("left_shoulder", "right_shoulder")}


class GroupError(HumeshError, ValueError):
    """People whom a method cannot be given: without its keypoints, or too many of them."""


def group_people(spec: CropSpec, photo: Photo, people: list[Person], roll: float = 0.0) -> Crops:
    """The groups of a photo's people: one group a person, or for "people" one group of everyone.

    `roll` (radians) turns what the crops show clockwise, as if the camera had been rolled: bodies seen in them are in
    the axes of that camera, `Rz(roll)` times what they were.

    Raises GroupError for people without the keypoints that the method needs, and for more than it allows.
    """
    if spec.group == "people" and spec.count is not None and len(people) > spec.count:
        raise GroupError(f"expected at most {spec.count} people in a group, got {len(people)}; give fewer boxes.")
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
    deep = np.array([landmarks_of(person) for person in people]) if spec.landmarks else np.zeros((len(people), 0, 4))
    landmarks = torch.tensor(deep).reshape(len(people), -1, 4)[:, None].repeat(1, len(copies), 1, 1)
    landmarks[..., :3] = landmarks[..., :3] @ turn.mT
    pixels = cut(photo.pixels, affine.flatten(0, 1), spec.size).unflatten(0, affine.shape[:2])
    if spec.group == "people":
        affine, keypoints, pixels, landmarks = (t.transpose(0, 1) for t in (affine, keypoints, pixels, landmarks))
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
        landmarks=landmarks.float(),
    )


def landmarks_of(person: Person) -> Float[np.ndarray, "33 4"]:
    """A person's 3D landmarks (metres from the middle of the hips) with their confidence; zeros without any."""
    if person.landmarks3d is None or person.keypoint_set != MEDIAPIPE33 or person.keypoints is None:
        return np.zeros((len(MEDIAPIPE33), 4))
    points = np.asarray(person.landmarks3d, dtype=np.float64)
    hips = points[MEDIAPIPE33.indices("left_hip", "right_hip")].mean(0)
    return np.concatenate([points - hips, np.asarray(person.keypoints)[:, 2:]], axis=-1)


def keypoints_as(person: Person, joint_set: JointSet | None) -> Float[np.ndarray, "K 3"]:
    """A person's keypoints (x, y px, confidence) in another set, matched by name; confidence 0 where there is none.

    Pelvis and neck, if not given, are the middles of hips and shoulders, their confidence the product of the two
    (3DCrowdNet's and JOTR's rule). GroupError where the person has no keypoints or shares no joint with the set.
    """
    if joint_set is None:
        return np.zeros((0, 3))
    if person.keypoints is None or person.keypoint_set is None:
        raise GroupError(f"this method needs 2D keypoints of {joint_set.name!r}, got a person with only a box.")
    return points_as(np.asarray(person.keypoints, dtype=np.float64), person.keypoint_set, joint_set)


def points_as(points: Float[np.ndarray, "*g K 3"], given: JointSet, wanted: JointSet) -> Float[np.ndarray, "*g W 3"]:
    """Keypoints of any number of people in another set; see `keypoints_as`."""
    if not any(name in given.names for name in wanted.names):
        raise GroupError(
            f"expected keypoints that share joints with {wanted.name!r}, got {given.name!r} "
            f"({', '.join(given.names[:4])}, ...)."
        )
    found = np.zeros((*points.shape[:-2], len(wanted), 3))
    for row, name in enumerate(wanted.names):
        if name in given.names:
            found[..., row, :] = points[..., given.index(name), :]
        elif name in _MADE_OF and all(joint in given.names for joint in _MADE_OF[name]):
            a, b = (points[..., given.index(joint), :] for joint in _MADE_OF[name])
            found[..., row, :2], found[..., row, 2] = ((a + b) / 2)[..., :2], a[..., 2] * b[..., 2]
    return found
