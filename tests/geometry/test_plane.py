"""The plane under scattered points."""

from __future__ import annotations

import math

import torch
from torch.nn.functional import normalize

from humesh.geometry.align import Plane, plane_under

_UP = torch.tensor([0.0, -1.0, 0.0]).double()


def _scattered(normal: torch.Tensor, level: float, count: int) -> torch.Tensor:
    """Points of a plane, a few metres around (0, ., 6)."""
    points = torch.rand(count, 3).double() * torch.tensor([6.0, 0.0, 6.0]) - torch.tensor([3.0, 0.0, -3.0])
    points[:, 1] = (level - points @ normal) / normal[1]
    return points


def test_a_tilted_plane_is_found_among_points_above_and_below_it() -> None:
    normal = normalize(torch.tensor([0.1, -1.0, -0.3]).double(), dim=0)
    points = _scattered(normal, -1.5, 80) + 0.02 * torch.randn(80, 3).double()
    points[:16] += (0.3 + torch.rand(16, 1).double()) * normal  # lifted feet
    points[16:20] -= 2.0 * normal
    plane = plane_under(points, torch.ones(80).double(), _UP)
    assert math.degrees(math.acos(min(float(plane.normal @ normal), 1.0))) < 0.5
    assert abs(plane.level + 1.5) < 0.05
    assert len(plane.near(points)) == 60
    assert plane.tilt_sd(points) < math.radians(0.2)


def test_height_is_the_distance_from_the_plane() -> None:
    plane = Plane(_UP, -2.0)
    points = torch.tensor([[[0.0, 2.0, 5.0], [1.0, 1.5, 3.0], [0.0, 0.0, 0.0]]]).double()
    assert torch.allclose(plane.height(points), torch.tensor([[0.0, 0.5, 2.0]]).double())


def test_points_on_a_line_leave_the_tilt_open() -> None:
    points = torch.tensor([0.0, 1.0, 6.0]).double() + torch.linspace(-3, 3, 20)[:, None].double() * torch.tensor(
        [1, 0, 0]
    )
    plane = plane_under(points, torch.ones(20).double(), _UP)
    assert torch.allclose(plane.normal, _UP, atol=1e-6)  # nothing speaks against what was thought to be up
    assert plane.tilt_sd(points) > 1
    assert plane.tilt_sd(points[:2]) == math.inf
