"""INT (Yang et al., ICLR 2023): independent tokens for every joint's rotation, the shape and the camera.

24 learned joint tokens, a shape token and a camera token are put in front of the patches that a
CNN makes of the crop, and go with them through a small vision transformer. Three linear layers read them: no mean pose,
no iterations, no kinematic chain. In a clip, the tokens of one joint in all frames are a sequence of their own, on
which a second small transformer, the same for all joints, learns how a joint turns through time (section 3.3). Shape
and camera are each frame's own.

As in the authors' code, ViT's class token stays in the sequence and nothing reads it, and a photo is a clip of one
frame that goes through the temporal part too. Ours: CNNs of `Encoder`, `whole_pose` in its details, the weights to
start from, the position code of time resized for any number of frames, and no attention to absent frames.

The loss is the authors' code's: confidence x squared errors, pose as matrices, and a prior on parameters. Clips and
images are two batches with their own means, mixed by their numbers of frames.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from humesh.body.joints import SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.crops.crops import Box, Crops, CropSpec
from humesh.geometry.rotations import rotation_from_6d_rows, rotation_to_axis_angle
from humesh.losses import (
    Label,
    Targets,
    body_points,
    labelled_about_hips,
    mean_of,
    spin_estimates,
    spin_labels,
    velocity,
)
from humesh.methods.base import ClipMethod, KeyMap, Prediction, of_present
from humesh.methods.rois import keypoint_box
from humesh.networks.attention import PreNormBlock
from humesh.networks.encoders import HYBRID, PatchEmbed, imagenet_normalised
from humesh.people.person import Person

_JOINTS = len(SMPL24)
_LOSSES = ("kp_2d", "kp_3d", "pose", "shape")
_READ = _JOINTS + 2  # tokens that the heads read: joints, shape, camera


@dataclass(frozen=True)
class IntConfig:
    """The paper's tables 2 and 3. `encoder`: see `PatchEmbed`.

    `frames`: length of the position code of time, 16 or 64 in the released files; clips may have any length.
    """

    encoder: str = HYBRID
    crop: tuple[int, int] = (224, 224)  # height, width px
    width: int = 768
    heads: int = 12
    depth: int = 6
    mlp_ratio: int = 4
    temporal: Literal["none", "per_joint", "whole_pose"] = "per_joint"
    frames: int = 16
    interval: int = 8  # from one frame of a clip to the next in training
    temporal_depth: int = 3

    def __post_init__(self) -> None:
        if self.temporal == "whole_pose" and self.width % _JOINTS:
            raise ValueError(f"width: expected a multiple of {_JOINTS} for whole_pose, got {self.width}.")


def resized(code: Float[Tensor, "1 T C"], frames: int) -> Float[Tensor, "1 N C"]:
    """The position code of time for another number of frames: linear between the middles of the old places."""
    if frames == code.shape[1]:
        return code
    return interpolate(code.mT, size=frames, mode="linear", align_corners=False).mT


def _blocks(config: IntConfig, depth: int) -> nn.ModuleList:
    hidden = config.mlp_ratio * config.width
    return nn.ModuleList([PreNormBlock(config.width, config.heads, hidden) for _ in range(depth)])


class PerJointMotion(nn.Module):
    """Each joint of each clip is one sequence; joints share the weights and know nothing of each other."""

    def __init__(self, config: IntConfig) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.zeros(1, config.frames, config.width))
        self.blocks = _blocks(config, config.temporal_depth)  # nothing normalises what they give: the authors' code

    def forward(self, joints: Float[Tensor, "B N J C"], present: Bool[Tensor, "B N"]) -> Float[Tensor, "B N J C"]:
        """The joint tokens, each mixed with those of the same joint in the frames that are present."""
        group = joints.transpose(1, 2).shape[:2]
        mask = present[:, None].expand(*group, -1).flatten(0, 1)
        return self.through_time(joints.transpose(1, 2).flatten(0, 1), mask).unflatten(0, group).transpose(1, 2)

    def through_time(self, tokens: Float[Tensor, "S N C"], mask: Bool[Tensor, "S N"]) -> Float[Tensor, "S N C"]:
        """Sequences through the blocks."""
        tokens = tokens + resized(self.position, tokens.shape[1])
        for block in self.blocks:
            tokens = block(tokens, mask=mask)
        return tokens


class WholePoseMotion(PerJointMotion):
    """Each frame's whole pose is one token, of joint tokens d / 24 wide (section 4.2, a comparison).

    Ours: linear layers that all joints share make them so narrow, and what comes out is added to the tokens.
    """

    def __init__(self, config: IntConfig) -> None:
        super().__init__(config)
        self.narrow = nn.Linear(config.width, config.width // _JOINTS)
        self.wide = nn.Linear(config.width // _JOINTS, config.width)

    def forward(self, joints: Float[Tensor, "B N J C"], present: Bool[Tensor, "B N"]) -> Float[Tensor, "B N J C"]:
        """The joint tokens, with what the poses of all frames that are present give."""
        moved = self.through_time(self.narrow(joints).flatten(-2), present)
        return joints + self.wide(moved.unflatten(-1, (_JOINTS, -1)))


_MOTIONS = {"per_joint": PerJointMotion, "whole_pose": WholePoseMotion}


def person_square(person: Person, size: tuple[int, int]) -> Box:
    """The square of side 1.1 x the diagonal of the tight box of the keypoints seen, else of the person's own box.

    The authors' preparation of 3DPW, without its smoothing along the track.
    """
    box = keypoint_box(person, size)
    half = 1.1 * math.hypot(*(box[2:] - box[:2])) / 2
    return np.concatenate([(box[:2] + box[2:]) / 2 - half, (box[:2] + box[2:]) / 2 + half])


def _authors_config(state: Mapping[str, Tensor]) -> IntConfig:
    """The sizes of a checkpoint of the authors'."""
    state = {key.removeprefix("module."): value for key, value in state.items()}
    side = 16 * math.isqrt(state["pos_embed"].shape[1] - 1)
    code = state.get("temporal_pos_embedding")
    moving = {"temporal": "none"} if code is None else {"temporal": "per_joint", "frames": code.shape[1]}
    return IntConfig(crop=(side, side), **moving)


