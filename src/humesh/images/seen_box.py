"""The box of 3DCrowdNet and JOTR at test time: around a person's keypoints."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from humesh.body.joints import JOTR30
from humesh.images.crops import Box
from humesh.images.groups import keypoints_as
from humesh.images.photo import Person

SEEN_ABOVE = 0.05
"""The confidence from which a keypoint is used (authors)."""


def seen_box(person: Person, size: tuple[int, int]) -> Box:
    """The square box, about 1.32 times that of the keypoints seen; around the person's own box if they span none.

    1.2 times the keypoints' extent, into the photo of (width, height) px, squared about the centre, 1.1 times.
    """
    points = keypoints_as(person, JOTR30)
    seen = points[points[:, 2] > SEEN_ABOVE, :2]
    box = np.asarray(person.box, dtype=np.float64)
    if len(seen) and (np.ptp(seen, axis=0) > 0).all():
        middle, half = (seen.max(0) + seen.min(0)) / 2, np.ptp(seen, axis=0) / 2
        box = np.concatenate([middle - 1.2 * half, middle + 1.2 * half])
    low = np.maximum(box[:2], 0)  # a box that starts outside is moved, not cut (authors)
    high = np.minimum(np.array(size) - 1.0, low + np.maximum(0, box[2:] - box[:2] - 1))
    if (high <= low).any():  # wholly outside of the photo
        low, high = box[:2], box[2:]
    middle, half = (low + high) / 2, 1.1 * (high - low).max() / 2
    return np.concatenate([middle - half, middle + half])


def seen_in_crop(keypoints: Float[Tensor, "*g K 3"], size: tuple[int, int]) -> Bool[Tensor, "*g K"]:
    """Which keypoints (x, y px, confidence) are seen and inside of the crop of (height, width) px."""
    x, y, confidence = keypoints.unbind(-1)
    return (x >= 0) & (x < size[1]) & (y >= 0) & (y < size[0]) & (confidence > SEEN_ABOVE)
