"""Reading BVH, the text format of motion capture: a skeleton at rest and its joints' angles, frame by frame.

A rotation is the product of its channels from left to right, for column vectors. `humesh.scene.mocap` writes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from humesh.errors import HumeshError
from humesh.files import read_text

POSITIONS = ("Xposition", "Yposition", "Zposition")
ROTATIONS = ("Zrotation", "Xrotation", "Yrotation")
_MOST_BYTES = 2**29  # of a file
_MOST_PLACES = 2**18  # joints times frames of a file that has fewer numbers
_LARGEST = 1e9  # of all numbers, whatever their unit


class BvhError(HumeshError, ValueError):
    """A BVH file that cannot be read; the sentence says the line, what was expected and what was found."""


@dataclass(frozen=True, eq=False)
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
        """Joint positions in the file's unit and axes."""
        at, turns = self.positions.copy(), self.rotations.copy()
        for joint, parent in enumerate(self.parents):
            if parent >= 0:
                at[:, joint] = at[:, parent] + (turns[:, parent] @ at[:, joint, :, None])[..., 0]
                turns[:, joint] = turns[:, parent] @ turns[:, joint]
        return at


def read_bvh(path: str | Path) -> Clip:
    """A clip from a file with one root, any channels in any order, in whatever unit; raises BvhError."""
    words = _Words(str(path), read_text(path, what="a BVH text file", error=BvhError, most_bytes=_MOST_BYTES))
    tree = _read_tree(words)
    words.expect("MOTION", "Frames:")
    count = words.count("the number of frames")
    words.expect("Frame", "Time:")
    frame_time = words.number("seconds a frame")
    if frame_time < 0:
        words.fail("seconds a frame, 0 at least")
    names, width = tree.names, sum(map(len, tree.channels))
    values = np.fromiter(words.rest("numbers in the motion"), np.float64)
    if values.size != count * width or not (np.abs(values) <= _LARGEST).all():
        raise BvhError(f"{path}: expected {count} frames of {width} finite numbers each, got {values.size} numbers.")
    if count * len(names) > max(_MOST_PLACES, values.size):
        raise BvhError(
            f"{path}: expected channels that move its {len(names)} joints through {count} frames, got {width}."
        )
    offsets = np.array(tree.offsets)
    positions, rotations = np.tile(offsets, (count, 1, 1)), np.tile(np.eye(3), (count, len(names), 1, 1))
    columns = iter(values.reshape(count, width).T)
    for joint, channels in enumerate(tree.channels):
        for channel in channels:
            if channel in POSITIONS:
                positions[:, joint, POSITIONS.index(channel)] = next(columns)
            else:
                turn = Rotation.from_euler(channel[0].lower(), next(columns)[:, None], degrees=True)
                rotations[:, joint] = rotations[:, joint] @ turn.as_matrix()
    return Clip(tuple(names), tuple(tree.parents), offsets, tree.ends, positions, rotations, frame_time)


@dataclass(eq=False)
class _Tree:
    """The joints in file order."""

    names: list[str] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    offsets: list[list[float]] = field(default_factory=list)
    channels: list[list[str]] = field(default_factory=list)
    ends: dict[int, np.ndarray] = field(default_factory=dict)


def _read_tree(words: _Words) -> _Tree:
    words.expect("HIERARCHY", "ROOT")
    tree, open_joints = _Tree(), [-1]  # the joints whose braces are open
    while True:
        if len(open_joints) == 1 or words.word == "JOINT":
            tree.names.append(words.rest_of_line("a joint's name"))
            tree.parents.append(open_joints[-1])
            tree.channels.append([])
            open_joints.append(len(tree.names) - 1)
            words.expect("{", "OFFSET")
            tree.offsets.append([words.number("an offset") for _ in range(3)])
        elif words.word == "CHANNELS":
            for _ in range(words.count("the number of channels")):
                channel = words.take("a channel")
                if channel not in (*POSITIONS, *ROTATIONS):
                    words.fail(f"a channel, one of {', '.join((*POSITIONS, *ROTATIONS))}")
                tree.channels[open_joints[-1]].append(channel)
        elif words.word == "End":
            words.expect("Site", "{", "OFFSET")
            tree.ends[open_joints[-1]] = np.array([words.number("an offset") for _ in range(3)])
            words.expect("}")
        elif words.word == "}":
            open_joints.pop()
            if len(open_joints) == 1:
                return tree
        else:
            words.fail("JOINT, CHANNELS, End Site or }")
        words.take("JOINT, CHANNELS, End Site or }")


class _Words:
    """The words of a text one after the other, each with its line's number for the errors."""

    def __init__(self, path: str, text: str) -> None:
        self.path, self.line, self.word = path, 0, ""
        self._words = ((number, word) for number, line in enumerate(text.splitlines(), 1) for word in line.split())
        self._ahead = next(self._words, None)

    def take(self, what: str) -> str:
        """The next word."""
        if self._ahead is None:
            raise BvhError(f"{self.path}: expected {what}, the file ends after line {self.line}.")
        (self.line, self.word), self._ahead = self._ahead, next(self._words, None)
        return self.word

    def expect(self, *words: str) -> None:
        for word in words:
            if self.take(repr(word)) != word:
                self.fail(repr(word))

    def number(self, what: str) -> float:
        number = self._float(self.take(what), f"{what} (a number)")
        if not abs(number) <= _LARGEST:  # NaN is not
            self.fail(f"{what} (a number)")
        return number

    def count(self, what: str) -> int:
        number = self.number(what)
        if number < 0 or number != int(number):
            self.fail(f"{what} (a whole number)")
        return int(number)

    def rest_of_line(self, what: str) -> str:
        """A name, which may hold spaces: the words up to the end of the line or an opening brace on it."""
        line, words = self.line, list[str]()
        while self._ahead is not None and self._ahead[0] == line and self._ahead[1] != "{":
            words.append(self.take(what))
        if not words:
            self.take(what)
            self.fail(f"{what} on line {line}")
        return " ".join(words)

    def rest(self, what: str) -> Iterator[float]:
        """All numbers that are left."""
        while self._ahead is not None:
            yield self._float(self.take(what), what)

    def _float(self, word: str, what: str) -> float:
        try:
            return float(word)
        except ValueError:
            self.fail(what)

    def fail(self, expected: str) -> NoReturn:
        raise BvhError(f"{self.path}, line {self.line}: expected {expected}, got {self.word[:60]!r}.")
