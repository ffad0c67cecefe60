"""From unreduced errors to one number a loss, and learned weights of losses."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from humesh.losses.targets import Term


def reduced(term: Term) -> Float[Tensor, ""]:
    """Mean of weight x error over all elements; those of weight 0 count in the denominator."""
    error, weight = term
    return (error * weight).mean()


def mean_of(term: Term, counted: Tensor) -> Float[Tensor, ""]:
    """Sum of weight x error over the elements that are `counted` (1; 0 leaves them out), divided by their number.

    `counted` broadcasts to the error; 0 where nothing is counted. The weight itself counts in no denominator.
    """
    error, weight = term
    counted = counted.to(error).expand_as(error)
    return (error * weight * counted).sum() / counted.sum().clamp(min=1)


def mean_of_labelled(term: Term) -> Float[Tensor, ""]:
    """Mean of weight x error over the elements whose weight is not 0."""
    return mean_of(term, term[1] > 0)


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
