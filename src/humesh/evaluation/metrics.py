"""Errors of recovered bodies, per person or frame and unreduced, in the unit of the points (protocols name units)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from humesh.geometry.align import procrustes


def mpjpe(prediction: Float[Tensor, "*g K 3"], truth: Float[Tensor, "*g K 3"]) -> Float[Tensor, "*g"]:
    """Mean distance of points as they are; centre both on their root first. On vertices this is PVE."""
    return (prediction.double() - truth.double()).norm(dim=-1).mean(-1)


def pa_mpjpe(prediction: Float[Tensor, "*g K 3"], truth: Float[Tensor, "*g K 3"]) -> Float[Tensor, "*g"]:
    """Mean distance after the similarity that brings each prediction closest to its truth (rotation, no mirror)."""
    prediction, truth = prediction.double(), truth.double()
    return mpjpe(procrustes(prediction, truth)(prediction), truth)


def acceleration(points: Float[Tensor, "*g T K 3"]) -> Float[Tensor, "*g F K 3"]:
    """Second differences over time, F = T - 2, per frame squared."""
    return points[..., 2:, :, :] - 2 * points[..., 1:-1, :, :] + points[..., :-2, :, :]


def acceleration_error(
    prediction: Float[Tensor, "*g T K 3"], truth: Float[Tensor, "*g T K 3"]
) -> Float[Tensor, "*g F"]:
    """Mean distance of the second differences, per frame squared; times fps^2 for per second squared."""
    return mpjpe(acceleration(prediction.double()), acceleration(truth.double()))


def pck(errors: Float[Tensor, "*g K"], threshold: float) -> Float[Tensor, "*g"]:
    """Percentage of correct keypoints: of points whose error is below the threshold (at it is wrong, so is NaN)."""
    return 100 * (errors < threshold).double().mean(-1)


def auc(errors: Float[Tensor, "*g K"], threshold: float, steps: int = 31) -> Float[Tensor, "*g"]:
    """Area under the PCK curve in percent: mean PCK at `steps` thresholds, evenly from 0 to the last, both included.

    31 thresholds up to 150 mm: MPI-INF-3DHP (Mehta et al., 3DV 2017) and MuPoTS-3D.
    """
    thresholds = torch.linspace(0, threshold, steps, dtype=torch.float64, device=errors.device)
    return 100 * (errors[..., None] < thresholds).double().mean((-2, -1))
