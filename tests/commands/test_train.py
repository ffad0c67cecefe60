"""`humesh train` as a user meets it: what no training can have is told in a sentence, before anything is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from humesh.commands.errors import UserError
from humesh.commands.train import train
from humesh.files import locked
from humesh.training import prepare as preparing
from humesh.training.recipe import TrainingError

WRONG = {
    "seed": ({"seed": -1}, "seed: expected a number from 0 to 4,294,967,295, got -1"),
    "batch": ({"batch": 10**9}, "batch: expected a number from 1 to 16,384, got 1,000,000,000"),
    "pictures": ({"batch": 16384, "settings": ("size=512",)}, "batch 16,384: its pictures alone would take 52 GB"),
    "no batch": ({"batch": 0}, "batch: expected a number from 1 to 16,384, got 0"),
    "steps": ({"steps": 10**10}, "steps: expected a number from 1 to 1,000,000,000"),
    "NaN": ({"rate": float("nan")}, "rate: expected a number from 1e-12 to 100.0, got nan"),
    "infinite": ({"rate": float("inf")}, "rate: expected a number from 1e-12 to 100.0, got inf"),
    "workers": ({"workers": -1}, "--workers: expected a number from 0 to 256, got -1"),
    "a weight": ({"weights": ("points3d=nan",)}, "loss weights: expected numbers from 0 up, got points3d=nan"),
    "a setting": ({"settings": ("heads=0",)}, "jotr cannot have these settings"),
    "a wide one": ({"settings": ("width=-5",)}, "expected width to be a whole number from 0 to 8192, got -5"),
    "an enormous one": (
        {"settings": ("width=8192", "hidden=8192", "decoder_layers=99")},
        r"--set: expected a network of up to 4e\+09 bytes",
    ),
    "a device": ({"device": "cuda:99"}, "device 'cuda:99': expected cpu, or cuda with a GPU present"),
    "a recipe": ({"recipe": "debugg"}, "recipe: there is no 'debugg'; did you mean debug"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_no_training_can_have_is_told(tmp_path: Path, name: str) -> None:
    options, sentence = WRONG[name]
    with pytest.raises(UserError, match=sentence) as told:
        train(**{"recipe": "debug", "out": tmp_path / "run", "workers": 0, **options})
    assert len(str(told.value).splitlines()) == 1
    assert not any(tmp_path.rglob("*.*"))


def test_folders_that_cannot_be_written_are_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for out, sentence in ((tmp_path / ("x" * 300), "File name too long"), (tmp_path / "file", "File exists")):
        with pytest.raises(UserError, match=rf"{sentence}; give another folder with -o"):
            train("debug", out, workers=0)
    with locked(tmp_path / "run", "training", TrainingError), pytest.raises(UserError, match="is training in it; wait"):
        train("debug", tmp_path / "run", workers=0, steps=1)


def test_a_fault_of_ours_is_not_told_as_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fault(*_: object) -> None:
        raise ValueError("shapes do not match")

    monkeypatch.setattr(preparing, "sources", fault)
    with pytest.raises(ValueError, match="shapes do not match") as raised:
        train("debug", tmp_path, workers=0)
    assert not isinstance(raised.value, UserError)
