"""What the user names on the command line: photos, videos, folders of them, patterns, addresses and webcams."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from humesh.commands.errors import UserError
from humesh.commands.results import Results
from humesh.media.kinds import is_url, kind_of, public

Kind = Literal["photo", "video", "live"]

PHOTO_ENDINGS = {
    ".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp",
}  # fmt: skip
VIDEO_ENDINGS = {
    ".3gp", ".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".webm", ".wmv",
}  # fmt: skip
"""Files of these names are inputs even if their content is neither, so that a damaged one is reported."""

_ENDLESS = {"rtsp", "rtsps", "rtmp", "rtmps", "srt", "udp", "rtp"}  # addresses of streams that nobody ends
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_SHOWN = 3  # names of files that were passed over


@dataclass(frozen=True)
class Input:
    """Something to be looked at: a file, a folder of frames, an address, or the number of a webcam ("live")."""

    where: str
    kind: Kind

    @property
    def name(self) -> Path:
        """What results are called after."""
        if not is_url(self.where):
            return Path(os.path.abspath(self.where))
        address = urlsplit(self.where)
        last = address.path.rstrip("/").rpartition("/")[2] or address.hostname or address.scheme
        return Path(re.sub(r"[^\w.-]+", "_", last).lstrip(".") or "stream")

    @property
    def public(self) -> str:
        """Where it is, without the user's name, password and query in an address."""
        return public(self.where)

    @property
    def whole(self) -> str:
        """Its absolute path, or what stands for one: where else it is looked at from, it is the same."""
        if self.kind == "live":
            return self.public if is_url(self.where) else f"webcam {self.where}"
        if not is_url(self.where):
            return os.path.abspath(self.where)
        query = self.where.partition("?")[2]
        if not query:
            return self.public
        # Two videos can differ in their queries only; slow, so that a password in it cannot be guessed from the record.
        mark = hashlib.pbkdf2_hmac("sha256", query.encode(errors="surrogateescape"), b"humesh", 200_000, 4)
        return f"{self.public}?{mark.hex()}"


def gathered(named: Iterable[str], out: Path, folders: bool, overwrite: bool) -> tuple[list[Input], list[str]]:
    """The photos and videos that files, folders and patterns name, each once, and what was passed over, in sentences.

    Results themselves are passed over: those that a folder or a pattern brings and, unless `overwrite`, those in `out`
    that are named. `folders`: folders are videos. Raises UserError where nothing is named or a folder or pattern holds
    nothing.
    """
    found: dict[str, Input] = {}
    notes: list[str] = []
    owned = 0
    results = cache(lambda folder: Results(Path(folder)))

    def is_result(path: Path) -> bool:
        return results(os.path.dirname(os.path.abspath(path))).owns(path)

    for given in named:
        brought = None if folders and os.path.isdir(given) else _brought(given)
        if brought is None:
            inputs = [Input(given, _kind(given, folders))]
            inside = not overwrite and os.path.realpath(Path(given).parent) == os.path.realpath(out)
        else:
            inputs, odd = _sorted_out(brought)
            notes += _passed_over(given, [path for path in odd if not is_result(path)])
            notes += _not_entered(given, out)
            inside = True
        for each in inputs:
            if inside and each.kind != "live" and is_result(Path(each.where)):
                owned += 1
            else:
                found.setdefault(each.where if each.kind == "live" else os.path.abspath(each.where), each)
    if owned:
        notes.append(f"{owned} of the inputs {'is a result' if owned == 1 else 'are results'} of humesh; passed over.")
    if not found:
        got = f"got only results of humesh ({owned})" if owned else "got none"
        raise UserError(f"expected at least one photo, video, folder or pattern, {got}; see: humesh predict --help")
    return list(found.values()), notes


def _brought(given: str) -> list[Path] | None:
    """The files of a folder or a pattern in order, without hidden ones; None for anything else."""
    if is_url(given) or _is_webcam(given):
        return None
    if os.path.isdir(given):
        try:
            inside = sorted(path for path in Path(given).iterdir() if path.name[0] != "." and path.is_file())
        except OSError as error:
            raise UserError(f"folder {given}: cannot be read: {error.strerror}.") from None
        if not any(map(_kind_inside, inside)):
            endings = ", ".join(sorted(PHOTO_ENDINGS - {".avif"}))
            raise UserError(f"folder {given}: expected photos ({endings}, ...) or videos, found none.")
        return inside
    if _ADDRESS.match(given) and not os.path.exists(given):
        raise UserError(
            f"{public(given)}: expected an address that begins with https://, http:// or rtsp://, or a file's path."
        )
    if os.path.exists(given) or not glob.has_magic(given):
        return None  # a missing file is reported when its turn comes: the others are done all the same
    inside = sorted(Path(match) for match in glob.glob(given, recursive=True) if os.path.isfile(match))
    if not any(map(_kind_inside, inside)):
        found = f"matches {len(inside)} files that are neither" if inside else "matches none"
        raise UserError(f"pattern {given}: expected photos{' or videos' * bool(inside)}, {found}.")
    return inside


def _sorted_out(files: list[Path]) -> tuple[list[Input], list[Path]]:
    """The photos and videos among files, and the rest."""
    kinds = {path: _kind_inside(path) for path in files}
    return [Input(str(path), kind) for path, kind in kinds.items() if kind], [p for p in files if not kinds[p]]


def _kind_inside(path: Path) -> Kind | None:
    """The kind of a file that a folder or pattern brings; None for one that nobody would call a photo or video."""
    kind = kind_of(path)
    if kind != "other":
        return kind
    if path.suffix.lower() not in PHOTO_ENDINGS | VIDEO_ENDINGS:
        return None
    return "video" if path.suffix.lower() in VIDEO_ENDINGS else "photo"


def _kind(given: str, folders: bool) -> Kind:
    """The kind of what the user named itself; the reader of photos reports what is neither."""
    if _is_webcam(given):
        return "live"
    if is_url(given):
        address = urlsplit(given)
        if address.scheme.lower() in _ENDLESS:
            return "live"
        return "photo" if Path(address.path).suffix.lower() in PHOTO_ENDINGS - {".gif"} else "video"
    if folders and os.path.isdir(given):
        return "video"
    kind = kind_of(Path(given))
    if kind == "other":
        return "video" if Path(given).suffix.lower() in VIDEO_ENDINGS else "photo"
    return kind


def _is_webcam(given: str) -> bool:
    return given.isdecimal() and not os.path.exists(given)


def _passed_over(where: str, files: list[Path]) -> Iterator[str]:
    if files:
        endings = Counter(path.suffix.lower() or "without an ending" for path in files)
        counts = ", ".join(f"{number} {ending}" for ending, number in endings.most_common())
        yield f"{where}: passed over what is neither photo nor video: {counts} ({_names(files)})."


def _not_entered(given: str, out: Path) -> Iterator[str]:
    """A sentence on the folders in a folder, but for hidden ones and that of the results."""
    if os.path.isdir(given):
        inside = sorted(path for path in Path(given).iterdir() if path.name[0] != "." and os.path.isdir(path))
        if folders := [path for path in inside if os.path.realpath(path) != os.path.realpath(out)]:
            yield f"{given}: folders in it are not looked into: {_names(folders)}."


def _names(paths: list[Path]) -> str:
    return ", ".join(path.name for path in paths[:_SHOWN]) + ", ..." * (len(paths) > _SHOWN)
