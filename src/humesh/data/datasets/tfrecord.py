"""TensorFlow's record files and the `tf.train.Example`s in them, without TensorFlow: lists of bytes and of numbers."""

from __future__ import annotations

import mmap
from collections.abc import Iterator

import numpy as np


def records(data: bytes | mmap.mmap) -> Iterator[tuple[int, int, int]]:
    """(offset, start, end) of the records of a TFRecord file; start and end are those of the record's content.

    A record is its length (8 bytes, little endian), a checksum (4), the content, a checksum (4).
    """
    offset = 0
    while offset < len(data):
        end = offset + 12 + int.from_bytes(data[offset : offset + 8], "little")
        if end + 4 > len(data):
            raise ValueError(f"the record at byte {offset} is cut short")
        yield offset, offset + 12, end
        offset = end + 4


def features(data: bytes | mmap.mmap, start: int, end: int, wanted: tuple[str, ...]) -> dict[str, list]:
    """The values of some features of a `tf.train.Example` between two places; ValueError names missing ones.

    Protocol buffers: Example.features = 1, Features.feature = 1 (a map: key 1, value 2), Feature.bytes_list = 1,
    float_list = 2, int64_list = 3, of each the values = 1; numbers are packed or single.
    """
    found: dict[str, list] = {}
    for _, _, first, last in _fields(data, start, end):
        for _, _, entry, entry_end in _fields(data, first, last):
            parts = {number: (a, b) for number, _, a, b in _fields(data, entry, entry_end)}
            key = bytes(data[slice(*parts[1])]).decode()
            if key in wanted and 2 in parts:
                found[key] = [v for kind, _, a, b in _fields(data, *parts[2]) for v in _values(data, kind, a, b)]
    if missing := [key for key in wanted if key not in found]:
        raise ValueError(f"the record has no {', '.join(missing)}")
    return found


def _values(data: bytes | mmap.mmap, kind: int, start: int, end: int) -> Iterator[bytes | float | int]:
    for _, _, a, b in _fields(data, start, end):
        if kind == 1:
            yield bytes(data[a:b])
        elif kind == 2:
            yield from np.frombuffer(data[a:b], "<f4").tolist()
        else:  # packed integers fill the field, a single one is the field
            while a < b:
                value, a = _varint(data, a)
                yield value - (1 << 64) if value >> 63 else value


def _fields(data: bytes | mmap.mmap, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """(number, wire type, start, end) of the fields of a message."""
    while at < end:
        tag, at = _varint(data, at)
        wire = tag & 7
        if wire == 2:
            size, at = _varint(data, at)
        elif wire == 0:
            size = _varint(data, at)[1] - at
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"no protocol buffer at byte {at}")
        if at + size > end:
            raise ValueError(f"a field at byte {at} is cut short")
        yield tag >> 3, wire, at, at + size
        at += size


def _varint(data: bytes | mmap.mmap, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if shift > 63:
            raise ValueError(f"a number at byte {at} has no end")
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
