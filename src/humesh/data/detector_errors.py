"""What a detector would say of people whose points are known: the errors of `PeopleFinder`, simulated.

Every number below was measured with benchmarks/detector_errors.py; docs/detector_errors.md shows the measurement.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, Int

from humesh.body.joints import JointSet
from humesh.people.person import Person, box_around_keypoints

_PARENT = {
    "elbow": "shoulder", "wrist": "elbow", "hand": "wrist", "pinky": "wrist", "index": "wrist", "thumb": "wrist",
    "middle_tip": "wrist", "knee": "hip", "ankle": "knee", "foot": "ankle", "heel": "ankle", "foot_index": "ankle",
    "big_toe": "ankle", "small_toe": "ankle",
    **dict.fromkeys(("eye", "eye_inner", "eye_outer", "ear", "mouth", "head", "head_top", "jaw"), "nose"),
}  # fmt: skip
"""The joint whose error a joint's error follows, on its own side of the body; what is not named is of the trunk."""
_HANDS, _FEET = (
    ("hand", "pinky", "index", "thumb", "middle_tip"),
    ("foot", "heel", "foot_index", "big_toe", "small_toe"),
)
_MOVED = {"arm": ("elbow", "wrist", *_HANDS), "leg": ("knee", "ankle", *_FEET)}
"""The joints of a limb that are seen elsewhere if the limb is mistaken."""
_MEDIAN = np.sqrt(2 * np.log(2))  # of the length of a 2D Gaussian of deviation 1


@dataclass(frozen=True)
class Telling:
    """How well one kind of joint is told: median errors, and median log odds of the confidence without an error."""

    seen: float
    hidden: float
    odds: float
    hidden_odds: float


@dataclass(frozen=True)
class DetectorErrors:
    """How a detector errs; the defaults are PeopleFinder's on real photographs. Lengths are in the person's size.

    A person's size is the longer side of the box around all their true points.
    """

    harder: float = 1.2
    """A factor on all jitter and on all chances of mistakes; 1: the sets of photographs that the rest is fitted to."""
    face: Telling = Telling(0.018, 0.045, 7.0, 5.4)
    trunk: Telling = Telling(0.022, 0.042, 6.0, 5.3)
    shoulder: Telling = Telling(0.019, 0.039, 6.6, 5.2)
    elbow: Telling = Telling(0.015, 0.060, 4.9, 3.2)
    wrist: Telling = Telling(0.014, 0.095, 5.7, 2.8)
    hand: Telling = Telling(0.023, 0.105, 5.9, 3.6)
    hip: Telling = Telling(0.027, 0.045, 5.8, 5.4)
    knee: Telling = Telling(0.016, 0.058, 4.6, 3.5)
    ankle: Telling = Telling(0.016, 0.065, 5.4, 3.1)
    foot: Telling = Telling(0.022, 0.060, 5.5, 4.4)
    follow: tuple[float, float] = (0.5, 0.98)
    """Correlation of a joint's error with its parent's: along limbs, and of hand, foot and face with what holds it."""
    person_spread: float = 0.45
    """Standard deviation of the logarithm of a factor on all jitter of one person: some are harder than others."""
    limb_spread: tuple[float, float] = (0.25, 0.55)
    """The same for one arm, leg, trunk or head, where it is seen and where hidden."""
    joint_spread: float = 0.07
    """The same for one joint."""
    turned: tuple[float, float] = (0.005, 0.012)
    """Chance that left and right of the whole body are exchanged, for people seen from the front and from behind."""
    crossed: tuple[float, float] = (0.03, 0.08)
    """Chance that the two arms are exchanged if one of them is hidden, and the two legs."""
    copied: tuple[float, float] = (0.05, 0.05)
    """Chance that a hidden arm (elbow and hand), or leg, is seen where the other one is."""
    lost: tuple[float, float] = (0.035, 0.025)
    """Chance that an arm, or a leg, that can be seen is told as badly as if it were hidden."""
    taken: tuple[float, float] = (0.07, 0.45)
    """Chance that a limb, seen or hidden, is told where a neighbour's is, if that is within `reach`."""
    reach: float = 0.4
    doubt: float = 4.3
    """Log odds of the confidence that an error of a tenth of the person, or a larger one, takes away."""
    confidence_spread: tuple[float, float] = (1.3, 0.7)
    """Standard deviation of the log odds, shared by a limb, and of each joint."""
    box: float = 1.0
    """How far the box is PeopleFinder's, made from the points it sees: 1; 0 is the true box."""


