"""Points to heatmaps and heatmaps to points."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def gaussian_heatmaps(
    points: Float[Tensor, "*g K 2"], weights: Float[Tensor, "*g K"], size: int, sigma: float
) -> Float[Tensor, "*g K size size"]:
    """Maps exp(-d^2 / (2 sigma^2)) of pixel distances d, peak = weight; a point is in units of map pixels."""
    ticks = torch.arange(size).to(points)
    spread = torch.exp(-(points[..., None] - ticks).square() / (2 * sigma**2))  # *g K (x, y) size
    return weights[..., None, None] * spread[..., 1, :, None] * spread[..., 0, None, :]


def soft_argmax(logits: Float[Tensor, "*g K *space"], dims: int) -> Float[Tensor, "*g K D"]:
    """Expected position of the softmax over the last `dims` axes; (x, y[, z]) in [0, 1] from first to last bin.

    Half-precision logits give positions in float32: bfloat16 would round them to whole pixels.
    """
    space, exact = logits.shape[-dims:], torch.promote_types(logits.dtype, torch.float32)
    mass = logits.flatten(-dims).softmax(-1, dtype=exact).unflatten(-1, space)
    coordinates = []
    for axis in range(1, dims + 1):  # x is the last axis
        others = tuple(-other for other in range(1, dims + 1) if other != axis)
        ticks = torch.linspace(0, 1, space[-axis], dtype=mass.dtype, device=mass.device)
        coordinates.append((mass.sum(others) * ticks).sum(-1))
    return torch.stack(coordinates, dim=-1)
