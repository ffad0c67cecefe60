"""Errors of predicted bodies, per person or frame and unreduced, in the unit of the points."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from humesh.geometry.align import procrustes


def point_errors(prediction: Float[Tensor, "*g K D"], truth: Float[Tensor, "*g K D"]) -> Float[Tensor, "*g K"]:
    """Distance of each point from where it is in truth, in float64."""
    return (prediction.double() - truth.double()).norm(dim=-1)


def mpjpe(prediction: Float[Tensor, "*g K 3"], truth: Float[Tensor, "*g K 3"]) -> Float[Tensor, "*g"]:
    """Mean distance of points as they are; centre both on their root first. On vertices this is PVE."""
    return point_errors(prediction, truth).mean(-1)


def aligned(
    prediction: Float[Tensor, "*g K 3"],
    truth: Float[Tensor, "*g K 3"],
    known: Bool[Tensor, "*g K"] | None = None,
) -> Float[Tensor, "*g K 3"]:
    """The predicted points after the similarity that brings those that are `known` closest to their truth, float64.

    A rotation, no mirror (Umeyama, PAMI 1991). Points that all coincide come to lie on the truth's mean, which is the
    closest that a similarity brings them. Points of somebody with a NaN or infinite known coordinate are NaN.
    """
    prediction, truth = prediction.double(), truth.double()
    weight = torch.ones_like(truth[..., 0]) if known is None else known.double()
    finite = (prediction.isfinite() & truth.isfinite()).all(-1) | (weight == 0)
    valid = finite.all(-1) & (weight > 0).any(-1)
    weight = torch.where(valid[..., None], weight, 1)
    used = (valid[..., None] & (weight > 0))[..., None]
    source, target = torch.where(used, prediction, 0), torch.where(used, truth, 0)
    share = (weight / weight.sum(-1, keepdim=True))[..., None]
    spread = (share * (source - (share * source).sum(-2, keepdim=True)) ** 2).sum((-2, -1))
    one_place = spread <= 1e-20 * source.square().amax((-2, -1)).clamp(min=1e-200)  # rounding's own spread
    # Any points that are not in one place stand for those that are: a scale of 0 / 0 would be NaN.
    stand_in = torch.where(one_place[..., None, None], torch.eye(source.shape[-2], 3).to(source), source)
    moved = procrustes(stand_in, target, weight)(prediction)
    moved = torch.where(one_place[..., None, None], (share * target).sum(-2, keepdim=True), moved)
    return torch.where(valid[..., None, None], moved, torch.nan)


def pa_mpjpe(prediction: Float[Tensor, "*g K 3"], truth: Float[Tensor, "*g K 3"]) -> Float[Tensor, "*g"]:
    """Mean distance after the similarity that brings each prediction closest to its truth (rotation, no mirror)."""
    return mpjpe(aligned(prediction, truth), truth)


def acceleration(points: Float[Tensor, "*g T K 3"]) -> Float[Tensor, "*g F K 3"]:
    """Second differences over time, F = T - 2, per frame squared."""
    return points[..., 2:, :, :] - 2 * points[..., 1:-1, :, :] + points[..., :-2, :, :]


def acceleration_error(
    prediction: Float[Tensor, "*g T K 3"], truth: Float[Tensor, "*g T K 3"], fps: float = 1.0
) -> Float[Tensor, "*g F"]:
    """Mean distance of the second differences: per frame squared (as papers print it), or of `fps` per second squared.

    Papers that state mm/s² and those that state mm/frame² differ by the square of the frame rate.
    """
    return fps**2 * mpjpe(acceleration(prediction.double()), acceleration(truth.double()))


def pck(errors: Float[Tensor, "*g K"], threshold: float) -> Float[Tensor, "*g"]:
    """Percentage of correct keypoints: of points whose error is below the threshold (at it is wrong, so is NaN)."""
    return 100 * (errors < threshold).double().mean(-1)


def auc(errors: Float[Tensor, "*g K"], threshold: float) -> Float[Tensor, "*g"]:
    """Area under the PCK curve in percent: mean PCK at 31 thresholds, evenly from 0 to the last, both included.

    31 of them up to 150 mm: MPI-INF-3DHP (Mehta et al., 3DV 2017) and MuPoTS-3D.
    """
    thresholds = torch.linspace(0, threshold, 31, dtype=torch.float64, device=errors.device)
    return 100 * (errors[..., None] < thresholds).double().mean((-2, -1))
