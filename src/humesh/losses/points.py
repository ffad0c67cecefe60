"""Errors of points and parameters, unreduced."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def absolute(prediction: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """|prediction - target| entry by entry, with its weight."""
    return (prediction - target).abs(), weight


def squared(prediction: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """(prediction - target)^2 entry by entry, with its weight."""
    return (prediction - target).square(), weight


def distance(prediction: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Euclidean distance over the last axis, with its weight."""
    return (prediction - target).norm(dim=-1), weight


def centred(points: Float[Tensor, "*g K 3"], *centre: int) -> Float[Tensor, "*g K 3"]:
    """Points relative to the mean of the chosen ones."""
    return points - points[..., list(centre), :].mean(-2, keepdim=True)
