"""Entries of label files: every number, text and list is checked when it is read; an error names file and entry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import torch

from humesh.data.datasets import DatasetError
from humesh.files import read_arrays, read_json
from humesh.geometry.camera import Camera

_MOST = 1e7  # px or mm; float32 still distinguishes neighbouring coordinates
_MOST_BOX = 1e5  # px


class Entry:
    """A value of a label file, which knows its place there; whatever is wrong with it is one DatasetError."""

    __slots__ = ("_above", "key", "value")

    def __init__(self, value: Any, above: Entry | Path, key: str | int = "") -> None:
        self.value, self.key, self._above = value, key, above

    def __getitem__(self, key: str | int) -> Entry:
        """The entry of a name, or at a place of a list."""
        value = self.value
        if isinstance(key, str):
            known = isinstance(value, Mapping) and key in value
        else:
            known = self._is_list() and 0 <= key < len(value)
        if not known:
            raise self.wrong(f"an entry {key!r}")
        return Entry(value[key], self, key)

    def get(self, key: str) -> Entry | None:
        """The entry of a name; None where there is none, or JSON's null."""
        known = isinstance(self.value, Mapping) and self.value.get(key) is not None
        return self[key] if known else None

    def __iter__(self) -> Iterator[Entry]:
        """The entries of a list, or the values of a table, in order."""
        if isinstance(self.value, Mapping):
            return (self[key] for key in self.value)
        if not self._is_list():
            raise self.wrong("a list")
        return (Entry(value, self, i) for i, value in enumerate(self.value))

    def _is_list(self) -> bool:
        return isinstance(self.value, list | tuple) or (isinstance(self.value, np.ndarray) and self.value.ndim > 0)

    def has(self, *keys: str, what: str) -> Entry:
        """Itself, a table that has these names; `what` the table is, for the sentence."""
        if missing := [key for key in keys if not isinstance(self.value, Mapping) or key not in self.value]:
            raise DatasetError(f"{self._place()}: expected {what}, it has no {', '.join(missing)}; fetch it anew.")
        return self

    def numbers(self, *shape: int, most: float = _MOST, nan: bool = False) -> np.ndarray:
        """The numbers as float64 of that shape (one length may be -1: any); `nan`: NaN may stand for missing ones."""
        expected = f"{' x '.join('N' if n < 0 else str(n) for n in shape)} finite numbers up to {most:.0e}"
        value = self.value
        try:
            foreign = isinstance(value, np.ndarray) and value.dtype.kind not in "biufO"
            if foreign or isinstance(value, str | bytes | Mapping):
                raise TypeError
            array = np.asarray(value, dtype=np.float64).reshape(shape).copy()
        except (TypeError, ValueError, OverflowError):
            raise self.wrong(expected) from None
        if not ((np.abs(array) <= most) | (nan & np.isnan(array))).all():
            raise self.wrong(expected)
        return array

    def number(self, least: float = -_MOST, most: float = _MOST) -> float:
        """A number in a range."""
        found = float(self.numbers(1)[0])
        if not least <= found <= most:
            raise self.wrong(f"a number from {least:g} to {most:g}")
        return found

    def integer(self, least: int = 0, most: int = 2**53) -> int:
        """A whole number in a range."""
        value = self.value
        if isinstance(value, np.ndarray | np.generic) and value.size == 1:
            value = value.item()
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or not least <= value <= most:
            raise self.wrong(f"a whole number from {least} to {most}")
        return int(value)

    def text(self) -> str:
        """A text that can be printed."""
        if not isinstance(self.value, str) or not self.value.isprintable():
            raise self.wrong("a text")
        return str(self.value)

    def path(self) -> str:
        """The name of a file below the dataset's folder: not absolute, and nowhere upwards."""
        name = self.text()
        if len(name.encode()) > 1000 or not 0 < max(map(len, PurePosixPath(name).parts), default=0) <= 200:
            raise self.wrong("the name of a file")
        if any(path.anchor or ".." in path.parts for path in (PurePosixPath(name), PureWindowsPath(name))):
            raise self.wrong("the name of a file inside the dataset's folder")
        return name

    def first(self, count: int) -> np.ndarray:
        """The first numbers of a list."""
        numbers = self.numbers(-1)
        if len(numbers) < count:
            raise self.wrong(f"at least {count} numbers")
        return numbers[:count]

    def box(self, corners: bool = True) -> np.ndarray:
        """A box x0 y0 x1 y1 in pixels; not `corners`: the file has x y width height."""
        box = self.numbers(4, most=_MOST_BOX)
        if not corners:
            box[2:] += box[:2]
        return box

    def camera(self) -> Camera:
        """A camera by its 3 x 3 matrix in pixels."""
        matrix = self.numbers(3, 3)
        if min(matrix[0, 0], matrix[1, 1]) < 1 or not np.allclose(matrix[[1, 2, 2, 2], [0, 0, 1, 2]], [0, 0, 0, 1]):
            raise self.wrong("the 3 x 3 matrix of a camera")
        return Camera(torch.from_numpy(matrix))

    def extrinsics(self) -> np.ndarray:
        """The 3 x 4 matrix of a rotation and a translation; the file may have a fourth row."""
        matrix = self.numbers(-1, 4)
        if not 3 <= len(matrix) <= 4:
            raise self.wrong("a matrix of 3 or 4 rows and 4 columns")
        return matrix[:3]

    def wrong(self, expected: str) -> DatasetError:
        """The error that something else was expected here."""
        return DatasetError(f"{self._place()}: expected {expected}, got {_shown(self.value)}; fetch it anew.")

    def _place(self) -> str:
        """The file, and the way to the entry in it."""
        above: Entry | Path = self
        place = ""
        while isinstance(above, Entry):
            key = above.key
            place = (f"[{key}]" if isinstance(key, int) else f".{key}" if key else "") + place
            above = above._above
        return f"{above}, {place.lstrip('.')}" if place else str(above)


def _shown(value: Any) -> str:
    """A foreign value in a few words."""
    if isinstance(value, Mapping):
        return f"a table of {', '.join(str(key)[:20] for key in list(value)[:6]) or 'nothing'}"
    if isinstance(value, np.ndarray | np.generic):
        if value.size != 1:
            return f"{value.dtype} of shape {value.shape}"
        value = value.item()
    if isinstance(value, list | tuple) and len(value) > 4:
        return f"a list of {len(value)}"
    try:
        return f"{value!r:.80}"
    except Exception as problem:  # numbers of thousands of digits cannot be printed
        return type(problem).__name__


def json_entry(path: Path, what: str) -> Entry:
    """The content of a JSON file."""
    return Entry(read_json(path, what=what, error=DatasetError), path)


def npz_entry(path: Path, what: str, *names: str, optional: tuple[str, ...] = ()) -> Entry:
    """The arrays of an NPZ file of these names, of which some may be lacking."""
    arrays = read_arrays(path, what=what, error=DatasetError, only=(*names, *optional))
    return Entry(arrays, path).has(*names, what=what)
