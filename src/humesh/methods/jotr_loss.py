"""JOTR's loss: six means of absolute errors, learned to be weighed, and two contrasts on H_3D.

As its authors' code has them, which has two more than the paper: on the 15 joints that the decoder predicts. Every mean
is over all elements, those without a label too. Names and factors are the authors'.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from humesh.body.joints import JOTR15, JOTR30, SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.crops.crops import Crops
from humesh.geometry.absolute import solved_offset, weak_offset
from humesh.geometry.rotations import rotation_to_axis_angle
from humesh.losses.bodies import body_pixels, body_points
from humesh.losses.points import absolute, centred
from humesh.losses.targets import Targets
from humesh.losses.total import reduced

DEPTH_BOX_M = 2.0  # joints' z in [0, 1] spans this, the pelvis in the middle (authors' bbox_3d_size)
_PELVIS = JOTR30.index("pelvis")
_FIFTEEN = JOTR30.indices(*JOTR15.names)
_SIDES = ("left", "right")
_UNFITTED = SMPL24.indices(*(f"{side}_{part}" for part in ("ankle", "foot", "wrist", "hand") for side in _SIDES))


@dataclass(frozen=True)
class JotrEstimates:
    """What is compared of predicted people `*g`; `joints` and `projected` in shares of the crop's sides."""

    joints: Float[Tensor, "*g 15 3"]  # z: 0.5 + depth from the pelvis / 2 m
    pose: Float[Tensor, "*g 24 3"]  # axis-angle
    shape: Float[Tensor, "*g S"]
    projected: Float[Tensor, "*g 30 2"]
    points: Float[Tensor, "*g 30 3"]  # metres from the pelvis


@dataclass(frozen=True)
class JotrLabels(JotrEstimates):
    """The same labelled, with weights; `fit_joints` are the joints of the fitted body, in the units of `joints`."""

    joints_weight: Float[Tensor, "*g 15 3"]
    fit_joints: Float[Tensor, "*g 15 3"]
    fit_joints_weight: Float[Tensor, "*g 15 #n"]
    pose_weight: Float[Tensor, "*g 24 #n"]
    shape_weight: Float[Tensor, "*g #S"]
    projected_weight: Float[Tensor, "*g 30 #n"]
    points_weight: Float[Tensor, "*g 30 #n"]


def jotr_losses(made: JotrEstimates, true: JotrLabels) -> dict[str, Float[Tensor, ""]]:
    """The six supervised losses, whose weights are learned."""
    cells = 64  # of the authors' heatmaps, along a side of the crop
    return {
        "body_joint_img": reduced(absolute(made.joints, true.joints, true.joints_weight)),
        "smpl_joint_img": reduced(absolute(made.joints, true.fit_joints, true.fit_joints_weight)),
        "smpl_pose": reduced(absolute(made.pose, true.pose, true.pose_weight)),
        "smpl_shape": reduced(absolute(made.shape, true.shape, true.shape_weight)),
        "body_joint_proj": reduced(
            absolute(cells / 8 * made.projected, cells / 8 * true.projected, true.projected_weight)
        ),
        "body_joint_cam": reduced(absolute(5 * made.points, 5 * true.points, true.points_weight)),
    }


def jotr_estimates(body: BodyModel, joints: Float[Tensor, "*g 15 3"], pose: BodyPose, crops: Crops) -> JotrEstimates:
    """What a prediction is compared by: its joints, and the body's pose, shape and points."""
    points = body_points(body, pose, JOTR30)
    projected = body_pixels(points, crops.camera) / crops.size[0]
    vectors = rotation_to_axis_angle(pose.rotations)
    return JotrEstimates(joints, vectors, pose.shape, projected, centred(points, _PELVIS))


