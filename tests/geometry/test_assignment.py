"""The least summed cost, as SciPy and as trying everything tell it; of equally good answers SciPy's."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from humesh.geometry.assignment import assigned


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 12), st.integers(0, 12), st.integers(0, 100_000), st.sampled_from(["real", "tied", "sparse"]))
def test_it_is_scipys(rows: int, columns: int, seed: int, kind: str) -> None:
    """Also where many costs are equal or zero, as those of people who do not overlap are."""
    rng = np.random.default_rng(seed)
    cost = rng.normal(0, 1, (rows, columns))
    if kind == "tied":
        cost = np.rint(cost)
    if kind == "sparse":
        cost = -np.maximum(cost - 1, 0)
    ours, theirs = assigned(cost), linear_sum_assignment(cost)
    assert len(ours[0]) == min(rows, columns)
    for one, other in zip(ours, theirs, strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("shape", [(5, 5), (3, 6), (6, 4)])
def test_nothing_costs_less(shape: tuple[int, int]) -> None:
    cost = np.random.default_rng(0).uniform(-1, 1, shape)
    few, many = sorted(shape)
    wide = cost if shape[0] == few else cost.T
    least = min(wide[range(few), choice].sum() for choice in permutations(range(many), few))
    assert cost[assigned(cost)].sum() == pytest.approx(least)


def test_a_crowd_is_exact() -> None:
    cost = np.random.default_rng(1).random((80, 120))
    assert np.array_equal(assigned(cost)[1], linear_sum_assignment(cost)[1])
