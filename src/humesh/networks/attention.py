"""Attention and the two transformer layers that the methods are built of; all on scaled_dot_product_attention."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from humesh.networks.linear import TokenLinear, token_linear


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
        self.qkv = TokenLinear(width, 3 * inner, bias=bias)
        self.proj = TokenLinear(inner, width)

    def forward(
        self,
        query: Float[Tensor, "B Q C"],
        key: Float[Tensor, "B K C"],
        value: Float[Tensor, "B K C"],
        mask: Bool[Tensor, "B K"] | None = None,
    ) -> Float[Tensor, "B Q C"]:
        """Each query's mix of the values; pass the very same tensor for those that are the same: one product less.

        `mask` is True for the keys that may be looked at; where a row has none, all are, so that nothing is NaN.
        """
        q, k, v, seen = self.projected(query, key, value, mask)
        dropout = self.dropout if self.training else 0.0
        # torch's way back through 16 bits takes 1.6 (216 tokens) to 5.6 (16 tokens) times as long on the CPU.
        if q.device.type == "cpu" and q.dtype == torch.bfloat16:
            with torch.autocast("cpu", enabled=False):
                mixed = scaled_dot_product_attention(q.float(), k.float(), v.float(), seen, dropout)
        else:
            mixed = scaled_dot_product_attention(q, k, v, seen, dropout)
        return self.proj(mixed.transpose(1, 2).flatten(-2))

    def projected(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Bool[Tensor, "B K"] | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Queries, keys and values of each head `B H n c`, and the mask as attention takes it."""
        if query is key is value:
            q, k, v = self.qkv(query).chunk(3, dim=-1)
        elif query is key:
            (q, k), v = self._map(query, 0, 2).chunk(2, dim=-1), self._map(value, 2, 3)
        elif key is value:
            q, (k, v) = self._map(query, 0, 1), self._map(key, 1, 3).chunk(2, dim=-1)
        else:
            q, k, v = self._map(query, 0, 1), self._map(key, 1, 2), self._map(value, 2, 3)
        q, k, v = (tensor.unflatten(-1, (self.heads, -1)).transpose(1, 2) for tensor in (q, k, v))
        return q, k, v, None if mask is None else (mask | ~mask.any(-1, keepdim=True))[:, None, None]

    def _map(self, tokens: Tensor, start: int, stop: int) -> Tensor:
        """Parts start..stop of the packed layer: 0 queries, 1 keys, 2 values."""
        inner = self.proj.in_features
        rows = slice(start * inner, stop * inner)
        return token_linear(tokens, self.qkv.weight[rows], None if self.qkv.bias is None else self.qkv.bias[rows])


@contextmanager
def attention_maps(network: nn.Module) -> Iterator[dict[str, list[Tensor]]]:
    """Collects the attention of everything that the network is shown in the block, for the papers' figures.

    Gives the softmax `B H Q K` of each call of each `Attention` by its name, "decoder.0.cross_attn" for one.
    """
    maps: dict[str, list[Tensor]] = {}

    def collect(name: str) -> Any:
        def hook(layer: Attention, inputs: tuple[Tensor, ...], given: dict[str, Tensor]) -> None:
            q, k, _, seen = layer.projected(*inputs, **given)
            scores = (q @ k.mT).float() / q.shape[-1] ** 0.5
            scores = scores if seen is None else scores.masked_fill(~seen, -torch.inf)
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
        self,
        width: int,
        heads: int,
        hidden: int,
        head_width: int | None = None,
        qkv_bias: bool = True,
        eps: float = 1e-6,
    ) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=eps), nn.LayerNorm(width, eps=eps)
        self.attn = Attention(width, heads, head_width, qkv_bias)
        self.mlp = Mlp(width, hidden)

    def forward(
        self, tokens: Float[Tensor, "B T C"], first: int | None = None, mask: Bool[Tensor, "B T"] | None = None
    ) -> Float[Tensor, "B Q C"]:
        """The tokens renewed; with `first` only that many of them (all are looked at), for blocks read in part.

        `mask` is True for the tokens that may be looked at.
        """
        normed = self.norm1(tokens)
        queries = normed if first is None else normed[:, :first]
        tokens = tokens if first is None else tokens[:, :first]
        tokens = tokens + self.attn(queries, normed, normed, mask)
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
        """The tokens renewed, given their position codes and, in a decoder, the memory and its codes."""
        placed = tokens + code
        tokens = self.norm1(tokens + self.dropout(self.self_attn(placed, placed, tokens)))
        if self.cross_attn is not None and self.norm2 is not None:
            assert memory is not None
            assert memory_code is not None
            seen = self.cross_attn(tokens + code, memory + memory_code, memory)
            tokens = self.norm2(tokens + self.dropout(seen))
        hidden = self.dropout(torch.relu(self.linear1(tokens)))
        return self.norm3(tokens + self.dropout(self.linear2(hidden)))
