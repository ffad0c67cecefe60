"""Image encoders: timm's ResNets, HRNets and vision transformers' stems, with the parameter names of their authors."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

HYBRID, PLAIN = "vit_base_r50_s16_224", "vit_base_patch16_224"
"""Two of timm's vision transformers (see `PatchEmbed`)."""


def _from_timm(name: str, family: str, **options: Any) -> Any:
    """An untrained network of one of timm's families; ValueError for others."""
    import timm  # here: it takes half a second and 0.2 GB

    if name not in timm.list_models(module=family):
        listing = f"timm.list_models(module={family!r})"
        raise ValueError(f"encoder {name!r}: expected one of timm's {family} networks; {listing} lists them.")
    return timm.create_model(name, **options)


class Encoder(nn.Module):
    """One of timm's ResNets in two parts: `stem`, to a map of stride 4, and `body`, to the last map, of stride 32."""

    def __init__(self, name: str = "resnet50") -> None:
        super().__init__()
        # As torchvision's start; timm's residual blocks would start as nothing, without a gradient inside.
        net = _from_timm(name, "resnet", num_classes=0, zero_init_last=False)
        self.stem_width: int = net.bn1.num_features
        self.width: int = net.num_features
        self.conv1, self.bn1, self.act1, self.maxpool = net.conv1, net.bn1, net.act1, net.maxpool
        self.layer1, self.layer2, self.layer3, self.layer4 = net.layer1, net.layer2, net.layer3, net.layer4

    def stem(self, pixels: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C h w"]:
        """The map of stride 4 of normalised pixels."""
        return self.maxpool(self.act1(self.bn1(self.conv1(pixels))))

    def body(self, features: Float[Tensor, "B C h w"]) -> Float[Tensor, "B D u v"]:
        """The map of stride 32 from that of stride 4."""
        return self.layer4(self.layer3(self.layer2(self.layer1(features))))

    def forward(self, pixels: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D u v"]:
        return self.body(self.stem(pixels))


class HrNet(nn.Module):
    """HRNet as pose regressors use it (PARE, Multi-RoI): all four branches brought to stride 32 and concatenated.

    `net` is timm's, whose parameter names are those of HRNet's authors; `down` holds the stride-2 convolutions.
    """

    def __init__(self, name: str = "hrnet_w48") -> None:
        super().__init__()
        self.net = _from_timm(name, "hrnet", features_only=True, feature_location="")
        widths = self.net.feature_info.channels()[1:]  # the first is the stem
        self.width: int = sum(widths)
        self.down = nn.ModuleList(_halvings(width, len(widths) - 1 - i) for i, width in enumerate(widths[:-1]))

    def forward(self, pixels: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D u v"]:
        """The map of stride 32 of normalised pixels."""
        *finer, coarsest = self.net(pixels)[1:]
        return torch.cat([*(down(branch) for down, branch in zip(self.down, finer, strict=True)), coarsest], dim=1)


def _halvings(width: int, times: int) -> nn.Sequential:
    """Convolutions that halve a map, `times` of them."""
    layers: list[nn.Module] = []
    for _ in range(times):
        layers += [nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(True)]
    return nn.Sequential(*layers)


class StandardisedConv(nn.Conv2d):
    """A convolution with standardised weights, (W - mean) / (std + 1e-5) of each output filter, as INT's authors do it.

    timm's own divides by sqrt(var + eps), which changes rotation matrices of made-up weights by up to 1e-3. Padding is
    TensorFlow's "SAME".
    """

    def __init__(self, inputs: int, outputs: int, kernel_size: int, stride: int = 1, **more: Any) -> None:
        super().__init__(inputs, outputs, kernel_size, stride, bias=False, **more)

    def standardised(self) -> Float[Tensor, "out in h w"]:
        """The weights that the convolution uses."""
        centred = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return centred / (centred.square().mean((1, 2, 3), keepdim=True).sqrt() + 1e-5)

    def forward(self, input: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        kernel, stride = self.kernel_size[0], self.stride[0]
        if stride == 1:
            return conv2d(input, self.standardised(), padding=kernel // 2)
        down, across = (max(kernel - stride + (-n % stride), 0) for n in input.shape[-2:])
        padded = pad(input, (across // 2, across - across // 2, down // 2, down - down // 2))
        return conv2d(padded, self.standardised(), stride=stride)


class PatchEmbed(nn.Module):
    """Normalised pixels to tokens, row by row of the map: `backbone`, then the convolution `proj`.

    `encoder`: "vit_base_r50_s16_224", its ResNet of 3, 4 and 9 blocks (Dosovitskiy et al., ICLR 2021; stride 16);
    "vit_base_patch16_224", no CNN but patches of 16 x 16 px; or a ResNet of `Encoder` (stride 32). `stride`: pixels
    between two tokens.
    """

    def __init__(self, encoder: str, width: int) -> None:
        super().__init__()
        self.stride, kernel = 16, 1
        if encoder == HYBRID:
            from timm.models.resnetv2 import ResNetV2

            more: dict[str, Any] = {"num_classes": 0, "global_pool": "", "preact": False, "stem_type": "same"}
            self.backbone: nn.Module = ResNetV2([3, 4, 9], conv_layer=StandardisedConv, **more)
            channels = 1024
        elif encoder == PLAIN:
            self.backbone, channels, kernel = nn.Identity(), 3, 16
        else:
            cnn = Encoder(encoder)
            self.stride, self.backbone, channels = 32, cnn, cnn.width
        self.proj = nn.Conv2d(channels, width, kernel, stride=kernel)

    def forward(self, pixels: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B P C"]:
        return self.proj(self.backbone(pixels)).flatten(2).mT


def imagenet_normalised(pixels: Float[Tensor, "*g 3 H W"]) -> Float[Tensor, "*g 3 H W"]:
    """RGB in [0, 1] to the range that ImageNet encoders were trained on."""
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).to(pixels)[..., None, None]
    return (pixels - mean) / std
