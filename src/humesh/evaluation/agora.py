"""AGORA (Patel et al., CVPR 2021) for SMPL bodies: its matching of people per image."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from humesh.geometry.boxes import box_around, box_iou

MISSED, INVALID = -1, -2
"""In a matching: nobody was predicted for this person; the person is not evaluated."""


def match(
    truth_px: Float[Tensor, "G 24 2"],
    valid: Bool[Tensor, " G"],
    predicted_px: Float[Tensor, "P 24 2"],
    least_iou: float = 0.1,
) -> Int[Tensor, " G"]:
    """Each annotated person's prediction, or `MISSED`, or `INVALID` (also when nobody was predicted there).

    All pairs are gone through from the closest on; the distance is the largest singular value of the 24 x 2 pixel
    differences. A pair whose boxes overlap by less than `least_iou` is rejected, whether its people are free or not.
    Any other pair of free people is a match, or, where the person is invalid, takes the person out and leaves the
    prediction free. It ends when matches and rejected pairs are as many as the predictions, so rejected pairs can
    cost a later pair its match. 0.1 and the rules: the benchmark's tool.
    """
    for name, pixels in (("truth_px", truth_px), ("predicted_px", predicted_px)):
        if not pixels.isfinite().all():
            raise ValueError(f"agora.match: expected finite {name}, got NaN or infinity; leave such people out.")
    truth, predicted = truth_px.double(), predicted_px.double()
    distance = torch.linalg.matrix_norm(predicted[:, None] - truth, ord=2)
    overlap = box_iou(_box(predicted)[:, None], _box(truth)[None]).tolist()
    found = [MISSED if is_valid else INVALID for is_valid in valid.tolist()]
    free_truths, free_predictions, closed = set(range(len(truth))), set(range(len(predicted))), 0
    for pair in distance.flatten().sort(stable=True).indices.tolist():
        if closed >= len(predicted):
            break
        p, g = divmod(pair, len(truth))
        if overlap[p][g] < least_iou:
            closed += 1
        elif p in free_predictions and g in free_truths:
            free_truths.remove(g)
            if found[g] != INVALID:
                found[g], closed = p, closed + 1
                free_predictions.remove(p)
    return torch.tensor(found, dtype=torch.int64)


def _box(points: Float[Tensor, "n 24 2"]) -> Float[Tensor, "n 4"]:
    """The box around the joints, its last pixel included: a side is max - min + 1, as the benchmark's tool has it."""
    return box_around(points) + torch.tensor([0, 0, 1, 1]).to(points)
