"""MATLAB's files: what SciPy writes is read back, and no damage ends in more than one sentence."""

from __future__ import annotations

import struct as binary
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from scipy.io import loadmat, savemat

from humesh.data.datasets.matlab import cells, read_matlab, struct
from humesh.data.datasets.reader import DatasetError, loaded

KINDS = [np.float64, np.float32, np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64]


@given(
    arrays_of.arrays(st.sampled_from(KINDS), arrays_of.array_shapes(min_dims=2, max_dims=4, min_side=0, max_side=4)),
    st.booleans(),
)
def test_numbers_come_back(tmp_path_factory: pytest.TempPathFactory, numbers: np.ndarray, packed: bool) -> None:
    path = tmp_path_factory.mktemp("matlab") / "a.mat"
    savemat(path, {"other": 1.0, "numbers": numbers}, do_compression=packed)
    found = read_matlab(path, ("numbers",)).value
    assert list(found) == ["numbers"]
    np.testing.assert_array_equal(found["numbers"], loadmat(path)["numbers"])
    assert not read_matlab(path, ("none",)).value


@pytest.mark.parametrize("packed", [False, True])
def test_texts_cells_and_structs_come_back(tmp_path: Path, packed: bool) -> None:
    grid = np.empty((2, 3), dtype=object)
    for i, j in np.ndindex(2, 3):
        grid[i, j] = np.full((2, 2), 10.0 * i + j)
    people = np.empty((1, 2), dtype=[("name", object), ("age", object)])
    people[0, 0], people[0, 1] = ("Ännchen", 7), ("", np.zeros((0, 0)))
    savemat(tmp_path / "a.mat", {"grid": grid, "people": people, "one": {"x": 4.0}}, do_compression=packed)
    found = read_matlab(tmp_path / "a.mat")
    assert found["grid"].value.shape == (2, 3)
    np.testing.assert_array_equal(found["grid"].value[1, 2], grid[1, 2])
    assert [int(cell.value[0, 0]) for cell in cells(found["grid"])] == [0, 10, 1, 11, 2, 12]  # column by column
    assert cells(found["people"])[0]["name"].value == "Ännchen"
    assert struct(found["one"])["x"].number() == 4
    with pytest.raises(DatasetError, match=r"a.mat, people: expected a struct, got object of shape \(1, 2\)"):
        struct(found["people"])


def element(kind: int, content: bytes) -> bytes:
    return binary.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)


def matrix(kind: int, shape: tuple[int, ...], *parts: bytes, flags: int = 0) -> bytes:
    head = element(6, binary.pack("<II", kind | flags, 0)) + element(5, binary.pack(f"<{len(shape)}i", *shape))
    return element(14, head + element(1, b"x") + b"".join(parts))


def nested(depth: int) -> bytes:
    inside = matrix(6, (1, 1), element(9, bytes(8)))
    for _ in range(depth):
        inside = matrix(1, (1, 1), inside)
    return inside


def packed(content: bytes) -> bytes:
    data = zlib.compress(content)
    return binary.pack("<II", 15, len(data)) + data


BOMB = matrix(6, (1, 40 * 2**17), element(9, bytes(40 * 2**20)))
DAMAGED: dict[str, Any] = {
    "a shape of more numbers than there are": matrix(6, (2**20, 2**20), element(9, bytes(8))),
    "a negative shape": matrix(6, (-1, -1), element(9, bytes(8))),
    "no shape": matrix(6, (), element(9, bytes(8))),
    "cells without end": matrix(1, (2**15, 2**15)),
    "structs without end": matrix(2, (2**15, 2**15), element(5, binary.pack("<i", 4)), element(1, b"abc\0")),
    "structs of no fields without end": matrix(2, (2**15, 2**15), element(5, binary.pack("<i", 4)), element(1, b"")),
    "names of no length": matrix(2, (1, 1), element(5, binary.pack("<i", 0)), element(1, b"abc\0")),
    "cells in cells without end": nested(3000),
    "a sparse matrix": matrix(5, (1, 1), element(5, bytes(4))),
    "an object": matrix(3, (1, 1), element(1, b"a")),
    "complex numbers": matrix(6, (1, 1), element(9, bytes(8)), flags=0x800),
    "a kind of number that is not known": matrix(6, (1, 1), element(99, bytes(8))),
    "a text that is none": matrix(4, (1, 2), element(16, b"\xff\xfe")),
    "a short element that is too long": binary.pack("<HHI", 14, 200, 0) + bytes(64),
    "a length beyond the end": binary.pack("<II", 14, 2**31) + bytes(64),
    "packed, of no matrix": packed(bytes(64)),
    "packed and cut off": packed(matrix(6, (1, 1), element(9, bytes(8))))[:-20],
    "packed and longer than it says": packed(binary.pack("<II", 14, 2**31) + bytes(64)),
    "packed noise": binary.pack("<II", 15, 64) + bytes(range(64)),
    "packed a thousand times": packed(BOMB),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_one_sentence(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.mat"
    path.write_bytes(bytes(124) + b"\x00\x01IM" + DAMAGED[name])
    with pytest.raises(DatasetError, match=r"a.mat: expected labels, could not read it \(.+\); fetch it anew"):
        loaded(path, read_matlab, "labels")


@pytest.mark.parametrize("content", [b"", bytes(200), b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(400)])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(DatasetError, match="no MATLAB file of version 5 to 7"):
        loaded(tmp_path / "a.mat", read_matlab, "labels")


def test_files_of_big_endian_machines_are_read(tmp_path: Path) -> None:
    def big(kind: int, content: bytes) -> bytes:
        return binary.pack(">II", kind, len(content)) + content + bytes(-len(content) % 8)

    head = big(6, binary.pack(">II", 6, 0)) + big(5, binary.pack(">ii", 1, 2)) + big(1, b"x")
    content = big(14, head + big(9, binary.pack(">dd", 3, 4)))
    (tmp_path / "a.mat").write_bytes(bytes(124) + b"\x01\x00MI" + content)
    numbers = read_matlab(tmp_path / "a.mat")["x"].value
    assert numbers.tolist() == [[3, 4]]
    assert numbers.dtype.isnative
