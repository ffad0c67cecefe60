"""The one weigher: unreduced terms into one number."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from humesh.losses.targets import Term


def reduced(term: Term) -> Float[Tensor, ""]:
    """Mean of weight x error over all elements; those of weight 0 count in the denominator, as all authors do it."""
    error, weight = term
    return (error * weight).mean()


def total(terms: Mapping[str, Term], weights: Mapping[str, float]) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
    """The weighted sum of the terms' means, and the means by name; a term without a weight raises KeyError."""
    means = {name: reduced(term) for name, term in terms.items()}
    return torch.stack([weights[name] * mean for name, mean in means.items()]).sum(), means


class LearnedWeights(nn.Module):
    """A learned weight s for each named loss: 0.5 / s^2 * loss + ln(1 + s^2), s = 1 at first.

    Liebel and Koerner, 2018, after Kendall et al., CVPR 2018; used by JOTR. Train s without weight decay.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__()
        self.names = names
        self.scales = nn.Parameter(torch.ones(len(names)))

    def forward(self, means: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weighed losses by name, of those that are there."""
        squares = dict(zip(self.names, self.scales.square(), strict=True))
        return {name: 0.5 / s * means[name] + torch.log1p(s) for name, s in squares.items() if name in means}