@dataclass(frozen=True)
class _Tables:
    """What a configuration means for a joint set of K joints, whose errors mix L independent ones."""

    jitter: Float[np.ndarray, "2 K"]  # Gaussian scale where seen, where hidden
    odds: Float[np.ndarray, "2 K"]  # of the confidence
    mix: Float[np.ndarray, "K L"]
    limb: Int[np.ndarray, " K"]  # left arm, right arm, left leg, right leg, trunk, head
    mirror: Int[np.ndarray, " K"]
    limbs: tuple[Int[np.ndarray, " _"], ...]  # the joints of the two arms and the two legs that may be seen elsewhere
    corners: Int[np.ndarray, " _"]  # left and right shoulder, left and right hip; empty where the set has not all four


def seen_by_detector(
    points2d: Float[np.ndarray, "K 2"],
    visible: Float[np.ndarray, " K"],
    joint_set: JointSet,
    box: Float[np.ndarray, "4"],
    others: list[Float[np.ndarray, "K 2"]],
    size: tuple[int, int],
    errors: DetectorErrors,
    generator: np.random.Generator,
) -> Person:
    """A person as a detector sees them, from the true points in a photo of `size` (width, height) px.

    `visible`: 1 where a point can be seen; `box`: the tight one, x0 y0 x1 y1; `others`: the same points of the photo's
    other people. Points outside of the photo are guessed, with confidence 0, as PeopleFinder gives them.
    """
    if points2d.shape != (len(joint_set), 2) or not np.isfinite(points2d).all():
        raise ValueError(
            f"simulated detector: expected {len(joint_set)} finite points of {joint_set.name!r} in pixels, "
            f"got {points2d.shape}; project the body with body.points(bodies, joint_set)."
        )
    neighbours = np.array(others).reshape(1, len(others), len(joint_set), 2)
    keypoints, *_ = look_by_detector(points2d[None], visible[None], joint_set, neighbours, size, errors, generator)
    return person_of(keypoints[0], joint_set, box, size, errors)


def person_of(
    keypoints: Float[np.ndarray, "K 3"],
    joint_set: JointSet,
    box: Float[np.ndarray, "4"],
    size: tuple[int, int],
    errors: DetectorErrors,
) -> Person:
    """The detector's find with these keypoints; its box is made of the true one and, as `errors` says, from them."""
    jotr_box = (1 - errors.box) * box + errors.box * box_around_keypoints(keypoints, *size)
    inside = keypoints[keypoints[:, 2] > 0, 2]
    score = inside.mean() if len(inside) else 0.0  # as `people.fusion.rating`, of all joints
    return Person(jotr_box, float(score), keypoints, joint_set)


