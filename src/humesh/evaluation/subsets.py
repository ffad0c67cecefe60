"""Parts of a data set's sequences: by the start of their names and, if wanted, a range of frames."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from humesh.errors import HumeshError


class EvaluationError(HumeshError, ValueError):
    """Something that keeps a benchmark from being scored; the sentence says what was expected and what to do."""


@dataclass(frozen=True)
class Stretch:
    """The sequences whose names start so, from the frame `first` to the frame `last`, both included (None: the end)."""

    prefix: str
    first: int = 0
    last: int | None = None

    def __post_init__(self) -> None:
        if not self.prefix or self.first < 0 or (self.last is not None and self.last < self.first):
            raise ValueError(f"the frames {self.first} to {self.last} of sequences {self.prefix!r}")

    def __str__(self) -> str:
        if (self.first, self.last) == (0, None):
            return self.prefix
        return f"{self.prefix} frames {self.first} to {'the end' if self.last is None else self.last}"

    def names(self, sequence: str) -> bool:
        """Whether the sequence is one of these."""
        return sequence.startswith(self.prefix)

    def holds(self, sequence: str, frame: int) -> bool:
        """Whether the frame of the sequence is in it."""
        return self.names(sequence) and self.first <= frame and (self.last is None or frame <= self.last)


def read_stretches(path: Path, source: str) -> tuple[Stretch, ...]:
    """The stretches of a list: lines `PREFIX` or `PREFIX FIRST LAST` (# starts a remark), or the same as JSON.

    JSON: a list of prefixes, or a dictionary of prefix to [first, last]. `source`: where its owner offers it, for the
    sentence of the EvaluationError when it is missing.
    """
    if not path.is_file():
        raise EvaluationError(
            f"{path}: expected the list of this subset's sequences, found nothing; make that file of {source}, "
            "a line `PREFIX` or `PREFIX FIRST_FRAME LAST_FRAME` for each sequence, or give another with --subset."
        )
    try:
        text = path.read_text(encoding="utf-8")
        entries: Any = json.loads(text) if path.suffix == ".json" else _lines(text)
        if isinstance(entries, dict):
            entries = [[prefix, *frames] for prefix, frames in entries.items()]
        rows = [[entry] if isinstance(entry, str) else list(entry) for entry in entries]
        found = tuple(Stretch(str(row[0]), *(int(frame) for frame in row[1:])) for row in rows)
    except (OSError, ValueError, TypeError, IndexError) as error:
        raise EvaluationError(
            f"{path}: expected lines `PREFIX` or `PREFIX FIRST_FRAME LAST_FRAME` (from 0 on, the first not after the "
            f"last), or their JSON; got: {error}."
        ) from None
    if not found:
        raise EvaluationError(f"{path}: expected at least one sequence, the list is empty.")
    return found


def _lines(text: str) -> list[list[str]]:
    rows = [line.partition("#")[0].split() for line in text.splitlines()]
    return [row for row in rows if row]
