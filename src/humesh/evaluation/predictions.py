"""Predictions of a photo's people, anybody's from a file, and the detections that a method may be given."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from humesh.body.joints import SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.data.sample import Sample
from humesh.evaluation.protocols import EvaluationError
from humesh.files import Array, check_arrays, read_arrays
from humesh.geometry.boxes import box_around
from humesh.people.given import GivenPeople
from humesh.people.person import Person

_MOST_BYTES = 2**31  # of a file of predictions
_POINTS = {"points": Array(("people", "points", 3)), "point_names": Array(("points",), "text")}
_BODIES = {
    "rotations": Array(("people", len(SMPL24), 3, 3)),
    "shape": Array(("people", "shapes")),
    "translation": Array(("people", 3)),
}
_ALWAYS = {
    "name": Array(("people",), "text"),
    "box": Array(("people", 4), optional=True),
    "person": Array(("people",), "integer", optional=True),
}


@dataclass(frozen=True, eq=False)
class Predictions:
    """P predicted people of a photo, in metres in the camera's frame; V is 0 where there are joints alone.

    `people`: the labelled people, by their places in the sample, that these are for; None: they are to be matched.
    """

    vertices: Float[Tensor, "P V 3"]
    joints: Float[Tensor, "P K 3"]
    translation: Float[Tensor, "P 3"]
    boxes: Float[Tensor, "P 4"]  # x0 y0 x1 y1 px
    people: tuple[int, ...] | None = None
    joint_names: tuple[str, ...] = SMPL24.names

    def of(self, rows: Sequence[int]) -> Predictions:
        """The predictions in some rows, in that order."""
        people = None if self.people is None else tuple(self.people[row] for row in rows)
        return replace(self, people=people, **{name: getattr(self, name)[list(rows)] for name in _TENSORS})

    @classmethod
    def joined(cls, parts: Sequence[Predictions]) -> Predictions:
        """The people of several photos."""
        tensors: dict[str, Any] = {name: torch.cat([getattr(part, name) for part in parts]) for name in _TENSORS}
        return replace(parts[0], people=None, **tensors)

    def finite(self) -> Predictions:
        """Without those that have NaN or infinity somewhere: they count as missing."""
        finite = self.vertices.isfinite().flatten(1).all(1) & self.joints.isfinite().flatten(1).all(1)
        return self if finite.all() else self.of(finite.nonzero()[:, 0].tolist())


_TENSORS = tuple(field.name for field in fields(Predictions) if field.name not in ("people", "joint_names"))
Predictor = Callable[[Sample, list[int]], Predictions]
"""From a sample, and the places of its people that are evaluated, to predictions."""


def boxes_of(people: Sequence[Person]) -> Float[Tensor, "P 4"]:
    """Everybody's box."""
    return torch.tensor(np.array([person.box for person in people]).reshape(-1, 4)).float()


class Detections:
    """People that a detector found, by photo, from a file (see `GivenPeople`)."""

    def __init__(self, path: Path) -> None:
        self.path, self._given = path, GivenPeople(path)
        self._sequences: dict[str, str] = {}  # of the file's photos

    def people(self, sample: Sample) -> list[Person]:
        """The people found in a sample's photo."""
        names = self._given.names(sample.name)
        if len(names) > 1 or any(self._sequences.setdefault(n, sample.sequence) != sample.sequence for n in names):
            raise EvaluationError(
                f"--detections {self.path}: expected photos of several sequences distinguished by the folders in their "
                f"names, got {names[0]!r}, which may be in more than one; name them as the dataset's samples are."
            )
        return self._given.people(sample.name)

    def matched_nobody(self, name: str) -> EvaluationError:
        """The error that nobody was matched, although the benchmark has a photo of that name with people in it."""
        return EvaluationError(
            f"--detections {self.path}: expected people in photos such as {name!r}, nobody was matched; check that "
            "photos are named so and boxes are in pixels of the stored photo."
        )


class PredictionsFile:
    """Predictions of any system in a .npz, a row for each person.

    `name` (the samples' names), `rotations` N 24 3 3, `shape` N 10, `translation` N 3 (metres, camera frame); or, of
    skeletons, `points` N K 3 (metres, camera frame) with `point_names` K. Optionally `box` N 4 (px; else that around
    the joints) and `person` (the place, among the sample's people, of the one the row is for; else people are matched
    by their boxes).
    """

    def __init__(self, path: Path, body: BodyModel) -> None:
        self.path, self.body = path, body
        arrays = read_arrays(path, what="a .npz file of predictions", error=EvaluationError, most_bytes=_MOST_BYTES)
        layout = _POINTS if "points" in arrays else _BODIES
        sizes = check_arrays(
            arrays,
            _ALWAYS | layout,
            where=f"predictions {path}",
            what="arrays as in docs/benchmarks.md",
            error=EvaluationError,
            axes={"shapes": body.shapes},
        )
        if not sizes["people"]:
            raise EvaluationError(f"predictions {path}: expected a row for each person, got none.")
        self.joint_names = tuple(map(str, arrays["point_names"].tolist())) if layout is _POINTS else ()
        self._people = arrays.get("person")
        names = ({*layout, "box"} - {"point_names"}) & arrays.keys()
        self._tensors = {name: torch.from_numpy(arrays[name]).float() for name in names}
        self._rows = defaultdict[str, list[int]](list)
        for row, sample in enumerate(arrays["name"].tolist()):
            self._rows[sample].append(row)

    def __call__(self, sample: Sample, people: list[int]) -> Predictions:
        rows = self._rows.get(sample.name, [])
        own = {name: tensor[rows] for name, tensor in self._tensors.items()}
        if self.joint_names:
            vertices, joints, translation = torch.zeros(len(rows), 0, 3), own["points"], torch.zeros(len(rows), 3)
        else:
            translation = own["translation"]
            with torch.no_grad():
                bodies = self.body(BodyPose(own["rotations"], own["shape"], translation))
            vertices, joints = bodies.vertices, bodies.joints
        boxes = own["box"] if "box" in own else box_around(sample.photo.camera.project(joints))
        given = None if self._people is None else tuple(self._people[rows].tolist())
        return Predictions(vertices, joints, translation, boxes, given, self.joint_names or SMPL24.names)

    def matched_nobody(self, name: str) -> EvaluationError:
        """The error that nobody was matched, although the benchmark has a photo of that name with people in it."""
        if name in self._rows:
            return EvaluationError(
                f"predictions {self.path}: expected bodies near the labelled people, nobody was matched; check that "
                "they are in metres in the camera's frame (x right, y down, z forward)."
            )
        others = ", ".join(repr(other) for other in list(self._rows)[:2])
        return EvaluationError(
            f"predictions {self.path}: expected predictions for photos such as {name!r}, got those for {others} ...; "
            "name the rows as the dataset's samples are named."
        )
