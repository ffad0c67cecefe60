"""What is taken out of label files is checked, and the sentence names the file and the entry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from humesh.data.datasets.reader import DatasetError, Entry

FILE = Path("labels.json")


def entry(value: Any) -> Entry:
    return Entry({"people": [{"box": value}]}, FILE)["people"][0]["box"]


@pytest.mark.parametrize(
    "value",
    [
        [1, 2, 3], [[1, 2], [3]], [1, 2, 3, float("nan")], [1, 2, 3, float("inf")], [0, 0, 1e308, 1],
        [0, 0, 10**400, 1], [1, 2, 3, "4 px"], [1, 2, 3, None], "1234", {"0": 1}, None, 5,
        np.array(["1", "2", "3", "4"]),
        np.array([1j, 2, 3, 4]), np.array([1, 2, 3, {}], dtype=object), [0, 0, 2e5, 1],
    ],
    ids=str,
)  # fmt: skip
def test_boxes_are_four_finite_numbers_of_sane_size(value: Any) -> None:
    with pytest.raises(
        DatasetError, match=r"^labels.json, people\[0\]\.box: expected 4 finite numbers up to 1e\+05, got"
    ):
        entry(value).box()


def test_boxes_have_corners_or_a_size() -> None:
    assert entry([1, 2, 3, 4]).box().tolist() == [1, 2, 3, 4]
    assert entry([[1, 2], [3, 4]]).box(corners=False).tolist() == [1, 2, 4, 6]


def test_numbers_have_their_shape_and_may_lack_some() -> None:
    assert entry([1, 2, 3, 4, 5, 6]).numbers(-1, 3).shape == (2, 3)
    assert np.isnan(entry([1, float("nan")]).numbers(2, nan=True)[1])
    with pytest.raises(DatasetError, match="expected 2 finite numbers"):
        entry([1, float("inf")]).numbers(2, nan=True)
    assert entry([1, 2, 3]).first(2).tolist() == [1, 2]
    with pytest.raises(DatasetError, match=r"at least 4 numbers, got \[1, 2, 3\]"):
        entry([1, 2, 3]).first(4)
    with pytest.raises(DatasetError, match=r"expected a number from 0 to 2, got 3"):
        entry(3).number(0.0, 2.0)
    assert entry(np.array([[2.0]])).number() == 2


@pytest.mark.parametrize("value", [-1, 2**60, 1.5, float("nan"), float("inf"), "7", None, [7, 8], {}])
def test_whole_numbers_are_whole_and_within_limits(value: Any) -> None:
    assert entry(np.int16(7)).integer() == entry(7.0).integer() == entry(np.array([[7]])).integer() == 7
    with pytest.raises(DatasetError, match="expected a whole number from 0 to"):
        entry(value).integer()


@pytest.mark.parametrize(
    "name",
    [
        "../a.jpg", "a/../../b.jpg", "/etc/passwd", "..", "C:\\a.jpg", "..\\a.jpg", "\\\\server\\a.jpg", "C:a.jpg",
        "", ".", "./", "a\0b.jpg", "a\x1b[2Jb.jpg", "\ud800.jpg", "a" * 300, "a/" * 600, 7, None, ["a.jpg"],
    ],
    ids=repr,
)  # fmt: skip
def test_names_of_files_stay_inside_the_folder(name: Any) -> None:
    with pytest.raises(DatasetError, match=r"expected (a text|the name of a file)"):
        entry(name).path()


@pytest.mark.parametrize("name", ["a.jpg", "train/S9 walk.1_(2).jpg", "..a/b...jpg", "größe.png"])
def test_plain_names_are_taken(name: str) -> None:
    assert entry(name).path() == name


def test_cameras_are_cameras() -> None:
    matrix = [[500, 0, 320], [0, 500, 240], [0, 0, 1]]
    assert entry(matrix).camera().matrix.tolist() == matrix
    for row, column, wrong in ((0, 0, -500), (1, 1, 0), (2, 2, 2), (2, 0, 1), (1, 0, 3)):
        other = np.array(matrix)
        other[row, column] = wrong
        with pytest.raises(DatasetError, match="expected the 3 x 3 matrix of a camera"):
            entry(other).camera()
    assert entry(np.eye(4)).extrinsics().tolist() == np.eye(3, 4).tolist()
    with pytest.raises(DatasetError, match="a matrix of 3 or 4 rows"):
        entry(np.eye(2, 4)).extrinsics()


def test_what_is_not_there_is_refused_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"data": [{"id": 1, "box": None}], "name": "x"}))
    content = Entry.json(tmp_path / "a.json", "labels")
    with pytest.raises(DatasetError, match=r"a.json, data\[0\]: expected an entry 'name', got a table of id, box"):
        content["data"][0]["name"]
    for wrong in (1, -1, "0"):
        with pytest.raises(DatasetError, match=r"data: expected an entry"):
            content["data"][wrong]
    with pytest.raises(DatasetError, match="name: expected a list, got 'x'"):
        list(content["name"])
    with pytest.raises(DatasetError, match=r"a.json: expected people, it has no size, age; fetch it anew"):
        content.has("name", "size", "age", what="people")
    assert content["data"][0].get("box") is None
    assert content["data"][0].get("none") is None
    assert content["name"].get("none") is None


@pytest.mark.parametrize("text", ["[" * 100_000, "{", '{"a": ' + "9" * 5000 + "}", "\xff", ""])
def test_files_that_are_no_json_are_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_bytes(text.encode("latin1"))
    with pytest.raises(DatasetError, match=r"a.json: expected labels, it cannot be read as JSON"):
        Entry.json(tmp_path / "a.json", "labels")
