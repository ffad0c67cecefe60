"""What readers of owners' formats share: a download's files and photos, and label files whose values are checked."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from PIL import Image

from humesh.body.model import BodyModel
from humesh.data.sample import Sample
from humesh.errors import HumeshError
from humesh.files import read_arrays, read_json
from humesh.geometry.camera import Camera
from humesh.media.photo import MAX_MEGAPIXELS, Photo

T = TypeVar("T")
Bodies = Mapping[str, BodyModel]
"""The user's own body models by the names in labels: {"smpl-male": BodyModel.load(path), ...}."""

_MOST = 1e7  # px or mm; float32 still distinguishes neighbouring coordinates
_MOST_BOX = 1e5  # px


class DatasetError(HumeshError, ValueError):
    """A download that cannot be read; the sentence says what was expected, what was found and what to do."""


@dataclass(frozen=True)
class Files:
    """Files of a download: glob patterns below its root, joined by "|", and how many there are at least (if unsure: 1).

    `part`: what the owner's page calls the part that holds them. `needed`: the reader cannot do without them.
    """

    pattern: str
    least: int = 1
    part: str = ""
    needed: bool = True

    def found(self, root: Path) -> Iterator[Path]:
        """The files there are, in no order; hidden ones (unpackers leave them) do not count."""
        for pattern in self.pattern.split("|"):
            yield from (path for path in root.glob(pattern) if not path.name.startswith("."))


class PhotoDataset:
    """A dataset in its owner's format below `root`; a subclass lists its photos in `rows` and reads one by number.

    `page`: where the owner offers it. `parts`: the files of a complete download. `bodies`: the user's, for sets with
    SMPL fits. DatasetError for an unknown split.
    """

    name: ClassVar[str]
    splits: ClassVar[Collection[str]]
    page: ClassVar[str]
    parts: ClassVar[tuple[Files, ...]]
    rows: Sequence[Any]
    tracks: tuple[range, ...] = ()

    def __init__(self, root: str | Path, split: str, bodies: Bodies | None = None) -> None:
        if split not in self.splits:
            raise DatasetError(f"{self.name}: expected the split {' or '.join(self.splits)}, got {split!r}.")
        self.root, self.split, self.bodies = Path(root), split, bodies or {}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Sample:
        raise NotImplementedError

    def files(self, *patterns: str, folder: Path | None = None) -> list[Path]:
        """The files of the first glob pattern below a folder (the root) that has any, by name; or DatasetError."""
        root = self.root if folder is None else folder
        for pattern in patterns:
            if found := sorted(Files(pattern).found(root)):
                return found
        there = ", ".join(sorted(path.name for path in root.iterdir())[:6]) if root.is_dir() else "no such folder"
        raise DatasetError(
            f"{root}: expected {' or '.join(patterns)}, found {there or 'an empty folder'}; give the folder where the "
            f"download was unpacked, or fetch it from {self.page}."
        )


def stored_photo(source: Path | io.BytesIO, camera: Camera | None = None, name: str = "") -> Photo:
    """A photo as its labels mean it: the stored pixels in RGB, without the rotation that EXIF asks for.

    `camera`: with which it was taken, else it is guessed. `name`: of a source in memory.
    """
    try:
        with Image.open(source) as image:
            if image.width * image.height > 1e6 * MAX_MEGAPIXELS:
                raise ValueError(f"{image.width} x {image.height} pixels")
            return Photo.of(np.array(image.convert("RGB")), camera)
    except FileNotFoundError:
        raise DatasetError(f"{source}: expected an image that the labels name, found nothing; fetch it anew.") from None
    except Exception as error:  # Pillow's readers raise anything on damaged images
        where = name or source
        raise DatasetError(f"{where}: expected an image, it is damaged or none ({error}); fetch it anew.") from error


def loaded(path: Path, read: Callable[[Path], T], what: str) -> T:
    """A label file, read; whatever a damaged or foreign one raises becomes one sentence."""
    try:
        return read(path)
    except DatasetError:
        raise
    except Exception as error:  # readers of foreign formats have no common base of errors
        why = " ".join(str(error).split()) or type(error).__name__
        raise DatasetError(f"{path}: expected {what}, could not read it ({why}); fetch it anew.") from error


def runs(keys: Sequence[tuple[str | int, int]], step: int = 1) -> tuple[range, ...]:
    """The `tracks` of frames (video, frame number) in order: two or more of one video that are `step` apart."""
    breaks = [i for i in range(1, len(keys)) if keys[i] != (keys[i - 1][0], keys[i - 1][1] + step)]
    ends = zip([0, *breaks], [*breaks, len(keys)], strict=True)
    return tuple(range(start, end) for start, end in ends if end - start > 1)


class Entry:
    """A value of a label file, which knows its place there; whatever is wrong with it is one DatasetError."""

    __slots__ = ("_above", "key", "value")

    def __init__(self, value: Any, above: Entry | Path, key: str | int = "") -> None:
        self.value, self.key, self._above = value, key, above

    @classmethod
    def json(cls, path: Path, what: str) -> Entry:
        """The content of a JSON file."""
        return cls(read_json(path, what=what, error=DatasetError), path)

    @classmethod
    def npz(cls, path: Path, what: str, *names: str, optional: tuple[str, ...] = ()) -> Entry:
        """The arrays of an NPZ file of these names, and of optional ones."""
        arrays = read_arrays(path, what=what, error=DatasetError, only=(*names, *optional))
        return cls(arrays, path).has(*names, what=what)

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
