"""The front of a hybrid vision transformer: a CNN and the projection of its map to tokens, under timm's names."""

from __future__ import annotations

import timm
from jaxtyping import Float
from timm.layers import StdConv2dSame, pad_same
from timm.models.resnetv2 import ResNetV2
from torch import Tensor, nn
from torch.nn.functional import conv2d

from humesh.networks.backbones import HYBRID, PLAIN, Encoder


class StandardisedConv(StdConv2dSame):
    """timm's convolution with standardised weights, as INT's authors do it: (W - mean) / (std + 1e-5).

    Mean and deviation (of the population) are those of each output filter; timm's own is (W - mean) / sqrt(var + eps),
    which changes rotation matrices of made-up weights by up to 1e-3. Padding is TensorFlow's "SAME".
    """

    frozen = False

    def freeze(self) -> None:
        """Standardises the weights for good; for prediction only."""
        self.weight.data, self.frozen = self.standardised(), True

    def standardised(self) -> Float[Tensor, "out in h w"]:
        """The weights that the convolution uses."""
        if self.frozen:
            return self.weight
        centred = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return centred / (centred.square().mean((1, 2, 3), keepdim=True).sqrt() + 1e-5)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        if self.same_pad:  # the stride is 2, and the padding depends on the size
            x = pad_same(x, list(self.kernel_size), list(self.stride))
        return conv2d(x, self.standardised(), self.bias, self.stride, self.padding)


class PatchEmbed(nn.Module):
    """Normalised pixels to tokens, row by row of the map: `backbone`, then the convolution `proj`.

    `encoder`: "vit_base_r50_s16_224", its ResNet of 3, 4 and 9 blocks (Dosovitskiy et al., ICLR 2021; stride 16);
    "vit_base_patch16_224", no CNN but patches of 16 x 16 px; or a CNN of `Encoder` (stride 32). `pretrained` is for the
    latter; the others' weights come with their transformers (`pretrained_vit`). `stride`: pixels between two tokens.
    """

    def __init__(self, encoder: str, width: int, pretrained: bool = False) -> None:
        super().__init__()
        self.stride = 16
        if encoder == HYBRID:
            self.backbone: nn.Module = ResNetV2(
                [3, 4, 9], conv_layer=StandardisedConv, num_classes=0, global_pool="", preact=False, stem_type="same"
            )
            self.proj = nn.Conv2d(self.backbone.num_features, width, 1)
        elif encoder == PLAIN:
            self.backbone, self.proj = nn.Identity(), nn.Conv2d(3, width, 16, stride=16)
        else:
            self.stride, self.backbone = 32, Encoder(encoder, pretrained)
            self.proj = nn.Conv2d(self.backbone.width, width, 1)

    def forward(self, pixels: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B P C"]:
        return self.proj(self.backbone(pixels)).flatten(2).mT


def pretrained_vit(name: str) -> dict[str, Tensor]:
    """The weights of one of timm's vision transformers by timm's names, from its hub (ImageNet-21k)."""
    return timm.create_model(name, pretrained=True, num_classes=0).state_dict()
