"""A training's checkpoints: written whole, compared with what they were, and of the same training."""

from __future__ import annotations

import json
import os
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from humesh.files import writing
from humesh.training.recipe import Recipe, TrainingError

_KEPT = 2


def checkpoints(folder: Path) -> list[Path]:
    """A run's checkpoints, oldest first."""
    found = (path for path in folder.glob("checkpoint-*.pt") if re.fullmatch(r"checkpoint-\d{7,10}\.pt", path.name))
    return sorted(found, key=lambda path: int(path.stem.partition("-")[2]))


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
    """What a checkpoint holds, on the CPU; whatever is wrong with the file may be raised."""
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()  # torch does not look at the checksums
    if damaged is not None:
        raise ValueError(f"{damaged} has changed")
    state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, dict):
        raise TypeError(f"expected a checkpoint of a training, got {type(state).__name__}")
    return state


def remove_drafts(folder: Path) -> None:
    """Removes what killed runs have begun to write; only for who holds the folder."""
    for draft in folder.glob(".humesh-checkpoint-*.pt"):
        draft.unlink()


def check_same(name: str, recipe: Recipe, state: Mapping[str, Any], folder: Path) -> None:
    """TrainingError where a checkpoint is of another recipe, or of other settings than how long to train."""
    if state["recipe"] != name:
        raise TrainingError(
            f"{folder} holds a training of the recipe {state['recipe']!r}, not of {name!r}; give another folder with "
            "-o, or start from its weights with --init."
        )
    old, new = json.loads(state["settings"]), json.loads(recipe.as_json())
    free = {"steps", "about", "lacks", "pretrained", "log_every", "validate_every", "save_every", "held_out"}
    other = sorted(key for key in old.keys() | new.keys() if key not in free and old.get(key) != new.get(key))
    if other:
        raise TrainingError(
            f"{folder} holds a training of {name!r} with other settings ({', '.join(other)}); repeat those it was "
            "started with, or give another folder with -o."
        )
