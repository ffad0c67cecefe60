"""A simulated person detector: keypoints of people whose points are known, with the errors of `PeopleFinder`.

Every number below was measured with benchmarks/detector_errors.py; docs/detector_errors.md shows the measurement.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.random import Generator
from scipy.special import ndtr

from humesh.body.joints import JointSet
from humesh.people.person import Person, box_around_keypoints

_HANDS = ("hand", "pinky", "index", "thumb", "middle_tip")
_FEET = ("foot", "heel", "foot_index", "big_toe", "small_toe")
_FACE = ("eye", "eye_inner", "eye_outer", "ear", "mouth", "head", "head_top", "jaw")
_PARENT = {
    "elbow": "shoulder", "wrist": "elbow", "knee": "hip", "ankle": "knee",
    **dict.fromkeys(_HANDS, "wrist"), **dict.fromkeys(_FEET, "ankle"), **dict.fromkeys(_FACE, "nose"),
}  # fmt: skip
"""The joint whose error a joint's error follows, on its own side of the body; all others are of the trunk."""
_LIMBS = (("elbow", "wrist", *_HANDS), ("knee", "ankle", *_FEET))
"""The joints of an arm and a leg that are found elsewhere if the limb is mistaken."""
_CORNERS = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
_MEDIAN = np.sqrt(2 * np.log(2))  # of the length of a 2D Gaussian of deviation 1


@dataclass(frozen=True)
class JointErrors:
    """One kind of joint: median errors, and median log odds of the confidence without an error."""

    visible: float
    hidden: float
    odds: float
    hidden_odds: float


@dataclass(frozen=True)
class DetectorErrors:
    """How a detector errs; the defaults are PeopleFinder's on real photographs. Lengths are in the person's size.

    A person's size is the longer side of the box around all their true points.
    """

    harder: float = 1.2  # factor on all jitter and chances of mistakes; 1: the photographs that the rest is fitted to
    face: JointErrors = JointErrors(0.018, 0.045, 7.0, 5.4)
    trunk: JointErrors = JointErrors(0.022, 0.042, 6.0, 5.3)
    shoulder: JointErrors = JointErrors(0.019, 0.039, 6.6, 5.2)
    elbow: JointErrors = JointErrors(0.015, 0.060, 4.9, 3.2)
    wrist: JointErrors = JointErrors(0.014, 0.095, 5.7, 2.8)
    hand: JointErrors = JointErrors(0.023, 0.105, 5.9, 3.6)
    hip: JointErrors = JointErrors(0.027, 0.045, 5.8, 5.4)
    knee: JointErrors = JointErrors(0.016, 0.058, 4.6, 3.5)
    ankle: JointErrors = JointErrors(0.016, 0.065, 5.4, 3.1)
    foot: JointErrors = JointErrors(0.022, 0.060, 5.5, 4.4)
    # Correlation of a joint's error with its parent's: along limbs, and of hand, foot and face with what holds it.
    follow: tuple[float, float] = (0.5, 0.98)
    # Standard deviations of the logarithms of factors on the jitter of one person, limb (visible, hidden) and joint.
    person_spread: float = 0.45
    limb_spread: tuple[float, float] = (0.25, 0.55)
    joint_spread: float = 0.07
    # Chances of mistakes.
    turned: tuple[float, float] = (0.005, 0.012)  # left and right of the body swap; from the front, from behind
    crossed: tuple[float, float] = (0.03, 0.08)  # the two arms are exchanged if one of them is hidden; the two legs
    copied: tuple[float, float] = (0.05, 0.05)  # a hidden arm (elbow and hand) is found where the other one is; a leg
    lost: tuple[float, float] = (0.035, 0.025)  # a visible arm is found as badly as if it were hidden; a leg
    taken: tuple[float, float] = (0.07, 0.45)  # a visible, a hidden limb is found where a neighbour's in `reach` is
    reach: float = 0.4
    doubt: float = 4.3  # log odds of the confidence that an error of a tenth of the person, or a larger one, takes away
    confidence_spread: tuple[float, float] = (1.3, 0.7)  # deviations of the log odds: of a limb, and of each joint


@dataclass(frozen=True, eq=False)
class SimulatedKeypoints:
    """Keypoints (x, y px, confidence), the joint of the person that each was taken for, and how hidden that one is."""

    keypoints: Float[np.ndarray, "P K 3"]
    source: Int[np.ndarray, "P K"]
    hidden: Float[np.ndarray, "P K"]


