"""A benchmark run: photos in, everybody's errors out, part by part, so that a stopped run goes on where it was."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from humesh.body.joints import MPI_INF_3DHP17, SMPL24
from humesh.body.pose import Bodies
from humesh.data.sample import Dataset, LabelledPerson, Sample
from humesh.evaluation import agora, mupots
from humesh.evaluation.answers import Answer, Answers, by_overlap
from humesh.evaluation.errors import Ruler
from humesh.evaluation.estimates import Estimates, Evaluated
from humesh.evaluation.metrics import acceleration_error
from humesh.evaluation.protocols import Protocol
from humesh.evaluation.records import Records
from humesh.evaluation.subsets import EvaluationError

_AT_ONCE = 64  # people measured together: 64 SMPL meshes and their truth take 30 MB
_PART = 200  # photos that are kept together where a data set has no videos
_AHEAD = 4  # photos read while others are scored


class Chained:
    """Data sets one after the other, as one."""

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
    """A data set cut into its videos, and into runs of photos where it has none; every sample is in one part."""
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
    answer: Answer,
    keep: Path | None = None,
    share: tuple[int, int] = (0, 1),
    advance: Callable[[int], None] = lambda photos: None,
) -> list[Records]:
    """The records of a data set's parts; those found in the folder `keep` are not made again.

    `share`: this process's number and how many there are. `advance` is told of photos that are done.
    """
    parts = sorted(parts_of(dataset), key=len, reverse=True)[share[0] :: share[1]]
    found = []
    for part in parts:
        path = None if keep is None else keep / f"{part.start:07d}-{part.stop:07d}.npz"
        records = None if path is None else Records.load(path, len(ruler.protocol.joints))
        if records is None:
            records = scored(dataset, part, ruler, answer, advance)
            if path is not None:
                records.save(path)
        else:
            advance(len(part))
        found.append(records)
    return found


def scored(
    dataset: Dataset,
    part: range,
    ruler: Ruler,
    answer: Answer,
    advance: Callable[[int], None] = lambda photos: None,
) -> Records:
    """The records of one part, which is one video or no video."""
    stretches = ruler.protocol.stretches
    rows = _Rows(ruler)
    if stretches is not None and part in dataset.tracks:
        sequence = dataset[part.start].sequence  # which all of its photos are of
        if not any(stretch.names(sequence) for stretch in stretches):
            advance(len(part))
            return rows.records()

    def evaluated() -> Iterator[Evaluated]:
        for number, sample in _ahead(dataset, part):
            advance(1)
            if stretches is None or any(s.holds(sample.sequence, sample.frame) for s in stretches):
                yield number, sample, [i for i, person in enumerate(sample.people) if ruler.evaluates(person)]

    if isinstance(answer, Estimates):
        predictions = answer.over(evaluated())
    else:
        predictions = ((number, sample, wanted, answer(sample, wanted)) for number, sample, wanted in evaluated())
    for number, sample, wanted, answers in predictions:
        rows.add(number, sample, wanted, _finite(answers))
    return rows.records()


def _ahead(dataset: Dataset, numbers: range) -> Iterator[tuple[int, Sample]]:
    """The samples, the next ones being read meanwhile."""
    waiting: deque[tuple[int, Future[Sample]]] = deque()
    with ThreadPoolExecutor(2, thread_name_prefix="photos") as pool:
        for number in numbers:
            waiting.append((number, pool.submit(dataset.__getitem__, number)))
            if len(waiting) > _AHEAD:
                done, future = waiting.popleft()
                yield done, future.result()
        for done, future in waiting:
            yield done, future.result()


@dataclass
class _Rows:
    """The records of one part as they grow; whoever is matched waits until there are enough to be measured together."""

    ruler: Ruler
    people: list[tuple[str, int, int, int, int, float]] = field(default_factory=list)
    photos: list[tuple[str, int, int]] = field(default_factory=list)
    waiting: list[tuple[int, LabelledPerson, Tensor, Tensor, Tensor, Tensor]] = field(default_factory=list)
    measured: list[tuple[int, dict[str, float], np.ndarray, Tensor, Tensor]] = field(default_factory=list)

    def add(self, number: int, sample: Sample, wanted: list[int], answers: Answers) -> None:
        found = matched(self.ruler, sample, wanted, answers)
        points = self.ruler.points(answers) if found else torch.zeros(0)
        for i in wanted:
            person, row = sample.people[i], len(self.people)
            self.people.append((sample.sequence, number, i, sample.frame, person.identity, _hidden(person)))
            if (k := found.get(i)) is not None:
                bodies = answers.bodies
                told = bodies.vertices[k], bodies.joints[k], points[k], answers.translation[k]
                self.waiting.append((row, person, *told))
        self.photos.append((sample.sequence, number, len(answers.boxes) - len(found)))
        if len(self.waiting) >= _AT_ONCE:
            self._measure()

    def _measure(self) -> None:
        if not self.waiting:
            return
        rows, people, vertices, joints, points, translation = zip(*self.waiting, strict=True)
        self.waiting = []
        bodies = Bodies(torch.stack(vertices), torch.stack(joints), self.ruler.body.faces)
        errors = self.ruler(bodies, torch.stack(points), torch.stack(translation), list(people))
        tables = {name: values.tolist() for name, values in errors.metrics.items()}
        for i, row in enumerate(rows):
            metrics = {name: values[i] for name, values in tables.items()}
            joints_mm = errors.joints_mm[i].numpy()
            self.measured.append((row, metrics, joints_mm, errors.predicted[i], errors.truth[i]))

    def records(self) -> Records:
        """What is known of everybody so far."""
        self._measure()
        count, joints = len(self.people), len(self.ruler.protocol.joints)
        told = (name for name in self.ruler.protocol.metrics if name != "pve")  # which not every run can tell
        metrics = {name: np.full(count, np.nan) for name in told}
        joints_mm, missed = np.full((count, joints), np.nan), np.ones(count, bool)
        for row, values, by_joint, _, _ in self.measured:
            missed[row], joints_mm[row] = False, by_joint
            for name, value in values.items():
                metrics.setdefault(name, np.full(count, np.nan))[row] = value
        if "accel" in self.ruler.protocol.metrics:
            metrics["accel"] = self._acceleration()
        sequence, sample, person, frame, identity, hidden = zip(*self.people, strict=True) if count else ((),) * 6
        where, photo, extra = zip(*self.photos, strict=True) if self.photos else ((),) * 3
        return Records(
            sequence=np.array(sequence, dtype=np.str_),
            sample=np.array(sample, dtype=np.int64),
            person=np.array(person, dtype=np.int64),
            frame=np.array(frame, dtype=np.int64),
            identity=np.array(identity, dtype=np.int64),
            missed=missed,
            hidden=np.array(hidden, dtype=np.float64),
            joints_mm=joints_mm,
            photo_sequence=np.array(where, dtype=np.str_),
            photo=np.array(photo, dtype=np.int64),
            extra=np.array(extra, dtype=np.int64),
            metrics=metrics,
        )

    def _acceleration(self) -> Float[np.ndarray, " P"]:
        """Each person's acceleration error where the frames before and after have them too, mm/frame²."""
        found = np.full(len(self.people), np.nan)
        at = {}
        for row, _, _, predicted, truth in self.measured:
            sequence, _, _, frame, identity, _ = self.people[row]
            at[sequence, identity, frame] = row, predicted, truth
        middle = [k for k in at if (*k[:2], k[2] - 1) in at and (*k[:2], k[2] + 1) in at]
        if not middle:
            return found
        times = [[at[(*k[:2], k[2] + step)] for k in middle] for step in (-1, 0, 1)]
        predicted = torch.stack([torch.stack([points for _, points, _ in row]) for row in times], 1)
        truth = torch.stack([torch.stack([points for _, _, points in row]) for row in times], 1)
        found[[at[k][0] for k in middle]] = 1000 * acceleration_error(predicted, truth)[:, 0].numpy()
        return found


