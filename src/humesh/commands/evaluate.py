"""`humesh evaluate`: scores of a method on a test set or a benchmark of the papers."""

from __future__ import annotations

import csv
import difflib
import io
import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from humesh.commands.errors import UserError, nameable, say, within
from humesh.commands.progress import progress_bar
from humesh.evaluation.options import REAL, Options

if TYPE_CHECKING:
    from humesh.evaluation.benchmark import Outcome


def evaluate(evaluation: tyro.conf.OmitArgPrefixes[Options]) -> int:
    """Score a method by a benchmark's protocol; `humesh evaluate --explain 3dpw` prints what the number means.

    "clips" scores through time on moving keypoints without pictures (--motion, --count, --frames, --seed).
    "synthetic" scores on people that are rendered for it (--motion, --count, --detector, --seed), always the same ones
    for the same options. "real" scores on your own labelled photos, --root FOLDER with a labels.json (see
    docs/benchmarks.md). The other benchmarks read --root, the dataset as its owner gives it away; a run that was
    stopped goes on where it was.
    """
    options = evaluation
    if options.explain:
        return _explain(options.benchmark or options.what)
    _check(options)
    from humesh.commands.prediction import limit_threads
    from humesh.evaluation import benchmark

    if options.submission is not None:
        pictures, people = benchmark.submit(options, options.submission, _progress)
        say(f"wrote {options.submission}: {people} people in {pictures} pictures")
        return 0
    if options.benchmark == REAL:
        outcome = benchmark.evaluate_real(options, _progress, limit_threads)
    else:
        outcome = benchmark.evaluate(options, _progress)
    _show(options, outcome)
    return 0


def _check(options: Options) -> None:
    """UserError for options that are wrong or that the benchmark does not use."""
    if not options.what or not options.benchmark:
        raise UserError("evaluate: expected a method and a benchmark; `humesh evaluate --explain` lists these.")
    if options.benchmark != REAL:
        _known(options.benchmark)
    for option, path, endings in (
        ("-o", options.out, (".json", ".csv")),
        ("--report", options.report, (".html", ".htm")),
        ("--submission", options.submission, (".zip",)),
    ):
        if path is not None and path.suffix not in endings:
            raise UserError(f"{option} {path}: expected a name that ends in {' or '.join(endings)}.")
        nameable(option, path)
    if options.submission is not None and options.benchmark != "agora":
        raise UserError(f"--submission: expected the benchmark agora, got {options.benchmark}; leave it out.")
    if unused := options.unused():
        where = f"the benchmark {options.benchmark}" if options.submission is None else "--submission"
        raise UserError(f"{', '.join(unused)}: expected no such option for {where}; leave it out.")
    within("--count", options.count, 1, 1_000_000)
    within("--frames", options.frames, 1, 1024)
    within("--seed", options.seed, 0, 2**32 - 1)


def _known(name: str) -> None:
    """UserError, with the nearest names, where there is no such benchmark."""
    from humesh.evaluation.protocols import PROTOCOLS

    if name not in PROTOCOLS:
        near = difflib.get_close_matches(name, PROTOCOLS, 3) or list(PROTOCOLS)
        raise UserError(f"benchmark {name!r}: there is no such; did you mean {', '.join(near)}?")


def _explain(name: str) -> int:
    from humesh.evaluation.protocols import PROTOCOLS
    from humesh.evaluation.published import explain

    if name == REAL:
        from humesh.evaluation import real

        say(real.__doc__ or "")
        return 0
    if name:
        _known(name)
        say(explain(PROTOCOLS[name]))
        return 0
    for protocol in PROTOCOLS.values():
        say(f"{protocol.name:15} {protocol.fingerprint}  {protocol.title}")
    say(f"{REAL:15} {'-':10}  Your own labelled photos: --root FOLDER with labels.json, see docs/benchmarks.md.")
    return 0


@contextmanager
def _progress(photos: int) -> Iterator[Callable[[int], None]]:
    with progress_bar(transient=True) as progress:
        task = progress.add_task("photos", total=photos)
        yield lambda more: progress.advance(task, more)


def _show(options: Options, outcome: Outcome) -> None:
    """Prints the table and writes the files."""
    say("\n".join(outcome.heading) + "\n")
    head, *lines = outcome.table
    for line in (head, ["---"] * len(head), *lines):
        say(f"| {' | '.join(line)} |")
    for note in outcome.notes:
        say(note)
    if options.out is not None and options.out.suffix == ".csv":
        stream = io.StringIO()
        rows = csv.DictWriter(stream, outcome.people[0])
        rows.writeheader()
        rows.writerows(_plain(outcome.people))
        _write(options.out, stream.getvalue())
    elif options.out is not None:
        _write(options.out, json.dumps(_plain(outcome.content), indent=1, ensure_ascii=False) + "\n")
    if options.report is not None:
        _write(options.report, outcome.report())


def _write(path: Path, text: str) -> None:
    from humesh.files import write_text

    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)
    say(f"wrote {path}")


def _plain(value: Any) -> Any:
    """The same with None for NaN, which JSON does not know and CSV leaves empty."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and math.isnan(value) else value
