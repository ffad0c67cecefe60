"""What a run writes down of its steps."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Table:
    """A CSV that grows by rows; rows after a step are taken out first, so that a resumed run repeats none."""

    def __init__(self, path: Path, step: int) -> None:
        self.path, self.columns = path, list[str]()
        if path.exists():
            with open(path, newline="") as file:
                reader = csv.DictReader(file)
                self.columns = list(reader.fieldnames or [])
                rows = [r for r in reader if None not in r.values() and r["step"].isdigit() and int(r["step"]) <= step]
            self._rewrite(rows)

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        part = self.path.with_suffix(".part")
        with open(part, "w", newline="") as file:
            writer = csv.DictWriter(file, self.columns)
            writer.writeheader()
            writer.writerows(rows)
        part.replace(self.path)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Adds a row; to TensorBoard's files too, where it is installed."""
        row = {"step": str(step), **{key: f"{value:.9g}" for key, value in values.items()}}
        if not self.columns:
            self.columns = list(row)
            self._rewrite([])
        with open(self.path, "a", newline="") as file:
            csv.DictWriter(file, self.columns, extrasaction="ignore").writerow(row)
        writer = _tensorboard(self.path.parent)
        for key, value in values.items():
            if writer is not None:
                writer.add_scalar(f"{self.path.stem}/{key}", value, step)


_WRITERS: dict[Path, Any] = {}


def _tensorboard(folder: Path) -> Any:
    """TensorBoard's writer for a run, None where the package is missing."""
    if folder not in _WRITERS:
        try:
            from torch.utils.tensorboard import SummaryWriter

            _WRITERS[folder] = SummaryWriter(str(folder / "tensorboard"))
        except ImportError:
            _WRITERS[folder] = None
    return _WRITERS[folder]
