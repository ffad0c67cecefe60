"""INT's loss as its authors' code has it: confidence x squared errors, pose as matrices, and a prior on parameters.

Clips and images are two batches: each has its own means, which are mixed by their numbers of frames. Of clips only
those with 3D labels count in the means that are not of 2D; of images all do. Absent frames count nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.crops.crops import Crops
from humesh.geometry.rotations import rotation_to_axis_angle
from humesh.losses.bodies import about_hips, body_pixels, body_points, labelled_about_hips, normalised
from humesh.losses.motion import velocity
from humesh.losses.points import squared
from humesh.losses.targets import Targets
from humesh.losses.total import mean_of


@dataclass(frozen=True)
class IntEstimates:
    """What is compared of B people in T frames."""

    keypoints: Float[Tensor, "B T K 2"]  # in the crop, each axis from -1 to 1
    points: Float[Tensor, "B T K 3"]  # metres, from the middle of the hips
    rotations: Float[Tensor, "B T 24 3 3"]
    shape: Float[Tensor, "B T S"]


@dataclass(frozen=True)
class IntLabels(IntEstimates):
    """The same labelled, with confidences; `fitted`: frames with SMPL's parameters; `counted`: in all but 2D."""

    confidence2d: Float[Tensor, "B T K"]
    confidence3d: Float[Tensor, "B T K"]
    fitted: Bool[Tensor, "B T"]
    present: Bool[Tensor, "B T"]
    counted: Bool[Tensor, "B T"]


def int_losses(made: IntEstimates, true: IntLabels) -> dict[str, Float[Tensor, ""]]:
    """The losses of clips, or with T = 1 of images, which do not move."""
    present, counted, one = true.present[..., None, None], true.counted[..., None, None], torch.ones(())
    fitted = (true.fitted & true.counted)[..., None]
    both = true.counted[:, 1:] & true.counted[:, :-1]
    return {
        "kp_2d": mean_of(squared(made.keypoints, true.keypoints, true.confidence2d[..., None]), present),
        "kp_3d": mean_of(squared(made.points, true.points, true.confidence3d[..., None]), counted),
        "velocity": mean_of(velocity(made.points, true.points, true.confidence3d), both[..., None, None]),
        "pose": mean_of(squared(made.rotations, true.rotations, one), fitted[..., None, None]),
        "shape": mean_of(squared(made.shape, true.shape, one), fitted),
        "norm": parameter_norm(made.rotations, made.shape, true.counted),
    }


def parameter_norm(
    rotations: Float[Tensor, "*g 24 3 3"], shape: Float[Tensor, "*g S"], counted: Bool[Tensor, "*g"]
) -> Float[Tensor, ""]:
    """Length of the vector of all counted frames' axis-angles and shapes together, divided by how many they are."""
    vectors = torch.cat([rotation_to_axis_angle(rotations).flatten(-2), shape], dim=-1)
    return torch.where(counted[..., None], vectors, 0).norm() / counted.sum().clamp(min=1)


def mixed(parts: list[tuple[int, dict[str, Tensor]]]) -> dict[str, Float[Tensor, ""]]:
    """The losses of clips and of images together, each part by its number of frames; what a part lacks is 0 there."""
    frames = max(sum(count for count, _ in parts), 1)
    names = dict.fromkeys(name for _, losses in parts for name in losses)
    return {name: sum(count / frames * losses[name] for count, losses in parts) for name in names}  # type: ignore[misc]


def int_estimates(body: BodyModel, pose: BodyPose, targets: Targets, crops: Crops) -> IntEstimates:
    """What a prediction is compared by, in the labels' joint set."""
    points = body_points(body, pose, targets.joint_set)
    pixels = normalised(body_pixels(points, crops.camera), crops.size)
    return IntEstimates(pixels, about_hips(points, targets.joint_set), pose.rotations, pose.shape)


def int_labels(targets: Targets, crops: Crops) -> IntLabels:
    """A batch's labels in the units of the estimates; all frames of clips with some 3D label are counted."""
    points, confidence3d = labelled_about_hips(targets)
    images = crops.present.sum(-1) == 1
    in_3d = (confidence3d * crops.present[..., None]).flatten(1).any(-1) | images
    return IntLabels(
        keypoints=normalised(targets.points2d, crops.size),
        points=points,
        rotations=targets.pose.rotations,
        shape=targets.pose.shape,
        confidence2d=targets.points2d_weight,
        confidence3d=confidence3d,
        fitted=(targets.pose_weight.amin(-1) > 0) & (targets.shape_weight > 0),
        present=crops.present,
        counted=crops.present & in_3d[:, None],
    )
