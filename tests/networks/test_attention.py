"""Attention against torch's own and against its formula."""

import math

import pytest
import torch
from torch import nn

from humesh.networks.attention import Attention, PostNormLayer, PreNormBlock, attention_maps


def _copy(ours: Attention, theirs: nn.MultiheadAttention) -> None:
    ours.load_state_dict(
        {
            "qkv.weight": theirs.in_proj_weight,
            "qkv.bias": theirs.in_proj_bias,
            "proj.weight": theirs.out_proj.weight,
            "proj.bias": theirs.out_proj.bias,
        }
    )


@pytest.mark.parametrize("same", ["all", "query and key", "key and value", "none"])
def test_it_is_multi_head_attention(same: str) -> None:
    ours, theirs = Attention(16, 4), nn.MultiheadAttention(16, 4, batch_first=True)
    nn.init.normal_(theirs.in_proj_bias)
    _copy(ours, theirs)
    a, b, c = torch.randn(3, 2, 5, 16).unbind()
    query, key, value = {"all": (a, a, a), "query and key": (a, a, b), "key and value": (a, b, b), "none": (a, b, c)}[
        same
    ]
    expected, _ = theirs(query, key, value, need_weights=False)
    assert torch.allclose(ours(query, key, value), expected, atol=1e-6)


def test_heads_may_be_narrower_than_their_share() -> None:
    """Against the formula, by hand: softmax(q k / sqrt(head width)) v, head by head."""
    attention = Attention(12, 2, head_width=3, bias=False)
    x = torch.randn(1, 4, 12)
    q, k, v = attention.qkv(x)[0].chunk(3, dim=-1)
    heads = [torch.softmax(q[:, h] @ k[:, h].T / math.sqrt(3), dim=-1) @ v[:, h] for h in (slice(0, 3), slice(3, 6))]
    assert torch.allclose(attention(x, x, x)[0], attention.proj(torch.cat(heads, dim=-1)), atol=1e-6)


def test_the_encoder_layer_is_torchs() -> None:
    ours = PostNormLayer(16, 4, 32).eval()
    theirs = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True).eval()
    _copy(ours.self_attn, theirs.self_attn)
    for mine, its in (("linear1", "linear1"), ("linear2", "linear2"), ("norm1", "norm1"), ("norm3", "norm2")):
        getattr(ours, mine).load_state_dict(getattr(theirs, its).state_dict())
    x = torch.randn(2, 5, 16)
    with torch.no_grad():
        assert torch.allclose(ours(x, torch.zeros(1, 5, 16)), theirs(x), atol=1e-5)


def test_position_codes_are_not_in_the_values() -> None:
    """With one token attention returns its value, so its code must not show."""
    layer = PostNormLayer(8, 2, 16, cross=True).eval()
    token, memory = torch.randn(1, 1, 8), torch.randn(1, 1, 8)
    zero = torch.zeros(1, 1, 8)
    assert torch.allclose(layer(token, zero, memory, zero), layer(token, zero + 3, memory, zero - 2), atol=1e-6)


def test_a_block_read_in_part_gives_the_same_part() -> None:
    block = PreNormBlock(16, 4, 32)
    tokens = torch.randn(2, 9, 16)
    assert torch.allclose(block(tokens, first=3), block(tokens)[:, :3], atol=1e-6)


def test_in_16_bits_on_the_cpu_answers_and_gradients_are_nearly_those_of_32() -> None:
    attention, x = Attention(16, 4), torch.randn(3, 5, 16)
    gradients, answers = [], []
    for half in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            answers.append(attention(x, x, x).float())
        gradients.append(torch.autograd.grad(answers[-1].square().sum(), list(attention.parameters())))
    assert torch.allclose(answers[1], answers[0], atol=0.02)
    for half_gradient, gradient in zip(gradients[1], gradients[0], strict=True):
        assert torch.allclose(half_gradient, gradient, atol=0.05 * float(gradient.abs().max()) + 0.02)


def test_maps_are_what_the_values_are_mixed_by() -> None:
    """Torch's own weights, also behind a mask and with fewer queries than keys; after the block nothing is kept."""
    ours, theirs = Attention(16, 4), nn.MultiheadAttention(16, 4, batch_first=True)
    _copy(ours, theirs)
    network, query, memory = nn.ModuleDict({"cross": ours}), torch.randn(2, 3, 16), torch.randn(2, 5, 16)
    mask = torch.tensor([[True, True, False, True, True]] * 2)
    with attention_maps(network) as maps:
        network["cross"](query, memory, memory, mask)
        network["cross"](query, memory, memory, mask=mask)
    network["cross"](query, memory, memory)
    _, expected = theirs(query, memory, memory, key_padding_mask=~mask, average_attn_weights=False)
    assert list(maps) == ["cross"]
    assert len(maps["cross"]) == 2
    for found in maps["cross"]:
        assert torch.allclose(found, expected, atol=1e-6)
        assert (found[..., 2] == 0).all()