class IntTokens(ClipMethod):
    """The whole method. `network` takes normalised pixels, as the authors' does; `forward` takes crops."""

    config_type = IntConfig
    authors_keys: ClassVar[KeyMap | None] = KeyMap(
        renames=(
            (r"^module\.", ""),
            (r"^joint3d_", "joint_"),
            (r"^cam_", "camera_"),
            (r"^temporal_transformer", "temporal.blocks"),
            (r"^temporal_pos_embedding", "temporal.position"),
        ),
        dropped={r"^(module\.)?smpl\.": "the body model's own arrays"},
        config=_authors_config,
    )

    def __init__(self, config: IntConfig, body: BodyModel) -> None:
        super().__init__(config, body)
        count = 1 if config.temporal == "none" else config.frames
        self.spec = CropSpec(config.crop, "frames", count, box=person_square, margin=1.1)  # 1.1: authors' evaluation

        def token(count: int) -> nn.Parameter:
            return nn.Parameter(torch.zeros(1, count, config.width))

        self.patch_embed = PatchEmbed(config.encoder, config.width)
        stride = self.patch_embed.stride
        rows, columns = (side // stride for side in config.crop)
        if (rows * stride, columns * stride) != config.crop:
            raise ValueError(f"crop: expected multiples of {stride} px, got {config.crop}.")
        self.cls_token, self.pos_embed = token(1), token(1 + rows * columns)
        self.joint_tokens, self.shape_token, self.camera_token = token(_JOINTS), token(1), token(1)
        self.blocks, self.norm = _blocks(config, config.depth), nn.LayerNorm(config.width, eps=1e-6)
        self.temporal = None if config.temporal == "none" else _MOTIONS[config.temporal](config)
        self.joint_head = nn.Linear(config.width, 6)
        self.shape_head = nn.Linear(config.width, body.shapes)
        self.camera_head = nn.Linear(config.width, 3)
        self._start()

    @torch.no_grad()
    def _start(self) -> None:
        """Weights to start from. Truncated normal, std 0.02: the authors' tokens, ViT's layers; the rest is ours."""
        for name, parameter in self.named_parameters(recurse=False):
            assert name.endswith(("_token", "_tokens", "_embed"))
            nn.init.trunc_normal_(parameter, std=0.02)
        if self.temporal is not None:
            nn.init.trunc_normal_(self.temporal.position, std=0.02)
        for part in (self.blocks, self.temporal or nn.Identity(), self.joint_head, self.shape_head, self.camera_head):
            for layer in part.modules():
                if isinstance(layer, nn.Linear):
                    nn.init.trunc_normal_(layer.weight, std=0.02)
                    nn.init.zeros_(layer.bias)
        self.joint_head.bias[[0, 3]] = 1.0  # the identity, interleaved: no joint is bent much
        self.camera_head.bias[0] = 0.9  # the scale of SPIN's mean camera; about 0, bodies would start infinitely far,
        self.camera_head.weight /= 10  # and with much spread behind the camera

    def frame_features(self, crops: Crops) -> Float[Tensor, "B N R C"]:
        """The frames' tokens for joints, shape and camera."""
        return of_present(lambda pixels: self.encode(imagenet_normalised(pixels)), crops.pixels, crops.present)

    def through_time(self, features: Float[Tensor, "B N R C"], crops: Crops) -> Prediction:
        """The bodies of all frames from their tokens."""
        six, shape, weak = self.read(features, crops.present)
        translation = crops.camera.translation_from_weak(weak, crops.size)
        return Prediction(BodyPose(rotation_from_6d_rows(six), shape, translation))

    def network(self, pixels: Float[Tensor, "B N 3 H W"]) -> tuple[Tensor, Tensor, Tensor]:
        """What `read` gives of normalised pixels, all of whose frames are present."""
        present = torch.ones(pixels.shape[:2], dtype=torch.bool, device=pixels.device)
        return self.read(self.encode(pixels.flatten(0, 1)).unflatten(0, present.shape), present)

    def read(
        self, tokens: Float[Tensor, "B N R C"], present: Bool[Tensor, "B N"]
    ) -> tuple[Float[Tensor, "B N J 6"], Float[Tensor, "B N S"], Float[Tensor, "B N 3"]]:
        """6D rotations (interleaved), shape and weak camera (s, tx, ty) from the frames' tokens."""
        joints = tokens[..., :_JOINTS, :]
        if self.temporal is not None:
            joints = self.moved(self.temporal, joints, present)
        return self.joint_head(joints), self.shape_head(tokens[..., -2, :]), self.camera_head(tokens[..., -1, :])

    def moved(self, temporal: nn.Module, joints: Float[Tensor, "B N J C"], present: Bool[Tensor, "B N"]) -> Tensor:
        """The joint tokens after the temporal part; groups with one frame are images, clips of T = 1 (authors)."""
        image = present.sum(-1) == 1
        if joints.shape[1] == 1 or torch.compiler.is_compiling() or not bool(image.any()):
            return temporal(joints, present)
        at, clips = (image[:, None] & present).nonzero(as_tuple=True), (~image).nonzero(as_tuple=True)
        moved = joints.index_put(at, temporal(joints[at][:, None], present[at][:, None])[:, 0])
        return moved.index_put(clips, temporal(joints[clips], present[clips])) if len(clips[0]) else moved

    def encode(self, pixels: Float[Tensor, "F 3 H W"]) -> Float[Tensor, "F R C"]:
        """The R = 26 tokens of each frame for joints, shape and camera, normalised."""
        every = (len(pixels), -1, -1)
        seen = torch.cat([self.cls_token.expand(every), self.patch_embed(pixels)], dim=1) + self.pos_embed
        prior = torch.cat([self.joint_tokens, self.shape_token, self.camera_token], dim=1)
        tokens = torch.cat([prior.expand(every), seen], dim=1)
        *blocks, last = self.blocks
        for block in blocks:
            tokens = block(tokens)
        return self.norm(last(tokens, first=_READ))  # only these are read

    def objective(self, crops: Crops, prediction: Prediction, targets: Targets) -> dict[str, Float[Tensor, ""]]:
        """`int_losses` of a batch's clips and of its images (groups with a single frame), each with its own means."""
        pose = prediction.pose.map(Tensor.float)
        points = body_points(self.bodies[0], pose, targets.joint_set)
        estimates = spin_estimates(points, pose, targets.joint_set, crops.camera, crops.size)
        made = dict(zip(_LOSSES, estimates, strict=True))
        true, image = int_labels(targets, crops), crops.present.sum(-1) == 1
        clips, images = (~image).nonzero(as_tuple=True), (image[:, None] & crops.present).nonzero(as_tuple=True)
        parts = []
        for at, frames in ((clips, crops.present[clips].sum()), (images, image.sum())):
            if not int(frames):
                continue

            def of_part(tensor: Tensor, at: tuple[Tensor, ...] = at) -> Tensor:
                return tensor[at] if len(at) == 1 else tensor[at][:, None]  # an image is a clip of one frame

            labels = {name: Label(*map(of_part, label)) for name, label in true.items()}
            parts.append((int(frames), int_losses({name: of_part(value) for name, value in made.items()}, labels)))
        return mixed(parts)


def int_losses(made: Mapping[str, Tensor], true: Mapping[str, Label]) -> dict[str, Float[Tensor, ""]]:
    """The losses of clips, or with T = 1 of images, which do not move; of people `B T`."""
    losses, (points, confidence, counted) = {name: true[name].loss(made[name]) for name in _LOSSES}, true["kp_3d"]
    steps = velocity(made["kp_3d"], points, confidence[..., 0])
    losses["velocity"] = mean_of(steps, counted[:, 1:] & counted[:, :-1])
    # The prior: the length of all parameters as one vector.
    vectors = torch.cat([rotation_to_axis_angle(made["pose"]).flatten(-2), made["shape"]], dim=-1)
    losses["norm"] = torch.where(counted[..., 0], vectors, 0).norm() / counted.sum().clamp(min=1)
    return losses


def mixed(parts: list[tuple[int, dict[str, Tensor]]]) -> dict[str, Float[Tensor, ""]]:
    """The losses of clips and of images together, each part by its number of frames; what a part lacks is 0 there."""
    frames = max(sum(count for count, _ in parts), 1)
    names = dict.fromkeys(name for _, losses in parts for name in losses)
    return {name: sum(count / frames * losses[name] for count, losses in parts) for name in names}  # type: ignore[misc]


def int_labels(targets: Targets, crops: Crops) -> dict[str, Label]:
    """A batch's labels. All but 2D counts in images and in clips with some 3D label; absent frames count nowhere."""
    present, (_, confidence3d) = crops.present, labelled_about_hips(targets)
    in_3d = (confidence3d * present[..., None]).flatten(1).any(-1) | (present.sum(-1) == 1)
    counted = present & in_3d[:, None]
    return dict(zip(_LOSSES, spin_labels(targets, crops.size, present, counted, counted), strict=True))
