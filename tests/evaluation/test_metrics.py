"""Metrics against algebra: what they must give follows from their definitions."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from humesh.evaluation.metrics import acceleration, acceleration_error, auc, mpjpe, pa_mpjpe, pck
from humesh.geometry.rotations import rotation_from_axis_angle

seeds = st.integers(0, 10**6)


def _random(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(seeds)
def test_equal_sets_have_no_error_and_a_shift_is_its_length(seed: int) -> None:
    points = _random(seed, 2, 3, 14, 3)
    assert torch.equal(mpjpe(points, points), torch.zeros(2, 3).double())
    assert pa_mpjpe(points, points).max() < 1e-9
    assert torch.allclose(mpjpe(points + torch.tensor([3.0, 0.0, -4.0]), points), torch.full((2, 3), 5.0).double())


@given(seeds, st.floats(0.2, 5.0))
def test_pa_mpjpe_does_not_see_similarities_of_the_prediction(seed: int, scale: float) -> None:
    prediction, truth = _random(seed, 2, 4, 14, 3)
    rotation, shift = rotation_from_axis_angle(_random(seed + 1, 4, 3)), _random(seed + 2, 4, 1, 3)
    moved = scale * prediction @ rotation.mT + shift
    assert torch.allclose(pa_mpjpe(moved, truth), pa_mpjpe(prediction, truth), atol=1e-9)
    assert pa_mpjpe(scale * truth @ rotation.mT + shift, truth).max() < 1e-9


@given(seeds)
def test_pa_mpjpe_does_not_align_mirror_images_away(seed: int) -> None:
    truth = _random(seed, 3, 14, 3)
    assert pa_mpjpe(truth * torch.tensor([-1.0, 1.0, 1.0]), truth).min() > 0.1


@given(seeds)
def test_constant_velocity_has_no_acceleration_and_a_parabola_twice_its_factor(seed: int) -> None:
    start, velocity, half = _random(seed, 3, 2, 1, 5, 3)
    time = torch.arange(8.0).double()[:, None, None]
    truth = start + velocity * time
    assert acceleration(truth).abs().max() < 1e-12
    assert acceleration_error(2 * truth + 1, truth).max() < 1e-12
    found = acceleration_error(truth + half * time**2, truth)
    assert found.shape == (2, 6)
    assert torch.allclose(found, 2 * half.norm(dim=-1).mean(-1).expand(2, 6), atol=1e-9)


def test_float32_is_measured_in_float64() -> None:
    points = torch.randn(5, 14, 3)
    for metric in (mpjpe, pa_mpjpe, acceleration_error):
        assert metric(points, points + 1e-3).dtype == torch.float64


def test_pck_counts_what_is_below_the_threshold_and_not_at_it() -> None:
    errors = torch.tensor([[0.0, 149.9, 150.0, 900.0, float("nan")], [0.0, 0.0, 0.0, 0.0, 0.0]])
    assert pck(errors, 150.0).tolist() == [40.0, 100.0]


def test_auc_of_one_error_is_the_share_of_thresholds_above_it() -> None:
    assert auc(torch.tensor([[0.0]]), 150.0).item() == pytest.approx(100 * 30 / 31)  # 5, 10, ... 150; not 0 itself
    assert auc(torch.tensor([[75.0]]), 150.0).item() == pytest.approx(100 * 15 / 31)  # 80 ... 150
    assert auc(torch.tensor([[150.0]]), 150.0).item() == 0.0


@given(seeds)
def test_auc_is_the_mean_of_pcks(seed: int) -> None:
    errors = _random(seed, 2, 6, 14).abs() * 100
    twin = sum(pck(errors, 5.0 * i) for i in range(31)) / 31
    assert torch.allclose(auc(errors, 150.0), torch.as_tensor(twin), atol=1e-9)
