"""One evaluation from its options to its outcome: data, predictor, errors, numbers, and what is written of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from humesh.body.files import H36M_FILES, SHIPPED
from humesh.body.label_bodies import BodyFiles
from humesh.body.model import BodyModel
from humesh.data import DATASETS
from humesh.data.synthetic.scenes import SyntheticPeople
from humesh.evaluation import real
from humesh.evaluation.errors import Ruler
from humesh.evaluation.options import Options
from humesh.evaluation.predictions import Detections, MethodPredictor, PredictionsFile, Predictor, Window
from humesh.evaluation.protocols import PROTOCOLS, EvaluationError, Protocol, read_stretches
from humesh.evaluation.published import Published, published, to_compare
from humesh.evaluation.report import benchmark_details, page, real_details
from humesh.evaluation.run import Chained, check_complete, run
from humesh.evaluation.submission import pictures_below, write_submission
from humesh.evaluation.summary import Row, Summary, comparison, grouped, summary, table
from humesh.evaluation.synthetic import ClipFrames
from humesh.media.photo import Photo
from humesh.methods.weights import read_weights, shipped
from humesh.people.given import GivenPeople
from humesh.recover import Recoverer
from humesh.scene.record import humesh_version
from humesh.scene.result import Result

_OF_METHODS = ("refine", "detections", "frames", "stage", "detector", "device")  # options
Progress = Callable[[int], AbstractContextManager[Callable[[int], None]]]
"""From a number of photos to a context whose function gets how many more are done."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What an evaluation prints (lines before a table, the table, lines after it), and what its files hold.

    `content`: of JSON; `people`: of CSV, a row for each person; `report`: makes the HTML page, for which the worst
    cases are predicted again.
    """

    heading: list[str]
    table: list[list[str]]
    notes: list[str]
    content: dict[str, Any]
    people: list[dict[str, Any]]
    report: Callable[[], str]


def evaluate(options: Options, progress: Progress) -> Outcome:
    """Scores a method by a protocol."""
    protocol = PROTOCOLS[options.benchmark]
    if options.subset is not None:
        protocol = replace(protocol, stretches=read_stretches(options.subset))
    dataset, bodies = _dataset(options, protocol), BodyFiles(options.body)
    body = _predicted_body(options, bodies)
    ruler = Ruler(protocol, bodies, body)
    predictor, method = _predictor(options, protocol, body)
    keep = options.keep / f"{protocol.name}-{fingerprint(options, protocol, len(dataset))}"
    keep.mkdir(parents=True, exist_ok=True)
    with progress(len(dataset)) as advance:
        records = run(dataset, ruler, predictor, keep, advance)
    check_complete(protocol, records)
    if records.people["missed"].all() and (error := predictor.matched_nobody(str(records.people["name"][0]))):
        raise error
    records.save(keep / "people.npz")
    row = to_compare(protocol.name, method, options.against, options.frames, options.stage)
    is_fed_here = isinstance(predictor, MethodPredictor) and options.detections is None
    unlike = protocol.unlike or (protocol.unlike_fed if is_fed_here else "")
    result = summary(protocol, records, row.values if row else None, compared=not unlike)
    fed = _fed(options, protocol, predictor)
    notes = [f"the network was fed: {fed}", *_notes(ruler, result, predictor, method, row)]
    if row is not None and unlike:
        notes.append(f"no difference to {row.system}: {unlike}")
    content = {
        "model": options.what, "benchmark": protocol.name, "fingerprint": protocol.fingerprint, **asdict(result),
        "people_in_paper": protocol.people, "published": asdict(row) if row else None, "notes": notes,
        "humesh_version": humesh_version(),
    }  # fmt: skip
    share_missed = 100 * result.missed / max(result.people, 1)
    heading = [
        f"{options.what} on {protocol.title}; protocol {protocol.name} {protocol.fingerprint}",
        f"{result.people:,} people{f' (the paper: {protocol.people:,})' if protocol.people else ''}, {result.missed:,} "
        f"missed ({share_missed:.1f} %), {result.extra:,} predictions of nobody",
        f"95 % intervals: bootstrap over {result.intervals_over}",
    ]
    lines = comparison(result, row.system if row else "paper")
    if protocol.dataset == "synthetic":
        rows = grouped(protocol, records, [slices.split(",") for slices in records.people["slices"].tolist()])
        lines, content = table(rows, "slice"), content | {"slices": _rows(rows)}
    after = [f"{row.system}: {row.source}"] if row else []
    after += [*(f"note: {note}" for note in notes), f"everybody's errors: {keep / 'people.npz'}"]
    names = [name for name in records.people if name != "joints_mm"]
    columns = (records.people[name].tolist() for name in names)
    people = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
    shown = [*heading[1:], *notes]
    if isinstance(predictor, MethodPredictor) and predictor.window is not None:
        shown.append("the pictures show what the method predicts of each frame by itself, not in its window")

    def report() -> str:
        details = benchmark_details(records, dataset, predictor, ruler)
        return page(f"{options.what} on {protocol.name}", lines, shown, details)

    return Outcome(heading, lines, after, content, people, report)


def evaluate_real(options: Options, progress: Progress, prepare: Callable[[Recoverer], None]) -> Outcome:
    """Scores what `humesh predict` makes of labelled photos; people who were found are kept for the next run.

    `prepare` gets the recoverer before its first photo.
    """
    if options.root is None:
        raise EvaluationError(
            "real: expected a folder of labelled photos with labels.json, got none; give it with --root."
        )
    if options.what.endswith(".npz"):
        raise EvaluationError(f"{options.what}: expected a method or weights for the benchmark real, not predictions.")
    photos = real.read_labels(options.root)
    body, notes = _predicted_body(options, BodyFiles(options.body)), list[str]()
    recoverer = Recoverer(body, weights=options.what, device=options.device)
    prepare(recoverer)
    with progress(len(photos)) as advance:
        if options.detections is None:
            fed = "the people found by humesh's own finder"
            scores = real.run(photos, recoverer, recoverer.finder, options.keep / "real", advance)
        else:
            given, fed = GivenPeople(options.detections), f"the people of {options.detections}"
            notes = given.match([photo.path for photo in photos])
            scores = real.run(photos, recoverer, lambda photo: given.on(photo, photo.path)[0], None, advance)
    rows = real.by_set(scores)
    lines = table(rows, "set")
    title = f"{options.what} on the labelled photos of {options.root}"
    people = [
        {
            "set": score.photo.set, "image": score.photo.path.name, "found": score.row is not None,
            "size_px": round(score.label.size, 1),
            "pa_mpjpe_mm": None if score.pa_mpjpe is None else round(score.pa_mpjpe, 2),
            "error_2d": round(float(score.errors.mean()), 5),
        }
        for score in scores
    ]  # fmt: skip
    content = {
        "model": options.what, "humesh_version": humesh_version(), "units": real.UNITS, "sets": _rows(rows),
        "people": people,
    }  # fmt: skip
    heading = f"{title}: {len(photos)} photos, {len(scores)} people; 95 % intervals: bootstrap over photos"

    def report() -> str:
        return page(title, lines, (heading, f"the network was fed: {fed}", *notes), real_details(scores, recoverer))

    return Outcome([heading], lines, notes, content, people, report)


def submit(options: Options, path: Path, progress: Progress) -> tuple[int, int]:
    """Writes the file for AGORA's test server from the pictures below the root; the numbers of pictures and people."""
    if options.what.endswith(".npz"):
        raise EvaluationError(f"{options.what}: expected a method or weights for --submission, not predictions.")
    pictures = pictures_below(options.root)
    body = _predicted_body(options, BodyFiles(options.body))
    recoverer = Recoverer(body, weights=options.what, refine=options.refine, device=options.device)
    path.parent.mkdir(parents=True, exist_ok=True)
    with progress(len(pictures)) as advance:

        def recover(photo: Photo) -> Result:
            advance(1)
            return recoverer(photo)

        return len(pictures), write_submission(path, pictures, recover)