def simulate_keypoints(
    points2d: Float[np.ndarray, "P K 2"],
    visible: Float[np.ndarray, "P K"],
    joint_set: JointSet,
    others: Float[np.ndarray, "P O K 2"],
    size: tuple[int, int],
    errors: DetectorErrors,
    g: Generator,
) -> SimulatedKeypoints:
    """Detections of P people, each in a photo of `size` (width, height) px, from their true points.

    `visible`: 1 where a point can be seen; `others`: the points of each photo's other people. Points outside of the
    photo are guessed, with confidence 0, as PeopleFinder gives them.
    """
    if points2d.shape[1:] != (len(joint_set), 2) or not np.isfinite(points2d).all():
        raise ValueError(
            f"simulated detector: expected {len(joint_set)} finite points of {joint_set.name!r} in pixels, "
            f"got {points2d.shape[1:]}; project the body with body.points(bodies, joint_set)."
        )
    tables, (count, points) = _tables(errors, joint_set), visible.shape
    chance = g.random((count, 15)) / max(errors.harder, 1e-9)
    extent = np.ptp(points2d, axis=1).max(-1)[:, None, None]
    true, hidden, source = _mistaken(points2d, 1.0 - visible, others, extent[:, 0, 0], tables, errors, chance)
    of_person, of_limb = g.standard_normal((count, 1)), g.standard_normal((count, 12))
    of_joint, of_confidence = g.standard_normal((2, count, points))
    visible_spread, hidden_spread = errors.limb_spread
    spread = errors.person_spread * of_person + errors.joint_spread * of_joint
    spread += of_limb[:, tables.limb] * (visible_spread * (1 - hidden) + hidden_spread * hidden)
    scale = errors.harder * (tables.jitter[0] * (1 - hidden) + tables.jitter[1] * hidden) * np.exp(spread)
    error = scale[..., None] * (tables.mix @ g.standard_normal((count, tables.mix.shape[1], 2)))
    found = true + extent * error
    odds = tables.odds[0] * (1 - hidden) + tables.odds[1] * hidden
    odds -= errors.doubt * np.minimum(np.hypot(error[..., 0], error[..., 1]) / 0.1, 1)
    odds += errors.confidence_spread[0] * of_limb[:, 6 + tables.limb] + errors.confidence_spread[1] * of_confidence
    confidence = ((found >= 0) & (found <= size)).all(-1) / (1 + np.exp(-odds))
    return SimulatedKeypoints(np.concatenate([found, confidence[..., None]], axis=-1), source, hidden)


def simulated_person(
    keypoints: Float[np.ndarray, "K 3"],
    joint_set: JointSet,
    size: tuple[int, int],
    landmarks: Float[np.ndarray, "K 3"] | None = None,
) -> Person:
    """The detection with these keypoints, its box and score made from them as PeopleFinder does it."""
    inside = keypoints[keypoints[:, 2] > 0, 2]
    score = float(inside.mean()) if len(inside) else 0.0
    return Person(box_around_keypoints(keypoints, *size), score, keypoints, joint_set, landmarks)


def with_detector_errors(
    keypoints: Float[np.ndarray, "P K 3"], joint_set: JointSet, harder: float, g: Generator
) -> Float[np.ndarray, "P K 3"]:
    """Exact keypoints (x, y, confidence) with a detector's errors; confidences stay as they are (JOTR's training).

    Points without confidence are unknown: they stay, and no other point is taken for one of them.
    """
    known, places = keypoints[..., 2] > 0, keypoints[..., :2]
    middle = (places * known[..., None]).sum(1, keepdims=True) / np.maximum(known.sum(1), 1)[:, None, None]
    points, nobody = np.where(known[..., None], places, middle), np.zeros((len(places), 0, *places.shape[1:]))
    errors, size = DetectorErrors(harder=harder), (1, 1)  # on which only confidences depend
    found = simulate_keypoints(points, known.astype(float), joint_set, nobody, size, errors, g)
    usable = (known & np.take_along_axis(known, found.source, axis=1))[..., None]
    return np.concatenate([np.where(usable, found.keypoints[..., :2], places), keypoints[..., 2:]], axis=-1)


