"""A folder of results: what each was made from, which files are its own, and which are finished.

Every result has a record, NAME.json, whose "made" holds `input` (path, bytes, mtime_ns), `options`, `version`, `files`
(names of the finished files by format) and `leftover` (own files too, but of an earlier make or of a run that was
stopped). Files that no record names are somebody else's and are never touched.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

from humesh.commands.errors import UserError
from humesh.errors import HumeshError
from humesh.files import read_json, write_text
from humesh.scene.record import humesh_version, json_text

RECORD = ".json"
_MOST_BYTES = 2**28  # of a record: thousands of people
_LONGEST = 180  # bytes of a name; the longest ending and a number must fit into 255
_PERSON = "_person*"  # in names of files to come: the people are not known yet

Files = dict[str, list[str]]
"""Names of files by format."""


@dataclass(frozen=True)
class Job:
    """An input, what its result depends on besides, and the files wanted: format to ending."""

    path: str  # absolute, or an address
    name: str  # what the result should be called; where that is taken, it is called after `file`
    file: Path
    options: dict[str, Any]
    endings: dict[str, str]
    per_person: frozenset[str] = frozenset()  # formats of a file for each person
    besides: dict[str, str] = field(default_factory=dict)  # files that a finished result can do without
    version: str = field(default_factory=humesh_version)

    @cached_property
    def input(self) -> dict[str, Any]:
        """The input as a record keeps it."""
        return {"path": self.path, **_state(Path(self.path))}

    def names(self) -> Iterator[str]:
        """What the result may be called, best first, without end."""
        yield from self.called
        yield from (f"{self.called[-1]}_{number}" for number in count(2))

    @cached_property
    def called(self) -> tuple[str, ...]:
        """The names that are tried before numbered ones."""
        stem, ending = self.file.stem, self.file.suffix.removeprefix(".") or "file"
        folder = os.path.basename(os.path.dirname(os.path.abspath(self.file))) or "root"
        names = (self.name, stem, f"{stem}_{ending}", f"{folder}_{stem}", f"{folder}_{stem}_{ending}")
        return tuple(dict.fromkeys(map(_fitting, names)))

    def changed(self, made: dict[str, Any]) -> list[str]:
        """What is no longer as it was when a result was made."""
        before, now = made["options"], self.options
        differs = [name for name in {**before, **now} if before.get(name) != now.get(name)]
        if any(made["input"].get(key) != self.input.get(key) for key in ("bytes", "mtime_ns")):
            differs.insert(0, "the file itself")
        return differs + ["humesh's version"] * (made["version"] != self.version)

    def files(self, name: str) -> Files:
        """The names of the files to be written; those of each person with a star for the number."""
        names: Files = {format: [f"{name}{ending}"] for format, ending in {**self.endings, **self.besides}.items()}
        for format in self.per_person & names.keys():
            stem, suffix = os.path.splitext(names[format][0])
            names[format].append(f"{stem}{_PERSON}{suffix}")
        return names


class Results:
    """The results in a folder, which need not exist yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def record(self, name: str) -> dict[str, Any] | None:
        """The record of a name; None where there is none or it is not one of ours."""
        path = self.folder / f"{name}{RECORD}"
        try:
            content = read_json(path, what="a record", error=HumeshError, most_bytes=_MOST_BYTES)
        except HumeshError:
            return None
        return content if isinstance(content, dict) and _is_ours(content.get("made"), name) else None

    def find(self, job: Job) -> tuple[str, dict[str, Any]] | None:
        """The name and the record of a job's input here; None where it has no result."""
        for tried, name in enumerate(job.names()):
            record = self.record(name)
            if record is not None and _is_same(record["made"]["input"], job.input):
                return name, record
            if tried >= len(job.called) and not (self.folder / f"{name}{RECORD}").exists():
                return None
        raise AssertionError("there are always more names")

    def state(self, job: Job) -> tuple[bool, list[str]]:
        """Whether all files wanted are there, made from the same input with the same options; what changed if not."""
        found = self.find(job)
        if found is None:
            return False, []
        files, changed = found[1]["made"]["files"], job.changed(found[1]["made"])
        there = [f in files and all((self.folder / file).is_file() for file in files[f]) for f in job.endings]
        return all(there) and not changed, changed

    def owns(self, path: Path) -> bool:
        """Whether a file of this folder belongs to a result."""
        starts = (path.name[:length] for length in range(1, len(path.name)))
        records = (self.record(name) for name in starts if name in self._names)
        return any(record is not None and path.name in self._own(record["made"]) for record in records)

    @cached_property
    def _names(self) -> set[str]:
        return {file.removesuffix(RECORD) for file in self._listed if file.endswith(RECORD)}

    @cached_property
    def _listed(self) -> list[str]:
        return os.listdir(self.folder) if self.folder.is_dir() else []

    @cached_property
    def _of_people(self) -> set[str]:
        """The files of single people that were there at first, with a star for their numbers."""
        found = (re.fullmatch(r"(.+)_person\d+(\.\w+)", file, re.DOTALL) for file in self._listed)
        return {f"{match[1]}{_PERSON}{match[2]}" for match in found if match}

    def _own(self, made: dict[str, Any]) -> set[str]:
        """The names of all files of a result, stars resolved."""
        names = {file for files in (made["files"], made["leftover"]) for some in files.values() for file in some}
        return {file for name in names for file in self._resolved(name)} | {f"{made['name']}{RECORD}"}

    def _resolved(self, name: str) -> list[str]:
        if _PERSON not in name:
            return [name]
        pattern = re.compile(re.escape(name).replace(re.escape(_PERSON), r"_person\d+"))
        return [file for file in os.listdir(self.folder) if pattern.fullmatch(file)]

    def _foreign(self, job: Job, name: str, own: set[str]) -> list[str]:
        """Somebody else's files where those of a job would go."""
        wanted = [file for files in job.files(name).values() for file in files]
        there = [f for f in wanted if f not in own and os.path.lexists(self.folder / f)]
        of_people = [f for wish in wanted if wish in self._of_people for f in self._resolved(wish) if f not in own]
        return there + of_people

    @contextmanager
    def claimed(self, job: Job) -> Iterator[Claim]:
        """A name for a job's result that is nobody else's, under which its files may be written; raises UserError.

        The record says from now on that they are coming, so that they are known as our own if the run is killed.
        """
        found = self.find(job)
        claim = self._new(job) if found is None else Claim(self, job, *found)
        if found is not None and (foreign := self._foreign(job, claim.name, self._own(found[1]["made"]))):
            raise UserError(
                f"{self.folder / foreign[0]}: humesh did not make it and will not overwrite it; move it away or give "
                "another folder with -o."
            )
        try:
            claim.save()
            yield claim
        except BaseException as error:  # Ctrl-C too: a record without files would only be in the way
            if isinstance(error, OSError) and error.filename is None:
                error.filename = str(self.folder)  # a disk that is full does not say which
            if found is None and not any(os.path.lexists(self.folder / file) for file in claim.coming()):
                claim.path.unlink(missing_ok=True)
            raise

    def _new(self, job: Job) -> Claim:
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in job.names():
            claim = Claim(self, job, name)
            if not self._foreign(job, name, set()):
                with suppress(FileExistsError):  # of several runs one gets the name
                    os.close(os.open(claim.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
                    return claim
        raise AssertionError("there are always more names")


class Claim:
    """A name that belongs to one job's result while its files are written."""

    def __init__(self, results: Results, job: Job, name: str, record: dict[str, Any] | None = None) -> None:
        self.results, self.job, self.name, self._record = results, job, name, record or {}
        self.target = results.folder / name
        self.path = results.folder / f"{name}{RECORD}"
        before = self._record.get("made")
        kept: Files = {} if before is None or job.changed(before) else before["files"]
        self.files: Files = {format: files for format, files in kept.items() if format not in job.endings}
        self.old: Files = {}  # files of earlier makes by format
        for format, names in [] if before is None else [*before["files"].items(), *before["leftover"].items()]:
            known = self.old.setdefault(format, [])
            known += [f for name in names for f in results._resolved(name) if f not in known]

    def coming(self) -> list[str]:
        """The names of the files to be written, as far as they are known."""
        return [file for files in self.job.files(self.name).values() for file in files if file != self.path.name]

    def save(self) -> None:
        """Writes down what is about to be made; what the record holds of an earlier make stays till the end."""
        coming = self.job.files(self.name)
        leftover = {k: list(dict.fromkeys([*self.old.get(k, []), *coming.get(k, [])])) for k in {**self.old, **coming}}
        write_text(self.path, json_text(self._record | {"made": self._made(leftover)}))

    def finish(
        self, content: dict[str, Any], files: dict[str, list[Path]], besides: dict[str, list[Path]] | None = None
    ) -> list[Path]:
        """Writes the record with the files that were written, removes those that they replace; the files, record last.

        `besides`: files that the user need not hear of.
        """
        paths = {**files, **(besides or {}), "json": [self.path]}
        self.files |= {format: [path.name for path in some] for format, some in paths.items()}
        written = {name for names in self.files.values() for name in names}
        for name in {name for format in paths for name in self.old.pop(format, [])} - written:
            (self.results.folder / name).unlink(missing_ok=True)
        leftover = {format: [n for n in names if n not in written] for format, names in self.old.items()}
        made = self._made({format: names for format, names in leftover.items() if names})
        write_text(self.path, json_text(content | {"made": made}))
        return [path for some in files.values() for path in some] + [self.path]

    def _made(self, leftover: Files) -> dict[str, Any]:
        about = {"name": self.name, "input": self.job.input, "options": self.job.options, "version": self.job.version}
        return about | {"files": self.files, "leftover": leftover}


def _fitting(name: str) -> str:
    """The name, cut so that there is room for endings within the 255 bytes of most file systems."""
    whole = os.fsencode(name)
    return name if len(whole) <= _LONGEST else whole[:_LONGEST].decode("utf-8", "ignore")


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


def _is_same(before: dict[str, Any], now: dict[str, Any]) -> bool:
    """Whether two inputs are one: the same path, or a file that was moved with its time."""
    if before["path"] == now["path"]:
        return True
    known = now.get("mtime_ns") is not None and Path(before["path"]).name == Path(now["path"]).name
    moved = known and all(before.get(key) == now[key] for key in ("bytes", "mtime_ns"))
    return moved and not os.path.lexists(before["path"])


def _is_ours(made: Any, name: str) -> bool:
    """Whether a record's "made" is whole and names only files of its own name in its own folder."""
    wanted = {"name": str, "input": dict, "options": dict, "version": str, "files": dict, "leftover": dict}
    if not isinstance(made, dict) or any(not isinstance(made.get(key), kind) for key, kind in wanted.items()):
        return False
    if made["name"] != name or not isinstance(made["input"].get("path"), str) or "\0" in made["input"]["path"]:
        return False
    named = [*made["files"].values(), *made["leftover"].values()]
    return all(isinstance(names, list) and all(_is_file_of(file, name) for file in names) for names in named)


def _is_file_of(file: Any, name: str) -> bool:
    return isinstance(file, str) and file.startswith(name) and os.path.basename(file) == file and "\0" not in file
