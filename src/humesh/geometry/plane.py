"""A plane under scattered points: the ground under feet."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

_NOISE_M = 0.05  # how far points of the ground are off it: 3 % of depth's error for a camera 1.6 m high
_TILT_SD = math.tan(math.radians(10))  # of the direction that is thought to be up
_WIDEST, _ROUNDS = 10.0, 20  # the robust scale shrinks from this multiple of the noise to the noise


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
