"""Attention over the frames of a clip by how many seconds lie between them, whatever their number and their spacing."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from humesh.networks.attention import Mlp, TokenLinear

_SLOWEST_HZ, _FASTEST_HZ = 0.05, 12.0


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
