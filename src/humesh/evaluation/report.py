"""An evaluation as one HTML file: its table, worst cases as pictures beside their labels, and where the errors are."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw
from torch import Tensor

from humesh.body.joints import LIMBS12, SMPL24, JointSet
from humesh.body.pose import Bodies
from humesh.crops.crops import cut
from humesh.data.sample import Dataset
from humesh.evaluation.errors import Ruler
from humesh.evaluation.metrics import aligned
from humesh.evaluation.predictions import Predictor
from humesh.evaluation.published import explain
from humesh.evaluation.real import LabelledPhoto, Recover, Score
from humesh.evaluation.run import Records
from humesh.evaluation.summary import grouped, table
from humesh.geometry.boxes import affine_apply, square_crop
from humesh.media.photo import Photo
from humesh.scene.record import exact, pixels_of
from humesh.scene.render import Stage, colours

_SIDE = 320  # px of each picture
_WIDE_M = 2.4  # across the view from the side
_WORST, _EACH = 12, 2  # pictured people of a benchmark, and how many of one sequence and person at most
_OF_A_KIND = 6  # pictured real people of each kind of case
_LABEL, _PREDICTED = (255, 255, 255), (255, 120, 0)
_HIDDEN = (("none", 0.0), ("a quarter at most", 0.25), ("half at most", 0.5), ("more than half", 1.0))
_LIMBS = SMPL24.indices(*LIMBS12.names)
_LEGEND = """<p>Left: the predicted bodies. Middle: the labels (white) and the prediction (orange). Right: both from the
side, after the best similarity, where there are 3D labels.</p>"""
_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2em auto;max-width:70em;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:.5em 0}td{padding:.15em .8em .15em 0;font-variant-numeric:tabular-nums}
figure{display:inline-block;margin:0 1em 1em 0}
figcaption{font-size:13px;color:#555}pre{white-space:pre-wrap;background:#f6f6f4;padding:1em}
"""


_Joints = tuple[JointSet, Tensor]
"""Joints by name, NaN where one is not known."""


def page(title: str, lines: Sequence[Sequence[str]], notes: Iterable[str], body: Iterable[str]) -> str:
    """An HTML file that needs no other; `body`: what follows the table `lines` and the notes, as HTML."""
    title = html.escape(title)
    head = f"<!doctype html><meta charset=utf-8><title>{title}</title><style>{_STYLE}</style><h1>{title}</h1>"
    parts = (_table(lines), *(f"<p>{html.escape(note)}</p>" for note in notes), _LEGEND, *body)
    return head + "\n".join(parts) + "\n"


def benchmark_details(records: Records, dataset: Dataset, predictor: Predictor, ruler: Ruler) -> Iterator[str]:
    """The worst cases, which are predicted again, errors by joint, occlusion and sequence, and the protocol as HTML."""
    people, protocol = records.people, ruler.protocol
    each = np.full(len(records), np.nan)
    each[~people["missed"]] = np.nanmean(people["joints_mm"][~people["missed"]], axis=1)
    yield "<h2>Worst cases</h2>"
    for row in _worst_rows(records, each):
        where = f"{people['sequence'][row]} frame {people['frame'][row]}, person {people['person'][row]}"
        caption = f"{where}: {each[row]:.0f} mm, {100 * people['hidden'][row]:.0f} % of the points hidden"
        number, place = int(people["sample"][row]), int(people["person"][row])
        yield _benchmark_figure(caption, dataset, number, place, predictor, ruler)
    if not people["missed"].all():
        means = np.nanmean(people["joints_mm"][~people["missed"]], axis=0).tolist()
        lines = [[name.replace("_", " "), f"{mean:.1f} mm"] for name, mean in zip(protocol.joints, means, strict=True)]
        yield "<h2>By joint</h2>" + _table([["joint", "mean error"], *lines])
    hidden = [{next(name for name, most in _HIDDEN if share <= most + 1e-9)} for share in people["hidden"].tolist()]
    for head, groups in (("hidden points", hidden), ("sequence", [{name} for name in people["sequence"].tolist()])):
        yield f"<h2>By {head}</h2>" + _table(table(grouped(protocol, records, groups), head))
    yield f"<h2>Protocol</h2><pre>{html.escape(explain(protocol))}</pre>"


def _worst_rows(records: Records, errors: Float[np.ndarray, " P"]) -> list[int]:
    """The rows of the largest errors, at most two of one person of one sequence."""
    rows: list[int] = []
    people: list[tuple[str, int]] = []
    for row in np.argsort(-np.nan_to_num(errors, nan=-1.0), kind="stable").tolist():
        person = str(records.people["sequence"][row]), int(records.people["identity"][row])
        if len(rows) < _WORST and np.isfinite(errors[row]) and people.count(person) < _EACH:
            rows.append(row)
            people.append(person)
    return rows


def _benchmark_figure(
    caption: str, dataset: Dataset, number: int, place: int, predictor: Predictor, ruler: Ruler
) -> str:
    sample = dataset[number]
    person, places = sample.people[place], [i for i, p in enumerate(sample.people) if ruler.evaluates(p)]
    predictions = predictor(sample, places).finite()
    own = predictions.of([ruler.matched(sample, places, predictions)[place]])
    errors = ruler(own, [person])
    label_px = torch.where(person.points2d_weight[:, None] > 0, person.points2d, torch.nan)
    predicted_px = pixels_of(sample.photo.camera, exact(own.joints[0]))
    truth = torch.where(errors.joints_mm[0, :, None].isfinite(), errors.truth[0], torch.nan)
    return _figure(
        caption,
        sample.photo,
        person.seen.box,
        Bodies(own.vertices, own.joints, ruler.body.faces),
        (person.joint_set, label_px),
        (JointSet("predicted", own.joint_names), predicted_px),
        (JointSet("evaluated", ruler.protocol.joints), truth, errors.predicted[0]),
    )


