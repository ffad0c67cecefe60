"""Simulated 3D landmarks with the errors of a landmark network, beside 2D keypoints of the same look.

The errors belong together: a limb that is taken for the other one in 2D is so in 3D, the error across the ray is mostly
that of the keypoint, and the depth of each bone errs by itself, is too flat on average and now and then turned round.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import roma
import torch
from jaxtyping import Float, Int
from numpy.random import Generator

from humesh.body.joints import MEDIAPIPE33

_PARENTS = {
    "elbow": "shoulder", "wrist": "elbow", "pinky": "wrist", "index": "wrist", "thumb": "wrist", "knee": "hip",
    "ankle": "knee", "heel": "ankle", "foot_index": "ankle",
}  # fmt: skip
_ENDS = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")


@dataclass(frozen=True)
class LandmarkErrors:
    """How landmarks err. Depths are along the ray through the person's middle; lengths in shares of each bone's."""

    flat: tuple[float, float] = (0.95, 0.1)
    """Mean and deviation over people of the factor on all depths."""
    size: tuple[float, float] = (0.9, 0.07)
    """Mean and deviation of the logarithm of the factor on the whole person."""
    turn_deg: tuple[float, float, float] = (5.0, 8.0, 3.0)
    """Deviations of the whole person's turns: forwards and backwards, about the upright, in the picture."""
    trunk_m: float = 0.025
    """Deviation of the depth of each corner of the trunk."""
    bone: float = 0.115
    """Deviation of the depth of an upper arm or thigh, in its length; of a forearm or shin 1.4 times."""
    across: tuple[float, float] = (0.4, 0.016)
    """Share of the keypoint's error across the ray, and the deviation of an error of its own, in metres."""
    hidden: float = 1.8
    """Factor on the depth errors where a joint is hidden."""
    made_up: tuple[float, float] = (0.01, 0.4)
    """Chance that a limb is another person's, turned with the trunk: a limb that is seen, and one mostly hidden."""
    spread: tuple[float, float] = (0.25, 0.3)
    """Deviations of the logarithms of factors on the depth errors of one person, and of one limb."""
    flipped: float = 0.02
    """Chance that a limb bone's depth is turned round; hidden ones twice."""


def detected_landmarks(
    points: Float[np.ndarray, "P 33 3"],
    across: Float[np.ndarray, "P 33 2"],
    hidden: Float[np.ndarray, "P 33"],
    whose: Int[np.ndarray, "P 33"],
    errors: LandmarkErrors,
    g: Generator,
) -> Float[np.ndarray, "P 33 3"]:
    """Landmarks about the middle of the hips, in metres, of people whose ray is the z axis.

    `across`: the keypoints' errors, in metres at the points' depths; `whose`: the point of the same person that each
    was taken for.
    """
    count = len(points)
    true = np.take_along_axis(points, whose[..., None], axis=1)
    true_z = true[..., 2] - true[:, _HIPS, 2].mean(1, keepdims=True)
    flat = np.maximum(errors.flat[0] + errors.flat[1] * g.standard_normal((count, 1)), 0.4)
    factor = np.exp(errors.spread[0] * g.standard_normal((count, 1)) + errors.spread[1] * g.standard_normal((count, 5)))
    z, noise = np.zeros_like(true_z), g.standard_normal((count, 33))
    flips = np.where(g.random((count, 33)) < errors.flipped * (1 + hidden), -1.0, 1.0)
    worse = 1 + (errors.hidden - 1) * hidden
    for joint, parent in enumerate(_PARENT):
        limb = factor[:, _LIMB[joint]]
        if joint in _CORNERS:
            z[:, joint] = true_z[:, joint] + errors.trunk_m * limb * noise[:, joint] * worse[:, joint]
        elif parent >= 0:
            bone = np.linalg.norm(true[:, joint] - true[:, parent], axis=-1)
            along = (true_z[:, joint] - true_z[:, parent]) * (flips[:, joint] if _GRADE[joint] else 1)
            error = errors.bone * _SCALE[_GRADE[joint]] * bone * limb * worse[:, joint] * noise[:, joint]
            z[:, joint] = z[:, parent] + np.clip(along + error, -bone, bone)
    shoulders = z[:, _SHOULDERS].mean(1) - true_z[:, _SHOULDERS].mean(1)
    face = factor[:, 4] * errors.trunk_m * worse[:, 0] * noise[:, 0]
    z[:, _FACE] = true_z[:, _FACE] + (shoulders + face)[:, None]
    side = errors.across[0] * across + errors.across[1] * g.standard_normal((count, 33, 2)) * worse[..., None]
    landmarks = np.concatenate([true[..., :2] + side, (flat * z)[..., None]], axis=-1)
    landmarks = _made_up(landmarks, hidden, errors.made_up, g)
    landmarks -= landmarks[:, _HIPS].mean(1, keepdims=True)
    turns = np.radians(errors.turn_deg) * g.standard_normal((count, 3))
    size = errors.size[0] * np.exp(errors.size[1] * g.standard_normal((count, 1, 1)))
    turned = roma.rotvec_to_rotmat(torch.from_numpy(turns)).numpy()
    return size * (landmarks @ turned.swapaxes(-1, -2))


def _made_up(
    points: Float[np.ndarray, "P 33 3"],
    hidden: Float[np.ndarray, "P 33"],
    chances: tuple[float, float],
    g: Generator,
) -> Float[np.ndarray, "P 33 3"]:
    """Points where some limbs are those of the person before: of a hidden limb a network gives a usual one."""
    frames, points = _trunks(points), points.copy()
    to_mine = frames @ np.roll(frames, 1, axis=0).swapaxes(-1, -2)
    theirs = np.roll(points, 1, axis=0)
    for number in range(4):
        limb = [j for j, of in enumerate(_LIMB) if of == number]
        root = _CORNERS[number]
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


def _parent_of(name: str) -> int:
    side, _, joint = name.partition("_")
    return MEDIAPIPE33.index(f"{side}_{_PARENTS[joint]}") if joint in _PARENTS else -1


_PARENT = [_parent_of(name) for name in MEDIAPIPE33.names]
_CORNERS = MEDIAPIPE33.indices(*_ENDS)
_SHOULDERS, _HIPS = _CORNERS[:2], _CORNERS[2:]
_FACE = [j for j, parent in enumerate(_PARENT) if parent < 0 and j not in _CORNERS]
_GRADE = [1 if parent in _CORNERS else 2 if parent >= 0 and _PARENT[parent] in _CORNERS else 0 for parent in _PARENT]
"""1: upper arms and thighs; 2: forearms and shins; 0: hands, feet and what is of no limb."""
_SCALE = (1.0, 1.0, 1.4)
_LIMB = [
    4 if parent < 0 else 2 * (joint >= _CORNERS[2]) + name.startswith("right")
    for joint, (parent, name) in enumerate(zip(_PARENT, MEDIAPIPE33.names, strict=True))
]
"""Left and right arm, left and right leg, the rest."""
