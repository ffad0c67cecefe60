"""A folder of results: what each was made from, which files are its own, and which are finished.

Every result has a record, NAME.json, whose "made" holds its input (path, bytes, mtime_ns), options, humesh's version,
the names of its finished files by format, and of `leftover` ones, which were made otherwise or not to the end. While
a result is made, its files lie in a hidden folder of its own, which is locked; they are moved to their places together.
Files that no record names are somebody else's and are never touched.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

from humesh.commands.errors import UserError
from humesh.errors import HumeshError
from humesh.files import locked, read_json, write_text
from humesh.scene.record import humesh_version, json_text

PEOPLE = ".people.npz"
"""The ending of a video's people, which stay in the hidden folder when a run is stopped."""

_MOST_BYTES = 2**28  # of a record: thousands of people
_LONGEST = 180  # bytes of a name; the longest ending and a number must fit into 255


Files = dict[str, list[str]]
"""Names of files by format."""


@dataclass(frozen=True)
class Job:
    """An input, what its result depends on besides, and the files wanted: format to ending."""

    path: str  # absolute, or an address
    file: Path  # what the result is called after
    options: dict[str, Any]
    endings: dict[str, str]
    version: str = field(default_factory=humesh_version)

    @cached_property
    def input(self) -> dict[str, Any]:
        """The input as a record keeps it."""
        return {"path": self.path, **_state(Path(self.path))}

    def names(self) -> Iterator[str]:
        """What the result may be called, best first, without end."""
        stem = os.fsencode(self.file.stem)
        name = self.file.stem if len(stem) <= _LONGEST else stem[:_LONGEST].decode("utf-8", "ignore")
        yield name
        yield from (f"{name}_{number}" for number in count(2))

    def changed(self, made: Mapping[str, Any]) -> list[str]:
        """What is no longer as it was when a result was made."""
        before, now = made["options"], self.options
        differs = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        if any(made["input"].get(key) != self.input.get(key) for key in ("bytes", "mtime_ns")):
            differs.insert(0, "the file itself")
        return differs + ["humesh's version"] * (made["version"] != self.version)


class Results:
    """The results in a folder, which need not exist yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._reserved: dict[str, str] = {}  # inputs by the names that this run gives to their results

    def made(self, name: str) -> dict[str, Any] | None:
        """What a result was made from; None where there is no record of that name, or it is not one of ours."""
        path = self.folder / f"{name}.json"
        try:
            content = read_json(path, what="a record", error=HumeshError, most_bytes=_MOST_BYTES)
        except HumeshError:
            return None
        made = content.get("made") if isinstance(content, dict) else None
        return made if _is_ours(made, name) else None

    def state(self, job: Job) -> tuple[bool, list[str]]:
        """Whether all files wanted are there, made from the same input with the same options; what changed if not."""
        made = self.made(self.name(job))
        if made is None:
            return False, []
        files, changed = made["files"], job.changed(made)
        there = [f in files and all((self.folder / file).is_file() for file in files[f]) for f in job.endings]
        return all(there) and not changed, changed

    def name(self, job: Job) -> str:
        """The name of a job's result: the one that it has, or the first that nobody else has, which it keeps."""
        for name in job.names():
            made = self.made(name)
            if made is not None and made["input"]["path"] == job.path:
                return name
            if self._reserved.get(name, job.path) == job.path and not self._is_taken(name, job):
                self._reserved[name] = job.path
                return name
        raise AssertionError("there are always more names")

    def release(self, job: Job) -> None:
        """Lets others have the name that a job got and will not use."""
        self._reserved = {name: path for name, path in self._reserved.items() if path != job.path}

    def owns(self, path: Path) -> bool:
        """Whether a file of this folder belongs to a result."""
        names = {path.name[:length] for length in range(1, len(path.name))} & self._names
        return any((made := self.made(name)) is not None and path.name in _files(made) for name in names)

    @cached_property
    def _names(self) -> set[str]:
        files = os.listdir(self.folder) if self.folder.is_dir() else []
        return {file.removesuffix(".json") for file in files if file.endswith(".json")}

    def _is_taken(self, name: str, job: Job) -> bool:
        return any(os.path.lexists(self.folder / f"{name}{ending}") for ending in (".json", *job.endings.values()))

    @contextmanager
    def claimed(self, job: Job) -> Iterator[Claim]:
        """A name for a job's result, with a folder for its files meanwhile; UserError where another run is at work."""
        while True:
            claim = Claim(self, job, self.name(job))
            with ExitStack() as stack:
                stack.callback(claim.leave)
                stack.enter_context(locked(claim.work, "predicting", UserError))
                if self.name(job) != claim.name:  # another run has finished a result of this name meanwhile
                    continue
                stack.callback(claim.clear)
                claim.clear()
                try:
                    yield claim
                except OSError as error:
                    error.filename = error.filename or str(self.folder)  # a disk that is full does not say which
                    raise
                return


