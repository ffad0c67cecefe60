"""A benchmark run as one HTML file: numbers, worst cases as pictures, and where the errors are."""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from humesh.body.joints import SMPL24, JointSet
from humesh.crops.crops import cut
from humesh.data.sample import Dataset, Sample
from humesh.evaluation.answers import Answer, Answers
from humesh.evaluation.errors import Ruler
from humesh.evaluation.explain import explain
from humesh.evaluation.protocols import Protocol
from humesh.evaluation.records import Records
from humesh.evaluation.score import answered
from humesh.evaluation.subsets import EvaluationError
from humesh.evaluation.summary import MISSED_MM, Summary
from humesh.geometry.boxes import square_crop
from humesh.media.photo import Photo
from humesh.scene.overlay import PALETTE
from humesh.scene.render import Stage
from humesh.scene.studio import Studio, facing

SIDE = 320
"""Pixels of each picture."""
_WORST, _EACH = 12, 2  # pictured people, and how many of one sequence and person at most
_FROM_THE_SIDE = facing(math.pi / 2, math.radians(8))
_TRUTH = np.array([0.55, 0.55, 0.55])
_HIDDEN = (("nothing hidden", 0.0), ("up to a quarter", 0.25), ("up to half", 0.5), ("more than half", 1.0))

_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2em auto;max-width:70em;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:.5em 0}td,th{padding:.15em .8em .15em 0;text-align:left}
td.n{text-align:right;font-variant-numeric:tabular-nums}td.b{width:24em}
.bar{background:#77aadd;height:.8em}figure{display:inline-block;margin:0 1em 1em 0}
figcaption{font-size:13px;color:#555}pre{white-space:pre-wrap;background:#f6f6f4;padding:1em}
"""


def write_report(
    protocol: Protocol,
    records: Records,
    result: Summary,
    dataset: Dataset,
    answer: Answer,
    ruler: Ruler,
    title: str,
    notes: Sequence[str] = (),
) -> str:
    """The file's text, pictures inside; worst cases are asked for again."""
    each = np.full(len(records), np.nan)
    each[~records.missed] = np.nanmean(records.joints_mm[~records.missed], axis=1)
    body = [_numbers(result)]
    body += [f"<p>{html.escape(note)}</p>" for note in notes]
    body += ["<h2>Worst cases</h2>", "<p>The photo with what was recovered, and from the side, with the labelled body "
             "in grey where there is one.</p>"]  # fmt: skip
    for row in _worst(records, each):
        picture = _pictures(dataset[int(records.sample[row])], int(records.person[row]), answer, ruler)
        where = f"{records.sequence[row]} frame {records.frame[row]}, person {records.person[row]}"
        said = f"{where}: {each[row]:.0f} mm, {100 * records.hidden[row]:.0f} % of the points hidden"
        body.append(f"<figure>{picture}<figcaption>{html.escape(said)}</figcaption></figure>")
    if not records.missed.all():
        joints = np.nanmean(records.joints_mm[~records.missed], axis=0).tolist()
        bars = [(name, error, "") for name, error in zip(protocol.joints, joints, strict=True)]
        body += ["<h2>By joint</h2>", _bars(bars)]
    body += ["<h2>By occlusion</h2>", _bars(list(_by(records, each, _levels(records), [n for n, _ in _HIDDEN])))]
    names = sorted(set(records.sequence.tolist()))
    rows = sorted(_by(records, each, records.sequence.tolist(), names), key=lambda row: -np.nan_to_num(row[1]))
    body += ["<h2>By sequence</h2>", _bars(rows), "<h2>Protocol</h2>", f"<pre>{html.escape(explain(protocol))}</pre>"]
    return page(title, body)


def page(title: str, body: Sequence[str]) -> str:
    """An HTML file that needs no other; `body`: its parts as HTML, after the title as a heading."""
    title = html.escape(title)
    head = f"<!doctype html><meta charset=utf-8><title>{title}</title><style>{_STYLE}</style><h1>{title}</h1>"
    return head + "\n".join(body) + "\n"


def _worst(records: Records, errors: Float[np.ndarray, " P"]) -> list[int]:
    """The rows of the largest errors, at most two of one person of one sequence."""
    taken: dict[tuple[str, int], int] = {}
    rows: list[int] = []
    for row in np.argsort(-np.nan_to_num(errors, nan=-1.0), kind="stable").tolist():
        key = str(records.sequence[row]), int(records.identity[row])
        if len(rows) < _WORST and np.isfinite(errors[row]) and taken.get(key, 0) < _EACH:
            rows.append(row)
            taken[key] = taken.get(key, 0) + 1
    return rows


def _numbers(result: Summary) -> str:
    rows = []
    for n in result.numbers:
        paper = "" if n.paper is None else f"{n.paper:.2f}"
        between = "" if math.isnan(n.low) else f"{n.low:.2f} to {n.high:.2f}"
        ours, everyone = ("" if math.isnan(value) else f"{value:.2f}" for value in (n.ours, n.everyone))
        cells = (ours, between, everyone, paper)
        rows.append(f"<tr><td>{n.name} {n.unit}" + "".join(f"<td class=n>{cell}" for cell in cells))
    people = f"{result.people:,} people, {result.missed:,} missed, {result.extra:,} predictions of nobody"
    head = f"<tr><th><th>found people<th>95 %<th>all, missed as {MISSED_MM:g} mm<th>paper"
    table = f"<table>{head}{''.join(rows)}</table>"
    return f"<p>{people}; intervals over {result.clusters}.</p>{table}"


def _by(
    records: Records, errors: Float[np.ndarray, " P"], keys: Sequence[str], names: Sequence[str]
) -> Iterator[tuple[str, float, str]]:
    """(name, mean error, who it is over) of the people of each key."""
    of = np.array(keys, dtype=np.str_)
    for name in names:
        inside = of == name
        if inside.any():
            there = errors[inside & ~records.missed]
            said = f"{int(inside.sum()):,} people, {int(records.missed[inside].sum()):,} missed"
            yield name or "(no sequence)", float(there.mean()) if len(there) else float("nan"), said


def _levels(records: Records) -> list[str]:
    return [next(name for name, most in _HIDDEN if share <= most + 1e-9) for share in records.hidden.tolist()]


def _bars(rows: Sequence[tuple[str, float, str]]) -> str:
    longest = max((value for _, value, _ in rows if math.isfinite(value)), default=1.0) or 1.0
    lines = []
    for name, value, said in rows:
        width = 0 if not math.isfinite(value) else 100 * value / longest
        told = f"{value:.1f} mm" if math.isfinite(value) else "-"
        bar = f"<td class=n>{told}<td class=b><div class=bar style='width:{width:.1f}%'></div>"
        lines.append(f"<tr><td>{html.escape(name.replace('_', ' '))}{bar}<td>{html.escape(said)}")
    return f"<table>{''.join(lines)}</table>"


def _pictures(sample: Sample, person: int, answer: Answer, ruler: Ruler) -> str:
    """The person on the photo and from the side, as two images."""
    wanted = [i for i, other in enumerate(sample.people) if ruler.evaluates(other)]
    answers, found = answered(ruler, sample, wanted, answer)
    k = found[person]
    if not answers.bodies.vertices.shape[1]:  # points alone
        return image(cut_out(sample.photo, sample.people[person].seen.box)[0])
    return image(_front(sample, person, answers, k)) + image(_from_the_side(sample, person, answers, k, ruler))


def _front(sample: Sample, person: int, answers: Answers, k: int) -> UInt8[np.ndarray, "H W 3"]:
    back, affine = cut_out(sample.photo, sample.people[person].seen.box)
    stage = Stage(answers.bodies.vertices[k : k + 1], answers.bodies.faces, PALETTE[:1])
    return stage.render(sample.photo.camera.cropped(affine), (SIDE, SIDE)).over(back, 0.8)


def cut_out(photo: Photo, box: Float[np.ndarray, "4"]) -> tuple[UInt8[np.ndarray, "H W 3"], Float[torch.Tensor, "2 3"]]:
    """A square of a photo around a box (x0 y0 x1 y1 px), and the map into it."""
    affine = square_crop(torch.as_tensor(box).double(), SIDE, 1.3)
    pixels = cut(photo.pixels, affine[None], (SIDE, SIDE))[0]
    return (255 * pixels).round().clamp(0, 255).byte().permute(1, 2, 0).contiguous().numpy(), affine


def _from_the_side(sample: Sample, person: int, answers: Answers, k: int, ruler: Ruler) -> UInt8[np.ndarray, "H W 3"]:
    vertices, colours = [answers.bodies.vertices[k] - answers.bodies.joints[k, :1]], [PALETTE[0]]
    try:
        truth = ruler.labelled_body(sample.people[person])
    except EvaluationError:  # of a body whose file the protocol does not need and the user has not given
        truth = None
    if truth is not None and truth.vertices.shape[1:] == vertices[0].shape:
        vertices.append(truth.vertices[0] - truth.joints[0, :1])
        colours.append(_TRUTH)
    stage = Stage(torch.stack(vertices), answers.bodies.faces, np.array(colours))
    return Studio(stage).picture(_FROM_THE_SIDE, (SIDE, SIDE))


def image(pixels: UInt8[np.ndarray, "H W 3"]) -> str:
    """An <img> that holds its picture."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="JPEG", quality=85)
    return f"<img alt='' width={SIDE} src='data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}'>"


def draw_bones(
    picture: Image.Image, points: Float[torch.Tensor, "K 2"], joint_set: JointSet, colour: tuple[int, int, int]
) -> None:
    """Draws the bones (SMPL's) between points in pixels; those with a point that is NaN are left out."""
    draw = ImageDraw.Draw(picture)
    at = {name: points[i].tolist() for i, name in enumerate(joint_set.names)}
    for name, parent in zip(SMPL24.names, SMPL24.parent_names or (), strict=True):
        if parent is not None and name in at and parent in at and all(map(np.isfinite, at[name] + at[parent])):
            ends = np.clip([*at[parent], *at[name]], -1e4, 1e4)
            draw.line([float(x) for x in ends], fill=colour, width=2)
