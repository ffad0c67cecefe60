"""Poses for synthetic people: motion capture by category, mixtures of it, and postures that it lacks.

All are in a world with y up, in whatever yaw; SMPL's 24 joints, rest pose the T-pose facing +z. Rest legs point along
-y, so a negative turn about x bends a hip forwards and a positive one bends a knee.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.random import Generator

from humesh.body.joints import SMPL24
from humesh.body.model import BodyModel
from humesh.data.synthetic.motion import REFERENCE_LEG, Clip, Motion, rotations
from humesh.geometry.rotations import slerp

_OFTEN = {
    "sit": 9, "floor": 9, "crouch": 3, "balance": 2, "bend_lift": 8, "acrobatics": 7, "climb_hang": 7, "exercise": 7,
    "martial_arts": 5, "sports": 6, "everyday": 6, "acting": 6, "gesture": 5, "jump": 4, "dance": 6, "run": 3,
    "walk": 4,
}  # fmt: skip
"""How often a pose comes from each category, relative; motion capture itself is mostly dancing and walking."""

_J = {name: i for i, name in enumerate(SMPL24.names)}
_SIDES = {"left": 1, "right": -1}
_ARM = ("collar", "shoulder", "elbow", "wrist", "hand")
_LEG = ("hip", "knee", "ankle", "foot")
_LOWER = [_J["pelvis"], *(_J[f"{side}_{joint}"] for side in _SIDES for joint in _LEG)]
_TRUNK = [_J[name] for name in ("spine1", "spine2", "spine3", "neck", "head")]
_NOISE = 0.06  # radians a joint

Spread = tuple[float, float]
"""Mean and standard deviation, radians."""


@dataclass(frozen=True)
class Leg:
    """Angles of a leg: the thigh forwards from the world's vertical and outwards, turned inwards; knee and ankle."""

    thigh: Spread
    splay: Spread
    twist: Spread
    knee: Spread
    ankle: Spread


_CHAIR = Leg((1.57, 0.2), (0.15, 0.2), (0.0, 0.2), (1.5, 0.35), (0.05, 0.2))
_OVER_THE_OTHER = Leg((1.85, 0.1), (-0.25, 0.1), (0.0, 0.15), (1.5, 0.35), (0.05, 0.2))
_CROSSED = Leg((1.62, 0.15), (0.75, 0.2), (-0.6, 0.2), (2.1, 0.2), (0.05, 0.2))
_LEVEL = Leg((1.6, 0.2), (0.2, 0.25), (0.0, 0.1), (0.3, 0.2), (0.05, 0.2))
_DRAWN_UP = Leg((2.1, 0.2), (0.2, 0.25), (0.0, 0.1), (1.6, 0.3), (0.05, 0.2))
_SQUAT = Leg((1.75, 0.2), (0.2, 0.15), (0.0, 0.1), (2.1, 0.2), (-0.35, 0.1))
_FOOT_IN_FRONT = Leg((1.5, 0.15), (0.2, 0.15), (0.0, 0.1), (1.5, 0.15), (0.0, 0.1))
_KNEE_DOWN = Leg((0.1, 0.15), (0.2, 0.15), (0.0, 0.1), (1.6, 0.15), (0.9, 0.1))
_ON_HEEL = Leg((1.0, 0.1), (0.2, 0.15), (0.0, 0.1), (2.4, 0.1), (1.0, 0.1))
_STRAIGHT = Leg((0.1, 0.2), (0.1, 0.2), (0.0, 0.2), (0.2, 0.2), (-0.08, 0.1))
POSTURES: dict[str, tuple[float, Spread, Leg, Leg]] = {
    "chair": (0.34, (-0.12, 0.18), _CHAIR, _CHAIR),
    "one leg over the other": (0.08, (-0.12, 0.18), _OVER_THE_OTHER, _CHAIR),
    "cross-legged": (0.08, (-0.12, 0.18), _CROSSED, _CROSSED),
    "legs out": (0.05, (-0.12, 0.18), _LEVEL, _LEVEL),
    "legs drawn up": (0.05, (-0.12, 0.18), _DRAWN_UP, _DRAWN_UP),
    "bending": (0.2, (1.0, 0.4), _STRAIGHT, _STRAIGHT),
    "squatting": (0.08, (0.15, 0.2), _SQUAT, _SQUAT),
    "half kneeling": (0.06, (0.15, 0.2), _FOOT_IN_FRONT, _KNEE_DOWN),
    "kneeling": (0.04, (0.15, 0.2), _KNEE_DOWN, _KNEE_DOWN),
    "on the heels": (0.02, (0.15, 0.2), _ON_HEEL, _ON_HEEL),
}
"""How often each is, how far the pelvis leans forwards, the left leg and the right one."""

