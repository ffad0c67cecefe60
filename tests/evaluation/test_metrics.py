"""Metrics against algebra: what they must give follows from their definitions."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from humesh.evaluation.metrics import acceleration, acceleration_error, aligned, auc, mpjpe, pa_mpjpe, pck
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


@given(seeds, st.sampled_from(["collinear", "coincident", "both coincident", "two places"]))
def test_degenerate_points_give_numbers_and_the_best_fit(seed: int, kind: str) -> None:
    prediction, truth = _random(seed, 2, 3, 14, 3)
    along = torch.linspace(-1, 1, 14).double()[:, None]
    if kind == "collinear":
        prediction = prediction[:, :1] + along * prediction[:, 1:2]
    elif kind == "two places":
        prediction = prediction[:, :1] + along.sign() * prediction[:, 1:2]
    else:
        prediction = prediction[:, :1].expand(-1, 14, -1).clone()
        truth = truth[:, :1].expand(-1, 14, -1).clone() if kind == "both coincident" else truth
    found = pa_mpjpe(prediction, truth)
    assert found.isfinite().all()
    middle = mpjpe(truth.mean(-2, keepdim=True).expand_as(truth), truth)
    if "coincident" in kind:
        assert torch.allclose(found, middle, atol=1e-9)
    else:  # in squares no fit is worse than the middle alone
        fitted = (aligned(prediction, truth) - truth).square().sum((-2, -1))
        assert (fitted <= (truth - truth.mean(-2, keepdim=True)).square().sum((-2, -1)) + 1e-9).all()
    assert pa_mpjpe(truth, prediction).isfinite().all()


@given(seeds)
def test_alignment_of_known_points_does_not_see_the_others(seed: int) -> None:
    prediction, truth = _random(seed, 2, 3, 14, 3)
    known = torch.arange(14) % 3 > 0
    moved = aligned(prediction, truth, known.expand(3, 14))
    spoilt = torch.where(known[:, None], truth, torch.nan)
    assert torch.allclose(moved[:, known], aligned(prediction[:, known], truth[:, known]), atol=1e-9)
    assert torch.allclose(aligned(prediction, spoilt, known.expand(3, 14))[:, known], moved[:, known], atol=1e-9)


def test_who_has_a_coordinate_that_is_no_number_has_no_error_and_spoils_nobody() -> None:
    prediction, truth = _random(0, 2, 4, 14, 3)
    plain = pa_mpjpe(prediction, truth)
    prediction[1, 3, 0], truth[2, 5] = float("nan"), float("inf")
    found = pa_mpjpe(prediction, truth)
    assert found.isnan().tolist() == [False, True, True, False]
    assert torch.allclose(found[[0, 3]], plain[[0, 3]], atol=1e-12)


@given(seeds)
def test_pa_mpjpe_agrees_with_a_plain_procrustes(seed: int) -> None:
    prediction, truth = _random(seed, 2, 14, 3).numpy()
    a, b = prediction - prediction.mean(0), truth - truth.mean(0)
    u, s, vt = np.linalg.svd(a.T @ b)
    sign = np.diag([1, 1, np.sign(np.linalg.det(u @ vt))])
    scale = (s * np.diag(sign)).sum() / (a**2).sum()
    twin = np.linalg.norm(scale * a @ (u @ sign @ vt) - b, axis=-1).mean()
    assert pa_mpjpe(torch.from_numpy(prediction), torch.from_numpy(truth)).item() == pytest.approx(twin, abs=1e-9)


def test_the_frame_rate_turns_frames_into_seconds() -> None:
    points = _random(0, 2, 5, 3, 3)
    per_frame = acceleration_error(points[0], points[1])
    assert torch.allclose(acceleration_error(points[0], points[1], fps=30.0), 900 * per_frame)