def look_by_detector(
    points2d: Float[np.ndarray, "P K 2"],
    visible: Float[np.ndarray, "P K"],
    joint_set: JointSet,
    others: Float[np.ndarray, "P O K 2"],
    size: tuple[int, int],
    errors: DetectorErrors,
    generator: np.random.Generator,
) -> tuple[Float[np.ndarray, "P K 3"], Int[np.ndarray, "P K"], Float[np.ndarray, "P K"]]:
    """Keypoints of P people in as many photos of one size, each with O neighbours (`seen_by_detector`).

    Besides, which joint of the person each point was taken for, and how hidden that is.
    """
    tables, (count, points) = _tables(errors, joint_set), visible.shape
    chance = generator.random((count, 15)) / max(errors.harder, 1e-9)
    extent = np.ptp(points2d, axis=1).max(-1)[:, None, None]
    true, hidden, whose = _whose(points2d, 1.0 - visible, others, extent[:, 0, 0], tables, errors, chance)
    person, limbs = generator.standard_normal((count, 1)), generator.standard_normal((count, 12))
    own, told = generator.standard_normal((2, count, points))
    seen_spread, hidden_spread = errors.limb_spread
    spread = errors.person_spread * person + errors.joint_spread * own
    spread += limbs[:, tables.limb] * (seen_spread * (1 - hidden) + hidden_spread * hidden)
    scale = errors.harder * (tables.jitter[0] * (1 - hidden) + tables.jitter[1] * hidden) * np.exp(spread)
    error = scale[..., None] * (tables.mix @ generator.standard_normal((count, tables.mix.shape[1], 2)))
    places = true + extent * error
    odds = tables.odds[0] * (1 - hidden) + tables.odds[1] * hidden
    odds -= errors.doubt * np.minimum(np.hypot(error[..., 0], error[..., 1]) / 0.1, 1)
    odds += errors.confidence_spread[0] * limbs[:, 6 + tables.limb] + errors.confidence_spread[1] * told
    confidence = ((places >= 0) & (places <= size)).all(-1) / (1 + np.exp(-odds))
    return np.concatenate([places, confidence[..., None]], axis=-1), whose, hidden


def inexact(
    keypoints: Float[np.ndarray, "P K 3"], joint_set: JointSet, harder: float, generator: np.random.Generator
) -> Float[np.ndarray, "P K 3"]:
    """Exact keypoints (x, y, confidence) where a detector finds them; confidences stay as they are (JOTR's training).

    Points without confidence are unknown: they stay, and no other point is taken for one of them.
    """
    known, places = keypoints[..., 2] > 0, keypoints[..., :2]
    middle = (places * known[..., None]).sum(1, keepdims=True) / np.maximum(known.sum(1), 1)[:, None, None]
    points = np.where(known[..., None], places, middle)
    nobody = np.zeros((len(points), 0, *points.shape[1:]))
    errors, size = DetectorErrors(harder=harder), (1, 1)  # of which confidences alone depend
    found, whose, _ = look_by_detector(points, known.astype(float), joint_set, nobody, size, errors, generator)
    usable = (known & np.take_along_axis(known, whose, axis=1))[..., None]
    return np.concatenate([np.where(usable, found[..., :2], places), keypoints[..., 2:]], axis=-1)