def real_details(scores: Sequence[Score], recover: Recover) -> Iterator[str]:
    """The worst cases on real photos as HTML, each photo once in a kind; they are predicted again."""
    kinds: dict[str, Callable[[Score], float | None]] = {
        "Missed": lambda score: float(score.label.size) if score.row is None else None,
        "Largest 3D errors": lambda score: None if score.row is None else score.pa_mpjpe,
        "Largest 2D errors": lambda score: None if score.row is None else float(score.errors.mean()),
    }
    for name, badness in kinds.items():
        rated = [(bad, score) for score in scores if (bad := badness(score)) is not None]
        worst: dict[LabelledPhoto, Score] = {}
        for _, score in sorted(rated, key=lambda pair: -pair[0]):
            worst.setdefault(score.photo, score)
        if worst:
            yield f"<h2>{name}</h2>"
            yield from (_real_figure(score, recover) for score in list(worst.values())[:_OF_A_KIND])


def _real_figure(score: Score, recover: Recover) -> str:
    result, label = recover(Photo.read(score.photo.path), score.people), score.label
    caption = f"{score.photo.set}, {score.photo.path.name}: "
    caption += "missed" if score.row is None else f"2D error {100 * score.errors.mean():.1f} % of the size"
    predicted_px = metres = None
    if score.row is not None:
        joints = exact(result.bodies.joints[score.row, _LIMBS])
        predicted_px = LIMBS12, pixels_of(result.photo.camera, joints)
        if score.pa_mpjpe is not None:
            caption += f", PA-MPJPE {score.pa_mpjpe:.0f} mm"
            metres = LIMBS12, torch.from_numpy(label.metres), joints
    box = np.concatenate([np.nanmin(label.pixels, axis=0), np.nanmax(label.pixels, axis=0) + 1])
    label_px = LIMBS12, torch.from_numpy(label.pixels)
    return _figure(caption, result.photo, box, result.bodies, label_px, predicted_px, metres)


def _figure(
    caption: str,
    photo: Photo,
    box: Float[np.ndarray, "4"],
    bodies: Bodies,
    label_px: _Joints,
    predicted_px: _Joints | None,
    metres: tuple[JointSet, Tensor, Tensor] | None,
) -> str:
    """The bodies over the photo, the joints in it, and the labelled and predicted joints in `metres` from the side."""
    affine = square_crop(torch.as_tensor(box).double(), _SIDE, 1.3)
    pixels = (255 * cut(photo.pixels, affine[None], (_SIDE, _SIDE))[0]).round().clamp(0, 255).byte()
    background = pixels.permute(1, 2, 0).contiguous().numpy()
    pictures, marked = [], Image.fromarray(background)
    if bodies.vertices.shape[1]:
        stage = Stage(bodies.vertices, bodies.faces, colours(len(bodies.vertices)))
        pictures.append(stage.render(photo.camera.cropped(affine), (_SIDE, _SIDE)).over(background, 0.8))
    for joints, colour in ((label_px, _LABEL), (predicted_px, _PREDICTED)):
        if joints is not None:
            draw_bones(marked, affine_apply(affine, joints[1].double()), joints[0], colour)
    pictures.append(np.asarray(marked))
    if metres is not None:
        names, true, predicted = metres
        known, side = true.isfinite().all(-1), Image.new("RGB", (_SIDE, _SIDE), (40, 40, 40))
        middle = true[known].mean(0)
        for points, colour in ((true, _LABEL), (aligned(predicted, true, known), _PREDICTED)):
            across = (points - middle)[:, [2, 1]] / _WIDE_M  # depth to the right, down as in the photo
            draw_bones(side, _SIDE * (0.5 + across), names, colour)
        pictures.append(np.asarray(side))
    return f"<figure>{''.join(map(_image, pictures))}<figcaption>{html.escape(caption)}</figcaption></figure>"


def _table(lines: Iterable[Sequence[str]]) -> str:
    rows = ("<tr>" + "".join(f"<td>{html.escape(cell)}" for cell in line) for line in lines)
    return f"<table>{''.join(rows)}</table>"


def _image(pixels: UInt8[np.ndarray, "H W 3"]) -> str:
    """An <img> that holds its picture."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="JPEG", quality=85)
    return f"<img alt='' width={_SIDE} src='data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}'>"


def draw_bones(
    picture: Image.Image, points: Float[Tensor, "K 2"], joint_set: JointSet, colour: tuple[int, int, int]
) -> None:
    """Draws the bones (SMPL's) between points in pixels; those with a point that is NaN are left out."""
    draw = ImageDraw.Draw(picture)
    at = {name: points[i].tolist() for i, name in enumerate(joint_set.names)}
    for name, parent in zip(SMPL24.names, SMPL24.parent_names or (), strict=True):
        if parent is not None and name in at and parent in at and all(map(np.isfinite, at[name] + at[parent])):
            ends = np.clip([*at[parent], *at[name]], -1e4, 1e4)
            draw.line([float(x) for x in ends], fill=colour, width=2)
