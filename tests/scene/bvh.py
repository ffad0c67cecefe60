"""A reader of our BVH files for tests, written from the format: angles are composed from left to right."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation


@dataclass(eq=False)
class Clip:
    """Joints in file order, per frame their places in the parent and rotations; lengths in the file's unit."""

    names: list[str]
    parents: list[int]
    offsets: np.ndarray  # J x 3
    end_sites: dict[int, np.ndarray]
    positions: np.ndarray  # F x J x 3
    rotations: np.ndarray  # F x J x 3 x 3
    frame_time: float

    def joints(self) -> np.ndarray:
        """F x J x 3 in the file's unit and axes."""
        at, turns = self.positions.copy(), self.rotations.copy()
        for joint, parent in enumerate(self.parents):
            if parent >= 0:
                at[:, joint] = at[:, parent] + (turns[:, parent] @ at[:, joint, :, None])[..., 0]
                turns[:, joint] = turns[:, parent] @ turns[:, joint]
        return at


def read_bvh(path: Path) -> Clip:
    hierarchy, _, motion = path.read_text(encoding="ascii").partition("MOTION\n")
    names, parents, offsets, channels, ends = [], [], [], [], {}
    above, ending = [-1], False
    for word, *rest in map(str.split, hierarchy.splitlines()):
        if word in ("ROOT", "JOINT"):
            names.append(" ".join(rest))
            parents.append(above[-1])
            above.append(len(names) - 1)
        elif word == "End":
            ending = True
            above.append(above[-1])
        elif word == "OFFSET" and ending:
            ends[above[-1]] = np.array(rest, float)
        elif word == "OFFSET":
            offsets.append(np.array(rest, float))
        elif word == "CHANNELS":
            assert int(rest[0]) == len(rest) - 1
            channels.append(rest[1:])
        elif word == "}":
            above.pop()
            ending = False
    assert above == [-1]
    (_, count), (_, _, seconds), *rows = map(str.split, motion.splitlines())
    columns = iter(np.array(rows, float).T)
    positions = np.tile(np.stack(offsets), (int(count), 1, 1))
    rotations = np.tile(np.eye(3), (int(count), len(names), 1, 1))
    for joint, channel in ((joint, channel) for joint, some in enumerate(channels) for channel in some):
        axis, kind = channel[0], channel[1:]
        if kind == "position":
            positions[:, joint, "XYZ".index(axis)] = next(columns)
        else:
            turn = Rotation.from_euler(axis.lower(), next(columns)[:, None], degrees=True).as_matrix()
            rotations[:, joint] = rotations[:, joint] @ turn
    assert next(columns, None) is None
    assert len(rows) == int(count)
    return Clip(names, parents, np.stack(offsets), ends, positions, rotations, float(seconds))
