"""A benchmark run: photos in, everybody's errors out, part by part, so that a stopped run goes on where it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from humesh.data.sample import Dataset, LabelledPerson, Sample
from humesh.errors import HumeshError
from humesh.evaluation.errors import Ruler
from humesh.evaluation.metrics import acceleration_error
from humesh.evaluation.predictions import Evaluated, MethodPredictor, Predictions, Predictor
from humesh.evaluation.protocols import EvaluationError, Protocol
from humesh.evaluation.synthetic import difficulties
from humesh.files import Array, read_arrays, write_arrays
from humesh.threads import ahead

_AT_ONCE = 64  # people measured together: 64 SMPL meshes and their truth take 30 MB
_PART = 200  # photos that are kept together where a dataset has no videos
_READERS = 2  # threads that read photos ahead
_PEOPLE = {
    "name": "text", "sequence": "text", "sample": "integer", "person": "integer", "frame": "integer",
    "identity": "integer", "hidden": "float", "slices": "text", "missed": "truth", "joints_mm": "float",
}  # fmt: skip
_PHOTOS = {"sequence": "text", "sample": "integer", "extra": "integer"}
_TYPES = {"text": np.str_, "integer": np.int64, "float": np.float64, "truth": np.bool_}


def _columns(protocol: Protocol) -> dict[str, dict[str, str]]:
    """The kinds of the columns of both tables."""
    return {"people": _PEOPLE | dict.fromkeys(protocol.metrics, "float"), "photos": _PHOTOS}


Columns = Mapping[str, Shaped[np.ndarray, "..."]]
"""A table: arrays of one length, by name."""


@dataclass(frozen=True, eq=False)
class Records:
    """Everybody's errors as two tables.

    `people`, missed ones included (their errors are NaN): `sample` and `person` find somebody again in the dataset;
    `hidden` is the share of the labelled points that are not visible; `slices` are the names of what makes synthetic
    people difficult, with commas between; `joints_mm` P K; then the metrics by name, unreduced. `photos`: `extra` is
    the number of predictions that belong to nobody.
    """

    people: Columns
    photos: Columns

    def __len__(self) -> int:
        return len(self.people["sample"])

    @classmethod
    def of(cls, protocol: Protocol, people: list[dict[str, Any]], photos: list[dict[str, Any]]) -> Records:
        """From rows."""
        tables: list[dict[str, np.ndarray]] = [
            {name: np.array([row[name] for row in rows], _TYPES[kind]) for name, kind in columns.items()}
            for rows, columns in zip((people, photos), _columns(protocol).values(), strict=True)
        ]
        tables[0]["joints_mm"] = tables[0]["joints_mm"].reshape(len(people), len(protocol.joints))
        return cls(*tables)

    @classmethod
    def joined(cls, parts: Sequence[Records]) -> Records:
        """All parts in the order of their samples."""
        people, photos = (
            {name: np.concatenate([getattr(part, table)[name] for part in parts]) for name in getattr(parts[0], table)}
            for table in ("people", "photos")
        )
        order, of_photos = np.lexsort((people["person"], people["sample"])), photos["sample"].argsort(kind="stable")
        return cls(taken(people, order), taken(photos, of_photos))

    def save(self, path: Path) -> None:
        """Writes a .npz file, atomically."""
        tables = (("people", self.people), ("photos", self.photos))
        write_arrays(path, {f"{table}/{name}": array for table, columns in tables for name, array in columns.items()})

    @classmethod
    def load(cls, path: Path, protocol: Protocol) -> Records | None:
        """What was saved by the same protocol; None where nothing can be read: it is then made anew."""
        tables = _columns(protocol)
        layout = {f"{table}/{name}": Array((table,), kind) for table in tables for name, kind in tables[table].items()}
        layout["people/joints_mm"] = Array(("people", len(protocol.joints)), "float")
        try:
            arrays = read_arrays(path, layout, what="the records of a benchmark", error=HumeshError)
        except HumeshError:
            return None
        return cls(*({name: arrays[f"{table}/{name}"] for name in tables[table]} for table in tables))


def taken(table: Columns, rows: Shaped[np.ndarray, " R"]) -> Columns:
    """Some rows of a table, by their numbers or a mask."""
    return {name: column[rows] for name, column in table.items()}


class Chained:
    """Datasets one after the other, as one."""

    def __init__(self, datasets: Sequence[Dataset]) -> None:
        self.datasets = list(datasets)
        self.starts = np.cumsum([0, *(len(dataset) for dataset in self.datasets)]).tolist()
        shifted = zip(self.datasets, self.starts[:-1], strict=True)
        self.tracks = tuple(range(t.start + s, t.stop + s) for dataset, s in shifted for t in dataset.tracks)

    def __len__(self) -> int:
        return self.starts[-1]

    def __getitem__(self, index: int) -> Sample:
        which = int(np.searchsorted(self.starts, index, side="right")) - 1
        return self.datasets[which][index - self.starts[which]]


def parts_of(dataset: Dataset) -> list[range]:
    """A dataset cut into its videos, and into runs of photos where it has none; every sample is in one part."""
    parts: list[range] = []
    at = 0
    for track in [*sorted(dataset.tracks, key=lambda t: t.start), range(len(dataset), len(dataset))]:
        parts += [range(s, min(s + _PART, track.start)) for s in range(at, track.start, _PART)]
        at = max(at, track.stop)
        parts += [track] if len(track) else []
    return parts


def run(
    dataset: Dataset,
    ruler: Ruler,
    predictor: Predictor,
    keep: Path | None = None,
    advance: Callable[[int], None] = lambda photos: None,
) -> Records:
    """The records of a dataset; its parts found in the folder `keep` are not made again.

    `advance` gets the number of photos that are done.
    """
    every = []
    for part in parts_of(dataset):
        path = None if keep is None else keep / f"{part.start:07d}-{part.stop:07d}.npz"
        records = None if path is None else Records.load(path, ruler.protocol)
        if records is None:
            records = scored(dataset, part, ruler, predictor, advance)
            if path is not None:
                records.save(path)
        else:
            advance(len(part))
        every.append(records)
    return Records.joined(every)


def scored(
    dataset: Dataset,
    part: range,
    ruler: Ruler,
    predictor: Predictor,
    advance: Callable[[int], None] = lambda photos: None,
) -> Records:
    """The records of one part, which is one video or no video."""
    people: list[dict[str, Any]] = []
    photos: list[dict[str, Any]] = []
    waiting: list[tuple[dict[str, Any], LabelledPerson, Predictions]] = []
    measured: list[tuple[dict[str, Any], Tensor, Tensor]] = []
    unknown = dict.fromkeys(ruler.protocol.metrics, np.nan) | {"joints_mm": [np.nan] * len(ruler.protocol.joints)}

    def measure() -> None:
        rows, labelled, predictions = zip(*waiting, strict=True)
        errors = ruler(Predictions.joined(predictions), list(labelled))
        for k, row in enumerate(rows):
            row |= {"missed": False, "joints_mm": errors.joints_mm[k].tolist()}
            row |= {name: float(values[k]) for name, values in errors.metrics.items()}
            measured.append((row, errors.predicted[k], errors.truth[k]))
        waiting.clear()

    samples = _evaluated(dataset, part, ruler, advance)
    if isinstance(predictor, MethodPredictor):
        predicted = predictor.over(samples)
    else:
        predicted = ((number, sample, places, predictor(sample, places)) for number, sample, places in samples)
    for number, sample, places, predictions in predicted:
        predictions = predictions.finite()
        matched = ruler.matched(sample, places, predictions)
        photo = {"sequence": sample.sequence, "sample": number}
        for i in places:
            person = sample.people[i]
            slices = difficulties(sample, person) if ruler.protocol.dataset == "synthetic" else ()
            row = photo | {"name": sample.name, "person": i, "frame": sample.frame, "identity": person.identity}
            row |= unknown | {"hidden": _hidden(person), "slices": ",".join(sorted(slices)), "missed": True}
            people.append(row)
            if i in matched:
                waiting.append((row, person, predictions.of([matched[i]])))
        photos.append(photo | {"extra": len(predictions.boxes) - len(matched)})
        if len(waiting) >= _AT_ONCE:
            measure()
    if waiting:
        measure()
    if "accel" in ruler.protocol.metrics:
        _add_acceleration(measured)
    return Records.of(ruler.protocol, people, photos)


def _evaluated(dataset: Dataset, part: range, ruler: Ruler, advance: Callable[[int], None]) -> Iterator[Evaluated]:
    """The samples in the protocol's stretches, the next ones being read meanwhile, with the people to evaluate."""
    stretches = ruler.protocol.stretches
    if stretches is not None and part in dataset.tracks:
        sequence = dataset[part.start].sequence  # which all of its photos are of
        if not any(stretch.names(sequence) for stretch in stretches):
            advance(len(part))
            return
    for number, waiting in zip(part, ahead(dataset.__getitem__, part, _READERS), strict=True):
        sample = waiting.result()
        advance(1)
        if stretches is None or any(s.holds(sample.sequence, sample.frame) for s in stretches):
            yield number, sample, [i for i, person in enumerate(sample.people) if ruler.evaluates(person)]


