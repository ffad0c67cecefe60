"""Attention and the transformer layers of the methods, on torch's scaled_dot_product_attention."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear, scaled_dot_product_attention

_MANY = 128  # tokens from which oneDNN's convolution is the faster one
_SLOWEST_HZ, _FASTEST_HZ = 0.05, 12.0  # of `rotary`


def token_linear(
    tokens: Float[Tensor, "*g C"], weight: Float[Tensor, "D C"], bias: Float[Tensor, " D"] | None
) -> Float[Tensor, "*g D"]:
    """`torch.nn.functional.linear`, of many tokens on a CPU as a 1x1 convolution, where MKL is slow on AMD processors.

    Exported it stays a product; torch gives inputs of up to 20,480 numbers to MKL in any case.
    """
    many = tokens.numel() >= max(_MANY * tokens.shape[-1], 20481)
    if not many or tokens.device.type != "cpu" or tokens.dtype != torch.float32 or torch.compiler.is_exporting():
        return linear(tokens, weight, bias)
    column = tokens.contiguous().view(1, -1, 1, tokens.shape[-1]).permute(0, 3, 1, 2)  # pixels, channels last
    product = conv2d(column, weight[:, :, None, None], bias).permute(0, 2, 3, 1)
    return product.reshape(*tokens.shape[:-1], len(weight))


class TokenLinear(nn.Linear):
    """`nn.Linear` through `token_linear`."""

    def forward(self, input: Float[Tensor, "*g C"]) -> Float[Tensor, "*g D"]:
        return token_linear(input, self.weight, self.bias)


class Attention(nn.Module):
    """Multi-head attention (Vaswani et al., 2017). `head_width`: default width / heads; scale 1 / sqrt(head_width).

    The query, key and value maps are one packed layer, in this order; `bias` is theirs, the output map has one.
    """

    def __init__(
        self, width: int, heads: int, head_width: int | None = None, bias: bool = True, dropout: float = 0.0
    ) -> None:
        super().__init__()
        inner = heads * (head_width or width // heads)
        self.heads, self.dropout = heads, dropout
        self.qkv, self.proj = TokenLinear(width, 3 * inner, bias=bias), TokenLinear(inner, width)

    def forward(
        self,
        query: Float[Tensor, "B Q C"],
        key: Float[Tensor, "B K C"],
        value: Float[Tensor, "B K C"],
        mask: Bool[Tensor, "B K"] | None = None,
    ) -> Float[Tensor, "B Q C"]:
        """Each query's mix of the values. `mask` is True for keys to attend to; in a row without any, all count."""
        q, k, v, attended = self.projected(query, key, value, mask)
        dropout = self.dropout if self.training else 0.0
        if q.device.type == "cpu" and q.dtype == torch.bfloat16:  # whose backward pass is much slower on CPUs
            with torch.autocast("cpu", enabled=False):
                mixed = scaled_dot_product_attention(q.float(), k.float(), v.float(), attended, dropout)
        else:
            mixed = scaled_dot_product_attention(q, k, v, attended, dropout)
        return self.proj(mixed.transpose(1, 2).flatten(-2))

    def projected(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Bool[Tensor, "B K"] | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Queries, keys and values of each head `B H n c`, and the mask as torch's attention takes it."""
        if query is key is value:
            parts = self.qkv(query).chunk(3, dim=-1)
        else:
            biases = (None, None, None) if self.qkv.bias is None else self.qkv.bias.chunk(3)
            parts = tuple(map(token_linear, (query, key, value), self.qkv.weight.chunk(3), biases))
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        return q, k, v, None if mask is None else (mask | ~mask.any(-1, keepdim=True))[:, None, None]


@contextmanager
def attention_maps(network: nn.Module) -> Iterator[dict[str, list[Tensor]]]:
    """Collects the attention maps of the network's forward passes in the block, for the papers' figures.

    Gives the softmax `B H Q K` of each call of each `Attention` by its name, "decoder.0.cross_attn" for one.
    """
    maps: dict[str, list[Tensor]] = {}

    def collect(name: str) -> Any:
        def hook(layer: Attention, inputs: tuple[Tensor, ...], given: dict[str, Tensor]) -> None:
            q, k, _, attended = layer.projected(*inputs, **given)
            scores = (q @ k.mT).float() / q.shape[-1] ** 0.5
            scores = scores if attended is None else scores.masked_fill(~attended, -torch.inf)
            maps.setdefault(name, []).append(scores.softmax(-1).detach().cpu())

        return hook

    layers = [(name, layer) for name, layer in network.named_modules() if isinstance(layer, Attention)]
    hooks = [layer.register_forward_pre_hook(collect(name), with_kwargs=True) for name, layer in layers]
    try:
        yield maps
    finally:
        for hook in hooks:
            hook.remove()


class Mlp(nn.Module):
    """Two linear layers with exact GELU between them; parameters are named as timm names them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.act, self.fc2 = TokenLinear(width, hidden), nn.GELU(), TokenLinear(hidden, width)

    def forward(self, tokens: Float[Tensor, "*g C"]) -> Float[Tensor, "*g C"]:
        return self.fc2(self.act(self.fc1(tokens)))


class PreNormBlock(nn.Module):
    """ViT's block: x + attention(norm(x)), then x + mlp(norm(x)); parameters are named as timm names them."""

    def __init__(
        self, width: int, heads: int, hidden: int, head_width: int | None = None, bias: bool = True, eps: float = 1e-6
    ) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=eps), nn.LayerNorm(width, eps=eps)
        self.attn, self.mlp = Attention(width, heads, head_width, bias), Mlp(width, hidden)

    def forward(
        self, tokens: Float[Tensor, "B T C"], first: int | None = None, mask: Bool[Tensor, "B T"] | None = None
    ) -> Float[Tensor, "B Q C"]:
        """The tokens updated, with `first` only that many of them. `mask` is True for tokens to attend to."""
        normed = self.norm1(tokens)
        queries = normed if first is None else normed[:, :first]
        tokens = tokens[:, :first] + self.attn(queries, normed, normed, mask)
        return tokens + self.mlp(self.norm2(tokens))


