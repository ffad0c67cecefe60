"""Boxes (x0, y0, x1, y1 in pixels) and affine crops, as tensors with any leading dimensions."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def box_around(points: Float[Tensor, "*g K 2"]) -> Float[Tensor, "*g 4"]:
    """The smallest box that holds the points."""
    return torch.cat([points.amin(-2), points.amax(-2)], dim=-1)


def box_iou(a: Float[Tensor, "*#g 4"], b: Float[Tensor, "*#g 4"]) -> Float[Tensor, "*g"]:
    """Intersection over union of boxes pair by pair; for all pairs call it with a[:, None] and b[None]."""
    inside = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    area_a, area_b = ((box[..., 2:] - box[..., :2]).clamp(min=0).prod(-1) for box in (a, b))  # none if inside out
    union = area_a + area_b - inside
    return torch.where(union > 0, inside / union.clamp(min=1e-12), torch.zeros_like(inside))


def crop_around(
    centre: Float[Tensor, "*g 2"],
    height: Float[Tensor, "*g"],
    size: tuple[int, int],
    angle: float | Float[Tensor, "*#g"] = 0.0,
) -> Float[Tensor, "*g 2 3"]:
    """`crop_from_photo` of the box of that centre and height (px), as a crop of (height, width) pixels.

    A positive angle (radians) turns the content of the crop clockwise on the screen.
    """
    zoom = size[0] / height
    angle = torch.as_tensor(angle).to(zoom).expand(zoom.shape)
    cos, sin = zoom * angle.cos(), zoom * angle.sin()
    linear = torch.stack([cos, -sin, sin, cos], dim=-1).unflatten(-1, (2, 2))
    shift = torch.tensor([size[1] / 2, size[0] / 2]).to(centre) - (linear @ centre[..., None])[..., 0]
    return torch.cat([linear, shift[..., None]], dim=-1)


def square_crop(
    box: Float[Tensor, "*g 4"], size: int, scale: float = 1.0, angle: float | Float[Tensor, "*#g"] = 0.0
) -> Float[Tensor, "*g 2 3"]:
    """`crop_around` of the square around a box's centre, `scale` times its longer side, as size x size pixels."""
    centre, side = (box[..., :2] + box[..., 2:]) / 2, (box[..., 2:] - box[..., :2]).amax(-1)
    return crop_around(centre, scale * side, (size, size), angle)


def affine_3x3(affine: Float[Tensor, "*g 2 3"]) -> Float[Tensor, "*g 3 3"]:
    """The same map in homogeneous coordinates."""
    last = torch.tensor([[0.0, 0.0, 1.0]]).to(affine).expand(*affine.shape[:-2], 1, 3)
    return torch.cat([affine, last], dim=-2)


def affine_apply(affine: Float[Tensor, "*#g 2 3"], points: Float[Tensor, "*#g K 2"]) -> Float[Tensor, "*g K 2"]:
    """Points moved by an affine map."""
    return points @ affine[..., :2].mT + affine[..., None, :, 2]


def affine_inverse(affine: Float[Tensor, "*g 2 3"]) -> Float[Tensor, "*g 2 3"]:
    """The map back: `photo_from_crop` of `crop_from_photo`; raises torch.linalg.LinAlgError for a flat one."""
    return torch.linalg.inv(affine_3x3(affine))[..., :2, :]
