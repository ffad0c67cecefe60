"""Several views of the same person: their cameras must agree, and their features differ from other people's."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from humesh.losses.targets import Term


def camera_consistency(
    translation: Float[Tensor, "*g N 3"], focal_px: Float[Tensor, "*g N"], present: Bool[Tensor, "*g N"]
) -> Term:
    """Disagreement of N crops on where their person stands: an error `*g`, summed over all pairs.

    Multi-RoI, ECCV 2024: 0.1 dX^2 + 0.1 dY^2 + 1e-4 dS^2 of translations (X, Y, Z) in the photo's camera, metres, and
    S = 2 f / Z, px for two metres.
    """
    views = _views(translation, focal_px)
    weights = torch.tensor([0.1, 0.1, 1e-4]).to(views)  # the paper's
    error = ((views[..., :, None, :] - views[..., None, :, :]).square() * weights).sum(-1)
    both = present[..., :, None] & present[..., None, :]
    return torch.where(both, error, 0).sum((-2, -1)) / 2, present.any(-1).to(error)


def camera_consistency_authors(
    translation: Float[Tensor, "*g N 3"], focal_px: Float[Tensor, "*g N"], present: Bool[Tensor, "*g N"]
) -> Term:
    """The same as the authors' code has it: an error `*g N` of each crop against the first, (dX + dY)^2 + (1e-4 dS)^2.

    The differences in x and y are added before they are squared, and the first crop counts too, with its 0.
    """
    x, y, size = (_views(translation, focal_px) - _views(translation[..., :1, :], focal_px[..., :1])).unbind(-1)
    error = (x + y).square() + (1e-4 * size).square()
    seen = present & present[..., :1]
    return torch.where(seen, error, 0), seen.to(error)


def _views(translation: Tensor, focal_px: Tensor) -> Float[Tensor, "*g N 3"]:
    """X, Y in metres and S = 2 f / Z in px: CLIFF's full-image camera before its depth is made of it."""
    return torch.cat([translation[..., :2], 2 * focal_px.to(translation)[..., None] / translation[..., 2:]], dim=-1)


def person_contrast(
    z: Float[Tensor, "R C"],
    identity: Int[Tensor, "R"],
    present: Bool[Tensor, "R"] | None = None,
    temperature: float = 0.5,
) -> Term:
    """Multi-RoI's contrastive loss of R crops' features (ECCV 2024), a term for each.

    -log of exp(z_i . z_p / t) over its sum for the crops of other people, mean over the crops p of the same person;
    the weights make the mean of all crops the sum that the paper takes. Crops without positives or without others
    count nothing. It has no least value unless z has a length: give unit vectors.
    """
    same, other = _relations(identity, present)
    error, usable = _contrast(z, same, other, temperature)
    return error, usable.to(error) * len(error)


def person_contrast_authors(
    z: Float[Tensor, "R C"],
    identity: Int[Tensor, "R"],
    present: Bool[Tensor, "R"] | None = None,
    temperature: float = 0.5,
) -> Term:
    """The same as the preprint and the authors' code have it: SupCon (Khosla et al., NeurIPS 2020).

    Times the temperature. Features are normalised; the sum below is over all crops but the anchor, its own person's
    included, so that it is at least temperature * log(number of positives).
    """
    same, other = _relations(identity, present)
    error, usable = _contrast(normalize(z, dim=-1), same, same | other, temperature)
    return error * temperature, usable.to(error)


def _relations(
    identity: Int[Tensor, "R"], present: Bool[Tensor, "R"] | None
) -> tuple[Bool[Tensor, "R R"], Bool[Tensor, "R R"]]:
    """Which pairs of different crops show the same person, and which show two; absent crops are in no pair."""
    same = identity[:, None] == identity
    valid = torch.ones_like(same) if present is None else present[:, None] & present
    itself = torch.eye(len(identity), dtype=torch.bool, device=identity.device)
    return same & valid & ~itself, ~same & valid


def _contrast(
    z: Tensor, positive: Bool[Tensor, "R R"], below: Bool[Tensor, "R R"], temperature: float
) -> tuple[Float[Tensor, "R"], Bool[Tensor, "R"]]:
    """Mean over the positives of -log(exp(likeness) / sum of those below), and which crops have both."""
    likeness = z @ z.mT / temperature
    lowest = torch.finfo(likeness.dtype).min
    sums = likeness.masked_fill(~below, lowest).logsumexp(-1)
    mean = torch.where(positive, likeness, 0).sum(-1) / positive.sum(-1).clamp(min=1)
    usable = positive.any(-1) & below.any(-1)
    return torch.where(usable, sums - mean, 0), usable
