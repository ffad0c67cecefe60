"""Errors, entry by entry with their weights, and the ways from them to one number a loss."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

Term = tuple[Tensor, Tensor]
"""Errors of any shape, unreduced, and their weights, which broadcast to it."""


def absolute(prediction: Tensor, target: Tensor, weight: Tensor) -> Term:
    """|prediction - target| entry by entry, with its weight."""
    return (prediction - target).abs(), weight


def squared(prediction: Tensor, target: Tensor, weight: Tensor) -> Term:
    """(prediction - target)^2 entry by entry, with its weight."""
    return (prediction - target).square(), weight


def velocity(
    prediction: Float[Tensor, "*g N K 3"], target: Float[Tensor, "*g N K 3"], weight: Float[Tensor, "*g N K"]
) -> tuple[Float[Tensor, "*g F K 3"], Float[Tensor, "*g F K 1"]]:
    """Squared errors of the F = N - 1 steps between neighbouring frames; a step's weight is its frames' product."""
    weight = weight[..., 1:, :] * weight[..., :-1, :]
    return squared(prediction.diff(dim=-3), target.diff(dim=-3), weight[..., None])


def centred(points: Float[Tensor, "*g K 3"], *centre: int) -> Float[Tensor, "*g K 3"]:
    """Points relative to the mean of the chosen ones."""
    return points - points[..., list(centre), :].mean(-2, keepdim=True)


def generator_term(scores: Float[Tensor, "*g D"], weight: Float[Tensor, "*#g"]) -> Term:
    """How far a discriminator's scores of predictions are from 1, summed (LSGAN, Mao et al., 2017, as HMR has it)."""
    return (scores - 1).square().sum(-1), weight


def discriminator_terms(
    real: Float[Tensor, "*r D"], predicted: Float[Tensor, "*g D"], real_weight: Tensor, predicted_weight: Tensor
) -> tuple[Term, Term]:
    """How far the scores of real bodies are from 1 and those of predicted ones (detach these) from 0, summed."""
    return generator_term(real, real_weight), (predicted.square().sum(-1), predicted_weight)


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