def answered(ruler: Ruler, sample: Sample, wanted: list[int], answer: Answer) -> tuple[Answers, dict[int, int]]:
    """What is said of a photo in numbers that are finite, and for places of wanted people the place of their answer."""
    answers = _finite(answer(sample, wanted))
    return answers, matched(ruler, sample, wanted, answers)


def matched(ruler: Ruler, sample: Sample, wanted: list[int], answers: Answers) -> dict[int, int]:
    """For places of wanted people in a sample, the place of the answer that is theirs; who is missing has none."""
    protocol = ruler.protocol
    if protocol.matching == "given":
        if answers.asked is not None:
            return {i: k for k, i in enumerate(answers.asked) if i in wanted}
        truths = torch.tensor(np.array([sample.people[i].seen.box for i in wanted]).reshape(-1, 4)).float()
        return {wanted[i]: k for i, k in by_overlap(truths, answers.boxes, protocol.least_iou).items()}
    tool = MPI_INF_3DHP17 if protocol.matching == "mupots" else SMPL24
    people = wanted if protocol.matching == "mupots" else list(range(len(sample.people)))
    labelled = [ruler.pixels(sample.people[i], tool.names) for i in people]
    truth_px = torch.stack(labelled) if labelled else torch.zeros(0, len(tool), 2)
    predicted_px = sample.photo.camera.project(ruler.points(answers))
    if protocol.matching == "mupots":
        found = mupots.match(truth_px, predicted_px)
    else:
        valid = torch.tensor([i in wanted for i in people], dtype=torch.bool)
        found = agora.match(truth_px, valid, predicted_px)
    return {i: k for i, k in zip(people, found.tolist(), strict=True) if k >= 0}


def _finite(answers: Answers) -> Answers:
    """The answers without those that have a coordinate that is no number: nobody can be seen there."""
    good = answers.bodies.vertices.isfinite().flatten(1).all(1)
    if answers.points is not None:
        good = answers.points.isfinite().flatten(1).all(1)
    return answers if good.all() else answers.of(good.nonzero()[:, 0].tolist())


def _hidden(person: LabelledPerson) -> float:
    """The share of the labelled points that cannot be seen."""
    known = person.points2d_weight > 0
    return float(1 - person.visible[known].mean()) if known.any() else 0.0


def check_whole(protocol: Protocol, records: Records) -> None:
    """EvaluationError where nobody was evaluated, or a part of the subset is not in the data set."""
    if not len(records):
        raise EvaluationError(
            f"{protocol.name}: expected people to evaluate, found none whose labels have what the protocol asks for; "
            "see `humesh evaluate --explain " + protocol.name + "` and check --root."
        )
    sequences = set(records.photo_sequence.tolist())
    for stretch in protocol.stretches or ():
        if not any(stretch.names(sequence) for sequence in sequences):
            raise EvaluationError(
                f"{protocol.name}: expected a sequence {stretch.prefix!r}, the data set has none of that name; check "
                "the subset's list and that every split is unpacked."
            )
