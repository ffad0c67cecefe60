"""JOTR (Li, Yang, Wang, Ma, Zhou, Yang; ICCV 2023; arXiv 2307.16377): an occluded person from a crop and keypoints.

Heatmaps of the keypoints join the image after the encoder's stem. The last map C5 becomes 2D tokens H_2D, and is lifted
to a volume H_3D whose depth axis is stretched (z^k, k learned). A decoder with queries for SMPL's parameters and for 15
joints attends to H_2D, then in each refining layer to H_2D and to H_3D sampled at the joints predicted so far. Two
contrastive losses shape H_3D. Where paper and code differ this follows the code, whose weights it can run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from humesh.body.joints import JOTR15, JOTR30, SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.crops.crops import Crops, CropSpec, jotr_box, visible_in_crop
from humesh.geometry.rotations import rotation_from_6d_rows
from humesh.losses import Targets
from humesh.methods.base import KeyMap, Method, Prediction
from humesh.methods.jotr_loss import joint_contrasts, jotr_estimates, jotr_labels, jotr_losses
from humesh.networks.attention import PostNormLayer
from humesh.networks.encoders import Encoder
from humesh.networks.heads import (
    VPOSER_CODE,
    Cascade,
    LiftedVolume,
    Vposer,
    clamped_logit,
    gaussian_heatmaps,
    interpolation,
    mean_starts,
    sine_code_2d,
)

_STRIDE = 4  # of the encoder's stem: px of the crop per cell of a heatmap
_CAMERA_BOX_M = 2.5  # a body that would fill the crop if it were so tall is nearest (authors' camera_3d_size)
_CONTRASTS = ("joint_to_joint", "joint_to_non_joint")


@dataclass(frozen=True)
class JotrConfig:
    """The published network but for `pose_decoder`: "vposer", as published, needs weights with another licence.

    `pose_decoder`: "6d" (six numbers a joint) or "vposer" (32 numbers of a body prior). `decoder_sees`: what the
    refining layers attend to; the first one always to the flat 2D tokens. `read_from`: SMPL's tokens or the mean of the
    joints'. `warped_contrast` samples H_3D at z^k for the contrastive losses too, as the paper has it.
    """

    encoder: str = "resnet50"
    size: int = 256  # px, a multiple of 32
    width: int = 256
    heads: int = 8
    hidden: int = 2048
    volume_hidden: int = 1024
    depth: int = 8  # cells of the volume
    encoder_layers: int = 2
    volume_layers: int = 2
    decoder_layers: int = 4
    dropout: float = 0.1
    dropped_joints: float = 0.1  # share of the input joints that training leaves out
    shapes: int = 10
    pose_decoder: Literal["6d", "vposer"] = "6d"
    decoder_sees: Literal["flat2d", "sampled2d", "flat2d+sampled3d", "sampled2d+sampled3d"] = "flat2d+sampled3d"
    read_from: Literal["smpl_tokens", "joint_tokens"] = "smpl_tokens"
    contrast: tuple[str, ...] = _CONTRASTS
    warped_contrast: bool = False

    def __post_init__(self) -> None:
        if set(self.contrast) - set(_CONTRASTS):
            raise ValueError(f"contrast: expected some of {', '.join(_CONTRASTS)}, got {self.contrast}.")
        if self.size % 32:
            raise ValueError(f"size: expected a multiple of 32 px, got {self.size}.")


@dataclass(frozen=True, eq=False)
class JotrOutput:
    """The network's raw predictions; L decoder layers, T = depth x rows x columns voxels."""

    joints: Float[Tensor, "L B 15 3"]  # x, y: share of the crop; z: 0.5 + depth from the pelvis / 2 m
    root: Float[Tensor, "L B 6"]
    pose: Float[Tensor, "L B P"]
    shape: Float[Tensor, "L B S"]
    camera: Float[Tensor, "L B 3"]
    rotations: Float[Tensor, "B 24 3 3"]
    volume: Float[Tensor, "B T C"] | None


@dataclass(frozen=True, eq=False)
class JotrPrediction(Prediction):
    """The bodies, with the last layer's joints (as in JotrOutput) and the volume, `*g T C`, for the losses."""

    joints: Float[Tensor, "*g 15 3"]
    volume: Float[Tensor, "*g T C"] | None


def _config_of(state: Mapping[str, Tensor]) -> JotrConfig:
    layers = sum(key.startswith("cascade_cam_out.") and key.endswith(".weight") for key in state)
    return JotrConfig(width=state["query.weight"].shape[1], decoder_layers=layers, pose_decoder="vposer")


