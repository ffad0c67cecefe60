"""What MediaPipe would say of a body's points in 3D: its errors, simulated, to go with those of its keypoints."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from humesh.body.joints import MEDIAPIPE33
from humesh.body.kinematics import swing
from humesh.data.detector_errors import Told, kind_of

_HIPS = MEDIAPIPE33.indices("left_hip", "right_hip")


@dataclass(frozen=True)
class LandmarkErrors:
    """How landmarks err, in metres and radians; kinds of joints and limbs that err together as for keypoints.

    Spreads and correlations are like MediaPipe's on 4,700 rendered people; their level is chosen: PA-MPJPE over 12 limb
    joints is 116 mm here, 142 mm there, and 110 mm on real photographs.
    """

    deviation: tuple[tuple[str, float], ...] = (
        ("face", 0.04), ("trunk", 0.04), ("shoulder", 0.045), ("elbow", 0.055), ("wrist", 0.075), ("hand", 0.085),
        ("hip", 0.015), ("knee", 0.06), ("ankle", 0.085), ("foot", 0.1),
    )  # fmt: skip
    hidden: tuple[float, float] = (0.75, 1.65)
    """Factors on these where a joint is seen, and where it is hidden."""
    across: float = 0.6
    """Share of the deviation across the view; along it, `along`."""
    along: float = 1.5
    as_2d: float = 0.7
    """How much of the keypoints' errors the landmarks share."""
    level: tuple[float, float] = (-0.1, 0.35)
    """Mean and deviation of the logarithm of a factor for one person."""
    flattened: tuple[float, float] = (0.5, 1.05)
    """Depths are told too small, by a factor from this range."""
    leant: tuple[float, float] = (0.04, 0.2)
    """Mean and deviation of the tangent by which bodies lean away from the camera."""
    size: tuple[float, float] = (0.05, 0.1)
    """Mean and deviation of the logarithm of the size: everybody is told to be of a usual one."""


def landmarks_by_detector(
    points: Float[np.ndarray, "P 33 3"],
    told: Told,
    extent_m: Float[np.ndarray, "P"],
    errors: LandmarkErrors,
    generator: np.random.Generator,
) -> Float[np.ndarray, "P 33 3"]:
    """The landmarks of P people: metres from the middle of the hips, in a camera that looks straight at each of them.

    `points`: the true ones, metres, camera frame; `told`: what was said of the same people's keypoints; `extent_m`: how
    long their size in the photo is at their depth.
    """
    count, middle = len(points), torch.from_numpy(points).double().mean(1)
    ahead = torch.tensor([0.0, 0.0, 1.0]).double().expand_as(middle)
    points = points @ swing(ahead, middle).numpy()
    points = np.take_along_axis(points, told.whose[..., None], axis=1)
    points = points - points[:, _HIPS].mean(1, keepdims=True)
    level = np.exp(generator.normal(*errors.level, (count, 1)))
    points[..., 2] *= generator.uniform(*errors.flattened, (count, 1))
    points[..., 2] += np.clip(generator.normal(*errors.leant, (count, 1)), -0.6, 0.6) * points[..., 1]
    by_kind = dict(errors.deviation)
    deviation = np.array([by_kind[kind_of(name)] for name in MEDIAPIPE33.names])
    seen, hidden = errors.hidden
    deviation = level * deviation * (seen + (hidden - seen) * told.hidden)
    own = told.mixed(generator)
    points += deviation[..., None] * own * [errors.across, errors.across, errors.along]
    points[..., :2] += errors.as_2d * told.error * extent_m[:, None, None]
    points -= points[:, _HIPS].mean(1, keepdims=True)
    return points * np.exp(generator.normal(*errors.size, (count, 1, 1)))
