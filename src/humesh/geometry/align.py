"""Fits in closed form: similarity (Procrustes) alignment and the translation that puts a body onto its pixels."""

from __future__ import annotations

from dataclasses import dataclass

import roma
import torch
from jaxtyping import Float
from torch import Tensor

from humesh.geometry.camera import Camera
from humesh.geometry.rotations import identity


@dataclass(frozen=True, eq=False)
class Similarity:
    """The map x -> scale * rotation x + translation."""

    scale: Float[Tensor, "*g"]
    rotation: Float[Tensor, "*g 3 3"]
    translation: Float[Tensor, "*g 3"]

    def __call__(self, points: Float[Tensor, "*g K 3"]) -> Float[Tensor, "*g K 3"]:
        """Points moved by the map."""
        return self.scale[..., None, None] * points @ self.rotation.mT + self.translation[..., None, :]


def procrustes(
    source: Float[Tensor, "*g K 3"],
    target: Float[Tensor, "*g K 3"],
    weights: Float[Tensor, "*g K"] | None = None,
) -> Similarity:
    """The similarity (rotation with det +1) that brings source closest to target in weighted least squares.

    Umeyama, PAMI 1991. `procrustes(a, b)(a)` are the aligned points, as for PA-MPJPE.
    """
    rotation, translation, scale = roma.rigid_points_registration(source, target, weights, compute_scaling=True)
    return Similarity(scale, rotation, translation)


def translation_onto_pixels(
    points: Float[Tensor, "*g K 3"],
    pixels: Float[Tensor, "*g K 2"],
    weights: Float[Tensor, "*g K"],
    camera: Camera,
    steps: int = 0,
    near: float = 0.1,
) -> Float[Tensor, "*g 3"]:
    """The translation t (metres) with which points + t project onto the pixels; weights multiply the squares.

    First the linear equations t_x - n_x t_z = n_x z - x (and those in y) for the normalised pixels n (Mehta et al.
    2017; MeTRAbs), which minimise distances in metres; then `steps` Gauss-Newton steps on the reprojection error in
    pixels, with Huber weights of 1.5 times the median residual. The nearest point's depth is kept above `near` metres.
    """
    rays = camera.rays(pixels)[..., :2]
    zero = torch.zeros_like(rays[..., 0])
    one = torch.ones_like(zero)
    row_x = torch.stack([one, zero, -rays[..., 0]], dim=-1)
    row_y = torch.stack([zero, one, -rays[..., 1]], dim=-1)
    right = rays * points[..., 2:] - points[..., :2]
    nearest = near - points[..., 2].amin(-1)
    translation = _in_front(_weighted_solve(torch.stack([row_x, row_y], dim=-2), right, weights), nearest)
    for _ in range(steps):
        moved = points + translation[..., None, :]
        residual = pixels - camera.project(moved)
        distance = residual.norm(dim=-1)
        middle = torch.where(weights > 0, distance, torch.nan).nanmedian(-1, keepdim=True).values
        threshold = 1.5 * middle.nan_to_num(1.0)
        huber = weights * (threshold.clamp(min=1e-6) / distance.clamp(min=1e-12)).clamp(max=1.0)
        x, y, z = moved.unbind(-1)
        jacobian = camera.matrix.to(points)[..., None, :2, :2] @ torch.stack(
            [torch.stack([1 / z, zero, -x / z**2], -1), torch.stack([zero, 1 / z, -y / z**2], -1)], dim=-2
        )
        translation = _in_front(translation + _weighted_solve(jacobian, residual, huber), nearest)
    return translation


def _weighted_solve(
    rows: Float[Tensor, "*g K 2 3"], right: Float[Tensor, "*g K 2"], weights: Float[Tensor, "*g K"]
) -> Float[Tensor, "*g 3"]:
    """Weighted normal equations, with a tiny ridge against empty systems."""
    weighted = rows * weights[..., None, None]
    normal = (weighted[..., None] * rows[..., None, :]).sum((-4, -3))
    scale = normal.diagonal(dim1=-2, dim2=-1).amax(-1)[..., None, None].clamp(min=1e-12)
    side = (weighted * right[..., None]).sum((-3, -2))
    ridge = identity(normal) * scale * (1e-12 if normal.dtype == torch.float64 else 1e-7)
    return torch.linalg.solve(normal + ridge, side)


def _in_front(translation: Tensor, nearest: Tensor) -> Tensor:
    """The translation with its depth at least `nearest`."""
    return torch.cat([translation[..., :2], torch.maximum(translation[..., 2], nearest)[..., None]], dim=-1)
