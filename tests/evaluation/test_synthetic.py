"""The synthetic test's scores: exact for known answers, slices by what was made, missing bodies counted."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from humesh.body.joints import JOTR30, SMPL24
from humesh.body.model import BodyModel
from humesh.data.drawn import DrawnPeople
from humesh.evaluation.synthetic import Score, scores, slices_of, summary
from humesh.geometry.rotations import rotation_from_axis_angle

PEOPLE = DrawnPeople(3)
BODY = BodyModel.load("open-low")


def _answers(change: Any, drop: int = -1) -> Any:
    """A stand-in for Recoverer that knows the truth of the sample whose photo it gets, and changes it."""

    def recover(photo: Any, people: list[Any]) -> Any:
        (sample,) = [s for s in map(PEOPLE.__getitem__, range(3)) if np.array_equal(s.photo.pixels, photo.pixels)]
        joints = torch.stack([BODY(p.pose.map(lambda t: t[None])).joints[0] for p in sample.people])
        kept = [i for i in range(len(people)) if i != drop]
        return SimpleNamespace(people=[people[i] for i in kept], bodies=SimpleNamespace(joints=change(joints)[kept]))

    return recover


def _all(recover: Any) -> list[Score]:
    return list(scores(recover, (PEOPLE[i] for i in range(3))))


def test_truth_scores_zero() -> None:
    for score in _all(_answers(lambda joints: joints)):
        assert score.pa_mpjpe == pytest.approx(0, abs=2)  # the joints of JOTR's set are regressed, SMPL's are the rig's
        assert score.mpjpe == pytest.approx(0, abs=3)


def test_a_similarity_costs_nothing_aligned_and_a_shift_nothing_at_all() -> None:
    turn = rotation_from_axis_angle(torch.tensor([0.3, 0.5, -0.2]))
    turned = _all(_answers(lambda joints: 1.3 * joints @ turn.mT + 2))
    assert all(s.pa_mpjpe < 2 for s in turned)
    assert all(s.mpjpe > 50 for s in turned)
    assert all(s.mpjpe < 3 for s in _all(_answers(lambda joints: joints + torch.tensor([1.0, 2.0, 3.0]))))


def test_who_got_no_body_is_counted() -> None:
    found = _all(_answers(lambda joints: joints, drop=0))
    assert all(score.pa_mpjpe is None for score in found[: len(PEOPLE[0].people)][:1])
    ((_, count, missed, *_),) = [row for row in summary(found) if row[0] == "all"]
    assert count == sum(len(PEOPLE[i].people) for i in range(3))
    assert missed == pytest.approx(sum(s.pa_mpjpe is None for s in found) / count)


def test_slices_say_what_was_made() -> None:
    sample = PEOPLE[0]
    person = replace(sample.people[0], visible=torch.ones(len(JOTR30)))
    sample = replace(sample, people=(person,))
    assert not slices_of(sample, person) & {"occluded", "crowded", "truncated"}
    assert "crowded" in slices_of(replace(sample, people=(person, person)), person)
    assert "occluded" in slices_of(sample, replace(person, visible=torch.zeros(len(JOTR30))))
    outside = person.points2d.clone()
    outside[JOTR30.index("left_wrist"), 0] = -5
    assert "truncated" in slices_of(sample, replace(person, points2d=outside))
    bent = person.pose.rotations.clone()
    bent[SMPL24.index("left_knee")] = rotation_from_axis_angle(torch.tensor([-2.5, 0.5, 1.0]))
    bent[SMPL24.index("neck")] = rotation_from_axis_angle(torch.tensor([1.5, 1.5, 1.0]))
    assert "unusual pose" in slices_of(sample, replace(person, pose=replace(person.pose, rotations=bent)))


def test_the_summary_is_a_mean_with_its_interval() -> None:
    found = [Score(str(i), float(10 + i), 2.0 * i, frozenset({"easy"})) for i in range(50)]
    (_, count, missed, mean, half, plain), easy = summary(found)
    assert (count, missed) == (50, 0)
    assert (mean, plain) == (pytest.approx(34.5), pytest.approx(49))
    assert half == pytest.approx(1.96 * np.std(np.arange(50)) / np.sqrt(50), rel=0.15)
    assert easy[1:] == (count, missed, mean, pytest.approx(half, rel=0.1), plain)
