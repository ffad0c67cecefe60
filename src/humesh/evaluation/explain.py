"""A protocol in words: what `humesh evaluate --explain BENCHMARK` prints and what stands below a report."""

from __future__ import annotations

import textwrap

from humesh.evaluation.protocols import PROTOCOLS, UNITS, Protocol
from humesh.evaluation.published import published

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
_USED = {True: "3DPW's training set used", False: "without 3DPW's training set", None: "training set not stated"}


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
        facts[f"printed {i}"] = f"{row.system}: {numbers} ({row.source}; {_USED[row.used_3dpw]}{note})"
    lines = [f"{p.name}: {p.title}", f"fingerprint {p.fingerprint}"]
    for key, value in facts.items():
        lines += textwrap.wrap(f"{key:12} {value}", 110, subsequent_indent=" " * 13)
    return "\n".join(lines)
