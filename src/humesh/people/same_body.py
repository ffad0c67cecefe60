"""Which finds of a photo are one and the same body, and what is believed of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from humesh.body.joints import LIMBS12, MEDIAPIPE33
from humesh.people.person import Person
from humesh.people.regions import Pose

LIMBS = MEDIAPIPE33.indices(*LIMBS12.names)
ONE_BODY = 0.6  # similarity; two people who overlap are less alike
_KNEES, _ANKLES, _HEELS, _TOES = (
    MEDIAPIPE33.indices(f"left_{joint}", f"right_{joint}") for joint in ("knee", "ankle", "heel", "foot_index")
)
_LEGS = [*_KNEES, *_ANKLES, *_HEELS, *_TOES]
"""Of people cut off at the hips the networks lay both legs somewhere inside the photo, with little confidence, and the
body would squat in the air: such legs are left out."""


def distinct(poses: Sequence[Pose]) -> list[Pose]:
    """Best score first, each body once."""
    kept: list[Pose] = []
    for pose in sorted(poses, key=lambda pose: -pose.score):
        if all(similarity(pose, other) < ONE_BODY for other in kept):
            kept.append(pose)
    return kept


def similarity(one: Pose, other: Pose) -> float:
    """How much two poses are one body, 0..1: COCO's OKS of the limbs, every joint's sigma a tenth of the body."""
    squared = np.sum((one.points[LIMBS, :2] - other.points[LIMBS, :2]) ** 2, axis=1)
    weight = np.maximum(one.points[LIMBS, 2], other.points[LIMBS, 2]) + 1e-6
    sigma = 0.1 * max(one.size, other.size)
    return float(np.sum(weight * np.exp(-squared / (2 * sigma**2))) / np.sum(weight))


def box_around_points(points: Float[np.ndarray, "K 3"], width: int, height: int) -> Float[np.ndarray, "4"]:
    """The box (x0 y0 x1 y1 px, inside the photo) of a body by its trusted points, with room for skull and soles."""
    trusted = points[points[:, 2] > 0.3, :2]
    trusted = trusted if len(trusted) >= 4 else points[:, :2]
    low, high = trusted.min(0), trusted.max(0)
    room = 0.07 * float(np.max(high - low))  # the skull ends about so far above the eyes, the soles below the heels
    return np.clip([*(low - room), *(high + room)], 0, [width, height, width, height])


def overlap(one: Sequence[float] | np.ndarray, other: Sequence[float] | np.ndarray) -> float:
    """Intersection over union of two boxes."""
    wide, high = (min(one[i + 2], other[i + 2]) - max(one[i], other[i]) for i in (0, 1))
    shared = max(wide, 0) * max(high, 0)
    union = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)) - shared
    return float(shared / union) if union > 0 else 0.0


def outside(points: Float[np.ndarray, "33 3"], photo_size: Sequence[int]) -> Bool[np.ndarray, "33"]:
    """Which points lie outside of a photo of (width, height)."""
    return np.any((points[:, :2] < 0) | (points[:, :2] > photo_size), axis=1)


def person_of(pose: Pose, width: int, height: int) -> Person:
    """A find as a person of a photo of that size; joints outside of it have no confidence, nor have guessed legs."""
    points = pose.points.copy()
    points[outside(points, (width, height)), 2] = 0
    box = box_around_points(points, width, height)
    if (points[_KNEES, 2] < 0.1).all() and (points[_ANKLES, 2] < 0.35).all():
        points[_LEGS, 2] = 0
    return Person(box, pose.score, points, MEDIAPIPE33, pose.landmarks3d, mask=pose.mask)
