"""What a detector would say of people whose points are known: MediaPipe's errors, simulated.

Every number below was measured with benchmarks/detector_errors.py; docs/detector_errors.md shows the measurement.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int

from humesh.body.joints import JointSet
from humesh.images.people import box_around_points
from humesh.images.photo import Person

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
    """How a detector errs; the defaults are MediaPipe's on rendered people. Lengths are in the person's size.

    A person's size is the longer side of the box around all their true points.
    """

    harder: float = 1.3
    """Real photos against renderings: a factor on all jitter and on all chances of mistakes; chosen, not measured."""
    face: Telling = Telling(0.016, 0.033, 5.5, 4.5)
    trunk: Telling = Telling(0.020, 0.037, 5.5, 5.0)
    shoulder: Telling = Telling(0.017, 0.037, 6.0, 6.0)
    elbow: Telling = Telling(0.017, 0.063, 3.5, 0.5)
    wrist: Telling = Telling(0.017, 0.085, 3.0, 0.3)
    hand: Telling = Telling(0.022, 0.090, 2.5, 0.3)
    hip: Telling = Telling(0.019, 0.036, 7.0, 7.0)
    knee: Telling = Telling(0.015, 0.065, 3.5, 2.0)
    ankle: Telling = Telling(0.014, 0.085, 3.5, 2.0)
    foot: Telling = Telling(0.020, 0.080, 3.0, 2.0)
    follow: tuple[float, float] = (0.75, 0.98)
    """Correlation of a joint's error with its parent's: along limbs, and of hand, foot and face with what holds it."""
    person_spread: float = 0.35
    """Standard deviation of the logarithm of a factor on all jitter of one person: some are harder than others."""
    limb_spread: tuple[float, float] = (0.35, 0.55)
    """The same for one arm, leg, trunk or head, where it is seen and where hidden."""
    joint_spread: float = 0.15
    """The same for one joint."""
    turned: tuple[float, float] = (0.005, 0.012)
    """Chance that left and right of the whole body are exchanged, for people seen from the front and from behind."""
    crossed: tuple[float, float] = (0.03, 0.03)
    """Chance that the two arms are exchanged if one of them is hidden, and the two legs."""
    copied: tuple[float, float] = (0.05, 0.05)
    """Chance that a hidden arm (elbow and hand), or leg, is seen where the other one is."""
    lost: tuple[float, float] = (0.16, 0.15)
    """Chance that an arm, or a leg, that can be seen is told as badly as if it were hidden."""
    taken: tuple[float, float] = (0.1, 0.45)
    """Chance that a limb, seen or hidden, is told where a neighbour's is, if that is within `reach`."""
    reach: float = 0.4
    doubt: float = 2.5
    """Log odds of the confidence that an error of a tenth of the person, or a larger one, takes away."""
    confidence_spread: tuple[float, float] = (1.2, 0.8)
    """Standard deviation of the log odds, shared by a limb, and of each joint."""
    box: float = 1.0
    """How far the box is MediaPipePeople's, made from the points it sees: 1; 0 is the true box."""


@dataclass(frozen=True)
class _Tables:
    """What a configuration means for a joint set of K joints, whose errors mix L independent ones."""

    jitter: Float[np.ndarray, "2 K"]  # Gaussian scale where seen, where hidden
    odds: Float[np.ndarray, "2 K"]  # of the confidence
    mix: Float[np.ndarray, "K L"]
    limb: Int[np.ndarray, "K"]  # left arm, right arm, left leg, right leg, trunk, head
    mirror: Int[np.ndarray, "K"]
    limbs: tuple[Int[np.ndarray, "_"], ...]  # the joints of the two arms and the two legs that may be seen elsewhere
    corners: Int[np.ndarray, "_"]  # left and right shoulder, left and right hip; empty where the set has not all four


