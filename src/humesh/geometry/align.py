"""Fits to points: similarity (Procrustes) alignment, the translation onto pixels, the plane of the ground."""

from __future__ import annotations

import math
from dataclasses import dataclass

import roma
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from humesh.geometry.camera import Camera
from humesh.geometry.rotations import identity

_NOISE_M = 0.05  # how far points of the ground are off it: 3 % of depth's error for a camera 1.6 m high
_TILT_SD = math.tan(math.radians(10))  # of the direction that is thought to be up
_WIDEST, _ROUNDS = 10.0, 20  # the robust scale shrinks from this multiple of the noise to the noise


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
    return torch.cat([translation[..., :2], torch.maximum(translation[..., 2], nearest)[..., None]], dim=-1)


@dataclass(frozen=True, eq=False)
class Plane:
    """Points x with normal . x = level, metres; the unit normal points up."""

    normal: Float[Tensor, "3"]
    level: float

    def height(self, points: Float[Tensor, "*g 3"]) -> Float[Tensor, "*g"]:
        """How high points are above the plane, metres."""
        return points @ self.normal.to(points) - self.level

    def near(self, points: Float[Tensor, "N 3"]) -> Float[Tensor, "M 3"]:
        """The points within four times the noise of 5 cm, which can belong to the plane."""
        return points[self.height(points).abs() < 4 * _NOISE_M]

    def tilt_sd(self, points: Float[Tensor, "N 3"]) -> float:
        """The plane's standard deviation of tilt (radians) in the direction that the points determine least."""
        near = self.near(points)
        if len(near) < 3:
            return math.inf
        spread = torch.linalg.svdvals(near - near.mean(0))[1]  # the third is the plane's thickness
        return float(self.height(near).std().clamp(min=_NOISE_M / 2) / spread.clamp(min=1e-9))


def plane_under(points: Float[Tensor, "N 3"], weights: Float[Tensor, " N"], up: Float[Tensor, "3"]) -> Plane:
    """The plane through most points; those above it (lifted feet) count less than those below.

    Reweighted least squares with Geman-McClure's weights, wide scale to narrow, and a prior on the tilt from `up`.
    `weights`: the number of independent points that each one stands for.
    """
    across = torch.linalg.svd(up[None])[2][1:]  # two axes along the ground, if up is right
    middle = (weights[:, None] * points).sum(0) / weights.sum()
    away = points - middle
    high, rows = away @ up, torch.cat([torch.ones_like(away[:, :1]), away @ across.T], dim=-1)
    prior = torch.diag(torch.tensor([1e-9, 1.0, 1.0]).to(rows) * (_NOISE_M / _TILT_SD) ** 2)
    found = torch.stack([high.quantile(0.25), *torch.zeros(2).to(high)])
    for scale in torch.logspace(math.log10(_WIDEST), 0, _ROUNDS).to(rows) * _NOISE_M:
        off = high - rows @ found
        believed = weights / (1 + (off / torch.where(off > 0, scale, 2 * scale)).square()).square()
        found = torch.linalg.solve(rows.T @ (believed[:, None] * rows) + prior, rows.T @ (believed * high))
    normal = normalize(up - found[1:] @ across, dim=0)
    return Plane(normal, float(normal @ (middle + found[0] * up)))
