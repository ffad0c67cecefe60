"""What a download holds when it is whole: every reader of this folder says it in one constant, `DOWNLOAD`.

    DOWNLOAD = Download(
        page="https://cocodataset.org/#download",
        files=(
            Files("annotations/person_keypoints_*2017.json", 2, "2017 Train/Val annotations"),
            Files("train2017/*.jpg", 118_287, "2017 Train images"),
            Files("test2017/*.jpg", 40_670, "2017 Test images", needed=False),
        ),
    )

`humesh data check NAME --root DIR` finds the constant through the reader's entry in `humesh.data.DATASETS` (a `Reader`,
which imports the module when it is first used; a module with two readers names the second constant there), counts,
says what is missing and where its owner offers it, and draws samples. Write only counts that you are sure of; 1 is
always right.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Files:
    """Files of a download: a glob pattern below its root (or several, joined by "|"), and how many there are at least.

    `called`: what the owner's page calls the part that holds them. `needed`: the reader cannot do without them.
    """

    pattern: str
    least: int = 1
    called: str = ""
    needed: bool = True

    def found(self, root: Path) -> Iterator[Path]:
        """The files there are, in no order; hidden ones (unpackers leave them) do not count."""
        for pattern in self.pattern.split("|"):
            yield from (path for path in root.glob(pattern) if not path.name.startswith("."))


@dataclass(frozen=True)
class Download:
    """Where a dataset's owner offers it, and what lies below its root once it is unpacked."""

    page: str
    files: tuple[Files, ...]


@dataclass(frozen=True)
class Count:
    """How much of some files of a download is there; `empty`: the first file without a byte, as a cut download has."""

    files: Files
    number: int
    empty: Path | None
    some: tuple[Path, ...]  # a few of them, evenly spread in the order of their names

    @property
    def whole(self) -> bool:
        """All are there and none is empty."""
        return self.number >= self.files.least and self.empty is None


def counts(download: Download, root: Path, some: int = 4) -> Iterator[Count]:
    """What there is of each of a download's files, one after the other."""
    for files in download.files:
        paths = sorted(files.found(root))
        empty = next((path for path in paths if path.is_file() and not path.stat().st_size), None)
        picked = paths[:: max(1, -(-len(paths) // some))]
        yield Count(files, len(paths), empty, tuple(path for path in picked if path.is_file()))


def packed(root: Path) -> list[Path]:
    """Archives that lie in a download's root, perhaps not unpacked yet."""
    return sorted(path for path in root.iterdir() if path.suffix in (".zip", ".tar", ".gz", ".tgz", ".rar", ".7z"))


def fingerprint(root: Path, paths: list[Path], most: int = 1 << 20) -> str:
    """A hash of the names, sizes and first `most` bytes of files: equal in two equal downloads."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as stream:
            content = hashlib.sha256(stream.read(most)).hexdigest()
        digest.update(f"{path.relative_to(root).as_posix()} {path.stat().st_size} {content}\n".encode())
    return digest.hexdigest()[:16]
