"""Simulated 3D landmarks with the errors of a landmark network, and the 2D keypoints of the same inference.

The errors belong together: a limb that is taken for the other one in 2D is so in 3D, the error across the ray is mostly
that of the keypoint, and the depth of each bone errs by itself, is too flat on average and now and then flipped.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.random import Generator
from scipy.spatial.transform import Rotation
from torch import Tensor

from humesh.body.joints import MEDIAPIPE33
from humesh.body.kinematics import swing
from humesh.data.detector_errors import DetectorErrors, simulate_keypoints

_NEAREST_M = 0.3  # of a point whose error in pixels is turned into metres
_PARENTS = {
    "elbow": "shoulder", "wrist": "elbow", "pinky": "wrist", "index": "wrist", "thumb": "wrist", "knee": "hip",
    "ankle": "knee", "heel": "ankle", "foot_index": "ankle",
}  # fmt: skip
_CORNERS = MEDIAPIPE33.indices("left_shoulder", "right_shoulder", "left_hip", "right_hip")
_SHOULDERS, _HIPS = _CORNERS[:2], _CORNERS[2:]


def _parent(name: str) -> int:
    side, _, joint = name.partition("_")
    return MEDIAPIPE33.index(f"{side}_{_PARENTS[joint]}") if joint in _PARENTS else -1


_PARENT = [_parent(name) for name in MEDIAPIPE33.names]
_FACE = [j for j, parent in enumerate(_PARENT) if parent < 0 and j not in _CORNERS]
_UPPER = [j for j, parent in enumerate(_PARENT) if parent in _CORNERS]  # the ends of upper arms and thighs
_LOWER = [j for j, parent in enumerate(_PARENT) if parent in _UPPER]  # those of forearms and shins
_LIMB = [
    4 if parent < 0 else 2 * (joint >= _HIPS[0]) + name.startswith("right")
    for joint, (parent, name) in enumerate(zip(_PARENT, MEDIAPIPE33.names, strict=True))
]
"""Left and right arm, left and right leg, the rest."""


@dataclass(frozen=True)
class LandmarkErrors:
    """How landmarks err. Depths are along the ray through the person's middle; lengths in shares of each bone's."""

    flat: tuple[float, float] = (0.95, 0.1)  # mean and deviation over people of the factor on all depths
    size: tuple[float, float] = (0.9, 0.07)  # mean, and deviation of the logarithm, of the factor on the person
    turn_deg: tuple[float, float, float] = (5.0, 8.0, 3.0)  # deviations: forwards, about the upright, in the picture
    trunk_m: float = 0.025  # deviation of the depth of each corner of the trunk
    bone: float = 0.115  # deviation of an upper arm's or thigh's depth, in its length; 1.4 times for forearm and shin
    across: tuple[float, float] = (0.4, 0.016)  # share of the keypoint's error, and deviation of its own, metres
    hidden: float = 1.8  # factor on the depth errors where a joint is hidden
    made_up: tuple[float, float] = (0.01, 0.4)  # chance that a limb is another person's: a visible, a hidden one
    spread: tuple[float, float] = (0.25, 0.3)  # deviations of the log factors on the depths of one person, one limb
    flipped: float = 0.02  # chance that a limb bone's depth is turned round; hidden ones twice


def simulate_detection(
    points: Float[Tensor, "P 33 3"],
    pixels: Float[Tensor, "P 33 2"],
    visible: Bool[Tensor, "P 33"],
    focal: Float[Tensor, " P"],
    size: tuple[int, int],
    g: Generator,
) -> tuple[Float[Tensor, "P 33 3"], Float[Tensor, "P 33 3"]]:
    """MediaPipe's keypoints (x, y px, confidence) and 3D landmarks (metres, about the hips) of people who are alone.

    `points`: metres in the camera's frame; `focal` in pixels; `size`: (width, height) px of the photos. Points far
    outside of a photo are found nearer to it.
    """
    true, points = np.clip(pixels.double().numpy(), -np.array(size), 2 * np.array(size)), points.double()
    nobody = np.zeros((len(true), 0, *true.shape[1:]))
    found = simulate_keypoints(true, visible.double().numpy(), MEDIAPIPE33, nobody, size, DetectorErrors(), g)
    middle = points.mean(1)
    ahead = torch.tensor([0.0, 0.0, 1.0]).to(middle).expand_as(middle)
    along_ray = (points @ swing(middle / middle.norm(dim=-1, keepdim=True), ahead).mT).numpy()
    metres_a_pixel = np.maximum(along_ray[..., 2], _NEAREST_M) / focal.double().numpy()[:, None]
    error = found.keypoints[..., :2] - np.take_along_axis(true, found.source[..., None], axis=1)
    across = error * metres_a_pixel[..., None]
    landmarks = simulate_landmarks(along_ray, across, found.hidden, found.source, LandmarkErrors(), g)
    return torch.from_numpy(found.keypoints).float(), torch.from_numpy(landmarks).float()


def simulate_landmarks(
    points: Float[np.ndarray, "P 33 3"],
    across: Float[np.ndarray, "P 33 2"],
    hidden: Float[np.ndarray, "P 33"],
    source: Int[np.ndarray, "P 33"],
    errors: LandmarkErrors,
    g: Generator,
) -> Float[np.ndarray, "P 33 3"]:
    """Landmarks about the middle of the hips, in metres, of people whose ray is the z axis.

    `across`: the keypoints' errors, in metres at the points' depths; `source`: the point of the same person that each
    was taken for.
    """
    count = len(points)
    true = np.take_along_axis(points, source[..., None], axis=1)
    true_z = true[..., 2] - true[:, _HIPS, 2].mean(1, keepdims=True)
    flat = np.maximum(errors.flat[0] + errors.flat[1] * g.standard_normal((count, 1)), 0.4)
    factor = np.exp(errors.spread[0] * g.standard_normal((count, 1)) + errors.spread[1] * g.standard_normal((count, 5)))
    noise = g.standard_normal((count, 33)) * factor[:, _LIMB] * (1 + (errors.hidden - 1) * hidden)
    flips = np.where(g.random((count, 33)) < errors.flipped * (1 + hidden), -1.0, 1.0)
    z = true_z + errors.trunk_m * noise
    for joint, parent in enumerate(_PARENT):
        if parent >= 0:
            bone = np.linalg.norm(true[:, joint] - true[:, parent], axis=-1)
            along = true_z[:, joint] - true_z[:, parent]
            if joint in (*_UPPER, *_LOWER):
                along = along * flips[:, joint]
            error = errors.bone * (1.4 if joint in _LOWER else 1.0) * bone * noise[:, joint]
            z[:, joint] = z[:, parent] + np.clip(along + error, -bone, bone)
    moved = z[:, _SHOULDERS].mean(1) - true_z[:, _SHOULDERS].mean(1)  # the head goes with the shoulders
    z[:, _FACE] = true_z[:, _FACE] + (moved + errors.trunk_m * noise[:, 0])[:, None]
    worse = 1 + (errors.hidden - 1) * hidden[..., None]
    side = errors.across[0] * across + errors.across[1] * g.standard_normal((count, 33, 2)) * worse
    landmarks = np.concatenate([true[..., :2] + side, (flat * z)[..., None]], axis=-1)
    landmarks = _with_limbs_made_up(landmarks, hidden, errors.made_up, g)
    landmarks -= landmarks[:, _HIPS].mean(1, keepdims=True)
    turned = Rotation.from_rotvec(np.radians(errors.turn_deg) * g.standard_normal((count, 3))).as_matrix()
    size = errors.size[0] * np.exp(errors.size[1] * g.standard_normal((count, 1, 1)))
    return size * (landmarks @ turned.swapaxes(-1, -2))


def _with_limbs_made_up(
    points: Float[np.ndarray, "P 33 3"],
    hidden: Float[np.ndarray, "P 33"],
    chances: tuple[float, float],
    g: Generator,
) -> Float[np.ndarray, "P 33 3"]:
    """Points where some limbs are those of the person before: of a hidden limb a network gives a usual one."""
    frames, points = _trunks(points), points.copy()
    to_mine = frames @ np.roll(frames, 1, axis=0).swapaxes(-1, -2)
    theirs = np.roll(points, 1, axis=0)
    for number, root in enumerate(_CORNERS):
        limb = [joint for joint, of in enumerate(_LIMB) if of == number]
        chance = np.array(chances)[(hidden[:, limb].mean(1) > 0.5).astype(int)]
        rows = np.nonzero(g.random(len(points)) < chance)[0][:, None]
        bones = (theirs[:, limb] - theirs[:, root, None]) @ to_mine.swapaxes(-1, -2)
        points[rows, limb] = points[rows, root] + bones[rows[:, 0]]
    return points


def _trunks(points: Float[np.ndarray, "P 33 3"]) -> Float[np.ndarray, "P 3 3"]:
    """Rotations from a trunk's frame (left, up, forwards): of hips and shoulders."""
    up = points[:, _SHOULDERS].mean(1) - points[:, _HIPS].mean(1)
    left = points[:, _CORNERS[::2]].mean(1) - points[:, _CORNERS[1::2]].mean(1)
    up = up / (np.linalg.norm(up, axis=-1, keepdims=True) + 1e-9)
    left = left - (left * up).sum(-1, keepdims=True) * up
    left = left / (np.linalg.norm(left, axis=-1, keepdims=True) + 1e-9)
    return np.stack([left, up, np.cross(left, up)], axis=-1)
