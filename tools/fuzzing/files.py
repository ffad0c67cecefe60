"""What a reader is to the fuzzer, and the made-up files of the project's tests, which it damages."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from humesh.body.model import BodyModel

TESTS = Path(__file__).parents[2] / "tests"
_ANNOTATIONS = {".json", ".npz", ".npy", ".pkl", ".mat", ".txt", ".csv", ".calibration", ".tfrecord", ".bin"}


@dataclass(frozen=True)
class FileReader:
    """`make` writes valid files into an empty folder; `read` gets the folder and the one of them that was damaged."""

    make: Callable[[Path], object]
    read: Callable[[Path, Path], object]

    def prepared(self, folder: Path) -> list[Path]:
        """The files made, those that are damaged in turn; everything that reading imports has been imported."""
        self.make(folder)
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        chosen = [path for path in files if path.suffix in _ANNOTATIONS] or files
        for path in chosen:
            self.read(folder, path)  # which must not fail: these are the valid ones
        return chosen


@cache
def made_up(name: str) -> ModuleType:
    """A module of the tests, whose made-up files are used here too."""
    spec = importlib.util.spec_from_file_location(f"fuzzing_{Path(name).stem}", TESTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fixture(module: str, name: str, folder: Path, param: object = None) -> Any:
    """What a fixture of a module of the data sets' tests gives, in that folder."""
    known: dict[str, Any] = {"tmp_path": folder, "request": SimpleNamespace(param=param), "open_body": small_body()}
    monkeypatch = known["monkeypatch"] = pytest.MonkeyPatch()

    def called(wanted: str) -> Any:
        if wanted not in known:
            homes = [made_up(f"data/datasets/{home}") for home in (module, "conftest")]
            (definition, *_) = [getattr(home, wanted) for home in homes if hasattr(home, wanted)]
            function = getattr(definition, "_fixture_function", None) or inspect.unwrap(definition)
            known[wanted] = function(*map(called, inspect.signature(function).parameters))
        return known[wanted]

    made = called(name)
    if module != "test_mpi_inf_3dhp":  # whose reader needs the stand-in for h5py
        monkeypatch.undo()
    return made


@cache
def small_body() -> BodyModel:
    return BodyModel.load("open-low")
