"""Joint labels as points of the box that a crop's volume spans."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from humesh.losses.targets import Targets


def joints_in_crop(
    targets: Targets, size: int, depth_m: float
) -> tuple[Float[Tensor, "*g K 3"], Float[Tensor, "*g K 1"], Float[Tensor, "*g K 1"]]:
    """Points in [0, 1] and their weights, of (x, y) and of z: shares of the crop and 0.5 + depth from pelvis / depth_m.

    Labels outside of the crop, or known to be outside of the depth box, weigh nothing (JOTR: "trunc").
    """
    pelvis = targets.joint_set.index("pelvis")
    depth = targets.points3d[..., 2:] - targets.points3d[..., pelvis, None, 2:]
    points = torch.cat([targets.points2d / size, 0.5 + depth / depth_m], dim=-1)
    deep = (targets.points3d_weight * targets.points3d_weight[..., pelvis, None])[..., None]
    within = (points >= 0) & (points < 1)
    inside = within[..., :2].all(-1, keepdim=True) & (within[..., 2:] | (deep == 0))
    seen = targets.points2d_weight[..., None] * inside
    return points, seen, deep * (seen > 0)
