"""The fast linear layer is the linear layer."""

import pytest
import torch
from torch.nn.functional import linear

from humesh.networks.attention import TokenLinear, token_linear


@pytest.mark.parametrize("shape", [(5,), (1, 5), (7, 5), (3, 40, 5), (2, 3, 1, 5), (0, 5), (2, 600, 5)])
@pytest.mark.parametrize("biased", [True, False])
def test_it_is_torchs(shape: tuple[int, ...], biased: bool) -> None:
    tokens, weight = torch.randn(shape), torch.randn(4, 5)
    bias = torch.randn(4) if biased else None
    assert torch.allclose(token_linear(tokens, weight, bias), linear(tokens, weight, bias), atol=1e-5)


def test_its_gradients_are_torchs() -> None:
    layer, tokens = TokenLinear(6, 3), torch.randn(2, 50, 6, requires_grad=True)
    aims = (tokens, layer.weight, layer.bias)
    ours = torch.autograd.grad(layer(tokens).sin().sum(), aims)
    theirs = torch.autograd.grad(linear(tokens, layer.weight, layer.bias).sin().sum(), aims)
    for a, b in zip(ours, theirs, strict=True):
        assert torch.allclose(a, b, atol=1e-4)


def test_double_precision_stays_double() -> None:
    assert TokenLinear(3, 2).double()(torch.zeros(4, 3).double()).dtype == torch.float64
