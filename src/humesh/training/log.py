"""What a run writes down of its steps."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from pathlib import Path

from humesh.files import read_text, write_text
from humesh.training.recipe import TrainingError


class Table:
    """A CSV that grows by rows; rows after a step are taken out first, so that a resumed run repeats none.

    A row that a kill cut short is left out, new columns are empty in older rows. TrainingError for a file that is no
    such table.
    """

    def __init__(self, path: Path, step: int) -> None:
        self.path, self.columns = path, list[str]()
        if path.exists():
            rows = [row for row in self._rows() if int(row["step"]) <= step]
            if self.columns:
                self._rewrite(rows)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Adds a row."""
        row = {"step": str(step), **{key: f"{value:.9g}" for key, value in values.items()}}
        new = [key for key in row if key not in self.columns]
        if new:
            rows = self._rows() if self.columns else []
            self.columns += new
            self._rewrite(rows)
        with open(self.path, "a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self.columns).writerow(row)

    def _rows(self) -> list[dict[str, str]]:
        """The whole rows of the file, whose columns become the table's."""
        what = "the table of a training"
        text = read_text(self.path, what=what, error=TrainingError)
        try:
            reader = csv.reader(io.StringIO(text[: text.rfind("\n") + 1], newline=""), strict=True)
            self.columns, *rows = [line for line in reader if line] or [[]]
        except csv.Error as error:
            raise TrainingError(f"{self.path}: expected {what}, cannot read it ({error}); move it away.") from None
        if text.strip() and self.columns[:1] != ["step"]:
            raise TrainingError(
                f"{self.path}: expected {what}, whose first column is 'step', found something else; move it away, or "
                "give another folder with -o."
            )
        whole = (row for row in rows if len(row) == len(self.columns) and re.fullmatch("[0-9]{1,12}", row[0]))
        return [dict(zip(self.columns, row, strict=True)) for row in whole]

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self.columns)
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.path, text.getvalue())
