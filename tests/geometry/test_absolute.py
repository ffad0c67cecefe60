"""The absolute pose against algebra and a plain least-squares twin; MeTRAbs' own numbers are in the parity data."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from humesh.geometry.absolute import absolute_points, inside_image, placed_points, solved_offset, weak_offset
from humesh.geometry.camera import Camera

SIZE = (256, 256)
CAMERA = Camera(torch.tensor([[400.0, 0, 128], [0, 410, 130], [0, 0, 1]], dtype=torch.float64))
seeds = st.integers(0, 10**6)


def _people(seed: int, count: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Points of people 2 to 7 m away, the same from another origin, and their pixels."""
    generator = torch.Generator().manual_seed(seed)
    points = 0.35 * torch.randn(count, 24, 3, generator=generator, dtype=torch.float64)
    points[..., 2] += 2.5 + 4.5 * torch.rand(count, 1, generator=generator, dtype=torch.float64)
    shift = torch.randn(count, 1, 3, generator=generator, dtype=torch.float64)
    return points, points + shift, CAMERA.project(points)


def _twin(relative: np.ndarray, rays: np.ndarray, inside: np.ndarray, ridge: float, n: float, b: float) -> np.ndarray:
    """One person's offset by NumPy's least squares, row by row; n, b: the units of columns and right-hand sides."""
    rows, right = [], []
    for r, ray, m in zip(relative, rays, inside, strict=True):
        for axis in range(2):
            row = np.zeros(3)
            row[axis], row[2] = 1, -ray[axis] / n
            rows.append((float(m) + 1e-4) * row)
            right.append((float(m) + 1e-4) * (ray[axis] * r[2] - r[axis]) / b)
    rows += list(np.sqrt(ridge) * np.eye(3))
    solved = np.linalg.lstsq(np.array(rows), np.array([*right, 0, 0, 0]), rcond=None)[0]
    return solved * np.array([b, b, b / n])


@given(seeds, st.sampled_from([0.0, 0.01, 3.0]), st.sampled_from(["person", "batch"]))
def test_the_offset_is_the_least_squares_solution(seed: int, ridge: float, scales: str) -> None:
    _, relative, pixels = _people(seed)
    pixels = pixels + 3 * torch.randn_like(pixels)
    rays, inside = CAMERA.rays(pixels), inside_image(pixels, SIZE, 24.0)
    inside[:, :4] = True
    found = solved_offset(relative, rays, inside, ridge, scales)
    right = rays[..., :2] * relative[..., 2:] - relative[..., :2]
    for i in range(len(relative)):
        some = slice(None) if scales == "batch" else slice(i, i + 1)
        n, b = (float(t[some].square().mean().sqrt()) for t in (rays[..., :2], right))
        expected = _twin(relative[i].numpy(), rays[i].numpy(), inside[i].numpy(), ridge, n, b)
        assert np.abs(found[i].numpy() - expected).max() < 1e-7


@given(seeds)
def test_clean_people_come_back_whole_or_cut_off(seed: int) -> None:
    points, relative, pixels = _people(seed)
    everywhere = torch.ones(pixels.shape[:-1], dtype=torch.bool)
    assert torch.allclose(absolute_points(relative, pixels, CAMERA, everywhere), points, atol=1e-9)
    half = everywhere.clone()
    half[:, 12:] = False
    assert torch.allclose(absolute_points(relative, pixels, CAMERA, half), points, atol=1e-9)


@given(seeds)
def test_2d_decides_inside_the_image_and_3d_outside(seed: int) -> None:
    _, relative, pixels = _people(seed)
    pixels = pixels + torch.randn_like(pixels)
    inside = torch.arange(24) % 3 > 0
    inside = inside.expand(3, 24)
    rays = CAMERA.rays(pixels)
    offset = solved_offset(relative, rays, inside)
    placed = placed_points(relative, rays, inside, offset)
    moved = relative + offset[:, None]
    assert torch.allclose(CAMERA.project(placed)[inside], pixels[inside], atol=1e-6)
    assert torch.equal(placed[~inside], moved[~inside])
    assert torch.allclose(placed[..., 2], moved[..., 2], atol=1e-12)
    half = placed_points(relative, rays, inside, offset, mix=0.5)
    assert torch.allclose(half, (placed + moved) / 2, atol=1e-12)


