"""The synthetic test's scores: exact for known answers, slices by what was made, missing bodies counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from humesh.body.joints import JOTR30, SMPL24
from humesh.body.label_bodies import BodyFiles
from humesh.body.model import BodyModel
from humesh.body.pose import Bodies
from humesh.data.drawn import DrawnPeople
from humesh.data.sample import Sample
from humesh.evaluation.answers import Answers
from humesh.evaluation.errors import Ruler
from humesh.evaluation.protocols import PROTOCOLS
from humesh.evaluation.synthetic import Score, scores, slices_of, summary
from humesh.geometry.rotations import rotation_from_axis_angle

PEOPLE = DrawnPeople(3)
BODY = BodyModel.load("open-low")


def _all(change: Callable[[torch.Tensor], torch.Tensor], drop: int = -1) -> list[Score]:
    """Scores of the true bodies with changed joints; in each photo nothing is said of the person `drop`."""

    def answer(sample: Sample, people: list[int]) -> Answers:
        kept = [i for i in people if i != drop]
        poses = [sample.people[i].pose for i in kept]
        joints = torch.cat([torch.zeros(0, 24, 3), *(BODY(pose.map(lambda t: t[None])).joints for pose in poses)])
        bodies = Bodies(torch.zeros(len(kept), 0, 3), change(joints), BODY.faces)
        return Answers(bodies, torch.zeros(len(kept), 3), torch.zeros(len(kept), 4), tuple(kept))

    ruler = Ruler(PROTOCOLS["synthetic"], BodyFiles("open-low"), BODY)
    return list(scores(ruler, answer, (PEOPLE[i] for i in range(3))))


def test_truth_scores_zero() -> None:
    for score in _all(lambda joints: joints):
        assert score.pa_mpjpe == pytest.approx(0, abs=1e-3)
        assert score.mpjpe == pytest.approx(0, abs=1e-3)


def test_a_similarity_costs_nothing_aligned_and_a_shift_nothing_at_all() -> None:
    turn = rotation_from_axis_angle(torch.tensor([0.3, 0.5, -0.2]))
    turned = _all(lambda joints: 1.3 * joints @ turn.mT + 2)
    assert all(s.pa_mpjpe is not None and s.pa_mpjpe < 1e-2 for s in turned)
    assert all(s.mpjpe is not None and s.mpjpe > 50 for s in turned)
    shifted = _all(lambda joints: joints + torch.tensor([1.0, 2.0, 3.0]))
    assert all(s.mpjpe is not None and s.mpjpe < 1e-2 for s in shifted)


def test_who_got_no_body_is_counted() -> None:
    found = _all(lambda joints: joints, drop=0)
    firsts = np.cumsum([0, *(len(PEOPLE[i].people) for i in range(3))])[:3].tolist()
    assert [i for i, score in enumerate(found) if score.pa_mpjpe is None] == firsts
    ((_, count, missed, *_),) = [row for row in summary(found) if row[0] == "all"]
    assert count == sum(len(PEOPLE[i].people) for i in range(3))
    assert missed == pytest.approx(3 / count)


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
