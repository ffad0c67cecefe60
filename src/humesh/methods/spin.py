"""What SPIN (Kolotouros et al., ICCV 2019) and its heirs compare: Multi-RoI and INT, as their authors' code has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from humesh.body.pose import BodyPose
from humesh.crops.crops import Crops
from humesh.losses.targets import Targets, about_hips, body_pixels, labelled_about_hips, normalised
from humesh.losses.terms import Term, mean_of, squared


class Label(NamedTuple):
    """What an estimate is compared with: its errors times the confidence are averaged over all that is `counted`."""

    value: Tensor
    confidence: Tensor
    counted: Tensor

    def loss(self, made: Tensor, error: Callable[[Tensor, Tensor, Tensor], Term] = squared) -> Float[Tensor, ""]:
        """The mean error of an estimate."""
        return mean_of(error(made, self.value, self.confidence), self.counted)


def spin_estimates(
    points: Float[Tensor, "*g K 3"], pose: BodyPose, targets: Targets, crops: Crops
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What posed bodies with these points, of the labels' joint set, are compared by.

    2D points in the crop, each axis from -1 to 1; 3D ones in metres, from the middle of the hips; rotations; shape.
    """
    pixels = normalised(body_pixels(points, crops.camera), crops.size)
    return pixels, about_hips(points, targets.joint_set), pose.rotations, pose.shape


def spin_labels(
    targets: Targets, crops: Crops, in_2d: Bool[Tensor, "*g"], in_3d: Bool[Tensor, "*g"], in_fits: Bool[Tensor, "*g"]
) -> tuple[Label, Label, Label, Label]:
    """A batch's labels of the people chosen for each kind, fits where they are; 3D points need both hips' labels."""
    points, confidence3d = labelled_about_hips(targets)
    pixels, one = normalised(targets.points2d, crops.size), torch.ones_like(targets.shape_weight)
    fitted = (targets.pose_weight.amin(-1) > 0) & (targets.shape_weight > 0) & in_fits
    return (
        Label(pixels, targets.points2d_weight[..., None], in_2d[..., None, None]),
        Label(points, confidence3d[..., None], in_3d[..., None, None]),
        Label(targets.pose.rotations, one[..., None, None, None], fitted[..., None, None, None]),
        Label(targets.pose.shape, one[..., None], fitted[..., None]),
    )
