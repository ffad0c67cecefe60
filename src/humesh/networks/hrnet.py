"""HRNet as pose regressors use it: all four branches brought to stride 32 and laid side by side."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn


class HrNet(nn.Module):
    """timm's HRNet and the stride-2 convolutions that take its branches to the last one's size (PARE, Multi-RoI).

    `name` is timm's, "hrnet_w48" the published one (width 48 + 96 + 192 + 384 = 720); `net` keeps timm's parameter
    names, which are those of the authors of HRNet. `pretrained` fetches ImageNet weights from timm's hub. ValueError
    for networks of another kind.
    """

    def __init__(self, name: str = "hrnet_w48", pretrained: bool = False) -> None:
        super().__init__()
        import timm  # here, as in `Encoder`

        if not name.startswith("hrnet_") or name not in timm.list_models():
            raise ValueError(
                f"encoder {name!r}: expected one of timm's HRNets: {', '.join(timm.list_models('hrnet_*'))}."
            )
        net: Any = timm.create_model(name, pretrained=pretrained, features_only=True, feature_location="")
        widths = net.feature_info.channels()[1:]  # the first is the stem
        self.net = net
        self.width: int = sum(widths)
        last = len(widths) - 1
        self.down = nn.ModuleList(_halvings(width, last - i) for i, width in enumerate(widths[:-1]))

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
