"""`humesh evaluate` as a user meets it."""

import json
from pathlib import Path

import pytest

from humesh.body.model import BodyModel
from humesh.commands.main import main
from humesh.methods.weights import build, save_weights

SMALL = {"encoder": "resnet18", "crop": (64, 64), "width": 48, "heads": 4, "depth": 1, "temporal": "none"}


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """The command's exit code."""
    monkeypatch.setattr("sys.argv", ["humesh", "evaluate", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_weights_get_a_table_and_a_file(
    motion: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "int.safetensors"
    save_weights(weights, "int", build("int", SMALL, BodyModel.load("open-low")))
    words = (weights, "synthetic", "--motion", motion, "--count", 2, "-o", tmp_path / "s.json")
    assert run(monkeypatch, *words) == 0
    first = capsys.readouterr().out
    rows = [line.split("|")[1].strip() for line in first.splitlines() if line.startswith("|")]
    assert rows[:3] == ["slice", "---", "all"]
    people = json.loads((tmp_path / "s.json").read_text())
    assert all(person["pa_mpjpe"] > 0 for person in people)
    assert run(monkeypatch, *words) == 0
    assert capsys.readouterr().out == first


def test_wrong_words_are_told(
    motion: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, sentence in (
        ((tmp_path / "no.safetensors", "synthetic", "--motion", motion), "found no such file"),
        (("landmarks", "synthetic", "--motion", tmp_path / "no.npz"), "no.npz"),
        (("landmarks", "synthetic", "--motion", motion, "-o", "scores.txt"), "ends in .json"),
    ):
        assert run(monkeypatch, *words) == 2
        told = capsys.readouterr().err.strip()
        assert sentence in told
        assert len(told.splitlines()) == 1
