"""Files in and out: written whole or not at all, and read within limits, for every room."""

from __future__ import annotations

import ast
import json
import math
import os
import secrets
import stat
import struct
import sys
import time
import zipfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np

from humesh.errors import HumeshError

MOST_BYTES = 4 * 2**30
"""No file of arrays may unpack to more than this, unless its reader says otherwise."""

_ROOM, _RATIO = 2**28, 16  # bytes that any NPZ file may unpack to; a larger one to so many times its own size
_STALE_S = 3600  # a draft this old belongs to a run that was killed: a live one writes on
_MARK = ".humesh-"  # every draft's name begins so
_SWEPT = set[str]()  # folders that this process has looked through for drafts
_HELD = set[int]()  # descriptors of this process's locks


@contextmanager
def writing(path: str | Path) -> Iterator[Path]:
    """A new file beside `path`, of the same ending, that takes its place at the end and is removed on any error.

    The draft's name cannot be foreseen and it is made anew (never opened through a link that lies there). Drafts that
    killed runs left in the folder an hour ago or more are removed by the first write into it. Raises OSError.
    """
    path = Path(path)
    _remove_stale(path.parent)
    draft = path.with_name(f"{_MARK}{_short(path.stem)}.{secrets.token_hex(6)}{path.suffix}")
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield draft
        os.replace(draft, path)
    except BaseException:  # an interrupt by the user, too, must not leave half a file
        draft.unlink(missing_ok=True)
        raise


def write_bytes(path: str | Path, data: bytes) -> None:
    """Writes a whole file; raises OSError."""
    with writing(path) as draft:
        draft.write_bytes(data)


def write_text(path: str | Path, text: str) -> None:
    """Writes a whole file as UTF-8; raises OSError. A name of a file that is not UTF-8 is written escaped."""
    write_bytes(path, text.encode("utf-8", errors="backslashreplace"))


def write_arrays(path: str | Path, arrays: Mapping[str, Any], compressed: bool = True) -> None:
    """Writes an NPZ file of exactly that name; raises OSError."""
    save = np.savez_compressed if compressed else np.savez
    with writing(path) as draft, draft.open("wb") as stream:  # a stream: NumPy would append .npz to another name
        save(stream, **arrays)


@contextmanager
def locked(folder: str | Path, what: str, error: type[HumeshError]) -> Iterator[None]:
    """Holds a folder, made if need be, for one run; raises `error` where another run holds it, or OSError.

    `what`: what is done there ("training"), for the sentence. The operating system's lock on a file in the folder: it
    ends with the process, however that dies, and a file that a dead process left is no hindrance.
    """
    path = Path(folder) / ".humesh.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    while (lock := _lock(path)) is None or not _lies_at(lock, path):
        if lock is None:
            with suppress(OSError):  # it may have ended just now
                who = path.read_text(errors="replace")[:20].strip()
                raise error(
                    f"{folder}: expected nobody else to work here, but process {who or 'unknown'} is {what} in it; "
                    "wait until it ends, or give another folder."
                )
        else:  # whoever held it removed it between our opening and our locking
            os.close(lock)
    try:
        _HELD.add(lock)
        os.write(lock, str(os.getpid()).encode())
        yield
    finally:
        if lock in _HELD:  # not in a process that was forked meanwhile
            _HELD.discard(lock)
            with suppress(OSError):  # Windows does not remove what is open
                path.unlink()
            os.close(lock)


def _forked() -> None:
    """Lets go of the parent's locks: a worker that outlives its killed parent must not hold the folder."""
    while _HELD:
        os.close(_HELD.pop())


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_forked)


def _lock(path: Path) -> int | None:
    """A locked file, emptied; None where another process, or another part of this one, has locked it."""
    lock = os.open(path, os.O_CREAT | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0), 0o666)
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(lock, 1000, os.SEEK_SET)  # a byte behind the number, which others must be able to read
            msvcrt.locking(lock, msvcrt.LK_NBLCK, 1)
            os.lseek(lock, 0, os.SEEK_SET)
        else:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        os.close(lock)
        return None
    except OSError:  # a file system that knows no locks: better to work without one than not at all
        pass
    os.truncate(lock, 0)
    return lock


def _lies_at(lock: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(lock), path.lstat())
    except OSError:
        return False


def _short(stem: str) -> str:
    """The beginning of a name, so that a draft's name stays within the 255 bytes of most file systems."""
    return stem.encode("utf-8", errors="surrogateescape")[:60].decode("utf-8", errors="ignore")