@given(seeds)
def test_weak_perspective_matches_middle_and_spread(seed: int) -> None:
    _, relative, pixels = _people(seed)
    rays = CAMERA.rays(pixels)
    wanted = torch.rand(3, 24) > 0.3
    moved = relative + weak_offset(relative, rays, wanted)[:, None]
    for i in range(3):
        points, seen = moved[i, wanted[i]], rays[i, wanted[i], :2]
        depth = points[:, 2].mean()
        assert depth > 0
        assert torch.allclose(points[:, :2].mean(0), seen.mean(0) * depth, atol=1e-9)
        spread = [(t - t.mean(0)).square().mean().sqrt() for t in (points[:, :2], seen)]
        assert torch.allclose(spread[0], spread[1] * depth, rtol=1e-6)


def test_too_few_points_inside_or_a_place_behind_the_camera_take_weak_perspective() -> None:
    _, relative, pixels = _people(4)
    inside = torch.ones(3, 24, dtype=torch.bool)
    inside[0, 2:] = False
    pixels[2] = CAMERA.project(torch.tensor([[0.0, 0.0, 4.0]]).double()) - (pixels[2] - pixels[2].mean(0))  # mirrored
    rays = CAMERA.rays(pixels)
    weak = placed_points(relative, rays, inside, weak_offset(relative, rays, torch.ones_like(inside)))
    plain = placed_points(relative, rays, inside, solved_offset(relative, rays, inside))
    found = absolute_points(relative, pixels, CAMERA, inside)
    assert plain[2, :, 2].mean() < 0
    assert torch.equal(found[[0, 2]], weak[[0, 2]])
    assert torch.equal(found[1], plain[1])
    assert torch.equal(absolute_points(relative, pixels, CAMERA, inside, fewest=0), plain)


@pytest.mark.parametrize("ridge", [0.0, 0.01])
def test_only_a_ridge_with_the_batchs_scales_mixes_people(ridge: float) -> None:
    _, relative, pixels = _people(7)
    pixels = pixels + torch.randn_like(pixels)
    rays, inside = CAMERA.rays(pixels), torch.ones(3, 24, dtype=torch.bool)
    alone = solved_offset(relative[:1], rays[:1], inside[:1], ridge)
    assert torch.allclose(solved_offset(relative, rays, inside, ridge)[:1], alone, atol=1e-10)
    mixed = solved_offset(relative, rays, inside, ridge, "batch")[:1]
    assert torch.allclose(mixed, alone, atol=1e-10) == (ridge == 0)


def test_single_precision_comes_back_in_single_precision_and_close() -> None:
    points, relative, pixels = _people(2)
    inside = torch.ones(3, 24, dtype=torch.bool)
    found = absolute_points(relative.float(), pixels.float(), CAMERA, inside)
    assert found.dtype == torch.float32
    assert torch.allclose(found.double(), points, atol=5e-5)


def test_gradients_are_right_and_finite_even_where_all_pixels_coincide() -> None:
    _, relative, pixels = _people(1, count=1)
    inside = torch.arange(24)[None] % 4 > 0
    relative, pixels = relative.requires_grad_(), (pixels + 2 * torch.randn_like(pixels)).requires_grad_()

    def place(relative: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
        return absolute_points(relative, pixels, CAMERA, inside)

    assert torch.autograd.gradcheck(place, (relative, pixels), fast_mode=True, atol=1e-5)
    same = torch.full((1, 24, 2), 100.0, dtype=torch.float64, requires_grad=True)
    for some in (inside, torch.zeros_like(inside)):
        flat = torch.zeros(1, 24, 3, dtype=torch.float64, requires_grad=True)
        found = absolute_points(flat, same, CAMERA, some)
        gradients = torch.autograd.grad(found.sum(), (flat, same))
        assert found.isfinite().all()
        assert all(gradient.isfinite().all() for gradient in gradients)


def test_inside_the_image_is_24_px_from_its_edges_for_metrabs() -> None:
    pixels = torch.tensor([[24.0, 24], [232, 232], [23.9, 100], [100, 232.1], [300, 100]])
    assert inside_image(pixels, SIZE, 24.0).tolist() == [True, True, False, False, False]
    assert inside_image(torch.tensor([[150.0, 90.0]]), (100, 200)).tolist() == [True]
