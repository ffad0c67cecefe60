"""Heads: from features, tokens, maps and volumes to numbers, points and rotations."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, linear

from humesh.geometry.rotations import rotation_from_6d_rows
from humesh.networks.attention import token_linear

VPOSER_CODE = 32
STRIDE = 32
"""Pixels of a square crop between the cells of the encoders' last map."""
VOLUME_M = 2.2
"""The sides in metres of the box that `SkeletonHead`'s heatmaps fill, MeTRAbs'; a crop's width counts as this."""


class Regressor(nn.Module):
    """HMR's regressor (CVPR 2018) as SPIN's heirs have it: rounds of two linear layers that correct an estimate.

    `starts`: the first estimates, by name; buffers, because authors keep SPIN's mean parameters with their weights.
    """

    def __init__(self, known: int, hidden: tuple[int, int], starts: dict[str, Tensor], dropout: float) -> None:
        super().__init__()
        self.sizes = [len(start) for start in starts.values()]
        self.fc1 = nn.Linear(known + sum(self.sizes), hidden[0])
        self.fc2 = nn.Linear(*hidden)
        self.heads = nn.ModuleDict({name: nn.Linear(hidden[1], len(start)) for name, start in starts.items()})
        for head in self.heads.values():
            nn.init.xavier_uniform_(head.get_parameter("weight"), gain=0.01)  # HMR's and SPIN's: start at the estimate
        for name, start in starts.items():
            self.register_buffer(f"init_{name}", start[None])
        self.dropout = nn.Dropout(dropout)

    def forward(self, known: Float[Tensor, "*g K"]) -> tuple[Tensor, ...]:
        """The last estimates, in the order of the starts."""
        estimate = torch.cat([self.get_buffer(f"init_{name}") for name in self.heads], dim=-1)[0]
        width = known.shape[-1]
        base = linear(known, self.fc1.weight[:, :width], self.fc1.bias)  # the same in every round
        for _ in range(3):
            hidden = self.dropout(base + linear(estimate, self.fc1.weight[:, width:]))
            hidden = self.dropout(self.fc2(hidden))
            estimate = estimate + torch.cat([head(hidden) for head in self.heads.values()], dim=-1)
        return estimate.split(self.sizes, dim=-1)


def mean_starts(shapes: int) -> dict[str, Tensor]:
    """First estimates in place of SPIN's: the mean body, upright, arms apart, filling most of the box's height."""
    pose = torch.eye(3)[:, :2].flatten().repeat(24)
    pose[:6] = torch.tensor([1.0, 0.0, 0.0, -1.0, 0.0, 0.0])  # half a turn about x: bodies' y is up, cameras' is down
    return {"pose": pose, "shape": torch.zeros(shapes), "cam": torch.tensor([0.9, 0.0, 0.0])}


class Cascade(nn.ModuleList):
    """A linear head for each decoder layer; each adds to the one before's estimate, which is among its inputs."""

    def __init__(self, width: int, size: int, layers: int) -> None:
        super().__init__(nn.Linear(width + (size if layer else 0), size) for layer in range(layers))

    def step(self, layer: int, token: Tensor, before: Tensor | None) -> Tensor:
        """The estimate of one layer, from that of the one before; None at the first."""
        return self[layer](token) if before is None else before + self[layer](torch.cat([token, before], dim=-1))

    def forward(self, tokens: Sequence[Float[Tensor, "B C"]]) -> Float[Tensor, "L B n"]:
        """The estimates of all layers, from a token of each."""
        estimates: list[Tensor] = []
        for layer, token in enumerate(tokens):
            estimates.append(self.step(layer, token, estimates[-1] if estimates else None))
        return torch.stack(estimates)


def clamped_logit(share: Float[Tensor, "*g"], eps: float = 1e-5) -> Float[Tensor, "*g"]:
    """The inverse of the sigmoid, finite at 0 and 1 (DETR's)."""
    return share.clamp(eps, 1.0).log() - (1 - share).clamp(eps, 1.0).log()


