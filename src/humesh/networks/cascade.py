"""Heads that correct one another from decoder layer to decoder layer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Cascade(nn.ModuleList):
    """A linear head for each decoder layer; each adds to the one before's estimate, which is among its inputs."""

    def __init__(self, width: int, size: int, layers: int) -> None:
        super().__init__(nn.Linear(width + (size if layer else 0), size) for layer in range(layers))

    def step(self, layer: int, token: Tensor, before: Tensor | None) -> Tensor:
        """The estimate of one layer, from that of the one before; None at the first."""
        return self[layer](token) if before is None else before + self[layer](torch.cat([token, before], dim=-1))

    def forward(self, tokens: Sequence[Float[Tensor, "B C"]]) -> Float[Tensor, "L B n"]:
        """The estimates of all layers, from a token of each."""
        estimates: list[Tensor] = []
        for layer, token in enumerate(tokens):
            estimates.append(self.step(layer, token, estimates[-1] if estimates else None))
        return torch.stack(estimates)


def clamped_logit(share: Float[Tensor, "*g"], eps: float = 1e-5) -> Float[Tensor, "*g"]:
    """The inverse of the sigmoid, finite at 0 and 1 (DETR's)."""
    return share.clamp(eps, 1.0).log() - (1 - share).clamp(eps, 1.0).log()
