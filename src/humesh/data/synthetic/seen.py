"""What a person detector would say of synthetic people: the one place where datasets call its simulation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float
from numpy.random import Generator

from humesh.body.joints import MEDIAPIPE33
from humesh.data.detector_errors import DetectorErrors, person_of, told_by_detector
from humesh.data.landmark_errors import LandmarkErrors, landmarks_by_detector
from humesh.images.photo import Person


def seen_person(
    pixels: Float[np.ndarray, "33 2"],
    points: Float[np.ndarray, "33 3"],
    visible: Bool[np.ndarray, "33"],
    box: Float[np.ndarray, "4"],
    others: list[Float[np.ndarray, "33 2"]],
    size: tuple[int, int],
    focal: float,
    g: Generator,
) -> Person:
    """The person as MediaPipe tells them, from the true points in pixels and metres; `others`: the other people's.

    `box`: the tight one of the person's pixels.
    """
    around = np.array(others).reshape(1, len(others), len(MEDIAPIPE33), 2)
    keypoints, landmarks = seen_people(pixels[None], points[None], visible[None], around, size, np.array([focal]), g)
    person = person_of(keypoints[0], MEDIAPIPE33, box, size, DetectorErrors())
    return replace(person, landmarks3d=landmarks[0])


def seen_people(
    pixels: Float[np.ndarray, "P 33 2"],
    points: Float[np.ndarray, "P 33 3"],
    visible: Bool[np.ndarray, "P 33"],
    others: Float[np.ndarray, "P O 33 2"],
    size: tuple[int, int],
    focal: Float[np.ndarray, "P"],
    g: Generator,
) -> tuple[Float[np.ndarray, "P 33 3"], Float[np.ndarray, "P 33 3"]]:
    """Keypoints and landmarks that MediaPipe would tell of people in as many photos of (width, height) px.

    Points far outside of the photo are drawn nearer to it.
    """
    near = np.array(size)
    pixels, others = np.clip(pixels, -near, 2 * near), np.clip(others, -near, 2 * near)
    told = told_by_detector(pixels, visible.astype(np.float64), MEDIAPIPE33, others, size, DetectorErrors(), g)
    metres_per_px = np.maximum(points[..., 2].mean(-1), 0.3) / focal
    landmarks = landmarks_by_detector(points, told, metres_per_px, LandmarkErrors(), g)
    return told.keypoints, landmarks
