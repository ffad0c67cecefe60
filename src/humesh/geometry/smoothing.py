"""Smoothing through time by local parabolas: of numbers, and of rotations on their manifold; times may be uneven."""

from __future__ import annotations

import math
from collections.abc import Iterator

import roma
import torch
from jaxtyping import Float, Int
from torch import Tensor

_REACH = 3.0  # standard deviations; what lies beyond weighs less than 1.2 % of what is near
_BLOCK = 512  # frames at once: memory does not grow with a motion's length
_LEAST_TRUST = 1e-3  # where nothing can be believed the parabola is still one


def smoothed(
    values: Float[Tensor, " F *c"], times: Float[Tensor, " F"], seconds: float, trust: Float[Tensor, "F *#c"]
) -> Float[Tensor, " F *c"]:
    """Each value moved onto the parabola through those around it, which weigh by a Gaussian of `seconds` and by trust.

    Savitzky-Golay's filter (1964) for any times and weights (LOESS of degree 2, Cleveland 1979): it follows constant
    acceleration exactly, so that a punch is not flattened as by a mean, and needs no future at the end.
    """
    trust = trust.expand_as(values)
    parts = [(weights * values[near]).sum(1) for near, weights in _around(times.to(values), seconds, trust)]
    return torch.cat(parts) if parts else values


def smoothed_rotations(
    rotations: Float[Tensor, "F J 3 3"], times: Float[Tensor, " F"], seconds: float, trust: Float[Tensor, "F J"]
) -> Float[Tensor, "F J 3 3"]:
    """As `smoothed`, of the rotation vectors from each rotation to those around it."""
    parts, start = [], 0
    for near, weights in _around(times.to(rotations), seconds, trust):
        here = rotations[start : start + len(near)]
        apart = roma.rotmat_to_rotvec(here[:, None].mT @ rotations[near])
        parts.append(here @ roma.rotvec_to_rotmat((weights[..., None] * apart).sum(1)))
        start += len(near)
    return torch.cat(parts) if parts else rotations


def _around(
    times: Float[Tensor, " F"], seconds: float, trust: Float[Tensor, " F *c"]
) -> Iterator[tuple[Int[Tensor, "f n"], Float[Tensor, "f n *c"]]]:
    """Block by block: the frames near each frame, and their weights in the parabola's value there."""
    count = len(times)
    if count < 2:
        return
    nearest = float((times[1:] - times[:-1]).min())
    reach = min(math.ceil(_REACH * seconds / max(nearest, 1e-6)), count - 1)
    steps = torch.arange(-reach, reach + 1)
    rest = [1] * (trust.dim() - 1)
    for here in torch.arange(count).split(_BLOCK):
        places = here[:, None] + steps
        near = places.clamp(0, count - 1)
        away = ((times[near] - times[here][:, None]) / seconds).reshape(len(here), len(steps), *rest)
        inside = ((places == near) & (away.reshape(places.shape).abs() <= _REACH)).reshape(away.shape)
        mass = torch.exp(-away.square() / 2) * inside * trust[near].clamp(min=_LEAST_TRUST)
        powers = torch.stack([torch.ones_like(away), away, away.square()], dim=-1).expand(*mass.shape, 3)
        normal = torch.einsum("fn...,fn...i,fn...j->f...ij", mass, powers, powers)
        # Fewer than three frames leave the parabola open: a little stiffness makes it flat there.
        stiff = 1e-6 * mass.sum(1)[..., None, None] * torch.diag(torch.tensor([0.0, 1.0, 1.0])).to(mass)
        at_zero = torch.tensor([1.0, 0.0, 0.0]).to(mass).expand(*normal.shape[:-1])
        solved = torch.linalg.solve(normal + stiff, at_zero)
        yield near, mass * torch.einsum("fn...i,f...i->fn...", powers, solved)