def _remove_stale(folder: Path) -> None:
    """Once a folder and process: a folder of many results takes long to list."""
    name, now = os.path.abspath(folder), time.time()
    if name in _SWEPT:
        return
    _SWEPT.add(name)
    with suppress(OSError):  # somebody else was faster, or may not look: the write itself tells what is wrong
        for entry in os.scandir(folder):
            if entry.name.startswith(_MARK):
                about = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(about.st_mode) and now - about.st_mtime > _STALE_S:
                    os.unlink(entry.path)


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
    expected to be, for the sentence of the error. Nothing is unpickled. What the file claims is compared with what it
    holds before memory is taken. Raises `error` for a file that is missing, damaged, too large or another kind.
    """
    where = str(source) if isinstance(source, (str, Path)) else getattr(source, "name", "the file")
    try:
        if isinstance(source, (str, Path)):
            if not Path(source).is_file():  # a pipe or a device would never end
                raise FileNotFoundError("no such file")
            with Path(source).open("rb") as stream:
                arrays = _arrays(stream, only, most_bytes)
        else:
            arrays = _arrays(source, only, most_bytes)
    except Exception as problem:  # of a foreign file's every byte: zlib, zipfile and NumPy have no common base
        raise error(f"{where}: expected {what}, it cannot be read as one ({_reason(problem)}).") from None
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
    axes: dict[str, int] | None = None,
) -> dict[str, int]:
    """The lengths of the named axes; raises `error` where an array is missing, or of another kind or shape.

    `axes`: lengths that are known beforehand.
    """
    axes = dict(axes or {})
    missing = [name for name, wanted in layout.items() if name not in arrays and not wanted.optional]
    if missing:
        found = ", ".join(sorted(arrays)[:8]) or "nothing"
        raise error(f"{where}: expected {what} with {', '.join(missing)}, found {found}.")
    for name, wanted in layout.items():
        if name not in arrays:
            continue
        array, shape, called = arrays[name], wanted.shape, repr(name) if name else "the array"
        if array.dtype.kind not in _KINDS[wanted.kind]:
            raise error(f"{where}: expected {called} to hold {wanted.kind}s, got {array.dtype}.")
        tail = shape[1:] if shape[:1] == ("...",) else shape
        got = array.shape[len(array.shape) - len(tail) :] if tail is not shape else array.shape
        if len(got) != len(tail) or any(
            length != (axes.setdefault(axis, length) if isinstance(axis, str) else axis)
            for length, axis in zip(got, tail, strict=True)
        ):
            said = " x ".join(f"{axis} = {axes[axis]}" if axis in axes else str(axis) for axis in shape) or "one value"
            raise error(f"{where}: expected {called} of shape {said}, got {_times(array.shape)}.")
        if wanted.kind == "number" and array.dtype.kind == "f" and not np.isfinite(array).all():
            raise error(f"{where}: expected finite numbers in {called}, got NaN or infinity; the file is damaged.")
    return axes


def read_json(path: str | Path, *, what: str, error: type[HumeshError], most_bytes: int = MOST_BYTES) -> Any:
    """What a JSON file holds; raises `error` for one that is missing, too large, nested too deep or no JSON."""
    try:
        return parse_json(_bytes(Path(path), most_bytes))
    except FileNotFoundError:
        raise error(f"{path}: expected {what}, found nothing (no such file).") from None
    except Exception as problem:  # RecursionError, UnicodeDecodeError and others: whatever the bytes bring about
        raise error(f"{path}: expected {what}, it cannot be read as JSON ({_reason(problem)}).") from None


def read_text(path: str | Path, *, what: str, error: type[HumeshError], most_bytes: int = MOST_BYTES) -> str:
    """The text of a file in UTF-8; raises `error` for one that is missing, too large or no text."""
    try:
        return _bytes(Path(path), most_bytes).decode("utf-8-sig")
    except FileNotFoundError:
        raise error(f"{path}: expected {what}, found nothing (no such file).") from None
    except (OSError, ValueError) as problem:
        raise error(f"{path}: expected {what}, it cannot be read as text ({_reason(problem)}).") from None


def parse_json(text: str | bytes) -> Any:
    """What a text in JSON says; raises ValueError for one that is none or nested deeper than Python can follow."""
    try:
        return json.loads(text if isinstance(text, str) else text.decode("utf-8-sig"))
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _bytes(path: Path, most: int) -> bytes:
    if not path.is_file():  # a pipe or a device would never end
        raise FileNotFoundError("no such file")
    if path.stat().st_size > most:
        raise ValueError(f"it has more than {most / 2**20:.0f} MiB")
    return path.read_bytes()


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "one value"


def _reason(problem: Exception) -> str:
    if isinstance(problem, OSError) and problem.strerror:
        return problem.strerror
    text = " ".join(str(problem).split())[:200]
    return text or type(problem).__name__


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
    """One array in NumPy's format; `size`: the bytes that are said to be there."""
    if size > most:
        raise ValueError("it would take too much memory")
    start = _exactly(stream, 8)
    if start[:6] != b"\x93NUMPY" or start[6] not in (1, 2, 3):
        raise ValueError("it holds something that is no NumPy array")
    width, code = (2, "<H") if start[6] == 1 else (4, "<I")
    (length,) = struct.unpack(code, _exactly(stream, width))
    if length > 10_000:
        raise ValueError("an array's header is too long")
    header = ast.literal_eval(_exactly(stream, length).decode("utf-8" if start[6] == 3 else "latin1").strip())
    descr, shape = header["descr"], header["shape"]
    if not isinstance(descr, str) or not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError("an array's header is damaged")
    dtype = np.dtype(descr)
    if dtype.kind not in "biufSU" or (dtype.kind == "f" and dtype.itemsize > 8):  # torch has no longer floats
        raise ValueError(f"it holds {dtype}, expected numbers or texts")
    rest = size - 8 - width - length
    if math.prod(shape) * dtype.itemsize != rest or len(shape) > 8:
        raise ValueError(f"an array of shape {shape} was cut off or changed")
    order = "F" if header["fortran_order"] else "C"
    data, filled = np.empty(rest, np.uint8), 0
    while filled < rest:  # piece by piece: the bytes are never there twice
        piece = _exactly(stream, min(rest - filled, 2**20))
        data[filled : filled + len(piece)] = np.frombuffer(piece, np.uint8)
        filled += len(piece)
    if dtype.kind == "U" and data.view(f"{dtype.str[0]}u4").max(initial=0) > 0x10FFFF:
        raise ValueError("a text holds something that is no character")
    array = data.view(dtype).reshape(shape, order=order)  # type: ignore[call-overload]
    native: np.ndarray = np.ascontiguousarray(array, dtype.newbyteorder("="))
    return native.reshape(shape)  # a single value, which `ascontiguousarray` gives an axis


def _exactly(stream: Any, count: int) -> bytes:
    data: bytes = stream.read(count)
    if len(data) != count:
        raise EOFError("it is cut off")
    return data
