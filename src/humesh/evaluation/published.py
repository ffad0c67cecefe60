"""The numbers that papers print (published.csv), and a protocol in words: `humesh evaluate --explain BENCHMARK`."""

from __future__ import annotations

import csv
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files

from humesh.evaluation.protocols import PROTOCOLS, EvaluationError, Protocol

_USED = {"yes": True, "no": False, "": None}
_IN_WORDS = {True: "3DPW's training set used", False: "without 3DPW's training set", None: "training set not stated"}
_STAGES = {"skeleton": "skeleton only", "inverse_kinematics": "no refiner"}  # in ik_refine's table 4


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
    """The protocol's fields, the numbers printed for it, and the other protocols of its dataset."""
    apart = ("name", "title", "dataset", "readings", "assumes")
    facts = [("data", "; ".join(" ".join([protocol.dataset, *(f"{k}={v}" for k, v in r)]) for r in protocol.readings))]
    for name, value in vars(protocol).items():
        if name not in apart and value not in (None, "", (), False):
            words = f"{value:,}" if type(value) is int else str(value)
            words = ", ".join(map(str, value)) if isinstance(value, tuple) else words
            facts.append((name.replace("_", " "), words))
    facts += [("assumes", sentence) for sentence in protocol.assumes]
    others = [other.name for other in PROTOCOLS.values() if other.dataset == protocol.dataset and other is not protocol]
    facts += [("see also", f"other protocols of this dataset: {', '.join(others)}")] if others else []
    for row in published(protocol.name, ablations=True):
        numbers = ", ".join(f"{metric} {value:g}" for metric, value in row.values.items())
        note = f"; {row.note}" if row.note else ""
        facts.append(("printed", f"{row.system}: {numbers} ({row.source}; {_IN_WORDS[row.used_3dpw]}{note})"))
    lines = [f"{protocol.name}: {protocol.title}", f"fingerprint {protocol.fingerprint}"]
    for name, words in facts:
        lines += textwrap.wrap(f"{name:18} {words}", 110, subsequent_indent=" " * 19)
    return "\n".join(lines)
