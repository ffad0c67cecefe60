"""Alignment and placing against plain twins."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from humesh.geometry.align import procrustes, translation_onto_pixels
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_from_axis_angle

seeds = st.integers(0, 10**6)


def _procrustes_twin(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Umeyama's algorithm written out for one person in NumPy."""
    a, b = source - source.mean(0), target - target.mean(0)
    u, s, vt = np.linalg.svd(b.T @ a)
    d = np.diag([1, 1, np.sign(np.linalg.det(u @ vt))])
    rotation = u @ d @ vt
    scale = (s * np.diag(d)).sum() / (a**2).sum()
    return scale * a @ rotation.T + target.mean(0)


@given(seeds)
def test_procrustes_equals_umeyama_also_for_mirrored_people(seed: int) -> None:
    generator = np.random.default_rng(seed)
    source, target = generator.normal(size=(2, 3, 14, 3))
    target[0] = source[0] * [-1, 1, 1]  # a mirror image: no rotation maps it, det must stay +1
    aligned = procrustes(torch.tensor(source), torch.tensor(target))(torch.tensor(source)).numpy()
    for i in range(3):
        assert np.allclose(aligned[i], _procrustes_twin(source[i], target[i]), atol=1e-8)


@given(seeds)
def test_procrustes_finds_the_map(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    source = torch.randn(2, 4, 9, 3, generator=generator, dtype=torch.float64)
    rotation = rotation_from_axis_angle(torch.randn(2, 4, 3, generator=generator, dtype=torch.float64))
    shift = torch.randn(2, 4, 1, 3, generator=generator, dtype=torch.float64)
    found = procrustes(source, 1.7 * source @ rotation.mT + shift)
    assert torch.allclose(found.scale, torch.full((2, 4), 1.7).double(), atol=1e-9)
    assert torch.allclose(found.rotation, rotation, atol=1e-8)
    assert torch.allclose(found.translation, shift[..., 0, :], atol=1e-8)


def test_points_without_weight_do_not_matter() -> None:
    source = torch.randn(8, 3).double()
    target = source.clone()
    target[-1] += 50
    weights = torch.tensor([1.0] * 7 + [0.0]).double()
    assert torch.allclose(procrustes(source, target, weights)(source)[:7], source[:7], atol=1e-9)


@given(seeds, st.integers(0, 4))
def test_the_translation_is_found_exactly(seed: int, steps: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    points = 0.5 * torch.randn(2, 3, 12, 3, generator=generator, dtype=torch.float64)
    true = torch.tensor([0.4, -0.2, 5.0]).double() + 0.5 * torch.randn(
        2, 3, 3, generator=generator, dtype=torch.float64
    )
    camera = Camera.guess((800, 600))
    pixels = camera.project(points + true[..., None, :])
    found = translation_onto_pixels(points, pixels, torch.ones(2, 3, 12).double(), camera, steps)
    assert torch.allclose(found, true, atol=1e-6)


def test_steps_lower_the_error_in_pixels_and_outliers_hardly_count() -> None:
    points = torch.randn(20, 3).double() * 0.4
    true = torch.tensor([0.1, 0.3, 4.0]).double()
    camera = Camera.guess((800, 600))
    pixels = camera.project(points + true) + torch.randn(20, 2).double()
    pixels[3] += 200
    weights = torch.ones(20).double()
    errors = [(translation_onto_pixels(points, pixels, weights, camera, n) - true).norm() for n in (0, 10)]
    assert errors[1] < 0.5 * errors[0]
    assert errors[1] < 0.05


def test_nothing_seen_gives_a_finite_place_in_front_of_the_camera() -> None:
    points = torch.randn(3, 12, 3).double()
    found = translation_onto_pixels(
        points, torch.zeros(3, 12, 2).double(), torch.zeros(3, 12).double(), Camera.guess((9, 9)), 3
    )
    assert found.isfinite().all()
    assert ((points[..., 2] + found[..., None, 2]) >= 0.1 - 1e-9).all()
