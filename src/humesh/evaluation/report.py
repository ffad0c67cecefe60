"""An evaluation as one HTML file: its table, worst cases as pictures beside their labels, and where the errors are."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw
from torch import Tensor

from humesh.body.joints import LIMBS12, SMPL24
from humesh.body.pose import Bodies
from humesh.crops.crops import cut
from humesh.data.sample import Dataset
from humesh.evaluation.errors import Ruler
from humesh.evaluation.metrics import aligned
from humesh.evaluation.predictions import Predictor
from humesh.evaluation.published import explain
from humesh.evaluation.real import LabelledPhoto, Recover, Score
from humesh.evaluation.run import Records
from humesh.evaluation.summary import grouped, ratio, table
from humesh.geometry.boxes import affine_apply, square_crop
from humesh.media.photo import Photo
from humesh.scene.render import Stage, colours
from humesh.scene.result import exact, pixels_of

_SIDE = 320  # px of each picture
_WIDE_M = 2.4  # across the view from the side
_WORST, _EACH = 12, 2  # pictured people of a benchmark, and how many of one track at most
_OF_A_KIND = 6  # pictured real people of each kind of case
_LABEL, _PREDICTED = (255, 255, 255), (255, 120, 0)
_HIDDEN = "0 %", "1 to 25 %", "25 to 50 %", "50 to 100 %"
_LIMBS = SMPL24.indices(*LIMBS12.names)
_LEGEND = """<p>Left: the predicted bodies. Middle: the labels (white) and the prediction (orange). Right: both from the
side, after the best similarity, where there are 3D labels.</p>"""
_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2em auto;max-width:70em;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:.5em 0}td{padding:.15em .8em .15em 0;font-variant-numeric:tabular-nums}
figure{display:inline-block;margin:0 1em 1em 0}
figcaption{font-size:13px;color:#555}pre{white-space:pre-wrap;background:#f6f6f4;padding:1em}
"""


@dataclass(frozen=True, eq=False)
class _Case:
    """One labelled person and what was predicted: joints by name, NaN without a label; no `predicted_px`: missed.

    `metres`: the labelled and predicted joints in 3D, None without 3D labels.
    """

    caption: str
    photo: Photo
    box: Float[np.ndarray, "4"]
    bodies: Bodies
    label_px: tuple[Sequence[str], Float[Tensor, "K 2"]]
    predicted_px: tuple[Sequence[str], Float[Tensor, "J 2"]] | None = None
    metres: tuple[Sequence[str], Float[Tensor, "M 3"], Float[Tensor, "M 3"]] | None = None


def page(title: str, lines: Sequence[Sequence[str]], notes: Iterable[str], details: Iterable[str]) -> str:
    """An HTML file that needs no other: the table `lines`, sentences, and `details`, which are HTML."""
    title = html.escape(title)
    head = f"<!doctype html><meta charset=utf-8><title>{title}</title><style>{_STYLE}</style><h1>{title}</h1>"
    parts = (_table(lines), *(f"<p>{html.escape(note)}</p>" for note in notes), _LEGEND, *details)
    return head + "\n".join(parts) + "\n"


def benchmark_details(records: Records, dataset: Dataset, predictor: Predictor, ruler: Ruler) -> Iterator[str]:
    """The worst cases, predicted again, errors by joint, occlusion and sequence, and the protocol, as HTML."""
    people, protocol = records.people, ruler.protocol
    found = ~people["missed"]
    each = np.full(len(records), np.nan)
    each[found] = np.nanmean(people["joints_mm"][found], axis=1)
    yield "<h2>Worst cases</h2>"
    for row in _worst_rows(records, each):
        where = f"{people['name'][row]}, person {people['person'][row]}"
        caption = f"{where}: {each[row]:.0f} mm, {100 * people['hidden'][row]:.0f} % of the points hidden"
        number, place = int(people["sample"][row]), int(people["person"][row])
        yield _figure(_benchmark_case(caption, dataset, number, place, predictor, ruler))
    yield _by_joint(protocol.joints, {"error, mm": people["joints_mm"]})
    hidden = [{_HIDDEN[k]} for k in np.searchsorted([0.0, 0.25, 0.5], people["hidden"]).tolist()]
    sequences = [{name} - {""} for name in people["sequence"].tolist()]
    for head, groups in (("hidden points", hidden), ("sequence", sequences)):
        if any(groups):  # photos are of no sequence
            yield f"<h2>By {head}</h2>" + _table(table(grouped(protocol, records, groups), head))
    yield f"<h2>Protocol</h2><pre>{html.escape(explain(protocol))}</pre>"