_REACHES: dict[str, tuple[tuple[float, float, float], float, float, Spread]] = {
    "up": ((-0.9, -0.53, 0.97), 0.25, 0.29, (0.36, 0.38)),
    "face": ((-0.6, -1.13, -0.58), 0.2, 0.07, (2.15, 0.2)),
    "hips": ((1.1, -0.09, -0.89), 0.15, -0.12, (1.5, 0.19)),
    "other arm": ((0.46, -1.03, -1.6), 0.15, -0.09, (1.49, 0.23)),
    "head": ((-1.54, -0.28, 0.99), 0.2, 0.16, (1.96, 0.26)),
    "front": ((-0.46, -1.19, -0.7), 0.3, 0.0, (0.55, 0.4)),
    "aside": ((-0.87, 0.16, -0.12), 0.3, 0.0, (0.62, 0.4)),
    "lap": ((0.37, -0.83, -1.19), 0.2, -0.12, (0.4, 0.32)),
    "down": ((0.4, -0.82, -1.0), 0.25, -0.12, (0.38, 0.3)),
    "back": ((1.53, -0.08, -1.43), 0.15, -0.12, (1.29, 0.2)),
}
"""Where a left hand is: the shoulder's rotation vector and its deviation, how far the collar lifts, the elbow."""

_TRUNK_BALLS = (("pelvis", "spine1", 0.2), ("spine1", "spine2", 0.5), ("spine3", "neck", 0.0), ("spine3", "neck", 0.5))
_OUTER = [_J[f"{side}_{joint}"] for side in _SIDES for joint in ("elbow", "wrist", "knee", "ankle")]


def turn(axis: str, angle: float) -> Float[np.ndarray, "3 3"]:
    """The turn about a coordinate axis by an angle in radians."""
    here = "xyz".index(axis)
    second, third = (here + 1) % 3, (here + 2) % 3
    matrix = np.eye(3)
    matrix[second, second] = matrix[third, third] = np.cos(angle)
    matrix[third, second] = np.sin(angle)
    matrix[second, third] = -matrix[third, second]
    return matrix


def mirrored(pose: Float[np.ndarray, "*g 24 3 3"]) -> Float[np.ndarray, "*g 24 3 3"]:
    """The pose seen in a mirror across x = 0."""
    flip = np.array([-1.0, 1.0, 1.0])
    return pose[..., list(SMPL24.mirror), :, :] * flip[:, None] * flip


def joints_of(pose: Float[np.ndarray, "24 3 3"], rest: Float[np.ndarray, "24 3"]) -> tuple[np.ndarray, np.ndarray]:
    """Global rotations (24 3 3) and places (24 3, metres) of the joints of one person; the root stays at rest."""
    turns, at = pose.copy(), rest.copy()
    for j, parent in enumerate(SMPL24.parents[1:], 1):
        turns[j] = turns[parent] @ pose[j]
        at[j] = at[parent] + turns[parent] @ (rest[j] - rest[parent])
    return turns, at


def draw_shapes(n: int, body: BodyModel, g: Generator) -> Float[np.ndarray, "n S"]:
    """Shape coefficients of people as they are common."""
    return np.clip(g.normal(0, 1, (n, body.shapes)), -2.2, 2.2)


