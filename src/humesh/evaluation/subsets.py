"""Parts of a dataset's sequences: by the start of their names and, if wanted, a half-open range of frames."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from humesh.errors import HumeshError
from humesh.files import read_text


class EvaluationError(HumeshError, ValueError):
    """Something that keeps a benchmark from being scored; the sentence names what was expected and what to do."""


@dataclass(frozen=True)
class Stretch:
    """The sequences whose names start so, from the frame `first` up to but not including `stop` (None: to the end)."""

    prefix: str
    first: int = 0
    stop: int | None = None

    def __post_init__(self) -> None:
        if not self.prefix or self.first < 0 or (self.stop is not None and self.stop <= self.first):
            raise EvaluationError(f"no frames from {self.first} up to {self.stop} of sequences {self.prefix!r}")

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


_OC = (
    "courtyard_backpack", "courtyard_basketball", "courtyard_bodyScannerMotions", "courtyard_box", "courtyard_golf",
    "courtyard_jacket", "courtyard_laceShoe", "downtown_stairs", "flat_guitar", "flat_packBags", "outdoors_climbing",
    "outdoors_crosscountry", "outdoors_fencing", "outdoors_freestyle", "outdoors_golf", "outdoors_parcours",
    "outdoors_slalom",
)  # fmt: skip
THREEDPW_OC = tuple(map(Stretch, _OC))
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
    """The stretches of a list: lines `PREFIX` or `PREFIX FIRST STOP`; # starts a remark. Raises EvaluationError."""
    what = "lines `PREFIX` or `PREFIX FIRST STOP` (frames from 0 on, STOP is not included)"
    text = read_text(path, what=what, error=EvaluationError, most_bytes=2**24)
    stretches = []
    for line in text.splitlines():
        prefix, *frames = line.partition("#")[0].split() or [""]
        if not prefix:
            continue
        if len(frames) > 2 or not all(len(frame) < 19 and frame.isdecimal() for frame in frames):
            raise EvaluationError(f"{path}: expected {what}; got: {line.strip()[:80]!r}.")
        try:
            stretches.append(Stretch(prefix, *map(int, frames)))
        except EvaluationError as error:
            raise EvaluationError(f"{path}: expected {what}; got {error}.") from None
    if not stretches:
        raise EvaluationError(f"{path}: expected at least one sequence, the list is empty.")
    return tuple(stretches)
