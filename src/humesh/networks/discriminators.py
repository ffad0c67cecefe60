"""Judges of poses and shapes for adversarial training (Kanazawa et al., HMR, CVPR 2018, section 3.3)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class PoseDiscriminator(nn.Module):
    """Scores of rotations: one for each joint alone, then one for all together.

    A small network that the joints share (9 -> 32 -> 32) goes into a linear score per joint and, for all joints at
    once, through 1024 -> 1024 -> 1.
    """

    def __init__(self, joints: int = 23, width: int = 32, hidden: int = 1024) -> None:
        super().__init__()
        self.shared = nn.Sequential(nn.Linear(9, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.joint_weight = nn.Parameter(torch.randn(joints, width) * width**-0.5)
        self.joint_bias = nn.Parameter(torch.zeros(joints))
        self.whole = nn.Sequential(
            nn.Linear(joints * width, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1)
        )

    def forward(self, rotations: Float[Tensor, "*g J 3 3"]) -> Float[Tensor, "*g D"]:
        """J + 1 scores of parent-relative rotations, of all joints but the root."""
        features = self.shared(rotations.flatten(-2))
        alone = (features * self.joint_weight).sum(-1) + self.joint_bias
        return torch.cat([alone, self.whole(features.flatten(-2))], dim=-1)


class ShapeDiscriminator(nn.Module):
    """A score of shape coefficients, through 10 -> 10 -> 5 -> 1."""

    def __init__(self, shapes: int = 10) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(shapes, 10), nn.ReLU(), nn.Linear(10, 5), nn.ReLU(), nn.Linear(5, 1))

    def forward(self, shape: Float[Tensor, "*g S"]) -> Float[Tensor, "*g 1"]:
        return self.layers(shape)
