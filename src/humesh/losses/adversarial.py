"""Least-squares adversarial terms (Mao et al., LSGAN, ICCV 2017): a judge gives real ones 1 and made ones 0.

Sums over a judge's scores, as HMR has it (Kanazawa et al., CVPR 2018); `weight` 0 leaves a person out.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from humesh.losses.targets import Term


def taken_for_real(made: Float[Tensor, "*g D"], weight: Float[Tensor, "*#g"]) -> Term:
    """The generator's side: how far the judge's scores of what it made are from 1."""
    return (made - 1).square().sum(-1), weight


def told_apart(
    real: Float[Tensor, "*r D"], made: Float[Tensor, "*g D"], real_weight: Tensor, made_weight: Tensor
) -> dict[str, Term]:
    """The judge's side: scores of real ones away from 1, of made ones (detach these) away from 0."""
    return {"real": ((real - 1).square().sum(-1), real_weight), "made": (made.square().sum(-1), made_weight)}
