"""MATLAB's files of version 5 to 7: their numbers, texts, cells and structs as data, and nothing else.

The format is public (MathWorks, "MAT-File Format"): a head of 128 bytes, then an element a variable, packed by zlib or
not. No claim of an element is believed that its bytes do not bear out.
"""

from __future__ import annotations

import math
import struct as binary
import zlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from humesh.data.datasets.entries import Entry

_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_SIGN = {"little": "<", "big": ">"}
_DTYPES = {order: {kind: np.dtype(sign + name) for kind, name in _NUMBERS.items()} for order, sign in _SIGN.items()}
_PAIR = {order: binary.Struct(f"{sign}II").unpack_from for order, sign in _SIGN.items()}
_TEXTS = {1: "latin1", 2: "latin1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_MATRIX, _PACKED = 14, 15  # kinds of elements
_CELL, _STRUCT, _CHAR, _DOUBLE, _UINT64 = 1, 2, 4, 6, 15  # classes of matrices
_COMPLEX = 0x800
_DEEPEST = 20  # cells in cells
_HEAD = 4096  # bytes that hold the shape and the name of a variable
_LEAST, _RATIO = 16 * 2**20, 250  # a file may unpack to so many bytes, or to so many times its own

_Order = Literal["little", "big"]


def read_matlab(path: Path, only: Collection[str] | None = None) -> Entry:
    """The variables of a file by name; cells are arrays of objects, structs are arrays of tables, texts are str.

    `only`: no others than these. Raises ValueError, EOFError, OSError or zlib.error (`loaded` makes one sentence of
    them).
    """
    return Entry({head.name: _value(whole(), head.order) for head, whole in _variables(path, only)}, path)


def matlab_shape(path: Path, name: str) -> tuple[int, ...]:
    """The shape of a variable, which is not read for it; (0, 0) where there is none. Raises as `read_matlab`."""
    return next((head.shape for head, _ in _variables(path, (name,))), (0, 0))


def cells(entry: Entry) -> list[Entry]:
    """The contents of a cell or struct array in MATLAB's order, those of an empty matrix too."""
    value = entry.value
    if not isinstance(value, np.ndarray) or (value.size and value.dtype != object):
        raise entry.wrong("a cell or struct array")
    return [Entry(content, entry, i) for i, content in enumerate(value.ravel(order="F"))]


def struct(entry: Entry) -> Entry:
    """The one struct that stands there, as MATLAB has it: an array of one."""
    found = cells(entry)
    if len(found) != 1:
        raise entry.wrong("a struct")
    return found[0]


class _Elements:
    """Elements one after the other: each a kind, a length and so many bytes."""

    def __init__(self, data: memoryview, order: _Order) -> None:
        self._data, self._order, self._at = data, order, 0

    def __len__(self) -> int:
        """Bytes that are left."""
        return max(0, len(self._data) - self._at)

    def take(self, padded: bool = True) -> tuple[int, memoryview]:
        """Kind and content of the next."""
        start = self._at + 8
        if start > len(self._data):
            raise EOFError("it is cut off")
        kind, size = _PAIR[self._order](self._data, self._at)
        if kind > 0xFFFF:  # the short form, with the content where the length would be
            kind, size, start = kind & 0xFFFF, kind >> 16, start - 4
            self._at = start + 4
        else:
            self._at = start + size + (-size % 8 if padded else 0)
        if start + size > min(len(self._data), self._at):
            raise EOFError("it is cut off")
        return kind, self._data[start : start + size]


class _Head:
    """What stands before the contents of a matrix."""

    def __init__(self, data: memoryview, order: _Order) -> None:
        self.rest, self.order = _Elements(data, order), order
        (_, flags), (_, shape), (_, name) = self.rest.take(), self.rest.take(), self.rest.take()
        if len(flags) != 8 or len(shape) % 4 or not 0 < len(shape) <= 32:
            raise ValueError("the shape of a matrix is damaged")
        word = _PAIR[order](flags)[0]
        self.kind, self.complex = word & 0xFF, bool(word & _COMPLEX)
        self.shape = binary.unpack(f"{_SIGN[order]}{len(shape) // 4}i", shape)
        if min(self.shape) < 0:
            raise ValueError("the shape of a matrix is damaged")
        self.name = str(name, "latin1")
        self.count = math.prod(self.shape)


def _variables(path: Path, only: Collection[str] | None) -> Iterator[tuple[_Head, Callable[[], memoryview]]]:
    """Of every variable its head, and what gives its bytes."""
    data = memoryview(path.read_bytes())
    orders: dict[bytes, _Order] = {b"\x00\x01IM": "little", b"\x01\x00MI": "big"}
    order = orders.get(bytes(data[124:128]))
    if order is None:
        raise ValueError("it is no MATLAB file of version 5 to 7")
    left, elements = max(_LEAST, _RATIO * len(data)), _Elements(data[128:], order)
    while elements:
        kind, content = elements.take(padded=False)
        packed = _Packed(content, order) if kind == _PACKED else None
        head = _Head(content if packed is None else packed.head, order)
        if only is not None and head.name not in only:
            continue
        left -= len(content) if packed is None else packed.size
        if left < 0:
            raise ValueError("it would take too much memory")
        yield head, content.toreadonly if packed is None else packed.whole


class _Packed:
    """A variable packed by zlib, of which only the head is unpacked at first."""

    def __init__(self, content: memoryview, order: _Order) -> None:
        self._unpacker = zlib.decompressobj()
        tag = self._unpacker.decompress(content, 8)
        self.size = int.from_bytes(tag[4:], order)
        if len(tag) != 8 or int.from_bytes(tag[:4], order) != _MATRIX:
            raise ValueError("it holds something that is no matrix")
        self.head = memoryview(self._more(min(self.size, _HEAD)))

    def _more(self, count: int) -> bytes:
        data = self._unpacker.decompress(self._unpacker.unconsumed_tail, count) if count else b""  # 0: without limit
        if len(data) != count:
            raise EOFError("it is cut off")
        return data

    def whole(self) -> memoryview:
        """All its bytes."""
        return memoryview(bytes(self.head) + self._more(self.size - len(self.head)))


def _value(data: memoryview, order: _Order, depth: int = 0) -> Any:
    """What a matrix holds."""
    if not data:
        return np.zeros((0, 0))
    head = _Head(data, order)
    rest, count = head.rest, head.count

    def contents(number: int) -> Iterator[Any]:
        if number * 8 > len(rest) or depth == _DEEPEST:
            raise ValueError("it holds more than it has bytes for, or is nested too deep")
        for _ in range(number):
            kind, content = rest.take()
            if kind != _MATRIX:
                raise ValueError("it holds something that is no matrix")
            yield _value(content, order, depth + 1)

    if head.kind == _CELL:
        return _objects(contents(count), head.shape)
    if head.kind == _STRUCT:
        width, names = int.from_bytes(rest.take()[1], order), bytes(rest.take()[1])
        if not 0 < width <= 1000 or not names:
            raise ValueError("the names of a struct are damaged")
        keys = [names[i : i + width].split(b"\0")[0].decode("latin1") for i in range(0, len(names), width)]
        values = contents(count * len(keys))
        return _objects(({key: next(values) for key in keys} for _ in range(count)), head.shape)
    kind, content = rest.take() if rest else (2, memoryview(b""))
    if head.kind == _CHAR and kind in _TEXTS:
        ending = {"little": "-le", "big": "-be"}[order] if kind in (4, 17, 18) else ""
        return str(content, _TEXTS[kind] + ending)
    if not _DOUBLE <= head.kind <= _UINT64 or kind not in _NUMBERS or head.complex:
        raise ValueError("it holds other things than real numbers, texts, cells and structs")
    array = np.frombuffer(content, _DTYPES[order][kind])
    if array.size != count:
        raise ValueError(f"it holds {array.size} of the {count} numbers of a matrix")
    return array.astype(_NUMBERS[kind]).reshape(head.shape, order="F")


def _objects(values: Iterator[Any], shape: tuple[int, ...]) -> np.ndarray:
    listed = list(values)
    array = np.empty(len(listed), dtype=object)
    for i, value in enumerate(listed):  # one by one: NumPy would make one array of arrays of equal shapes
        array[i] = value
    return array.reshape(shape, order="F")
