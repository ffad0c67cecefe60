"""Files in and out: written as a whole or not at all, and read within limits, for every room."""

from __future__ import annotations

import json
import math
import os
import secrets
import sys
import time
import zipfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np

from humesh.errors import HumeshError

MOST_BYTES = 4 * 2**30
"""The most that a file may unpack to, unless its reader says otherwise."""

_ROOM, _RATIO = 2**28, 16  # bytes that any NPZ file may unpack to; a larger one to this multiple of its own size
_MARK = ".humesh-"  # every draft's name begins so
_STALE_S = 3600  # a draft this old belongs to a run that was killed: a live one writes on
_HELD = set[int]()  # descriptors of this process's locks


@contextmanager
def writing(path: str | Path) -> Iterator[Path]:
    """A new file beside `path`, of the same ending, that takes its place at the end and is removed on any error.

    Its name cannot be foreseen, so that it is never opened through a link that lies there. The first write into a
    folder removes the drafts that killed runs left there. Raises OSError.
    """
    path = Path(path)
    _remove_stale_drafts(path.parent)
    short = path.stem.encode("utf-8", errors="surrogateescape")[:60].decode("utf-8", errors="ignore")  # of 255 bytes
    draft = path.with_name(f"{_MARK}{short}.{secrets.token_hex(6)}{path.suffix}")
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield draft
        os.replace(draft, path)
    except BaseException:  # an interrupt by the user, too, must not leave half a file
        draft.unlink(missing_ok=True)
        raise


@cache  # once a folder and process: a folder of many results takes long to list
def _remove_stale_drafts(folder: Path) -> None:
    with suppress(OSError):  # another process was faster, or may not look: the write itself reports what is wrong
        for draft in folder.glob(f"{_MARK}*"):
            if time.time() - draft.lstat().st_mtime > _STALE_S:
                draft.unlink()


def write_text(path: str | Path, text: str) -> None:
    """Writes a file as UTF-8; raises OSError. A name of a file that is not UTF-8 is written escaped."""
    with writing(path) as draft:
        draft.write_bytes(text.encode("utf-8", errors="backslashreplace"))


def write_arrays(path: str | Path, arrays: Mapping[str, Any], compressed: bool = True) -> None:
    """Writes an NPZ file of exactly that name; raises OSError."""
    save = np.savez_compressed if compressed else np.savez
    with writing(path) as draft, draft.open("wb") as stream:  # a stream: NumPy would append .npz to another name
        save(stream, **arrays)


@contextmanager
def locked(folder: str | Path, what: str, error: type[HumeshError]) -> Iterator[None]:
    """Holds a folder, made if need be, for one run; raises `error` where another run holds it, or OSError.

    `what`: what is done there ("training"), for the sentence. The operating system's lock on a file in the folder ends
    with the process, however that dies; Windows has none.
    """
    path = Path(folder) / ".humesh.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(path, os.O_CREAT | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0), 0o666)
    # The file is gone, or another one, if the run that held it ended between our opening and our locking.
    if not _locks(lock) or not path.exists() or not os.path.samestat(os.fstat(lock), path.stat()):
        os.close(lock)
        owner = path.read_text(errors="replace")[:20].strip() if path.exists() else ""
        raise error(
            f"{folder}: expected nobody else to work here, but process {owner or 'unknown'} is {what} in it; "
            "wait until it ends, or give another folder."
        )
    _HELD.add(lock)
    try:
        os.truncate(lock, 0)
        os.write(lock, str(os.getpid()).encode())
        yield
    finally:
        if lock in _HELD:  # not in a process that was forked meanwhile
            _HELD.discard(lock)
            with suppress(OSError):  # Windows does not remove what is open
                path.unlink()
            os.close(lock)


def _locks(lock: int) -> bool:
    """Locks an open file; False where another process, or another part of this one, has locked it."""
    if sys.platform != "win32":
        import fcntl

        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system that knows no locks: better to work without one than not at all
            pass
    return True


