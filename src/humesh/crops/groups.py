"""People of a photo as the groups of crops that a method wants, and the box of 3DCrowdNet and JOTR."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from humesh.body.joints import JOTR30, MEDIAPIPE33, JointSet
from humesh.crops.crops import Box, Crops, CropSpec, cut
from humesh.errors import HumeshError
from humesh.geometry.boxes import affine_apply, crop_around
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_about_z
from humesh.media.photo import Photo
from humesh.people.person import Person

_MADE_OF = {"pelvis": ("left_hip", "right_hip"), "neck": ("left_shoulder", "right_shoulder")}


SEEN_ABOVE = 0.05
"""The confidence from which JOTR uses a keypoint (authors)."""


class GroupError(HumeshError, ValueError):
    """People that a method cannot process: without its keypoints, or too many of them."""


def group_people(spec: CropSpec, photo: Photo, people: list[Person], roll: float = 0.0) -> Crops:
    """The groups of a photo's people: one group a person, or for "people" one group of everyone.

    `roll` (radians) turns the content of the crops clockwise, as if the camera had been rolled: bodies are predicted in
    the axes of that camera, `Rz(roll)` times what they were.

    Raises GroupError for people without the keypoints that the method needs, and for more than it allows.
    """
    count = len(people)
    if spec.group == "people" and spec.count is not None and count > spec.count:
        raise GroupError(f"expected at most {spec.count} people in a group, got {count}; give fewer boxes.")
    boxes = torch.tensor(np.array([spec.box(person, photo.size) for person in people]).reshape(-1, 4)).double()
    centre, extent = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    height = spec.margin * torch.maximum(extent[:, 1], extent[:, 0] * spec.size[0] / spec.size[1])
    copies = torch.tensor(spec.copies, dtype=torch.float64)  # n 3
    turn = rotation_about_z(torch.tensor(roll, dtype=torch.float64))
    # Copies are shifted along the axes of the crops; a row times the turn is turned back.
    centres = centre[:, None] + height[:, None, None] * (copies[:, :2] @ turn[:2, :2])
    affine = crop_around(centres, height[:, None] * copies[:, 2], spec.size, roll)  # people n 2 3
    found = torch.tensor(np.array([keypoints_as(person, spec.keypoints) for person in people])).reshape(count, 1, -1, 3)
    found = found.expand(-1, len(copies), -1, -1)
    keypoints = torch.cat([affine_apply(affine, found[..., :2]), found[..., 2:]], dim=-1)
    deep = np.array([landmarks_of(person) for person in people]) if spec.landmarks else np.zeros((count, 0, 4))
    landmarks = torch.tensor(deep).reshape(count, 1, -1, 4).repeat(1, len(copies), 1, 1)
    landmarks[..., :3] = landmarks[..., :3] @ turn.mT
    pixels = cut(photo.pixels, affine.flatten(0, 1), spec.size).unflatten(0, affine.shape[:2])
    if spec.group == "people":
        affine, keypoints, pixels, landmarks = (t.transpose(0, 1) for t in (affine, keypoints, pixels, landmarks))
    present = torch.ones(affine.shape[:2], dtype=torch.bool)
    wanted = present.clone()
    if spec.group == "rois":
        wanted[:, 1:] = False
    matrix = (photo.camera.matrix.double() @ turn.mT).float().expand(*affine.shape[:2], 3, 3)
    return Crops(pixels, affine.float(), Camera(matrix), keypoints.float(), present, wanted, landmarks.float())


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


def jotr_box(person: Person, size: tuple[int, int]) -> Box:
    """The test-time box of 3DCrowdNet and JOTR, about 1.32 times that of the visible keypoints.

    1.2 times the keypoints' extent, into the photo of (width, height) px, squared about the centre, 1.1 times; around
    the person's own box where the keypoints span none.
    """
    return jotr_boxes(keypoints_as(person, JOTR30), np.asarray(person.box, dtype=np.float64), size)


def jotr_boxes(
    points: Float[np.ndarray, "*g 30 3"], boxes: Float[np.ndarray, "*g 4"], size: tuple[int, int] | np.ndarray
) -> Float[np.ndarray, "*g 4"]:
    """`jotr_box` of many people in photos of one size, or of one each, from JOTR30 keypoints and their own boxes."""
    seen = points[..., 2:] > SEEN_ABOVE
    first = np.where(seen, points[..., :2], np.inf).min(-2)
    last = np.where(seen, points[..., :2], -np.inf).max(-2)
    spanned = (last > first).all(-1, keepdims=True)
    first, last = np.where(spanned, first, 0), np.where(spanned, last, 0)
    middle, half = (last + first) / 2, (last - first) / 2
    first = np.where(spanned, middle - 1.2 * half, boxes[..., :2])
    last = np.where(spanned, middle + 1.2 * half, boxes[..., 2:])
    low = np.maximum(first, 0)  # a box that starts outside is moved, not cut (authors)
    high = np.minimum(np.array(size) - 1.0, low + np.maximum(0, last - first - 1))
    outside = (high <= low).any(-1, keepdims=True)  # the photo
    low, high = np.where(outside, first, low), np.where(outside, last, high)
    middle, half = (low + high) / 2, 1.1 * (high - low).max(-1, keepdims=True) / 2
    return np.concatenate([middle - half, middle + half], axis=-1)


def visible_in_crop(keypoints: Float[Tensor, "*g K 3"], size: tuple[int, int]) -> Bool[Tensor, "*g K"]:
    """Which keypoints (x, y px, confidence) are confident and inside of the crop of (height, width) px."""
    x, y, confidence = keypoints.unbind(-1)
    return (x >= 0) & (x < size[1]) & (y >= 0) & (y < size[0]) & (confidence > SEEN_ABOVE)
