"""A score on labelled photographs as one HTML file: numbers, and worst cases as pictures beside their labels."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image

from humesh.body.joints import LIMBS12, SMPL24
from humesh.evaluation.metrics import aligned
from humesh.evaluation.real import LabelledPhoto, Recover, Row, Score, cells
from humesh.evaluation.report import SIDE, cut_out, draw_bones, image, page
from humesh.geometry.boxes import affine_apply
from humesh.media.photo import Photo
from humesh.scene.overlay import colours
from humesh.scene.record import exact, pixels_of
from humesh.scene.render import Stage
from humesh.scene.result import Result

_EACH = 6  # people of each kind of case
_WIDE_M = 2.4  # metres across the view from the side
_LABEL, _PREDICTED = (255, 255, 255), (255, 120, 0)
_LEGEND = """<p>Left: everybody who was recovered. Middle: the labels (white) and the prediction (orange). Right: both
from the side, after the best similarity, where there are 3D labels.</p>"""
_LIMBS = SMPL24.indices(*LIMBS12.names)


def write_real_report(title: str, rows: Sequence[Row], scores: Sequence[Score], recover: Recover) -> str:
    """The file's text, pictures inside; the photos of the worst cases are recovered again."""
    kinds: list[tuple[str, Callable[[Score], float | None]]] = [
        ("Missed", lambda score: float(score.label.size) if score.row is None else None),
        ("Largest 3D errors", lambda score: None if score.row is None else score.pa_mpjpe),
        ("Largest 2D errors", lambda score: None if score.row is None else float(score.errors.mean())),
    ]
    lines = ("<tr>" + "".join(f"<td class=n>{html.escape(cell)}" for cell in line) for line in cells(rows))
    body = [f"<table>{''.join(lines)}</table>", _LEGEND]
    for name, badness in kinds:
        if worst := _worst(scores, badness):
            body += [f"<h2>{name}</h2>", *(_figure(score, recover) for score in worst)]
    return page(title, body)


def _worst(scores: Sequence[Score], badness: Callable[[Score], float | None]) -> list[Score]:
    """The worst, those of several people of one photo once; None: not of this kind."""
    rated = [(bad, score) for score in scores if (bad := badness(score)) is not None]
    chosen: dict[LabelledPhoto, Score] = {}
    for _, score in sorted(rated, key=lambda pair: -pair[0]):
        chosen.setdefault(score.photo, score)
    return list(chosen.values())[:_EACH]


def _figure(score: Score, recover: Recover) -> str:
    recovery = recover(Photo.read(score.photo.path), score.people)
    text = f"{score.photo.set}, {score.photo.path.name}: "
    text += "missed" if score.row is None else f"2D error {100 * score.errors.mean():.1f} % of the size"
    if score.row is not None and score.pa_mpjpe is not None:
        text += f", PA-MPJPE {score.pa_mpjpe:.0f} mm"
    pictures = "".join(map(image, _pictures(score, recovery)))
    return f"<figure>{pictures}<figcaption>{html.escape(text)}</figcaption></figure>"


def _pictures(score: Score, recovery: Result) -> list[UInt8[np.ndarray, "H W 3"]]:
    """The overlay, the labels and, with 3D labels, the view from the side."""
    label, photo = score.label, recovery.photo
    box = np.concatenate([np.nanmin(label.pixels, axis=0), np.nanmax(label.pixels, axis=0) + 1])
    back, affine = cut_out(photo, box)
    stage = Stage(recovery.bodies.vertices, recovery.bodies.faces, colours(len(recovery.people)))
    pictures = [stage.render(photo.camera.cropped(affine), (SIDE, SIDE)).over(back, 0.8)]
    marked, side = Image.fromarray(back), Image.new("RGB", (SIDE, SIDE), (40, 40, 40))
    draw_bones(marked, affine_apply(affine, torch.from_numpy(label.pixels)), LIMBS12, _LABEL)
    if score.row is None:
        return [*pictures, np.asarray(marked)]
    joints = exact(recovery.bodies.joints[score.row, _LIMBS])
    draw_bones(marked, affine_apply(affine, pixels_of(photo.camera, joints)), LIMBS12, _PREDICTED)
    pictures.append(np.asarray(marked))
    if score.errors_mm is not None:
        known = torch.from_numpy(np.isfinite(label.metres).all(-1))
        true = torch.from_numpy(label.metres)
        middle = true[known].mean(0)
        draw_bones(side, _from_the_side(true - middle), LIMBS12, _LABEL)
        draw_bones(side, _from_the_side(aligned(joints, true, known) - middle), LIMBS12, _PREDICTED)
        pictures.append(np.asarray(side))
    return pictures


def _from_the_side(points: Float[torch.Tensor, "K 3"]) -> Float[torch.Tensor, "K 2"]:
    """Pixels of points about their middle: depth to the right, down as in the photo."""
    return SIDE * (0.5 + points[:, [2, 1]] / _WIDE_M)
