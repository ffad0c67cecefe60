"""Local parabolas through time: exact on what they should follow, quiet on noise, at home on the rotations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from humesh.geometry.rotations import rotation_from_axis_angle
from humesh.geometry.smoothing import smoothed, smoothed_rotations


def _times(count: int, seed: int) -> torch.Tensor:
    """Uneven ones, about 30 a second."""
    steps = torch.from_numpy(np.random.default_rng(seed).uniform(0.5, 1.5, count) / 30)
    return torch.cumsum(steps, 0)


@settings(max_examples=30, deadline=None)
@given(st.integers(3, 60), st.integers(0, 1000), st.floats(0.04, 0.3))
def test_constant_acceleration_stays_as_it_is(count: int, seed: int, seconds: float) -> None:
    times = _times(count, seed)
    a, b, c = torch.from_numpy(np.random.default_rng(seed + 1).normal(0, 1, (3, 4)))
    values = a + b * times[:, None] + c * times[:, None] ** 2
    trust = torch.from_numpy(np.random.default_rng(seed).uniform(0.1, 1, (count, 1)))
    assert torch.allclose(smoothed(values, times, seconds, trust), values, atol=2e-4)


def test_a_turn_at_constant_speed_stays_as_it_is() -> None:
    times = _times(40, 0)
    axis = torch.nn.functional.normalize(torch.randn(5, 3, dtype=torch.float64), dim=-1)
    turns = rotation_from_axis_angle(4.0 * times[:, None, None] * axis)
    assert torch.allclose(smoothed_rotations(turns, times, 0.1, torch.ones(40, 5)), turns, atol=1e-5)


def test_noise_falls_as_a_naive_twins_does() -> None:
    """The same least squares, one moment and one number after the other."""
    rng = np.random.default_rng(0)
    times, values, trust = _times(50, 3).numpy(), rng.normal(0, 1, 50), rng.uniform(0.05, 1, 50)
    ours = smoothed(*(torch.from_numpy(a) for a in (values[:, None], times)), 0.1, torch.from_numpy(trust)[:, None])
    for moment in range(50):
        away = (times - times[moment]) / 0.1
        near = np.abs(away) <= 3
        root = np.sqrt(np.exp(-(away[near] ** 2) / 2) * trust[near])
        design = np.stack([away[near] ** power for power in range(3)], axis=1)
        wanted = np.linalg.lstsq(root[:, None] * design, root * values[near], rcond=None)[0][0]
        assert float(ours[moment, 0]) == pytest.approx(wanted, abs=1e-4)
    assert ours.std() < 0.6 * values.std()


def test_long_motions_are_the_same_in_blocks() -> None:
    times, values = torch.arange(1200) / 30.0, torch.randn(1200, 1)
    whole = smoothed(values, times, 0.1, torch.ones(1200, 1))
    part = smoothed(values[480:560], times[480:560], 0.1, torch.ones(80, 1))
    assert torch.allclose(whole[500:540], part[20:60], atol=1e-5)


def test_what_is_not_trusted_counts_little() -> None:
    times, values, trust = torch.arange(31) / 30.0, torch.zeros(31, 1), torch.ones(31, 1)
    values[15], trust[15] = 10.0, 0.0
    assert smoothed(values, times, 0.1, trust).abs().max() < 0.05
    assert smoothed(values, times, 0.1, torch.ones(31, 1)).abs().max() > 1


@pytest.mark.parametrize("count", [0, 1, 2])
def test_short_motions(count: int) -> None:
    values = torch.arange(float(count))[:, None]
    assert torch.allclose(smoothed(values, values[:, 0], 0.1, torch.ones(count, 1)), values, atol=1e-4)
    turns = torch.eye(3).expand(count, 2, 3, 3)
    assert torch.allclose(smoothed_rotations(turns, values[:, 0], 0.1, torch.ones(count, 2)), turns, atol=1e-6)
