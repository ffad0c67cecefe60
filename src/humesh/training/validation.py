"""How far a network in training is from the truth on samples that it does not learn from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import isfinite
from pathlib import Path

import torch
from torch import Tensor

from humesh.body.files import SHIPPED
from humesh.body.joints import LIMBS12
from humesh.body.label_bodies import BodyFiles
from humesh.body.model import BodyModel
from humesh.data.batch import Batch
from humesh.errors import HumeshError
from humesh.evaluation.metrics import acceleration_error, mpjpe, pa_mpjpe
from humesh.evaluation.real import by_set, read_labels, run
from humesh.files import writing
from humesh.methods.base import Method
from humesh.recover import Recoverer
from humesh.training.pictures import contact_sheet

_PICTURED = 8  # groups
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
    plain, aligned, shaken = list[Tensor](), list[Tensor](), list[Tensor]()
    for batch in batches:
        torch.manual_seed(seed)
        pose = method(batch.crops).pose.map(lambda tensor: tensor.float())
        made, true = body.points(body(pose), batch.targets.joint_set), batch.targets.points3d
        if not plain:
            sheet.parent.mkdir(exist_ok=True)
            few = batch.map(lambda tensor: tensor[:_PICTURED])
            with writing(sheet) as draft:
                contact_sheet(few, made[:_PICTURED]).save(draft, quality=90)
        limbs = batch.targets.joint_set.indices(*LIMBS12.names)
        wanted = batch.crops.wanted & (batch.targets.points3d_weight[..., limbs].amin(-1) > 0)
        made, true = (p[..., limbs, :] - p[..., limbs, :][..., _HIPS, :].mean(-2, keepdim=True) for p in (made, true))
        plain.append(mpjpe(made[wanted], true[wanted]))
        aligned.append(pa_mpjpe(made[wanted], true[wanted]))
        if method.spec.group == "frames" and wanted.shape[1] > 2:
            three = wanted[:, 2:] & wanted[:, 1:-1] & wanted[:, :-2]
            shaken.append(acceleration_error(made, true)[three])
    parts = {"MPJPE": plain, "PA-MPJPE": aligned, "ACCEL": shaken}
    return {name: 1000 * torch.cat(part).mean().item() for name, part in parts.items() if sum(map(len, part))}


def real_errors(
    folder: Path, weights: Path, body: str, device: str, say: Callable[[str], None] = lambda sentence: None
) -> dict[str, float]:
    """PA-MPJPE (mm) and PCK (%) of a weights file on labelled photos, as `humesh evaluate WEIGHTS real` has them.

    The people of the photos are found once and kept in the folder `real` beside the weights. `say` gets what keeps the
    photos from being scored, such as more people than the method allows; there are no errors then.
    """
    try:
        recoverer = Recoverer("open" if body in SHIPPED else BodyFiles(body).predicted, weights=weights, device=device)
        scores = run(read_labels(folder), recoverer, lambda photo: recoverer.finder(photo), weights.parent / "real")
    except HumeshError as error:
        say(f"the real photos are not validated on: {error}")
        return {}
    return {_OF_REAL[n.name]: n.ours for n in by_set(scores)[-1].numbers if n.name in _OF_REAL and isfinite(n.ours)}
