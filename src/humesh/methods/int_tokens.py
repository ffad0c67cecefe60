"""INT (Yang et al., ICLR 2023): independent tokens for every joint's rotation, the shape and the camera.

The idea in six lines: 24 learned joint tokens, a shape token and a camera token are put in front of the patches that a
CNN makes of the crop, and go with them through a small vision transformer. Three linear layers read them: no mean pose,
no iterations, no kinematic chain. In a clip, the tokens of one joint in all frames are a sequence of their own, on
which a second small transformer, the same for all joints, learns how a joint turns through time (section 3.3). Shape
and camera are each frame's own.

As in the authors' code, ViT's class token stays in the sequence and nothing reads it. Not as there: the position code
of time is resized for other numbers of frames without being overwritten. A single photo is a clip of one frame and
goes through the temporal part too, as in the authors' training: their heads read nothing else after phase 1.

Ours: the CNNs of `Encoder` for small machines; `whole_pose` in its details; the weights to start from (ViT's rule, and
biases that are the rest pose and SPIN's mean camera); absent frames are not attended to. The parallel attention over
space and time of MAED, in the paper's comparison, is another method's and not here.
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
from humesh.losses.targets import Targets, body_points
from humesh.losses.terms import mean_of, velocity
from humesh.methods.base import ClipMethod, Prediction, of_present
from humesh.methods.rois import keypoint_box
from humesh.methods.spin import SpinEstimates, SpinLabels, spin_estimates, spin_labels, spin_losses
from humesh.methods.weights import KeyMap
from humesh.networks.attention import PreNormBlock
from humesh.networks.encoders import HYBRID, ImageNetColours, PatchEmbed
from humesh.people.person import Person

_JOINTS = len(SMPL24)
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

    def forward(self, joints: Float[Tensor, "B N J C"], present: Bool[Tensor, "B N"] | None) -> Tensor:
        """The joint tokens `B N J C`, each mixed with those of the same joint in the frames that are present."""
        group = joints.transpose(1, 2).shape[:2]
        mask = None if present is None else present[:, None].expand(*group, -1).flatten(0, 1)
        return self.through_time(joints.transpose(1, 2).flatten(0, 1), mask).unflatten(0, group).transpose(1, 2)

    def through_time(self, tokens: Float[Tensor, "S N C"], mask: Bool[Tensor, "S N"] | None) -> Tensor:
        """Sequences `S N C` through the blocks; True in the mask: may be looked at."""
        tokens = tokens + resized(self.position, tokens.shape[1])
        for block in self.blocks:
            tokens = block(tokens, mask=mask)
        return tokens


class WholePoseMotion(PerJointMotion):
    """Each frame's whole pose is one token of the sequence; what the paper compares the joints' own motion with.

    Section 4.2: a frame's joint tokens, each d / 24 wide, are concatenated to one of d. How they become so narrow, and
    d wide again, is ours: by linear layers that all joints share, and what came out is added to the tokens.
    """

    def __init__(self, config: IntConfig) -> None:
        super().__init__(config)
        self.narrow = nn.Linear(config.width, config.width // _JOINTS)
        self.wide = nn.Linear(config.width // _JOINTS, config.width)

    def forward(self, joints: Float[Tensor, "B N J C"], present: Bool[Tensor, "B N"] | None) -> Tensor:
        """The joint tokens `B N J C`, with what the poses of all frames that are present give."""
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
    """The sizes of a checkpoint of the authors': with or without the temporal part, of 16 or 64 frames."""
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

        self.colours, self.patch_embed = ImageNetColours(), PatchEmbed(config.encoder, config.width)
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

    def look(self, crops: Crops) -> Float[Tensor, "B N R C"]:
        """The frames' tokens for joints, shape and camera."""
        return of_present(lambda pixels: self.encode(self.colours(pixels)), crops.pixels, crops.present)

    def through_time(self, looked: Float[Tensor, "B N R C"], crops: Crops) -> Prediction:
        """The bodies of all frames from their tokens."""
        six, shape, weak = self.read(looked, crops.present)
        translation = crops.camera.translation_from_weak(weak, crops.size)
        return Prediction(BodyPose(rotation_from_6d_rows(six), shape, translation))

    def network(
        self, pixels: Float[Tensor, "B N 3 H W"], present: Bool[Tensor, "B N"] | None = None
    ) -> tuple[Float[Tensor, "B N J 6"], Float[Tensor, "B N S"], Float[Tensor, "B N 3"]]:
        """6D rotations (interleaved), shape and weak camera (s, tx, ty) of normalised pixels; None: all are present."""
        here = torch.ones(pixels.shape[:2], dtype=torch.bool, device=pixels.device) if present is None else present
        return self.read(of_present(self.encode, pixels, here), present)

    def read(
        self, tokens: Float[Tensor, "B N R C"], present: Bool[Tensor, "B N"] | None
    ) -> tuple[Float[Tensor, "B N J 6"], Float[Tensor, "B N S"], Float[Tensor, "B N 3"]]:
        """What the heads say of the frames' tokens, once the joints' have gone through time."""
        joints = tokens[..., :_JOINTS, :]
        if self.temporal is not None:
            joints = self.moved(joints, present)
        return self.joint_head(joints), self.shape_head(tokens[..., -2, :]), self.camera_head(tokens[..., -1, :])

    def moved(self, joints: Float[Tensor, "B N J C"], present: Bool[Tensor, "B N"] | None) -> Tensor:
        """The joint tokens after the temporal part; groups with one frame are images, clips of T = 1 (authors)."""
        assert self.temporal is not None
        if present is None or joints.shape[1] == 1 or torch.compiler.is_compiling():
            return self.temporal(joints, present)
        image = present.sum(-1) == 1
        if not bool(image.any()):
            return self.temporal(joints, present)
        at, moved = (image[:, None] & present).nonzero(as_tuple=True), joints
        moved = moved.index_put(at, self.temporal(joints[at][:, None], None)[:, 0])
        if bool(image.all()):
            return moved
        clips = (~image).nonzero(as_tuple=True)
        return moved.index_put(clips, self.temporal(joints[clips], present[clips]))

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
        made, true = spin_estimates(points, pose, targets, crops), int_labels(targets, crops)
        image, first = crops.present.sum(-1) == 1, crops.present.int().argmax(-1)
        parts = []
        for chosen in (~image, image):
            if not bool(chosen.any()):
                continue
            rows = chosen.nonzero()[:, 0]
            at = (rows[:, None], first[rows, None]) if chosen is image else (rows,)
            some = SpinEstimates(**{name: value[at] for name, value in vars(made).items()})
            labels = IntLabels(**{name: value[at] for name, value in vars(true).items()})
            parts.append((int(labels.present.sum()), int_losses(some, labels)))
        return mixed(parts)


