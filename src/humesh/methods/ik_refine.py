"""Multi-person inverse kinematics and refinement (Cha, Saqlain, Kim, Shin, Baek, ECCV 2022; arXiv 2210.13529).

One encoder sees each person's crop; heatmaps give the 2D joints P_img and a relative 3D skeleton P_rel (f_P: MeTRAbs,
section 3.1), intrinsics make it absolute; the pooled features give twists and beta_init (f_TS); analytic inverse
kinematics makes rotations of skeleton and twists (section 3.2, eq. 1-4); f_Ref, a transformer over the joints of N
people near each other, refines pose, shape and camera (section 3.3, eq. 5).

Training: eq. 7-13, of which no code exists. Norms and squares are sums over a person's joints and axes, as printed, and
each loss is their mean over the people who have the label [O]; joints without a label count as 0.

Ours, where the paper is silent: leaf joints' rotations are predicted (as in HybrIK's 24-joint form) and supervised;
people are near by their absolute pelvis; the refined body has its pelvis where the skeleton has it; padding is masked,
so that nobody's result depends on absent crops (`mask_padding`; the authors do not, and parity is checked that way).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from humesh.body.joints import SMPL24
from humesh.body.kinematics import bone_children, inverse_kinematics, twist_of
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.crops.crops import Crops, CropSpec
from humesh.geometry.absolute import absolute_points, inside_image
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_from_6d, rotation_from_quaternion, rotation_to_6d
from humesh.losses import Targets, Term, absolute, mean_of_labelled, squared
from humesh.methods.base import Method, Prediction, of_present
from humesh.networks.encoders import Encoder, imagenet_normalised
from humesh.networks.heads import STRIDE, VOLUME_M, SkeletonHead, TwistHead
from humesh.networks.refiner import Refiner, Theta

_CHILD = {SMPL24.index(joint): SMPL24.index(child) for joint, child in bone_children(SMPL24).items()}
LEAVES = [joint for joint in range(len(SMPL24)) if joint not in _CHILD]
_START_CAMERA = (0.9, 0.0, 0.0)  # the authors' C_init
# Each joint's place among the leaves' rotations and an identity after them.
_GIVEN = [LEAVES.index(joint) if joint in LEAVES else len(LEAVES) for joint in range(len(SMPL24))]
_PELVIS = SMPL24.index("pelvis")


@dataclass(frozen=True)
class IkRefineConfig:
    """The network's sizes and the choices that the paper's tables vary."""

    encoder: str = "resnet50"
    size: int = 256  # crop side, px
    depth_bins: int = 8
    twist_width: int = 1024
    dropout: float = 0.5
    chain: Literal["adaptive", "naive"] = "adaptive"
    fallback_m: float | None = 0.015
    refiner: Literal["relation", "none"] = "relation"
    people: int = 3  # N, table 4: 1 to 4
    width: int = 1024
    depth: int = 2
    heads: int = 4
    head_width: int = 64
    hidden: int = 2048
    positions: Literal["none", "learned"] = "none"
    mask_share: float = 0.3  # of the joint tokens, at most, hidden in training
    mask_padding: bool = True
    head_gain: float = 0.0  # of the refiner's last layers at first; 0: training starts from the IK's result

    def __post_init__(self) -> None:
        if self.size % STRIDE or self.size < 2 * STRIDE:
            raise ValueError(f"size: expected a crop of a multiple of 32 px from 64 up, got {self.size}.")
        if self.people < 1:
            raise ValueError(f"people: expected at least 1, the person refined, got {self.people}.")


@dataclass(frozen=True, eq=False)
class IkRefinePrediction(Prediction):
    """The refined bodies with everything on the way to them; 2D in crop pixels, 3D in metres."""

    skeleton: Float[Tensor, "*g 24 3"]  # P, absolute, in the photo's camera
    relative: Float[Tensor, "*g 24 3"]  # P_rel, its origin means nothing
    points2d: Float[Tensor, "*g 24 2"]  # P_img
    twist: Float[Tensor, "*g 23 2"]  # (cos, sin) of joints 1..23, of any length
    leaves: Float[Tensor, "*g 5 3 3"]
    first_pose: BodyPose  # of the inverse kinematics
    start: Theta  # Theta_init, from which the refiner starts
    refined: Theta  # Theta_ref, before the six numbers of a rotation are made orthonormal


class IkRefine(Method):
    """The whole method: everyone in a photo, each with those nearest to them."""

    config_type = IkRefineConfig
    config: IkRefineConfig

    def __init__(self, config: IkRefineConfig, body: BodyModel) -> None:
        super().__init__(config, body)
        self.spec = CropSpec((config.size, config.size), "people", None, margin=1.2)  # 1.2: the authors' crop
        self.body = body
        self.encoder = Encoder(config.encoder)
        width, joints = self.encoder.width, len(SMPL24)
        self.skeleton = SkeletonHead(width, joints, config.depth_bins)
        self.twist = TwistHead(width, config.twist_width, body.shapes, joints - 1, len(LEAVES), config.dropout)
        self.refiner = None
        if config.refiner == "relation":
            self.refiner = Refiner(
                *(width, config.width, config.depth, config.heads, config.head_width, config.hidden),
                *(body.shapes, joints, config.people),
                positions=config.positions,
                head_gain=config.head_gain,
            )

    @property
    def stages(self) -> tuple[str, ...]:
        """Table 4's rows of one model: the skeleton P alone, and the inverse kinematics without the refiner."""
        return ("skeleton", "inverse_kinematics")

    def use_stage(self, stage: str) -> None:
        """Later predictions have the body before the refiner; `skeleton` is in every prediction."""
        self.refiner = None

    def forward(self, crops: Crops) -> IkRefinePrediction:
        config, group, present = self.config, crops.present.shape, crops.present
        features = of_present(lambda pixels: self.encoder(imagenet_normalised(pixels)), crops.pixels, present)
        features = features.flatten(0, 1)
        pooled = features.mean((-2, -1)).unflatten(0, group)
        points2d, relative = (points.unflatten(0, group) for points in self.skeleton(features))
        eye = torch.eye(3).to(relative)
        camera = Camera(torch.where(present[..., None, None], crops.camera.matrix, eye))
        inside = inside_image(points2d, crops.size, 0.75 * STRIDE)  # 0.75: MeTRAbs
        skeleton = absolute_points(relative, points2d, camera, inside)
        twist, shape, quaternions = (part.to(relative) for part in self.twist(pooled))
        leaves = rotation_from_quaternion(quaternions)
        given = torch.cat([leaves, eye.expand(*group, 1, 3, 3)], dim=-3)[..., _GIVEN, :, :]
        with torch.autocast(skeleton.device.type, enabled=False):
            rotations = inverse_kinematics(
                *(skeleton, self.body.rest_joints(shape), twist),
                given_rotations=given,
                chain=config.chain,
                fallback_m=config.fallback_m,
            )
        start = Theta(rotation_to_6d(rotations), shape, torch.tensor(_START_CAMERA).to(shape).expand(*group, 3))
        if self.refiner is not None:
            start = Theta(start.six.detach(), start.shape.detach(), start.camera)
        refined = start.plus(self.changes(present, pooled.to(relative), start, skeleton[..., _PELVIS, :]))
        first_pose = self._placed(rotations, shape, skeleton)
        pose = self._placed(rotation_from_6d(refined.six), refined.shape, skeleton)
        return IkRefinePrediction(pose, skeleton, relative, points2d, twist, leaves, first_pose, start, refined)

    def _placed(self, rotations: Tensor, shape: Tensor, skeleton: Tensor) -> BodyPose:
        """The pose with its pelvis where the skeleton's is."""
        with torch.autocast(shape.device.type, enabled=False):
            pelvis = self.body.rest_joints(shape)[..., _PELVIS, :]
        return BodyPose(rotations, shape, skeleton[..., _PELVIS, :] - pelvis)

    def changes(
        self,
        present: Bool[Tensor, "B M"],
        pooled: Float[Tensor, "B M F"],
        start: Theta,
        pelvis: Float[Tensor, "B M 3"],
    ) -> Theta:
        """The refiner's changes of M people: in one run for up to N, else in a run for each with the N - 1 nearest."""
        if self.refiner is None:
            return Theta(torch.zeros_like(start.six), torch.zeros_like(start.shape), torch.zeros_like(start.camera))
        config, (batch, people) = self.config, present.shape
        padding = self.refiner.padding(torch.tensor(_START_CAMERA).to(pooled))
        tokens = torch.where(present[..., None, None], self.refiner.tokens(pooled, start), padding)
        if people <= config.people:
            targets, rows = people, torch.arange(people, device=present.device).expand(batch, 1, people)
        else:
            apart = (pelvis[:, :, None] - pelvis[:, None]).square().sum(-1).detach()
            apart = torch.where(present[:, None], apart, torch.inf)
            apart = apart.masked_fill(torch.eye(people, device=present.device).bool(), -1.0)  # the target comes first
            targets, rows = 1, apart.topk(config.people, largest=False).indices
        members = rows.flatten(1)[..., None, None].expand(-1, -1, *tokens.shape[2:])
        tokens = tokens.gather(1, members).unflatten(1, rows.shape[1:]).flatten(0, 1)
        there = present.gather(1, rows.flatten(1)).unflatten(1, rows.shape[1:]).flatten(0, 1)
        if not config.mask_padding and people < config.people:  # the authors' padding, which others attend to
            more = config.people - people
            tokens = torch.cat([tokens, padding.expand(batch, more, *padding.shape)], dim=1)
            there = torch.cat([there, there.new_zeros(batch, more)], dim=1)
        if self.training and config.mask_share:
            tokens = self.refiner.hidden(tokens, there, config.mask_share)
        change = self.refiner(tokens, targets, there if config.mask_padding else None)
        parts = (part.reshape(batch, people, *part.shape[2:]) for part in (change.six, change.shape, change.camera))
        return Theta(*parts)

    def objective(self, crops: Crops, prediction: IkRefinePrediction, targets: Targets) -> dict[str, Float[Tensor, ""]]:
        """Eq. 7, 9-10 and, with the refiner, 12-13."""
        p, (side, _) = prediction, crops.size
        losses = skeleton_losses(p.skeleton, p.relative, p.points2d, targets, VOLUME_M / side)
        losses |= twist_and_shape_losses(self.body, p.twist, p.leaves, p.first_pose.shape, targets)
        if self.refiner is None:
            return losses
        joints = self.body.joints(BodyPose(p.pose.rotations, p.pose.shape, torch.zeros_like(p.pose.translation)))
        return losses | refiner_losses(p.refined, joints, targets, side)


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
    terms = {
        "skeleton_absolute": absolute(skeleton, points3d, in3d * targets.metric_weight[..., None, None]),
        "skeleton_relative": absolute(_centred(relative, in3d), _centred(points3d, in3d), in3d),
        "skeleton_2d": absolute(metre * pixels, metre * points2d, in2d),
        "skeleton_projected": absolute(metre * flat, metre * points2d, in2d),
    }
    return {name: summed(term) for name, term in terms.items()}