def _worst_rows(records: Records, errors: Float[np.ndarray, " P"]) -> list[int]:
    """The rows of the largest errors, at most two of a track, as neighbouring frames fail alike."""
    rows: list[int] = []
    tracks: list[tuple[str, int]] = []
    for row in np.argsort(-np.nan_to_num(errors, nan=-1.0), kind="stable").tolist():
        video = records.people["sequence"][row] or records.people["name"][row]
        track = str(video), int(records.people["identity"][row])
        if len(rows) < _WORST and np.isfinite(errors[row]) and tracks.count(track) < _EACH:
            rows.append(row)
            tracks.append(track)
    return rows


def _benchmark_case(
    caption: str, dataset: Dataset, number: int, place: int, predictor: Predictor, ruler: Ruler
) -> _Case:
    sample = dataset[number]
    person, places = sample.people[place], [i for i, p in enumerate(sample.people) if ruler.evaluates(p)]
    predictions = predictor(sample, places).finite()
    label_px = torch.where(person.points2d_weight[:, None] > 0, person.points2d, torch.nan)
    bodies = Bodies(predictions.vertices, predictions.joints, ruler.body.faces)
    case = _Case(caption, sample.photo, person.seen.box, bodies, (person.joint_set.names, label_px))
    row = ruler.matched(sample, places, predictions).get(place)
    if row is None:  # possible where kept errors are of a run on another device
        return case
    own = predictions.of([row])
    errors = ruler(own, [person])
    truth = torch.where(errors.joints_mm[0, :, None].isfinite(), errors.truth[0], torch.nan)
    return replace(
        case,
        bodies=Bodies(own.vertices, own.joints, ruler.body.faces),
        predicted_px=(own.joint_names, pixels_of(sample.photo.camera, exact(own.joints[0]))),
        metres=(ruler.protocol.joints, truth, errors.predicted[0]),
    )


def real_details(scores: Sequence[Score], recover: Recover) -> Iterator[str]:
    """The worst cases on real photos, each photo once in a kind, predicted again, and errors by joint, as HTML."""
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
            yield from (_figure(_real_case(score, recover)) for score in list(worst.values())[:_OF_A_KIND])
    found = [score for score in scores if score.row is not None]
    in_3d = [(score.errors_mm, score.label.metres) for score in found if score.errors_mm is not None]
    flat, deep = _of_limbs([(100 * score.errors, score.label.pixels) for score in found]), _of_limbs(in_3d)
    yield _by_joint(LIMBS12.names, {"2D error, % of the size": flat, "error after the best similarity, mm": deep})


def _of_limbs(people: Sequence[tuple[np.ndarray, np.ndarray]]) -> Float[np.ndarray, "P 12"]:
    """Errors of people's labelled limb joints, which are given with the labels, in their places among all 12."""
    spread = np.full((len(people), len(LIMBS12)), np.nan)
    for row, (errors, labels) in zip(spread, people, strict=True):
        row[np.isfinite(labels).all(-1)] = errors
    return spread


def _real_case(score: Score, recover: Recover) -> _Case:
    result, label = recover(Photo.read(score.photo.path), score.people), score.label
    where = f"{score.photo.set}, {score.photo.path.name}: "
    box = np.concatenate([np.nanmin(label.pixels, axis=0), np.nanmax(label.pixels, axis=0) + 1])
    case = _Case(f"{where}missed", result.photo, box, result.bodies, (LIMBS12.names, torch.from_numpy(label.pixels)))
    if score.row is None:
        return case
    joints, metres = exact(result.bodies.joints[score.row, _LIMBS]), None
    caption = f"{where}2D error {100 * score.errors.mean():.1f} % of the size"
    if score.pa_mpjpe is not None:
        caption += f", PA-MPJPE {score.pa_mpjpe:.0f} mm"
        metres = LIMBS12.names, torch.from_numpy(label.metres), joints
    predicted_px = LIMBS12.names, pixels_of(result.photo.camera, joints)
    return replace(case, caption=caption, predicted_px=predicted_px, metres=metres)


