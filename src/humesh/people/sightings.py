"""Who was seen in a video, frame by frame, kept in a file so that a run that was stopped goes on where it was."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from humesh.body.joints import JOINT_SETS, JointSet
from humesh.images.masks import Mask
from humesh.images.photo import Person

_NOWHERE = np.zeros((2, 3))
_POINTS = max(map(len, JOINT_SETS.values()))


@dataclass
class Sightings:
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
        part = path.with_name(f".{path.name}.part")
        with part.open("wb") as stream:
            np.savez(stream, **arrays)
        os.replace(part, path)

    @classmethod
    def load(cls, path: Path, of: str) -> Sightings:
        """Those of a file, or none where it is not there, is damaged or is of something else."""
        try:
            with np.load(path, allow_pickle=False) as file:
                data = {name: file[name] for name in file.files}
            if str(data["of"]) != of:
                return cls()
            times = data["times_s"].tolist()
            people: list[list[Person]] = [[] for _ in times]
            packed = [part.tobytes() for part in np.split(data["mask"], data["mask_end"])]
            columns = ("frame", "track", "score", "box", "set", "keypoints", "landmarks", "mask_place")
            rows = zip(*(data[column] for column in columns), packed[: len(data["frame"])], strict=True)
            for number, track, score, box, name, points, deep, place, bits in rows:
                joint_set = JOINT_SETS.get(str(name))
                keypoints, landmarks = _read(points, joint_set), _read(deep, joint_set)
                mask = Mask(bits, place) if bits else None
                person = Person(box, float(score), keypoints, joint_set, landmarks, int(track), mask)
                people[int(number)].append(person)
            return cls(times, people)
        except (OSError, ValueError, KeyError, IndexError, EOFError, BadZipFile):
            return cls()


def _padded(points: np.ndarray | None) -> np.ndarray:
    """Points in rows of one length, NaN where there are none."""
    rows = np.full((_POINTS, 3), np.nan)
    if points is not None:
        rows[: len(points)] = points
    return rows


def _read(points: np.ndarray, joint_set: JointSet | None) -> np.ndarray | None:
    if joint_set is None or np.isnan(points[0]).any():
        return None
    return points[: len(joint_set)].copy()
