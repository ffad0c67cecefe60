"""Where answers to a benchmark's photos come from: a recoverer, with whose detections, or a file of predictions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from humesh.body.joints import SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import Bodies, BodyPose
from humesh.data.sample import Sample
from humesh.evaluation.subsets import EvaluationError
from humesh.files import Array, check_arrays, read_arrays
from humesh.geometry.boxes import box_around, box_iou
from humesh.geometry.rotations import rotation_from_axis_angle
from humesh.people.given import GivenPeople
from humesh.people.person import Person

_MOST_BYTES = 2**31  # of a file of predictions
_ALWAYS = {
    "name": Array(("people",), "text"),
    "box": Array(("people", 4), optional=True),
    "person": Array(("people",), "integer", optional=True),
}


@dataclass(frozen=True)
class Answers:
    """The bodies of P people of a photo (metres, camera frame); `asked`: whom each is for, if they were given.

    `points`: joints that are measured instead of the bodies', whose meshes then have no vertices.
    """

    bodies: Bodies
    translation: Float[Tensor, "P 3"]
    boxes: Float[Tensor, "P 4"]  # x0 y0 x1 y1 px
    asked: tuple[int, ...] | None = None  # places in the sample's people
    points: Float[Tensor, "P K 3"] | None = None
    point_names: tuple[str, ...] = ()

    def of(self, rows: list[int]) -> Answers:
        """The answers of some places, in that order."""
        return replace(
            self,
            bodies=Bodies(self.bodies.vertices[rows], self.bodies.joints[rows], self.bodies.faces),
            translation=self.translation[rows],
            boxes=self.boxes[rows],
            asked=None if self.asked is None else tuple(self.asked[k] for k in rows),
            points=None if self.points is None else self.points[rows],
        )


Answer = Callable[[Sample, list[int]], Answers]
"""From a sample, and the places of the people who are evaluated, to what is said of them."""


def by_overlap(truths: Float[Tensor, "G 4"], boxes: Float[Tensor, "P 4"], least: float) -> dict[int, int]:
    """Pairs of boxes (place in `truths`: place in `boxes`) from the largest overlap on, each box once."""
    overlap = box_iou(truths[:, None], boxes[None])
    found: dict[int, int] = {}
    for pair in overlap.flatten().sort(descending=True, stable=True).indices.tolist():
        i, k = divmod(pair, len(boxes))
        if float(overlap[i, k]) >= least and i not in found and k not in found.values():
            found[i] = k
    return found


class Detections:
    """People that a detector found, by photo: one file (see `GivenPeople`), or a folder with SEQUENCE.json for each."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._by_sequence = path.is_dir() and not any(path.rglob("*_keypoints.json"))
        self._of: dict[str, GivenPeople] = {}
        self._sequence_of: dict[str, str] = {}
        if not self._by_sequence:
            self._of[""] = GivenPeople(path)

    def people(self, sample: Sample) -> list[Person]:
        """The people found in a sample's photo."""
        if self._by_sequence:
            if sample.sequence not in self._of:
                self._of[sample.sequence] = GivenPeople(self.path / f"{sample.sequence}.json")
            return self._of[sample.sequence].people(sample.name)
        names = self._of[""].names(sample.name)
        if len(names) > 1 or any(self._sequence_of.setdefault(n, sample.sequence) != sample.sequence for n in names):
            raise EvaluationError(
                f"--detections {self.path}: expected photos of several sequences told apart by the folders in their "
                f"names, got {names[0]!r}, which may be in more than one; or give a folder with one SEQUENCE.json each."
            )
        return self._of[""].people(sample.name)


class PredictionsFile:
    """Predictions of any system in a .npz, a row for each person: how anything outside of humesh is scored.

    `name` (the samples' names), `rotations` N 24 3 3 or `pose` N 72 (axis-angle), `shape` N 10, `translation` N 3 in
    the camera's frame; or, of skeletons, `points` N K 3 (metres, camera frame) with `point_names` K. Optionally `box`
    N 4 (px; else that around the joints) and `person` (the place, in the sample's people, of whom the row is for; else
    people are matched by their boxes).
    """

    def __init__(self, path: Path, body: BodyModel) -> None:
        self.path, self.body = path, body
        arrays = read_arrays(path, what="a .npz file of predictions", error=EvaluationError, most_bytes=_MOST_BYTES)
        posed = {"shape": Array(("people", body.shapes)), "translation": Array(("people", 3))}
        if "points" in arrays:
            layout = {"points": Array(("people", "points", 3)), "point_names": Array(("points",), "text")}
        elif "pose" in arrays and "rotations" not in arrays:
            layout = {"pose": Array(("people", 3 * len(SMPL24))), **posed}
        else:
            layout = {"rotations": Array(("people", len(SMPL24), 3, 3)), **posed}
        sizes = check_arrays(
            arrays,
            _ALWAYS | layout,
            where=f"predictions {path}",
            what="arrays as in docs/benchmarks.md",
            error=EvaluationError,
        )
        if not sizes["people"]:
            raise EvaluationError(f"predictions {path}: expected a row for each person, got none.")
        if "pose" in layout:
            vectors = torch.from_numpy(arrays["pose"].astype(np.float64)).reshape(-1, len(SMPL24), 3)
            arrays["rotations"] = rotation_from_axis_angle(vectors).numpy()
        self.point_names = tuple(map(str, arrays["point_names"].tolist())) if "points" in arrays else ()
        self.arrays, self.rows = arrays, defaultdict[str, list[int]](list)
        for row, sample in enumerate(arrays["name"].tolist()):
            self.rows[sample].append(row)

    def __call__(self, sample: Sample, people: list[int]) -> Answers:
        rows = self.rows.get(sample.name, [])
        points: Tensor | None = None
        if self.point_names:
            points, translation = self._taken("points", rows), torch.zeros(len(rows), 3)
            bodies = Bodies(torch.zeros(len(rows), 0, 3), torch.zeros(len(rows), len(SMPL24), 3), self.body.faces)
        else:
            translation = self._taken("translation", rows)
            with torch.no_grad():
                bodies = self.body(BodyPose(self._taken("rotations", rows), self._taken("shape", rows), translation))
        if "box" in self.arrays:
            boxes = self._taken("box", rows)
        else:
            boxes = box_around(sample.photo.camera.project(bodies.joints if points is None else points))
        asked = tuple(self.arrays["person"][rows].tolist()) if "person" in self.arrays else None
        return Answers(bodies, translation, boxes, asked, points, self.point_names)

    def tell_of_others(self, name: str) -> None:
        """EvaluationError: nobody was matched, although the benchmark has a photo of that name with people in it."""
        if name in self.rows:
            raise EvaluationError(
                f"predictions {self.path}: expected bodies near the labelled people, nobody was matched; check that "
                "they are in metres in the camera's frame (x right, y down, z forward)."
            )
        others = ", ".join(repr(other) for other in list(self.rows)[:2])
        raise EvaluationError(
            f"predictions {self.path}: expected answers for photos such as {name!r}, got those for {others} ...; "
            "name the rows as the data set's samples are named."
        )

    def _taken(self, name: str, rows: list[int]) -> Tensor:
        return torch.from_numpy(self.arrays[name][rows]).float()