def _figure(case: _Case) -> str:
    """The bodies over the photo, the joints in it, and the labelled and predicted joints from the side."""
    affine = square_crop(torch.as_tensor(case.box).double(), _SIDE, 1.3)
    pixels = (255 * cut(case.photo.pixels, affine[None], (_SIDE, _SIDE))[0]).round().clamp(0, 255).byte()
    background = pixels.permute(1, 2, 0).contiguous().numpy()
    pictures, marked = [], Image.fromarray(background)
    if case.bodies.vertices.shape[1]:
        stage = Stage(case.bodies.vertices, case.bodies.faces, colours(len(case.bodies.vertices)))
        pictures.append(stage.render(case.photo.camera.cropped(affine), (_SIDE, _SIDE)).over(background, 0.8))
    for joints, colour in ((case.label_px, _LABEL), (case.predicted_px, _PREDICTED)):
        if joints is not None:
            draw_bones(marked, affine_apply(affine, joints[1].double()), joints[0], colour)
    pictures.append(np.asarray(marked))
    if case.metres is not None:
        names, true, predicted = case.metres
        known, side = true.isfinite().all(-1), Image.new("RGB", (_SIDE, _SIDE), (40, 40, 40))
        middle = true[known].mean(0)
        for points, colour in ((true, _LABEL), (aligned(predicted, true, known), _PREDICTED)):
            across = (points - middle)[:, [2, 1]] / _WIDE_M  # depth to the right, down as in the photo
            draw_bones(side, _SIDE * (0.5 + across), names, colour)
        pictures.append(np.asarray(side))
    return f"<figure>{''.join(map(_image, pictures))}<figcaption>{html.escape(case.caption)}</figcaption></figure>"


def _by_joint(names: Sequence[str], errors: Mapping[str, Float[np.ndarray, "P K"]]) -> str:
    """The means of each kind of errors over the people, who have NaN for what is missed or not labelled."""
    known = {kind: values for kind, values in errors.items() if np.isfinite(values).any()}
    sums = ((np.nansum(values, axis=0), np.isfinite(values).sum(0)) for values in known.values())
    columns = [ratio(total, count).tolist() for total, count in sums]
    rows = zip((name.replace("_", " ") for name in names), *columns, strict=True)
    lines = [[name, *("-" if np.isnan(mean) else f"{mean:.1f}" for mean in means)] for name, *means in rows]
    return "<h2>By joint, of people who are found</h2>" + _table([["joint", *known], *lines]) if known else ""


def _table(lines: Iterable[Sequence[str]]) -> str:
    rows = ("<tr>" + "".join(f"<td>{html.escape(cell)}" for cell in line) for line in lines)
    return f"<table>{''.join(rows)}</table>"


def _image(pixels: UInt8[np.ndarray, "H W 3"]) -> str:
    """An <img> that holds its picture."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="JPEG", quality=85)
    return f"<img alt='' width={_SIDE} src='data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}'>"


def draw_bones(
    picture: Image.Image, points: Float[Tensor, "K 2"], names: Sequence[str], colour: tuple[int, int, int]
) -> None:
    """Draws the bones (SMPL's) between named points in pixels; those with a point that is NaN are left out."""
    draw = ImageDraw.Draw(picture)
    at = dict(zip(names, points.tolist(), strict=True))
    for name, parent in zip(SMPL24.names, SMPL24.parent_names or (), strict=True):
        if parent is not None and name in at and parent in at and all(map(np.isfinite, at[name] + at[parent])):
            ends = np.clip([*at[parent], *at[name]], -1e4, 1e4)
            draw.line([float(x) for x in ends], fill=colour, width=2)
