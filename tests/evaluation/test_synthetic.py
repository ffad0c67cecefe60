"""The synthetic test's scores: exact for known predictions, slices by what was made, missing bodies counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from humesh.body.joints import JOTR30, SMPL24
from humesh.body.label_bodies import BodyFiles
from humesh.body.model import BodyModel
from humesh.data.drawn import DrawnPeople
from humesh.data.sample import Sample
from humesh.evaluation.errors import Ruler
from humesh.evaluation.predictions import Predictions
from humesh.evaluation.protocols import PROTOCOLS
from humesh.evaluation.run import Records, run
from humesh.evaluation.summary import Row, grouped
from humesh.evaluation.synthetic import difficulties
from humesh.geometry.rotations import rotation_from_axis_angle

PEOPLE = DrawnPeople(3)
BODY = BodyModel.load("open-low")
PROTOCOL = PROTOCOLS["synthetic"]


def _records(change: Callable[[torch.Tensor], torch.Tensor], drop: int = -1) -> Records:
    """Errors of the true bodies with changed joints; in each photo the person `drop` has no prediction."""

    def predictor(sample: Sample, people: list[int]) -> Predictions:
        kept = [i for i in people if i != drop]
        poses = [sample.people[i].pose for i in kept]
        joints = torch.cat([torch.zeros(0, 24, 3), *(BODY(pose.map(lambda t: t[None])).joints for pose in poses)])
        nothing = torch.zeros(len(kept), 0, 3)
        return Predictions(nothing, change(joints), torch.zeros(len(kept), 3), torch.zeros(len(kept), 4), tuple(kept))

    return run(PEOPLE, Ruler(PROTOCOL, BodyFiles("open-low"), BODY), predictor)


def _rows(records: Records) -> dict[str, Row]:
    rows = grouped(PROTOCOL, records, [names.split(",") for names in records.people["slices"].tolist()])
    return {row.name: row for row in rows}


def test_truth_scores_zero() -> None:
    people = _records(lambda joints: joints).people
    assert people["pa_mpjpe"] == pytest.approx(0, abs=1e-3)
    assert people["mpjpe"] == pytest.approx(0, abs=1e-3)


def test_a_similarity_costs_nothing_aligned_and_a_shift_nothing_at_all() -> None:
    turn = rotation_from_axis_angle(torch.tensor([0.3, 0.5, -0.2]))
    turned = _records(lambda joints: 1.3 * joints @ turn.mT + 2).people
    assert turned["pa_mpjpe"].max() < 1e-2
    assert turned["mpjpe"].min() > 50
    assert _records(lambda joints: joints + torch.tensor([1.0, 2.0, 3.0])).people["mpjpe"].max() < 1e-2


def test_who_got_no_body_is_counted() -> None:
    records = _records(lambda joints: joints, drop=0)
    firsts = np.cumsum([0, *(len(PEOPLE[i].people) for i in range(3))])[:3].tolist()
    assert np.flatnonzero(np.isnan(records.people["pa_mpjpe"])).tolist() == firsts
    everybody = _rows(records)["all"]
    assert everybody.people == sum(len(PEOPLE[i].people) for i in range(3))
    found = {number.name: number.ours for number in everybody.numbers}["found"]
    assert found == pytest.approx(100 * (1 - 3 / everybody.people))


def test_slices_say_what_was_made() -> None:
    sample = PEOPLE[0]
    person = replace(sample.people[0], visible=torch.ones(len(JOTR30)))
    sample = replace(sample, people=(person,))
    assert not difficulties(sample, person) & {"occluded", "crowded", "truncated"}
    assert "crowded" in difficulties(replace(sample, people=(person, person)), person)
    assert "occluded" in difficulties(sample, replace(person, visible=torch.zeros(len(JOTR30))))
    outside = person.points2d.clone()
    outside[JOTR30.index("left_wrist"), 0] = -5
    assert "truncated" in difficulties(sample, replace(person, points2d=outside))
    bent = person.pose.rotations.clone()
    bent[SMPL24.index("left_knee")] = rotation_from_axis_angle(torch.tensor([-2.5, 0.5, 1.0]))
    bent[SMPL24.index("neck")] = rotation_from_axis_angle(torch.tensor([1.5, 1.5, 1.0]))
    assert "unusual pose" in difficulties(sample, replace(person, pose=replace(person.pose, rotations=bent)))


def test_the_rows_of_slices_are_means_over_those_in_them() -> None:
    records = _records(
        lambda joints: joints + 0.1 * torch.randn(joints.shape, generator=torch.Generator().manual_seed(0))
    )
    rows = _rows(records)
    for name, row in rows.items():
        inside = [name == "all" or name in names.split(",") for names in records.people["slices"].tolist()]
        assert row.people == sum(inside) > 0
        for number in row.numbers[1:]:
            assert number.ours == pytest.approx(records.people[number.name][inside].mean())
    assert len(rows) > 1
