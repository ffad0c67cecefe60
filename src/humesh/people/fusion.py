"""Several predictions of one body fused: points with calibrated confidences, 3D landmarks, and whether it is a body."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import expit, logit

from humesh.body.joints import LIMBS12, MEDIAPIPE33
from humesh.people.networks import PARENTS, Pose

LIMBS = MEDIAPIPE33.indices(*LIMBS12.names)
ONE_BODY = 0.6
"""The similarity from which two poses are one body; two people who overlap are less alike."""
CURVES = {"heavy": (1.86, 0.24), "full": (1.13, 0.15), "thunder": (2.87, 1.69), "multipose": (2.66, 1.39)}
"""Of each network's confidences: logistic regression of whether a limb joint lies within a tenth of the person."""
_NEAR = 0.05  # of the person: predictions that far apart agree by exp(-1/2)
_AFAR = 0.7  # weight of MultiPose, which sees the person from afar, beside closer predictions
_SOMEBODY = 0.5  # the landmark model's score
_CALIBRATION = (0.03, 2.03)
"""Logistic regression of whether a fused limb joint lies within a tenth of the person, on the logit of its backing, as
`CURVES` on the labelled photographs that may be calibrated on (`tools/calibrate_points.py`)."""


def similarity(one: Pose, other: Pose) -> float:
    """How much two poses are one body, 0..1: COCO's OKS of the limbs, every joint's sigma a tenth of the body."""
    squared = np.sum((one.points[LIMBS, :2] - other.points[LIMBS, :2]) ** 2, axis=1)
    weight = np.maximum(one.points[LIMBS, 2], other.points[LIMBS, 2]) + 1e-6
    sigma = 0.1 * max(one.size, other.size)
    return float(np.sum(weight * np.exp(-squared / (2 * sigma**2))) / np.sum(weight))


def nms(poses: Iterable[Pose], threshold: float = ONE_BODY, known: Sequence[Pose] = ()) -> list[Pose]:
    """Best score first, each body once, none that is known."""
    kept: list[Pose] = []
    for pose in sorted(poses, key=lambda pose: -pose.score):
        if all(similarity(pose, other) < threshold for other in [*known, *kept]):
            kept.append(pose)
    return kept


def fused(poses: Sequence[Pose]) -> Pose:
    """One pose of several predictions of one body: each point where most of their belief lies close together.

    A point's confidence is the probability that it lies within a tenth of the person of where it is. 3D landmarks and
    the next region are those of the landmark model's predictions that lie nearest to the points.
    """
    points = np.stack([pose.points for pose in poses])
    weights = np.array([[_AFAR if pose.network == "multipose" else 1.0] for pose in poses])
    belief = weights * np.stack([_probability(pose.points[:, 2], CURVES[pose.network]) for pose in poses])
    size = max(1.2 * np.ptp(np.median(points[:, LIMBS, :2], axis=0), axis=0).max(), 1.0)
    apart = np.linalg.norm(points[:, None, :, :2] - points[None, :, :, :2], axis=-1) / size
    near = np.exp(-0.5 * (apart / _NEAR) ** 2)
    best = np.einsum("lk,lmk->mk", belief, near).argmax(0)[PARENTS]
    backing = belief * near[best, :, PARENTS].T + 1e-9
    weight = backing / backing.sum(0)
    places = np.einsum("lk,lkc->kc", weight, points[..., :2])
    offsets = points[..., :2] - points[:, PARENTS, :2]
    places = places[PARENTS] + np.einsum("lk,lkc->kc", weight, offsets)
    # How sure each prediction is by itself, times the share of them that backs the place.
    given = np.maximum((weights * (belief > 0)).sum(0), _AFAR)
    confidence = _probability(backing.sum(0) / given, _CALIBRATION, least=1e-6)  # 0 where no network gives the point
    fused_points = np.concatenate([places, confidence[:, None]], axis=1)
    deep = [pose for pose in poses if pose.landmarks3d is not None]
    if not deep:
        return replace(poses[0], points=fused_points)
    off = [float(np.linalg.norm(pose.points[LIMBS, :2] - places[LIMBS], axis=1).mean()) / size for pose in deep]
    nearest = [pose.landmarks3d for pose, o in zip(deep, off, strict=True) if o < min(off) + _NEAR / 2]
    return replace(
        deep[int(np.argmin(off))],
        points=fused_points,
        landmarks3d=np.mean(np.array(nearest), axis=0),
        score=max(pose.score for pose in deep),
    )


def rating(pose: Pose, photo_size: Sequence[int]) -> float:
    """The expected share of correct limb joints of a fused pose, of those inside the photo: whether it is a body.

    0 where the landmark model sees nobody.
    """
    inside = ~outside(pose.points, photo_size)[LIMBS]
    somebody = pose.landmarks3d is None or pose.score >= _SOMEBODY
    return float(pose.points[LIMBS, 2][inside].mean()) if somebody and inside.any() else 0.0


def outside(points: Float[np.ndarray, "33 3"], photo_size: Sequence[int]) -> Bool[np.ndarray, "33"]:
    """Which points lie outside of a photo of (width, height)."""
    return np.any((points[:, :2] < 0) | (points[:, :2] > photo_size), axis=1)


def log_odds(probability: np.ndarray) -> np.ndarray:
    """The logit of a probability, within 7 of 0."""
    return logit(np.clip(probability, 1e-3, 1 - 1e-3))


def _probability(confidence: Float[np.ndarray, "33"], curve: tuple[float, float], least: float = 0.0) -> np.ndarray:
    """The probability of being right by a logistic regression (start, slope); 0 for confidences up to `least`."""
    return np.where(confidence > least, expit(curve[0] + curve[1] * log_odds(confidence)), 0.0)
