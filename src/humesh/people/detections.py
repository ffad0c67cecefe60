"""The people detected in a video, frame by frame, kept in a file so that an interrupted run goes on where it was."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from humesh.body.joints import JOINT_SETS, JointSet
from humesh.errors import HumeshError
from humesh.files import Array, read_arrays, write_arrays
from humesh.people.person import MASK_SIDE, Mask, Person

_POINTS = max(map(len, JOINT_SETS.values()))
_MASK_BYTES = MASK_SIDE * MASK_SIDE // 8
_LAYOUT = {
    "of": Array((), "text"),
    "times_s": Array(("frames",)),
    "frame": Array(("people",), "integer"),
    "track": Array(("people",), "integer"),
    "score": Array(("people",)),
    "box": Array(("people", 4)),
    "set": Array(("people",), "text"),
    "keypoints": Array(("people", _POINTS, 3), "float"),  # NaN: none
    "landmarks": Array(("people", _POINTS, 3), "float"),
    "mask": Array(("people", _MASK_BYTES), "integer"),
    "mask_place": Array(("people", 2, 3)),  # zeros: no mask
}


@dataclass
class VideoDetections:
    """The frames processed so far: their times in seconds, and the people in them, with tracks."""

    times: list[float] = field(default_factory=list)
    people: list[list[Person]] = field(default_factory=list)

    def save(self, path: Path, source: str) -> None:
        """Writes them as arrays; `source` names what they are detections of. The file appears only when complete."""
        rows = [(number, person) for number, some in enumerate(self.people) for person in some]
        count, everyone = len(rows), [person for _, person in rows]
        arrays: dict[str, Any] = {
            "of": np.array(source),
            "times_s": np.array(self.times, dtype=np.float64),
            "frame": np.array([number for number, _ in rows], dtype=np.int64),
            "track": np.array([person.track or 0 for person in everyone], dtype=np.int64),
            "score": np.array([person.score for person in everyone], dtype=np.float64),
            "box": np.array([person.box for person in everyone]).reshape(-1, 4),
            "set": np.array([p.keypoint_set.name if p.keypoint_set else "" for p in everyone], dtype="U32"),
            "keypoints": np.full((count, _POINTS, 3), np.nan),
            "landmarks": np.full((count, _POINTS, 3), np.nan),
            "mask": np.zeros((count, _MASK_BYTES), np.uint8),
            "mask_place": np.zeros((count, 2, 3)),
        }
        for row, person in enumerate(everyone):
            for name, points in (("keypoints", person.keypoints), ("landmarks", person.landmarks3d)):
                if points is not None:
                    arrays[name][row, : len(points)] = points
            if person.mask is not None:
                arrays["mask"][row] = np.frombuffer(zlib.decompress(person.mask.packed), np.uint8)
                arrays["mask_place"][row] = person.mask.photo_from_unit
        write_arrays(path, arrays, compressed=False)

    @classmethod
    def load(cls, path: Path, source: str) -> VideoDetections:
        """Those of a file, or none where it is not there, is damaged or is of another source."""
        try:
            data = read_arrays(path, _LAYOUT, what="the people of a video", error=HumeshError)
            times, frames = data["times_s"].tolist(), data["frame"]
            if str(data["of"]) != source or not ((frames >= 0) & (frames < len(times))).all():
                return cls()
            people: list[list[Person]] = [[] for _ in times]
            for row, number in enumerate(frames.tolist()):
                people[number].append(_person(data, row))
        except HumeshError:
            return cls()
        return cls(times, people)


def _person(data: dict[str, np.ndarray], row: int) -> Person:
    joint_set, place = JOINT_SETS.get(str(data["set"][row])), data["mask_place"][row]
    mask = None
    if np.linalg.det(place[:, :2]):
        mask = Mask(zlib.compress(data["mask"][row].astype(np.uint8).tobytes()), place)
    keypoints, landmarks = (_points(data[name][row], joint_set) for name in ("keypoints", "landmarks"))
    track = int(data["track"][row])
    return Person(data["box"][row], float(data["score"][row]), keypoints, joint_set, landmarks, track, mask)


def _points(row: np.ndarray, joint_set: JointSet | None) -> np.ndarray | None:
    if joint_set is None or np.isnan(row[0]).any():
        return None
    points = row[: len(joint_set)].copy()
    if not np.isfinite(points).all():
        raise HumeshError("points: expected finite numbers")
    return points
