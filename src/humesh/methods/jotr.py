"""JOTR (Li, Yang, Wang, Luo, Xu, ICCV 2023, arXiv 2307.16377): one person behind things, from a crop and 2D keypoints.

Heatmaps of the keypoints join the image after the encoder's stem. Its last map is read twice: as 2D tokens, and lifted
to a volume whose depth axis is stretched (z^k, k learned). A decoder with queries for SMPL's parameters and for 15
joints first looks at the 2D tokens, then, layer by layer, also at the volume where it last saw the joints. Two
contrastive losses shape the volume. Where paper and code differ this follows the code, whose weights it can run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from humesh.body.joints import JOTR15, JOTR30, MEDIAPIPE33, SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.geometry.rotations import rotation_from_6d_rows
from humesh.images.crops import Crops, CropSpec
from humesh.images.seen_box import seen_box, seen_in_crop
from humesh.losses.contrast import joint_contrasts
from humesh.losses.joints_in_crop import joints_in_crop
from humesh.losses.points import absolute
from humesh.losses.targets import Targets, Term
from humesh.methods.base import Method, Prediction
from humesh.methods.lifter import lifted_from, rotations
from humesh.methods.weights import KeyMap
from humesh.networks.attention import PostNormLayer
from humesh.networks.backbones import Encoder
from humesh.networks.cascade import Cascade, clamped_logit
from humesh.networks.heatmaps import gaussian_heatmaps
from humesh.networks.lifter import Lifted, Lifter, rest_six
from humesh.networks.volumes import LiftedVolume, interpolation, sine_code_2d
from humesh.networks.vposer import VPOSER_CODE, Vposer

_STRIDE = 4  # of the encoder's stem: px of the crop per cell of a heatmap
_DEPTH_BOX_M = 2.0  # joints' z in [0, 1] spans this, the pelvis in the middle (authors' bbox_3d_size)
_CAMERA_BOX_M = 2.5  # a body that would fill the crop if it were so tall is nearest (authors' camera_3d_size)
_VIEWS = ("flat2d", "sampled2d", "flat2d+sampled3d", "sampled2d+sampled3d")  # what decoder layers 1.. may see
_CONTRASTS = ("joint_to_joint", "joint_to_non_joint")


@dataclass(frozen=True)
class JotrConfig:
    """The published network but for `pose_decoder`: "vposer", as published, needs weights with another licence.

    `pose_decoder`: "6d" (six numbers a joint) or "vposer" (32 numbers of a body prior). `decoder_sees`: what the
    refining layers look at; the first one always at the flat 2D tokens. `read_from`: "smpl_tokens" or "joint_tokens"
    (their mean), `read_after`: the layer whose answer counts, None: the last. `corrected_voxels`: leave just those
    voxels out of the non-joints that the paper means. Ours: `lifter` and `lifter_blocks`: width and depth of the
    perceptron of the method "lifter", whose answer from the detector's points alone the decoder corrects; 0: none.
    `added`: what the heatmaps tell is added to the stem's map, at first nothing, instead of replacing it: a pretrained
    encoder goes on seeing what it was trained on.
    """

    encoder: str = "resnet50"
    pretrained: bool = False
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
    pose_decoder: str = "6d"
    decoder_sees: str = "flat2d+sampled3d"
    read_from: str = "smpl_tokens"
    read_after: int | None = None
    contrast: tuple[str, ...] = _CONTRASTS
    corrected_voxels: bool = False
    lifter: int = 0
    lifter_blocks: int = 3
    added: bool = False

    def __post_init__(self) -> None:
        choices = {"pose_decoder": ("6d", "vposer"), "decoder_sees": _VIEWS}
        for name, known in (choices | {"read_from": ("smpl_tokens", "joint_tokens"), "contrast": _CONTRASTS}).items():
            value = getattr(self, name)
            if set((value,) if isinstance(value, str) else value) - set(known):
                raise ValueError(f"jotr: expected {name} of {', '.join(known)}, got {value!r}.")
        if self.read_after is not None and not 0 <= self.read_after < self.decoder_layers:
            raise ValueError(f"jotr: expected read_after below {self.decoder_layers} layers, got {self.read_after}.")
        if self.lifter and self.pose_decoder != "6d":
            raise ValueError("jotr: a lifter goes with pose_decoder=6d.")
        if self.size % 32:
            raise ValueError(f"jotr: expected a size that is a multiple of 32 px, got {self.size}.")


@dataclass(frozen=True)
class JotrOutput:
    """What the network says; L decoder layers, T = depth x rows x columns voxels."""

    joints: Float[Tensor, "L B 15 3"]  # x, y: share of the crop; z: 0.5 + depth from the pelvis / 2 m
    root: Float[Tensor, "L B 6"]
    pose: Float[Tensor, "L B P"]
    shape: Float[Tensor, "L B S"]
    camera: Float[Tensor, "L B 3"]
    rotations: Float[Tensor, "B 24 3 3"]
    volume: Float[Tensor, "B T C"] | None


@dataclass(frozen=True)
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
        self.read_after = layers - 1 if config.read_after is None else config.read_after
        self.spec = CropSpec((size, size), keypoints=JOTR30, box=seen_box, landmarks=config.lifter > 0)
        self.samples_2d, self.samples_3d = "sampled2d" in config.decoder_sees, "sampled3d" in config.decoder_sees
        self.side = size // 32
        self.register_buffer("token_code", sine_code_2d(self.side, self.side, width)[None], persistent=False)
        self.encoder = Encoder(config.encoder, config.pretrained)
        stem = self.encoder.stem_width
        fuse = nn.Conv2d(stem + len(JOTR30), stem, 3, padding=1)
        self.fusion = fuse if config.added else nn.Sequential(fuse, nn.BatchNorm2d(stem), nn.ReLU())
        self.flatten = nn.Conv2d(self.encoder.width, width, 1)
        self.token_encoder = _layers(config.encoder_layers, config, config.hidden)
        self.lifter: Lifter | None = None
        if config.lifter:
            self.lifter = Lifter(len(JOTR30), len(MEDIAPIPE33), config.lifter, config.lifter_blocks, config.shapes)
            self.told = nn.Linear(config.lifter, width)  # to every query
        self.volume = None
        if self.samples_3d or config.contrast:
            refining = _layers(config.volume_layers, config, config.volume_hidden)
            self.volume = LiftedVolume(self.encoder.width, width, (config.depth, self.side, self.side), refining)

        if config.read_from == "smpl_tokens":
            self.smpl_content = nn.Parameter(torch.zeros(width))
            self.smpl_code = nn.Parameter(torch.randn(3, width))
        self.joint_content = nn.Parameter(torch.zeros(width))
        self.joint_code = nn.Parameter(torch.randn(len(JOTR15), width))
        self.decoder = _layers(layers, config, config.hidden, cross=True)
        self.decoder_norm = nn.LayerNorm(width)
        self.joint_cascade = Cascade(width, 3, layers)
        if self.samples_2d or self.samples_3d:
            self.point_mlp = _point_mlp(width)
        xavier = ("token_encoder", "decoder.", "joint_cascade", "point_mlp")
        for name, parameter in self.named_parameters():
            if name.startswith(xavier) and parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
            elif name.startswith("fusion.0."):
                nn.init.normal_(parameter, std=0.001 if parameter.dim() > 1 else 0.0)
            elif config.added and name.startswith("fusion."):
                nn.init.zeros_(parameter)
        self.vposer = Vposer() if config.pose_decoder == "vposer" else None
        pose = VPOSER_CODE if self.vposer is not None else 6 * (len(SMPL24) - 1)
        self.root_pose_cascade, self.pose_cascade = Cascade(width, 6, layers), Cascade(width, pose, layers)
        self.shape_cascade, self.cam_cascade = Cascade(width, config.shapes, layers), Cascade(width, 3, layers)
        if self.vposer is None:  # ours, after HMR: from usual starts some joints turn over for good, two by two
            heads = [self.root_pose_cascade, self.pose_cascade, self.shape_cascade]
            heads += [] if self.lifter is None else [self.cam_cascade]
            for parameter in nn.ModuleList(heads).parameters():
                nn.init.xavier_uniform_(parameter, 0.01) if parameter.dim() > 1 else nn.init.zeros_(parameter)
            if self.lifter is None:
                with torch.no_grad():
                    self.root_pose_cascade.get_parameter("0.bias").copy_(rest_six(parameter)[0])

    def forward(self, crops: Crops) -> JotrPrediction:
        """The body of each crop's person; a joint counts as seen above confidence 0.05 and inside of the crop."""
        if crops.keypoints.shape[-2] != len(JOTR30) or crops.size != self.spec.size:
            raise ValueError(
                f"jotr: expected crops of {self.spec.size} px with {len(JOTR30)} keypoints, got {crops.size} px with "
                f"{crops.keypoints.shape[-2]}; cut them with this method's spec."
            )
        group = crops.present.shape
        points = crops.keypoints.flatten(0, 1)
        seen = seen_in_crop(points, crops.size).to(points)
        lifted = None if self.lifter is None else lifted_from(self.lifter, crops, crops.landmarks, 0.0)
        output = self.network(crops.pixels.flatten(0, 1), points[..., :2] / _STRIDE, seen, lifted)
        shape, camera = output.shape[self.read_after], output.camera[self.read_after]
        if lifted is None:
            weak, turns = weak_camera(camera), output.rotations.unflatten(0, group)
        else:  # the decoder's answers are corrections
            weak = torch.cat([lifted.weak[:, :1] * camera[:, 2:].exp(), lifted.weak[:, 1:] + camera[:, :2]], dim=-1)
            shape = lifted.shape + shape
            more = torch.cat([output.root[self.read_after], output.pose[self.read_after]], dim=-1)
            turns = rotations(lifted.pose + more.unflatten(-1, (-1, 6)), crops)
        translation = crops.camera.translation_from_weak(weak.unflatten(0, group), crops.size)
        pose = BodyPose(turns, shape.unflatten(0, group), translation)
        volume = None if output.volume is None else output.volume.unflatten(0, group)
        return JotrPrediction(pose, output.joints[-1].unflatten(0, group), volume)

    def network(
        self,
        pixels: Float[Tensor, "B 3 H W"],
        points: Float[Tensor, "B 30 2"],
        seen: Float[Tensor, "B 30"],
        lifted: Lifted | None = None,
    ) -> JotrOutput:
        """Everything from RGB in [0, 1] (no other normalisation) and joints in pixels of heatmaps, a quarter of it.

        Next to a lifter's answer root, pose, shape and camera are corrections; `rotations` then means nothing.
        """
        if self.training:  # the same number of joints of every sample
            seen = seen * (torch.rand_like(seen).argsort(-1) >= int(self.config.dropped_joints * len(JOTR30)))
        cells = self.config.size // _STRIDE
        heatmaps = gaussian_heatmaps(points, seen, cells, 2.5 * cells / 64)  # 2.5 px of the authors' 64
        near = self.encoder.stem(pixels)
        fused = self.fusion(torch.cat([near, heatmaps], dim=1))
        features = self.encoder.body(near + fused if self.config.added else fused)
        tokens = self.flatten(features).flatten(2).mT
        for layer in self.token_encoder:
            tokens = layer(tokens, self.token_code)
        volume = None if self.volume is None else self.volume(features)
        told = None if lifted is None else self.told(lifted.hidden)
        joints, read = self.decoded(tokens, volume, told)
        root, pose = self.root_pose_cascade([r[:, 0] for r in read]), self.pose_cascade([r[:, 0] for r in read])
        shape, camera = self.shape_cascade([r[:, 1] for r in read]), self.cam_cascade([r[:, 2] for r in read])
        rotations = self.rotations(root[self.read_after], pose[self.read_after])
        return JotrOutput(joints, root, pose, shape, camera, rotations, volume)

    def decoded(
        self,
        tokens: Float[Tensor, "B n C"],
        volume: Float[Tensor, "B T C"] | None,
        told: Float[Tensor, "B C"] | None = None,
    ) -> tuple[Float[Tensor, "L B 15 3"], list[Float[Tensor, "B 3 C"]]]:
        """The joints after each layer, and the tokens that pose (root too), shape and camera are read from."""
        batch, smpl = len(tokens), self.config.read_from == "smpl_tokens"
        content, code = self.joint_content.expand(len(JOTR15), -1), self.joint_code[:]
        if smpl:
            content = torch.cat([self.smpl_content.expand(3, -1), content])
            code = torch.cat([self.smpl_code, code])
        queries, code = content.expand(batch, -1, -1), code[None]
        queries = queries if told is None else queries + told[:, None]
        memory, memory_code = tokens, self.token_code
        logits: Tensor | None = None
        joints, read = [], []
        for layer, block in enumerate(self.decoder):
            # Unlike in DETR the next layer goes on from the norm's output (authors).
            queries = self.decoder_norm(block(queries, code, memory, memory_code))
            of_smpl, of_joints = queries.split((3 if smpl else 0, len(JOTR15)), dim=1)
            joints.append(self.joint_cascade.step(layer, of_joints, logits).sigmoid())
            read.append(of_smpl if smpl else of_joints.mean(1, keepdim=True).expand(-1, 3, -1))
            logits = clamped_logit(joints[-1])
            if layer + 1 < len(self.decoder):
                memory, memory_code = self.looked_up(tokens, volume, joints[-1])
        return torch.stack(joints), read

    def looked_up(
        self, tokens: Float[Tensor, "B n C"], volume: Float[Tensor, "B T C"] | None, joints: Float[Tensor, "B 15 3"]
    ) -> tuple[Float[Tensor, "B m C"], Float[Tensor, "#B m C"]]:
        """What the next layer looks at, and its codes: 2D tokens (all, or at the joints), the volume at the joints."""
        if not (self.samples_2d or self.samples_3d):
            return tokens, self.token_code
        code = self.point_mlp(clamped_logit(joints))
        memory, codes = [tokens], [self.token_code.expand(len(tokens), -1, -1)]
        if self.samples_2d:
            memory, codes = [interpolation(joints[..., :2], (self.side, self.side)) @ tokens], [code]
        if self.samples_3d and self.volume is not None and volume is not None:
            memory, codes = [*memory, self.volume.at(volume, joints)], [*codes, code]
        return torch.cat(memory, dim=1), torch.cat(codes, dim=1)

    def rotations(self, root: Float[Tensor, "B 6"], pose: Float[Tensor, "B P"]) -> Float[Tensor, "B 24 3 3"]:
        """The 24 rotations; those of "6d" start about the T-pose, VPoser's hands are straight."""
        eye = torch.eye(3).to(pose)
        if self.vposer is None:
            body = rotation_from_6d_rows(pose.unflatten(-1, (-1, 6)) + eye[:, :2].flatten())
        else:
            body = torch.cat([self.vposer(pose), eye.expand(len(pose), 2, 3, 3)], dim=1)
        return torch.cat([rotation_from_6d_rows(root)[:, None], body], dim=1)

    def own_terms(self, crops: Crops, prediction: JotrPrediction, targets: Targets) -> dict[str, Term]:
        """L1 of the joints, in shares of crop and depth box; contrastive losses among the people known in 3D."""
        true, seen, deep = joints_in_crop(targets.only(JOTR15), self.config.size, _DEPTH_BOX_M)
        terms = {"joint_img": absolute(prediction.joints, true, torch.cat([seen, seen, deep], dim=-1))}
        if self.volume is not None and prediction.volume is not None:
            known = (deep > 0).flatten(-2).any(-1)
            joints, volume, valid = prediction.joints[known], prediction.volume[known], seen[known][..., 0] > 0
            chosen, cells, corrected = self.config.contrast, self.volume.cells, self.config.corrected_voxels
            terms |= joint_contrasts(chosen, volume, joints, true[known], valid, cells, corrected)
        return terms


def weak_camera(camera: Float[Tensor, "*g 3"]) -> Float[Tensor, "*g 3"]:
    """(s, tx, ty) of the camera numbers; for a focal length of 5000 px the depth is 48.83 sigmoid(c) m in 256 px."""
    return torch.cat([2 / (_CAMERA_BOX_M * camera[..., 2:].sigmoid()), camera[..., :2]], dim=-1)


def _point_mlp(width: int) -> nn.Sequential:
    """Codes of points of three numbers."""
    return nn.Sequential(nn.Linear(3, width), nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, width))


def _layers(count: int, config: JotrConfig, hidden: int, cross: bool = False) -> nn.ModuleList:
    layers = [PostNormLayer(config.width, config.heads, hidden, cross, config.dropout) for _ in range(count)]
    for name, parameter in (pair for layer in layers for pair in layer.named_parameters()):
        if name.endswith("qkv.weight"):  # attention starts as PyTorch's own does
            nn.init.xavier_uniform_(parameter)
        elif name.endswith(("qkv.bias", "proj.bias")):
            nn.init.zeros_(parameter)
    return nn.ModuleList(layers)
