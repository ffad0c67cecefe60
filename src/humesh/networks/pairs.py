"""The relative position of two boxes for a network: a sinusoidal code, and a linear layer on pairs."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear


class SineCode(nn.Module):
    """Numbers and their sines: (x, sin(pi x), cos(pi x), sin(2 pi x), ...); the cosines are sin(x + pi/2).

    As the authors', whose upper frequencies are noise that rounding makes: product and phase are added in float64 and
    rounded once to float32 (what a fused multiply-add gives), and the sine is of that.
    """

    frequency: Tensor
    phase: Tensor

    def __init__(self, frequencies: int, numbers: int = 3) -> None:
        super().__init__()
        pi, half = torch.tensor([math.pi, math.pi / 2], dtype=torch.float32).double()  # float32's pi
        frequency = pi * 2.0 ** torch.arange(frequencies).repeat_interleave(2)
        self.register_buffer("frequency", frequency[:, None], persistent=False)
        self.register_buffer("phase", half * (torch.arange(2 * frequencies) % 2)[:, None], persistent=False)
        self.width = numbers * (1 + 2 * frequencies)

    def forward(self, numbers: Float[Tensor, "*g D"]) -> Float[Tensor, "*g E"]:
        """The numbers, then of each frequency the sines and the cosines of all."""
        argument = numbers.double()[..., None, :] * self.frequency.double() + self.phase.double()
        return torch.cat([numbers, argument.float().sin().flatten(-2).to(numbers)], dim=-1)


class WrappedSineCode(SineCode):
    """The same code without noise: arguments are wrapped to one turn in float64, where 2^k x is exact, before the sine.

    Numbers that differ by float64's rounding have the same code to 1e-5, on every machine; float32's do not: 2^31 pi x
    is then known to a thousand turns.
    """

    def forward(self, numbers: Float[Tensor, "*g D"]) -> Float[Tensor, "*g E"]:
        """The numbers, then of each frequency the sines and the cosines of all; float32."""
        octaves = torch.arange(len(self.frequency) // 2, device=numbers.device)
        turns = (numbers.double()[..., None, :] * (2.0 ** octaves.double())[:, None]) % 2  # of pi
        angle = (math.pi * turns).float()
        return torch.cat([numbers.float(), torch.stack([angle.sin(), angle.cos()], dim=-2).flatten(-3)], dim=-1)


class PairLinear(nn.Linear):
    """A linear layer on [features of n, code of the pair m n] that multiplies the features once, not for every m."""

    def forward(  # type: ignore[override]
        self, features: Float[Tensor, "B N D"], code: Float[Tensor, "B M N E"]
    ) -> Float[Tensor, "B M N F"]:
        known = features.shape[-1]
        return linear(features, self.weight[:, :known], self.bias)[:, None] + linear(code, self.weight[:, known:])
