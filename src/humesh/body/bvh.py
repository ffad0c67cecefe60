"""Reading BVH, the text format of motion capture: a skeleton at rest and its joints' angles, frame by frame.

A rotation is the product of its channels from left to right, for column vectors. `humesh.scene.bvh` writes such files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from jaxtyping import Float

from humesh.errors import HumeshError
from humesh.files import read_text

POSITIONS = ("Xposition", "Yposition", "Zposition")
ROTATIONS = ("Zrotation", "Xrotation", "Yrotation")
_MOST_BYTES = 2**29  # of a file
_MOST_PLACES = 2**18  # joints times frames that a file may have which does not say as many numbers
_LARGEST = 1e9  # of all numbers, whatever their unit


class BvhError(HumeshError, ValueError):
    """A BVH file that cannot be read; the sentence says the line, what was expected and what was found."""


@dataclass(frozen=True)
class Clip:
    """A motion as read: a tree in file order, offsets in the file's unit, and per frame local positions and rotations.

    `positions` are the offsets, except where a joint has position channels, which stand in place of its offset.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: Float[np.ndarray, "J 3"]
    end_sites: dict[int, Float[np.ndarray, "3"]]  # by the joint that they end
    positions: Float[np.ndarray, "F J 3"]
    rotations: Float[np.ndarray, "F J 3 3"]
    frame_time: float  # seconds

    def joints(self) -> Float[np.ndarray, "F J 3"]:
        """Where the joints are, in the file's unit and axes."""
        at, turns = np.zeros_like(self.positions), self.rotations.copy()
        for joint, parent in enumerate(self.parents):
            at[:, joint] = self.positions[:, joint]
            if parent >= 0:
                at[:, joint] = at[:, parent] + (turns[:, parent] @ at[:, joint, :, None])[..., 0]
                turns[:, joint] = turns[:, parent] @ self.rotations[:, joint]
        return at


def read_bvh(path: str | Path) -> Clip:
    """A clip from a file with one root, any channels in any order, in whatever unit; raises BvhError."""
    text = read_text(path, what="a BVH text file", error=BvhError, most_bytes=_MOST_BYTES)
    reader = _Reader(str(path), text)
    names, parents, offsets, ends, channels = _read_tree(reader)
    reader.expect("MOTION")
    reader.expect("Frames:")
    count = reader.count("the number of frames")
    reader.expect("Frame", "Time:")
    frame_time = reader.number("seconds a frame")
    if frame_time < 0:
        reader.wrong("seconds a frame, 0 at least")
    width = sum(map(len, channels))
    values = np.fromiter(reader.numbers("numbers in the motion"), np.float64)
    if values.size != count * width or not (np.abs(values) <= _LARGEST).all():
        raise BvhError(f"{path}: expected {count} frames of {width} finite numbers each, got {values.size} numbers.")
    if count * len(names) > max(_MOST_PLACES, values.size):
        raise BvhError(
            f"{path}: expected channels that move its {len(names)} joints through {count} frames, got {width}."
        )
    values = values.reshape(count, width)
    positions = np.tile(np.array(offsets), (count, 1, 1))
    rotations = np.tile(np.eye(3), (count, len(names), 1, 1))
    column = 0
    for joint, kinds in enumerate(channels):
        for kind in kinds:
            axis = "XYZ".index(kind[0])
            if kind.endswith("position"):
                positions[:, joint, axis] = values[:, column]
            else:
                rotations[:, joint] = rotations[:, joint] @ _about(axis, np.radians(values[:, column]))
            column += 1
    return Clip(tuple(names), tuple(parents), np.array(offsets), ends, positions, rotations, frame_time)


