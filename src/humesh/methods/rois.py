"""Several boxes around one person (Multi-RoI, ECCV 2024), their vectors, and codes of these for a network."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear

from humesh.crops.crops import Box, CropSpec
from humesh.geometry.camera import Camera
from humesh.people.person import Person

ROI_COPIES = ((0.0, 0.0, 1.0), (0.1, 0.0, 1.5), (-0.1, 0.0, 1.25), (0.0, 0.1, 0.8), (0.0, -0.1, 0.65))
"""The paper's boxes: (shift x, shift y, scale), in units of the first one's height."""
_VISIBLE = 0.3  # confidence from which a keypoint is used; the labels of data sets are 0 or 1
_LEAST_SHARE = 0.25  # of the person's box; a smaller box of keypoints holds a part of the person alone


def roi_copies(
    scheme: str, count: int, generator: torch.Generator | None = None
) -> tuple[tuple[float, float, float], ...]:
    """The boxes of a scheme of the paper's table: "both", "scale", "shift", "none" (equal boxes) or "random".

    Random ones are drawn from the generator, each training sample's anew, within the paper's largest shifts and scales;
    without one (at inference) they are the paper's.
    """
    if scheme == "random" and generator is not None:
        low, high = torch.tensor(ROI_COPIES).aminmax(dim=0)
        copies = low + (high - low) * torch.rand(count - 1, 3, generator=generator)
        return (ROI_COPIES[0], *((dx, dy, scale) for dx, dy, scale in copies.tolist()))
    shifted, scaled = scheme in ("both", "random", "shift"), scheme in ("both", "random", "scale")
    return tuple((dx * shifted, dy * shifted, s if scaled else 1.0) for dx, dy, s in ROI_COPIES[:count])


def roi_spec(size: tuple[int, int], copies: tuple[tuple[float, float, float], ...]) -> CropSpec:
    """Crops of (height, width) px of a person's boxes; the first is the keypoints', 1.2 times as large (authors)."""
    return CropSpec(size, "rois", len(copies), box=keypoint_box, margin=1.2, copies=copies)


def keypoint_box(person: Person, size: tuple[int, int]) -> Box:
    """The tight box (x0 y0 x1 y1 px) of the visible keypoints; the person's own where they are too close together."""
    own = np.asarray(person.box, dtype=np.float64)
    if person.keypoints is None:
        return own
    visible = person.keypoints[person.keypoints[:, 2] > _VISIBLE, :2].astype(np.float64)
    extent = np.ptp(visible, axis=0) if len(visible) else np.zeros(2)
    if extent.min() <= 0 or extent.max() < _LEAST_SHARE * (own[2:] - own[:2]).max():
        return own
    return np.concatenate([visible.min(0), visible.max(0)])


def box_vectors(camera: Camera, size: tuple[int, int]) -> Float[Tensor, "*g 3"]:
    """Where the crops of those cameras, (height, width) px, lie in their photos, as CLIFF normalises it (ECCV 2022).

    (2.8 (cx - W/2) / f, 2.8 (cy - H/2) / f, (b / f - 0.24) / 0.06) for a box of centre (cx, cy) and height b px.
    """
    focal = camera.matrix[..., 0, 0, None]
    middle = torch.tensor([size[1] / 2, size[0] / 2]).to(focal)
    shift = (middle - camera.principal_point_px) / focal
    return torch.cat([2.8 * shift, (size[0] / focal - 0.24) / 0.06], dim=-1)


def box_code_authors(numbers: Float[Tensor, "*g D"], frequencies: int) -> Float[Tensor, "*g E"]:
    """(x, sin(pi x), cos(pi x), sin(2 pi x), ...) of numbers x, as the authors: the upper frequencies are noise.

    Product and phase (cosines are sin(x + pi/2)) are added in float64 and rounded once to float32, and the sine is of
    that.
    """
    pi, half = torch.tensor([math.pi, math.pi / 2], dtype=torch.float32, device=numbers.device).double()  # float32's
    rates = pi * _octaves(numbers, frequencies)[:, None, None]
    argument = numbers.double()[..., None, None, :] * rates + torch.stack([0 * half, half])[:, None]
    return torch.cat([numbers, argument.float().sin().flatten(-3).to(numbers)], dim=-1)


def box_code(numbers: Float[Tensor, "*g D"], frequencies: int) -> Float[Tensor, "*g E"]:
    """The same code in float32 without noise: arguments are wrapped to one turn in float64, where 2^k x is exact."""
    turns = (numbers.double()[..., None, :] * _octaves(numbers, frequencies)[:, None]) % 2  # of pi
    angle = (math.pi * turns).float()
    return torch.cat([numbers.float(), torch.stack([angle.sin(), angle.cos()], dim=-2).flatten(-3)], dim=-1)


def _octaves(numbers: Tensor, frequencies: int) -> Float[Tensor, " L"]:
    return 2.0 ** torch.arange(frequencies, device=numbers.device).double()


class PairLinear(nn.Linear):
    """A linear layer on [features of n, code of the pair m n] that multiplies the features once, not for every m."""

    def forward(  # type: ignore[override]
        self, features: Float[Tensor, "B N D"], code: Float[Tensor, "B M N E"]
    ) -> Float[Tensor, "B M N F"]:
        known = features.shape[-1]
        return linear(features, self.weight[:, :known], self.bias)[:, None] + linear(code, self.weight[:, known:])
