"""Protocols as data: fingerprints, published numbers that agree with each other and with the document."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from humesh.body.joints import H36M17, LIMBS12, LSP14, SMPL24
from humesh.data import DATASETS
from humesh.evaluation.protocols import PROTOCOLS, UNITS, Stretch
from humesh.evaluation.published import ABLATIONS, PUBLISHED, explain, published

DOCUMENT = (Path(__file__).parents[2] / "docs" / "benchmarks.md").read_text()


def test_every_benchmark_of_the_papers_is_there() -> None:
    wanted = (
        "3dpw 3dpw-oc 3dpw-pc 3dpw-crowd 3doh50k panoptic h36m-p1 h36m-p2 mpi-inf-3dhp mupots agora emdb-1 synthetic"
    )
    assert set(wanted.split()) <= set(PROTOCOLS)
    for name, protocol in PROTOCOLS.items():
        assert protocol.name == name
        assert protocol.dataset in DATASETS
        assert set(protocol.metrics) <= set(UNITS)
        known = SMPL24.names if protocol.source == "body joints" else (*H36M17.names, *LIMBS12.names, "head")
        assert {*protocol.joints, *protocol.root} <= set(known)
        text = explain(protocol)
        assert protocol.fingerprint in text
        assert max(map(len, text.splitlines())) <= 120


def test_facts_of_the_papers() -> None:
    """3DPW: 14 joints about Human3.6M's pelvis; the subset that the fact sheets give; INT's other root and truth."""
    protocol = PROTOCOLS["3dpw"]
    assert (protocol.joints, protocol.root, protocol.people) == (LSP14.names, ("pelvis",), 35_515)
    assert PROTOCOLS["3dpw-crowd"].stretches == (Stretch("courtyard_hug_00"), Stretch("courtyard_dancing_00"))
    assert PROTOCOLS["3dpw-int"].root == ("left_hip", "right_hip")
    assert PROTOCOLS["3dpw-int"].truth == "neutral body"
    assert len(PROTOCOLS["mupots"].joints) == 14


def test_a_fingerprint_changes_with_what_changes_numbers_alone() -> None:
    protocol = PROTOCOLS["3dpw"]
    same = replace(protocol, title="x", assumes=("y",), people=1)
    assert same.fingerprint == protocol.fingerprint
    for change in (
        {"root": ("left_hip", "right_hip")},
        {"truth": "neutral body"},
        {"joints": LSP14.names[:13]},
        {"least_iou": 0.2},
        {"stretches": (Stretch("a", 1, 2),)},
        {"readings": ((("split", "train"),),)},
        {"needs_keypoints": True},
        {"clip_span": 128},
    ):
        assert replace(protocol, **change).fingerprint != protocol.fingerprint, change
    prints = [protocol.fingerprint for protocol in PROTOCOLS.values()]
    assert len(set(prints)) == len(prints)


def test_published_numbers_agree_with_each_other() -> None:
    (panoptic,) = published("panoptic", "jotr")
    parts = [panoptic.values[group] for group in PROTOCOLS["panoptic"].groups]
    assert sum(parts) / 4 == pytest.approx(113.2, abs=0.05)  # not what is printed, and the note says so
    assert "113.2" in panoptic.note
    (agora,) = published("agora", "ik_refine")
    assert agora.values["mve"] / agora.values["nmve"] == pytest.approx(agora.values["f1"], abs=0.005)
    assert agora.values["mpjpe"] / agora.values["nmje"] == pytest.approx(agora.values["f1"], abs=0.005)
    every = "97.3 84.7 91.1 89.9 92.9 89.8 92.2 87.1 89.1 94.0 88.6 92.9 84.6 80.4 94.3 96.7 98.8 91.5 86.1 76.7"
    (mupots,) = published("mupots", "ik_refine")
    assert mupots.values["pck_all"] == pytest.approx(sum(map(float, every.split())) / 20, abs=0.05)
    assert published("3dpw-multi-roi", "multi_roi_authors") == published("3dpw-multi-roi", "multi_roi")
    assert {row.benchmark for row in PUBLISHED} <= set(PROTOCOLS)


def test_ablations_end_in_the_papers_main_rows() -> None:
    """The full system of a table is the one that the main table prints, where it was trained in the same way."""
    of = {row.system: row for row in ABLATIONS}
    (jotr,), (ik,) = published("3dpw-oc", "jotr"), published("3dpw", "ik_refine")
    int2 = published("3dpw-int", "int")[0].values
    assert of["JOTR, both contrasts"].values == jotr.values
    assert of["IK + refiner, N = 3"].values == ik.values
    assert of["INT, per-joint motion"].values == {name: int2[name] for name in ("pa_mpjpe", "accel")}
    assert of["JOTR, after layer 3"].values == of["JOTR, no contrast"].values
    assert of["INT, T = 64"].values == {"mpjpe": 75.9, "pa_mpjpe": 42.3, "pve": 88.5, "accel": 17.4}
    assert not [row for row in (*PUBLISHED, *ABLATIONS) if not re.search(r"tables? \d", row.source)]
    assert published("3dpw-int", "int", ablations=True)[0] == published("3dpw-int", "int")[0]
    assert "3dpw-multi-roi" in explain(PROTOCOLS["3dpw"])
    assert "h36m-multi-roi" in explain(PROTOCOLS["h36m-p1"])
    for name in ("3doh50k", "panoptic"):
        assert "labels' own" in " ".join(explain(PROTOCOLS[name]).split())


def test_lists_of_3dpw_are_half_open() -> None:
    """17 prefixes and six ranges, as the sheets count them; ranges hold at least the people that papers evaluate."""
    oc, pc = (PROTOCOLS[name].stretches or () for name in ("3dpw-oc", "3dpw-pc"))
    assert len({stretch.prefix for stretch in oc}) == 17
    assert len(pc) == 6
    frames = sum((stretch.stop or 0) - stretch.first for stretch in pc)
    assert frames <= (PROTOCOLS["3dpw-pc"].people or 0) <= 2 * frames  # of one or two people
    assert Stretch("a", 5, 7).holds("a_00", 6)
    assert not Stretch("a", 5, 7).holds("a_00", 7)


def test_the_document_prints_the_same_numbers() -> None:
    sections = dict(re.findall(r"^### `(.*?)`\n(.*?)(?=^##|\Z)", DOCUMENT, re.DOTALL | re.MULTILINE))
    used = {True: "yes", False: "no", None: "not stated"}
    for row in PUBLISHED:
        values = [f"{value:.{2 if name == 'f1' else 1}f}" for name, value in row.values.items()]
        wanted = {row.system, row.source, used[row.used_3dpw], *values}
        lines = [{cell.strip() for cell in line.split("|")} for line in sections[row.benchmark].splitlines()]
        assert any(wanted <= cells for cells in lines), row
    rows = sum(line.startswith("| ") for text in sections.values() for line in text.splitlines())
    assert rows == len(PUBLISHED) + 2 * len(sections)  # a head and a rule for each table