def _read_tree(
    reader: _Reader,
) -> tuple[list[str], list[int], list[np.ndarray], dict[int, np.ndarray], list[list[str]]]:
    """Names, parents, offsets, end sites and channels of the joints, in file order."""
    names: list[str] = []
    parents: list[int] = []
    offsets: list[np.ndarray] = []
    ends: dict[int, np.ndarray] = {}
    channels: list[list[str]] = []
    reader.expect("HIERARCHY")
    reader.expect("ROOT")
    open_joints = [-1]  # the joints whose braces are open
    while True:
        if len(open_joints) == 1 or reader.word == "JOINT":
            names.append(reader.rest_of_line("a joint's name"))
            parents.append(open_joints[-1])
            reader.expect("{", "OFFSET")
            offsets.append(np.array([reader.number("an offset") for _ in range(3)]))
            channels.append([])
            open_joints.append(len(names) - 1)
        elif reader.word == "CHANNELS":
            for _ in range(reader.count("the number of channels")):
                _, kind = reader.take("a channel")
                if kind not in (*POSITIONS, *ROTATIONS):
                    reader.wrong(f"a channel, one of {', '.join((*POSITIONS, *ROTATIONS))}")
                channels[open_joints[-1]].append(kind)
        elif reader.word == "End":
            reader.expect("Site", "{", "OFFSET")
            ends[open_joints[-1]] = np.array([reader.number("an offset") for _ in range(3)])
            reader.expect("}")
        elif reader.word == "}":
            open_joints.pop()
            if len(open_joints) == 1:
                return names, parents, offsets, ends, channels
        else:
            reader.wrong("JOINT, CHANNELS, End Site or }")
        reader.take("JOINT, CHANNELS, End Site or }")


class _Reader:
    """The words of a text one after the other, each with its line's number for the errors."""

    def __init__(self, path: str, text: str) -> None:
        self.path, self.line, self.word = path, 0, ""
        self._tokens: Iterator[tuple[int, str]] = (
            (number, word) for number, line in enumerate(text.splitlines(), 1) for word in line.split()
        )
        self._ahead = next(self._tokens, None)

    def take(self, what: str) -> tuple[int, str]:
        """The next word."""
        if self._ahead is None:
            raise BvhError(f"{self.path}: expected {what}, the file ends after line {self.line}.")
        (self.line, self.word), self._ahead = self._ahead, next(self._tokens, None)
        return self.line, self.word

    def expect(self, *words: str) -> None:
        for word in words:
            if self.take(repr(word))[1] != word:
                self.wrong(repr(word))

    def number(self, what: str) -> float:
        self.take(what)
        number = _number(self.word)
        if number is None or not abs(number) <= _LARGEST:  # NaN is not
            self.wrong(f"{what} (a number)")
        return number

    def count(self, what: str) -> int:
        number = self.number(what)
        if number < 0 or number != int(number):
            self.wrong(f"{what} (a whole number)")
        return int(number)

    def rest_of_line(self, what: str) -> str:
        """A name, which may hold spaces: the words up to the end of the line or an opening brace on it."""
        line, words = self.line, list[str]()
        while self._ahead is not None and self._ahead[0] == line and self._ahead[1] != "{":
            words.append(self.take(what)[1])
        if not words:
            self.take(what)
            self.wrong(f"{what} on line {line}")
        return " ".join(words)

    def numbers(self, what: str) -> Iterator[float]:
        """All words that are left."""
        while self._ahead is not None:
            self.take(what)
            number = _number(self.word)
            if number is None:
                self.wrong(what)
            yield number

    def wrong(self, expected: str) -> NoReturn:
        raise BvhError(f"{self.path}, line {self.line}: expected {expected}, got {self.word[:60]!r}.")


def _number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None


def _about(axis: int, angle: Float[np.ndarray, " F"]) -> Float[np.ndarray, "F 3 3"]:
    """Turns about a coordinate axis."""
    turn = np.tile(np.eye(3), (len(angle), 1, 1))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    turn[:, i, i] = turn[:, j, j] = np.cos(angle)
    turn[:, j, i] = np.sin(angle)
    turn[:, i, j] = -turn[:, j, i]
    return turn
