"""What SPIN (Kolotouros et al., ICCV 2019) and its heirs compare: Multi-RoI and INT, as their authors' code has it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from humesh.body.pose import BodyPose
from humesh.crops.crops import Crops
from humesh.losses.targets import Targets, about_hips, body_pixels, labelled_about_hips, normalised
from humesh.losses.terms import mean_of, squared


@dataclass(frozen=True, eq=False)
class SpinEstimates:
    """What is compared of predicted people `*g`."""

    keypoints: Float[Tensor, "*g K 2"]  # in the crop, each axis from -1 to 1
    points: Float[Tensor, "*g K 3"]  # metres, from the middle of the hips
    rotations: Float[Tensor, "*g 24 3 3"]
    shape: Float[Tensor, "*g S"]


@dataclass(frozen=True, eq=False)
class SpinLabels(SpinEstimates):
    """The same labelled, with confidences; `fitted`: people with SMPL's parameters."""

    confidence2d: Float[Tensor, "*g K"]
    confidence3d: Float[Tensor, "*g K"]
    fitted: Bool[Tensor, "*g"]


def spin_losses(
    made: SpinEstimates,
    true: SpinLabels,
    in_2d: Bool[Tensor, "*g"],
    in_3d: Bool[Tensor, "*g"],
    fitted: Bool[Tensor, "*g"],
) -> tuple[Float[Tensor, ""], Float[Tensor, ""], Float[Tensor, ""], Float[Tensor, ""]]:
    """Confidence x squared error of 2D and 3D points, and squared errors of matrices and shape.

    Each is the mean over all elements of the people chosen for it.
    """
    confidence2d, confidence3d, one = true.confidence2d[..., None], true.confidence3d[..., None], torch.ones(())
    return (
        mean_of(squared(made.keypoints, true.keypoints, confidence2d), in_2d[..., None, None]),
        mean_of(squared(made.points, true.points, confidence3d), in_3d[..., None, None]),
        mean_of(squared(made.rotations, true.rotations, one), fitted[..., None, None, None]),
        mean_of(squared(made.shape, true.shape, one), fitted[..., None]),
    )


def spin_estimates(points: Float[Tensor, "*g K 3"], pose: BodyPose, targets: Targets, crops: Crops) -> SpinEstimates:
    """What posed bodies with these points, of the labels' joint set, are compared by."""
    pixels = normalised(body_pixels(points, crops.camera), crops.size)
    return SpinEstimates(pixels, about_hips(points, targets.joint_set), pose.rotations, pose.shape)


def spin_labels(targets: Targets, crops: Crops) -> SpinLabels:
    """A batch's labels in the units of the estimates; 3D points count where both hips have labels."""
    points, confidence3d = labelled_about_hips(targets)
    return SpinLabels(
        keypoints=normalised(targets.points2d, crops.size),
        points=points,
        rotations=targets.pose.rotations,
        shape=targets.pose.shape,
        confidence2d=targets.points2d_weight,
        confidence3d=confidence3d,
        fitted=(targets.pose_weight.amin(-1) > 0) & (targets.shape_weight > 0),
    )
