"""How far a network in training is from the truth on samples that it does not learn from, in numbers and pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import isfinite
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from humesh.body.files import SHIPPED
from humesh.body.joints import LIMBS12
from humesh.body.label_bodies import BodyFiles
from humesh.body.model import BodyModel
from humesh.data.batch import Batch
from humesh.errors import HumeshError
from humesh.evaluation.metrics import acceleration_error, mpjpe, pa_mpjpe
from humesh.evaluation.real import by_set, read_labels, run
from humesh.evaluation.report import draw_bones
from humesh.files import writing
from humesh.methods.base import Method
from humesh.recover import Recoverer

_PICTURED, _WIDTH = 8, 192  # groups, and px of a crop in the picture
_LABEL, _PREDICTION = (255, 255, 255), (255, 120, 0)
_OF_REAL = {"pa_mpjpe": "real PA-MPJPE", "pck@0.05": "real PCK@0.05", "pck@0.1": "real PCK@0.1"}
_HIPS = LIMBS12.indices("left_hip", "right_hip")


@torch.no_grad()
def held_out_errors(
    method: Method, body: BodyModel, batches: Iterable[Batch], seed: int, sheet: Path
) -> dict[str, float]:
    """MPJPE (middle of the hips at the origin) and PA-MPJPE over 12 limb joints, mm; of clips also "ACCEL".

    The latter, as papers name it, is the error of second differences of three frames in a row, mm per frame squared.
    The first groups are drawn into the file `sheet`. No errors where nobody is labelled in 3D.
    """
    errors: dict[str, list[Tensor]] = {"MPJPE": [], "PA-MPJPE": [], "ACCEL": []}
    for batch in batches:
        torch.manual_seed(seed)
        pose = method(batch.crops).pose.map(lambda tensor: tensor.float())
        predicted, true = body.points(body(pose), batch.targets.joint_set), batch.targets.points3d
        if not errors["MPJPE"]:
            sheet.parent.mkdir(exist_ok=True)
            with writing(sheet) as draft:
                _contact_sheet(batch, predicted).save(draft, quality=90)
        limbs = batch.targets.joint_set.indices(*LIMBS12.names)
        wanted = batch.crops.wanted & (batch.targets.points3d_weight[..., limbs].amin(-1) > 0)
        predicted, true = (
            points[..., limbs, :] - points[..., limbs, :][..., _HIPS, :].mean(-2, keepdim=True)
            for points in (predicted, true)
        )
        errors["MPJPE"].append(mpjpe(predicted[wanted], true[wanted]))
        errors["PA-MPJPE"].append(pa_mpjpe(predicted[wanted], true[wanted]))
        if method.spec.group == "frames" and wanted.shape[1] > 2:
            three = wanted[:, 2:] & wanted[:, 1:-1] & wanted[:, :-2]
            errors["ACCEL"].append(acceleration_error(predicted, true)[three])
    return {name: 1000 * torch.cat(part).mean().item() for name, part in errors.items() if sum(map(len, part))}


def _contact_sheet(batch: Batch, points: Float[Tensor, "B N K 3"]) -> Image.Image:
    """The first wanted crop of each group with predicted (orange) and labelled (white) bones; below, from the side."""
    targets, pixels, columns = batch.targets, batch.crops.camera.project(points), []
    for group in range(min(len(points), _PICTURED)):
        crop = int(batch.crops.wanted[group].float().argmax())
        picture = (batch.crops.pixels[group, crop].permute(1, 2, 0).float().cpu().clamp(0, 1) * 255).byte().numpy()
        zoom = _WIDTH / picture.shape[1]
        top = Image.fromarray(picture).resize((_WIDTH, round(zoom * picture.shape[0])))
        side = Image.new("RGB", (_WIDTH, _WIDTH), (40, 40, 40))
        for flat, solid, colour in ((targets.points2d, targets.points3d, _LABEL), (pixels, points, _PREDICTION)):
            draw_bones(top, zoom * flat[group, crop].cpu(), targets.joint_set.names, colour)
            shape = solid[group, crop].cpu() - solid[group, crop].cpu().mean(0)
            from_side = torch.stack([shape[:, 2], shape[:, 1]], dim=-1)  # depth to the right
            draw_bones(side, _WIDTH * (0.5 + from_side / 2.4), targets.joint_set.names, colour)  # 2.4 m across
        columns.append(np.concatenate([np.asarray(top), np.asarray(side)]))
    return Image.fromarray(np.concatenate(columns, axis=1))


def real_errors(folder: Path, weights: Path, body: str, device: str, say: Callable[[str], None]) -> dict[str, float]:
    """PA-MPJPE (mm) and PCK (%) of a weights file on labelled photos, as `humesh evaluate WEIGHTS real` has them.

    The photos' people are found once and kept in the folder `real` beside the weights. `say` gets what keeps the photos
    from being scored, such as more people than the method takes; there are no errors then.
    """
    try:
        recoverer = Recoverer("open" if body in SHIPPED else BodyFiles(body).predicted, weights=weights, device=device)
        # The finder's networks are loaded only where its people are not kept yet.
        scores = run(read_labels(folder), recoverer, lambda photo: recoverer.finder(photo), weights.parent / "real")
    except HumeshError as error:
        say(f"the real photos are not validated on: {error}")
        return {}
    return {_OF_REAL[n.name]: n.ours for n in by_set(scores)[-1].numbers if n.name in _OF_REAL and isfinite(n.ours)}
