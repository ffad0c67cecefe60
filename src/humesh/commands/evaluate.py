"""`humesh evaluate`: scores of a method on a test set or a benchmark of the papers."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Annotated, Literal

import tyro

from humesh.commands.errors import UserError, nameable, within
from humesh.errors import HumeshError

_EXPLAIN, _REAL, _SYNTHETIC, _CLIPS = "explain", "real", "synthetic", "clips"
Detector = Literal["simulated", "finder"]
_TAKES = {  # options besides --body and --device that are used; others are refused
    _SYNTHETIC: {"refine", "motion", "count", "people", "detector", "seed", "out"},
    _CLIPS: {"motion", "count", "seed", "frames", "refine", "report", "keep", "out"},
    _REAL: {"root", "detections", "unrefined", "sets", "report", "keep", "out"},
    "--submission": {"root", "refine", "submission"},
}
_TAKEN_BY_OTHERS = {
    "root", "detections", "subset", "regressors", "against", "report", "keep", "refine", "frames", "stage", "out",
}  # fmt: skip


def evaluate(
    what: tyro.conf.Positional[str] = "",
    benchmark: tyro.conf.Positional[str] = "",
    root: Path | None = None,
    detections: Path | None = None,
    subset: Path | None = None,
    body: str = "open",
    regressors: Path | None = None,
    explain: bool = False,
    against: str = "",
    report: Path | None = None,
    submission: Path | None = None,
    keep: Path | None = None,
    device: str = "cpu",
    motion: tuple[Path, ...] = (),
    count: int | None = None,
    people: tuple[int, int] | None = None,
    detector: Detector | None = None,
    refine: bool = False,
    frames: int | None = None,
    stage: str = "",
    seed: int | None = None,
    unrefined: bool = False,
    sets: tuple[str, ...] = (),
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None,
) -> int:
    """Score a method by a benchmark's protocol; `humesh evaluate explain 3dpw` prints what the number means.

    "clips" scores through time on moving keypoints without pictures (--motion, --count, --frames, --seed).
    "synthetic" scores on people that are rendered for it (--motion, --count, --people, --detector, --seed), always the
    same ones for the same options. "real" scores on your own labelled photos, --root FOLDER with a labels.json (see
    docs/benchmarks.md). The other benchmarks read --root, the data set as its owner gives it away; a run that was
    stopped goes on where it was, and under torchrun several processes share the sequences.

    Args:
        what: A method whose weights are shipped, a weights file (.safetensors), "landmarks" (without a network), or
            anybody's predictions (.npz, see docs/benchmarks.md).
        benchmark: real, synthetic, 3dpw, 3dpw-oc, h36m-p1, mupots, agora, ...; see --explain without a name.
        root: The data set's folder.
        detections: People to give to the method instead of the benchmark's: a file as for `humesh predict`, or a folder
            with one file for each sequence.
        subset: A list of sequences and frames instead of the benchmark's own, lines PREFIX or PREFIX FIRST STOP.
        body: "open", an SMPL file, or the folder of SMPL's files (neutral, male, female) that labels speak of.
        regressors: The folder with J_regressor_h36m_correct.npy, where that does not lie beside the SMPL file.
        explain: Print the protocol (of all benchmarks: their names) and do nothing.
        against: Whose published row to compare with (a part of its name), instead of the same method's.
        report: An .html file with worst cases as pictures, and errors by joint, sequence and occlusion.
        submission: Instead of scoring: write AGORA's test server's .zip of everybody in the pictures of --root.
        keep: Where finished sequences, and people found in real photos, are kept; default: humesh_evaluation.
        device: Where networks run: cpu, cuda, cuda:1.
        motion: Motion files that nothing was trained on (.npz with `poses`).
        count: How many photos or clips; default: 300, 64 clips.
        people: Least and greatest number of people in a photo; default: 1 2.
        detector: Whose keypoints the method gets: simulated ones (the default), or the finder's on the rendered photo.
        refine: Fit a method's bodies to the keypoints afterwards, as `humesh predict --refine` does.
        frames: T, the frames that a temporal method sees together; default: the protocol's, or as it was trained.
        stage: Score an intermediate result: jotr's layer0, layer1, ...; ik_refine's skeleton or inverse_kinematics.
        seed: Another seed is another test set; default: 2026.
        unrefined: Of real photos, which are scored as `humesh predict` does them: leave out the fit to the keypoints.
        sets: Of real photos: only these sets of the labels; default: all.
        out: A .json or .csv file for the numbers; of the synthetic test a .json file of every person's.
    """
    if what == _EXPLAIN or explain:
        return _explain(benchmark or what.removeprefix(_EXPLAIN))
    if not what or not benchmark:
        raise UserError("evaluate: expected a method and a benchmark; `humesh evaluate --explain` lists these.")
    endings = {".json"} if benchmark == _SYNTHETIC else {".json", ".csv"}
    if out is not None and out.suffix not in endings:
        raise UserError(f"-o {out}: expected a name that ends in {' or '.join(sorted(endings))}.")
    if report is not None and report.suffix not in (".html", ".htm"):
        raise UserError(f"--report {report}: expected a name that ends in .html.")
    if submission is not None and (submission.suffix != ".zip" or benchmark != "agora"):
        raise UserError(f"--submission {submission}: expected a name that ends in .zip, and the benchmark agora.")
    for option, path in (("-o", out), ("--report", report), ("--submission", submission)):
        nameable(option, path)
    options = {
        "root": root, "detections": detections, "subset": subset, "regressors": regressors, "against": against,
        "report": report, "submission": submission, "keep": keep, "motion": motion, "count": count, "people": people,
        "detector": detector, "refine": refine, "frames": frames, "stage": stage, "seed": seed,
        "unrefined": unrefined, "sets": sets, "out": out,
    }  # fmt: skip
    task = benchmark if submission is None else "--submission"
    unused = [f"--{name}" for name, given in options.items() if given is not False and given not in (None, "", ())]
    unused = [option for option in unused if option[2:] not in _TAKES.get(task, _TAKEN_BY_OTHERS)]
    if unused:
        where = f"the benchmark {benchmark}" if submission is None else "--submission"
        raise UserError(f"{', '.join(unused)}: expected no such option for {where}; leave it out.")
    if detector is not None and (what.endswith(".npz") or (what == "landmarks" and detector != "finder")):
        raise UserError(f"--detector {detector}: expected no such option for {what}; leave it out.")
    keep, refine = keep or Path("humesh_evaluation"), refine or (benchmark == _REAL and not unrefined)
    if count is None:
        count = 64 if benchmark == _CLIPS else 300
    people, seed = people or (1, 2), 2026 if seed is None else seed
    within("--count", count, 1, 1_000_000)
    within("--frames", frames or 1, 1, 1024)
    within("--seed", seed, 0, 2**32 - 1)
    if not 1 <= people[0] <= people[1] <= 8:
        raise UserError(f"--people: expected 1 to 8 people, least first, got {people[0]} {people[1]}.")
    from humesh.commands.benchmark import Run, run_benchmark, submit

    run = Run(
        what, benchmark, root, detections, subset, body, regressors, against, report, keep, device, refine, out,
        frames, stage, motion, count, seed,
    )  # fmt: skip
    try:
        if benchmark == _REAL:
            from humesh.commands.real import run_real

            return run_real(run, sets)
        if benchmark == _SYNTHETIC:
            from humesh.commands.synthetic import run_synthetic

            return run_synthetic(run, motion, count, people, detector == "finder", seed)
        return run_benchmark(run) if submission is None else submit(run, submission)
    except HumeshError as error:  # of data, labels, weights, bodies and detections
        raise UserError(str(error)) from None
    except OSError as error:
        raise UserError(
            f"{error.filename or keep}: {error.strerror or error}; check the folder, or give another with --keep or -o."
        ) from None


def known_benchmark(name: str) -> None:
    """UserError, with the nearest names, where there is no such benchmark."""
    from humesh.evaluation.protocols import PROTOCOLS

    if name not in PROTOCOLS:
        near = difflib.get_close_matches(name, PROTOCOLS, 3) or list(PROTOCOLS)
        raise UserError(f"benchmark {name!r}: there is no such; did you mean {', '.join(near)}?")


def _explain(name: str) -> int:
    from humesh.evaluation.explain import explain
    from humesh.evaluation.protocols import PROTOCOLS

    if name == _REAL:
        from humesh.evaluation import real

        print(real.__doc__)
        return 0
    if name:
        known_benchmark(name)
        print(explain(PROTOCOLS[name]))
        return 0
    for protocol in PROTOCOLS.values():
        print(f"{protocol.name:15} {protocol.fingerprint}  {protocol.title}")
    print(f"{_REAL:15} {'-':10}  Your own labelled photos: --root FOLDER with labels.json, see docs/benchmarks.md.")
    return 0


def processes() -> tuple[int, int]:
    """This process's number and how many torchrun has started, (0, 1) without it."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
