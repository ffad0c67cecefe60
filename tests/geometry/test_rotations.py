"""Rotations against algebra and the parity fixtures."""

from pathlib import Path

import numpy as np
import roma
import torch
from hypothesis import given
from hypothesis import strategies as st

from humesh.geometry.rotations import (
    cross_matrix,
    horn_rotation,
    nearest_rotation,
    rotation_about,
    rotation_about_z,
    rotation_from_6d,
    rotation_from_axis_angle,
    rotation_from_quaternion,
    rotation_to_6d,
    rotation_to_axis_angle,
    slerp,
)

UNITS = np.load(Path(__file__).parents[1] / "data" / "parity" / "ik_refine" / "ik_units.npz")
seeds = st.integers(0, 2**31)


def _random_rotations(seed: int, *group: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return rotation_from_axis_angle(torch.randn(*group, 3, generator=generator, dtype=torch.float64))


def _is_rotation(matrix: torch.Tensor, tolerance: float = 1e-9) -> bool:
    eye = torch.eye(3).to(matrix)
    orthonormal = torch.allclose(matrix @ matrix.mT, eye.expand_as(matrix), atol=tolerance)
    return orthonormal and bool((torch.linalg.det(matrix) > 0).all())


def test_6d_is_the_first_column_then_the_second() -> None:
    rotation = torch.arange(9.0).reshape(3, 3)
    assert rotation_to_6d(rotation).tolist() == [0, 3, 6, 1, 4, 7]


def test_6d_equals_the_parity_data() -> None:
    assert torch.allclose(rotation_to_6d(torch.tensor(UNITS["rot6d/R"])), torch.tensor(UNITS["rot6d/r6"]), atol=1e-12)
    raw = rotation_from_6d(torch.tensor(UNITS["rot6d/raw6"]))
    assert torch.allclose(raw, torch.tensor(UNITS["rot6d/raw_R"]), atol=1e-8)


@given(seeds)
def test_6d_and_axis_angle_come_back(seed: int) -> None:
    rotation = _random_rotations(seed, 2, 5)
    assert torch.allclose(rotation_from_6d(rotation_to_6d(rotation)), rotation, atol=1e-10)
    assert torch.allclose(rotation_from_axis_angle(rotation_to_axis_angle(rotation)), rotation, atol=1e-10)


@given(seeds, st.floats(-3.1, 3.1))
def test_rotation_about_equals_the_axis_angle_form(seed: int, angle: float) -> None:
    axis = torch.nn.functional.normalize(
        torch.randn(4, 3, generator=torch.Generator().manual_seed(seed)).double(), dim=-1
    )
    turned = torch.full((4,), angle, dtype=torch.float64)
    expected = rotation_from_axis_angle(axis * angle)
    assert torch.allclose(rotation_about(axis, turned.cos(), turned.sin()), expected, atol=1e-9)


def test_a_positive_turn_about_z_brings_x_to_y() -> None:
    quarter = rotation_about_z(torch.tensor(torch.pi / 2, dtype=torch.float64))
    assert torch.allclose(quarter @ torch.tensor([1.0, 0, 0]).double(), torch.tensor([0, 1.0, 0]).double(), atol=1e-12)


def test_cross_matrix_is_the_cross_product() -> None:
    a, b = torch.randn(7, 3), torch.randn(7, 3)
    assert torch.allclose((cross_matrix(a) @ b[..., None])[..., 0], torch.linalg.cross(a, b), atol=1e-6)


@given(seeds)
def test_nearest_rotation_beats_every_rotation_tried(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(3, 3, generator=generator, dtype=torch.float64)
    nearest = nearest_rotation(matrix)
    assert _is_rotation(nearest)
    others = _random_rotations(seed + 1, 200)
    assert ((nearest * matrix).sum() >= (others * matrix).sum((-2, -1)) - 1e-9).all()


def test_nearest_rotation_of_hard_matrices_is_a_rotation_with_finite_gradients() -> None:
    mirror = torch.diag(torch.tensor([1.0, 1.0, -1.0]))
    hard = torch.stack([torch.zeros(3, 3), mirror, torch.eye(3), torch.ones(3, 3), -torch.eye(3)]).double()
    hard.requires_grad_()
    rotations = nearest_rotation(hard)
    assert _is_rotation(rotations.detach())
    assert torch.equal(rotations[0].detach(), torch.eye(3).double())
    rotations.square().sum().backward()
    assert hard.grad is not None
    assert hard.grad.isfinite().all()


@given(seeds, st.sampled_from([1.0, 1e-6, 1e6]))
def test_horns_rotation_is_the_nearest_one(seed: int, length: float) -> None:
    """Equal to the SVD's wherever the answer is well defined: noisy bones of a pelvis, also mirrored ones."""
    generator = torch.Generator().manual_seed(seed)
    rest = torch.randn(50, 3, 3, generator=generator, dtype=torch.float64)
    target = _random_rotations(seed, 50) @ rest.mT + 0.1 * torch.randn(50, 3, 3, generator=generator).double()
    matrix = length * target @ rest
    matrix[1::2] *= torch.tensor([-1.0, 1.0, 1.0]).double()
    _, s, _ = torch.linalg.svd(matrix)
    defined = (s[:, 1] + torch.linalg.det(matrix).sign() * s[:, 2]) > 0.01 * s[:, 0]
    assert defined.sum() > 40
    assert torch.allclose(horn_rotation(matrix)[defined], nearest_rotation(matrix)[defined], atol=1e-9)
    single = horn_rotation(matrix.float())
    assert single.dtype == torch.float32
    assert _is_rotation(single.double(), 1e-5)


def test_horns_rotation_of_hard_matrices_is_a_rotation() -> None:
    eye = torch.eye(3).double()
    mirror, turned = torch.diag(torch.tensor([1.0, 1.0, -0.5])).double(), _random_rotations(3)
    assert torch.equal(horn_rotation(torch.zeros(2, 3, 3).double()), eye.expand(2, 3, 3))
    assert torch.allclose(horn_rotation(torch.stack([mirror, eye, turned])), torch.stack([eye, eye, turned]))
    assert _is_rotation(horn_rotation(torch.stack([-eye, torch.ones(3, 3).double(), 1e-30 * turned])))


@given(seeds, st.floats(0.01, 100))
def test_a_quaternion_of_any_length_and_sign_is_the_axis_angles_rotation(seed: int, length: float) -> None:
    vector = torch.randn(5, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    angle = vector.norm(dim=-1, keepdim=True)
    wxyz = length * torch.cat([(angle / 2).cos(), (angle / 2).sin() * vector / angle], dim=-1)
    expected = rotation_from_axis_angle(vector)
    assert torch.allclose(rotation_from_quaternion(wxyz), expected, atol=1e-10)
    assert torch.allclose(rotation_from_quaternion(-wxyz), expected, atol=1e-10)
    assert torch.equal(rotation_from_quaternion(torch.zeros(4)), torch.eye(3))


@given(seeds, st.floats(0.01, 3.1))
def test_angle_between_is_the_angle_turned(seed: int, angle: float) -> None:
    rotation = _random_rotations(seed, 3)
    turned = torch.full((3,), angle, dtype=torch.float64)
    angles = roma.rotmat_geodesic_distance(rotation @ rotation_about_z(turned), rotation)
    assert torch.allclose(angles, turned, atol=1e-6)


def test_slerp_goes_the_short_way() -> None:
    first = roma.random_rotmat((4,)).double()
    last = first @ rotation_from_axis_angle(torch.tensor([0.0, 0.3, 0.0]).double())
    half = slerp(first, last, torch.tensor([0.0, 0.5, 1.0]).double()[:, None])
    assert torch.allclose(half[0], first, atol=1e-12)
    assert torch.allclose(half[1], first @ rotation_from_axis_angle(torch.tensor([0.0, 0.15, 0.0]).double()), atol=1e-9)
    assert torch.allclose(half[2], last, atol=1e-9)