def _forked() -> None:
    """Lets go of the parent's locks: a worker that outlives its killed parent must not hold the folder."""
    while _HELD:
        os.close(_HELD.pop())


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_forked)


@dataclass(frozen=True)
class Array:
    """What an array of a file has to be."""

    shape: tuple[int | str, ...]
    """Lengths; a name stands for any length, the same wherever it is used in a file; "..." first: any axes before."""
    kind: str = "number"
    """number: integers, floats or truth values, finite; float: the same, NaN and infinity too; integer; truth; text."""
    optional: bool = False
    """Whether the file may lack it."""


_KINDS = {"number": "biuf", "float": "biuf", "integer": "biu", "truth": "biu", "text": "SU"}


def read_arrays(
    source: str | Path | BufferedIOBase,
    layout: Mapping[str, Array] | None = None,
    *,
    what: str,
    error: type[HumeshError],
    only: Collection[str] | None = None,
    most_bytes: int = MOST_BYTES,
) -> dict[str, np.ndarray]:
    """The arrays of an NPZ file (an NPY file: one, called ""), C-contiguous and writable, by name.

    `layout`: what they have to be (`check_arrays`); `only`: no others than these are read; `what`: what the file was
    expected to be, for the sentence. Nothing is unpickled, and sizes are compared with the bytes present before memory
    is taken. Raises `error` for a file that is missing, damaged, too large or another kind.
    """
    where = str(source) if isinstance(source, (str, Path)) else getattr(source, "name", "the file")
    with _reading(where, what, "one", error):
        if isinstance(source, (str, Path)):
            with _existing(source).open("rb") as stream:
                arrays = _arrays(stream, only, most_bytes)
        else:
            arrays = _arrays(source, only, most_bytes)
    if layout is not None:
        check_arrays(arrays, layout, where=where, what=what, error=error)
    return arrays


def check_arrays(
    arrays: Mapping[str, np.ndarray],
    layout: Mapping[str, Array],
    *,
    where: str,
    what: str,
    error: type[HumeshError],
    axes: Mapping[str, int] | None = None,
) -> dict[str, int]:
    """The lengths of the named axes; raises `error` where an array is missing, or of another kind or shape.

    `axes`: lengths that are known beforehand.
    """
    lengths = dict(axes or {})
    if missing := [name for name, wanted in layout.items() if name not in arrays and not wanted.optional]:
        found = ", ".join(sorted(arrays)[:8]) or "nothing"
        raise error(f"{where}: expected {what} with {', '.join(missing)}, found {found}.")
    for name, wanted in layout.items():
        if name not in arrays:
            continue
        array, called = arrays[name], repr(name) if name else "the array"
        if array.dtype.kind not in _KINDS[wanted.kind]:
            raise error(f"{where}: expected {called} to hold {wanted.kind}s, got {array.dtype}.")
        shape, got = wanted.shape, array.shape
        if shape[:1] == ("...",):
            shape, got = shape[1:], got[len(got) - len(shape) + 1 :]
        if len(got) != len(shape) or any(
            length != (lengths.setdefault(axis, length) if isinstance(axis, str) else axis)
            for length, axis in zip(got, shape, strict=True)
        ):
            expected = [f"{axis} = {lengths[axis]}" if axis in lengths else axis for axis in wanted.shape]
            raise error(f"{where}: expected {called} of shape {_times(expected)}, got {_times(array.shape)}.")
        if wanted.kind == "number" and array.dtype.kind == "f" and not np.isfinite(array).all():
            raise error(f"{where}: expected finite numbers in {called}, got NaN or infinity; the file is damaged.")
    return lengths


def _times(shape: Collection[int | str]) -> str:
    return " x ".join(map(str, shape)) or "one value"


