"""One person of a photo, as a detector finds them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from humesh.body.joints import JointSet
from humesh.errors import HumeshError
from humesh.people.masks import Mask


class PersonError(HumeshError, ValueError):
    """A person whom no photo can show."""


@dataclass(frozen=True)
class Person:
    """One person of a photo, in the photo's pixels; what a detector did not give is None.

    Raises PersonError for a box that is not four finite numbers.
    """

    box: Float[np.ndarray, "4"]  # x0 y0 x1 y1 px
    score: float
    keypoints: Float[np.ndarray, "K 3"] | None = None  # x, y px, confidence in [0, 1]
    keypoint_set: JointSet | None = None
    landmarks3d: Float[np.ndarray, "K 3"] | None = None  # metres, camera axes, any origin; same joint set
    track: int | None = None
    mask: Mask | None = None

    def __post_init__(self) -> None:
        box = np.asarray(self.box, dtype=np.float64)
        if box.shape != (4,) or not np.isfinite(box).all():
            raise PersonError(
                f"person: expected a box of four finite numbers, x0 y0 x1 y1 in pixels, got {box.tolist()}; leave out "
                "whom the detector did not find."
            )
