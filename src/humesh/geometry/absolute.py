"""Absolute poses: where in the camera's frame a skeleton stands whose pixels and relative 3D points are known.

MeTRAbs (Sarandi, Linder, Arras, Leibe, T-BIOM 2021), section III: the offset t with points r + t that lie best on the
rays n of their pixels. Two equations a point, t_x - n_x t_z = n_x r_z - r_x and the same in y, are solved by weighted
least squares. t_x and t_y are eliminated by hand: what is left is exact and made of operations that every export format
has. The solve runs in float64, as depths of metres hang on tiny angles.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from humesh.geometry.camera import Camera

_TINY = 1e-30  # against a division by zero for points that all lie on one ray; in metres and float64


def inside_image(
    pixels: Float[Tensor, "*g K 2"], size: tuple[int, int], margin_px: float = 0.0
) -> Bool[Tensor, "*g K"]:
    """Which pixels are at least `margin_px` inside an image of (height, width)."""
    limit = torch.tensor([size[1] - margin_px, size[0] - margin_px]).to(pixels)
    return ((pixels >= margin_px) & (pixels <= limit)).all(-1)


def solved_offset(
    relative: Float[Tensor, "*g K 3"],
    rays: Float[Tensor, "*g K 3"],
    inside: Bool[Tensor, "*g K"],
    ridge: float = 0.0,
    scales: Literal["person", "batch"] = "person",
) -> Float[Tensor, "*g 3"]:
    """The offset t (metres, camera frame) that puts relative points onto their rays (x, y, 1), in float64.

    Squared equations weigh 1 inside the image and 1e-8 outside. `ridge` times the squared unknowns is added (MeTRAbs'
    code of 2021 and later: 0.01), in units in which n and the right-hand sides have root mean square 1: of each person,
    or of the whole batch as those codes have it, where a result depends on who else is in the batch.
    """
    relative, ray = relative.double(), rays.double()[..., :2]
    right = ray * relative[..., 2:] - relative[..., :2]
    over = (-2, -1) if scales == "person" else tuple(range(-relative.ndim, 0))
    unit, size = (
        tensor.square().mean(over, keepdim=True).clamp(min=_TINY).sqrt().expand(*inside.shape[:-1], 1, 1)[..., 0]
        for tensor in (ray, right)
    )
    ray, right = ray / unit[..., None], right / size[..., None]
    weight = (inside.double() + 1e-4).square()[..., None]
    total = weight.sum(-2)
    mean_ray, mean_right = (weight * ray).sum(-2) / total, (weight * right).sum(-2) / total
    # A ridge pulls t_x and t_y, which the means determine, to 0 too; it leaves `pulled` times the means to t_z.
    pulled = total[..., 0] * ridge / (total[..., 0] + ridge)
    apart = weight * (ray - mean_ray[..., None, :])
    spread = (apart * (ray - mean_ray[..., None, :])).sum((-2, -1)) + pulled * mean_ray.square().sum(-1) + ridge
    along = (apart * (right - mean_right[..., None, :])).sum((-2, -1)) + pulled * (mean_ray * mean_right).sum(-1)
    depth = -(along / spread.clamp(min=_TINY))[..., None]
    sideways = total / (total + ridge) * (mean_right + mean_ray * depth)
    return torch.cat([sideways * size, depth * size / unit], dim=-1)


def weak_offset(
    relative: Float[Tensor, "*g K 3"], rays: Float[Tensor, "*g K 3"], wanted: Bool[Tensor, "*g K"]
) -> Float[Tensor, "*g 3"]:
    """The offset (metres, camera frame) by weak perspective, in float64: coarse, but always ahead of the camera.

    The wanted points stand, on average, at the depth spread(r_xy) / spread(n) (root mean squares about the means),
    where their middle lies on the middle of their rays.
    """
    relative, ray = relative.double(), rays.double()[..., :2]
    weight = wanted.double()[..., None] / wanted.double().sum(-1).clamp(min=1)[..., None, None]
    middle, mean_ray = (weight * relative).sum(-2), (weight * ray).sum(-2)
    across = (weight * (relative[..., :2] - middle[..., None, :2]).square()).sum((-2, -1))
    angles = (weight * (ray - mean_ray[..., None, :]).square()).sum((-2, -1)) + 1e-10  # MeTRAbs' constant
    depth = (across.clamp(min=_TINY) / angles).sqrt()[..., None]
    return torch.cat([mean_ray * depth, depth], dim=-1) - middle


def placed_points(
    relative: Float[Tensor, "*g K 3"],
    rays: Float[Tensor, "*g K 3"],
    inside: Bool[Tensor, "*g K"],
    offset: Float[Tensor, "*g 3"],
    mix: float = 0.0,
) -> Float[Tensor, "*g K 3"]:
    """Points in metres, camera frame, in float64: inside the image on their rays at their depth, elsewhere r + t.

    Inside, `mix` is the share that r + t keeps (MeTRAbs' code of 2023: 0.5).
    """
    from_3d = relative.double() + offset.double()[..., None, :]
    from_2d = rays.double() * from_3d[..., 2:]
    return torch.where(inside[..., None], mix * from_3d + (1 - mix) * from_2d, from_3d)


def absolute_points(
    relative: Float[Tensor, "*g K 3"],
    pixels: Float[Tensor, "*g K 2"],
    camera: Camera,
    inside: Bool[Tensor, "*g K"],
    ridge: float = 0.0,
    scales: Literal["person", "batch"] = "person",
    mix: float = 0.0,
    fewest: int = 3,
) -> Float[Tensor, "*g K 3"]:
    """The points in metres in the camera's frame; `solved_offset` and `placed_points` explain the settings.

    With fewer than `fewest` points inside the image, when the depth would be off by tens of metres, and where a point
    would come to lie behind the camera, all points place the skeleton by weak perspective; with `fewest` 0 never.
    """
    rays = camera.rays(pixels.double())
    offset = solved_offset(relative, rays, inside, ridge, scales)
    if fewest:
        weak = weak_offset(relative, rays, torch.ones_like(inside))
        lost = (inside.sum(-1) < fewest) | (relative.double()[..., 2].amin(-1) + offset[..., 2] <= 0)
        offset = torch.where(lost[..., None], weak, offset)
    return placed_points(relative, rays, inside, offset, mix).to(relative)
