"""The people detected in a video, frame by frame, kept in a file so that an interrupted run goes on where it was."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from humesh.body.joints import JOINT_SETS
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
    "landmarks3d": Array(("people", _POINTS, 3), "float"),
    "mask": Array(("people", _MASK_BYTES), "integer"),
    "mask_place": Array(("people", 2, 3)),  # zeros: no mask
}


@dataclass
class VideoDetections:
    """The frames processed so far: their times in seconds, and the people in them, with tracks."""

    times: list[float] = field(default_factory=list)
    people: list[list[Person]] = field(default_factory=list)

    def save(self, path: Path, of: str) -> None:
        """Writes them as arrays; `of` names what they are detections of. The file appears only when complete."""
        frames = [number for number, some in enumerate(self.people) for _ in some]
        count = len(frames)
        arrays = {
            "of": np.array(of),
            "times_s": np.array(self.times, dtype=np.float64),
            "frame": np.array(frames, dtype=np.int64),
            "track": np.zeros(count, np.int64),
            "score": np.zeros(count),
            "box": np.zeros((count, 4)),
            "set": np.full(count, "", dtype="U32"),
            "keypoints": np.full((count, _POINTS, 3), np.nan),
            "landmarks3d": np.full((count, _POINTS, 3), np.nan),
            "mask": np.zeros((count, _MASK_BYTES), np.uint8),
            "mask_place": np.zeros((count, 2, 3)),
        }
        for row, person in enumerate(person for some in self.people for person in some):
            arrays["track"][row], arrays["score"][row] = person.track or 0, person.score
            arrays["box"][row] = person.box
            arrays["set"][row] = person.keypoint_set.name if person.keypoint_set else ""
            if person.keypoints is not None:
                arrays["keypoints"][row, : len(person.keypoints)] = person.keypoints
            if person.landmarks3d is not None:
                arrays["landmarks3d"][row, : len(person.landmarks3d)] = person.landmarks3d
            if person.mask is not None:
                arrays["mask"][row] = np.frombuffer(zlib.decompress(person.mask.packed), np.uint8)
                arrays["mask_place"][row] = person.mask.photo_from_unit
        write_arrays(path, arrays, compressed=False)

    @classmethod
    def load(cls, path: Path, of: str) -> VideoDetections:
        """Those of a file, or none where it is not there, is damaged or is of something else."""
        try:
            data = read_arrays(path, _LAYOUT, what="the people of a video", error=HumeshError)
            times, frames = data["times_s"].tolist(), data["frame"]
            if str(data["of"]) != of or not ((frames >= 0) & (frames < len(times))).all():
                return cls()
            people: list[list[Person]] = [[] for _ in times]
            for row, number in enumerate(frames.tolist()):
                people[number].append(_person(data, row))
        except HumeshError:
            return cls()
        return cls(times, people)


def _person(data: dict[str, np.ndarray], row: int) -> Person:
    joint_set, place = JOINT_SETS.get(str(data["set"][row])), data["mask_place"][row]
    points: dict[str, np.ndarray | None] = {"keypoints": None, "landmarks3d": None}
    for name in points if joint_set else ():
        own = data[name][row, : len(joint_set or ())]
        if not np.isnan(own[0]).any():
            points[name] = own.copy()
            if not np.isfinite(own).all():
                raise HumeshError("points: expected finite numbers")
    mask = None
    if np.linalg.det(place[:, :2]):
        mask = Mask(zlib.compress(data["mask"][row].astype(np.uint8).tobytes()), place)
    score, track = float(data["score"][row]), int(data["track"][row])
    return Person(data["box"][row], score, keypoint_set=joint_set, track=track, mask=mask, **points)
