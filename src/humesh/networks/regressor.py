"""The iterative regressor of HMR and its heirs."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear


class Regressor(nn.Module):
    """HMR's regressor (CVPR 2018) as SPIN's heirs have it: rounds of two linear layers that correct an estimate.

    `starts`: the first estimates, by name; buffers, because authors keep SPIN's mean parameters with their weights.
    """

    def __init__(self, known: int, hidden: tuple[int, int], starts: dict[str, Tensor], dropout: float) -> None:
        super().__init__()
        self.sizes = [len(start) for start in starts.values()]
        self.fc1 = nn.Linear(known + sum(self.sizes), hidden[0])
        self.fc2 = nn.Linear(*hidden)
        self.heads = nn.ModuleDict({name: nn.Linear(hidden[1], len(start)) for name, start in starts.items()})
        for head in self.heads.values():
            nn.init.xavier_uniform_(head.get_parameter("weight"), gain=0.01)  # HMR's and SPIN's: start at the estimate
        for name, start in starts.items():
            self.register_buffer(f"init_{name}", start[None])
        self.dropout = nn.Dropout(dropout)

    def forward(self, known: Float[Tensor, "*g K"]) -> tuple[Tensor, ...]:
        """The last estimates, in the order of the starts."""
        estimate = torch.cat([self.get_buffer(f"init_{name}") for name in self.heads], dim=-1)[0]
        width = known.shape[-1]
        base = linear(known, self.fc1.weight[:, :width], self.fc1.bias)  # the same in every round
        for _ in range(3):
            hidden = self.dropout(base + linear(estimate, self.fc1.weight[:, width:]))
            hidden = self.dropout(self.fc2(hidden))
            estimate = estimate + torch.cat([head(hidden) for head in self.heads.values()], dim=-1)
        return estimate.split(self.sizes, dim=-1)


def mean_starts(shapes: int) -> dict[str, Tensor]:
    """First estimates for who has not SPIN's: the mean body, upright, arms apart, most of the box high."""
    pose = torch.eye(3)[:, :2].flatten().repeat(24)
    pose[:6] = torch.tensor([1.0, 0.0, 0.0, -1.0, 0.0, 0.0])  # half a turn about x: bodies' y is up, cameras' is down
    return {"pose": pose, "shape": torch.zeros(shapes), "cam": torch.tensor([0.9, 0.0, 0.0])}
