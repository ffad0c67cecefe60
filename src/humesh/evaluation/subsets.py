"""Parts of a data set's sequences: by the start of their names and, if wanted, a half-open range of frames."""

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
    """The sequences whose names start so, from the frame `first` up to but not including `stop` (None: to the end)."""

    prefix: str
    first: int = 0
    stop: int | None = None

    def __post_init__(self) -> None:
        if not self.prefix or self.first < 0 or (self.stop is not None and self.stop <= self.first):
            raise ValueError(f"no frames from {self.first} up to {self.stop} of sequences {self.prefix!r}")

    def __str__(self) -> str:
        if (self.first, self.stop) == (0, None):
            return self.prefix
        return f"{self.prefix}[{self.first}:{'' if self.stop is None else self.stop}]"

    def names(self, sequence: str) -> bool:
        """Whether the sequence is one of these."""
        return sequence.startswith(self.prefix)

    def holds(self, sequence: str, frame: int) -> bool:
        """Whether the frame of the sequence is in it."""
        return self.names(sequence) and self.first <= frame and (self.stop is None or frame < self.stop)


THREEDPW_OC = (
    Stretch("courtyard_backpack"), Stretch("courtyard_basketball"), Stretch("courtyard_bodyScannerMotions"),
    Stretch("courtyard_box"), Stretch("courtyard_golf"), Stretch("courtyard_jacket"), Stretch("courtyard_laceShoe"),
    Stretch("downtown_stairs"), Stretch("flat_guitar"), Stretch("flat_packBags"), Stretch("outdoors_climbing"),
    Stretch("outdoors_crosscountry"), Stretch("outdoors_fencing"), Stretch("outdoors_freestyle"),
    Stretch("outdoors_golf"), Stretch("outdoors_parcours"), Stretch("outdoors_slalom"),
)  # fmt: skip
"""3DPW-OC (Zhang et al., CVPR 2020): 17 prefixes; written from memory, to be checked against the 20,243 people."""

THREEDPW_PC = (
    Stretch("courtyard_basketball_00", 200, 280),
    Stretch("courtyard_captureSelfies_00", 500, 600),
    Stretch("courtyard_dancing_00", 60, 370),
    Stretch("courtyard_dancing_01", 60, 270),
    Stretch("courtyard_hug_00", 100, 500),
    Stretch("downtown_bus_00", 1620, 1900),
)
"""3DPW-PC (Sun et al., ICCV 2021): six half-open ranges; written from memory, to be checked against 2,218 people."""


def read_stretches(path: Path) -> tuple[Stretch, ...]:
    """The stretches of a list: lines `PREFIX` or `PREFIX FIRST STOP` (# starts a remark), or the same as JSON.

    JSON: a list of prefixes, or a dictionary of prefix to [first, stop]. Ranges are half-open. Raises EvaluationError.
    """
    what = "lines `PREFIX` or `PREFIX FIRST STOP` (frames from 0 on, STOP is not included), or their JSON"
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