class PoseSampler:
    """Draws poses for people of a body's mean shape."""

    def __init__(self, motion: Motion, body: BodyModel) -> None:
        self.motion, self.rest = motion, body.rest_joints(torch.zeros(body.shapes)).double().numpy()
        self.members = [np.flatnonzero(motion.category == c) for c in range(len(motion.categories))]
        weights = np.array([_OFTEN.get(name, 5) for name in motion.categories], dtype=np.float64)
        weights *= np.array([min(len(members), 100) for members in self.members])  # a handful of poses is soon known
        self.weights = weights / weights.sum()
        some = motion.poses[:: max(1, len(motion.poses) // 4000)].astype(np.float32)
        self.limits = np.percentile(some, [2, 98], axis=0)  # of the rotation vectors, joint by joint

    def draw(self, g: Generator) -> Float[np.ndarray, "24 3 3"]:
        """One pose of any kind; redrawn a few times where limbs meet the trunk."""
        for _ in range(4):
            kind = g.choice(5, p=[0.45, 0.15, 0.1, 0.25, 0.05])
            pose = (self._mocap, self._mixed, self._limited, self._invented, self._lying)[kind](g)
            if g.random() < 0.3:
                reach(pose, str(g.choice(list(_REACHES))), g)
            if g.random() < 0.5:
                pose = mirrored(pose)
            pose = _varied(pose, g)
            if not self._is_tangled(pose):
                break
        return pose

    def posture(self, name: str, g: Generator) -> Float[np.ndarray, "24 3 3"]:
        """A posture of POSTURES with the arms of some motion; who bends forwards often reaches for the floor."""
        pose, (_, lean, left, right) = self._mocap(g), POSTURES[name]
        forwards = float(g.normal(*lean))
        pose[0] = turn("x", forwards) @ turn("z", g.normal(0, 0.06))
        _set_legs(pose, left, right, forwards, g)
        pose[_TRUNK[:3]] = turn("x", g.normal(0.1, 0.12)) @ turn("z", g.normal(0, 0.06)) @ turn("y", g.normal(0, 0.08))
        pose[_TRUNK[3:]] = rotations(g.normal(0, (0.15, 0.25, 0.07), (2, 3)))
        if name == "bending" and g.random() < 0.6:
            reach(pose, "down", g)
        return pose

    def _invented(self, g: Generator) -> np.ndarray:
        return self.posture(str(g.choice(list(POSTURES), p=[share for share, *_ in POSTURES.values()])), g)

    def _mocap(self, g: Generator) -> np.ndarray:
        return rotations(self._vectors(g))

    def _vectors(self, g: Generator) -> np.ndarray:
        members = self.members[g.choice(len(self.weights), p=self.weights)]
        return self.motion.poses[members[g.integers(len(members))]].astype(np.float64)

    def _mixed(self, g: Generator) -> np.ndarray:
        """The trunk and arms of one pose on the legs of another; or every limb of its own pose."""
        pose = self._mocap(g)
        if g.random() < 0.5:
            pose[_LOWER] = self._mocap(g)[_LOWER]
            return pose
        for side in _SIDES:
            for joints in (_ARM, _LEG):
                limb = [_J[f"{side}_{joint}"] for joint in joints]
                pose[limb] = self._mocap(g)[limb]
        return pose

    def _limited(self, g: Generator) -> np.ndarray:
        """Half motion capture, half drawn evenly inside the joint limits."""
        low, high = self.limits
        share = np.full((24, 1), g.uniform(0.2, 0.6))
        share[0] = 0
        share[_TRUNK] *= 0.5
        return rotations(self._vectors(g) * (1 - share) + (low + (high - low) * g.random((24, 3))) * share)

    def _lying(self, g: Generator) -> np.ndarray:
        """On the back, the belly or a side, with the limbs of any, a sitting or a standing pose."""
        pose, kind = self._mixed(g), g.random()
        if kind < 0.6:
            leg = _CHAIR if kind < 0.2 else _STRAIGHT
            _set_legs(pose, leg, leg, 0.0, g)
        pose[0] = turn("x", g.choice([-1.57, 1.57]) + g.normal(0, 0.15)) @ turn("y", g.normal(0, 0.4))
        if g.random() < 0.35:
            pose[0] = turn("x", -1.57) @ turn("y", g.choice([-1.57, 1.57]) + g.normal(0, 0.3))
        return pose

    def _is_tangled(self, pose: np.ndarray) -> bool:
        """Whether hands, forearms or knees are inside the trunk or each other."""
        _, at = joints_of(pose, self.rest)
        trunk = np.stack([at[_J[a]] * (1 - t) + at[_J[b]] * t for a, b, t in _TRUNK_BALLS])
        forearms = [(at[_J[f"{side}_elbow"]] + at[_J[f"{side}_wrist"]]) / 2 for side in _SIDES]
        limbs = np.concatenate([at[_OUTER], forearms])
        near = np.linalg.norm(limbs[:, None] - trunk, axis=-1).min()
        knees, ankles = (np.linalg.norm(at[_J[f"left_{j}"]] - at[_J[f"right_{j}"]]) for j in ("knee", "ankle"))
        return bool(near < 0.11 or knees < 0.08 or ankles < 0.07)


def reach(pose: Float[np.ndarray, "24 3 3"], where: str, g: Generator) -> None:
    """Moves one or both hands to a place of `_REACHES`, in place."""
    mean, spread, lift, elbow = _REACHES[where]
    both = g.random() < 0.5 or where in ("other arm", "down")
    for side, sign in list(_SIDES.items())[: 1 + both]:
        pose[_J[f"{side}_collar"]] = turn("z", sign * (lift + g.normal(0, 0.05)))
        pose[_J[f"{side}_shoulder"]] = rotations(g.normal(mean, spread) * [1, sign, sign])
        pose[_J[f"{side}_elbow"]] = turn("y", -sign * np.clip(g.normal(*elbow), 0, 2.5))
        pose[_J[f"{side}_wrist"]] = rotations(g.normal(0, 0.25, 3))


def _set_legs(pose: np.ndarray, left: Leg, right: Leg, lean: float, g: Generator) -> None:
    """Sets both legs of a pose whose pelvis leans forwards by some radians, in place."""
    for (side, sign), leg in zip(_SIDES.items(), (left, right), strict=True):
        flex, splay = g.normal(*leg.thigh) + lean, turn("y", sign * g.normal(*leg.splay))
        aside, twist = turn("z", sign * g.normal(0.06, 0.08)), turn("y", -sign * g.normal(*leg.twist))
        pose[_J[f"{side}_hip"]] = splay @ aside @ turn("x", -flex) @ twist
        pose[_J[f"{side}_knee"]] = turn("x", np.clip(g.normal(*leg.knee), 0, 2.5))
        pose[_J[f"{side}_ankle"]] = turn("x", g.normal(*leg.ankle))


def _varied(pose: np.ndarray, g: Generator) -> np.ndarray:
    """With joint noise, other hands and feet, and now and then the body tipped over."""
    noise = g.normal(0, _NOISE, (24, 3))
    noise[0] *= 0.5
    for side, sign in _SIDES.items():
        noise[_J[f"{side}_wrist"]] = g.normal(0, 0.3, 3)
        noise[_J[f"{side}_hand"]] = g.normal((0, 0, -sign * g.uniform(0, 0.7)), 0.2)
        noise[_J[f"{side}_ankle"]] = g.normal(0, 0.15, 3)
    pose = pose @ rotations(noise)
    if g.random() < 0.1:  # leaning, falling, hanging, upside down
        pose[0] = rotations(g.normal(0, 0.5, 3)) @ pose[0]
    return pose


class ClipSampler:
    """Draws pieces of a motion's clips, for a body's mean shape: categories by how often, their clips by length."""

    def __init__(self, motion: Motion, clips: Sequence[Clip], body: BodyModel) -> None:
        self.motion, self.clips = motion, list(clips)
        weights = np.array([_OFTEN.get(motion.categories[clip.category], 5) for clip in clips], dtype=np.float64)
        lengths = np.bincount([clip.category for clip in clips], [clip.length for clip in clips])
        weights *= [clip.length / lengths[clip.category] for clip in clips]
        self.weights = weights / weights.sum()
        rest = body.rest_joints(torch.zeros(body.shapes))
        leg = rest[SMPL24.indices("left_hip", "left_ankle"), 1]
        self.stride = float(leg[0] - leg[1]) / REFERENCE_LEG

    def choose(self, g: Generator) -> Clip:
        """A clip."""
        return self.clips[g.choice(len(self.clips), p=self.weights)]

    def play(
        self, clips: Sequence[Clip], frames: int, fps: tuple[float, float], g: Generator
    ) -> tuple[Float[np.ndarray, "n T 24 3 3"], Float[np.ndarray, "n T 3"], Float[np.ndarray, "n T"]]:
        """Poses, places (metres, 0 in the middle frame) and times (s) of a piece of each clip, half of them mirrored.

        `fps`: the slowest and the fastest rate at which frames are taken, where the clip is long enough for it.
        """
        last, rate, start = (np.array([[getattr(c, name)] for c in clips]) for name in ("length", "fps", "start"))
        last = last - 1
        slowest = np.clip(rate * (frames - 1) / last, *fps)
        step = rate / np.exp(g.uniform(np.log(slowest), np.log(fps[1])))
        when = g.uniform(0, np.maximum(last - step * (frames - 1), 0)) + step * np.arange(frames)
        when = np.minimum(when, last)
        before = np.minimum(when.astype(np.int64), last - 1)
        share, rows = when - before, (start + before, start + before + 1)
        here, there = (torch.from_numpy(rotations(self.motion.poses[row].astype(np.float64))) for row in rows)
        poses = slerp(here, there, torch.from_numpy(share)[..., None].expand(*share.shape, len(SMPL24))).numpy()
        ends = (self.motion.places[row].astype(np.float64) for row in rows)
        places = self.stride * sum(w[..., None] * end for w, end in zip((1 - share, share), ends, strict=True))
        flips = g.random(len(clips)) < 0.5
        poses[flips], places[flips] = mirrored(poses[flips]), places[flips] * [-1, 1, 1]
        return poses, places - places[:, frames // 2 :][:, :1], step / rate * np.arange(frames)
