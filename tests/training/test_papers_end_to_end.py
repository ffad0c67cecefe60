"""The four papers through the command line: their recipes trained, stopped, resumed, and scored on their benchmarks.

All data are fake downloads in their owners' layouts, SMPL's files are made up, networks are small. The labels
themselves, given as predictions, score 0.
"""

from __future__ import annotations

import csv
import importlib.util
import json
import pickle
import re
import shutil
import signal
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from humesh.body.label_bodies import BodyFiles
from humesh.commands.main import main
from humesh.data import DATASETS, batch
from humesh.data.sample import LabelledPerson, Sample
from humesh.evaluation.errors import Ruler
from humesh.evaluation.protocols import PROTOCOLS
from humesh.evaluation.run import Chained
from humesh.methods.weights import read_weights
from humesh.training.loop import Training
from humesh.training.recipes import PUBLISHED


def _module(name: str) -> ModuleType:
    path = Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(f"end_to_end_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_PAPERS = _module("test_paper_data")
downloads, smpl = _PAPERS.downloads, _PAPERS.smpl

CHAINS = {
    "jotr": ("jotr-stage1", "jotr-stage2"),
    "multi_roi": ("multi_roi-r50", "multi_roi-r50-3dpw"),
    "ik_refine": ("ik_refine",),
    "int": ("int-phase1", "int-phase2", "int-phase3"),
}
BENCHMARKS = {
    "jotr": ("3dpw", "3dpw-oc", "3dpw-oc --stage layer0", "3dpw-pc", "3dpw-crowd", "3doh50k", "panoptic"),
    "multi_roi": ("3dpw-multi-roi", "h36m-multi-roi"),
    "ik_refine": ("3dpw", "3dpw-24 --stage skeleton", "mupots", "agora"),
    "int": ("3dpw-int", "3dpw-int --frames 16", "h36m-int"),
}
"""With the options of their tables."""
STEPS, STOP = 4, 2
PARTS: Mapping[str, Mapping[str, Any]] = {
    "panoptic": {
        "readings": ((("split", "test"), ("activity", "pizza"), ("cameras", (16,))),),
        "groups": ("pizza",),
    },
    "mupots": {"readings": ((("split", "test"), ("sequences", (1, 2))),)},
}
"""What the fake downloads hold of these benchmarks."""


class Spy:
    """What trainings read and which of their parameters were moved by gradients."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: set[str] = set()
        self.stop_at = 0
        self.training: Training | None = None
        as_joint_set, one_step = batch.as_joint_set, Training.one_step

        def noted(sample: Sample, *more: Any) -> Sample:
            self.names.add(sample.name)
            return as_joint_set(sample, *more)

        def step(training: Training, *more: Any) -> Any:
            self.training = training
            means = one_step(training, *more)
            if training.step == self.stop_at:
                signal.raise_signal(signal.SIGINT)
            return means

        monkeypatch.setattr(batch, "as_joint_set", noted)
        monkeypatch.setattr(Training, "one_step", step)

    def without_gradient(self) -> list[str]:
        """The trained parameters, also the discriminators', whose gradients were 0 in all steps."""
        assert self.training is not None
        found = []
        for module, optimiser in (
            (self.training.learner, self.training.optimiser),
            (self.training.discriminators, getattr(self.training.discriminators, "optimiser", None)),
        ):
            if module is None or optimiser is None:
                continue
            for name, parameter in module.named_parameters():
                state = optimiser.state.get(parameter, {})
                moment = state.get("exp_avg_sq", state.get("momentum_buffer"))
                if moment is None or not moment.any():
                    found.append(name)
        return found


def _humesh(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr("sys.argv", ["humesh", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def _words(name: str, roots: Mapping[str, Path], smpl: Path, folder: Path, init: Path | None) -> list[object]:
    """`humesh train` of a recipe at debug size, on all of its data."""
    recipe = PUBLISHED[name]
    words: list[object] = ["train", name, "-o", folder / name, "--body", smpl, "--steps", STEPS, "--batch", 14]
    words += ["--workers", 0, "--device", "cpu", "--precision", "float32", "--held-out", 1]
    for key, value in _PAPERS.SIZES[recipe.method].items():
        words += ["--set", f"{key}={value}"]
    for source in recipe.data:
        words += ["--data", f"{source.name}={roots[source.name]}"]
        if source.labels:
            words += ["--labels", f"{source.name}={_PAPERS._labels(source, roots[source.name], folder)}"]
    return words if init is None else [*words, "--init", init]


@pytest.mark.slow
@pytest.mark.parametrize("paper", CHAINS)
def test_a_paper_from_end_to_end(
    paper: str,
    roots: Mapping[str, Path],
    measured: Mapping[str, Path],
    smpl: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    weights: Path | None = None
    for name in CHAINS[paper]:
        weights = _trained(name, roots, smpl, tmp_path, weights, monkeypatch, capsys)
    for benchmark, *options in map(str.split, BENCHMARKS[paper]):
        there = replace(PROTOCOLS[benchmark], **PARTS.get(benchmark, {}))
        monkeypatch.setitem(PROTOCOLS, benchmark, there)
        _scored(benchmark, options, weights, measured[there.dataset], smpl, monkeypatch, capsys)


def _trained(
    name: str,
    roots: Mapping[str, Path],
    smpl: Path,
    folder: Path,
    init: Path | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Path:
    """The weights of a recipe that was stopped, resumed by the same command, and ended."""
    recipe, run = PUBLISHED[name], folder / name
    with monkeypatch.context() as context:
        spy, humesh = Spy(context), partial(_humesh, context)
        words = _words(name, roots, smpl, folder, init)
        assert humesh(*words, "--dry-run") == 0, capsys.readouterr().err
        assert "WARNING: the loss" not in capsys.readouterr().out
        spy.stop_at = STOP
        assert humesh(*words) == 130, capsys.readouterr().err
        spy.stop_at = 0
        assert humesh(*words) == 0, capsys.readouterr().err
    printed = capsys.readouterr().out
    assert f"stopped; the same command goes on from there at step {STOP} of {STEPS}" in printed
    assert f"going on from step {STOP} of {STEPS}" in printed
    read = {s.name: {n for n in spy.names if re.search(_PAPERS.READ[s.name], n)} for s in recipe.data}
    assert {source for source, names in read.items() if not names} == set()
    assert spy.names == set().union(*read.values())
    (row,) = csv.DictReader((run / "log.csv").read_text().splitlines())
    assert int(row["step"]) == STEPS
    assert {term for term in recipe.weights if not 0 != float(row[term]) < np.inf} == set()
    assert spy.without_gradient() == []
    header, _ = read_weights(run / "weights.safetensors")
    assert (header.method, header.body) == (recipe.method, "smpl")
    return run / "weights.safetensors"


def _scored(
    name: str,
    options: list[str],
    weights: Path | None,
    root: Path,
    smpl: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Weights on a benchmark, and the oracle: the labels of the people who are evaluated."""
    protocol, bodies = PROTOCOLS[name], BodyFiles(smpl)
    dataset = Chained([DATASETS[protocol.dataset](root=root, **dict(r), bodies=bodies.smpl) for r in protocol.readings])
    ruler = Ruler(protocol, bodies, bodies.predicted)
    samples = [dataset[i] for i in range(len(dataset))]
    words: list[object] = ["--root", root, "--body", smpl, "-o", "n.json", "--keep", "kept"]
    if protocol.stretches is not None:
        Path("list.txt").write_text(f"{samples[-1].sequence} 0 2\n")  # of the last split
        words += ["--subset", "list.txt"]
    detections = Path("detections.json")
    detections.write_text(json.dumps({s.name: [p.seen.box.tolist() for p in s.people] for s in samples}))
    given = [] if protocol.matching == "given" else ["--detections", detections]
    assert _humesh(monkeypatch, "evaluate", weights, name, *words, *given, *options) == 0, capsys.readouterr().err
    out = capsys.readouterr().out
    assert ("| pve, mm |" in out) == ("pve" in protocol.metrics and protocol.matching == "given"), out
    printed = json.loads(Path("n.json").read_text())
    assert printed["people"] > printed["missed"]
    assert printed["missed"] == 0 or given  # else a hardly trained network may be too far off
    assert [number["name"] for number in printed["numbers"] if number["ours"] is None] == []
    people = [(s.name, i, p) for s in samples for i, p in enumerate(s.people) if ruler.evaluates(p)]
    np.savez("truth.npz", **_oracle(people, ruler))
    assert _humesh(monkeypatch, "evaluate", "truth.npz", name, *words) == 0, capsys.readouterr().err
    capsys.readouterr()
    numbers = {number["name"]: number["ours"] for number in json.loads(Path("n.json").read_text())["numbers"]}
    errors = {metric: numbers[metric] for metric in ("mpjpe", "pa_mpjpe", "pve", "accel") if metric in numbers}
    assert errors == pytest.approx(dict.fromkeys(errors, 0), abs=5e-3)
    assert numbers.get("pck_all", 100) == 100 * numbers.get("f1", 1) == 100


def _oracle(people: list[tuple[str, int, LabelledPerson]], ruler: Ruler) -> dict[str, np.ndarray]:
    """The labels as a file of predictions: points where these are the truth, else bodies."""
    persons = [person for *_, person in people]
    arrays = {"name": np.array([p[0] for p in people]), "person": np.array([p[1] for p in people])}
    if ruler.protocol.truth == "annotated points":
        rows = [person.points3d[person.joint_set.indices(*ruler.names)] for person in persons]
        return arrays | {"points": torch.stack(rows).float().numpy(), "point_names": np.array(ruler.names)}
    fields = ("rotations", "shape", "translation")
    return arrays | {f: torch.stack([getattr(p.pose, f) for p in persons]).float().numpy() for f in fields}


@pytest.fixture(scope="module")
def measured(roots: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory, open_body: Any) -> Any:
    """Fake downloads of what the papers are measured on, by data set; 3DPW and CMU Panoptic are those trained on."""
    root = tmp_path_factory.mktemp("test_sets")
    for name, module in (("threedoh", "test_threedoh"), ("mupots", "test_mupots3d"), ("human36m", "test_human36m")):
        _PAPERS._made(_PAPERS._module(module), root / name, open_body)
    # Labels with fits and genders, which Multi-RoI is measured on.
    (root / "human36m/h36m_with_fits.npz").replace(root / "human36m/h36m_valid_protocol1.npz")
    with pytest.MonkeyPatch.context() as context:
        _agora(root / "agora", open_body, context)
    trained_on = {name: roots[name] for name in ("threedpw", "cmu_panoptic")}
    return {name: root / name for name in ("threedoh", "mupots", "human36m", "agora")} | trained_on


def _agora(folder: Path, body: Any, context: pytest.MonkeyPatch) -> None:
    module, write_photo = _PAPERS._module("test_agora"), _PAPERS._module("conftest").write_photo
    made = module.pandas._fixture_function(SimpleNamespace(param="pandas 1.5"), context)
    folder.mkdir()
    module.download._fixture_function(folder, body, made, write_photo._fixture_function())


@pytest.fixture(scope="module")
def roots(downloads: Mapping[str, Path]) -> Mapping[str, Path]:
    """The data that the papers train on, 3DPW with clips that are longer than INT's interval of 8 frames.

    To train on there is one more, as one is held out.
    """
    root, python2 = downloads["threedpw"], _PAPERS._module("test_threedpw").python2
    images = root / "imageFiles"
    content = pickle.loads((root / "sequenceFiles/train/walk_00.pkl").read_bytes(), encoding="latin1")
    for key in ("poses", "trans", "jointPositions", "poses2d"):
        content[key] = [np.concatenate([values] * 3) for values in content[key]]
    content["cam_poses"] = np.concatenate([content["cam_poses"]] * 3)
    content["campose_valid"], content["img_frame_ids"] = [np.ones(12, dtype=bool)] * 2, np.arange(12)
    for split, name in (("train", "long_walk_00"), ("test", "test_00")):
        (root / f"sequenceFiles/{split}/{name}.pkl").write_bytes(python2(content))
        (images / name).mkdir()
        for frame in range(12):
            shutil.copy(images / f"walk_00/image_{frame % 4:05d}.jpg", images / name / f"image_{frame:05d}.jpg")
    shutil.copytree(images / "walk_00", images / "validation_00")
    return downloads
