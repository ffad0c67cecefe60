"""What a person detector would say of synthetic people: the one place where datasets call its simulation."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from numpy.random import Generator

from humesh.body.joints import MEDIAPIPE33
from humesh.data.detector_errors import DetectorErrors, person_of, told_by_detector
from humesh.images.photo import Person


def seen_person(
    points: Float[np.ndarray, "33 2"],
    visible: Bool[np.ndarray, "33"],
    box: Float[np.ndarray, "4"],
    others: list[Float[np.ndarray, "33 2"]],
    size: tuple[int, int],
    g: Generator,
) -> Person:
    """The person as `PeopleFinder` would see them, from the true points in pixels; `others`: the other people's.

    `box`: the tight one of the person's pixels. There are no 3D landmarks: their errors are too much like those of any
    guess from the same keypoints to be simulated apart; `detected.py` has real ones.
    """
    around = np.array(others).reshape(1, len(others), len(MEDIAPIPE33), 2)
    keypoints = seen_people(points[None], visible[None], around, size, g)
    return person_of(keypoints[0], MEDIAPIPE33, box, size, DetectorErrors())


def seen_people(
    points: Float[np.ndarray, "P 33 2"],
    visible: Bool[np.ndarray, "P 33"],
    others: Float[np.ndarray, "P O 33 2"],
    size: tuple[int, int],
    g: Generator,
) -> Float[np.ndarray, "P 33 3"]:
    """The keypoints that `PeopleFinder` would give of people in as many photos of (width, height) px.

    Points far outside of the photo are drawn nearer to it.
    """
    near = np.array(size)
    points, others = np.clip(points, -near, 2 * near), np.clip(others, -near, 2 * near)
    return told_by_detector(points, visible.astype(np.float64), MEDIAPIPE33, others, size, DetectorErrors(), g)
