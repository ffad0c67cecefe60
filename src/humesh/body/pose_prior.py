"""Which poses people take: a mixture of Student's t distributions over joint rotations, and the joints' limits.

Trained by tools/train_pose_prior.py on motion capture that is free for all uses (the asset's `about` names it). A pose
is described by the rotation vectors of 21 joints from their mean rotations, so that no vector comes near half a turn.
Heavy tails: a pose unlike all of the training's is pulled by a bounded force only.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from humesh.body.joints import SMPL24
from humesh.errors import HumeshError
from humesh.files import read_arrays
from humesh.geometry.rotations import axis_angle_rate, rotation_to_axis_angle

PRIOR_JOINTS = tuple(name for name in SMPL24.names if name not in ("pelvis", "left_hand", "right_hand"))
"""The pelvis turns freely, and the motion data has no hands."""

_AT = slice(SMPL24.index(PRIOR_JOINTS[0]), SMPL24.index(PRIOR_JOINTS[-1]) + 1)  # they lie side by side
_LIMIT_SD = 0.1  # rad; how soft the limits are


@dataclass(frozen=True, eq=False)
class PosePrior:
    """Energies of poses in nats, up to a constant. D = 63: three numbers of each of PRIOR_JOINTS; M components."""

    centre: Float[Tensor, "21 3 3"]  # each joint's mean rotation
    weight: Float[Tensor, " M"]
    mean: Float[Tensor, "M D"]
    whiten: Float[Tensor, "M D D"]  # W with precision W^T W
    low: Float[Tensor, " D"]  # the limits of each number, radians
    high: Float[Tensor, " D"]
    tail: float  # degrees of freedom of the t distributions
    about: dict[str, Any]

    @classmethod
    @cache
    def load(cls) -> PosePrior:
        """The shipped prior, float64 on the CPU."""
        with as_file(files("humesh.body") / "assets" / "pose_prior.npz") as path:
            arrays = read_arrays(path, what="a pose prior", error=HumeshError)
        about = json.loads(str(arrays.pop("about")))
        numbers = {name: torch.as_tensor(array, dtype=torch.float64) for name, array in arrays.items()}
        return cls(tail=float(about["tail"]), about=about, **numbers)

    def on(self, device: torch.device) -> PosePrior:
        """The prior in a device's memory."""
        names = ("centre", "weight", "mean", "whiten", "low", "high")
        return PosePrior(**{name: getattr(self, name).to(device) for name in names}, tail=self.tail, about=self.about)

    def vectors(self, rotations: Float[Tensor, "*g 24 3 3"]) -> Float[Tensor, "*g D"]:
        """Rotation vectors from the joints' mean rotations, radians."""
        return rotation_to_axis_angle(self.centre.to(rotations).mT @ rotations[..., _AT, :, :]).flatten(-2)

    def energy(self, rotations: Float[Tensor, "*g 24 3 3"]) -> Float[Tensor, "*g"]:
        """How unusual poses are, in nats; differentiable."""
        return self._energy(self.vectors(rotations))[0]

    def quadratic(
        self, rotations: Float[Tensor, "*g 24 3 3"]
    ) -> tuple[Float[Tensor, "*g"], Float[Tensor, "*g D"], Float[Tensor, "*g D D"]]:
        """Energy, gradient and a positive definite Hessian for small d with R -> R exp(d), joint by joint.

        The gradient is exact; the Hessian is that of the quadratic bound of expectation-maximisation.
        """
        vectors = self.vectors(rotations)
        energy, share, white, beyond = self._energy(vectors)
        whiten = self.whiten.to(vectors)
        slope = torch.einsum("...m,...md,mde->...e", share, white, whiten) + beyond / _LIMIT_SD**2
        bend = torch.einsum("...m,mde->...de", share, whiten.mT @ whiten)
        bend = bend + torch.diag_embed((beyond != 0).to(vectors) / _LIMIT_SD**2)
        rate = axis_angle_rate(vectors.unflatten(-1, (-1, 3)))
        slope = (rate.mT @ slope.unflatten(-1, (-1, 3))[..., None]).flatten(-3)
        count = len(PRIOR_JOINTS)
        blocks = bend.unflatten(-1, (count, 3)).unflatten(-3, (count, 3))  # *g j a k b
        blocks = torch.einsum("...jac,...jakb,...kbd->...jckd", rate, blocks, rate)
        return energy, slope, blocks.flatten(-2).flatten(-3, -2)

    def _energy(self, vectors: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Energy; each component's share `*g M` in its Hessian; whitened distances `*g M D`; radians beyond limits."""
        whiten = self.whiten.to(vectors)
        white = ((vectors[..., None, :] - self.mean.to(vectors))[..., None, :] @ whiten.mT)[..., 0, :]
        square, dims = white.square().sum(-1), vectors.shape[-1]
        volume = whiten.diagonal(dim1=-2, dim2=-1).log().sum(-1)  # the factors are triangular
        logs = self.weight.to(vectors).log() + volume - (self.tail + dims) / 2 * torch.log1p(square / self.tail)
        share = logs.softmax(-1) * (self.tail + dims) / (self.tail + square)
        beyond = (vectors - self.high.to(vectors)).clamp(min=0) + (vectors - self.low.to(vectors)).clamp(max=0)
        constant = math.lgamma((self.tail + dims) / 2) - math.lgamma(self.tail / 2)
        constant -= dims / 2 * math.log(self.tail * math.pi)
        energy = -logs.logsumexp(-1) - constant + beyond.square().sum(-1) / (2 * _LIMIT_SD**2)
        return energy, share, white, beyond