def _add_acceleration(measured: list[tuple[dict[str, Any], Tensor, Tensor]]) -> None:
    """Writes each person's acceleration error, mm/frame², into the rows with frames of theirs before and after."""
    at = {(row["sequence"], row["identity"], row["frame"]): joints for row, *joints in measured}
    for row, *_ in measured:
        three = [at.get((row["sequence"], row["identity"], row["frame"] + step)) for step in (-1, 0, 1)]
        known = [joints for joints in three if joints is not None]
        if len(known) == 3:
            predicted, truth = (torch.stack(part) for part in zip(*known, strict=True))
            row["accel"] = 1000 * float(acceleration_error(predicted, truth)[0])


def _hidden(person: LabelledPerson) -> float:
    known = person.points2d_weight > 0
    return float(1 - person.visible[known].double().mean()) if known.any() else 0.0


def check_complete(protocol: Protocol, records: Records) -> None:
    """EvaluationError where nobody was evaluated, or a part of the subset is not in the dataset."""
    if not len(records):
        raise EvaluationError(
            f"{protocol.name}: expected people to evaluate, found none whose labels have what the protocol asks for; "
            f"see `humesh evaluate --explain {protocol.name}` and check --root."
        )
    sequences = set(records.photos["sequence"].tolist())
    for stretch in protocol.stretches or ():
        if not any(stretch.names(sequence) for sequence in sequences):
            raise EvaluationError(
                f"{protocol.name}: expected a sequence {stretch.prefix!r}, the dataset has none of that name; check "
                "the subset's list and that every split is unpacked."
            )