@torch.no_grad()
def jotr_labels(body: BodyModel, made: JotrEstimates, targets: Targets, crops: Crops) -> JotrLabels:
    """A batch's labels in the units of the estimates.

    2D counts inside of the crop, also of the depth box where depth is known ("trunc"); depth where 3D is known; fits
    where pose, shape and place are, ankles, feet, wrists and hands of their poses never (authors). Of the two vectors
    of a rotation the one nearer to the estimate is meant, as at half a turn they jump.
    """
    targets, size = targets.only(JOTR30), crops.size[0]
    weight3d = targets.points3d_weight[..., None] * targets.points3d_weight[..., _PELVIS, None, None]
    joints, weight2d = in_boxes(targets.points2d, targets.points3d, targets.points2d_weight[..., None], weight3d, size)
    fit_points, known = _placed_fit(body, targets, crops)
    placed = (known * targets.pose_weight.amin(-1) * targets.shape_weight)[..., None, None]
    pixels, ones = body_pixels(fit_points, crops.camera), torch.ones_like(weight2d)
    fit_joints, fit_weight = in_boxes(pixels, fit_points, placed * ones, placed * ones, size)
    pose_weight = targets.pose_weight.clone()
    pose_weight[..., _UNFITTED] = 0
    return JotrLabels(
        joints=joints[..., _FIFTEEN, :],
        joints_weight=torch.cat([weight2d, weight2d, weight2d * weight3d], dim=-1)[..., _FIFTEEN, :],
        fit_joints=fit_joints[..., _FIFTEEN, :],
        fit_joints_weight=fit_weight[..., _FIFTEEN, :],
        pose=nearest_vectors(rotation_to_axis_angle(targets.pose.rotations), made.pose),
        pose_weight=pose_weight[..., None],
        shape=targets.pose.shape,
        shape_weight=targets.shape_weight[..., None],
        projected=joints[..., :2],
        projected_weight=weight2d,
        points=centred(targets.points3d, _PELVIS),
        points_weight=weight3d,
    )


def in_boxes(
    pixels: Float[Tensor, "*g 30 2"],
    points: Float[Tensor, "*g 30 3"],
    weight2d: Float[Tensor, "*g 30 1"],
    weight3d: Float[Tensor, "*g 30 1"],
    size: int,
) -> tuple[Float[Tensor, "*g 30 3"], Float[Tensor, "*g 30 1"]]:
    """Points as shares of the crop and 0.5 + depth from the pelvis / 2 m, and the 2D weights, 0 outside of the boxes.

    The depth of points whose `weight3d` is 0 is unknown, so these may be outside of the depth box.
    """
    depth = points[..., 2:] - points[..., _PELVIS, None, 2:]
    joints = torch.cat([pixels / size, 0.5 + depth / DEPTH_BOX_M], dim=-1)
    within = (joints >= 0) & (joints < 1)
    return joints, weight2d * (within[..., :2].all(-1, keepdim=True) & (within[..., 2:] | (weight3d == 0)))


def _placed_fit(
    body: BodyModel, targets: Targets, crops: Crops
) -> tuple[Float[Tensor, "*g 30 3"], Float[Tensor, "*g"]]:
    """The points of the fitted bodies in the camera's frame, and 1 for those whose place is known, else 0.

    It is the label's, or puts the pelvis at the labelled one, or is where the joints are nearest to the labelled rays
    of six or more 2D points: pseudo labels are of other cameras.
    """
    rest = BodyPose(targets.pose.rotations, targets.pose.shape, torch.zeros_like(targets.pose.translation))
    points, seen = body_points(body, rest, JOTR30), targets.points2d_weight > 0
    rays = crops.camera.rays(targets.points2d)
    flat, weak = (offset(points, rays, seen).to(points) for offset in (solved_offset, weak_offset))
    flat = torch.where(flat[..., 2:] > 0, flat, weak)  # of a fit that is far from its 2D points
    deep, labelled = targets.points3d_weight[..., _PELVIS] > 0, targets.translation_weight > 0
    place = torch.where(deep[..., None], targets.points3d[..., _PELVIS, :] - points[..., _PELVIS, :], flat)
    place = torch.where(labelled[..., None], targets.pose.translation, place)
    ahead = place[..., 2] + points[..., _PELVIS, 2] > 0
    known = (labelled | deep | (seen.sum(-1) >= 6)) & ahead
    return points + place[..., None, :], known.to(points)


def nearest_vectors(vectors: Float[Tensor, "*g 24 3"], wanted: Float[Tensor, "*g 24 3"]) -> Float[Tensor, "*g 24 3"]:
    """The same rotations as vectors of up to a whole turn, the nearer ones to those wanted."""
    angle = vectors.norm(dim=-1, keepdim=True)
    other = vectors * (1 - 2 * torch.pi / angle.clamp(min=1e-6))
    nearer = (other - wanted).norm(dim=-1, keepdim=True) < (vectors - wanted).norm(dim=-1, keepdim=True)
    return torch.where(nearer & (angle > 0.1), other, vectors)
