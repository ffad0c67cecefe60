"""What `humesh evaluate` does for the papers' benchmarks: one run, its table and its files."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from torch import distributed

from humesh.body.files import H36M_FILES, SHIPPED
from humesh.body.label_bodies import BodyFiles
from humesh.body.model import BodyModel
from humesh.commands.errors import UserError
from humesh.commands.evaluate import known_benchmark, processes
from humesh.commands.progress import progress_bar
from humesh.data import DATASETS
from humesh.evaluation.agora_submission import write_submission
from humesh.evaluation.answers import Answer, Detections, PredictionsFile
from humesh.evaluation.clips import ClipFrames
from humesh.evaluation.errors import Ruler
from humesh.evaluation.estimates import Estimates, Window
from humesh.evaluation.protocols import PROTOCOLS, Protocol
from humesh.evaluation.published import Published, published
from humesh.evaluation.records import Records
from humesh.evaluation.report import write_report
from humesh.evaluation.score import Chained, check_whole, run
from humesh.evaluation.subsets import EvaluationError, read_stretches
from humesh.evaluation.summary import MISSED_MM, Summary, summary
from humesh.files import write_bytes
from humesh.media.photo import Photo
from humesh.methods.weights import read_weights, shipped
from humesh.people.person import Person
from humesh.recover import LANDMARKS, Recoverer
from humesh.scene.record import humesh_version
from humesh.scene.result import Result

_STAGES = {"skeleton": "skeleton only", "inverse_kinematics": "no refiner"}  # in ik_refine's table 4


@dataclass(frozen=True)
class Run:
    """The command's options; see `humesh.commands.evaluate.evaluate`."""

    what: str
    benchmark: str
    root: Path | None
    detections: Path | None
    subset: Path | None
    body: str
    regressors: Path | None
    against: str
    report: Path | None
    keep: Path
    device: str
    refine: bool
    out: Path | None
    frames: int | None = None
    stage: str = ""
    motion: tuple[Path, ...] = ()
    count: int = 64
    seed: int = 2026


