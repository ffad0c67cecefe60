"""MATLAB's files of version 5 to 7 as data: numbers, texts, cells and structs (MathWorks, "MAT-File Format").

Not read by SciPy, whose reader trusts the type codes of a file: a damaged one ends the process.
"""

from __future__ import annotations

import math
import struct as binary
import zlib
from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from humesh.data.datasets.reader import Entry

_ORDERS = {b"\x00\x01IM": "<", b"\x01\x00MI": ">"}
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXTS = {1: "latin1", 2: "latin1", 16: "utf-8", 4: "utf-16", 17: "utf-16", 18: "utf-32"}
_MATRIX, _PACKED = 14, 15  # kinds of elements
_CELL, _STRUCT, _CHAR, _DOUBLE, _UINT64 = 1, 2, 4, 6, 15  # classes of matrices
_COMPLEX = 0x800
_DEEPEST = 20  # cells in cells
_HEAD = 4096  # bytes that hold the name of a variable
_LEAST, _RATIO = 16 * 2**20, 250  # bytes that any file may unpack to; a larger one to this multiple of its own size


def read_matlab(path: Path, only: Collection[str] | None = None) -> Entry:
    """The variables of a file by name, `only` these; cells are arrays of objects, structs arrays of tables.

    Raises ValueError, EOFError, OSError or zlib.error (`loaded` makes one sentence of them).
    """
    data = memoryview(path.read_bytes())
    order = _ORDERS.get(bytes(data[124:128]))
    if order is None:
        raise ValueError("it is no MATLAB file of version 5 to 7")
    left, found = max(_LEAST, _RATIO * len(data)), dict[str, Any]()
    for kind, content in _elements(data[128:], order):
        unpacker, start = zlib.decompressobj(), b""
        if kind == _PACKED:
            start = unpacker.decompress(content, _HEAD)
            kind, content = binary.unpack_from(f"{order}I", start)[0], memoryview(start)[8:]
        if kind != _MATRIX:
            raise ValueError("it holds something that is no matrix")
        *_, name = _head(_elements(content, order), order)
        if only is not None and name not in only:
            continue
        if unpacker.unconsumed_tail:
            start += unpacker.decompress(unpacker.unconsumed_tail, left)
        if start:
            ((_, content),) = _elements(memoryview(start), order)
        left -= len(content)
        if left <= 0:
            raise ValueError("it would take too much memory")
        found[name] = _value(content, order)
    return Entry(found, path)


def cells(entry: Entry) -> list[Entry]:
    """The contents of a cell or struct array in MATLAB's order; an empty matrix has none."""
    value = entry.value
    if not isinstance(value, np.ndarray) or (value.size and value.dtype != object):
        raise entry.wrong("a cell or struct array")
    return [Entry(content, entry, i) for i, content in enumerate(value.ravel(order="F"))]


def struct(entry: Entry) -> Entry:
    """The one struct of a struct array, as which MATLAB stores it."""
    found = cells(entry)
    if len(found) != 1:
        raise entry.wrong("a struct")
    return found[0]


def _elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """Kind and content of elements, one after the other."""
    at = 0
    while at < len(data):
        if at + 8 > len(data):
            raise EOFError("it is cut off")
        kind, size = binary.unpack_from(f"{order}II", data, at)
        start, short = at + 8, kind > 0xFFFF
        if short:  # the content stands where the length would be
            kind, size, start = kind & 0xFFFF, kind >> 16, at + 4
        at = at + 8 if short else start + size + (-size % 8 if kind != _PACKED else 0)
        if start + size > (at if short else len(data)):
            raise EOFError("it is cut off")
        yield kind, data[start : start + size]


def _head(elements: Iterator[tuple[int, memoryview]], order: str) -> tuple[int, tuple[int, ...], str]:
    """Flags, shape and name, which stand before the contents of a matrix."""
    found = [content for _, content in islice(elements, 3)]
    if len(found) != 3 or len(found[0]) != 8 or len(found[1]) % 4 or not 0 < len(found[1]) <= 32:
        raise ValueError("the head of a matrix is damaged")
    shape = binary.unpack(f"{order}{len(found[1]) // 4}i", found[1])
    if min(shape) < 0:
        raise ValueError("the shape of a matrix is damaged")
    return binary.unpack(f"{order}II", found[0])[0], shape, str(found[2], "latin1")


def _value(data: memoryview, order: str, depth: int = 0) -> Any:
    """What a matrix holds."""
    if not data:
        return np.zeros((0, 0))
    elements = _elements(data, order)
    flags, shape, _ = _head(elements, order)
    kind, count = flags & 0xFF, math.prod(shape)
    if kind == _CELL:
        return _objects(_contents(elements, count, order, depth), shape)
    if kind == _STRUCT:
        (_, length), (_, names) = islice(elements, 2)
        (width,) = binary.unpack(f"{order}i", length)
        if not 0 < width <= 1000 or not names:
            raise ValueError("the names of a struct are damaged")
        text = [bytes(names[i : i + width]).split(b"\0")[0].decode("latin1") for i in range(0, len(names), width)]
        values = iter(_contents(elements, count * len(text), order, depth))
        return _objects([{key: next(values) for key in text} for _ in range(count)], shape)
    code, content = next(elements, (2, memoryview(b"")))
    if kind == _CHAR and code in _TEXTS:
        ending = {"<": "-le", ">": "-be"}[order] if code in (4, 17, 18) else ""
        return str(content, _TEXTS[code] + ending)
    if not _DOUBLE <= kind <= _UINT64 or code not in _NUMBERS or flags & _COMPLEX:
        raise ValueError("it holds other things than real numbers, texts, cells and structs")
    array = np.frombuffer(content, order + _NUMBERS[code])
    if array.size != count:
        raise ValueError(f"it holds {array.size} of the {count} numbers of a matrix")
    return array.astype(_NUMBERS[code]).reshape(shape, order="F")


def _contents(elements: Iterator[tuple[int, memoryview]], count: int, order: str, depth: int) -> list[Any]:
    if depth == _DEEPEST:
        raise ValueError("it is nested too deep")
    found = [_value(content, order, depth + 1) for kind, content in islice(elements, count) if kind == _MATRIX]
    if len(found) != count:
        raise ValueError("it holds fewer cells than their shape, or something that is no matrix")
    return found


def _objects(values: list[Any], shape: tuple[int, ...]) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    for i, value in enumerate(values):  # one by one: NumPy would make one array of arrays of equal shapes
        array[i] = value
    return array.reshape(shape, order="F")
