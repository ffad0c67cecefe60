"""A 3D skeleton from an encoder's map: volumetric heatmaps (MeTRAbs: Sarandi et al., T-BIOM 2021)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from humesh.networks.heatmaps import soft_argmax

STRIDE = 32
"""Pixels of a square crop between the cells of the encoders' last map."""

VOLUME_M = 2.2
"""The sides in metres of the box that the heatmaps fill, MeTRAbs'; a crop's width counts as this."""


class SkeletonHead(nn.Module):
    """2D heatmaps and volumes of `joints` joints by one convolution; the expected positions are the skeleton.

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

    Two linear layers with dropout, after HybrIK; the mean shape is 0. Ours: it starts near no twist and no turn.
    `activation`: "none" or "relu", between the layers.
    """

    def __init__(
        self, features: int, width: int, shapes: int, twists: int, leaves: int, dropout: float, activation: str
    ) -> None:
        super().__init__()
        between = nn.ReLU if activation == "relu" else nn.Identity
        layers = [nn.Linear(features, width), between(), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers, nn.Linear(width, width), between(), nn.Dropout(dropout))
        self.shape, self.twist = nn.Linear(width, shapes), nn.Linear(width, 2 * twists)
        self.leaves = nn.Linear(width, 4 * leaves) if leaves else None
        with torch.no_grad():
            for head in filter(None, (self.shape, self.twist, self.leaves)):
                nn.init.xavier_uniform_(head.weight, gain=0.01)  # HybrIK's
                head.bias.zero_()
            self.twist.bias[::2] = 1
            if self.leaves is not None:
                self.leaves.bias[::4] = 1

    def forward(
        self, pooled: Float[Tensor, "*g F"]
    ) -> tuple[Float[Tensor, "*g T 2"], Float[Tensor, "*g S"], Float[Tensor, "*g L 4"] | None]:
        """Twists of any length, shape and, where there are any, the leaves."""
        hidden = self.layers(pooled)
        leaves = None if self.leaves is None else self.leaves(hidden).unflatten(-1, (-1, 4))
        return self.twist(hidden).unflatten(-1, (-1, 2)), self.shape(hidden), leaves