def twist_and_shape_losses(
    body: BodyModel,
    twist: Float[Tensor, "*g 23 2"],
    leaves: Float[Tensor, "*g 5 3 3"],
    shape: Float[Tensor, "*g S"],
    targets: Targets,
) -> dict[str, Float[Tensor, ""]]:
    """Eq. 9: mean over joints of the norm of (cos, sin); eq. 10: norm of the shape; the leaves' rotations are ours."""
    pose, (in_pose, in_shape) = targets.pose, of_fits(targets)
    rest, joints = body.rest_joints(pose.shape), range(1, len(SMPL24))
    bones = rest[..., [_CHILD.get(j, 0) for j in joints], :] - rest[..., 1:, :]
    has_bone = torch.tensor([float(j in _CHILD) for j in joints]).to(rest)
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
    points3d, points2d, *known = of_smpl(targets)
    in3d, in2d = (weight * targets.body_weight[..., None, None] for weight in known)
    (in_pose, in_shape), label = of_fits(targets), targets.pose
    scale, shift = refined.camera[..., None, :1], refined.camera[..., None, 1:]
    return {
        "refined_pose": norm(refined.six, rotation_to_6d(label.rotations), in_pose[..., None]),
        "refined_shape": norm(refined.shape[..., None, :], label.shape[..., None, :], in_shape[..., None, None]),
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
