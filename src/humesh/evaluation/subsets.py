"""Parts of a data set's sequences: by the start of their names and, if wanted, a range of frames."""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from pathlib import Path

from humesh.errors import HumeshError
from humesh.files import read_json, read_text

_MOST_BYTES = 2**24  # of a list


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
    what = "lines `PREFIX` or `PREFIX FIRST_FRAME LAST_FRAME` (from 0 on, the first not after the last), or their JSON"
    if path.suffix == ".json":
        entries = read_json(path, what=what, error=EvaluationError, most_bytes=_MOST_BYTES)
        if isinstance(entries, dict):
            entries = [[prefix, *frames] if isinstance(frames, list) else None for prefix, frames in entries.items()]
    else:
        entries = _lines(read_text(path, what=what, error=EvaluationError, most_bytes=_MOST_BYTES))
    if not isinstance(entries, list):
        raise EvaluationError(f"{path}: expected {what}; got: {type(entries).__name__}.")
    found = []
    for entry in entries:
        row = [entry] if isinstance(entry, str) else entry
        try:
            found.append(_stretch(*row))
        except (TypeError, ValueError) as error:
            raise EvaluationError(f"{path}: expected {what}; got: {reprlib.repr(entry)} ({error}).") from None
    if not found:
        raise EvaluationError(f"{path}: expected at least one sequence, the list is empty.")
    return tuple(found)


def _stretch(prefix: str, *frames: str | int) -> Stretch:
    """TypeError or ValueError where it is none."""
    if not isinstance(prefix, str) or not all(str(frame).isdecimal() for frame in frames):
        raise ValueError("not a name and whole numbers")
    return Stretch(prefix, *map(int, frames))


def _lines(text: str) -> list[list[str]]:
    rows = [line.partition("#")[0].split() for line in text.splitlines()]
    return [row for row in rows if row]
