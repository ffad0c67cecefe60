"""Who was seen in a video, frame by frame, kept in a file so that a run that was stopped goes on where it was."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from humesh.body.joints import JOINT_SETS, JointSet
from humesh.errors import HumeshError
from humesh.files import Array, read_arrays, write_arrays
from humesh.people.masks import SIDE, Mask
from humesh.people.person import Person

_NOWHERE = np.zeros((2, 3))
_POINTS = max(map(len, JOINT_SETS.values()))
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
    "mask": Array(("bytes",), "integer"),
    "mask_end": Array(("people",), "integer"),
    "mask_place": Array(("people", 2, 3)),
}


@dataclass
class VideoDetections:
    """The frames looked at so far: their times in seconds, and the people in them, with tracks."""

    times: list[float] = field(default_factory=list)
    people: list[list[Person]] = field(default_factory=list)

    def save(self, path: Path, of: str) -> None:
        """Writes them as arrays; `of` says what they are of. The file appears only when whole."""
        rows = [(number, person) for number, some in enumerate(self.people) for person in some]
        arrays: dict[str, Any] = {"of": np.array(of), "times_s": np.array(self.times, dtype=np.float64)}
        arrays["frame"] = np.array([number for number, _ in rows], dtype=np.int64)
        arrays["track"] = np.array([person.track or 0 for _, person in rows], dtype=np.int64)
        arrays["score"] = np.array([person.score for _, person in rows])
        arrays["box"] = np.array([person.box for _, person in rows]).reshape(-1, 4)
        arrays["set"] = np.array([p.keypoint_set.name if p.keypoint_set else "" for _, p in rows], dtype="U32")
        arrays["keypoints"] = np.array([_padded(person.keypoints) for _, person in rows]).reshape(-1, _POINTS, 3)
        arrays["landmarks"] = np.array([_padded(person.landmarks3d) for _, person in rows]).reshape(-1, _POINTS, 3)
        masks = [person.mask for _, person in rows]
        packed = [np.frombuffer(mask.packed if mask else b"", np.uint8) for mask in masks]
        arrays["mask"] = np.concatenate([*packed, np.zeros(0, np.uint8)])
        arrays["mask_end"] = np.cumsum([len(each) for each in packed], dtype=np.int64)
        arrays["mask_place"] = np.array([m.photo_from_unit if m else _NOWHERE for m in masks]).reshape(-1, 2, 3)
        write_arrays(path, arrays, compressed=False)

    @classmethod
    def load(cls, path: Path, of: str) -> VideoDetections:
        """Those of a file, or none where it is not there, is damaged, contradicts itself or is of something else."""
        try:
            data = read_arrays(path, _LAYOUT, what="the people of a video", error=HumeshError)
            if str(data["of"]) != of:
                return cls()
            times = data["times_s"].tolist()
            if not _agrees(data, len(times)):
                return cls()
            people: list[list[Person]] = [[] for _ in times]
            packed = [part.tobytes() for part in np.split(data["mask"], data["mask_end"])]
            columns = ("frame", "track", "score", "box", "set", "keypoints", "landmarks", "mask_place")
            rows = zip(*(data[column] for column in columns), packed[: len(data["frame"])], strict=True)
            for number, track, score, box, name, points, deep, place, bits in rows:
                joint_set = JOINT_SETS.get(str(name))
                keypoints, landmarks = _read(points, joint_set), _read(deep, joint_set)
                mask = _mask(bits, place) if bits else None
                person = Person(box, float(score), keypoints, joint_set, landmarks, int(track), mask)
                people[int(number)].append(person)
            return cls(times, people)
        except HumeshError:
            return cls()


def _agrees(data: dict[str, np.ndarray], frames: int) -> bool:
    """Whether everybody's frame and mask is there."""
    ends = data["mask_end"]
    in_order = (np.diff(ends, prepend=0, append=len(data["mask"])) >= 0).all()
    return bool(in_order) and bool(((data["frame"] >= 0) & (data["frame"] < frames)).all())


def _padded(points: np.ndarray | None) -> np.ndarray:
    """Points in rows of one length, NaN where there are none."""
    rows = np.full((_POINTS, 3), np.nan)
    if points is not None:
        rows[: len(points)] = points
    return rows


def _read(points: np.ndarray, joint_set: JointSet | None) -> np.ndarray | None:
    if joint_set is None or np.isnan(points[0]).any():
        return None
    if not np.isfinite(points[: len(joint_set)]).all():
        raise HumeshError("points: expected finite numbers")
    return points[: len(joint_set)].copy()


def _mask(bits: bytes, place: np.ndarray) -> Mask:
    inside = zlib.decompressobj()
    try:
        size = len(inside.decompress(bits, SIDE * SIDE // 8 + 1))
    except zlib.error:
        size = 0
    if size != SIDE * SIDE // 8 or not inside.eof or not np.linalg.det(place[:, :2]):
        raise HumeshError(f"mask: expected {SIDE} x {SIDE} pixels in a region")
    return Mask(bits, place)
