"""What MediaPipe would say of a body's points in 3D: its errors, simulated, to go with those of its keypoints."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from humesh.body.joints import MEDIAPIPE33
from humesh.body.kinematics import swing
from humesh.data.detector_errors import Told

_SIDES = ("left", "right")
_HIPS = MEDIAPIPE33.indices("left_hip", "right_hip")
_MOVED = {
    "shoulder": ("elbow", "wrist", "pinky", "index", "thumb"),
    "hip": ("knee", "ankle", "heel", "foot_index"),
}
"""The points of the limb that begins at a joint."""


@dataclass(frozen=True)
class LandmarkErrors:
    """How landmarks err, in metres; what is across the view errs as the keypoints do, depth in larger pieces.

    Measured on 4,700 rendered people whom MediaPipe found: landmarks lie within 2-3 cm of its own keypoints across the
    view; the depth of a limb comes with a factor whose median is 0.3 to 0.5 and whose quartiles are 0 and 0.85, so a
    quarter of limbs point the wrong way; flat limbs get 7 to 10 cm of depth; trunks lean 0.2 too much or too little and
    are turned by 30 degrees (medians). That makes 142 mm of PA-MPJPE over 12 limb joints; on real photographs it is
    110 mm, so the spreads here are smaller than measured: 133 mm of people of whom a third is hidden, 95 mm of wholly
    visible ones.
    """

    across: float = 0.025
    """Standard deviation of a point from where its keypoint has it, across the view; MediaPipe's is 0.02 to 0.03."""
    along: tuple[float, float] = (0.05, 0.07)
    """Standard deviation of depths of arms and of legs, from all that is not said below."""
    limb: tuple[float, float] = (0.7, 0.35)
    """Mean and deviation of the factor on a limb's depth from where it begins."""
    hidden: float = 1.3
    """Factor on both deviations for limbs that are told as hidden."""
    turned: tuple[float, float, float] = (0.2, 0.8, 0.08)
    """Depth per metre sideways, its deviation for most people, for some, and for how many."""
    leant: tuple[float, float] = (0.04, 0.18)
    """Depth per metre downwards, mean and deviation: bodies lean away from the camera."""
    flattened: tuple[float, float] = (0.7, 1.05)
    """Range of a factor on all depths."""
    size: tuple[float, float] = (0.05, 0.1)
    """Mean and deviation of the logarithm of the size: everybody is told to be of a usual one."""


def landmarks_by_detector(
    points: Float[np.ndarray, "P 33 3"],
    told: Told,
    metres_per_px: Float[np.ndarray, "P"],
    errors: LandmarkErrors,
    generator: np.random.Generator,
) -> Float[np.ndarray, "P 33 3"]:
    """The landmarks of P people: metres from the middle of the hips, in a camera that looks straight at each of them.

    `points`: the true ones, metres, camera frame; `told`: what was said of the same people's keypoints, which the
    landmarks repeat across the view, without perspective; `metres_per_px`: at the people's depths.
    """
    count, middle = len(points), torch.from_numpy(points).double().mean(1)
    ahead = torch.tensor([0.0, 0.0, 1.0]).double().expand_as(middle)
    points = np.take_along_axis(points @ swing(ahead, middle).numpy(), told.whose[..., None], axis=1)
    points = points - points[:, _HIPS].mean(1, keepdims=True)
    own = told.mixed(generator)
    depth = points[..., 2].copy()
    for joint, along in zip(_MOVED, errors.along, strict=True):
        for side in _SIDES:
            start = MEDIAPIPE33.index(f"{side}_{joint}")
            limb = MEDIAPIPE33.indices(*(f"{side}_{name}" for name in _MOVED[joint]))
            worse = 1 + (errors.hidden - 1) * told.hidden[:, limb].mean(1, keepdims=True)
            mean, spread = errors.limb
            factor = mean + spread * worse * generator.standard_normal((count, 1))
            bent = factor * (points[:, limb, 2] - points[:, [start], 2]) + along * worse * own[:, limb, 2]
            depth[:, limb] = depth[:, [start]] + bent
    depth *= generator.uniform(*errors.flattened, (count, 1))
    usual, wild, share = errors.turned
    turn = np.where(generator.random((count, 1)) < share, wild, usual) * generator.standard_normal((count, 1))
    depth += turn * points[..., 0] + generator.normal(*errors.leant, (count, 1)) * points[..., 1]
    across = told.keypoints[..., :2] * metres_per_px[:, None, None] + errors.across * own[..., :2]
    told_points = np.concatenate([across, depth[..., None]], axis=-1)
    told_points -= told_points[:, _HIPS].mean(1, keepdims=True)
    return told_points * np.exp(generator.normal(*errors.size, (count, 1, 1)))