def _mistaken(
    points: Float[np.ndarray, "P K 2"],
    hidden: Float[np.ndarray, "P K"],
    others: Float[np.ndarray, "P O K 2"],
    extent: Float[np.ndarray, " P"],
    tables: _Tables,
    errors: DetectorErrors,
    chance: Float[np.ndarray, "P 15"],
) -> tuple[Float[np.ndarray, "P K 2"], Float[np.ndarray, "P K"], Int[np.ndarray, "P K"]]:
    """What each joint is taken for, its own, the other side's or a neighbour's: places, how hidden, whose number."""
    source = np.tile(np.arange(points.shape[1]), (len(points), 1))
    turned = chance[:, 0] < np.array(errors.turned)[is_from_behind(points, tables.corners).astype(int)]
    source[turned] = tables.mirror
    for number, pair in enumerate((tables.limbs[:2], tables.limbs[2:])):  # arms, legs
        half_hidden = np.any([hidden[:, limb].sum(1) > len(limb) / 2 for limb in pair], axis=0)
        crossed = ~turned & half_hidden & (chance[:, 1 + number] < errors.crossed[number])
        both = np.concatenate(pair)
        source[np.ix_(crossed, both)] = tables.mirror[both]
    before, hiding = source.copy(), np.take_along_axis(hidden, source, axis=1)
    places, rows = np.take_along_axis(points, source[..., None], axis=1), np.arange(len(points))
    for number, limb in enumerate(tables.limbs):
        if not len(limb):
            continue
        is_hidden = np.take_along_axis(hidden, before[:, limb], axis=1).mean(1) > 0.5
        copied = is_hidden & (chance[:, 3 + number] < errors.copied[number // 2])
        source[np.ix_(copied, limb)] = before[np.ix_(copied, tables.mirror[limb])]
        places[np.ix_(copied, limb)] = np.take_along_axis(points, source[:, limb, None], axis=1)[copied]
        hiding[np.ix_(copied, limb)] = np.take_along_axis(hidden, source[:, limb], axis=1)[copied]
        lost = ~is_hidden & (chance[:, 7 + number] < errors.lost[number // 2])
        hiding[np.ix_(lost, limb)] = 1
        if others.shape[1]:
            theirs = others[:, :, limb]
            away = np.linalg.norm(theirs - places[:, None, limb], axis=-1).mean(-1)
            nearest = away.argmin(1)
            taken = ~copied & (chance[:, 11 + number] < np.array(errors.taken)[is_hidden.astype(int)])
            taken &= away[rows, nearest] < errors.reach * extent
            places[np.ix_(taken, limb)] = theirs[rows, nearest][taken]
    return places, hiding, source


def is_from_behind(points: Float[np.ndarray, "*g K 2"], corners: Int[np.ndarray, " _"]) -> Bool[np.ndarray, "*g"]:
    """Whether trunks show their backs, by their corners: left and right shoulder, left and right hip; else False."""
    if not len(corners):
        return np.zeros(points.shape[:-2], bool)
    left, right, left_hip, right_hip = np.moveaxis(points[..., corners, :], -2, 0)
    across, down = left - right, left_hip + right_hip - left - right
    return np.asarray(across[..., 0] * down[..., 1] < across[..., 1] * down[..., 0])


def joint_kind(name: str) -> str:
    """Under which name DetectorErrors has a joint's errors: `left_thumb` -> `hand`."""
    joint = _sided(name)[1]
    if joint in (*_HANDS, *_FEET):
        return "hand" if joint in _HANDS else "foot"
    if joint in ("nose", *_FACE):
        return "face"
    return joint if joint in ("shoulder", "hip") or joint in _PARENT else "trunk"


def _sided(name: str) -> tuple[str, str]:
    """`left_knee` -> `left`, `knee`; `mouth_left` likewise; joints of the middle have the side ``."""
    side = next((part for part in name.split("_") if part in ("left", "right")), "")
    return side, "_".join(part for part in name.split("_") if part != side)


@dataclass(frozen=True, eq=False)
class _Tables:
    """What a configuration means for a joint set of K joints, whose errors mix L independent ones."""

    jitter: Float[np.ndarray, "2 K"]  # Gaussian scale where visible, where hidden
    odds: Float[np.ndarray, "2 K"]  # of the confidence
    mix: Float[np.ndarray, "K L"]
    limb: Int[np.ndarray, " K"]  # left arm, right arm, left leg, right leg, trunk, head
    mirror: Int[np.ndarray, " K"]
    limbs: tuple[Int[np.ndarray, " _"], ...]  # the joints of the two arms and the two legs that may be found elsewhere
    corners: Int[np.ndarray, " _"]  # left and right shoulder, left and right hip; empty where the set has not all four


@lru_cache(maxsize=32)
def _tables(errors: DetectorErrors, joint_set: JointSet) -> _Tables:
    sided = [_sided(name) for name in joint_set.names]
    kinds = [joint_kind(name) for name in joint_set.names]
    each: list[JointErrors] = [getattr(errors, kind) for kind in kinds]
    limbs = [
        [number for number, (at, joint) in enumerate(sided) if at == side and joint in joints]
        for joints in _LIMBS
        for side in ("left", "right")
    ]
    limb = np.array([5 if kind == "face" else 4 for kind in kinds])
    for number, joints in enumerate(limbs):
        limb[joints] = number
    return _Tables(
        np.array([[kind.visible for kind in each], [kind.hidden for kind in each]]) / _MEDIAN,
        np.array([[kind.odds for kind in each], [kind.hidden_odds for kind in each]]),
        _mix(sided, errors.follow),
        limb,
        np.array(joint_set.mirror),
        tuple(np.array(joints, dtype=np.int64) for joints in limbs),
        np.array(joint_set.indices(*_CORNERS) if set(_CORNERS) <= set(joint_set.names) else [], dtype=np.int64),
    )


def _mix(sided: list[tuple[str, str]], follow: tuple[float, float]) -> Float[np.ndarray, "K L"]:
    """How much of which independent error each joint's is; the squares of a joint's weights add up to 1."""
    sources: dict[tuple[str, str], int] = {}  # one a joint, those of absent parents too

    def weights(side: str, joint: str) -> dict[int, float]:
        own, parent = sources.setdefault((side, joint), len(sources)), _PARENT.get(joint, "trunk")
        if joint == "trunk":
            return {own: 1.0}
        correlation = follow[parent in ("nose", "wrist", "ankle")]
        inherited = weights("" if parent in ("nose", "trunk") else side, parent)
        return {**{k: correlation * v for k, v in inherited.items()}, own: (1 - correlation**2) ** 0.5}

    rows = [weights(*each) for each in sided]
    mix = np.zeros((len(rows), len(sources)))
    for number, row in enumerate(rows):
        mix[number, list(row)] = list(row.values())
    return mix


_LASTING = ((0.2, 0.4), (2.0, 0.6))
"""Seconds after which what lasts is a share 1 / e of what it was, and the variances' shares."""
_FRESH = (0.03, 0.4)
"""The share of the variance that is each frame's own, in one clip less than in another."""


class LastingNoise(Generator):
    """A generator of numbers whose rows are the frames of n clips, one clip after the other.

    Every number is distributed normally (or uniformly) as another generator's, but correlated in time as the errors of
    `PeopleFinder` on rendered videos are: 0.84 from one frame at 30 a second to the next, 0.6 after 8, 0.4 after 20.
    """

    def __init__(self, g: Generator, seconds: Float[np.ndarray, "n T"]) -> None:
        super().__init__(g.bit_generator)
        self.shape, self.steps = seconds.shape, np.diff(seconds, axis=1)
        self.fresh = np.exp(g.uniform(np.log(_FRESH[0]), np.log(_FRESH[1]), len(seconds)))

    def standard_normal(  # type: ignore[override]
        self, size: int | tuple[int, ...]
    ) -> Float[np.ndarray, "..."]:
        """Normal numbers; one axis of `size` is that of the n T frames."""
        size, (n, frames) = (size,) if isinstance(size, int) else size, self.shape
        axis = size.index(n * frames)
        rest = size[:axis] + size[axis + 1 :]
        ones, draw = (1,) * len(rest), super().standard_normal
        found = np.sqrt(self.fresh).reshape(-1, 1, *ones) * draw((n, frames, *rest))
        for lasts_s, share in _LASTING:
            keep = np.exp(-self.steps / lasts_s).reshape(n, frames - 1, *ones)
            noise = draw((n, frames, *rest))
            for frame in range(1, frames):
                like = keep[:, frame - 1]
                noise[:, frame] = like * noise[:, frame - 1] + np.sqrt(1 - like**2) * noise[:, frame]
            found += np.sqrt(share * (1 - self.fresh)).reshape(-1, 1, *ones) * noise
        return np.moveaxis(found.reshape(n * frames, *rest), 0, axis)

    def random(self, size: int | tuple[int, ...]) -> Float[np.ndarray, "..."]:  # type: ignore[override]
        """Uniform numbers from 0 to 1: the normal ones' places in their distribution."""
        return ndtr(self.standard_normal(size))
