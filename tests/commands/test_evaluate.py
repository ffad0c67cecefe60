"""`humesh evaluate` as a user meets it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from humesh.body.joints import JOTR30, LIMBS12
from humesh.body.model import BodyModel
from humesh.commands.main import main
from humesh.data.synthetic.scenes import SyntheticPeople
from humesh.methods.weights import build, save_weights

SMALL = {"encoder": "test_resnet", "crop": (64, 64), "width": 48, "heads": 4, "depth": 1, "temporal": "none"}


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """The command's exit code."""
    monkeypatch.setattr("sys.argv", ["humesh", "evaluate", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def _people(folder: Path) -> dict[str, np.ndarray]:
    """The table of people that the last run in a folder kept."""
    last = max(folder.glob("humesh_evaluation/*/people.npz"), key=lambda path: path.stat().st_mtime_ns)
    with np.load(last) as kept:
        return {name.removeprefix("people/"): kept[name] for name in kept if name.startswith("people/")}


def test_weights_get_a_table_and_a_file(
    motion: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "int.safetensors"
    save_weights(weights, "int", build("int", SMALL, BodyModel.load("open-low")))
    monkeypatch.chdir(tmp_path)
    words = (weights, "synthetic", "--motion", motion, "--count", 2, "-o", tmp_path / "s.json")
    assert run(monkeypatch, *words) == 0
    first = capsys.readouterr().out
    rows = [line.split("|")[1].strip() for line in first.splitlines() if line.startswith("|")]
    assert rows[:3] == ["slice", "---", "all"]
    assert (_people(tmp_path)["pa_mpjpe"] > 0).all()
    assert run(monkeypatch, *words) == 0
    assert capsys.readouterr().out == first


def test_truth_scores_0_and_an_offset_itself(
    motion: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The people of a test of three photos as a file of predictions: their bodies, and their points, also moved."""
    monkeypatch.chdir(tmp_path)
    samples = [SyntheticPeople([motion], 3, people=(1, 2), seed=2026)[i] for i in range(3)]
    people = [(sample.name, i, person) for sample in samples for i, person in enumerate(sample.people)]
    named = {"name": np.array([name for name, *_ in people]), "person": np.array([i for _, i, _ in people])}
    fields = ("rotations", "shape", "translation")
    bodies = {f: torch.stack([getattr(person.pose, f) for *_, person in people]).numpy() for f in fields}
    joints = ("pelvis", *LIMBS12.names)
    points = torch.stack([person.points3d[JOTR30.indices(*joints)] for *_, person in people]).numpy()
    words = ("synthetic", "--motion", motion, "--count", 3, "--body", "open-low", "-o", tmp_path / "s.json")
    moved = points + np.array([0.03, 0, 0], np.float32) * (np.arange(len(joints)) > 0)[:, None]
    for expected, arrays in (
        (0, bodies),
        (0, {"points": points, "point_names": np.array(joints)}),
        (30, {"points": moved, "point_names": np.array(joints)}),
    ):
        np.savez(tmp_path / "p.npz", **named, **arrays)
        assert run(monkeypatch, tmp_path / "p.npz", *words) == 0
        got = _people(tmp_path)
        assert got["name"].tolist() == named["name"].tolist()
        assert got["mpjpe"] == pytest.approx([expected] * len(people), abs=1e-3)
        assert got["pa_mpjpe"] == pytest.approx([0] * len(people), abs=1e-3)
    assert "fed: unknown (predictions of a file)" in capsys.readouterr().out
    first = {key: array[:1] for key, array in (named | bodies).items()}
    np.savez(tmp_path / "p.npz", **first)  # nobody else is answered for
    assert run(monkeypatch, tmp_path / "p.npz", *words) == 0
    assert np.isnan(_people(tmp_path)["mpjpe"]).tolist() == [False] + [True] * (len(people) - 1)
    np.savez(tmp_path / "p.npz", **first | {"name": np.array(["another"])})
    assert run(monkeypatch, tmp_path / "p.npz", *words) == 2
    assert "expected predictions for photos such as 'scene 0', got those for 'another'" in capsys.readouterr().err


def test_wrong_words_are_told(
    motion: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, sentence in (
        ((tmp_path / "no.safetensors", "synthetic", "--motion", motion), "found no such file"),
        (("lifter", "synthetic", "--motion", tmp_path / "no.npz"), "no.npz"),
        (("lifter", "synthetic", "--motion", motion, "-o", "scores.txt"), "ends in .json"),
        (("lifter", "synthetic"), "give --motion FILE.npz"),
        (("lifter", "synthetic", "--motion", motion, "--root", tmp_path), "--root: expected no such option"),
        (
            ("lifter", "synthetic", "--motion", motion, "--count", 0),
            "--count: expected a number from 1 to 1,000,000",
        ),
        (("lifter", "synthetic", "--motion", motion, "--seed", -1), "--seed: expected a number from 0 to"),
        (("p.npz", "synthetic", "--motion", motion, "--detector", "finder"), "--detector: expected no such"),
        (("lifter", "3dpw", "-o", "x" * 300 + ".json"), "expected a name of at most 255 bytes"),
        (("lifter", "3dpw", "--motion", motion), "--motion: expected no such option for the benchmark 3dpw"),
        (
            ("lifter", "3dpw", "--count", 300, "--detector", "finder", "--seed", 2026),
            "--count, --detector, --seed: expected no such option for the benchmark 3dpw",
        ),
    ):
        assert run(monkeypatch, *words) == 2
        got = capsys.readouterr().err.strip()
        assert sentence in got
        assert len(got.splitlines()) == 1