@dataclass(frozen=True, eq=False)
class IntLabels(SpinLabels):
    """Labels of B people in T frames; `counted`: the frames that count in all losses but the 2D one."""

    present: Bool[Tensor, "B T"]
    counted: Bool[Tensor, "B T"]


def int_losses(made: SpinEstimates, true: IntLabels) -> dict[str, Float[Tensor, ""]]:
    """The losses of clips, or with T = 1 of images, which do not move; absent frames count nowhere (authors' code)."""
    counted, both = true.counted, true.counted[:, 1:] & true.counted[:, :-1]
    kp_2d, kp_3d, pose, shape = spin_losses(made, true, true.present, counted, true.fitted & counted)
    steps = mean_of(velocity(made.points, true.points, true.confidence3d), both[..., None, None])
    # The prior: the length of all parameters as one vector.
    vectors = torch.cat([rotation_to_axis_angle(made.rotations).flatten(-2), made.shape], dim=-1)
    norm = torch.where(counted[..., None], vectors, 0).norm() / counted.sum().clamp(min=1)
    return {"kp_2d": kp_2d, "kp_3d": kp_3d, "velocity": steps, "pose": pose, "shape": shape, "norm": norm}


def mixed(parts: list[tuple[int, dict[str, Tensor]]]) -> dict[str, Float[Tensor, ""]]:
    """The losses of clips and of images together, each part by its number of frames; what a part lacks is 0 there."""
    frames = max(sum(count for count, _ in parts), 1)
    names = dict.fromkeys(name for _, losses in parts for name in losses)
    return {name: sum(count / frames * losses[name] for count, losses in parts) for name in names}  # type: ignore[misc]


def int_labels(targets: Targets, crops: Crops) -> IntLabels:
    """A batch's labels in the units of the estimates; of clips those with some 3D label are counted, of images all."""
    labels, images = spin_labels(targets, crops), crops.present.sum(-1) == 1
    in_3d = (labels.confidence3d * crops.present[..., None]).flatten(1).any(-1) | images
    return IntLabels(**vars(labels), present=crops.present, counted=crops.present & in_3d[:, None])