def _arrays(stream: Any, only: Collection[str] | None, most: int) -> dict[str, np.ndarray]:
    mark, size = stream.read(6), stream.seek(0, os.SEEK_END)
    if mark == b"\x93NUMPY":
        stream.seek(0)
        return {"": _array(stream, size, most)}
    found, most = dict[str, np.ndarray](), min(most, max(_ROOM, _RATIO * size))
    with zipfile.ZipFile(stream) as archive:
        for member in archive.infolist():
            name = member.filename.removesuffix(".npy")
            if (only is not None and name not in only) or name == member.filename:
                continue
            if member.compress_type not in (0, 8):  # zipfile unpacks the others without limit; NumPy has only these
                raise ValueError("an array is packed in another way than NumPy does")
            with archive.open(member) as inside:
                found[name] = _array(inside, member.file_size, most)
            most -= member.file_size
    return found


def _array(stream: Any, size: int, most: int) -> np.ndarray:
    """One array in NumPy's format; `size`: the bytes that the file claims for it."""
    if size > most:
        raise ValueError("it would take too much memory")
    headers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(stream)
    if version not in headers:
        raise ValueError("it has records or is of a format that is newer than NumPy 2")
    shape, fortran, dtype = headers[version](stream)
    return array_of_bytes(stream.read(size), dtype, shape, "F" if fortran else "C")


def array_of_bytes(data: Any, dtype: np.dtype[Any], shape: tuple[int, ...], order: str = "C") -> np.ndarray:
    """A writable array, C-contiguous and in this machine's byte order, of bytes that have another `order` and dtype.

    ValueError for anything but numbers and texts, and where there are more or fewer bytes than the shape needs.
    """
    if dtype.kind not in "biufSU" or (dtype.kind == "f" and dtype.itemsize > 8):  # torch has no longer floats
        raise ValueError(f"it holds {dtype}, expected numbers or texts")
    if len(shape) > 32 or math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError("an array has other bytes than its shape needs")
    array = np.frombuffer(data, dtype).reshape(shape, order=order)  # type: ignore[call-overload]
    array = np.array(array, dtype.newbyteorder("="), order="C")
    if dtype.kind == "b" and array.view(np.uint8).max(initial=0) > 1:
        raise ValueError("a truth value is neither true nor false")
    if dtype.kind == "U" and array.reshape(-1).view(np.uint32).max(initial=0) > 0x10FFFF:
        raise ValueError("a text holds something that is no character")
    return array


def read_json(path: str | Path, *, what: str, error: type[HumeshError], most_bytes: int = MOST_BYTES) -> Any:
    """What a JSON file holds; raises `error` for one that is missing, too large, nested too deep or no JSON."""
    with _reading(path, what, "JSON", error):
        return parse_json(_content(path, most_bytes))


def read_text(path: str | Path, *, what: str, error: type[HumeshError], most_bytes: int = MOST_BYTES) -> str:
    """The text of a file in UTF-8; raises `error` for one that is missing, too large or no text."""
    with _reading(path, what, "text", error):
        return _content(path, most_bytes).decode("utf-8-sig")


@contextmanager
def _reading(path: str | Path, what: str, kind: str, error: type[HumeshError]) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise error(f"{path}: expected {what}, found nothing (no such file).") from None
    except Exception as problem:  # of a foreign file's every byte: zlib, zipfile, NumPy and json have no common base
        raise error(f"{path}: expected {what}, it cannot be read as {kind} ({reason(problem)}).") from None


def parse_json(text: str | bytes) -> Any:
    """What a text in JSON holds; raises ValueError for one that is none or nested deeper than Python can follow."""
    try:
        return json.loads(text if isinstance(text, str) else text.decode("utf-8-sig"))
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _existing(path: str | Path) -> Path:
    if not Path(path).is_file():  # a pipe or a device would never end
        raise FileNotFoundError("no such file")
    return Path(path)


def _content(path: str | Path, most: int) -> bytes:
    if _existing(path).stat().st_size > most:
        raise ValueError(f"it has more than {most / 2**20:.0f} MiB")
    return Path(path).read_bytes()


def reason(problem: Exception) -> str:
    """What is wrong, for the brackets of a sentence."""
    return getattr(problem, "strerror", None) or " ".join(str(problem).split())[:200] or type(problem).__name__
