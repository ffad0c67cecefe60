"""Maps and volumes of features as rows of tokens: sampling at points, codes of the cells, JOTR's lifting."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear

from humesh.networks.attention import token_linear


def interpolation(points: Float[Tensor, "*g K D"], cells: tuple[int, ...]) -> Float[Tensor, "*g K T"]:
    """The weights of T cells at points; times the cells' features this is (bi-, tri-) linear sampling.

    Points are (x, y[, z]) from 0, the centre of the first cell, to 1, that of the last one; beyond these the features
    fade to zero. `cells`: their number along (..., y, x), as the tokens are ordered, x fastest. The same numbers as
    grid_sample(align_corners=True, padding_mode="zeros") gives, without its copies, and ONNX has it in 3D too.
    """
    weights = torch.ones_like(points[..., :1])
    for axis, count in enumerate(reversed(cells)):
        ticks = torch.arange(count).to(points)
        hat = torch.relu(1 - (points[..., axis, None] * (count - 1) - ticks).abs())
        weights = (hat[..., :, None] * weights[..., None, :]).flatten(-2)
    return weights


def fractions(cells: tuple[int, ...], exponent: Tensor | None = None) -> Float[Tensor, "T D"]:
    """Coordinates i / n of the cells along each axis, in the order of the axes; the first one to a power, if any.

    JOTR's "Rescaled Relative 3D Coordinates" (Li et al., ICCV 2023) are those of (depth, y, x).
    """
    like = torch.ones(()) if exponent is None else exponent
    axes = [torch.arange(count).to(like) / count for count in cells]
    if exponent is not None:
        axes[0] = axes[0] ** exponent
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, -2)


def sine_code(positions: Float[Tensor, " T"], width: int) -> Float[Tensor, "T width"]:
    """Sines and cosines in turn of positions / 10000^(2 floor(i / 2) / width) (Vaswani et al., 2017)."""
    double = positions.double()
    rates = 10000 ** (-2 * (torch.arange(width).to(double) // 2) / width)
    angles = double[:, None] * rates
    return torch.where(torch.arange(width) % 2 == 0, angles.sin(), angles.cos()).to(positions)


def sine_code_2d(rows: int, columns: int, width: int) -> Float[Tensor, "T width"]:
    """DETR's code of a map's cells (Carion et al., ECCV 2020): half the width for y, half for x, from 0+ to 2 pi."""
    y, x = (sine_code(torch.arange(1, n + 1) / (n + 1e-6) * 2 * math.pi, width // 2) for n in (rows, columns))
    return torch.cat([y[:, None].expand(-1, columns, -1), x[None].expand(rows, -1, -1)], dim=-1).flatten(0, 1)


class LiftedVolume(nn.Module):
    """A map lifted to a volume of width C whose depth axis is stretched, z^k with k learned (JOTR, ICCV 2023).

    Channels of the map become depth x C, each voxel gets its place beside its features, and transformer `layers` refine
    the voxels as tokens ordered (depth, y, x). `cells`: the volume's (depth, rows, columns).
    """

    code: Tensor

    def __init__(self, channels: int, width: int, cells: tuple[int, int, int], layers: nn.ModuleList) -> None:
        super().__init__()
        self.cells = cells
        self.lift, self.mix = nn.Conv2d(channels, width * cells[0], 1), nn.Conv3d(width + 3, width, 1)
        self.exponent = nn.Parameter(torch.tensor(3.0))
        self.layers, self.norm = layers, nn.LayerNorm(width)
        for layer in self.layers[1:]:  # all start the same (authors)
            layer.load_state_dict(self.layers[0].state_dict())
        self.register_buffer("code", sine_code(torch.arange(math.prod(cells)).float(), width)[None], persistent=False)

    def clamped_exponent(self) -> Float[Tensor, ""]:
        """The k of z^k."""
        return self.exponent.clamp(1, 20)

    def lifted(self, features: Float[Tensor, "B D h w"]) -> Float[Tensor, "B T C"]:
        """The features of the map in all depths, before the voxels know their places."""
        columns = token_linear(features.flatten(2).mT, self.lift.weight.flatten(1), self.lift.bias)
        # Depth is the faster of the channels.
        return columns.unflatten(-1, (-1, self.cells[0])).permute(0, 3, 1, 2).flatten(1, 2)

    def forward(self, features: Float[Tensor, "B D h w"]) -> Float[Tensor, "B T C"]:
        """The volume's tokens from a map."""
        voxels = self.lifted(features)
        weight, width = self.mix.weight.flatten(1), voxels.shape[-1]
        places = linear(fractions(self.cells, self.clamped_exponent()), weight[:, width:], self.mix.bias)
        tokens = token_linear(voxels, weight[:, :width], None) + places
        for layer in self.layers:
            tokens = layer(tokens, self.code)
        return self.norm(tokens)

    def warped(self, points: Float[Tensor, "B K 3"]) -> Float[Tensor, "B K 3"]:
        """Where the volume is sampled for points in [0, 1]: at (x, y, z^k), as the authors' weights expect it."""
        return torch.cat([points[..., :2], points[..., 2:] ** self.clamped_exponent()], dim=-1)

    def at(self, tokens: Float[Tensor, "B T C"], points: Float[Tensor, "B K 3"]) -> Float[Tensor, "B K C"]:
        """The volume's features at points in [0, 1]."""
        return interpolation(self.warped(points), self.cells) @ tokens