def gaussian_heatmaps(
    points: Float[Tensor, "*g K 2"], weights: Float[Tensor, "*g K"], size: int, sigma: float
) -> Float[Tensor, "*g K size size"]:
    """Maps exp(-d^2 / (2 sigma^2)) of pixel distances d, peak = weight; a point is in units of map pixels."""
    ticks = torch.arange(size).to(points)
    spread = torch.exp(-(points[..., None] - ticks).square() / (2 * sigma**2))  # *g K (x, y) size
    return weights[..., None, None] * spread[..., 1, :, None] * spread[..., 0, None, :]


def soft_argmax(logits: Float[Tensor, "*g K *space"], dims: int) -> Float[Tensor, "*g K D"]:
    """Expected position of the softmax over the last `dims` axes; (x, y[, z]) in [0, 1] from first to last bin.

    Half-precision logits give positions in float32: bfloat16 would round them to whole pixels.
    """
    space, exact = logits.shape[-dims:], torch.promote_types(logits.dtype, torch.float32)
    mass = logits.flatten(-dims).softmax(-1, dtype=exact).unflatten(-1, space)
    coordinates = []
    for axis in range(1, dims + 1):  # x is the last axis
        others = tuple(-other for other in range(1, dims + 1) if other != axis)
        ticks = torch.linspace(0, 1, space[-axis], dtype=mass.dtype, device=mass.device)
        coordinates.append((mass.sum(others) * ticks).sum(-1))
    return torch.stack(coordinates, dim=-1)


def interpolation(points: Float[Tensor, "*g K D"], cells: tuple[int, ...]) -> Float[Tensor, "*g K T"]:
    """The weights of T cells at points; times the cells' features this is (bi-, tri-) linear sampling.

    Points are (x, y[, z]) from 0, the centre of the first cell, to 1, that of the last one; beyond these the features
    fade to zero. `cells`: their number along (..., y, x), x fastest. As grid_sample(align_corners=True), in ONNX too.
    """
    weights = torch.ones_like(points[..., :1])
    for axis, count in enumerate(reversed(cells)):
        ticks = torch.arange(count).to(points)
        hat = torch.relu(1 - (points[..., axis, None] * (count - 1) - ticks).abs())
        weights = (hat[..., :, None] * weights[..., None, :]).flatten(-2)
    return weights


def fractions(cells: tuple[int, ...], exponent: Tensor | None = None) -> Float[Tensor, "T D"]:
    """Coordinates i / n of the cells along each axis, the first one to a power, if any.

    Those of (depth, y, x) are JOTR's "Rescaled Relative 3D Coordinates".
    """
    power = torch.ones(()) if exponent is None else exponent
    first, *axes = (torch.arange(count).to(power) / count for count in cells)
    axes = [first**power, *axes]
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


class SkeletonHead(nn.Module):
    """A 2D and a relative 3D skeleton by one convolution to heatmaps and volumes (MeTRAbs: Sarandi et al., 2021).

    Channels: the 2D map of each joint, then for each depth bin the map of each joint.
    """

    def __init__(self, width: int, joints: int, depth_bins: int) -> None:
        super().__init__()
        self.joints, self.depth_bins = joints, depth_bins
        self.maps = nn.Conv2d(width, joints * (1 + depth_bins), 1)

    def forward(self, features: Float[Tensor, "B C h w"]) -> tuple[Tensor, Tensor]:
        return self.points(self.maps(features))

    def points(self, logits: Float[Tensor, "B D h w"]) -> tuple[Float[Tensor, "B K 2"], Float[Tensor, "B K 3"]]:
        """2D joints in pixels of the square crop, and 3D ones in metres, of which only differences mean anything."""
        cells = logits.shape[-1]
        maps, volumes = logits.split([self.joints, self.joints * self.depth_bins], dim=1)
        place = soft_argmax(volumes.unflatten(1, (self.depth_bins, self.joints)).transpose(1, 2), 3)

        def pixels(position: Tensor) -> Tensor:
            return STRIDE * (cells - 1) * position + STRIDE / 2  # from the first cell's centre to the last one's

        across = pixels(place[..., :2]) * (VOLUME_M / (STRIDE * cells))
        return pixels(soft_argmax(maps, 2)), torch.cat([across, VOLUME_M * place[..., 2:]], dim=-1)


