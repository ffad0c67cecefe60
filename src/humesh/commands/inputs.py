"""What the user names on the command line: photos, videos, folders of them, patterns, addresses and webcams."""

from __future__ import annotations

import glob
import hashlib
import os
import re
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
_BY_ENDING: dict[str, Kind] = {**dict.fromkeys(PHOTO_ENDINGS, "photo"), **dict.fromkeys(VIDEO_ENDINGS, "video")}

_ENDLESS = {"rtsp", "rtsps", "rtmp", "rtmps", "srt", "udp", "rtp"}  # addresses of streams that nobody ends
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_SHOWN = 3  # names of files that were passed over


@dataclass(frozen=True)
class Input:
    """Something to predict from: a file, a folder of frames, an address, or the number of a webcam ("live")."""

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
    def identity(self) -> str:
        """Its absolute path, or what stands for one: the same from every folder."""
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

    def is_result(path: str) -> bool:
        return results(os.path.dirname(os.path.abspath(path))).owns(Path(path))

    for given in named:
        kinds = None if folders and os.path.isdir(given) else _brought(given)
        if kinds is None:
            inputs = [Input(given, _kind(given, folders))]
            may_be_result = not overwrite and os.path.realpath(Path(given).parent) == os.path.realpath(out)
        else:
            inputs = [Input(path, kind) for path, kind in kinds.items() if kind]
            notes += _passed_over(given, [Path(p) for p, kind in kinds.items() if not kind and not is_result(p)], out)
            may_be_result = True
        for each in inputs:
            if may_be_result and each.kind != "live" and is_result(each.where):
                owned += 1
            else:
                found.setdefault(each.where if each.kind == "live" else os.path.abspath(each.where), each)
    if owned:
        notes.append(f"{owned} of the inputs {'is a result' if owned == 1 else 'are results'} of humesh; passed over.")
    if not found:
        got = f"got only results of humesh ({owned})" if owned else "got none"
        raise UserError(f"expected at least one photo, video, folder or pattern, {got}; see: humesh predict --help")
    return list(found.values()), notes


def _brought(given: str) -> dict[str, Kind | None] | None:
    """The kinds of the files of a folder or a pattern in order, without hidden ones; None for anything else."""
    is_folder = os.path.isdir(given)
    if not is_folder and _ADDRESS.match(given) and not is_url(given) and not os.path.exists(given):
        raise UserError(
            f"{public(given)}: expected an address that begins with https://, http:// or rtsp://, or a file's path."
        )
    if not is_folder and (is_url(given) or os.path.exists(given) or not glob.has_magic(given)):
        return None  # a missing file is reported when its turn comes: the others are done all the same
    if is_folder:
        paths = [Path(given, name) for name in os.listdir(given) if name[0] != "."]
    else:
        paths = [Path(path) for path in glob.glob(given, recursive=True)]
    kinds = {str(path): _kind_inside(path) for path in sorted(paths) if path.is_file()}
    if not any(kinds.values()) and is_folder:
        endings = ", ".join(sorted(PHOTO_ENDINGS - {".avif"}))
        raise UserError(f"folder {given}: expected photos ({endings}, ...) or videos, found none.")
    if not any(kinds.values()):
        found = f"matches {len(kinds)} files that are neither" if kinds else "matches none"
        raise UserError(f"pattern {given}: expected photos{' or videos' * bool(kinds)}, {found}.")
    return kinds


def _kind_inside(path: Path) -> Kind | None:
    """The kind of a file that a folder or pattern brings; None for one that nobody would call a photo or video."""
    kind = kind_of(path)
    return _BY_ENDING.get(path.suffix.lower()) if kind == "other" else kind


def _kind(given: str, folders: bool) -> Kind:
    """The kind of what the user named itself; the reader of photos reports what is neither."""
    if given.isdecimal() and not os.path.exists(given):  # a webcam's number
        return "live"
    if is_url(given):
        address = urlsplit(given)
        is_photo = Path(address.path).suffix.lower() in PHOTO_ENDINGS - {".gif"}
        return "live" if address.scheme.lower() in _ENDLESS else "photo" if is_photo else "video"
    if folders and os.path.isdir(given):
        return "video"
    return _kind_inside(Path(given)) or "photo"


def _passed_over(given: str, files: list[Path], out: Path) -> Iterator[str]:
    """Sentences on the files of a folder or pattern that are neither photo nor video, and on folders in a folder."""
    if files:
        yield f"{given}: neither photo nor video, passed over ({len(files)}): {_names(files)}."
    inside = sorted(Path(given).iterdir()) if os.path.isdir(given) else []
    folders = [path for path in inside if path.name[0] != "." and path.is_dir() and path.resolve() != out.resolve()]
    if folders:
        yield f"{given}: folders in it are not looked into: {_names(folders)}."


def _names(paths: list[Path]) -> str:
    return ", ".join(path.name for path in paths[:_SHOWN]) + ", ..." * (len(paths) > _SHOWN)