def seen_by_detector(
    points2d: Float[np.ndarray, "K 2"],
    visible: Float[np.ndarray, "K"],
    joint_set: JointSet,
    box: Float[np.ndarray, "4"],
    others: list[Float[np.ndarray, "K 2"]],
    size: tuple[int, int],
    errors: DetectorErrors,
    generator: np.random.Generator,
) -> Person:
    """A person as a detector sees them, from the true points in a photo of `size` (width, height) px.

    `visible`: 1 where a point can be seen; `box`: the tight one, x0 y0 x1 y1; `others`: the same points of the photo's
    other people. Points outside of the photo are guessed, with confidence 0, as MediaPipePeople gives them.
    """
    if points2d.shape != (len(joint_set), 2) or not np.isfinite(points2d).all():
        raise ValueError(
            f"simulated detector: expected {len(joint_set)} finite points of {joint_set.name!r} in pixels, "
            f"got {points2d.shape}; project the body with body.points(bodies, joint_set)."
        )
    tables, chance = _tables(errors, joint_set), generator.random(15) / max(errors.harder, 1e-9)
    extent = float(np.ptp(points2d, axis=0).max())
    true, hidden = _whose(points2d, 1 - visible, others, extent, tables, errors, chance)
    person, *limbs = generator.standard_normal(13)
    jitter, doubt = np.array(limbs[:6]), np.array(limbs[6:])
    own, told = generator.standard_normal((2, len(points2d)))
    spread = errors.person_spread * person + errors.joint_spread * own
    seen_spread, hidden_spread = errors.limb_spread
    spread += jitter[tables.limb] * (seen_spread * (1 - hidden) + hidden_spread * hidden)
    scale = errors.harder * (tables.jitter[0] * (1 - hidden) + tables.jitter[1] * hidden) * np.exp(spread)
    error = scale[:, None] * (tables.mix @ generator.standard_normal((tables.mix.shape[1], 2)))
    points = true + extent * error
    odds = tables.odds[0] * (1 - hidden) + tables.odds[1] * hidden
    odds -= errors.doubt * np.minimum(np.hypot(*error.T) / 0.1, 1)
    odds += errors.confidence_spread[0] * doubt[tables.limb] + errors.confidence_spread[1] * told
    confidence = ((points >= 0) & (points <= size)).all(-1) / (1 + np.exp(-odds))
    keypoints = np.concatenate([points, confidence[:, None]], axis=-1)
    seen_box = (1 - errors.box) * box + errors.box * box_around_points(keypoints, *size)
    score = 1 - (1 - confidence.mean()) ** 2  # MediaPipePeople rates finds higher than their points
    return Person(seen_box, float(score), keypoints, joint_set)


def _whose(
    points: Float[np.ndarray, "K 2"],
    hidden: Float[np.ndarray, "K"],
    others: list[Float[np.ndarray, "K 2"]],
    extent: float,
    tables: _Tables,
    errors: DetectorErrors,
    chance: Float[np.ndarray, "15"],
) -> tuple[Float[np.ndarray, "K 2"], Float[np.ndarray, "K"]]:
    """The true place that each joint is taken for, its own, the other side's or a neighbour's, and how hidden it is."""
    order = np.arange(len(points))
    if chance[0] < errors.turned[from_behind(points, tables.corners)]:
        order = tables.mirror
    else:
        for number, pair in enumerate((tables.limbs[:2], tables.limbs[2:])):  # arms, legs
            half_hidden = any(hidden[limb].sum() > len(limb) / 2 for limb in pair)
            if half_hidden and chance[1 + number] < errors.crossed[number]:
                both = np.concatenate(pair)
                order[both] = tables.mirror[both]
    places, hiding = points[order], hidden[order]
    for number, limb in enumerate(tables.limbs):
        if not len(limb):
            continue
        unseen, twin = hidden[order[limb]].mean() > 0.5, order[tables.mirror[limb]]
        if unseen and chance[3 + number] < errors.copied[number // 2]:
            places[limb], hiding[limb] = points[twin], hidden[twin]
            continue
        if not unseen and chance[7 + number] < errors.lost[number // 2]:
            hiding[limb] = 1
        if others and chance[11 + number] < errors.taken[int(unseen)]:
            theirs = np.stack([other[limb] for other in others])
            away = np.linalg.norm(theirs - places[limb], axis=-1).mean(-1)
            if away.min() < errors.reach * extent:
                places[limb] = theirs[away.argmin()]
    return places, hiding


def from_behind(points: Float[np.ndarray, "K 2"], corners: Int[np.ndarray, "_"]) -> bool:
    """Whether a trunk shows its back, by its corners: left and right shoulder, left and right hip; without: False."""
    if not len(corners):
        return False
    left, right, left_hip, right_hip = points[corners]
    across, down = left - right, left_hip + right_hip - left - right
    return bool(across[0] * down[1] < across[1] * down[0])


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
