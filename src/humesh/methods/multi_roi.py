"""Multi-RoI (Nie et al., ECCV 2024): five boxes around one person, one body.

The person's box and four shifted and rescaled copies are cut and go through one encoder. For each box the features of
all are mixed, with weights that come from the features and from codes of how the boxes lie to each other. Regressors
give the body and a camera for each box; in the photo all these cameras must agree (a loss), and features of the same
person must be alike (a contrastive loss). The prediction is the first box's.

`MultiRoi` is the paper's form, `MultiRoiAuthors` the one its authors ran, which mixes and regresses in another way
and gives a mesh for each box. What the paper leaves open is as in the authors' code: three rounds, dropout and no
activations in the regressors, the contrastive head, 32 frequencies. Ours: each camera's regressor knows its own box,
the mesh's the mean of the boxes, mixing weights depend on B_m - B_n, and self-attention (an ablation) has eight heads
and is added.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.crops.crops import Crops
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_from_6d_rows
from humesh.losses import Targets
from humesh.methods import multi_roi_loss as roi_loss
from humesh.methods.base import KeyMap, Method, Prediction
from humesh.methods.rois import ROI_COPIES, PairLinear, box_code, box_code_authors, box_vectors, roi_copies, roi_spec
from humesh.networks.attention import Attention
from humesh.networks.encoders import Encoder, HrNet, imagenet_normalised
from humesh.networks.heads import Regressor, mean_starts


@dataclass(frozen=True)
class RoiConfig:
    """`encoder`: "resnet50" or "hrnet_w48" as published, or another of timm's."""

    encoder: str = "resnet50"
    crop: tuple[int, int] = (256, 192)  # height, width px
    frequencies: int = 32
    hidden: tuple[int, int] = (2048, 1024)  # of the regressors
    dropout: float = 0.5


@dataclass(frozen=True)
class MultiRoiAuthorsConfig(RoiConfig):
    """`mixing`: width of the fusion's layers."""

    mixing: int = 256


@dataclass(frozen=True)
class MultiRoiConfig(RoiConfig):
    """The paper's tables: `rois` 1 to 5; the boxes' `code` in the fusion, of `frequencies` octaves: "difference"
    gamma(B_m - B_n), "relative" gamma(B_m) - gamma(B_n), "own" gamma(B_n), "none".

    "relative" is what the papers print; in it softmax over n cancels all that is of m, so every target mixes alike and
    the boxes m do not matter. `contrast_below`, `gate`: what contrast sums over and what precedes its projector, see
    `crop_contrast` and `ContrastHead`. The losses' tables are the weights of `camera` and `contrast`.
    """

    rois: int = 5
    boxes: Literal["both", "scale", "shift", "none", "random"] = "both"
    fusion: Literal["relative", "self_attention", "none"] = "relative"
    code: Literal["difference", "relative", "own", "none"] = "difference"
    contrast_below: Literal["others", "all"] = "others"
    gate: Literal["relu", "linear"] = "relu"

    def __post_init__(self) -> None:
        if self.rois not in range(1, len(ROI_COPIES) + 1):
            raise ValueError(f"rois: expected 1 to {len(ROI_COPIES)}, got {self.rois}; the paper has no more boxes.")


class PaperFusion(nn.Module):
    """The paper's mixing weights: one number of each pair's features and code, and softmax over the sources n."""

    def __init__(self, width: int, code: int) -> None:
        super().__init__()
        self.pair = PairLinear(width + code, 1, bias=False)  # softmax takes a bias out again

    def forward(self, features: Tensor, code: Tensor, present: Tensor) -> Float[Tensor, "B M N"]:
        return _softmax(self.pair(features, code)[..., 0], present)


class AuthorsFusion(nn.Module):
    """The authors' mixing weights: an MLP on all five pairs of a target at once, ending in tanh, and softmax."""

    def __init__(self, width: int, code: int, hidden: int, rois: int) -> None:
        super().__init__()
        self.pair = PairLinear(width + code, hidden)
        layers = [nn.Linear(rois * hidden, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh()]
        self.mlp = nn.Sequential(*layers, nn.Linear(hidden, rois), nn.Tanh())

    def forward(self, features: Tensor, code: Tensor, present: Tensor) -> Float[Tensor, "B M N"]:
        pairs = torch.where(present[:, None, :, None], self.pair(features, code), 0)
        return _softmax(self.mlp(pairs.flatten(-2)), present)


def _softmax(logits: Float[Tensor, "B M N"], present: Bool[Tensor, "B N"]) -> Float[Tensor, "B M N"]:
    """Softmax over the crops that are present; over all where none is."""
    return logits.masked_fill(~(present | ~present.any(-1, keepdim=True))[:, None], float("-inf")).softmax(-1)


class ContrastHead(nn.Module):
    """From features to what is contrasted: h sigmoid(gate(h)), then SimCLR's projector (ICML 2020).

    `gate`: "relu", without weights, as the authors' code has it, or "linear", the preprint's.
    """

    def __init__(self, width: int, gate: str = "relu") -> None:
        super().__init__()
        self.gate = nn.Linear(width, width) if gate == "linear" else nn.ReLU()
        last = [nn.Linear(width, width, bias=False), nn.BatchNorm1d(width)]
        self.projector = nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(), *last)

    def forward(self, features: Float[Tensor, "B N D"]) -> Float[Tensor, "B N D"]:
        gated = features * self.gate(features).sigmoid()
        return self.projector(gated.flatten(0, 1)).unflatten(0, features.shape[:2])