@dataclass(frozen=True)
class Claim:
    """A name that belongs to one job's result while its files are written into a hidden folder."""

    results: Results
    job: Job
    name: str

    @property
    def work(self) -> Path:
        """The hidden folder."""
        return self.results.folder / f".humesh-{self.name}"

    @property
    def target(self) -> Path:
        """The path of a file that is being made, but for its ending."""
        return self.work / self.name

    def finish(self, content: Mapping[str, Any], written: Mapping[str, Sequence[Path]]) -> list[Path]:
        """Moves the files that were written to their places and writes the record; the wanted files, record last.

        Of the formats that are written, files of an earlier make go; those of others stay, and count as finished where
        they were made alike. UserError where a file lies in the way that humesh did not make.
        """
        folder, made = self.results.folder, self.results.made(self.name)
        old = _by_format(made) if made else {}
        new: Files = {"json": [], **{format: [path.name for path in paths] for format, paths in written.items()}}
        own = _files(made) if made else set()
        foreign = [name for some in new.values() for name in some if name not in own and os.path.lexists(folder / name)]
        if foreign:
            raise UserError(
                f"{folder / foreign[0]}: humesh did not make it and will not overwrite it; move it away or give "
                "another folder with -o."
            )
        same: Files = {} if made is None or self.job.changed(made) else made["files"]
        finished = {format: names for format, names in same.items() if format not in new} | new
        leftover = {format: names for format, names in old.items() if format not in finished}
        self._write(content, {}, {format: [*old.get(format, []), *new.get(format, [])] for format in old | new})
        for path in (path for paths in written.values() for path in paths):
            os.replace(path, folder / path.name)
        for name in {n for format in new for n in old.get(format, [])} - {n for some in new.values() for n in some}:
            (folder / name).unlink(missing_ok=True)
        self._write(content, finished, leftover)
        wanted = [path.name for format in self.job.endings for path in written.get(format, [])]
        return [folder / name for name in [*wanted, f"{self.name}.json"]]

    def _write(self, content: Mapping[str, Any], files: Files, leftover: Files) -> None:
        made: dict[str, Any] = {"name": self.name, "files": files, "leftover": leftover}
        made |= {"input": self.job.input, "options": self.job.options, "version": self.job.version}
        write_text(self.results.folder / f"{self.name}.json", json_text({**content, "made": made}))

    def clear(self) -> None:
        """Removes the files of a run that was stopped, but for a video's people, which the next one starts from."""
        for path in self.work.iterdir():
            if not path.name.endswith((PEOPLE, ".lock")):
                path.unlink()

    def leave(self) -> None:
        """Removes the hidden folder where nothing is left in it."""
        with suppress(OSError):
            self.work.rmdir()


def digest(path: str | Path | None) -> str | None:
    """What changes with what a file, or the files of a folder, hold; None where nothing is there."""
    if path is None or not os.path.exists(path):
        return None
    if os.path.isdir(path):
        files = sorted(file for file in Path(path).rglob("*") if file.is_file())
        about = [f"{file.relative_to(path)} {_state(file)}" for file in files]
        return hashlib.sha256("\n".join(about).encode(errors="surrogateescape")).hexdigest()[:16]
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]


def _state(path: Path) -> dict[str, Any]:
    """Size and time of a file; of a folder of pictures those of all of them."""
    try:
        about = path.stat()
        if path.is_dir():
            return {"bytes": digest(path), "mtime_ns": None}
    except (OSError, ValueError):  # a URL, a webcam; what is missing is named by its reader
        return {}
    return {"bytes": about.st_size, "mtime_ns": about.st_mtime_ns}


def _by_format(made: Mapping[str, Any]) -> Files:
    """The names of all files of a result, finished or not."""
    both = made["files"], made["leftover"]
    return {format: [name for files in both for name in files.get(format, [])] for files in both for format in files}


def _files(made: Mapping[str, Any]) -> set[str]:
    """The names of all files of a result, with its record."""
    return {file for files in _by_format(made).values() for file in files} | {f"{made['name']}.json"}


def _is_ours(made: Any, name: str) -> bool:
    """Whether a record's "made" is complete and names only files of its own name in its own folder."""
    wanted = {"name": str, "input": dict, "options": dict, "version": str, "files": dict, "leftover": dict}
    if not isinstance(made, dict) or any(not isinstance(made.get(key), kind) for key, kind in wanted.items()):
        return False
    if made["name"] != name or not isinstance(made["input"].get("path"), str) or "\0" in made["input"]["path"]:
        return False
    both = [*made["files"].values(), *made["leftover"].values()]
    files = [file for some in both for file in some] if all(isinstance(some, list) for some in both) else [None]
    return all(isinstance(f, str) and f.startswith(name) and os.path.basename(f) == f and "\0" not in f for f in files)
