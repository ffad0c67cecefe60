"""`humesh synth` as a user meets it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from humesh.commands.main import main
from humesh.data.synthetic.shards import ShardedPeople


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """The command's exit code."""
    monkeypatch.setattr("sys.argv", ["humesh", "synth", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_shards_and_a_preview(
    motion: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet = tmp_path / "sheet.png"
    out = tmp_path / "out"
    assert run(monkeypatch, "--motion", motion, "-o", out, "--count", 4, "--size", 64, "--preview", sheet) == 0
    assert "4 photos in" in capsys.readouterr().out
    assert len(ShardedPeople(out)) == 4
    with Image.open(sheet) as image:
        assert image.width % 4 == 0
        assert np.asarray(image).std() > 5


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "expected -o FOLDER for shards or --preview"),
        (("-o", "out", "--people", 3, 2), "1 to 8 people (least first)"),
        (("-o", "out", "--count", 0), "--count: expected a number from 1 to 100,000,000, got 0"),
        (("-o", "out", "--workers", 10**9), "--workers: expected a number from 1 to 256, got 1,000,000,000"),
        (("-o", "out", "--seed", -1), "--seed: expected a number from 0 to 9,223,372,036,854,775,807, got -1"),
        (("--preview", "p.png", "--backgrounds", "empty"), "found none; give another folder"),
        (("--preview", "no/such/p.png", "--size", 32), "cannot write"),
        (("-o", "out", "--preview", "p.picture"), "--preview p.picture: expected a name that ends in .jpg or .png"),
    ],
)
def test_mistakes_are_told_in_one_sentence(
    words: tuple[object, ...],
    sentence: str,
    motion: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert run(monkeypatch, "--motion", motion, *words) == 2
    told = capsys.readouterr().err
    assert sentence in told
    assert told.count("\n") == 1
    assert not list(tmp_path.rglob("people-*"))
    assert not list(tmp_path.rglob("p.png"))


def test_degrees_stop_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "m.npz", poses=np.full((3, 24, 3), 30.0))
    assert run(monkeypatch, "--motion", tmp_path / "m.npz", "-o", tmp_path / "out") == 2
    assert "are they degrees?" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
