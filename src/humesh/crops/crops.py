"""Crops: the input of every network. A crop is a camera, so nothing about where it was cut is ever lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn.functional import grid_sample

from humesh.body.joints import JOTR30, MEDIAPIPE33, SMPL24, JointSet
from humesh.errors import HumeshError
from humesh.geometry.boxes import affine_apply, affine_inverse, crop_around
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_about_z
from humesh.media.photo import Photo
from humesh.people.person import Person

Box = Float[np.ndarray, "4"]  # x0 y0 x1 y1 px
_HIPS, _SHOULDERS = ("left_hip", "right_hip"), ("left_shoulder", "right_shoulder")
_LANDMARKS_OF = {
    **dict.fromkeys(("pelvis", "spine1"), _HIPS),
    **dict.fromkeys(("spine2", "spine3"), (*_HIPS, *_SHOULDERS)),
    **dict.fromkeys(("neck", "left_collar", "right_collar"), _SHOULDERS),
    "head": ("nose", "left_ear", "right_ear"),
    **{f"{side}_foot": (f"{side}_heel", f"{side}_foot_index") for side in ("left", "right")},
    **{f"{side}_hand": (f"{side}_pinky", f"{side}_index") for side in ("left", "right")},
}
"""Whose mean confidence a joint of SMPL has that is no landmark of MediaPipe's itself."""
_MADE_OF = {"pelvis": _HIPS, "neck": _SHOULDERS}


SEEN_ABOVE = 0.05
"""The confidence from which JOTR uses a keypoint (authors)."""
_Crops = TypeVar("_Crops", bound="Crops")  # crops of a kind stay of that kind


@dataclass(frozen=True, eq=False)
class Crops:
    """B groups of N crops. Pixels are RGB in [0, 1]; keypoints are (x, y, confidence) in pixels of the crop.

    `present`: False for padding, which changes nothing; `wanted`: the crops whose bodies the method predicts.
    `landmarks`: the detector's prediction of MEDIAPIPE33 in 3D, (x, y, z, confidence) in metres from the middle of the
    hips, in the axes of a camera that looks straight at the person, rolled as the crop is; confidence 0: unknown.
    """

    pixels: Float[Tensor, "B N 3 H W"]
    crop_from_photo: Float[Tensor, "B N 2 3"]
    photo_camera: Camera  # matrix B N 3 3
    keypoints: Float[Tensor, "B N K 3"]  # K = 0 where the method wants none
    present: Bool[Tensor, "B N"]
    wanted: Bool[Tensor, "B N"]
    landmarks: Float[Tensor, "B N L 4"]  # L = 0 where the method wants none

    @classmethod
    def joined(cls: type[_Crops], parts: Sequence[_Crops], dim: int = 0) -> _Crops:
        """Groups one after the other (dim 0), or crops of one group (dim 1)."""
        names = [field.name for field in fields(cls) if field.name != "photo_camera"]
        matrix = torch.cat([part.photo_camera.matrix for part in parts], dim)
        tensors = {name: torch.cat([getattr(part, name) for part in parts], dim) for name in names}
        return cls(photo_camera=Camera(matrix), **tensors)

    @property
    def camera(self) -> Camera:
        """The cameras of the crops: the same bodies in the same metres, in crop pixels."""
        return self.photo_camera.cropped(self.crop_from_photo)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the crops in pixels."""
        return self.pixels.shape[-2], self.pixels.shape[-1]

    def map(self: _Crops, function: Callable[[Tensor], Tensor]) -> _Crops:
        """The crops with a function applied to each of their tensors (indexing, moving)."""
        names = [field.name for field in fields(self) if field.name != "photo_camera"]
        camera = Camera(function(self.photo_camera.matrix))
        return replace(self, photo_camera=camera, **{name: function(getattr(self, name)) for name in names})


@dataclass(frozen=True, eq=False)
class ClipCrops(Crops):
    """Crops of one person's frames, with their times in seconds from any moment on."""

    seconds: Float[Tensor, "B N"]


def seconds_of(crops: Crops) -> Float[Tensor, "B N"]:
    """The frames' times; crops without times count as those of a video of 30 frames a second."""
    if isinstance(crops, ClipCrops):
        return crops.seconds
    return (torch.arange(crops.present.shape[1]).to(crops.keypoints) / 30).expand(crops.present.shape)


def longer_side(person: Person, size: tuple[int, int]) -> Box:
    """The person's box as it was detected; the crop is the square around it."""
    return np.asarray(person.box, dtype=np.float64)