def run_benchmark(options: Run) -> int:
    """Scores, prints the table, writes the files; the first process does the telling."""
    known_benchmark(options.benchmark)
    protocol = PROTOCOLS[options.benchmark]
    if options.regressors is not None and protocol.source == "body joints":
        raise UserError(f"--regressors: expected no such option for {protocol.name}; leave it out.")
    if options.subset is not None:
        protocol = replace(protocol, stretches=read_stretches(options.subset))
    dataset = _dataset(options, protocol)
    bodies = BodyFiles(options.body)
    body = predicted_body(options, bodies)
    ruler = Ruler(protocol, bodies, body, options.regressors)
    answer, method = answers_of(options, protocol, body)
    rank, world = processes()
    folder = options.keep / f"{protocol.name}-{_key(options, protocol, len(dataset))}"
    folder.mkdir(parents=True, exist_ok=True)
    with _progress(len(dataset) // world, rank) as advance:
        found = run(dataset, ruler, answer, folder, (rank, world), advance)
    everything = _gathered(found, world)
    if rank > 0:
        return 0
    records = Records.joined(everything)
    check_whole(protocol, records)
    if records.missed.all():
        _tell_of_others(options, answer, dataset[int(records.sample[0])].name)
    records.save(folder / "people.npz")
    row = _row(protocol.name, method, options)
    fed_here = isinstance(answer, Estimates) and options.detections is None
    unlike = protocol.unlike or (protocol.unlike_fed if fed_here else "")
    result = summary(protocol, records, row.values if row else None, compared=not unlike)
    notes = [f"the network was fed: {_fed(options, protocol, answer)}", *_notes(ruler, records, answer, method, row)]
    if row is not None and unlike:
        notes.append(f"no difference to {row.system}: {unlike}")
    _print(options.what, protocol, result, row, notes, folder / "people.npz")
    if options.out is not None:
        write_text(options.out, _text(options, protocol, result, row, notes))
    if options.report is not None:
        title = f"{options.what} on {protocol.name}"
        if isinstance(answer, Estimates) and answer.window is not None:
            notes.append("the pictures show what the method predicts of each frame by itself, not in its window")
        write_text(options.report, write_report(protocol, records, result, dataset, answer, ruler, title, notes))
    return 0


def submit(options: Run, path: Path) -> int:
    """Writes AGORA's submission file from the pictures below the root, which have no labels."""
    found = [] if options.root is None else options.root.rglob("*.png")
    photos = sorted(path for path in found if not path.name.startswith("."))
    if not photos:
        told = options.root or "(not given)"
        raise UserError(f"--root {told}: expected a folder with AGORA's test pictures (.png), found none.")
    bodies = BodyFiles(options.body)
    body = predicted_body(options, bodies)
    recoverer = Recoverer(body, weights=options.what, refine=options.refine, device=options.device)
    with _progress(len(photos), 0) as advance:

        def recover(photo: Photo) -> Result:
            advance(1)
            return recoverer(photo)

        done, people = write_submission(path, photos, recover)
    print(f"wrote {path}: {people} people of {done} pictures")
    return 0


def _dataset(options: Run, protocol: Protocol) -> Chained:
    if protocol.dataset == "posed_clips":
        if not options.motion:
            raise UserError("clips: expected motion that nothing was trained on, got none; give --motion FILE.npz.")
        return Chained([ClipFrames(options.motion, options.count, options.seed)])
    if options.root is None:
        raise UserError(f"{protocol.name}: expected the data set's folder, got none; give it with --root.")
    make = DATASETS[protocol.dataset]
    dataset = Chained([make(root=options.root, **dict(reading)) for reading in protocol.readings])
    if not len(dataset):
        raise EvaluationError(
            f"{options.root}: expected photos of {protocol.dataset!r}, it has none; see `humesh data check`."
        )
    return dataset


def _fed(options: Run, protocol: Protocol, answer: Answer) -> str:
    """Where the people came from that the method was given."""
    if not isinstance(answer, Estimates):
        return "unknown (predictions of a file)"
    if options.detections is not None:
        fed = f"the people of {options.detections}"
    else:
        fed = protocol.fed if protocol.matching == "given" else "the people whom humesh's own finder found"
    window = answer.window
    return fed if window is None else f"{fed}; in windows of {window.length} frames, {window.interval} apart"


def predicted_body(options: Run, bodies: BodyFiles) -> BodyModel:
    """The body of the predictions, for which the weights are; EvaluationError where it is SMPL's and not given."""
    if options.what == LANDMARKS or options.what.endswith(".npz"):
        return bodies.predicted
    header, _ = read_weights(shipped().get(options.what, options.what))
    if header.body not in SHIPPED and options.body in SHIPPED:
        raise EvaluationError(f"{options.what}: the weights are for SMPL's body; give your SMPL file with --body.")
    return bodies["open"] if header.body in SHIPPED and options.body not in SHIPPED else bodies.predicted


def answers_of(options: Run, protocol: Protocol, body: BodyModel) -> tuple[Answer, str]:
    """Who answers, and the method's name in the zoo where it has one."""
    if options.what.endswith(".npz"):
        given = {"--refine": options.refine, "--detections": options.detections, "--frames": options.frames,
                 "--stage": options.stage, "--device": options.device != "cpu"}  # fmt: skip
        if unused := [option for option, value in given.items() if value]:
            raise UserError(f"{unused[0]}: expected no such option for predictions of a file; leave it out.")
        return PredictionsFile(Path(options.what), body), ""
    device = options.device
    if device == "cuda" and processes()[1] > 1:
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    recoverer = Recoverer(body, weights=options.what, refine=options.refine, device=device)
    detections = None if options.detections is None else Detections(options.detections)
    network = recoverer.network

    def find(photo: Photo) -> list[Person]:
        return recoverer.finder(photo)

    temporal = network is not None and network.spec.temporal
    if options.frames is not None and not temporal:
        raise UserError(f"--frames: expected a method that looks through time, got {options.what}; leave it out.")
    window = Window.of(network, protocol, options.frames) if network is not None and temporal else None
    found = None if protocol.matching == "given" else find
    estimates = Estimates(recoverer, detections, found, options.stage, window)
    return estimates, "" if options.what == LANDMARKS else recoverer.method


def _key(options: Run, protocol: Protocol, photos: int) -> str:
    """Ten hex digits that differ where the kept parts of another run would be of no use."""
    told: dict[str, Any] = {"protocol": protocol.fingerprint, "version": humesh_version(), "photos": photos}
    told |= {name: getattr(options, name) for name in ("refine", "what", "frames", "stage", "count", "seed")}
    files = {name: getattr(options, name) for name in ("what", "root", "detections", "body", "regressors")}
    files |= {f"motion {i}": path for i, path in enumerate(options.motion)}
    files |= {name: Path(options.body).parent / name for name in H36M_FILES}  # where a single body file has it
    for name, given in files.items():
        given = shipped().get(given, given) if name == "what" else given
        if given is None or not Path(given).exists():
            continue
        path = Path(given).resolve()
        told[f"{name} at"] = str(path)
        if path.is_file():
            with path.open("rb") as stream:
                told[f"{name} file"] = hashlib.file_digest(stream, "sha256").hexdigest()
        elif name != "root":  # folders of a few files, not of photos
            stats = {p.name: p.stat() for p in path.iterdir()}
            told[f"{name} files"] = {p: (stat.st_size, stat.st_mtime_ns) for p, stat in stats.items()}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:10]


@contextmanager
def _progress(photos: int, rank: int) -> Iterator[Callable[[int], None]]:
    with progress_bar(transient=True, disable=rank > 0) as progress:
        task = progress.add_task("photos", total=photos)
        yield lambda done: progress.advance(task, done)


def _gathered(found: list[Records], world: int) -> list[Records]:
    """All processes' records, in the first one; it waits for the slowest, a day at most."""
    if world == 1:
        return found
    distributed.init_process_group("gloo", timeout=timedelta(days=1))
    try:
        every: list[Any] | None = [None] * world if distributed.get_rank() == 0 else None
        distributed.gather_object(found, every)
        return [] if every is None else [records for part in every for records in part]
    finally:
        distributed.destroy_process_group()


