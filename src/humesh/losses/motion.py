"""Errors of how points move from frame to frame, unreduced."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from humesh.losses.points import squared


def velocity(
    prediction: Float[Tensor, "*g N K 3"], target: Float[Tensor, "*g N K 3"], weight: Float[Tensor, "*g N K"]
) -> tuple[Float[Tensor, "*g F K 3"], Float[Tensor, "*g F K 1"]]:
    """Squared errors of the F = N - 1 steps between neighbouring frames; a step's weight is its frames' product.

    INT (ICLR 2023), as its authors' code has it, on points relative to the middle of the hips.
    """
    weight = weight[..., 1:, :] * weight[..., :-1, :]
    return squared(prediction.diff(dim=-3), target.diff(dim=-3), weight[..., None])
