"""The files of a run: checkpoints of one and the same training, and tables of its steps."""

from __future__ import annotations

import csv
import io
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from humesh.files import read_text, write_text, writing
from humesh.training.recipe import Recipe, TrainingError

_KEPT = 2
_MAY_DIFFER = {"steps", "about", "lacks", "pretrained", "log_every", "validate_every", "save_every", "held_out"}


def checkpoints(folder: Path) -> list[Path]:
    """A run's checkpoints, oldest first."""
    found = {path.stem.removeprefix("checkpoint-"): path for path in folder.glob("checkpoint-*.pt")}
    return [found[number] for number in sorted(filter(str.isdecimal, found), key=int)]


def write_checkpoint(folder: Path, step: int, state: Mapping[str, Any]) -> None:
    """Writes a checkpoint and removes all but the last two; raises TrainingError."""
    path = folder / f"checkpoint-{step:07d}.pt"
    try:
        with writing(path) as draft, draft.open("wb") as file:
            torch.save(dict(state), file)
            file.flush()
            os.fsync(file.fileno())
    except (OSError, RuntimeError) as error:  # torch reports a full disk as the latter
        raise TrainingError(f"cannot write {path} ({error}); make room, then the same command goes on.") from None
    for old in checkpoints(folder)[:-_KEPT]:
        old.unlink()


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint's state on the CPU; whatever is wrong with the file may be raised."""
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()  # torch does not compare the checksums
    if damaged is not None:
        raise ValueError(f"{damaged} has changed")
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def check_same(name: str, recipe: Recipe, state: Mapping[str, Any], folder: Path) -> None:
    """TrainingError where a checkpoint is of another recipe, or of other settings than how long to train."""
    if state["recipe"] != name:
        raise TrainingError(
            f"{folder} holds a training of the recipe {state['recipe']!r}, not of {name!r}; give another folder with "
            "-o, or start from its weights with --init."
        )
    old, new = json.loads(state["settings"]), json.loads(recipe.as_json())
    other = sorted(key for key in (old | new).keys() - _MAY_DIFFER if old.get(key) != new.get(key))
    if other:
        raise TrainingError(
            f"{folder} holds a training of {name!r} with other settings ({', '.join(other)}); repeat those it was "
            "started with, or give another folder with -o."
        )


class Table:
    """A CSV file of steps; rows after a step are dropped first, so that a resumed run repeats none.

    It is replaced with each new row, so that a kill leaves all of it. TrainingError for a file that is no such table.
    """

    def __init__(self, path: Path, step: int) -> None:
        what = "the table of a training"
        text = read_text(path, what=what, error=TrainingError) if path.exists() else ""
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        try:
            rows = [row for row in reader if None not in row and row["step"].isdecimal()]
        except (csv.Error, AttributeError, KeyError):
            raise TrainingError(
                f"{path}: expected {what}, with a column 'step'; move it away, or give another folder with -o."
            ) from None
        self.path, self.rows = path, [row for row in rows if int(row["step"]) <= step]

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Adds a row; columns that older rows lack are empty there."""
        self.rows.append({"step": str(step), **{key: f"{value:.9g}" for key, value in values.items()}})
        text = io.StringIO(newline="")
        table = csv.DictWriter(text, list(dict.fromkeys(key for row in self.rows for key in row)), restval="")
        table.writeheader()
        table.writerows(self.rows)
        write_text(self.path, text.getvalue())
