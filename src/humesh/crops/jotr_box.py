"""The box of 3DCrowdNet and JOTR at test time: around a person's keypoints."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from humesh.body.joints import JOTR30
from humesh.crops.crops import Box
from humesh.crops.groups import keypoints_as
from humesh.people.person import Person

SEEN_ABOVE = 0.05
"""The confidence from which a keypoint is used (authors)."""


def jotr_box(person: Person, size: tuple[int, int]) -> Box:
    """The square box, about 1.32 times that of the keypoints seen; around the person's own box if they span none.

    1.2 times the keypoints' extent, into the photo of (width, height) px, squared about the centre, 1.1 times.
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
    outside = (high <= low).any(-1, keepdims=True)  # wholly outside of the photo
    low, high = np.where(outside, first, low), np.where(outside, last, high)
    middle, half = (low + high) / 2, 1.1 * (high - low).max(-1, keepdims=True) / 2
    return np.concatenate([middle - half, middle + half], axis=-1)


def visible_in_crop(keypoints: Float[Tensor, "*g K 3"], size: tuple[int, int]) -> Bool[Tensor, "*g K"]:
    """Which keypoints (x, y px, confidence) are seen and inside of the crop of (height, width) px."""
    x, y, confidence = keypoints.unbind(-1)
    return (x >= 0) & (x < size[1]) & (y >= 0) & (y < size[0]) & (confidence > SEEN_ABOVE)
