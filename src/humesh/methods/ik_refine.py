"""Multi-person inverse kinematics and refinement (Cha, Saqlain, Kim, Shin, Baek, ECCV 2022; arXiv 2210.13529).

The idea in five lines: one encoder sees each person's crop; heatmaps give the 2D joints P_img and a relative 3D
skeleton P_rel (f_P: MeTRAbs, section 3.1), intrinsics make it absolute; the pooled features give twists and beta_init
(f_TS); analytic inverse kinematics makes rotations of skeleton and twists (section 3.2, eq. 1-4); f_Ref, a transformer
over the joints of N people near each other, refines pose, shape and camera (section 3.3, eq. 5). Training: eq. 7-13 are
in `ik_loss.py`.

Ours, where the paper is silent: leaf joints' rotations are predicted (as in HybrIK's 24-joint form) and supervised; a
crop's intrinsics are its affine map times the photo's; people are near by their absolute pelvis; the refined body has
its pelvis where the skeleton has it; padding is masked, so that nobody's result depends on crops that are not there
(`mask_padding`; the authors do not mask it, and parity is checked that way).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from humesh.body.joints import SMPL24
from humesh.body.kinematics import inverse_kinematics
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.crops.crops import Crops, CropSpec
from humesh.geometry.absolute import absolute_points, inside_image
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_from_6d, rotation_from_quaternion, rotation_to_6d
from humesh.losses.targets import Targets
from humesh.methods.base import Method, Prediction, of_present
from humesh.methods.ik_loss import LEAVES, refiner_losses, skeleton_losses, twist_and_shape_losses
from humesh.methods.weights import KeyMap
from humesh.networks.encoders import Encoder, ImageNetColours
from humesh.networks.heads import STRIDE, VOLUME_M, SkeletonHead, TwistHead
from humesh.networks.refiner import Refiner, Theta

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


# Only the refiner was released; these are the names that its parity arrays have, its authors' own ones we never saw.
REFINER_KEYS = (
    (r"^block(\d+)\.", r"blocks.\1."), (r"\.ln_attn\.", ".norm1."), (r"\.ln_mlp\.", ".norm2."),
    (r"\.qkv\.", ".attn.qkv."), (r"\.attn_out\.", ".attn.proj."), (r"\.mlp_in\.", ".mlp.fc1."),
    (r"\.mlp_out\.", ".mlp.fc2."), (r"^head_pose\.", "pose."), (r"^head_(\w+)_a\.", r"\1.0."),
    (r"^head_(\w+)_b\.", r"\1.1."), (r"betas\.", "shape."), (r"cam\.", "camera."),
)  # fmt: skip


def _refiner_config(state: Mapping[str, Tensor]) -> IkRefineConfig:
    """The sizes that the tensors of a refiner show; the number of heads they do not."""
    return IkRefineConfig(
        width=len(state["embed.weight"]),
        depth=sum(bool(re.fullmatch(r"block\d+\.qkv\.weight", key)) for key in state),
        head_width=len(state["block0.qkv.weight"]) // 3 // IkRefineConfig.heads,
        hidden=len(state["block0.mlp_in.weight"]),
    )


class IkRefine(Method):
    """The whole method: everyone in a photo, each with those nearest to them."""

    config_type = IkRefineConfig
    config: IkRefineConfig
    authors_keys: ClassVar[KeyMap | None] = KeyMap(
        renames=REFINER_KEYS, dropped={}, config=_refiner_config, part="refiner"
    )

    def __init__(self, config: IkRefineConfig, body: BodyModel) -> None:
        super().__init__(config, body)
        self.spec = CropSpec((config.size, config.size), "people", None, margin=1.2)  # 1.2: the authors' crop
        self.body = body
        self.colours, self.encoder = ImageNetColours(), Encoder(config.encoder)
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
        features = of_present(lambda pixels: self.encoder(self.colours(pixels)), crops.pixels, present).flatten(0, 1)
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
