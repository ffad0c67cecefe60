"""Who was seen in a video, frame by frame, kept in a file so that a run that was stopped goes on where it was."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from humesh.body.joints import JOINT_SETS, JointSet
from humesh.images.photo import Person

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
            columns = ("frame", "track", "score", "box", "set", "keypoints", "landmarks")
            for number, track, score, box, name, points, deep in zip(*(data[c] for c in columns), strict=True):
                joint_set = JOINT_SETS.get(str(name))
                person = Person(
                    box, float(score), _read(points, joint_set), joint_set, _read(deep, joint_set), int(track)
                )
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
