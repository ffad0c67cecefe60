"""Several looks at one person put together: points with honest confidences, 3D landmarks, and whether it is a body."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from humesh.body.joints import MEDIAPIPE33
from humesh.people.movenet import neighbour
from humesh.people.odds import expit, logit
from humesh.people.regions import Pose
from humesh.people.same_body import LIMBS, outside

CURVES = {"heavy": (1.86, 0.24), "full": (1.13, 0.15), "thunder": (2.87, 1.69), "multipose": (2.66, 1.39)}
"""Of each network's confidences: logistic regression of whether a limb joint lies within a tenth of the person."""
_NEAR = 0.05  # of the person: looks that far apart agree by exp(-1/2)
_AFAR = 0.7  # how much a look from afar counts beside closer ones; 0.3 and 1.0 did a little worse on real photographs
_SOMEBODY = 0.5  # the landmark model's score
_CALIBRATION = (0.03, 2.03)
"""Logistic regression of whether a fused limb joint lies within a tenth of the person, on the logit of its backing, as
`CURVES` on the labelled photographs that may be calibrated on (`tools/calibrate_points.py`)."""


_PARENTS = MEDIAPIPE33.indices(*map(neighbour, MEDIAPIPE33.names))


def fused(looks: Sequence[Pose]) -> Pose:
    """One pose of several looks at one body: each point where most of their belief lies close together.

    A point's confidence is the probability that it lies within a tenth of the person of where it is. Landmarks in 3D,
    and where to look next, are those of the landmark model's looks that lie nearest to the points.
    """
    points = np.stack([look.points for look in looks])
    weights = np.array([[_AFAR if look.network == "multipose" else 1.0] for look in looks])
    belief = weights * np.stack([_belief(look) for look in looks])
    size = max(1.2 * np.ptp(np.median(points[:, LIMBS, :2], axis=0), axis=0).max(), 1.0)
    apart = np.linalg.norm(points[:, None, :, :2] - points[None, :, :, :2], axis=-1) / size
    near = np.exp(-0.5 * (apart / _NEAR) ** 2)
    best = np.einsum("lk,lmk->mk", belief, near).argmax(0)[_PARENTS]
    backing = belief * near[best, :, _PARENTS].T + 1e-9
    weight = backing / backing.sum(0)
    places = np.einsum("lk,lkc->kc", weight, points[..., :2])
    hung = points[..., :2] - points[:, _PARENTS, :2]  # from the point that it hangs on
    places = places[_PARENTS] + np.einsum("lk,lkc->kc", weight, hung)
    # How sure each look is by itself, times the share of them that backs the place.
    given = np.maximum((weights * (belief > 0)).sum(0), _AFAR)
    whole = np.concatenate([places, _calibrated(backing.sum(0) / given)[:, None]], axis=1)
    deep = [look for look in looks if look.landmarks3d is not None]
    off = [float(np.linalg.norm(look.points[LIMBS, :2] - places[LIMBS], axis=1).mean()) / size for look in deep]
    if not deep:
        return replace(looks[0], points=whole)
    alike = [look.landmarks3d for look, o in zip(deep, off, strict=True) if o < min(off) + _NEAR / 2]
    score = max(look.score for look in deep)
    return replace(deep[int(np.argmin(off))], points=whole, landmarks3d=np.mean(np.array(alike), axis=0), score=score)


def rating(pose: Pose, photo_size: Sequence[int]) -> float:
    """The expected share of a fused pose's limb joints that are right, of those inside the photo: whether it is a body.

    0 where the landmark model sees nobody: it scores 395 of 397 labelled people of photographs above 0.93.
    """
    inside = ~outside(pose.points, photo_size)[LIMBS]
    somebody = pose.landmarks3d is None or pose.score >= _SOMEBODY
    return float(pose.points[LIMBS, 2][inside].mean()) if somebody and inside.any() else 0.0


def _calibrated(backing: Float[np.ndarray, "33"]) -> Float[np.ndarray, "33"]:
    """Backing as a probability; points that no network gives have none."""
    start, slope = _CALIBRATION
    odds = start + slope * logit(backing)
    return np.where(backing > 1e-6, expit(odds), 0.0)


def _belief(look: Pose) -> Float[np.ndarray, "33"]:
    """Each point's probability of being right, of one look by itself; 0 where the network gives no such point."""
    start, slope = CURVES[look.network]
    given = look.points[:, 2]
    return np.where(given > 0, expit(start + slope * logit(given)), 0.0)
