"""What a person detector would say of a synthetic person: the one place where datasets call its simulation."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from numpy.random import Generator

from humesh.body.joints import MEDIAPIPE33
from humesh.data.detector_errors import DetectorErrors, seen_by_detector
from humesh.images.photo import Person


def seen_person(
    points: Float[np.ndarray, "33 2"],
    visible: Bool[np.ndarray, "33"],
    box: Float[np.ndarray, "4"],
    others: list[Float[np.ndarray, "33 2"]],
    size: tuple[int, int],
    g: Generator,
) -> Person:
    """The person with MediaPipe's points (px) and their confidences as it gives them; `others`: the other people's.

    `box`: the tight one of the person's pixels. Points far outside of the photo are drawn nearer to it.
    """
    near = np.array(size)

    def held(some: Float[np.ndarray, "33 2"]) -> Float[np.ndarray, "33 2"]:
        return np.clip(some, -near, 2 * near)

    return seen_by_detector(
        held(points), visible.astype(np.float64), MEDIAPIPE33, box, list(map(held, others)), size, DetectorErrors(), g
    )