class TwistHead(nn.Module):
    """The twist and shape estimator f_TS: (cos, sin) of T joints, S shape coefficients, quaternions of L leaves.

    Two linear layers with dropout and no activation between, after HybrIK; the mean shape is 0. Ours: it starts near no
    twist and no turn.
    """

    def __init__(self, features: int, width: int, shapes: int, twists: int, leaves: int, dropout: float) -> None:
        super().__init__()
        first, second = nn.Linear(features, width), nn.Linear(width, width)
        self.layers = nn.Sequential(first, nn.Dropout(dropout), second, nn.Dropout(dropout))
        self.shape, self.twist = nn.Linear(width, shapes), nn.Linear(width, 2 * twists)
        self.leaves = nn.Linear(width, 4 * leaves)
        for head in (self.shape, self.twist, self.leaves):
            nn.init.xavier_uniform_(head.weight, gain=0.01)  # HybrIK's
            nn.init.zeros_(head.bias)
        self.twist.bias.data[::2] = 1
        self.leaves.bias.data[::4] = 1

    def forward(
        self, pooled: Float[Tensor, "*g F"]
    ) -> tuple[Float[Tensor, "*g T 2"], Float[Tensor, "*g S"], Float[Tensor, "*g L 4"]]:
        """Twists of any length, shape and the leaves' quaternions."""
        hidden = self.layers(pooled)
        return self.twist(hidden).unflatten(-1, (-1, 2)), self.shape(hidden), self.leaves(hidden).unflatten(-1, (-1, 4))


class Vposer(nn.Module):
    """The decoder of VPoser v1, frozen: 32 numbers to a plausible body (Pavlakos et al., SMPLify-X, CVPR 2019).

    Gradients pass through to the code. Its weights are licensed; bring your own. Rotations are those of SMPL's joints
    1 to 21 (all but root and hands), parent-relative.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.out = nn.Linear(VPOSER_CODE, 512), nn.Linear(512, 512), nn.Linear(512, 21 * 6)
        self.requires_grad_(False)

    def forward(self, code: Float[Tensor, "*g 32"]) -> Float[Tensor, "*g 21 3 3"]:
        hidden = leaky_relu(self.fc2(leaky_relu(self.fc1(code), 0.2)), 0.2)
        return rotation_from_6d_rows(self.out(hidden).unflatten(-1, (21, 6)))


class PoseDiscriminator(nn.Module):
    """HMR's scores of rotations (section 3.3): one for each joint alone, then one for all together.

    A small network that the joints share (9 -> 32 -> 32) goes into a linear score per joint and, for all joints at
    once, through 1024 -> 1024 -> 1.
    """

    def __init__(self, joints: int = 23, width: int = 32, hidden: int = 1024) -> None:
        super().__init__()
        self.shared = nn.Sequential(nn.Linear(9, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.joint_weight = nn.Parameter(torch.randn(joints, width) * width**-0.5)
        self.joint_bias = nn.Parameter(torch.zeros(joints))
        self.together = nn.Sequential(
            nn.Linear(joints * width, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1)
        )

    def forward(self, rotations: Float[Tensor, "*g J 3 3"]) -> Float[Tensor, "*g D"]:
        """J + 1 scores of parent-relative rotations, of all joints but the root."""
        features = self.shared(rotations.flatten(-2))
        alone = (features * self.joint_weight).sum(-1) + self.joint_bias
        return torch.cat([alone, self.together(features.flatten(-2))], dim=-1)


def shape_discriminator(shapes: int = 10) -> nn.Sequential:
    """HMR's score `*g 1` of shape coefficients, through 10 -> 10 -> 5 -> 1."""
    return nn.Sequential(nn.Linear(shapes, 10), nn.ReLU(), nn.Linear(10, 5), nn.ReLU(), nn.Linear(5, 1))
