"""The simulated detector: exact where it should not err, as frequent and as large as asked where it errs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from humesh.body.joints import COCO17, JOINT_SETS, JOTR30, MEDIAPIPE33, JointSet
from humesh.data.detector_errors import (
    DetectorErrors,
    JointErrors,
    is_from_behind,
    joint_kind,
    simulate_keypoints,
    simulated_person,
    with_detector_errors,
)
from humesh.people.person import Person

SIZE = (640, 480)
BOX = np.array([200.0, 100.0, 400.0, 400.0])
NEVER: dict[str, Any] = {
    "turned": (0.0, 0.0),
    "crossed": (0.0, 0.0),
    "copied": (0.0, 0.0),
    "lost": (0.0, 0.0),
    "taken": (0.0, 0.0),
}
EXACT: dict[str, Any] = {
    **NEVER,
    **dict.fromkeys(("face", "trunk", "shoulder", "elbow", "wrist", "hand"), JointErrors(0.0, 0.0, 3.0, 3.0)),
    **dict.fromkeys(("hip", "knee", "ankle", "foot"), JointErrors(0.0, 0.0, 3.0, 3.0)),
}


def some_points(joint_set: JointSet, seed: int = 0) -> np.ndarray:
    """A made-up person, 200 x 300 px, well inside the photo."""
    points = np.random.default_rng(seed).uniform(0, 1, (len(joint_set), 2))
    return (points - points.min(0)) / np.ptp(points, axis=0) * [200, 300] + BOX[:2]


def seen(
    points: np.ndarray,
    errors: DetectorErrors,
    *,
    visible: np.ndarray | None = None,
    joint_set: JointSet = MEDIAPIPE33,
    others: list[np.ndarray] | None = None,
    seed: int | np.random.Generator = 0,
    size: tuple[int, int] = SIZE,
) -> Person:
    visible = np.ones(len(points)) if visible is None else visible
    found = many(points, errors, 1, visible=visible, joint_set=joint_set, others=others, seed=seed, size=size)
    return simulated_person(found[0], joint_set, size)


def many(
    points: np.ndarray,
    errors: DetectorErrors,
    count: int,
    *,
    visible: np.ndarray,
    joint_set: JointSet = MEDIAPIPE33,
    others: list[np.ndarray] | None = None,
    seed: int | np.random.Generator = 0,
    size: tuple[int, int] = SIZE,
) -> np.ndarray:
    """The keypoints of a person in as many photos."""
    around = np.array(others or []).reshape(1, -1, *points.shape).repeat(count, 0)
    everybody, visible = points[None].repeat(count, 0), visible[None].repeat(count, 0)
    g = np.random.default_rng(seed)
    return simulate_keypoints(everybody, visible, joint_set, around, size, errors, g).keypoints


def keypoints_of(person: Person) -> np.ndarray:
    assert person.keypoints is not None
    return person.keypoints


@pytest.mark.parametrize("joint_set", JOINT_SETS.values(), ids=JOINT_SETS)
def test_a_perfect_detector_finds_the_truth(joint_set: JointSet) -> None:
    points = some_points(joint_set)
    person = seen(points, DetectorErrors(**EXACT), joint_set=joint_set, others=[points + 20])
    np.testing.assert_array_equal(keypoints_of(person)[:, :2], points)
    room = 0.07 * 300  # above the eyes and below the heels
    np.testing.assert_allclose(person.box, [*(BOX[:2] - room), *(BOX[2:] + room)])
    assert person.keypoint_set is joint_set
    nothing = seen(points, DetectorErrors(harder=0.0), joint_set=joint_set)
    np.testing.assert_array_equal(keypoints_of(nothing)[:, :2], points)


@given(seed=st.integers(0, 2**32 - 1), hidden=st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_the_generator_decides_everything(seed: int, hidden: float) -> None:
    points, visible = some_points(MEDIAPIPE33, seed), (np.random.default_rng(seed).random(33) > hidden).astype(float)
    before = points.copy(), visible.copy()
    people = [seen(points, DetectorErrors(), visible=visible, others=[points + 30], seed=seed) for _ in range(2)]
    np.testing.assert_array_equal(keypoints_of(people[0]), keypoints_of(people[1]))
    np.testing.assert_array_equal(people[0].box, people[1].box)
    np.testing.assert_array_equal(points, before[0])
    np.testing.assert_array_equal(visible, before[1])
    confidence = keypoints_of(people[0])[:, 2]
    assert ((confidence >= 0) & (confidence <= 1)).all()
    assert 0 <= people[0].score <= 1
    assert (people[0].box[2:] >= people[0].box[:2]).all()


@given(zoom=st.floats(0.2, 5), x=st.floats(-50, 50), y=st.floats(-50, 50), seed=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_errors_are_relative_to_the_person(zoom: float, x: float, y: float, seed: int) -> None:
    points, visible = some_points(MEDIAPIPE33), (np.arange(33) % 3 > 0).astype(float)
    one = keypoints_of(seen(points, DetectorErrors(), visible=visible, others=[points + 40], seed=seed))
    moved = zoom * points + [x, y]
    other = keypoints_of(
        seen(moved, DetectorErrors(), visible=visible, others=[zoom * (points + 40) + [x, y]], seed=seed)
    )
    np.testing.assert_allclose(other[:, :2], zoom * one[:, :2] + [x, y], atol=1e-6)


def test_points_outside_of_the_photo_have_no_confidence() -> None:
    points = some_points(COCO17)
    person = keypoints_of(seen(points, DetectorErrors(**EXACT), joint_set=COCO17, size=(640, 250)))
    np.testing.assert_array_equal(person[:, 2] == 0, points[:, 1] > 250)


def test_hidden_joints_are_found_worse_and_with_less_confidence() -> None:
    points, errors, rng = some_points(MEDIAPIPE33), DetectorErrors(), np.random.default_rng(0)
    found = []
    for visible in (np.ones(33), np.zeros(33)):
        people = many(points, errors, 5000, visible=visible, seed=rng)
        found.append((np.median(np.linalg.norm(people[..., :2] - points, axis=-1), axis=0), people[..., 2].mean(0)))
    (small, sure), (large, unsure) = found
    assert (large > small).all()
    assert (unsure < sure).all()
    far = [joint_kind(name) not in ("face", "trunk", "shoulder", "hip") for name in MEDIAPIPE33.names]
    assert (unsure < sure - 0.2)[far].all()  # MediaPipe is sure of the trunk and the head, hidden or not


def test_the_median_error_is_the_one_asked_for() -> None:
    errors = DetectorErrors(**NEVER, harder=1.0, person_spread=0.0, limb_spread=(0.0, 0.0), joint_spread=0.0)
    points, rng = some_points(MEDIAPIPE33), np.random.default_rng(0)
    for column, visible in (("visible", np.ones(33)), ("hidden", np.zeros(33))):
        people = many(points, errors, 2000, visible=visible, seed=rng)
        median = np.median(np.linalg.norm(people[..., :2] - points, axis=-1), axis=0) / 300
        asked = [getattr(getattr(errors, joint_kind(name)), column) for name in MEDIAPIPE33.names]
        np.testing.assert_allclose(median, asked, rtol=0.12)  # 5 sigma of a median of 2,000 Rayleigh draws is 9 %


def test_errors_of_a_limb_go_together() -> None:
    errors = DetectorErrors(**NEVER, person_spread=0.0, limb_spread=(0.0, 0.0), joint_spread=0.0)
    points, rng = some_points(MEDIAPIPE33), np.random.default_rng(0)
    people = (many(points, errors, 2000, visible=np.ones(33), seed=rng) - points[0, 0])[..., 0]
    correlation = np.corrcoef(people.T)
    at = MEDIAPIPE33.index
    for child, parent in (("left_elbow", "left_shoulder"), ("left_wrist", "left_elbow"), ("right_ankle", "right_knee")):
        assert correlation[at(child), at(parent)] == pytest.approx(errors.follow[0], abs=0.08)
    assert correlation[at("left_wrist"), at("left_shoulder")] == pytest.approx(errors.follow[0] ** 2, abs=0.1)
    across = correlation[at("left_wrist"), at("right_wrist")]
    assert across == pytest.approx(errors.follow[0] ** 6, abs=0.1)  # only the trunk's error is shared


def within(count: int, trials: int, chance: float) -> bool:
    """Whether a count lies where all but one in a million binomial counts lie."""
    low, high = binom.interval(1 - 1e-6, trials, chance)
    return bool(low <= count <= high)


@pytest.mark.parametrize("behind", [False, True])
def test_sides_are_exchanged_as_often_as_asked(behind: bool) -> None:
    exact = replace(DetectorErrors(**EXACT), harder=1.0, turned=(0.1, 0.3), crossed=(0.2, 0.4))
    points = some_points(COCO17)
    corners = COCO17.indices("left_shoulder", "right_shoulder", "left_hip", "right_hip")
    points[corners] = np.array([[400, 100], [200, 100], [380, 390], [220, 390.0]])[
        [1, 0, 3, 2] if behind else slice(None)
    ]
    assert bool(is_from_behind(points, np.array(corners))) is behind
    rng, trials = np.random.default_rng(0), 2000
    visible = np.ones(17)
    visible[COCO17.indices("left_elbow", "left_wrist", "right_knee", "right_ankle")] = 0

    def found_with(visible: np.ndarray) -> np.ndarray:
        return many(points, exact, trials, visible=visible, joint_set=COCO17, seed=rng)[..., :2]

    found = found_with(visible)
    mirrored = (found == points[list(COCO17.mirror)]).all(-1)
    turned = mirrored.all(1)
    arms = mirrored[:, COCO17.indices("left_wrist", "right_elbow")].all(1) & ~turned
    legs = mirrored[:, COCO17.indices("left_knee", "right_ankle")].all(1) & ~turned
    chance = exact.turned[behind]
    assert within(int(turned.sum()), trials, chance)
    assert within(int(arms.sum()), trials, 0.2 * (1 - chance))
    assert within(int(legs.sum()), trials, 0.4 * (1 - chance))
    assert ((found == points) | mirrored[..., None]).all()
    nothing_hidden = found_with(np.ones(17))
    assert ((nothing_hidden == points).all((1, 2)) | (nothing_hidden == points[list(COCO17.mirror)]).all((1, 2))).all()


def test_hidden_limbs_are_copied_or_taken_as_often_as_asked() -> None:
    errors = replace(DetectorErrors(**EXACT), harder=1.0, copied=(0.3, 0.1), taken=(0.0, 0.5), reach=0.4)
    points, visible = some_points(COCO17), np.ones(17)
    arm, leg = COCO17.indices("left_elbow", "left_wrist"), COCO17.indices("right_knee", "right_ankle")
    visible[arm + leg] = 0
    near, far = (points + np.array([away, 0]) for away in (60, 200))
    rng, trials = np.random.default_rng(0), 2000
    found = many(points, errors, trials, visible=visible, joint_set=COCO17, others=[far, near], seed=rng)[..., :2]
    for limb, copied in ((arm, 0.3), (leg, 0.1)):
        twin = [COCO17.mirror[joint] for joint in limb]
        assert within(int((found[:, limb] == points[twin]).all((1, 2)).sum()), trials, copied)
        assert within(int((found[:, limb] == near[limb]).all((1, 2)).sum()), trials, 0.5 * (1 - copied))
    seen_joints = visible > 0
    np.testing.assert_array_equal(found[:, seen_joints], np.broadcast_to(points, found.shape)[:, seen_joints])
    alone = seen(points, replace(errors, copied=(0.0, 0.0)), visible=visible, joint_set=COCO17, others=[far])
    np.testing.assert_array_equal(keypoints_of(alone)[:, :2], points)


def test_every_joint_has_a_kind() -> None:
    kinds = {name: joint_kind(name) for joint_set in JOINT_SETS.values() for name in joint_set.names}
    assert all(isinstance(getattr(DetectorErrors(), kind), JointErrors) for kind in kinds.values())
    expected = {
        "left_thumb": "hand", "mouth_left": "face", "head_top": "face", "right_big_toe": "foot", "right_hip": "hip",
        "pelvis": "trunk", "left_collar": "trunk",
    }  # fmt: skip
    assert {name: kinds[name] for name in expected} == expected


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.full((30, 2), np.nan)])
def test_what_are_no_points_of_the_set_is_refused(points: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected 30 finite points of 'jotr30' in pixels"):
        seen(points, DetectorErrors(), visible=np.ones(len(points)), joint_set=JOTR30)


def test_exact_keypoints_get_errors_where_they_are_known() -> None:
    points = np.tile(np.concatenate([some_points(JOTR30), np.full((30, 1), 0.7)], axis=-1), (3000, 1, 1))
    points[:, ::3] = 0.0
    moved = with_detector_errors(points, JOTR30, 1.0, np.random.default_rng(0))
    assert np.array_equal(moved[..., 2], points[..., 2])
    assert np.array_equal(moved[:, ::3], points[:, ::3])
    elsewhere = points.copy()
    elsewhere[:, ::3, :2] = 5000.0  # means nothing: such a point is not known
    again = with_detector_errors(elsewhere, JOTR30, 1.0, np.random.default_rng(0))
    assert np.allclose(np.delete(again, np.s_[::3], 1), np.delete(moved, np.s_[::3], 1))
    wrist = JOTR30.index("left_wrist")
    known = np.delete(points[0, :, :2], np.s_[::3], 0)
    errors = np.linalg.norm(moved - points, axis=-1)[:, wrist] / np.ptp(known, axis=0).max()
    assert np.median(errors) == pytest.approx(DetectorErrors().wrist.visible, rel=0.15)
    assert np.allclose(with_detector_errors(points, JOTR30, 0.0, np.random.default_rng(0)), points)
    nobody = np.zeros((1, 30, 3))
    assert np.array_equal(with_detector_errors(nobody, JOTR30, 1.0, np.random.default_rng(0)), nobody)