class PostNormLayer(nn.Module):
    """DETR's layer: norm(x + attention), [norm(x + attention to memory),] norm(x + ReLU feed-forward).

    Position codes are added to queries and keys, not to values. `cross`: with the attention to a memory (decoder).
    """

    def __init__(self, width: int, heads: int, hidden: int, cross: bool = False, dropout: float = 0.1) -> None:
        super().__init__()
        self.self_attn = Attention(width, heads, dropout=dropout)
        self.cross_attn = Attention(width, heads, dropout=dropout) if cross else None
        self.linear1, self.linear2 = TokenLinear(width, hidden), TokenLinear(hidden, width)
        self.norm1, self.norm3 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width) if cross else None
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        tokens: Float[Tensor, "B T C"],
        code: Float[Tensor, "#B T C"],
        memory: Float[Tensor, "B K C"] | None = None,
        memory_code: Float[Tensor, "#B K C"] | None = None,
    ) -> Float[Tensor, "B T C"]:
        """The tokens updated, given their position codes and, in a decoder, the memory and its codes."""
        placed = tokens + code
        tokens = self.norm1(tokens + self.dropout(self.self_attn(placed, placed, tokens)))
        if self.cross_attn is not None and self.norm2 is not None:
            assert memory is not None
            assert memory_code is not None
            tokens = self.norm2(tokens + self.dropout(self.cross_attn(tokens + code, memory + memory_code, memory)))
        hidden = self.dropout(torch.relu(self.linear1(tokens)))
        return self.norm3(tokens + self.dropout(self.linear2(hidden)))


def rotary(tokens: Float[Tensor, "B H T C"], seconds: Float[Tensor, "B T"]) -> Float[Tensor, "B H T C"]:
    """Pairs of channels turned by an angle that grows with time (RoPE; Su et al., 2021), slow and fast ones.

    The products of two such tokens depend on the difference of their times alone.
    """
    half = tokens.shape[-1] // 2
    octaves = torch.linspace(0, 1, half).to(tokens)
    rate = 2 * torch.pi * _SLOWEST_HZ * (_FASTEST_HZ / _SLOWEST_HZ) ** octaves
    angle = seconds[:, None, :, None] * rate
    a, b = tokens[..., :half], tokens[..., half:]
    return torch.cat([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], dim=-1)


class TimeBlock(nn.Module):
    """A pre-norm transformer block over frames; `rotary` encodes how near frames are."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = TokenLinear(width, 3 * width), TokenLinear(width, width)
        self.mlp = Mlp(width, 4 * width)

    def forward(
        self, tokens: Float[Tensor, "B T C"], seconds: Float[Tensor, "B T"], mask: Bool[Tensor, "B 1 1 T"]
    ) -> Float[Tensor, "B T C"]:
        """The frames' tokens renewed; the mask is True for frames that may be attended to."""
        parts = self.qkv(self.norm1(tokens)).to(tokens).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        q, k, v = parts.unbind(0)
        mixed = scaled_dot_product_attention(rotary(q, seconds), rotary(k, seconds), v, mask)
        tokens = tokens + self.proj(mixed.transpose(1, 2).flatten(-2))
        return tokens + self.mlp(self.norm2(tokens))