def _whose(
    points: Float[np.ndarray, "P K 2"],
    hidden: Float[np.ndarray, "P K"],
    others: Float[np.ndarray, "P O K 2"],
    extent: Float[np.ndarray, " P"],
    tables: _Tables,
    errors: DetectorErrors,
    chance: Float[np.ndarray, "P 15"],
) -> tuple[Float[np.ndarray, "P K 2"], Float[np.ndarray, "P K"], Int[np.ndarray, "P K"]]:
    """Where each joint is taken to be, its own place, the other side's or a neighbour's; how hidden it is; whose."""
    whose = np.tile(np.arange(points.shape[1]), (len(points), 1))
    turned = chance[:, 0] < np.array(errors.turned)[from_behind(points, tables.corners).astype(int)]
    whose[turned] = tables.mirror
    for number, pair in enumerate((tables.limbs[:2], tables.limbs[2:])):  # arms, legs
        half_hidden = np.any([hidden[:, limb].sum(1) > len(limb) / 2 for limb in pair], axis=0)
        crossed = ~turned & half_hidden & (chance[:, 1 + number] < errors.crossed[number])
        both = np.concatenate(pair)
        whose[np.ix_(crossed, both)] = tables.mirror[both]
    before, hiding = whose.copy(), np.take_along_axis(hidden, whose, axis=1)
    places, rows = np.take_along_axis(points, whose[..., None], axis=1), np.arange(len(points))
    for number, limb in enumerate(tables.limbs):
        if not len(limb):
            continue
        unseen = np.take_along_axis(hidden, before[:, limb], axis=1).mean(1) > 0.5
        copied = unseen & (chance[:, 3 + number] < errors.copied[number // 2])
        whose[np.ix_(copied, limb)] = before[np.ix_(copied, tables.mirror[limb])]
        places[np.ix_(copied, limb)] = np.take_along_axis(points, whose[:, limb, None], axis=1)[copied]
        hiding[np.ix_(copied, limb)] = np.take_along_axis(hidden, whose[:, limb], axis=1)[copied]
        lost = ~unseen & (chance[:, 7 + number] < errors.lost[number // 2])
        hiding[np.ix_(lost, limb)] = 1
        if others.shape[1]:
            theirs = others[:, :, limb]
            away = np.linalg.norm(theirs - places[:, None, limb], axis=-1).mean(-1)
            nearest = away.argmin(1)
            taken = ~copied & (chance[:, 11 + number] < np.array(errors.taken)[unseen.astype(int)])
            taken &= away[rows, nearest] < errors.reach * extent
            places[np.ix_(taken, limb)] = theirs[rows, nearest][taken]
    return places, hiding, whose


def from_behind(points: Float[np.ndarray, "*g K 2"], corners: Int[np.ndarray, " _"]) -> Bool[np.ndarray, "*g"]:
    """Whether trunks show their backs, by their corners: left and right shoulder, left and right hip; else False."""
    if not len(corners):
        return np.zeros(points.shape[:-2], bool)
    left, right, left_hip, right_hip = np.moveaxis(points[..., corners, :], -2, 0)
    across, down = left - right, left_hip + right_hip - left - right
    return np.asarray(across[..., 0] * down[..., 1] < across[..., 1] * down[..., 0])


def kind_of(name: str) -> str:
    """Under which name DetectorErrors has a joint's jitter: `left_thumb` -> `hand`."""
    joint = _sided(name)[1]
    if joint in _HANDS or joint in _FEET:
        return "hand" if joint in _HANDS else "foot"
    if joint == "nose" or _PARENT.get(joint) == "nose":
        return "face"
    return joint if joint in ("shoulder", "hip") or joint in _PARENT else "trunk"


def _sided(name: str) -> tuple[str, str]:
    """`left_knee` -> `left`, `knee`; `mouth_left` likewise; joints of the middle have the side ``."""
    side = next((part for part in name.split("_") if part in ("left", "right")), "")
    return side, "_".join(part for part in name.split("_") if part != side)


@lru_cache(maxsize=32)
def _tables(errors: DetectorErrors, joint_set: JointSet) -> _Tables:
    sources: dict[tuple[str, str], int] = {}  # independent errors: one a joint, those of absent parents too

    def row(side: str, joint: str) -> dict[int, float]:
        """How much of which source a joint's error is; the squares of the weights add up to 1."""
        own, parent = sources.setdefault((side, joint), len(sources)), _PARENT.get(joint, "trunk")
        if joint == "trunk":
            return {own: 1.0}
        follow = errors.follow[parent in ("nose", "wrist", "ankle")]
        before = row("" if parent in ("nose", "trunk") else side, parent)
        return {**{k: follow * v for k, v in before.items()}, own: (1 - follow**2) ** 0.5}

    sided = [_sided(name) for name in joint_set.names]
    rows = [row(*each) for each in sided]
    mix = np.zeros((len(rows), len(sources)))
    for number, weights in enumerate(rows):
        mix[number, list(weights)] = list(weights.values())
    kinds: list[Telling] = [getattr(errors, kind_of(name)) for name in joint_set.names]
    limbs = [
        [number for number, (at, joint) in enumerate(sided) if at == side and joint in _MOVED[limb]]
        for limb in ("arm", "leg")
        for side in ("left", "right")
    ]
    limb_of = [
        next((i for i, limb in enumerate(limbs) if number in limb), 5 if kind_of(name) == "face" else 4)
        for number, name in enumerate(joint_set.names)
    ]
    corners = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
    return _Tables(
        np.array([[kind.seen for kind in kinds], [kind.hidden for kind in kinds]]) / _MEDIAN,
        np.array([[kind.odds for kind in kinds], [kind.hidden_odds for kind in kinds]]),
        mix,
        np.array(limb_of),
        np.array(joint_set.mirror),
        tuple(np.array(limb, dtype=np.int64) for limb in limbs),
        np.array(joint_set.indices(*corners) if set(corners) <= set(joint_set.names) else [], dtype=np.int64),
    )
