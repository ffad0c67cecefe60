"""Readers of what trainings write and start from: weights, checkpoints, the table of losses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from fuzzing.files import TESTS, FileReader, small_body


def _make_checkpoints(folder: Path) -> None:
    with np.load(TESTS / "data/parity/ik_refine/refiner.npz") as arrays:
        state = {key.removeprefix("w/"): torch.tensor(arrays[key]) for key in arrays.files if key.startswith("w/")}
    small = {key: value[..., :2].clone() for key, value in state.items()}
    torch.save(small, folder / "plain.pth")
    torch.save({"epoch": 3, "best": np.float64(4), "state_dict": {"module.a": torch.zeros(2)}}, folder / "wrapped.pth")
    torch.save({"network": small}, folder / "old.pth", _use_new_zipfile_serialization=False)


def _read_checkpoint(_: Path, path: Path) -> None:
    from humesh.methods.weights import WeightsError, convert, read_checkpoint

    read_checkpoint(path)
    try:
        convert(path, "ik_refine", path.with_suffix(".safetensors"))
    except WeightsError:  # tensors were left out of it, so that it is small
        return


def _make_weights(folder: Path) -> None:
    from humesh.methods.weights import build, save_weights

    small = build("lifter", {"width": 4, "blocks": 1})
    save_weights(folder / "whole.safetensors", "lifter", small, notes={"source": "made up"})
    save_weights(folder / "half.safetensors", "lifter", small, half=True)


def _read_weights(_: Path, path: Path) -> None:
    from humesh.methods.weights import load_method

    load_method(path, small_body())


_TRAININGS: dict[Path, Any] = {}


def _make_training(folder: Path) -> None:
    from dataclasses import replace

    from humesh.training.loop import Place
    from humesh.training.prepare import prepare
    from humesh.training.recipe import Source
    from humesh.training.recipes import RECIPES

    small = {"method": "lifter", "config": {"width": 4, "blocks": 1}, "data": (Source("drawn", options={"count": 8}),)}
    often = {"held_out": 2, "log_every": 1, "save_every": 1, "validate_every": 1, "precision": "float32"}
    recipe = replace(RECIPES["lite-lifter"], steps=1, batch=2, **small, **often)  # type: ignore[arg-type]
    prepare("lite-lifter", recipe, Place(folder)).run()
    kept = {path: path.read_bytes() for path in folder.glob("checkpoint-*.pt")}
    for path in sorted(folder.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    for path, content in kept.items():
        path.write_bytes(content)
    _TRAININGS[folder] = prepare("lite-lifter", recipe, Place(folder))


def _read_training(folder: Path, _: Path) -> None:
    _TRAININGS[folder].resume()


def _make_log(folder: Path) -> None:
    from humesh.training.files import Table

    for name in ("log.csv", "validation.csv"):
        table = Table(folder / name, 0)
        for step in range(3):
            table.write(step + 1, {"loss": 0.5 / (step + 1), "rate": 1e-4})


def _read_log(_: Path, path: Path) -> None:
    from humesh.training.files import Table

    Table(path, 2).write(3, {"loss": 1.0, "rate": 1e-4})


TRAINING_READERS: dict[str, FileReader] = {
    "convert_pth": FileReader(_make_checkpoints, _read_checkpoint),
    "weights": FileReader(_make_weights, _read_weights),
    "checkpoint": FileReader(_make_training, _read_training),
    "log_csv": FileReader(_make_log, _read_log),
}
