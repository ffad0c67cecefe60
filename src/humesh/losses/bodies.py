"""The terms that every method shares: how far posed bodies are from their labels."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from humesh.body.pose import BodyPose
from humesh.geometry.camera import Camera
from humesh.losses.points import squared
from humesh.losses.targets import Targets, Term

_NEAR_M = 0.2  # metres; points nearer to the camera are projected from there, so that no pixel runs away


def body_terms(
    pose: BodyPose,
    points: Float[Tensor, "*g K 3"],
    camera: Camera,
    size: tuple[int, int],
    targets: Targets,
    error: Callable[[Tensor, Tensor, Tensor], Term] = squared,
) -> dict[str, Term]:
    """Errors of posed bodies (squared or of another kind), unreduced, by name.

    `points` are the bodies' (metres, photo's camera), in the targets' joint set; `camera` and `size` (height, width)
    are the crops'. "rotations": entries of matrices; "shape": betas; "points3d": metres, both sides about their
    middle (weighted by what is labelled); "points2d": crop pixels in units of half the crop's height.
    """
    weight3d, weight2d = targets.points3d_weight[..., None], targets.points2d_weight[..., None]
    pixels = camera.project(_ahead(points)) / (size[0] / 2)
    return {
        "rotations": error(pose.rotations, targets.pose.rotations, targets.pose_weight[..., None, None]),
        "shape": error(pose.shape, targets.pose.shape, targets.shape_weight[..., None]),
        "points3d": error(_about_middle(points, weight3d), _about_middle(targets.points3d, weight3d), weight3d),
        "points2d": error(pixels, targets.points2d / (size[0] / 2), weight2d),
    }


def _about_middle(points: Tensor, weight: Tensor) -> Tensor:
    middle = (points * weight).sum(-2, keepdim=True) / weight.sum(-2, keepdim=True).clamp(min=1e-6)
    return points - middle


def _ahead(points: Tensor) -> Tensor:
    return torch.cat([points[..., :2], points[..., 2:].clamp(min=_NEAR_M)], dim=-1)
