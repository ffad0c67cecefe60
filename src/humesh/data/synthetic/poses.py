"""Poses drawn for synthetic people: mocap by category, mixtures of it, and built ones that mocap lacks.

All are in a world with y up, in whatever yaw; SMPL's 24 joints, rest pose the T-pose facing +z. Rest legs point along
-y, so a negative turn about x bends a hip forwards and a positive one bends a knee.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.random import Generator

from humesh.body.joints import SMPL24
from humesh.data.synthetic.motion import Motion, rotations

RARE = {
    "sit": 9, "floor": 9, "crouch": 3, "balance": 2, "bend_lift": 8, "acrobatics": 7, "climb_hang": 7, "exercise": 7,
    "martial_arts": 5, "sports": 6, "everyday": 6, "acting": 6, "gesture": 5, "jump": 4, "dance": 6, "run": 3,
    "walk": 4,
}  # fmt: skip
"""How often a pose comes from each category, relative; mocap itself is mostly dancing and walking."""

_J = {name: i for i, name in enumerate(SMPL24.names)}
_PARENTS = SMPL24.parents
_SIDES = ("left", "right")
_ARM = ("collar", "shoulder", "elbow", "wrist", "hand")
_LEG = ("hip", "knee", "ankle", "foot")
_TRUNK = [_J[name] for name in ("spine1", "spine2", "spine3", "neck", "head")]
_NOISE = 0.06  # radians a joint


def _chain(side: str, joints: tuple[str, ...]) -> list[int]:
    return [_J[f"{side}_{joint}"] for joint in joints]


_LOWER = [_J["pelvis"], *_chain("left", _LEG), *_chain("right", _LEG)]


def turn(axis: str, angle: float | Float[np.ndarray, "*g"]) -> Float[np.ndarray, "*g 3 3"]:
    """The turn about a coordinate axis by an angle in radians, or one for each angle."""
    here = "xyz".index(axis)
    second, third = (here + 1) % 3, (here + 2) % 3
    matrix = np.zeros((*np.shape(angle), 3, 3))
    matrix[..., here, here] = 1
    matrix[..., second, second] = matrix[..., third, third] = np.cos(angle)
    matrix[..., third, second] = np.sin(angle)
    matrix[..., second, third] = -matrix[..., third, second]
    return matrix


def mirrored(pose: Float[np.ndarray, "*g 24 3 3"]) -> Float[np.ndarray, "*g 24 3 3"]:
    """The pose seen in a mirror across x = 0."""
    flip = np.array([-1.0, 1.0, 1.0])
    return pose[..., list(SMPL24.mirror), :, :] * flip[:, None] * flip


def joints_of(pose: Float[np.ndarray, "24 3 3"], rest: Float[np.ndarray, "24 3"]) -> tuple[np.ndarray, np.ndarray]:
    """Global rotations (24 3 3) and places (24 3, metres) of the joints; the root stays where it rests."""
    turns, at = np.empty((24, 3, 3)), np.empty((24, 3))
    for j, parent in enumerate(_PARENTS):
        if parent < 0:
            turns[j], at[j] = pose[j], rest[j]
        else:
            turns[j] = turns[parent] @ pose[j]
            at[j] = at[parent] + turns[parent] @ (rest[j] - rest[parent])
    return turns, at


class PoseSource:
    """Draws poses. `rest`: the rest joints of the mean body, metres, for reaching with hands."""

    def __init__(self, motion: Motion, rest: Float[np.ndarray, "24 3"]) -> None:
        self.motion, self.rest = motion, rest
        self.members = [np.flatnonzero(motion.category == c) for c in range(len(motion.categories))]
        weights = np.array([RARE.get(name, 5) for name in motion.categories], dtype=np.float64)
        weights *= np.array([min(len(members), 100) for members in self.members])  # a handful of poses is soon known
        self.weights = weights / weights.sum()
        some = motion.poses[:: max(1, len(motion.poses) // 4000)].astype(np.float32)
        self.limits = np.percentile(some, [2, 98], axis=0)  # of the rotation vectors, joint by joint
        self.legs = (float(rest[_J["left_knee"], 1]), float(rest[_J["left_ankle"], 1]))

    def draw(self, g: Generator) -> Float[np.ndarray, "24 3 3"]:
        """One pose, of any kind; redrawn a few times where limbs meet the trunk."""
        for _ in range(4):
            pose = self._any(g)
            if g.random() < 0.5:
                pose = mirrored(pose)
            pose = self._varied(pose, g)
            if not self._tangled(pose):
                break
        return pose

    def _any(self, g: Generator) -> np.ndarray:
        kind = g.random()
        if kind < 0.45:
            pose = self.mocap(g)
        elif kind < 0.60:
            pose = self._mixed(g)
        elif kind < 0.70:
            pose = self._limited(g)
        elif kind < 0.84:
            pose = self._sitting(g)
        elif kind < 0.90:
            pose = self._bending(g)
        elif kind < 0.95:
            pose = self._low(g)
        else:
            pose = self._lying(g)
        if g.random() < 0.3:
            self.reach(pose, g)
        return pose

    def mocap(self, g: Generator) -> np.ndarray:
        """A pose of the motion files, by category."""
        members = self.members[g.choice(len(self.weights), p=self.weights)]
        return rotations(self.motion.poses[members[g.integers(len(members))]])

    def _mixed(self, g: Generator) -> np.ndarray:
        """The trunk and arms of one pose on the legs of another; or every limb of its own pose."""
        pose = self.mocap(g)
        if g.random() < 0.5:
            other = self.mocap(g)
            pose[_LOWER] = other[_LOWER]
            return pose
        for side in _SIDES:
            for joints in (_ARM, _LEG):
                limb = _chain(side, joints)
                pose[limb] = self.mocap(g)[limb]
        return pose

    def _limited(self, g: Generator) -> np.ndarray:
        """Half a mocap pose, half drawn evenly inside the joint limits."""
        members = self.members[g.choice(len(self.weights), p=self.weights)]
        vectors = self.motion.poses[members[g.integers(len(members))]].astype(np.float64)
        low, high = self.limits
        free = low + (high - low) * g.random((24, 3))
        share = np.full((24, 1), g.uniform(0.2, 0.6))
        share[0] = 0
        share[_TRUNK] *= 0.5
        return rotations(vectors * (1 - share) + free * share)

    def _sitting(self, g: Generator) -> np.ndarray:
        """On a chair, sofa, stool or floor; hips and knees bent; arms from mocap."""
        pose = self.mocap(g)
        floor = g.random() < 0.3
        pose[0] = turn("x", g.normal(-0.12, 0.18)) @ turn("z", g.normal(0, 0.06))
        kind = g.random()
        for sign, side in ((1, "left"), (-1, "right")):
            hip, knee, ankle, _ = _chain(side, _LEG)
            if floor and kind < 0.4:  # cross-legged
                flex, splay, twist, bend = (
                    g.normal(1.5, 0.15),
                    g.normal(0.75, 0.2),
                    g.normal(-0.6, 0.2),
                    g.normal(2.1, 0.2),
                )
            elif floor:  # legs out or drawn up
                up = g.random()
                flex, splay, twist, bend = 1.45 + 0.75 * up, g.normal(0.2, 0.25), 0.0, 0.1 + 1.9 * up
            else:
                flex, splay, twist, bend = (
                    g.normal(1.45, 0.2),
                    g.normal(0.15, 0.2),
                    g.normal(0, 0.2),
                    g.normal(1.5, 0.35),
                )
            if not floor and kind < 0.15 and side == "left":  # one leg over the other
                flex, splay, twist = 1.75, -0.25, g.normal(0.0, 0.15)
            if not floor and 0.15 < kind < 0.25 and side == "left":  # an ankle on the other knee
                flex, splay, twist, bend = 1.6, 0.7, -1.0, 1.6
            pose[hip] = turn("y", sign * splay) @ turn("x", -flex) @ turn("y", -sign * twist)
            pose[knee] = turn("x", np.clip(bend, 0, 2.5))
            pose[ankle] = turn("x", g.normal(0.05, 0.2))
        self._soft_trunk(pose, g, g.normal(0.1, 0.12))
        return pose

    def _bending(self, g: Generator) -> np.ndarray:
        """Bent forwards from hips and back, to any depth; arms hang, reach or hold."""
        pose = self.mocap(g)
        pose[_LOWER[1:]] = self._stance(g)[_LOWER[1:]]
        lean = g.uniform(0.3, 1.7)
        pose[0] = turn("x", lean) @ turn("z", g.normal(0, 0.1))
        for sign, side in ((1, "left"), (-1, "right")):
            hip, knee, ankle, _ = _chain(side, _LEG)
            bend = abs(g.normal(0.15, 0.35))
            pose[hip] = turn("z", sign * g.normal(0.08, 0.1)) @ turn("x", -lean - bend * 0.6)
            pose[knee], pose[ankle] = turn("x", bend), turn("x", -0.4 * bend)
        self._soft_trunk(pose, g, g.uniform(0, 0.25))
        if g.random() < 0.6:  # arms towards the floor
            self.reach(pose, g, "down")
        return pose

    def _low(self, g: Generator) -> np.ndarray:
        """Squatting and kneeling, on one or both knees, upright or on the heels."""
        pose = self.mocap(g)
        kind, lean = g.random(), g.normal(0.15, 0.2)
        pose[0] = turn("x", lean) @ turn("z", g.normal(0, 0.06))
        for sign, side in ((1, "left"), (-1, "right")):
            hip, knee, ankle, foot = _chain(side, _LEG)
            splay = g.normal(0.2, 0.15)
            if kind < 0.4:  # squat
                flex, bend, point = lean + g.normal(1.75, 0.2), g.normal(2.1, 0.2), -0.35
            elif kind < 0.7 and side == "left":  # a foot in front
                flex, bend, point = lean + g.normal(1.5, 0.15), g.normal(1.5, 0.15), 0.0
            else:
                heels = g.random() < 0.4
                flex, bend, point = (
                    (lean + 1.0, 2.4, 1.0) if heels else (lean + g.normal(0.1, 0.15), g.normal(1.6, 0.15), 0.9)
                )
            pose[hip] = turn("y", sign * splay) @ turn("x", -flex)
            pose[knee], pose[ankle], pose[foot] = turn("x", min(bend, 2.5)), turn("x", point), np.eye(3)
        self._soft_trunk(pose, g, g.normal(0.1, 0.1))
        return pose

    def _lying(self, g: Generator) -> np.ndarray:
        """On the back, the belly or a side, with the limbs of a standing or sitting pose."""
        pose = self._sitting(g) if g.random() < 0.35 else self._mixed(g)
        if g.random() < 0.4:
            pose[_LOWER] = self._stance(g)[_LOWER]
        pose[0] = turn("x", g.choice([-1.57, 1.57]) + g.normal(0, 0.15)) @ turn("y", g.normal(0, 0.4))
        if g.random() < 0.35:
            pose[0] = turn("x", -1.57) @ turn("y", g.choice([-1.57, 1.57]) + g.normal(0, 0.3))
        return pose

    def _stance(self, g: Generator) -> np.ndarray:
        """Nearly straight legs."""
        pose = np.tile(np.eye(3), (24, 1, 1))
        for sign, side in ((1, "left"), (-1, "right")):
            hip, knee, ankle, _ = _chain(side, _LEG)
            bend = abs(g.normal(0, 0.15))
            pose[hip] = turn("z", sign * g.normal(0.06, 0.08)) @ turn("x", g.normal(0, 0.15) - bend / 2)
            pose[hip] = pose[hip] @ turn("y", sign * g.normal(0.1, 0.2))
            pose[knee], pose[ankle] = turn("x", bend), turn("x", -bend / 2)
        return pose

    def _soft_trunk(self, pose: np.ndarray, g: Generator, forwards: float) -> None:
        """Spreads a bend (radians a joint) and a little side bend and twist over the spine; the head looks about."""
        side, twist = g.normal(0, 0.06), g.normal(0, 0.08)
        for name in ("spine1", "spine2", "spine3"):
            pose[_J[name]] = turn("x", forwards) @ turn("z", side) @ turn("y", twist)
        pose[_J["neck"]] = turn("x", g.normal(0.05, 0.15)) @ turn("y", g.normal(0, 0.25))
        pose[_J["head"]] = turn("x", g.normal(-0.05, 0.15)) @ turn("y", g.normal(0, 0.25)) @ turn("z", g.normal(0, 0.1))

    def reach(self, pose: np.ndarray, g: Generator, what: str | None = None) -> None:
        """Moves one or both arms (in place): hands to the face, hips, other arm, head, knees, forwards, up or down."""
        both = g.random() < 0.5
        what = what or str(g.choice(["up", "face", "hips", "cross", "head", "front", "aside", "lap", "down", "back"]))
        for side in _SIDES:
            if both or side == "left" or what in ("cross", "down"):
                self._arm_to(pose, side, what, g)

    def _arm_to(self, pose: np.ndarray, side: str, what: str, g: Generator) -> None:
        """Two-bone inverse kinematics in the chest's frame; the elbow swings about the line from shoulder to hand."""
        sign = 1 if side == "left" else -1
        collar, shoulder, elbow, wrist = (_J[f"{side}_{joint}"] for joint in _ARM[:4])
        chest = self.rest[_J["spine3"]]
        # Where the hand goes, metres from the chest joint, x outwards: mean and spread; how high the elbow points.
        mean, spread, height = {
            "up": ((0.2, 0.85, 0.1), 0.15, 0.0),
            "face": ((0.05, 0.36, 0.2), 0.05, -0.8),
            "hips": ((0.2, -0.14, 0.08), 0.03, 0.0),
            "cross": ((-0.12, 0.08, 0.2), 0.04, -0.9),
            "head": ((0.08, 0.5, -0.03), 0.06, 0.3),
            "front": ((0.1, 0.2, 0.55), 0.15, -0.8),
            "aside": ((0.65, 0.25, 0.1), 0.15, -0.7),
            "lap": ((0.08, -0.22, 0.3), 0.06, -0.6),
            "down": ((0.15, -0.25, 0.35), 0.12, -0.3),
            "back": ((0.03, -0.1, -0.16), 0.04, 0.0),
        }[what]
        goal = chest + np.array([sign * mean[0], mean[1], mean[2]]) + g.normal(0, spread, 3)
        lift = np.clip(goal[1] - self.rest[shoulder][1], -0.2, 0.5)
        pose[collar] = turn("z", sign * (0.6 * lift + g.normal(0, 0.04))) @ turn("y", sign * -0.15 * np.sign(goal[2]))
        start = self.rest[collar] + pose[collar] @ (self.rest[shoulder] - self.rest[collar])
        upper = float(np.linalg.norm(self.rest[elbow] - self.rest[shoulder]))
        fore = float(np.linalg.norm(self.rest[wrist] - self.rest[elbow]))
        line = goal - start
        length = float(np.clip(np.linalg.norm(line), 0.35 * (upper + fore), 0.995 * (upper + fore)))
        line /= np.linalg.norm(line) + 1e-9
        cos = (upper**2 + length**2 - fore**2) / (2 * upper * length)
        outward = np.array([sign * 0.9, height, -0.5 if what != "back" else -0.9]) + g.normal(0, 0.25, 3)
        pole = outward - (outward @ line) * line
        pole /= np.linalg.norm(pole) + 1e-9
        first = cos * line + np.sqrt(max(1 - cos * cos, 0)) * pole
        first /= np.linalg.norm(first)
        second = (length * line - upper * first) / fore
        # Rest: the bone along sign x, the elbow's hinge along y (bending brings the hand forwards, to +z).
        hinge = np.cross(first, second)
        if np.linalg.norm(hinge) < 1e-3:
            hinge = np.cross(first, -pole)
        hinge /= np.linalg.norm(hinge)
        x = sign * first
        y = -sign * hinge
        goal_frame = np.stack([x, y, np.cross(x, y)], axis=1)
        pose[shoulder] = pose[collar].T @ goal_frame
        bend = float(np.arccos(np.clip(first @ second, -1, 1)))
        pose[elbow] = turn("y", -sign * bend)
        pose[wrist] = rotations(g.normal(0, 0.25, 3))

    def _varied(self, pose: np.ndarray, g: Generator) -> np.ndarray:
        """With joint noise, other hands and feet, and now and then the whole body tipped."""
        noise = g.normal(0, _NOISE, (24, 3))
        noise[0] *= 0.5
        for side in _SIDES:
            noise[_J[f"{side}_wrist"]] = g.normal(0, 0.3, 3)
            noise[_J[f"{side}_hand"]] = g.normal((0, 0, (-1 if side == "left" else 1) * g.uniform(0, 0.7)), 0.2)
            noise[_J[f"{side}_ankle"]] = g.normal(0, 0.15, 3)
        pose = pose @ rotations(noise)
        if g.random() < 0.1:  # leaning, falling, hanging, upside down
            pose[0] = rotations(g.normal(0, 0.5, 3)) @ pose[0]
        return pose

    def _tangled(self, pose: np.ndarray) -> bool:
        """Whether hands, forearms or knees are inside the trunk or each other."""
        _, at = joints_of(pose, self.rest)
        trunk = [at[_J[a]] * (1 - t) + at[_J[b]] * t for a, b, t in _TRUNK_BALLS]
        limbs = np.stack([at[_J[name]] for name in _OUTER] + [
            (at[_J[f"{s}_elbow"]] + at[_J[f"{s}_wrist"]]) / 2 for s in _SIDES
        ])  # fmt: skip
        near = np.linalg.norm(limbs[:, None] - np.stack(trunk), axis=-1).min(1)
        knees = np.linalg.norm(at[_J["left_knee"]] - at[_J["right_knee"]])
        ankles = np.linalg.norm(at[_J["left_ankle"]] - at[_J["right_ankle"]])
        return bool((near < 0.11).any() or knees < 0.08 or ankles < 0.07)


_TRUNK_BALLS = (("pelvis", "spine1", 0.2), ("spine1", "spine2", 0.5), ("spine3", "neck", 0.0), ("spine3", "neck", 0.5))
_OUTER = [f"{side}_{joint}" for side in _SIDES for joint in ("elbow", "wrist", "knee", "ankle")]
