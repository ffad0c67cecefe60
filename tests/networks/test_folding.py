"""Folding norms into convolutions changes rounding, nothing else."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from humesh.networks.encoders import HYBRID, Encoder, HrNet, PatchEmbed, fold


@pytest.mark.parametrize(
    "make",
    [
        lambda: Encoder("resnet50"),
        lambda: HrNet("hrnet_w18_small"),
        lambda: PatchEmbed(HYBRID, 32),
    ],
    ids=["resnet", "hrnet", "hybrid"],
)
def test_the_answer_stays(make: object) -> None:
    torch.manual_seed(0)
    network: nn.Module = make()  # type: ignore[operator]
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = 0.1 * torch.randn_like(module.running_mean)
            module.running_var = 1 + 0.5 * torch.rand_like(module.running_var)
            nn.init.normal_(module.bias, std=0.1)
    pixels = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        plain = network.eval()(pixels)
        fold(network)
        folded = network(pixels)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    assert torch.allclose(plain, folded, atol=1e-4 * plain.abs().max())


def test_a_norm_of_something_else_stays() -> None:
    """A norm is folded only into the convolution right before it."""
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.BatchNorm2d(4), nn.Linear(5, 5))
    fold(network)
    assert isinstance(network[2], nn.BatchNorm2d)
