"""What a person detector would say of synthetic people: the one place where datasets call its simulation."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.random import Generator
from torch import Tensor

from humesh.body.joints import MEDIAPIPE33
from humesh.body.kinematics import swing
from humesh.data.detector_errors import DetectorErrors, look_by_detector, person_of
from humesh.data.landmark_errors import LandmarkErrors, detected_landmarks
from humesh.people.person import Person

_NEAREST_M = 0.3  # of a point whose error in pixels is turned into metres


def seen_person(
    points: Float[np.ndarray, "33 2"],
    visible: Bool[np.ndarray, "33"],
    box: Float[np.ndarray, "4"],
    others: list[Float[np.ndarray, "33 2"]],
    size: tuple[int, int],
    g: Generator,
) -> Person:
    """The person as `PeopleFinder` would see them, from the true points in pixels; `others`: the other people's.

    `box`: the tight one of the person's pixels. There are no 3D landmarks; `looked_at` has them.
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
    return look_by_detector(points, visible.astype(np.float64), MEDIAPIPE33, others, size, DetectorErrors(), g)[0]


def looked_at(
    points: Float[Tensor, "P 33 3"],
    pixels: Float[Tensor, "P 33 2"],
    visible: Bool[Tensor, "P 33"],
    focal: Float[Tensor, " P"],
    others: Float[np.ndarray, "P O 33 2"],
    size: tuple[int, int],
    g: Generator,
) -> tuple[Float[Tensor, "P 33 3"], Float[Tensor, "P 33 3"]]:
    """Keypoints (x, y px, confidence) and 3D landmarks (metres, about the hips) of people, as one look gives both.

    `points`: metres in the camera's frame; `focal`: pixels.
    """
    near, three = np.array(size), points.double()
    true = np.clip(pixels.double().numpy(), -near, 2 * near)
    told, whose, hidden = look_by_detector(
        true, visible.double().numpy(), MEDIAPIPE33, np.clip(others, -near, 2 * near), size, DetectorErrors(), g
    )
    middle = three.mean(1)
    ahead = torch.tensor([0.0, 0.0, 1.0]).to(middle).expand_as(middle)
    along_ray = (three @ swing(middle / middle.norm(dim=-1, keepdim=True), ahead).mT).numpy()
    metres_a_pixel = np.maximum(along_ray[..., 2], _NEAREST_M) / focal.double().numpy()[:, None]
    wrong = told[..., :2] - np.take_along_axis(true, whose[..., None], axis=1)
    deep = detected_landmarks(along_ray, wrong * metres_a_pixel[..., None], hidden, whose, LandmarkErrors(), g)
    return torch.from_numpy(told).float(), torch.from_numpy(deep).float()
