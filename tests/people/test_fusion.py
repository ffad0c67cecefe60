"""Several predictions of one body fused: what must hold of any, and the confidence by algebra."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from humesh.body.joints import COCO17, MEDIAPIPE33
from humesh.people.finder import _AFAR, _CALIBRATION, CURVES, LIMBS, fused, log_odds, rating
from humesh.people.networks import Pose, Roi

MIRROR = list(MEDIAPIPE33.mirror)
COMMON = MEDIAPIPE33.indices(*COCO17.names)  # what all networks give
SIZE = 100.0  # px of the bodies here
seeds = st.integers(0, 2**32 - 1)


def predicted(
    seed: int, networks: Sequence[str] = ("multipose", "thunder", "heavy", "heavy"), spread: float = 0.03
) -> list[Pose]:
    """Predictions of these networks of one body of about 100 px, each point off by the spread (in sizes)."""
    g = np.random.default_rng(seed)
    body = g.uniform(0, 1, (33, 2)) * [0.5, 1] * SIZE + 300
    return [prediction_at(body + g.normal(0, spread * SIZE, body.shape), network, g) for network in networks]


def prediction_at(points: np.ndarray, network: str, g: np.random.Generator) -> Pose:
    confidence = g.uniform(0.3, 0.95, 33)
    deep = network in ("heavy", "full")
    if not deep:
        confidence[[i for i in range(33) if i not in COMMON]] = 0
    roi = Roi(*points.mean(0).tolist(), side=float(g.uniform(100, 150)))
    return Pose(np.c_[points, confidence], g.normal(0, 0.3, (33, 3)) if deep else None, 0.5, roi, network)


def with_points(pose: Pose, points: np.ndarray) -> Pose:
    return replace(pose, points=np.c_[points, pose.points[:, 2]])


@given(seeds)
def test_predictions_that_agree_are_their_mean_weighted_by_belief(seed: int) -> None:
    """So close together that nearness hardly counts: points within a hundredth of the kernel of each other."""
    poses = predicted(seed, spread=1e-4)
    points = np.stack([pose.points for pose in poses])
    belief = np.stack([expit(CURVES[k.network][0] + CURVES[k.network][1] * log_odds(k.points[:, 2])) for k in poses])
    belief *= (points[..., 2] > 0) * np.array([[_AFAR], [1], [1], [1]])  # MultiPose, from afar, counts less
    start, slope = _CALIBRATION
    whole = fused(poses)
    wanted = np.einsum("lk,lkc->kc", belief, points[..., :2]) / belief.sum(0)[:, None]
    np.testing.assert_allclose(whole.points[COMMON, :2], wanted[COMMON], atol=1e-5 * SIZE)
    backing = belief.sum(0) / ((points[..., 2] > 0) * [[_AFAR], [1], [1], [1]]).sum(0)
    np.testing.assert_allclose(whole.points[:, 2], expit(start + slope * log_odds(backing)), atol=1e-3)
    sure = fused([replace(pose, points=pose.points * [1, 1, 0] + [0, 0, 0.95]) for pose in poses])
    assert (sure.points[:, 2] > 0.95).all()


@given(seeds, st.floats(0.4, 5), st.floats(-3.1, 3.1))
def test_a_prediction_far_off_changes_nothing_but_confidence(seed: int, far: float, way: float) -> None:
    poses = predicted(seed, ("thunder", "heavy", "heavy"), spread=0.01)
    stray = with_points(predicted(seed, ("heavy",), 0)[0], poses[0].points[:, :2])
    stray = replace(stray, points=stray.points + far * SIZE * np.array([np.cos(way), np.sin(way), 0]))
    alone, beside = fused(poses), fused([*poses, stray])
    assert np.abs(beside.points[:, :2] - alone.points[:, :2]).max() < 1e-3 * SIZE
    assert (beside.points[:, 2] < alone.points[:, 2]).all()
    np.testing.assert_array_equal(beside.landmarks3d, alone.landmarks3d)


@given(seeds)
def test_the_order_of_predictions_does_not_matter(seed: int) -> None:
    poses = predicted(seed, ("thunder", "heavy", "heavy"), spread=0.05)
    first = fused(poses)
    for order in permutations(poses):
        whole = fused(order)
        np.testing.assert_allclose(whole.points, first.points, atol=1e-9)
        np.testing.assert_allclose(whole.landmarks3d, first.landmarks3d, atol=1e-12)
        assert whole.next_roi == first.next_roi


@given(seeds, st.floats(0.2, 9), st.floats(-500, 500), st.floats(-500, 500), st.integers(0, 3), st.booleans())
def test_a_photo_moved_zoomed_turned_or_mirrored_gives_the_same_body(
    seed: int, zoom: float, x: float, y: float, quarters: int, mirrored: bool
) -> None:
    turn = np.linalg.matrix_power(np.array([[0.0, -1], [1, 0]]), quarters)
    order = MIRROR if mirrored else list(range(33))

    def changed(points: np.ndarray) -> np.ndarray:
        places = zoom * points[:, :2] @ turn.T * [-1 if mirrored else 1, 1] + [x, y]
        return np.c_[places, points[:, 2]][order]

    poses = predicted(seed)
    whole = fused([replace(pose, points=changed(pose.points)) for pose in poses])
    np.testing.assert_allclose(whole.points, changed(fused(poses).points), atol=1e-6 * zoom * SIZE)


@given(seeds, st.floats(-0.02, 0.02), st.floats(-0.02, 0.02))
def test_hands_and_feet_follow_wrist_and_ankle(seed: int, x: float, y: float) -> None:
    """Thunder, which has no hands and feet, moves the wrist; they keep their place beside it, as the other sees it."""
    (heavy,) = predicted(seed, ("heavy",))
    thunder = prediction_at(heavy.points[:, :2] + np.array([x, y]) * SIZE, "thunder", np.random.default_rng(seed))
    whole = fused([heavy, thunder])
    for side in ("left", "right"):
        for parent, children in {
            "wrist": ("pinky", "index", "thumb"), "ankle": ("heel", "foot_index"), "eye": ("eye_inner", "eye_outer"),
        }.items():  # fmt: skip
            at = MEDIAPIPE33.index(f"{side}_{parent}")
            for child in MEDIAPIPE33.indices(*(f"{side}_{name}" for name in children)):
                beside = heavy.points[child, :2] - heavy.points[at, :2]
                np.testing.assert_allclose(whole.points[child, :2] - whole.points[at, :2], beside, atol=1e-4)
                assert whole.points[child, 2] > 0


def test_a_surer_hand_on_another_arm_is_not_taken() -> None:
    """One prediction has the wrist where Thunder has it; the other is surer of the hand, but of a wrist elsewhere."""
    (near,) = predicted(0, ("heavy",))
    hand = MEDIAPIPE33.indices(
        *(f"{side}_{name}" for side in ("left", "right") for name in ("pinky", "index", "thumb"))
    )
    is_hand = np.isin(np.arange(33), hand)[:, None]
    strayed = near.points + np.where(is_hand, [0.7 * SIZE, 0, 0], [0.5 * SIZE, 0, 0])
    far = replace(near, points=np.where(is_hand & [False, False, True], 0.95, strayed))
    near = replace(near, points=np.where(is_hand & [False, False, True], 0.05, near.points))
    whole = fused([near, far, prediction_at(near.points[:, :2], "thunder", np.random.default_rng(0))])
    np.testing.assert_allclose(whole.points[hand, :2], near.points[hand, :2], atol=1e-3)


@given(seeds)
def test_what_no_network_gives_has_no_confidence(seed: int) -> None:
    whole = fused(predicted(seed, ("multipose", "thunder")))
    lacking = [i for i in range(33) if i not in COMMON]
    assert not whole.points[lacking, 2].any()
    assert (whole.points[COMMON, 2] > 0).all()
    assert whole.landmarks3d is None


@given(seeds)
def test_depth_is_of_the_predictions_that_lie_nearest(seed: int) -> None:
    near, far = predicted(seed, ("heavy", "full"), spread=0.01)
    far = replace(far, points=far.points + np.array([0.3 * SIZE, 0, 0]))
    thunder = prediction_at(near.points[:, :2], "thunder", np.random.default_rng(seed))
    for poses in ([far, thunder, near], [near, far, thunder]):
        whole = fused(poses)
        np.testing.assert_array_equal(whole.landmarks3d, near.landmarks3d)
        assert (whole.next_roi, whole.network) == (near.next_roi, near.network)
    twin = replace(near, landmarks3d=near.landmarks3d + 0.1)
    np.testing.assert_allclose(fused([thunder, near, twin, far]).landmarks3d, near.landmarks3d + 0.05)


@given(seeds, st.floats(0, 0.4), st.floats(0, 0.4))
def test_who_agrees_more_is_believed_more(seed: int, one: float, other: float) -> None:
    pose, g = predicted(seed, ("heavy",))[0], np.random.default_rng(seed)
    way = g.normal(size=(33, 2))
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    near, far = (
        fused([pose, replace(pose, points=pose.points + np.c_[share * SIZE * way, np.zeros(33)])]).points[LIMBS, 2]
        for share in sorted((one, other))
    )
    assert (near >= far - 0.02).all()  # the body's size, by which nearness is measured, changes a little too


@given(seeds, st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_surer_networks_make_surer_points(seed: int, one: float, other: float) -> None:
    poses = predicted(seed, spread=1e-4)
    low, high = (
        fused([replace(k, points=np.where([0, 0, 1], share * (k.points > 0), k.points)) for k in poses]).points[:, 2]
        for share in sorted((one, other))
    )
    assert (high >= low - 1e-6).all()


def test_the_rating_is_the_mean_of_the_limbs_in_the_photo(pose: Pose) -> None:
    points = pose.points.copy()
    points[:, 2] = 0.1
    points[LIMBS, 2] = np.linspace(0.2, 0.9, 12)
    points[LIMBS[:3], 0] = -1
    assert rating(replace(pose, points=points), (1000, 1000)) == pytest.approx(np.linspace(0.2, 0.9, 12)[3:].mean())
    assert rating(pose, (10, 10)) == 0