@dataclass(frozen=True)
class CropSpec:
    """The crops that a method wants.

    `size`: (height, width) of a crop, px. `group`: "single" (one person), "rois" (several boxes of one person),
    "frames" (one person through time), "people" (everyone in a photo). `count`: the most crops of a group; None: any
    number. `keypoints`: the joint set of 2D keypoints to add, `landmarks`: whether to add 3D landmarks. `box`: gives
    the box (x0 y0 x1 y1) of a person in a photo of (width, height), `margin`: the crop's side in units of the box's.
    `copies`: the boxes of "rois" as (shift x, shift y, scale) in units of the first one's side.
    """

    size: tuple[int, int]
    group: Literal["single", "rois", "frames", "people"] = "single"
    count: int | None = 1
    keypoints: JointSet | None = None
    landmarks: bool = False
    box: Callable[[Person, tuple[int, int]], Box] = longer_side
    margin: float = 1.0
    copies: tuple[tuple[float, float, float], ...] = ((0.0, 0.0, 1.0),)

    @property
    def temporal(self) -> bool:
        """Whether the method processes several frames of a person together."""
        return self.group == "frames" and self.count != 1


def cut(
    photo: UInt8[np.ndarray, "H W 3"], crop_from_photo: Float[Tensor, "n 2 3"], size: tuple[int, int]
) -> Float[Tensor, "n 3 h w"]:
    """Crops of (height, width) pixels, RGB in [0, 1], bilinear, black outside of the photo."""
    height, width = size
    columns, rows = (torch.arange(length, dtype=torch.float64) + 0.5 for length in (width, height))
    corners = torch.tensor([(x, y) for x in (0.5, width - 0.5) for y in (0.5, height - 0.5)], dtype=torch.float64)
    crops = []
    for back in affine_inverse(crop_from_photo.double()):
        # Only the part of the photo that the crop sees is made floating point; one pixel around it for the edges.
        ends = affine_apply(back, corners)
        low = (ends.amin(0).floor() - 1).clamp(min=0).long().tolist()
        high = (ends.amax(0).ceil() + 1).long().tolist()
        part = np.array(photo[low[1] : max(high[1], low[1]), low[0] : max(high[0], low[0])])
        if not part.size:
            crops.append(torch.zeros(3, height, width))
            continue
        pixels = torch.from_numpy(part).permute(2, 0, 1)[None].float() / 255
        # The map is a sum of what a column and what a row adds, which saves most of the arithmetic.
        unit = 2 / torch.tensor([part.shape[1], part.shape[0]])
        of_columns = (columns[:, None] * back[:, 0] + back[:, 2] - torch.tensor(low)) * unit - 1
        grid = of_columns.float() + (rows[:, None, None] * back[:, 1] * unit).float()
        crops.append(grid_sample(pixels, grid[None], mode="bilinear", padding_mode="zeros", align_corners=False)[0])
    return torch.stack(crops) if crops else torch.zeros(0, 3, height, width)


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


def keypoints_of(people: list[Person]) -> Float[Tensor, "P K 3"]:
    """The keypoints (x, y px, confidence) of people who have those of one joint set."""
    return torch.stack([torch.as_tensor(person.keypoints) for person in people])


def believed(keypoints: Float[Tensor, "P 33 3"], size: tuple[int, int]) -> Float[Tensor, "P 33"]:
    """Confidences in a photo of (width, height): 0 outside of it, and of unsure knees whose ankles are not visible.

    Of people cut off at the hips the landmark model guesses knees somewhere inside the photo, at up to 0.6.
    """
    pixels = keypoints[..., :2].double()
    confidence = keypoints[..., 2].double() * ((pixels >= 0) & (pixels <= torch.tensor(size))).all(-1)
    for side in ("left", "right"):
        knee, ankle = MEDIAPIPE33.indices(f"{side}_knee", f"{side}_ankle")
        guessed = (confidence[..., knee] < 0.7) & (confidence[..., ankle] < 0.3)
        confidence[..., knee] = torch.where(guessed, 0.0, confidence[..., knee])
    return confidence


def confidence_of_joints(people: list[Person], size: tuple[int, int]) -> Float[Tensor, "P 24"]:
    """How well SMPL's joints are seen in a photo of (width, height); 1 where not all have MediaPipe's keypoints."""
    if not people or any(person.keypoint_set != MEDIAPIPE33 for person in people):
        return torch.ones(len(people), len(SMPL24))
    points = believed(keypoints_of(people), size).unbind(-1)
    chosen = [MEDIAPIPE33.indices(*_LANDMARKS_OF.get(joint, (joint,))) for joint in SMPL24.names]
    return torch.stack([torch.stack([points[row] for row in rows]).mean(0) for rows in chosen], dim=-1)


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
