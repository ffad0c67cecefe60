"""Sums of everybody's errors: means by hand, intervals that are as wide as theory says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from humesh.evaluation.protocols import PROTOCOLS
from humesh.evaluation.run import Records, taken
from humesh.evaluation.summary import grouped, summary


def _records(sequence: list[str], errors: list[float], extra: int = 0, metric: str = "mpjpe") -> Records:
    """One photo for each person; an error of NaN is somebody missed."""
    values, count = np.array(errors, dtype=np.float64), len(errors)
    numbers, zeros = np.arange(count), np.zeros(count, dtype=np.int64)
    names = np.array(sequence, dtype=np.str_)
    people = {"sequence": names, "sample": numbers, "person": zeros, "missed": np.isnan(values), metric: values}
    extras = np.array([extra] + [0] * (count - 1), dtype=np.int64)
    return Records(people, {"sequence": names, "sample": numbers, "extra": extras})


def test_means_by_hand() -> None:
    records = _records(["a", "a", "b", "b"], [10.0, 20.0, 60.0, float("nan")])
    result = summary(replace(PROTOCOLS["3dpw"], metrics=("mpjpe",)), records, {"mpjpe": 25.0})
    (number,) = result.numbers
    assert (number.ours, number.paper, number.difference) == (30, 25, 5)
    assert number.everyone == (10 + 20 + 60 + 250) / 4
    (unlike,) = summary(replace(PROTOCOLS["3dpw"], metrics=("mpjpe",)), records, {"mpjpe": 25.0}, False).numbers
    assert (unlike.paper, unlike.difference) == (25, None)
    assert (result.people, result.missed, result.extra) == (4, 1, 0)
    groups = replace(PROTOCOLS["panoptic"], groups=("a", "b"))
    found = {n.name: (n.ours, n.everyone) for n in summary(groups, records).numbers}
    assert found == {"a": (15, 15), "b": (60, 155), "mpjpe": (37.5, 85)}
    by_sequence = summary(
        replace(PROTOCOLS["mupots"], metrics=("pck",)),
        replace(records, people={**records.people, "pck": records.people["mpjpe"]}),
    )
    assert {n.name: n.ours for n in by_sequence.numbers} == {"pck_all": (15 + 30) / 2, "pck_matched": (15 + 60) / 2}
    extra = replace(records, photos={**records.photos, "extra": np.array([1, 0, 0, 0])})
    agora = summary(replace(PROTOCOLS["agora"], metrics=("mpjpe",)), extra)
    scores = {number.name: number.ours for number in agora.numbers}
    assert (scores["f1"], scores["precision"], scores["recall"]) == (0.75, 0.75, 0.75)
    assert (scores["mpjpe"], scores["nmje"]) == (30, 40)


def test_groups_have_means_over_their_people_under_every_protocol() -> None:
    records = _records(["a", "a", "b", "b"], [10.0, 20.0, 60.0, float("nan")], extra=5)
    for name in ("3dpw", "panoptic", "mupots", "agora"):
        rows = grouped(replace(PROTOCOLS[name], metrics=("mpjpe",)), records, [{"x"}, {"x", "y"}, {"y"}, {"y"}])
        numbers = {row.name: {number.name: number.ours for number in row.numbers} for row in rows}
        assert numbers["all"] == {"found": 75, "mpjpe": 30}
        assert numbers["x"] == {"found": 100, "mpjpe": 15}
        assert numbers["y"] == {"found": pytest.approx(200 / 3), "mpjpe": 40}


def test_an_interval_over_photos_is_what_theory_says() -> None:
    errors = np.random.default_rng(1).gamma(4, 20, 900)
    (number,) = summary(replace(PROTOCOLS["3dpw"], metrics=("mpjpe",)), _records([""] * 900, errors.tolist())).numbers
    half = 1.96 * errors.std() / np.sqrt(900)
    assert number.high - number.ours == pytest.approx(half, rel=0.15)
    assert number.ours - number.low == pytest.approx(half, rel=0.15)


def test_people_of_one_sequence_count_as_one_draw() -> None:
    """Sequences of one error each: a hundred times the frames make the interval no narrower."""
    errors = np.random.default_rng(2).gamma(4, 20, 30)
    protocol = replace(PROTOCOLS["3dpw"], metrics=("mpjpe",))
    widths = []
    for frames in (1, 100):
        names = [f"s{i:02d}" for i in range(30) for _ in range(frames)]
        result = summary(protocol, _records(names, np.repeat(errors, frames).tolist()))
        assert result.intervals_over == "30 sequences"
        widths.append(result.numbers[0].high - result.numbers[0].low)
    assert widths[1] == pytest.approx(widths[0])


@settings(max_examples=10)
@given(st.integers(0, 10**6))
def test_the_order_of_parts_changes_nothing(seed: int) -> None:
    g = np.random.default_rng(seed)
    whole = _records([f"s{i // 7}" for i in range(40)], g.gamma(4, 20, 40).tolist())

    def part(rows: np.ndarray) -> Records:
        return Records(taken(whole.people, rows), taken(whole.photos, rows))

    pieces = np.array_split(g.permutation(40), 3)
    joined = Records.joined([part(rows) for rows in pieces])
    protocol = replace(PROTOCOLS["3dpw"], metrics=("mpjpe",))
    assert summary(protocol, joined) == summary(protocol, whole)


def test_many_photos_are_drawn_in_runs() -> None:
    result = summary(replace(PROTOCOLS["3dpw"], metrics=("mpjpe",)), _records([""] * 9000, [5.0] * 9000))
    assert result.intervals_over == "2000 photos or runs of them"
    assert (result.numbers[0].low, result.numbers[0].high) == (pytest.approx(5), pytest.approx(5))
