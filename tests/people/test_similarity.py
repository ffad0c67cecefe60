"""Which poses are one body, and the person made of one."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from humesh.body.joints import MEDIAPIPE33
from humesh.people.finder import nms, person_of, similarity
from humesh.people.networks import Pose
from humesh.people.person import box_around_keypoints


def moved(pose: Pose, x: float, y: float = 0.0, **changes: object) -> Pose:
    roi = replace(pose.next_roi, x=pose.next_roi.x + x, y=pose.next_roi.y + y)
    return replace(pose, points=pose.points + np.array([x, y, 0]), next_roi=roi, **changes)


def test_each_body_is_kept_once_and_the_better_one_stays(pose: Pose) -> None:
    same, better, beside = (moved(pose, x, score=score) for x, score in ((0, 0.5), (4, 0.9), (25, 0.6)))
    for order in permutations([same, better, beside]):
        assert nms(order) == [better, beside]
    assert nms([]) == []


def test_similarity_is_cocos_formula(pose: Pose) -> None:
    other = moved(pose, 8, 6)  # 10 px apart, a tenth of 100 px is one sigma
    assert similarity(pose, other) == pytest.approx(math.exp(-0.5))
    assert similarity(other, pose) == similarity(pose, other)
    unsure = pose.points.copy()
    knee = MEDIAPIPE33.index("left_knee")
    unsure[knee] += [500, 0, -0.9]  # what neither is sure of counts for nothing
    sure = replace(pose, points=pose.points * np.where(np.arange(33) == knee, 0, 1)[:, None] ** [0, 0, 1])
    assert similarity(sure, replace(pose, points=unsure)) == pytest.approx(1, abs=1e-5)
    assert similarity(pose, replace(pose, points=unsure)) == pytest.approx(11 / 12, abs=1e-5)


def test_box_holds_the_trusted_points_and_stays_in_the_photo() -> None:
    points = np.full((33, 3), [50.0, 60.0, 0.9])
    points[1, :2], points[2, :2] = [20, 10], [80, 110]
    points[3] = [500, 500, 0.1]  # a point nobody trusts
    np.testing.assert_allclose(box_around_keypoints(points, 1000, 1000), [13, 3, 87, 117])  # 0.07 of 100 px of room
    np.testing.assert_allclose(box_around_keypoints(points, 85, 100), [13, 3, 85, 100])


def test_points_outside_the_photo_have_no_confidence(pose: Pose) -> None:
    person = person_of(moved(pose, -210, -220), 25, 75)
    x, y, confidence = person.keypoints.T
    outside = (x < 0) | (y < 0) | (x > 25) | (y > 75)
    assert outside.any()
    assert not confidence[outside].any()
    assert (confidence[~outside] == 0.9).all()


@pytest.mark.parametrize(("knee", "ankle", "kept"), [(0.09, 0.34, False), (0.11, 0.0, True), (0.0, 0.36, True)])
def test_legs_that_are_guessed_have_no_confidence(pose: Pose, knee: float, ankle: float, kept: bool) -> None:
    points = pose.points.copy()
    points[MEDIAPIPE33.indices("left_knee", "right_knee", "right_ankle", "right_foot_index"), 2] = 0.05
    points[MEDIAPIPE33.indices("left_knee", "left_ankle"), 2] = knee, ankle
    person = person_of(replace(pose, points=points), 1000, 1000)
    legs = MEDIAPIPE33.indices(
        *(f"{s}_{j}" for s in ("left", "right") for j in ("knee", "ankle", "heel", "foot_index"))
    )
    wanted = points[:, 2].copy()
    wanted[legs] *= kept
    np.testing.assert_array_equal(person.keypoints[:, 2], wanted)
    np.testing.assert_array_equal(person.keypoints[:, :2], points[:, :2])
