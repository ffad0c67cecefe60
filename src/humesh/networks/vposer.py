"""VPoser's decoder: 32 numbers to the rotations of a plausible body (Pavlakos et al., SMPLify-X, CVPR 2019)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from humesh.geometry.rotations import rotation_from_6d_rows

VPOSER_CODE = 32


class Vposer(nn.Module):
    """The decoder of VPoser v1, frozen: gradients pass through to the code. Its weights are licensed; bring your own.

    Rotations are those of SMPL's joints 1 to 21 (all but root and hands), parent-relative.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.out = nn.Linear(VPOSER_CODE, 512), nn.Linear(512, 512), nn.Linear(512, 21 * 6)
        self.requires_grad_(False)

    def forward(self, code: Float[Tensor, "*g 32"]) -> Float[Tensor, "*g 21 3 3"]:
        hidden = leaky_relu(self.fc2(leaky_relu(self.fc1(code), 0.2)), 0.2)
        return rotation_from_6d_rows(self.out(hidden).unflatten(-1, (21, 6)))
