"""Where the inputs and results of a batch lie: paths and addresses of stores, through pyarrow's file systems."""

from __future__ import annotations

import errno
import fnmatch
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from humesh.errors import BatchError, HumeshError, MissingPackageError, RunError
from humesh.files import locked, writing

try:
    import pyarrow as pa
    from pyarrow import fs
except ImportError:  # pragma: no cover
    raise MissingPackageError('batches need the packages ray and pyarrow; run: pip install "humesh[ray]"') from None

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Errors of the system that no input causes."""

_ADDRESS = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")
_MAGIC = re.compile(r"[*?\[]")
_SCRATCH = "humesh-batch-"
_OURS = ("rows", "files", "attempts")  # folders of an output


def file_system(uri: str) -> tuple[fs.FileSystem, str]:
    """The file system of an address or a local path (pyarrow's, else fsspec's), and the path in it."""
    if not _ADDRESS.match(uri):
        return fs.LocalFileSystem(), str(Path(uri).absolute())
    try:
        return fs.FileSystem.from_uri(uri)
    except (pa.ArrowInvalid, ValueError, OSError):
        try:
            import fsspec

            found = fsspec.filesystem(uri.partition("://")[0].lower())
        except (ImportError, ValueError) as error:
            raise BatchError(f"{uri}: expected an address that pyarrow or fsspec opens ({error}).") from None
        return fs.PyFileSystem(fs.FSSpecHandler(found)), str(found._strip_protocol(uri))


def located(name: str) -> str:
    """An address as it is, a path as the same one for every process."""
    return name if _ADDRESS.match(name) else str(Path(name).absolute())


def listed(named: Iterable[str], endings: frozenset[str], out: str = "") -> list[str]:
    """The inputs that folders (with what is below them), patterns, lists (@file) and files name, each once.

    Of folders and patterns the files with one of the endings, save those that a run into `out` has written. Raises
    BatchError where nothing is there, or a list cannot be read.
    """
    written = tuple(f"{located(out).rstrip('/')}/{folder}/" for folder in _OURS) if out else ()
    found: dict[str, None] = {}
    for name in named:
        if name.startswith("@"):
            some = _lines(name)
        else:
            some = [each for each in _below(located(name), endings) if not each.startswith(written)]
        if not some:
            raise BatchError(f"{name}: expected photos or videos, found none.")
        found.update(dict.fromkeys(some))
    if not found:
        raise BatchError("expected a folder, pattern, list or address of photos and videos, got none.")
    return list(found)


def _lines(name: str) -> list[str]:
    """The inputs of a list; of those that are not there, a run says so when it comes to them."""
    system, path = file_system(name[1:])
    try:
        with system.open_input_stream(path) as stream:
            lines = stream.read().decode("utf-8-sig").splitlines()
    except OSError as error:
        raise BatchError(
            f"{name}: expected a list of inputs, it cannot be read ({os.strerror(error.errno or 5)})."
        ) from None
    except UnicodeDecodeError:
        raise BatchError(f"{name}: expected a list of inputs as UTF-8 text, it is none.") from None
    return [located(line.strip()) for line in lines if line.strip()]


def _below(name: str, endings: frozenset[str]) -> Iterator[str]:
    system, path = file_system(name)
    local = isinstance(system, fs.LocalFileSystem)
    magic = None if local and os.path.exists(path) else _MAGIC.search(path)  # a name may hold brackets
    base = path[: path.rfind("/", 0, magic.start())] or "/" if magic else path
    info = system.get_file_info(base)
    prefix = name[: len(name) - len(path)] if _ADDRESS.match(name) and name.endswith(path) else ""
    if info.type == fs.FileType.NotFound:
        raise BatchError(f"{name}: expected a file, a folder or a pattern, found nothing.")
    if info.type == fs.FileType.File:
        yield name
        return
    if local:
        found = [str(Path(folder, file)) for folder, _, files in os.walk(base) for file in files]
        found = [os.fsencode(file).decode("utf-8", "backslashreplace") for file in found]  # Arrow's strings are UTF-8
    else:
        infos = system.get_file_info(fs.FileSelector(base, recursive=True))
        found = [info.path for info in infos if info.type == fs.FileType.File]
    for file in sorted(found):
        hidden = any(part.startswith(".") for part in file[len(base) :].split("/") if part)
        wanted = fnmatch.fnmatchcase(file, path) if magic else Path(file).suffix.lower() in endings
        if wanted and not hidden:
            yield prefix + file


def read_json(system: fs.FileSystem, path: str) -> dict[str, int]:
    """The numbers of a JSON file; none where it cannot be read."""
    try:
        with system.open_input_stream(path) as stream:
            return dict(json.loads(stream.read()))
    except (OSError, ValueError):
        return {}


def write(system: fs.FileSystem, path: str, data: bytes) -> None:
    """Writes a file that appears when it is complete (object stores write them so by themselves)."""
    try:
        if isinstance(system, fs.LocalFileSystem):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with writing(path) as draft:
                draft.write_bytes(data)
            return
        system.create_dir(path.rpartition("/")[0], recursive=True)
        with system.open_output_stream(path) as stream:
            stream.write(data)
    except OSError as error:
        raise RunError(f"{path}: cannot be written ({error.strerror or error}).") from None


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A temporary folder for one input, locked while its worker lives."""
    temporary = tempfile.TemporaryDirectory(prefix=_SCRATCH, ignore_cleanup_errors=True)
    with temporary as folder, locked(folder, "working on an input", RunError):
        yield Path(folder)


def clear_scratch() -> None:
    """Removes the temporary folders that killed workers left on this machine: those whose lock nobody holds."""
    if sys.platform == "win32":  # it has no such locks
        return
    for folder in Path(tempfile.gettempdir()).glob(f"{_SCRATCH}*"):
        with suppress(HumeshError, OSError):  # a live worker's, or another user's
            if not folder.is_symlink() and (folder / ".humesh.lock").stat().st_size:  # 0: it is about to be locked
                with locked(folder, "clearing it", RunError):
                    shutil.rmtree(folder, ignore_errors=True)
