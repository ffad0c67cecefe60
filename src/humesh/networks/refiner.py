"""The relation-aware refiner: a transformer over the joints of several people that corrects their first parameters.

Cha et al., ECCV 2022, section 3.3, in the layout of its authors' code: 2067 numbers a token, no positional embedding,
no final norm. P people with J joints each, S shape coefficients, C the width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import linear

from humesh.networks.attention import PreNormBlock


@dataclass(frozen=True, eq=False)
class Theta:
    """A person's parameters as the refiner takes and changes them.

    `six`: first and second column of each joint's rotation; `camera`: weak perspective (s, t_x, t_y) of the crop.
    """

    six: Float[Tensor, "*g J 6"]
    shape: Float[Tensor, "*g S"]
    camera: Float[Tensor, "*g 3"]

    def plus(self, change: Theta) -> Theta:
        """The parameters changed."""
        return Theta(self.six + change.six, self.shape + change.shape, self.camera + change.camera)


class Refiner(nn.Module):
    """Tokens of people's joints into changes of their parameters.

    `features`: length of a person's image vector. `positions` "learned" adds a table of one code for each of `people`
    times `joints` tokens (an ablation; then the order of people matters). `head_gain`: the last layers' weights start
    as that times the usual ones, biases at 0; with 0 nothing is changed at first.
    """

    def __init__(
        self,
        features: int = 2048,
        width: int = 1024,
        depth: int = 2,
        heads: int = 4,
        head_width: int = 64,
        hidden: int = 2048,
        shapes: int = 10,
        joints: int = 24,
        people: int = 3,
        *,
        positions: Literal["none", "learned"] = "none",
        head_gain: float = 0.0,
    ) -> None:
        super().__init__()
        self.parts = [features, 6, shapes, 3]
        # One number for all joints becomes one for each: the same layer for every entry of a vector.
        self.spread_feature, self.spread_shape, self.spread_camera = (nn.Linear(1, joints) for _ in range(3))
        self.embed = nn.Linear(sum(self.parts), width)
        self.positions = nn.Parameter(0.02 * torch.randn(people, joints, width)) if positions == "learned" else None
        blocks = (PreNormBlock(width, heads, hidden, head_width, bias=False, eps=1e-5) for _ in range(depth))
        self.blocks = nn.ModuleList(blocks)
        self.pose = nn.Linear(width, 6)
        self.shape = nn.Sequential(nn.Linear(width, width // 2), nn.Linear(width // 2, shapes))
        self.camera = nn.Sequential(nn.Linear(width, width // 2), nn.Linear(width // 2, 3))
        self.collapse_shape, self.collapse_camera = nn.Linear(joints, 1), nn.Linear(joints, 1)
        with torch.no_grad():
            for last in (self.pose, self.collapse_shape, self.collapse_camera):
                last.weight.mul_(head_gain)
                last.bias.zero_()

    def tokens(self, feature: Float[Tensor, "*g F"], start: Theta) -> Float[Tensor, "*g J C"]:
        """The embedded tokens of people from their image vectors and first parameters.

        A joint's token is its spread vectors with its own rotation between, 2067 numbers through one linear layer.
        A vector spread by (w, b) passes it as w (W v) + b (W 1), so the long products are made once, not per joint.
        """
        of_feature, of_six, of_shape, of_camera = self.embed.weight.split(self.parts, dim=1)
        tokens = linear(start.six, of_six, self.embed.bias)
        for spread, part, vector in (
            (self.spread_feature, of_feature, feature),
            (self.spread_shape, of_shape, start.shape),
            (self.spread_camera, of_camera, start.camera),
        ):
            tokens = tokens + spread.weight * linear(vector, part)[..., None, :] + spread.bias[:, None] * part.sum(1)
        return tokens

    def padding(self, camera: Float[Tensor, "3"]) -> Float[Tensor, "J C"]:
        """The tokens of an absent person: all zeros but the camera's start, as the authors have it."""
        joints, (features, _, shapes, _) = len(self.spread_shape.weight), self.parts
        absent = Theta(camera.new_zeros(joints, 6), camera.new_zeros(shapes), camera)
        return self.tokens(camera.new_zeros(features), absent)

    def hidden(
        self, tokens: Float[Tensor, "R P J C"], present: Bool[Tensor, "R P"], share: float
    ) -> Float[Tensor, "R P J C"]:
        """The tokens, floor(p * share * n) of each row's n real ones hidden, p uniform in [0, 1]; for training.

        METRO (Lin et al., CVPR 2021): hidden is a token whose 2067 numbers are all 0.01.
        """
        real = present[..., None].expand(tokens.shape[:-1]).flatten(1)
        count = (torch.rand(len(tokens), device=tokens.device) * share * real.sum(-1)).floor()
        order = torch.where(real, torch.rand(real.shape, device=tokens.device), torch.inf)
        chosen = (order.argsort(-1).argsort(-1) < count[:, None]).unflatten(1, tokens.shape[1:3])
        return torch.where(chosen[..., None], 0.01 * self.embed.weight.sum(1) + self.embed.bias, tokens)

    def forward(
        self, tokens: Float[Tensor, "R P J C"], targets: int, present: Bool[Tensor, "R P"] | None = None
    ) -> Theta:
        """Changes `R A ...` for the first `targets` = A people of each row; those not `present` are masked."""
        if self.positions is not None:
            tokens = tokens + self.positions[: tokens.shape[1]]
        people, joints = tokens.shape[1:3]
        mask = None if present is None else present[..., None].expand(-1, -1, joints).flatten(1)
        tokens = tokens.flatten(1, 2)
        *blocks, last = self.blocks
        for block in blocks:
            tokens = block(tokens, mask=mask)
        first = None if targets == people else targets * joints  # the last block updates only theirs
        tokens = last(tokens, first, mask).unflatten(1, (targets, joints))
        shape = self.collapse_shape(self.shape(tokens).mT)[..., 0]
        camera = self.collapse_camera(self.camera(tokens).mT)[..., 0]
        return Theta(self.pose(tokens), shape, camera)