def _tell_of_others(options: Run, answer: Answer, name: str) -> None:
    """EvaluationError where nobody was matched because predictions or detections are for other photos."""
    if isinstance(answer, PredictionsFile):
        answer.tell_of_others(name)
    if options.detections is not None:
        raise EvaluationError(
            f"--detections {options.detections}: expected people in photos such as {name!r}, nobody was matched; check "
            "that photos are named so and boxes are in pixels of the stored photo."
        )


def _row(benchmark: str, method: str, options: Run) -> Published | None:
    """The published row to compare with: as --against says, that of the option's value in a table, or the main one."""
    against, every = options.against, published(benchmark, ablations=True)
    rows = published(benchmark, method) if method or against else []
    if not against and (options.frames or options.stage):
        stage = _STAGES.get(options.stage, options.stage.replace("layer", "after layer "))
        named = f"T = {options.frames}" if options.frames else stage
        rows = [row for row in every if method == row.method and row.system.endswith(named)]
    if against:
        rows = [row for row in every if against.lower() in row.system.lower()]
        if not rows:
            known = ", ".join(row.system for row in every) or "none"
            raise UserError(f"--against {against}: expected a part of a published row's name, there are: {known}.")
    return rows[0] if rows else None


def _notes(ruler: Ruler, records: Records, answer: Answer, method: str, row: Published | None) -> list[str]:
    notes, protocol = [], ruler.protocol
    points = isinstance(answer, PredictionsFile) and bool(answer.point_names)
    if not points and ruler.joints.of_open_body(ruler.body):
        notes.append(f"joints of predictions by the regressor of body {ruler.body.name!r}, not of SMPL's vertices")
    if "pve" in protocol.metrics and "pve" not in records.metrics and not records.missed.all():
        why = "predictions are points" if points else f"the labels' mesh is not that of body {ruler.body.name!r}"
        notes.append(f"no vertex errors: {why}")
    if method and row is None:
        others = [p.name for p in PROTOCOLS.values() if p.dataset == protocol.dataset and published(p.name, method)]
        if others:
            notes.append(f"the paper of {method} is scored by the protocol {' or '.join(others)}")
    if row is not None and row.note:
        notes.append(f"{row.system}: {row.note}")
    return notes


def _print(what: str, protocol: Protocol, result: Summary, row: Published | None, notes: list[str], kept: Path) -> None:
    paper = "" if protocol.people is None else f" (the paper: {protocol.people:,})"
    share = 100 * result.missed / max(result.people, 1)
    print(f"{what} on {protocol.title}; protocol {protocol.name} {protocol.fingerprint}")
    missed = f"{result.missed:,} missed ({share:.1f} %), {result.extra:,} predictions of nobody"
    print(f"{result.people:,} people{paper}, {missed}")
    print(f"95 % intervals: bootstrap over {result.clusters}\n")
    everyone = f" all, missed as {MISSED_MM:g} mm |" if result.missed else ""
    print(f"| number | ours | 95 % interval |{everyone} {row.system if row else 'paper'} | difference |")
    print("| --- | --- | --- | --- | --- |" + " --- |" * bool(everyone))
    for n in result.numbers:
        name, digits = (f"{n.name}, {n.unit}", 1) if n.unit else (n.name, 2)
        ours, low, high, every, theirs, apart = (
            "-" if value is None or math.isnan(value) else f"{value:{sign}.{digits}f}"
            for value, sign in zip(
                (n.ours, n.low, n.high, n.everyone, n.paper, n.difference), ("", "", "", "", "", "+"), strict=True
            )
        )
        between = "-" if low == "-" else f"{low} to {high}"
        print(f"| {name} | {ours} | {between} |{f' {every} |' if everyone else ''} {theirs} | {apart} |")
    if row is not None:
        print(f"\n{row.system}: {row.source}")
    for note in notes:
        print(f"note: {note}")
    print(f"everybody's errors: {kept}")


def _text(options: Run, protocol: Protocol, result: Summary, row: Published | None, notes: list[str]) -> str:
    assert options.out is not None
    numbers = [asdict(number) | {"difference": number.difference} for number in result.numbers]
    numbers = [{k: None if isinstance(v, float) and math.isnan(v) else v for k, v in n.items()} for n in numbers]
    about = {
        "model": options.what, "benchmark": protocol.name, "fingerprint": protocol.fingerprint,
        "people": result.people, "people_in_paper": protocol.people, "missed": result.missed, "extra": result.extra,
        "intervals_over": result.clusters,
    }  # fmt: skip
    if options.out.suffix == ".json":
        whole = about | {"numbers": numbers, "published": asdict(row) if row else None, "notes": notes}
        return json.dumps(whole | {"humesh_version": humesh_version()}, indent=1, ensure_ascii=False) + "\n"
    stream = io.StringIO()
    table = csv.DictWriter(stream, [*about, *numbers[0]])
    table.writeheader()
    table.writerows(about | number for number in numbers)
    return stream.getvalue()


def write_text(path: Path, text: str) -> None:
    """A file that is there whole or not at all, and a word about it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, text.encode())
    print(f"wrote {path}")
