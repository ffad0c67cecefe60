"""Pictures of what a training has learned: skeletons over the crops, and from the side."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from humesh.data.batch import Batch
from humesh.evaluation.report import draw_bones

_LABEL, _MADE = (255, 255, 255), (255, 120, 0)
_WIDTH = 192  # px of a crop in the picture


def contact_sheet(batch: Batch, points: Float[Tensor, "B N K 3"]) -> Image.Image:
    """The first wanted crop of each group with predicted (orange) and labelled (white) bones; below, from the side."""
    camera, targets = batch.crops.camera, batch.targets
    pixels, height = camera.project(points), batch.crops.size[0]
    columns = []
    for group in range(len(points)):
        crop = int(batch.crops.wanted[group].float().argmax())
        picture = (batch.crops.pixels[group, crop].permute(1, 2, 0).float().cpu().clamp(0, 1) * 255).byte().numpy()
        zoom = _WIDTH / picture.shape[1]
        top = Image.fromarray(picture).resize((_WIDTH, round(zoom * picture.shape[0])))
        side = Image.new("RGB", (_WIDTH, _WIDTH), (40, 40, 40))
        for flat, solid, colour in (
            (targets.points2d, targets.points3d, _LABEL),
            (pixels, points, _MADE),
        ):
            draw_bones(top, zoom * flat[group, crop].cpu(), targets.joint_set, colour)
            shape = solid[group, crop].cpu() - solid[group, crop].cpu().mean(0)
            seen = torch.stack([shape[:, 2], shape[:, 1]], dim=-1)  # from the body's side: depth to the right
            draw_bones(side, _WIDTH * (0.5 + seen / 2.4), targets.joint_set, colour)  # 2.4 m across
        columns.append(np.concatenate([np.asarray(top), np.asarray(side)]))
    assert height
    return Image.fromarray(np.concatenate(columns, axis=1))
