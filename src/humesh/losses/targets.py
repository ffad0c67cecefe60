"""Labels of a batch, each with a weight (0: no label), and the points of bodies that are compared with them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from humesh.body.joints import JointSet
from humesh.body.model import BodyModel, Rig
from humesh.body.pose import BodyPose
from humesh.geometry.camera import Camera
from humesh.losses.terms import absolute, centred, reduced

_HIPS = ("left_hip", "right_hip")
_NEAR_M = 0.2  # metres; points nearer to the camera are projected from there, so that no pixel runs away


@dataclass(frozen=True, eq=False)
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


def body_points(body: BodyModel, pose: BodyPose, joint_set: JointSet) -> Float[Tensor, "*g K 3"]:
    """The points of posed bodies, metres; without skinning the whole surface where the body allows it."""
    if body.data.pose_directions is not None:
        return body.points(body(pose), joint_set)
    rig = _rig(body, joint_set, pose.shape.dtype, pose.shape.device)
    group = pose.shape.shape[:-1]
    flat = BodyPose(pose.rotations.flatten(0, -4), pose.shape.flatten(0, -2), pose.translation.flatten(0, -2))
    return rig.points(body, flat)[0].unflatten(0, group)


@lru_cache(maxsize=8)
def _rig(body: BodyModel, joint_set: JointSet, dtype: torch.dtype, device: torch.device) -> Rig:
    body.data.check_has(joint_set)
    rig, _ = Rig.of(body, joint_set)
    return Rig(*(getattr(rig, field.name).to(device, dtype) for field in fields(Rig)))


def body_pixels(points: Float[Tensor, "*g K 3"], camera: Camera) -> Float[Tensor, "*g K 2"]:
    """Where points (metres, camera frame) are in the pictures of a camera, px; those at or behind it, 0.2 m before."""
    return camera.project(torch.cat([points[..., :2], points[..., 2:].clamp(min=_NEAR_M)], dim=-1))


def normalised(pixels: Float[Tensor, "*g K 2"], size: tuple[int, int]) -> Float[Tensor, "*g K 2"]:
    """Pixels of crops of (height, width), each axis from -1 to 1."""
    return pixels / (torch.tensor(size[::-1]).to(pixels) / 2) - 1


def about_hips(points: Float[Tensor, "*g K 3"], joint_set: JointSet) -> Float[Tensor, "*g K 3"]:
    """Points relative to the middle of the hips."""
    return centred(points, *joint_set.indices(*_HIPS))


def labelled_about_hips(targets: Targets) -> tuple[Float[Tensor, "*g K 3"], Float[Tensor, "*g K"]]:
    """Labelled 3D points relative to the middle of the hips, and their weights, 0 where a hip has no label."""
    hips = targets.points3d_weight[..., targets.joint_set.indices(*_HIPS)].amin(-1, keepdim=True)
    return about_hips(targets.points3d, targets.joint_set), targets.points3d_weight * (hips > 0)


def body_losses(
    body: BodyModel, pose: BodyPose, camera: Camera, size: tuple[int, int], targets: Targets
) -> dict[str, Float[Tensor, ""]]:
    """Means of absolute errors of posed bodies, by name; what has no label counts as 0.

    `camera` and `size` (height, width) are the crops'. "rotations": entries of matrices; "shape": betas; "points3d":
    metres, both sides about the mean of what is labelled; "points2d": in half crop heights.
    """
    points = body_points(body, pose, targets.joint_set)
    weight3d, weight2d = targets.points3d_weight[..., None], targets.points2d_weight[..., None]
    half = size[0] / 2
    terms = {
        "rotations": absolute(pose.rotations, targets.pose.rotations, targets.pose_weight[..., None, None]),
        "shape": absolute(pose.shape, targets.pose.shape, targets.shape_weight[..., None]),
        "points3d": absolute(_about_mean(points, weight3d), _about_mean(targets.points3d, weight3d), weight3d),
        "points2d": absolute(body_pixels(points, camera) / half, targets.points2d / half, weight2d),
    }
    return {name: reduced(term) for name, term in terms.items()}


def _about_mean(points: Tensor, weight: Tensor) -> Tensor:
    return points - (points * weight).sum(-2, keepdim=True) / weight.sum(-2, keepdim=True).clamp(min=1e-6)
