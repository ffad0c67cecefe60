"""Labels of a batch, each with a weight beside it: a missing label is weight 0, never None."""

from __future__ import annotations

from dataclasses import dataclass, replace

from jaxtyping import Float, Int
from torch import Tensor

from humesh.body.joints import JointSet
from humesh.body.pose import BodyPose

Term = tuple[Tensor, Tensor]
"""Errors of any shape, unreduced, and their weights, which broadcast to it."""


@dataclass(frozen=True)
class Targets:
    """What is known of the people in crops; `*g` is B groups of N crops.

    Rotations and points are in the axes of the crop's camera (a rolled crop has rolled labels), 3D in metres, 2D in
    crop pixels; `metric_weight`: 1 where the 3D points stand where the person stood, 0 where only their differences
    count; `body_weight`: 0 where a person teaches the skeleton alone (IK-refine's L_P), else 1. A person's `identity`
    is a number that all crops of the same person share.
    """

    pose: BodyPose
    pose_weight: Float[Tensor, "*g J"]
    shape_weight: Float[Tensor, "*g"]
    translation_weight: Float[Tensor, "*g"]
    joint_set: JointSet
    points3d: Float[Tensor, "*g K 3"]
    points3d_weight: Float[Tensor, "*g K"]
    points2d: Float[Tensor, "*g K 2"]
    points2d_weight: Float[Tensor, "*g K"]
    identity: Int[Tensor, "*g"]
    metric_weight: Float[Tensor, "*g"]
    body_weight: Float[Tensor, "*g"]

    def only(self, joint_set: JointSet) -> Targets:
        """The same labels with the points of another joint set, chosen by name; ValueError where one is missing."""
        at = self.joint_set.indices(*joint_set.names)
        return replace(
            self,
            joint_set=joint_set,
            points3d=self.points3d[..., at, :],
            points3d_weight=self.points3d_weight[..., at],
            points2d=self.points2d[..., at, :],
            points2d_weight=self.points2d_weight[..., at],
        )
