"""Image encoders: ResNet-50 for the methods as published, small ones for training on a laptop; most from timm."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

HYBRID, PLAIN = "vit_base_r50_s16_224", "vit_base_patch16_224"
"""Two of timm's vision transformers (see `PatchEmbed`)."""


class Encoder(nn.Module):
    """A CNN in two parts: `stem`, to a map of stride 4, and `body`, from there to the last map, of stride 32.

    `name` is timm's, of its ResNets ("resnet50" is torchvision's, parameter by parameter) and EfficientNets; parameters
    keep timm's names. `pretrained` fetches ImageNet weights from timm's hub. ValueError for networks of another kind.
    """

    def __init__(self, name: str = "resnet50", pretrained: bool = False) -> None:
        super().__init__()
        self.stem_width: int
        self.width: int
        import timm  # here: half a second and 0.2 GB that what needs none of its networks is spared

        if name not in timm.list_models():
            raise ValueError(f"encoder {name!r}: timm has no such network; timm.list_models() lists those it has.")
        # As torchvision's start; timm's residual blocks would start as nothing, without a gradient inside.
        start: dict[str, Any] = {"zero_init_last": False} if timm.models.is_model_in_modules(name, ["resnet"]) else {}
        net: Any = timm.create_model(name, pretrained=pretrained, num_classes=0, **start)
        if hasattr(net, "layer4"):
            self.stem_parts, self.body_parts = ["conv1", "bn1", "act1", "maxpool"], [f"layer{i}" for i in (1, 2, 3, 4)]
            self.stem_width = net.bn1.num_features
        elif type(net).__name__ == "EfficientNet" and net.feature_info[1]["reduction"] == 4:
            self.stem_parts = ["conv_stem", "bn1", "blocks"]  # the first two groups of blocks end at stride 4
            self.body_parts = ["blocks", *(part for part in ("conv_head", "bn2") if getattr(net, part, None))]
            self.stem_width = net.feature_info[1]["num_chs"]
        else:
            raise ValueError(f"encoder {name!r}: expected one of timm's ResNets or EfficientNets.")
        self.width = net.num_features
        for part in dict.fromkeys(self.stem_parts + self.body_parts):
            self.add_module(part, getattr(net, part))

    def stem(self, pixels: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C h w"]:
        """The map of stride 4 of normalised pixels."""
        for part in self.stem_parts:
            module = self.get_submodule(part)
            pixels = (module[:2] if part == "blocks" else module)(pixels)  # type: ignore[index]
        return pixels

    def body(self, features: Float[Tensor, "B C h w"]) -> Float[Tensor, "B D u v"]:
        """The map of stride 32 from that of stride 4."""
        for part in self.body_parts:
            module = self.get_submodule(part)
            features = (module[2:] if part == "blocks" else module)(features)  # type: ignore[index]
        return features

    def forward(self, pixels: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D u v"]:
        return self.body(self.stem(pixels))


class ImageNetColours(nn.Module):
    """RGB in [0, 1] to the range that ImageNet encoders were trained on."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406])[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225])[:, None, None], persistent=False)

    def forward(self, pixels: Float[Tensor, "*g 3 H W"]) -> Float[Tensor, "*g 3 H W"]:
        return (pixels - self.mean) / self.std
