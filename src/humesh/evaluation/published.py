"""The numbers that papers print (published.csv), and a protocol in words: `humesh evaluate --explain BENCHMARK`."""

from __future__ import annotations

import csv
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files

from humesh.evaluation.protocols import PROTOCOLS, UNITS, EvaluationError, Protocol

_USED = {"yes": True, "no": False, "": None}
_IN_WORDS = {True: "3DPW's training set used", False: "without 3DPW's training set", None: "training set not stated"}
_STAGES = {"skeleton": "skeleton only", "inverse_kinematics": "no refiner"}  # in ik_refine's table 4
_MESH = "mesh of the labelled pose and shape on the {}, its joints by the same source"
_TRUTH = {
    "gendered body": _MESH.format("labelled gender's body"),
    "neutral body": _MESH.format("neutral body"),
    "annotated points": "the annotated 3D points, by name",
}
_FOUND = "found by humesh's finder or --detections; matched by the benchmark's tool ({})"
_MATCHING = {
    "given": 'the annotated people are given to the method (or --detections, matched by "person", the place among the '
    "photo's annotated people, else to annotated boxes greedily from the largest overlap, at least {}); who gets no "
    "body is counted as missed",
    "mupots": _FOUND.format("joints within 40 px"),
    "agora": _FOUND.format("joints, box IoU"),
}
_AVERAGE = {
    "people": "mean over all people of all frames",
    "sequences": "mean over each sequence, then the plain mean of the sequences",
    "groups": "mean over the people of each of {}, then the plain mean of these",
}


@dataclass(frozen=True)
class Published:
    """One row of a paper's table, in the units of its benchmark's protocol.

    `method`: the name in humesh's zoo, or "" for a system that humesh does not hold. `source`: who printed the number,
    and in which table. `used_3dpw`: trained or fine-tuned on 3DPW's training set; None: the source does not state it.
    """

    benchmark: str
    method: str
    system: str
    values: dict[str, float]
    source: str
    used_3dpw: bool | None
    note: str


def _read(table: str) -> Iterator[Published]:
    text = files("humesh.evaluation").joinpath("published.csv").read_text(encoding="utf-8")
    for row in csv.DictReader(text.splitlines()):
        if row.pop("table") == table:
            pairs = (pair.split("=") for pair in row.pop("values").split())
            used = _USED[row.pop("used_3dpw")]
            yield Published(values={name: float(value) for name, value in pairs}, used_3dpw=used, **row)


PUBLISHED = tuple(_read("main"))
"""What the four papers print, their own rows and those that they compare with."""
ABLATIONS = tuple(_read("ablation"))
"""The papers' ablation tables, as far as our sources have them; docs/methods.md has each row's options."""


def published(benchmark: str, method: str = "", ablations: bool = False) -> list[Published]:
    """The rows of a benchmark, or those of one method of the zoo; both forms of Multi-RoI are the same paper's."""
    method = method.removesuffix("_authors")
    rows = (*PUBLISHED, *ABLATIONS) if ablations else PUBLISHED
    return [row for row in rows if row.benchmark == benchmark and method in ("", row.method)]


def to_compare(
    benchmark: str, method: str, against: str = "", frames: int | None = None, stage: str = ""
) -> Published | None:
    """The row to compare with: `against`, a part of a system's name; else the method's own, of a T or stage if given.

    Raises EvaluationError where nothing printed has such a name.
    """
    every = published(benchmark, ablations=True)
    if against:
        rows = [row for row in every if against.lower() in row.system.lower()]
        if not rows:
            known = ", ".join(row.system for row in every) or "none"
            raise EvaluationError(
                f"--against {against}: expected a part of a published row's name, there are: {known}."
            )
    elif frames or stage:
        named = f"T = {frames}" if frames else _STAGES.get(stage, stage.replace("layer", "after layer "))
        rows = [row for row in every if method == row.method and row.system.endswith(named)]
    else:
        rows = published(benchmark, method) if method else []
    return rows[0] if rows else None


def explain(protocol: Protocol) -> str:
    """The protocol in words, with the numbers printed for it and the other protocols of its dataset."""
    p = protocol
    sequences = "every sequence" if p.stretches is None else ", ".join(map(str, p.stretches))
    seen = "; nobody without keypoints of the owner's detector" if p.needs_keypoints else ""
    count = "" if p.people is None else f"; {p.people:,} people in the paper"
    clips = "whole tracks, in windows of the length and interval that they were trained with"
    if p.clip_span is not None and p.clip_length is not None:
        clips = (
            f"windows of {p.clip_span} frames without overlap, reflected at a track's end, and {p.clip_length} of "
            f"these frames together, {p.clip_span // p.clip_length} apart (--frames: another number)"
        )
    facts = {
        "data": "; ".join(" ".join([p.dataset, *(f"{key}={value}" for key, value in r)]) for r in p.readings),
        "evaluated": f"{sequences}{seen}; everybody whose labels have the points or the body that is asked for{count}",
        "joints": f"{len(p.joints)} ({', '.join(p.joints)}), in metres, of the prediction by: {p.source}",
        "root": f"mean of {', '.join(p.root)} moved to 0 on both sides",
        "truth": _TRUTH[p.truth],
        "people": _MATCHING[p.matching].format(p.least_iou),
        "fed": f"{p.fed} (or yours with --detections)" if p.matching == "given" else "what the finder sees of them",
        "temporal": f"temporal methods see {clips}",
        "metrics": ", ".join(f"{name} ({UNITS[name]})" for name in p.metrics),
        "alignment": "none but the root; PA: a similarity without mirror per person and frame",
        "average": _AVERAGE[p.average].format(", ".join(p.groups)),
    }
    if "pve" in p.metrics:
        facts["mesh"] = f"all vertices, after moving both meshes by: {p.mesh_root}"
    if p.true_bone_lengths:
        facts["bones"] = "predicted bones get the true lengths first, from the pelvis outwards"
    if p.fps is not None and "accel" in p.metrics:
        facts["frame rate"] = f"{p.fps:g} per second; accel is per frame², times {p.fps**2:g} it is per s²"
    if why := p.unlike or p.unlike_fed:
        facts["compared"] = f"no difference to printed numbers{'' if p.unlike else ' without --detections'}: {why}"
    if others := [other.name for other in PROTOCOLS.values() if other.dataset == p.dataset and other is not p]:
        facts["see also"] = f"other protocols of this dataset: {', '.join(others)}"
    facts |= {f"assumed {i}": sentence for i, sentence in enumerate(p.assumes, 1)}
    for i, row in enumerate(published(p.name, ablations=True), 1):
        numbers = ", ".join(f"{metric} {value:g}" for metric, value in row.values.items())
        note = f"; {row.note}" if row.note else ""
        facts[f"printed {i}"] = f"{row.system}: {numbers} ({row.source}; {_IN_WORDS[row.used_3dpw]}{note})"
    lines = [f"{p.name}: {p.title}", f"fingerprint {p.fingerprint}"]
    for key, value in facts.items():
        lines += textwrap.wrap(f"{key:12} {value}", 110, subsequent_indent=" " * 13)
    return "\n".join(lines)