class Jotr(Method):
    """The whole network: crops and 2D keypoints of one person to a posed body, 15 joints and a volume of features."""

    config_type = JotrConfig
    config: JotrConfig
    token_code: Tensor
    authors_keys = KeyMap(
        renames=(
            # "shaoe" is the authors'.
            (r"^backbone\.", "encoder."), (r"^pose2feat\.conv\.", "fusion."), (r"^down_linear\.", "flatten."),
            (r"^conv2d_to_3d\.", "volume.lift."), (r"^conv_3d_coord\.0\.", "volume.mix."),
            (r"^refine_3d\.", "volume."), (r"^exponent$", "volume.exponent"),
            (r"^transformer\.encoder\.layers\.", "token_encoder."), (r"^transformer\.decoder\.layers\.", "decoder."),
            (r"^transformer\.decoder\.norm\.", "decoder_norm."),
            (r"^transformer\.decoder\.joint_img_regress\.", "joint_cascade."),
            (r"^transformer\.decoder\.fc_pos_3d\.", "point_mlp."), (r"^transformer\.smpl_tgt$", "smpl_content"),
            (r"^transformer\.kp_tgt$", "joint_content"), (r"^spose_shape_cam_param$", "smpl_code"),
            (r"^query\.weight$", "joint_code"), (r"^cascade_shaoe_out\.", "shape_cascade."),
            (r"^cascade_(\w+)_out\.", r"\1_cascade."), (r"\.in_proj_(weight|bias)$", r".qkv.\1"),
            (r"\.out_proj\.", ".proj."), (r"\.multihead_attn\.", ".cross_attn."),
            (r"^((?:token_encoder|volume\.layers)\.\d+)\.norm2\.", r"\1.norm3."),
        ),
        dropped={
            r"^human_model_layer\.": "SMPL's arrays, licensed: they come with the body",
            r"^vposer\.": "VPoser's weights, licensed: they come from your own copy of it",
            r"^pos_embed_1d\.pos_table$": "a constant that is computed",
        },
        config=_config_of,
        companion=((r"^(?:vposer\.vposer\.)?bodyprior_dec_", "vposer."),),
        companion_is="the weights of VPoser v1 (its snapshot .pt file)",
    )  # fmt: skip

    def __init__(self, config: JotrConfig, body: BodyModel) -> None:
        super().__init__(config, body)
        width, layers, size = config.width, config.decoder_layers, config.size
        self.read_after = layers - 1  # the layer whose prediction counts
        self.spec = CropSpec((size, size), keypoints=JOTR30, box=jotr_box)
        self.samples_2d, self.samples_3d = "sampled2d" in config.decoder_sees, "sampled3d" in config.decoder_sees
        self.side = size // 32
        self.register_buffer("token_code", sine_code_2d(self.side, self.side, width)[None], persistent=False)
        self.encoder = Encoder(config.encoder)
        stem = self.encoder.stem_width
        self.fusion = nn.Sequential(nn.Conv2d(stem + len(JOTR30), stem, 3, padding=1), nn.BatchNorm2d(stem), nn.ReLU())
        self.flatten = nn.Conv2d(self.encoder.width, width, 1)
        self.token_encoder = _layers(config.encoder_layers, config, config.hidden)
        self.volume: LiftedVolume | None = None
        if self.samples_3d or config.contrast:
            refiner = _layers(config.volume_layers, config, config.volume_hidden)
            self.volume = LiftedVolume(self.encoder.width, width, (config.depth, self.side, self.side), refiner)
        if config.read_from == "smpl_tokens":
            self.smpl_content = nn.Parameter(torch.zeros(width))
            self.smpl_code = nn.Parameter(torch.randn(3, width))
        self.joint_content = nn.Parameter(torch.zeros(width))
        self.joint_code = nn.Parameter(torch.randn(len(JOTR15), width))
        self.decoder = _layers(layers, config, config.hidden, cross=True)
        self.decoder_norm = nn.LayerNorm(width)
        self.joint_cascade = Cascade(width, 3, layers)
        if self.samples_2d or self.samples_3d:
            layers_of_code = nn.Linear(3, width), nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, width)
            self.point_mlp = nn.Sequential(*layers_of_code)
        self.vposer = Vposer() if config.pose_decoder == "vposer" else None
        pose = VPOSER_CODE if self.vposer is not None else 6 * (len(SMPL24) - 1)
        self.root_pose_cascade, self.pose_cascade = Cascade(width, 6, layers), Cascade(width, pose, layers)
        self.shape_cascade, self.cam_cascade = Cascade(width, config.shapes, layers), Cascade(width, 3, layers)
        self._initialise()

    def _initialise(self) -> None:
        """The authors' start; the heads of "6d" are ours, as HMR's: small, at an upright body at rest."""
        for name, parameter in self.named_parameters():
            if name.startswith(("token_encoder", "decoder.", "joint_cascade", "point_mlp")) and parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        nn.init.normal_(self.fusion.get_parameter("0.weight"), std=0.001)
        nn.init.zeros_(self.fusion.get_parameter("0.bias"))
        if self.vposer is not None:
            return
        # From usual starts some joints turn over for good, two by two.
        for parameter in nn.ModuleList([self.root_pose_cascade, self.pose_cascade, self.shape_cascade]).parameters():
            nn.init.xavier_uniform_(parameter, 0.01) if parameter.dim() > 1 else nn.init.zeros_(parameter)
        upright = mean_starts(self.config.shapes)["pose"][:6]
        self.root_pose_cascade.get_parameter("0.bias").data.copy_(upright)

    @property
    def stages(self) -> tuple[str, ...]:
        """The decoder's layers, "layer0" first: table 5 reads each of one model."""
        return tuple(f"layer{layer}" for layer in range(self.config.decoder_layers))

    def use_stage(self, stage: str) -> None:
        """Reads SMPL's parameters after that layer from now on."""
        self.read_after = self.stages.index(stage)

    def forward(self, crops: Crops) -> JotrPrediction:
        """The body of each crop's person; a keypoint counts above confidence 0.05 and inside of the crop."""
        if crops.keypoints.shape[-2] != len(JOTR30) or crops.size != self.spec.size:
            raise ValueError(
                f"jotr: expected crops of {self.spec.size} px with {len(JOTR30)} keypoints, got {crops.size} px with "
                f"{crops.keypoints.shape[-2]}; cut them with this method's spec."
            )
        group = crops.present.shape
        points = crops.keypoints.flatten(0, 1)
        visible = visible_in_crop(points, crops.size).to(points)
        output = self.network(crops.pixels.flatten(0, 1), points[..., :2] / _STRIDE, visible)
        weak = weak_camera(output.camera[self.read_after]).unflatten(0, group)
        translation = crops.camera.translation_from_weak(weak, crops.size)
        shape = output.shape[self.read_after].unflatten(0, group)
        pose = BodyPose(output.rotations.unflatten(0, group), shape, translation)
        volume = None if output.volume is None else output.volume.unflatten(0, group)
        return JotrPrediction(pose, output.joints[-1].unflatten(0, group), volume)

    def network(
        self, pixels: Float[Tensor, "B 3 H W"], points: Float[Tensor, "B 30 2"], visible: Float[Tensor, "B 30"]
    ) -> JotrOutput:
        """Everything from RGB in [0, 1] (no other normalisation) and joints in pixels of heatmaps, a quarter of it."""
        if self.training:  # the same number of joints of every sample
            visible = visible * (torch.rand_like(visible).argsort(-1) >= int(self.config.dropped_joints * len(JOTR30)))
        cells = self.config.size // _STRIDE
        heatmaps = gaussian_heatmaps(points, visible, cells, 2.5 * cells / 64)  # 2.5 px of the authors' 64
        c5 = self.encoder.body(self.fusion(torch.cat([self.encoder.stem(pixels), heatmaps], dim=1)))
        h_2d = self.flatten(c5).flatten(2).mT
        for layer in self.token_encoder:
            h_2d = layer(h_2d, self.token_code)
        h_3d = None if self.volume is None else self.volume(c5)
        joints, tokens = self.decoded(h_2d, h_3d)
        of_pose, of_shape, of_camera = zip(*(layer.unbind(1) for layer in tokens), strict=True)
        root, pose = self.root_pose_cascade(of_pose), self.pose_cascade(of_pose)
        shape, camera = self.shape_cascade(of_shape), self.cam_cascade(of_camera)
        rotations = self.rotations(root[self.read_after], pose[self.read_after])
        return JotrOutput(joints, root, pose, shape, camera, rotations, h_3d)

    def decoded(
        self, h_2d: Float[Tensor, "B n C"], h_3d: Float[Tensor, "B T C"] | None
    ) -> tuple[Float[Tensor, "L B 15 3"], list[Float[Tensor, "B 3 C"]]]:
        """The joints after each layer, and each layer's tokens that pose (root too), shape and camera come from."""
        batch, smpl = len(h_2d), self.config.read_from == "smpl_tokens"
        content, code = self.joint_content.expand(len(JOTR15), -1), self.joint_code[:]
        if smpl:
            content = torch.cat([self.smpl_content.expand(3, -1), content])
            code = torch.cat([self.smpl_code, code])
        queries, code = content.expand(batch, -1, -1), code[None]
        memory, memory_code = h_2d, self.token_code
        logits: Tensor | None = None
        joints, tokens = [], []
        for layer, block in enumerate(self.decoder):
            # Unlike in DETR the next layer goes on from the norm's output (authors).
            queries = self.decoder_norm(block(queries, code, memory, memory_code))
            of_smpl, of_joints = queries.split((3 if smpl else 0, len(JOTR15)), dim=1)
            joints.append(self.joint_cascade.step(layer, of_joints, logits).sigmoid())
            tokens.append(of_smpl if smpl else of_joints.mean(1, keepdim=True).expand(-1, 3, -1))
            logits = clamped_logit(joints[-1])
            if layer + 1 < len(self.decoder):
                memory, memory_code = self.refining_memory(h_2d, h_3d, joints[-1])
        return torch.stack(joints), tokens

    def refining_memory(
        self, h_2d: Float[Tensor, "B n C"], h_3d: Float[Tensor, "B T C"] | None, joints: Float[Tensor, "B 15 3"]
    ) -> tuple[Float[Tensor, "B m C"], Float[Tensor, "#B m C"]]:
        """A refining layer's memory and position codes: H_2D (all, or sampled) and H_3D sampled at the joints."""
        if not (self.samples_2d or self.samples_3d):
            return h_2d, self.token_code
        code = self.point_mlp(clamped_logit(joints))
        memory, codes = [h_2d], [self.token_code.expand(len(h_2d), -1, -1)]
        if self.samples_2d:
            memory, codes = [interpolation(joints[..., :2], (self.side, self.side)) @ h_2d], [code]
        if self.samples_3d and self.volume is not None and h_3d is not None:
            memory, codes = [*memory, self.volume.at(h_3d, joints)], [*codes, code]
        return torch.cat(memory, dim=1), torch.cat(codes, dim=1)

    def rotations(self, root: Float[Tensor, "B 6"], pose: Float[Tensor, "B P"]) -> Float[Tensor, "B 24 3 3"]:
        """The 24 rotations; those of "6d" start about the T-pose, VPoser's hands are straight."""
        eye = torch.eye(3).to(pose)
        if self.vposer is None:
            body = rotation_from_6d_rows(pose.unflatten(-1, (-1, 6)) + eye[:, :2].flatten())
        else:
            body = torch.cat([self.vposer(pose), eye.expand(len(pose), 2, 3, 3)], dim=1)
        return torch.cat([rotation_from_6d_rows(root)[:, None], body], dim=1)

    def objective(self, crops: Crops, prediction: JotrPrediction, targets: Targets) -> dict[str, Float[Tensor, ""]]:
        """The supervised losses (`jotr_losses`) and the contrastive ones among the people known in 3D."""
        (body,) = self.bodies
        made = jotr_estimates(body, prediction.joints, prediction.pose.map(Tensor.float), crops)
        true = jotr_labels(body, made, targets, crops)
        losses = jotr_losses(made, true)
        if self.volume is None or prediction.volume is None or not self.config.contrast:
            return losses
        places, weight = (label.flatten(0, 1) for label in true["body_joint_img"])
        joints = prediction.joints.flatten(0, 1)
        if self.config.warped_contrast:
            joints, places = self.volume.warped(joints), self.volume.warped(places.clamp(min=0))
        known, valid = (weight[..., 2] > 0).any(-1), weight[..., 0] > 0
        given = (prediction.volume.flatten(0, 1), joints, places, valid, known)
        return losses | joint_contrasts(self.config.contrast, *given, self.volume.cells)


def weak_camera(camera: Float[Tensor, "*g 3"]) -> Float[Tensor, "*g 3"]:
    """(s, tx, ty) of the camera numbers; for a focal length of 5000 px the depth is 48.83 sigmoid(c) m in 256 px."""
    return torch.cat([2 / (_CAMERA_BOX_M * camera[..., 2:].sigmoid()), camera[..., :2]], dim=-1)


def _layers(count: int, config: JotrConfig, hidden: int, cross: bool = False) -> nn.ModuleList:
    layers = [PostNormLayer(config.width, config.heads, hidden, cross, config.dropout) for _ in range(count)]
    for name, parameter in (pair for layer in layers for pair in layer.named_parameters()):
        if name.endswith("qkv.weight"):  # attention starts as PyTorch's own does
            nn.init.xavier_uniform_(parameter)
        elif name.endswith(("qkv.bias", "proj.bias")):
            nn.init.zeros_(parameter)
    return nn.ModuleList(layers)