class RoiOutput(NamedTuple):
    """The network's raw predictions for B groups of N crops; `z`: the features to contrast, None if not asked for."""

    rotations: Float[Tensor, "B N J 3 3"]
    shape: Float[Tensor, "B N S"]
    weak: Float[Tensor, "B N 3"]  # (s, tx, ty) in each crop
    z: Float[Tensor, "B N D"] | None


@dataclass(frozen=True, eq=False)
class MultiRoiPrediction(Prediction):
    """The body in every crop's camera, with the output's `weak` and `z`."""

    weak: Float[Tensor, "B N 3"]
    z: Float[Tensor, "B N D"] | None


class _RoiMethod(Method):
    """What both forms share: the encoder, the contrastive head, and the way from crops to bodies."""

    def __init__(self, config: Any, body: BodyModel, copies: tuple[tuple[float, float, float], ...], gate: str) -> None:
        super().__init__(config, body)
        self.spec = roi_spec(config.crop, copies)
        kind = HrNet if config.encoder.startswith("hrnet_") else Encoder
        self.encoder = kind(config.encoder)
        self.width = self.encoder.width
        self.contrast = ContrastHead(self.width, gate)

    def forward(self, crops: Crops, contrasted: bool = False) -> MultiRoiPrediction:
        """The bodies; with the features to contrast while training or when asked for them."""
        boxes = box_vectors(self.box_camera(crops), crops.size)
        output = self.network(imagenet_normalised(crops.pixels), boxes, crops.present, contrasted or self.training)
        translation = crops.camera.translation_from_weak(output.weak, crops.size)
        return MultiRoiPrediction(BodyPose(output.rotations, output.shape, translation), output.weak, output.z)

    def box_camera(self, crops: Crops) -> Camera:
        """The crops' cameras that the vectors of their boxes are made of."""
        return crops.camera

    def network(
        self,
        pixels: Float[Tensor, "B N 3 H W"],
        boxes: Float[Tensor, "B N 3"],
        present: Bool[Tensor, "B N"],
        contrasted: bool = True,
    ) -> RoiOutput:
        """The predictions from normalised pixels and the boxes' vectors."""
        features = self.encoder(pixels.flatten(0, 1)).mean((-2, -1)).unflatten(0, pixels.shape[:2])
        six, shape, weak = self.regressed(features, boxes, present)
        rotations = rotation_from_6d_rows(six.unflatten(-1, (-1, 6)))
        return RoiOutput(rotations, shape, weak, self.contrast(features) if contrasted else None)

    def regressed(self, features: Tensor, boxes: Tensor, present: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Pose in 6D `B N P`, shape and weak camera of every crop from features `B N D` and boxes' vectors `B N 3`."""
        raise NotImplementedError

    def objective(self, crops: Crops, prediction: MultiRoiPrediction, targets: Targets) -> dict[str, Float[Tensor, ""]]:
        """SPIN's losses and vertices', `camera` and, where there is z, `contrast`."""
        (body,), focal = self.bodies, crops.photo_camera.focal_px
        made = roi_loss.roi_estimates(body, prediction, targets, crops)
        losses = roi_loss.supervised_losses(made, roi_loss.roi_labels(body, targets, crops))
        losses["camera"] = self.camera_loss(prediction.pose.translation.float(), focal, crops.present)
        if prediction.z is not None:
            losses["contrast"] = self.contrast_loss(prediction.z.float(), crops.present)
        return losses

    camera_loss: Callable[[Tensor, Tensor, Tensor], Tensor]
    contrast_loss: Callable[[Tensor, Tensor], Tensor]


class MultiRoi(_RoiMethod):
    """The paper's form: one mesh from the mean of the mixed features, a camera for each crop from its own."""

    config_type = MultiRoiConfig

    def __init__(self, config: MultiRoiConfig, body: BodyModel) -> None:
        super().__init__(config, body, roi_copies(config.boxes, config.rois), config.gate)
        self.camera_loss = roi_loss.camera_consistency
        self.contrast_loss = partial(roi_loss.crop_contrast, below=config.contrast_below)
        width, self.fuses = self.width, config.fusion if config.rois > 1 else "none"
        self.box_code = partial(box_code, frequencies=config.frequencies)
        coded = 0 if config.code == "none" else 3 * (1 + 2 * config.frequencies)
        if self.fuses == "relative":
            self.fusion: nn.Module = PaperFusion(width, coded)
        elif self.fuses == "self_attention":
            self.placed, self.fusion = nn.Linear(width + coded, width), Attention(width, 8)
        starts = mean_starts(body.shapes)
        camera = {"cam": starts.pop("cam")}
        self.mesh = Regressor(width + 3, config.hidden, starts, config.dropout)  # D_mesh
        self.camera = Regressor(width + 3, config.hidden, camera, config.dropout)  # D_cam

    def box_camera(self, crops: Crops) -> Camera:
        """In float64, which their codes need."""
        return Camera(crops.photo_camera.matrix.double()).cropped(crops.crop_from_photo.double())

    def regressed(self, features: Tensor, boxes: Tensor, present: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As above; all crops have the same body."""
        mixed = torch.cat([self.mix(features, boxes, present), boxes.to(features)], dim=-1)
        share = present.to(mixed) / present.sum(-1, keepdim=True).clamp(min=1)
        six, shape = self.mesh((share[:, None] @ mixed)[:, 0])  # knows the mean of the boxes' vectors too
        (weak,) = self.camera(mixed)
        every = (-1, features.shape[1], -1)
        return six[:, None].expand(every), shape[:, None].expand(every), weak

    def mix(self, features: Tensor, boxes: Tensor, present: Tensor) -> Float[Tensor, "B N D"]:
        """For each crop the features of all, mixed."""
        if self.fuses == "none":
            return features
        code, none = self.config.code, self.config.code == "none"
        if self.fuses == "self_attention":  # sees h beside gamma(B), both papers
            known = [features] if none else [features, self.box_code(boxes).to(features)]
            tokens = self.placed(torch.cat(known, dim=-1))
            return features + self.fusion(tokens, tokens, tokens, present)
        if code == "difference":
            pairs = self.box_code(boxes[:, :, None] - boxes[:, None])  # B_m - B_n
        else:
            own = self.box_code(boxes)
            pairs = own[:, :, None] - own[:, None] if code == "relative" else own[:, None, :, : 0 if none else None]
        return self.fusion(features, pairs.to(features), present).expand(-1, features.shape[1], -1) @ features


def _authors_config(state: Mapping[str, Tensor]) -> MultiRoiAuthorsConfig:
    """The sizes of a checkpoint of the authors'."""
    return MultiRoiAuthorsConfig(
        encoder="hrnet_w48" if "backbone.conv1.weight" in state else "resnet50",
        mixing=len(state["fuse_fc.weight"]),
        hidden=(len(state["fc1.weight"]), len(state["fc2.weight"])),
    )


class MultiRoiAuthors(_RoiMethod):
    """The form that the authors ran: a mesh and a camera for each of five crops, the first crop's are the prediction.

    An absent crop counts as zeros in what the layers of fixed size get; the authors have none.
    """

    config_type = MultiRoiAuthorsConfig
    camera_loss = staticmethod(roi_loss.camera_consistency_authors)
    contrast_loss = staticmethod(roi_loss.crop_contrast_authors)
    authors_keys: ClassVar[KeyMap | None] = KeyMap(
        renames=(
            (r"^((conv1|bn1|layer\d)\.)", r"encoder.\1"),
            (r"^backbone\.downsample_stage_1", "encoder.down.0"),
            (r"^backbone\.downsample_stage_2", "encoder.down.1"),
            (r"^backbone\.downsample_stage_3", "encoder.down.2"),
            (r"^backbone\.", "encoder.net."),
            (r"^(fc\d|init_)", r"regressor.\1"),
            (r"^dec", "regressor.heads."),
            (r"^fuse_fc", "fusion.pair"),
            (r"^attention", "fusion.mlp"),
            (r"^proj_head", "contrast.projector"),
        ),
        dropped={
            r"^pos_enc\._(freqs|phases)$": "constants of the boxes' code",
            r"^backbone\.final_layer\.": "the 2D pose head of HRNet, never used",
        },
        config=_authors_config,
    )

    def __init__(self, config: MultiRoiAuthorsConfig, body: BodyModel) -> None:
        super().__init__(config, body, ROI_COPIES, "relu")
        width, rois = self.width, len(ROI_COPIES)
        self.box_code = partial(box_code_authors, frequencies=config.frequencies)
        self.fusion = AuthorsFusion(width, 3 * (1 + 2 * config.frequencies), config.mixing, rois)
        self.regressor = Regressor(width + 3 * rois, config.hidden, mean_starts(body.shapes), config.dropout)

    def regressed(self, features: Tensor, boxes: Tensor, present: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As above; every crop has its own body."""
        if features.shape[1] != len(ROI_COPIES):
            raise ValueError(
                f"expected groups of {len(ROI_COPIES)} crops, got {features.shape[1]}; use `multi_roi` for fewer."
            )
        mixed = self.fusion(features, self.box_code(boxes[:, :, None] - boxes[:, None]), present) @ features
        every = torch.where(present[..., None], boxes, 0).flatten(1)
        six, shape, weak = self.regressor(torch.cat([mixed, every[:, None].expand(-1, len(ROI_COPIES), -1)], dim=-1))
        return six, shape, weak
