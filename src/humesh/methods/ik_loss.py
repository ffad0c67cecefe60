"""The losses of multi-person IK with refinement: eq. 7 (f_P), 9-10 (f_TS) and 12-13 (f_Ref); no code of them exists.

Norms and squares are sums over a person's joints and axes, as printed, and each loss is their mean over the people who
have the label [O]: the paper gives no reduction over people. Joints without a label count as 0.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from humesh.body.joints import SMPL24
from humesh.body.kinematics import bone_children, twist_of
from humesh.body.model import BodyModel
from humesh.geometry.rotations import rotation_to_6d
from humesh.losses.targets import Targets
from humesh.losses.terms import Term, absolute, mean_of_labelled, squared
from humesh.networks.refiner import Theta

_CHILD = {SMPL24.index(joint): SMPL24.index(child) for joint, child in bone_children(SMPL24).items()}
LEAVES = [joint for joint in range(len(SMPL24)) if joint not in _CHILD]


def summed(term: Term) -> Float[Tensor, ""]:
    """Sum over the joints and axes of weight x error `*g K d`, mean over the people with a weight."""
    error, weight = term
    return mean_of_labelled(((error * weight).sum((-2, -1)), weight.amax((-2, -1)).sign()))


def norm(made: Tensor, true: Tensor, weight: Tensor) -> Float[Tensor, ""]:
    """Length of the difference `*g K d`, over joints and axes, mean over the people with a weight."""
    known = weight.sign()
    return mean_of_labelled((((made - true) * known).flatten(-2).norm(dim=-1), known.amax((-2, -1))))


def skeleton_losses(
    skeleton: Float[Tensor, "*g 24 3"],
    relative: Float[Tensor, "*g 24 3"],
    pixels: Float[Tensor, "*g 24 2"],
    targets: Targets,
    metre: float,
) -> dict[str, Float[Tensor, ""]]:
    """Eq. 7: L1 of absolute, relative (about the mean of the labelled joints), 2D and projected joints.

    Pixels count `metre` metres each, and the relative skeleton is projected by an orthographic camera that fits it to
    the labels (both MeTRAbs). Absolute joints need labels of where people stand.
    """
    points3d, points2d, in3d, in2d = of_smpl(targets)
    flat = _fitted(relative[..., :2], points2d, in2d)
    return {
        "skeleton_absolute": summed(absolute(skeleton, points3d, in3d * targets.metric_weight[..., None, None])),
        "skeleton_relative": summed(absolute(_centred(relative, in3d), _centred(points3d, in3d), in3d)),
        "skeleton_2d": summed(absolute(metre * pixels, metre * points2d, in2d)),
        "skeleton_projected": summed(absolute(metre * flat, metre * points2d, in2d)),
    }


def twist_and_shape_losses(
    body: BodyModel,
    twist: Float[Tensor, "*g 23 2"],
    leaves: Float[Tensor, "*g 5 3 3"],
    shape: Float[Tensor, "*g S"],
    targets: Targets,
) -> dict[str, Float[Tensor, ""]]:
    """Eq. 9: mean over joints of the norm of (cos, sin); eq. 10: norm of the shape; the leaves' rotations are ours."""
    pose, (in_pose, in_shape) = targets.pose, of_fits(targets)
    rest = body.rest_joints(pose.shape)
    bones = rest[..., [_CHILD.get(j, 0) for j in range(1, len(SMPL24))], :] - rest[..., 1:, :]
    has_bone = torch.tensor([float(j in _CHILD) for j in range(1, len(SMPL24))]).to(rest)
    apart = (twist - twist_of(pose.rotations[..., 1:, :, :], bones)).norm(dim=-1)
    of_leaves = (leaves - pose.rotations[..., LEAVES, :, :]).flatten(-2).norm(dim=-1)
    return {
        "twist": mean_of_labelled((apart, in_pose[..., 1:] * has_bone)),
        "leaves": mean_of_labelled((of_leaves, in_pose[..., LEAVES])),
        "first_shape": norm(shape[..., None, :], pose.shape[..., None, :], in_shape[..., None, None]),
    }


def refiner_losses(
    refined: Theta, joints: Float[Tensor, "*g 24 3"], targets: Targets, side: int
) -> dict[str, Float[Tensor, ""]]:
    """Eq. 12: norms of 6D pose and of shape; eq. 13: squares of relative 3D and of projected 2D joints.

    `joints`: of the refined bodies, metres, their origin means nothing. The weak camera (s, tx, ty) projects into a
    crop `side` pixels wide, from -1 to 1. People of `body_weight` 0 do not count.
    """
    points3d, points2d, in3d, in2d = of_smpl(targets)
    in3d, in2d = (weight * targets.body_weight[..., None, None] for weight in (in3d, in2d))
    scale, shift = refined.camera[..., None, :1], refined.camera[..., None, 1:]
    shape, label = refined.shape[..., None, :], targets.pose.shape[..., None, :]
    in_pose, in_shape = of_fits(targets)
    return {
        "refined_pose": norm(refined.six, rotation_to_6d(targets.pose.rotations), in_pose[..., None]),
        "refined_shape": norm(shape, label, in_shape[..., None, None]),
        "refined_3d": summed(squared(_centred(joints, in3d), _centred(points3d, in3d), in3d)),
        "refined_2d": summed(squared(scale * (joints[..., :2] + shift), points2d * (2 / side) - 1, in2d)),
    }


def of_fits(targets: Targets) -> tuple[Tensor, Tensor]:
    """Weights of pose `*g 24` and shape `*g`, 0 for people who teach the skeleton alone."""
    return targets.pose_weight * targets.body_weight[..., None], targets.shape_weight * targets.body_weight


def of_smpl(targets: Targets) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """3D and 2D labels of SMPL's joints by name, and their weights `*g 24 1`, 0 for those that the set lacks."""
    here, there = targets.joint_set.map_to(SMPL24)
    at = dict(zip(there, here, strict=True))
    index = [at.get(j, 0) for j in range(len(SMPL24))]
    known = torch.tensor([float(j in at) for j in range(len(SMPL24))]).to(targets.points3d)
    in3d, in2d = (known * weight[..., index] for weight in (targets.points3d_weight, targets.points2d_weight))
    return targets.points3d[..., index, :], targets.points2d[..., index, :], in3d[..., None], in2d[..., None]


def _centred(points: Tensor, weight: Tensor) -> Tensor:
    """Points `*g K d` relative to the mean of those that have a weight `*g K 1`."""
    known = (weight > 0).to(points)
    return points - (known * points).sum(-2, keepdim=True) / known.sum(-2, keepdim=True).clamp(min=1)


def _fitted(flat: Tensor, pixels: Tensor, weight: Tensor) -> Tensor:
    """Points `*g K 2` moved and scaled to the mean and spread of the labelled pixels: MeTRAbs' orthographic camera."""
    known, from_middle, wanted = (weight > 0).to(flat), _centred(flat, weight), _centred(pixels, weight)
    ratio = (known * wanted).square().sum((-2, -1)) / (known * from_middle).square().sum((-2, -1)).clamp(min=1e-12)
    return from_middle * ratio.clamp(min=1e-12).sqrt()[..., None, None] + (pixels - wanted)
