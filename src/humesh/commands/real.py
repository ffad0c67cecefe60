"""What `humesh evaluate` does for labelled photographs: a table, set by set, and its files."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from humesh.body.label_bodies import BodyFiles
from humesh.commands.benchmark import Run, predicted_body, write_text
from humesh.commands.errors import UserError, say_error
from humesh.commands.predict import limit_threads
from humesh.commands.progress import progress_bar
from humesh.evaluation.real import UNITS, LabelledPhoto, Row, Score, cells, read_labels, run, table
from humesh.evaluation.real_report import write_real_report
from humesh.media.photo import Photo
from humesh.people.given import GivenPeople
from humesh.people.person import Person
from humesh.recover import Recoverer
from humesh.scene.record import humesh_version


def run_real(options: Run, sets: tuple[str, ...]) -> int:
    """Scores a method on a folder of labelled photos; people who were found are kept for the next run."""
    if options.root is None:
        raise UserError("real: expected a folder of labelled photos with labels.json, got none; give it with --root.")
    if options.what.endswith(".npz"):
        raise UserError(f"{options.what}: expected a method or weights for the benchmark real, not predictions.")
    photos = _of_sets(read_labels(options.root), sets)
    body = predicted_body(options, BodyFiles(options.body))
    recoverer = Recoverer(body, weights=options.what, refine=options.refine, device=options.device)
    limit_threads(recoverer)
    find = _given(options.detections, photos) if options.detections is not None else recoverer.finder
    cache = options.keep / "real" if options.detections is None else None
    with progress_bar(transient=True) as progress:
        task = progress.add_task("photos", total=len(photos))
        scores = run(photos, recoverer, find, cache, lambda done: progress.advance(task, done))
    rows = table(scores)
    title = f"{options.what}{'' if options.refine else ' --unrefined'} on the labelled photos of {options.root}"
    print(f"{title}: {len(photos)} photos, {len(scores)} people; 95 % intervals: bootstrap over photos\n")
    head, *lines = cells(rows)
    for line in (head, ["---"] * len(head), *lines):
        print(f"| {' | '.join(line)} |")
    if options.out is not None:
        write_text(options.out, _text(options, rows, scores))
    if options.report is not None:
        write_text(options.report, write_real_report(title, rows, scores, recoverer))
    return 0


def _of_sets(photos: list[LabelledPhoto], sets: tuple[str, ...]) -> list[LabelledPhoto]:
    there = list(dict.fromkeys(photo.set for photo in photos))
    if strange := [name for name in sets if name not in there]:
        raise UserError(f"--sets {strange[0]}: expected sets of labels.json, which are {', '.join(there)}.")
    return [photo for photo in photos if not sets or photo.set in sets]


def _given(path: Path, photos: Sequence[LabelledPhoto]) -> Callable[[Photo], list[Person]]:
    """A finder that gives the people of a detections file."""
    given = GivenPeople(path)
    for note in given.match([photo.path for photo in photos]):
        say_error(note)
    return lambda photo: given.on(photo, photo.path)[0]


def _text(options: Run, rows: Sequence[Row], scores: Sequence[Score]) -> str:
    """JSON: the table and everybody; CSV: a line a person."""
    assert options.out is not None
    people = [
        {
            "set": score.photo.set,
            "image": score.photo.path.name,
            "found": score.row is not None,
            "size_px": round(score.label.size, 1),
            "pa_mpjpe_mm": None if score.pa_mpjpe is None else round(score.pa_mpjpe, 2),
            "error_2d": round(float(score.errors.mean()), 5),
        }
        for score in scores
    ]
    if options.out.suffix == ".csv":
        stream = io.StringIO()
        lines = csv.DictWriter(stream, people[0])
        lines.writeheader()
        lines.writerows(people)
        return stream.getvalue()
    numbers: list[dict[str, Any]] = []
    for row in rows:
        own = {n.name: {key: _finite(asdict(n)[key]) for key in ("ours", "low", "high")} for n in row.numbers}
        numbers.append({"set": row.name, "people": row.people, **own})
    about = {"model": options.what, "refine": options.refine, "humesh_version": humesh_version(), "units": UNITS}
    return json.dumps(about | {"sets": numbers, "people": people}, indent=1, ensure_ascii=False) + "\n"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