def _dataset(options: Options, protocol: Protocol) -> Chained:
    if protocol.dataset in ("posed_clips", "synthetic"):
        if not options.motion:
            raise EvaluationError(
                f"{protocol.name}: expected motion that nothing was trained on, got none; give --motion FILE.npz."
            )
        seed = 2026 if options.seed is None else options.seed
        if protocol.dataset == "posed_clips":
            return Chained([ClipFrames(options.motion, options.count or 64, seed)])
        return Chained([SyntheticPeople(options.motion, options.count or 300, people=(1, 2), seed=seed)])
    if options.root is None:
        raise EvaluationError(f"{protocol.name}: expected the dataset's folder, got none; give it with --root.")
    make = DATASETS[protocol.dataset]
    dataset = Chained([make(root=options.root, **dict(reading)) for reading in protocol.readings])
    if not len(dataset):
        raise EvaluationError(
            f"{options.root}: expected photos of {protocol.dataset!r}, it has none; see `humesh data check`."
        )
    return dataset


def _predicted_body(options: Options, bodies: BodyFiles) -> BodyModel:
    """The body of the predictions, for which the weights are; EvaluationError where it is SMPL's and not given."""
    if options.what.endswith(".npz"):
        return bodies.predicted
    header, _ = read_weights(shipped().get(options.what, options.what))
    if header.body not in SHIPPED and options.body in SHIPPED:
        raise EvaluationError(f"{options.what}: the weights are for SMPL's body; give your SMPL file with --body.")
    return bodies["open"] if header.body in SHIPPED and options.body not in SHIPPED else bodies.predicted


