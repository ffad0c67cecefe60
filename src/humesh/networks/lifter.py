"""From a detector's points to a body: a multi-layer perceptron that never looks at the picture."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

_JOINTS = 24
_LANDMARK_UNIT_M = 0.3  # landmarks lie about so far from the hips; inputs are of the order of 1


@dataclass(frozen=True)
class Lifted:
    """What the points alone tell; `hidden`: what the answer was read from."""

    pose: Float[Tensor, "B 24 6"]  # six numbers a rotation, what they are beyond the rest pose's; see `rest_six`
    shape: Float[Tensor, "B S"]
    weak: Float[Tensor, "B 3"]  # weak-perspective camera (s, tx, ty) in the crop
    hidden: Float[Tensor, "B W"]
    log_error: Float[Tensor, "B 24"]  # logarithm of each joint's expected error about the middle, in decimetres


class Lifter(nn.Module):
    """Residual blocks over all numbers at once, after Martinez et al. (ICCV 2017); answers start at the rest pose."""

    def __init__(self, points: int, landmarks: int, width: int, blocks: int, shapes: int) -> None:
        super().__init__()
        self.given = nn.Linear(3 * points + 4 * landmarks + 3, width)
        self.blocks = nn.ModuleList(LifterBlock(width) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.answer = nn.Linear(width, 6 * _JOINTS + shapes + 3 + _JOINTS)
        with torch.no_grad():  # at first landmarks are not listened to: a training without them leaves it so
            self.given.weight[:, 3 * points : 3 * points + 4 * landmarks] = 0
        nn.init.xavier_uniform_(self.answer.weight, 0.01)
        nn.init.zeros_(self.answer.bias)

    def forward(
        self, points: Float[Tensor, "B K 3"], landmarks: Float[Tensor, "B L 4"], view: Float[Tensor, "B 3"]
    ) -> Lifted:
        """`points`: place in the crop (-1..1) and confidence, 0 where not seen; `landmarks`: metres and confidence.

        `view`: where the crop's centre lies in the camera's view, (x / z, y / z), and the crop's side / focal length.
        """
        place = points[..., :2].clamp(-2, 2) * (points[..., 2:] > 0)
        deep = landmarks[..., :3] / _LANDMARK_UNIT_M
        given = [place, points[..., 2:], deep, landmarks[..., 3:]]
        x = self.given(torch.cat([*(part.flatten(1) for part in given), view], dim=-1))
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        answer = self.answer(x)
        pose, shape, camera, log_error = answer.split(
            (6 * _JOINTS, answer.shape[1] - 7 * _JOINTS - 3, 3, _JOINTS), dim=-1
        )
        weak = torch.cat([camera[:, :1].clamp(-3, 3).exp(), camera[:, 1:]], dim=-1)
        return Lifted(pose.unflatten(-1, (_JOINTS, 6)), shape, weak, x, log_error)


def rest_six(like: Tensor) -> Float[Tensor, "24 6"]:
    """Six numbers of each joint's rotation at rest, upright and facing the camera: two columns, row by row."""
    upright, eye = [1.0, 0.0, 0.0, -1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 1.0, 0.0, 0.0]
    return torch.tensor([upright] + [eye] * (_JOINTS - 1)).to(like)


class LifterBlock(nn.Module):
    """x + second(gelu(first(norm(x)))); at first the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.first, self.second = nn.LayerNorm(width), nn.Linear(width, width), nn.Linear(width, width)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Float[Tensor, "B W"]) -> Float[Tensor, "B W"]:
        return x + self.second(nn.functional.gelu(self.first(self.norm(x))))
