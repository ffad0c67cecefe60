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
_COLUMNS: dict[str, tuple[tuple[int, ...], str, str]] = {  # of each person: shape, dtype, kind of array
    "frame": ((), "i8", "integer"),
    "track": ((), "i8", "integer"),
    "score": ((), "f8", "number"),
    "box": ((4,), "f8", "number"),
    "set": ((), "U32", "text"),
    "keypoints": ((_POINTS, 3), "f8", "float"),  # NaN: none
    "landmarks3d": ((_POINTS, 3), "f8", "float"),
    "mask": ((_MASK_BYTES,), "u1", "integer"),
    "mask_place": ((2, 3), "f8", "number"),  # zeros: no mask
}
_LAYOUT = {name: Array(("people", *shape), kind) for name, (shape, _, kind) in _COLUMNS.items()} | {
    "of": Array((), "text"),
    "times_s": Array(("frames",)),
}


@dataclass
class VideoDetections:
    """The frames processed so far: their times in seconds, and the people in them, with tracks."""

    times: list[float] = field(default_factory=list)
    people: list[list[Person]] = field(default_factory=list)

    def save(self, path: Path, of: str) -> None:
        """Writes them as arrays; `of` names what they are detections of. The file appears only when complete."""
        rows = [(number, person) for number, some in enumerate(self.people) for person in some]
        arrays = {name: np.zeros((len(rows), *shape), dtype) for name, (shape, dtype, _) in _COLUMNS.items()}
        arrays["keypoints"][:] = arrays["landmarks3d"][:] = np.nan
        for row, (number, person) in enumerate(rows):
            arrays["frame"][row], arrays["track"][row], arrays["score"][row] = number, person.track or 0, person.score
            arrays["box"][row] = person.box
            arrays["set"][row] = person.keypoint_set.name if person.keypoint_set else ""
            if person.keypoints is not None:
                arrays["keypoints"][row, : len(person.keypoints)] = person.keypoints
            if person.landmarks3d is not None:
                arrays["landmarks3d"][row, : len(person.landmarks3d)] = person.landmarks3d
            if person.mask is not None:
                arrays["mask"][row] = np.frombuffer(zlib.decompress(person.mask.packed), np.uint8)
                arrays["mask_place"][row] = person.mask.photo_from_unit
        arrays |= {"of": np.array(of), "times_s": np.array(self.times, dtype=np.float64)}
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
