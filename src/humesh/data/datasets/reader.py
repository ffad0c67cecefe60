"""What the readers of owners' formats share: a download's files, its splits, stored photos, errors in a sentence."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
from PIL import Image

from humesh.body.model import BodyModel
from humesh.data.datasets import DatasetError
from humesh.data.sample import Sample
from humesh.geometry.camera import Camera
from humesh.media.photo import MAX_MEGAPIXELS, Photo

T = TypeVar("T")
Bodies = Mapping[str, BodyModel]
"""The user's own body models by the names in labels: {"smpl-male": BodyModel.load(path), ...}."""

CALIBRATED = "the dataset's calibration"
FITTED = "fitted to the dataset's 3D and 2D labels"


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


def stored_photo(
    source: Path | io.BytesIO, camera: Camera | None = None, camera_source: str = CALIBRATED, *, name: str = ""
) -> Photo:
    """A photo as its labels mean it: the stored pixels in RGB, without the rotation that EXIF asks for.

    `camera`: with which it was taken, else it is guessed. `name`: of a source in memory.
    """
    try:
        with Image.open(source) as image:
            if image.width * image.height > 1e6 * MAX_MEGAPIXELS:
                raise ValueError(f"{image.width} x {image.height} pixels")
            photo = Photo.of(np.array(image.convert("RGB")))
    except FileNotFoundError:
        raise DatasetError(f"{source}: expected an image that the labels name, found nothing; fetch it anew.") from None
    except Exception as error:  # Pillow's readers raise anything on damaged images
        where = name or source
        raise DatasetError(f"{where}: expected an image, it is damaged or none ({error}); fetch it anew.") from error
    return photo if camera is None else replace(photo, camera=camera, camera_source=camera_source)


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