def _predictor(options: Options, protocol: Protocol, body: BodyModel) -> tuple[MethodPredictor | PredictionsFile, str]:
    """What predicts, and the method's name in the zoo where it has one."""
    if options.what.endswith(".npz"):
        if given := [name for name in _OF_METHODS if getattr(options, name) != getattr(Options(), name)]:
            raise EvaluationError(f"--{given[0]}: expected no such option for predictions of a file; leave it out.")
        return PredictionsFile(Path(options.what), body), ""
    recoverer = Recoverer(body, weights=options.what, refine=options.refine, device=options.device)
    network, is_given = recoverer.network, protocol.matching == "given"
    if options.frames is not None and not network.spec.temporal:
        raise EvaluationError(f"--frames: expected a method that looks through time, got {options.what}; leave it out.")
    if options.frames is not None and not is_given:
        where = f"in {protocol.name} they are found photo by photo"
        raise EvaluationError(f"--frames: expected labelled people, {where}; leave it out.")
    predictor = MethodPredictor(
        recoverer,
        None if options.detections is None else Detections(options.detections),
        not is_given,
        options.stage,
        Window.of(network, protocol, options.frames) if network.spec.temporal and is_given else None,
        redetect=options.detector == "finder",
    )
    return predictor, recoverer.method


def fingerprint(options: Options, protocol: Protocol, photos: int) -> str:
    """Ten hex digits that differ where the kept parts of another run would be of no use."""
    names = ("what", "refine", "frames", "stage", "count", "detector", "seed")
    facts: list[Any] = [protocol.fingerprint, humesh_version(), photos, *(getattr(options, name) for name in names)]
    beside = [Path(options.body).parent / name for name in H36M_FILES]  # of a single body file
    weights = shipped().get(options.what, options.what)
    for given in (weights, options.root, options.detections, options.body, *beside, *options.motion):
        path = None if given is None else Path(given).resolve()
        if path is not None and path.is_file():
            with path.open("rb") as stream:
                facts.append([str(path), hashlib.file_digest(stream, "sha256").hexdigest()])
        elif path is not None and path.is_dir():
            inside = [] if given is options.root else sorted(path.iterdir())  # a few files, not a dataset's photos
            facts.append([str(path), [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in inside]])
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:10]


def _fed(options: Options, protocol: Protocol, predictor: Predictor) -> str:
    """Where the people came from that the method was given."""
    if not isinstance(predictor, MethodPredictor):
        return "unknown (predictions of a file)"
    if options.detections is not None:
        fed = f"the people of {options.detections}"
    elif protocol.dataset == "synthetic":
        fed = "the finder's keypoints" if options.detector == "finder" else "simulated keypoints"
    else:
        fed = protocol.fed if protocol.matching == "given" else "the people found by humesh's own finder"
    window = predictor.window
    return fed if window is None else f"{fed}; in windows of {window.length} frames, {window.interval} apart"


def _notes(ruler: Ruler, result: Summary, predictor: Predictor, method: str, row: Published | None) -> list[str]:
    notes, protocol = [], ruler.protocol
    are_points = isinstance(predictor, PredictionsFile) and bool(predictor.joint_names)
    if not are_points and protocol.source != "body joints" and ruler.body.name in SHIPPED:
        notes.append(f"joints of predictions by the regressor of body {ruler.body.name!r}, not of SMPL's vertices")
    names = {number.name for number in result.numbers}
    if "pve" in protocol.metrics and not {"pve", "mve"} & names and result.missed < result.people:
        why = "predictions are points" if are_points else f"the labels' mesh is not that of body {ruler.body.name!r}"
        notes.append(f"no vertex errors: {why}")
    if method and row is None:
        others = [p.name for p in PROTOCOLS.values() if p.dataset == protocol.dataset and published(p.name, method)]
        if others:
            notes.append(f"the paper of {method} is scored by the protocol {' or '.join(others)}")
    if row is not None and row.note:
        notes.append(f"{row.system}: {row.note}")
    return notes


def _rows(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """A table for JSON."""
    numbers = ({n.name: {"ours": n.ours, "low": n.low, "high": n.high} for n in row.numbers} for row in rows)
    return [{"set": row.name, "people": row.people} | own for row, own in zip(rows, numbers, strict=True)]
