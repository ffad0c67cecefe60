"""What predicts a benchmark's people: a method, photo by photo or track by track, or anybody's file of predictions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from humesh.body.joints import COCO17, SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.crops.crops import ClipCrops, Crops
from humesh.data.sample import Sample
from humesh.evaluation.matching import by_overlap
from humesh.evaluation.protocols import EvaluationError, Protocol
from humesh.files import Array, check_arrays, read_arrays
from humesh.geometry.boxes import box_around
from humesh.media.photo import Photo
from humesh.methods.base import Method
from humesh.people.finder import PeopleFinder
from humesh.people.given import GivenPeople, complete
from humesh.people.person import Person
from humesh.recover import Recoverer

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
Evaluated = tuple[int, Sample, list[int]]
"""A sample's number in its dataset, the sample, and the places of its people who are evaluated."""
Predictor = Callable[[Sample, list[int]], Predictions]
"""From a sample, and the places of its people who are evaluated, to predictions."""
_Given = tuple[list[Person], tuple[int, ...] | None]
"""The people a method gets, and, if that is known, the places of the labelled people who they are."""
_Frame = tuple[int, float | None, Crops]
"""One person in one sample of a video: the sample's number, its time in seconds, and the crop."""


def boxes_of(people: Sequence[Person]) -> Float[Tensor, "P 4"]:
    """Everybody's box."""
    return torch.tensor(np.array([person.box for person in people]).reshape(-1, 4)).float()


class Detections:
    """People that a detector found, by photo, from a file (see `GivenPeople`)."""

    def __init__(self, path: Path) -> None:
        self.path, self._given = path, GivenPeople(path)
        self._sequences: dict[str, str] = {}  # of the file's photos

    def people(self, sample: Sample) -> list[Person]:
        """Those in a sample's photo."""
        names = self._given.names(sample.name)
        if len(names) > 1 or any(self._sequences.setdefault(n, sample.sequence) != sample.sequence for n in names):
            raise EvaluationError(
                f"--detections {self.path}: expected photos of several sequences distinguished by the folders in their "
                f"names, got {names[0]!r}, which may be in more than one; name them as the dataset's samples are."
            )
        return self._given.people(sample.name)


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
            arrays, _ALWAYS | layout, where=f"predictions {path}", what="arrays as in docs/benchmarks.md",
            error=EvaluationError, axes={"shapes": body.shapes},
        )  # fmt: skip
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


@dataclass(frozen=True)
class Window:
    """What a temporal method sees at once: `length` frames of a track, `interval` apart; `fps`: of the video."""

    length: int
    interval: int
    fps: float = 30.0

    @classmethod
    def of(cls, network: Method, protocol: Protocol, length: int | None = None) -> Window:
        """By the option `length`, the protocol, or the method's training; raises EvaluationError for no such window."""
        length = length or protocol.clip_length or network.spec.count or 16
        fps = protocol.fps or cls.fps
        if protocol.clip_span is None:
            return cls(length, getattr(network.config, "interval", 1), fps)
        if protocol.clip_span % length:
            raise EvaluationError(
                f"--frames {length}: expected a divisor of the {protocol.clip_span} frames that a window of "
                f"{protocol.name} spans (16, 32, 64 and 128 in INT's table 4)."
            )
        return cls(length, protocol.clip_span // length, fps)

    def parts(self, count: int) -> Iterator[tuple[list[int], int]]:
        """The passes over a track of `count` frames: places seen together, and how many of the first are new.

        A window of `length` times `interval` frames is split into `interval` interleaved parts; past the track's end
        its places are reflected there.
        """
        period, span = max(2 * (count - 1), 1), self.length * self.interval
        for start in range(0, count, span):
            for first in range(start, min(start + self.interval, count)):
                places = range(first, start + span, self.interval)
                folded = [place % period for place in places]
                yield [min(place, period - place) for place in folded], sum(place < count for place in places)


class MethodPredictor:
    """A recoverer's bodies of the labelled people as their detections have them, of `detections`, or of those found.

    `find`: of the people that the recoverer's finder finds; `redetect`: labelled people get keypoints of humesh's own
    landmark model. Nobody is left out for lack of keypoints: networks that need only a box get it, JOTR crops around it
    without heatmaps (as its authors do), others get the landmark model's. `stage`: score what the method has after this
    step (see `Method.stages`). `window`: of temporal methods, whose tracks `over` follows by `LabelledPerson.identity`.
    """

    def __init__(
        self,
        recoverer: Recoverer,
        detections: Detections | None = None,
        find: bool = False,
        stage: str = "",
        window: Window | None = None,
        redetect: bool = False,
    ) -> None:
        self.recoverer, self.detections, self.find, self.window = recoverer, detections, find, window
        self.redetect, self.skeleton = redetect, stage == "skeleton"
        if stage and stage not in (known := recoverer.network.stages):
            raise EvaluationError(f"--stage {stage}: expected one of this method's: {', '.join(known) or 'none'}.")
        if stage:
            recoverer.network.use_stage(stage)

    @cached_property
    def _finder(self) -> PeopleFinder:
        return PeopleFinder()

    def __call__(self, sample: Sample, people: list[int]) -> Predictions:
        """The bodies of one photo's people; a temporal method sees this one frame."""
        given, labelled = self._people(sample, people)
        if not given:
            return self._fitted(None, sample, given, labelled)
        crops = self.recoverer.crops(sample.photo, given)
        if not self.skeleton:
            return self._fitted(self.recoverer.predict(crops).pose, sample, given, labelled)
        with torch.no_grad():
            prediction = self.recoverer.network(crops.map(lambda tensor: tensor.to(self.recoverer.device)))
        nothing, joints = torch.zeros(len(given), 0, 3), prediction.skeleton.cpu()[crops.wanted]
        return Predictions(nothing, joints, torch.zeros(len(given), 3), boxes_of(given), labelled)

    def matched_nobody(self, name: str) -> EvaluationError | None:
        """The error that nobody was matched, of detections that are for other photos than such as `name`."""
        if self.detections is None:
            return None
        return EvaluationError(
            f"--detections {self.detections.path}: expected people in photos such as {name!r}, nobody was matched; "
            "check that photos are named so and boxes are in pixels of the stored photo."
        )

    def over(self, samples: Iterable[Evaluated]) -> Iterator[tuple[int, Sample, list[int], Predictions]]:
        """The bodies in samples that follow each other in a video, in windows of their tracks where there is one.

        The video's crops are held until its end, in half precision.
        """
        if self.window is None:
            for number, sample, people in samples:
                yield number, sample, people, self(sample, people)
            return
        video: list[tuple[Evaluated, list[Person], tuple[int, ...]]] = []
        tracks = defaultdict[int, list[_Frame]](list)
        for number, sample, people in samples:
            given, labelled = self._people(sample, people)
            labelled = labelled or ()
            crops = self.recoverer.crops(sample.photo, given) if given else None
            for row, place in enumerate(labelled):
                assert crops is not None
                one = crops.map(itemgetter(slice(row, row + 1))).map(torch.clone)
                frame = number, sample.time_s, replace(one, pixels=one.pixels.half())
                tracks[sample.people[place].identity].append(frame)
            # While a sample waits for its windows its photo's size and camera are all that is needed of it.
            black = np.broadcast_to(np.uint8(0), sample.photo.pixels.shape)
            sample = replace(sample, photo=replace(sample.photo, pixels=black))
            video.append(((number, sample, people), given, labelled))
        poses: dict[tuple[int, int], BodyPose] = {}
        for identity, frames in tracks.items():
            gaps = [i + 1 for i, (a, b) in enumerate(pairwise(frames)) if b[0] != a[0] + 1]
            for start, stop in pairwise([0, *gaps, len(frames)]):
                track = _track(frames[start:stop], self.recoverer, self.window)
                poses |= {(number, identity): pose for number, pose in track}
        for (number, sample, people), given, labelled in video:
            rows = [poses[number, sample.people[place].identity] for place in labelled]
            pose = BodyPose.stacked(rows) if rows else None
            yield number, sample, people, self._fitted(pose, sample, given, labelled)

    def _fitted(
        self, pose: BodyPose | None, sample: Sample, given: list[Person], labelled: tuple[int, ...] | None
    ) -> Predictions:
        pose = BodyPose.rest(0, shapes=self.recoverer.body.shapes) if pose is None else pose
        pose = self.recoverer.fitted(pose, given, sample.photo.camera, sample.photo.size)
        with torch.no_grad():
            bodies = self.recoverer.body(pose).cpu()
        return Predictions(bodies.vertices, bodies.joints, pose.translation, boxes_of(given), labelled)

    def _people(self, sample: Sample, people: list[int]) -> _Given:
        """The people that the method gets; of tracks only those whose labels are known."""
        labelled: tuple[int, ...] | None = None
        if self.detections is not None:
            given = self.detections.people(sample)
            places = tuple(person.track for person in given if person.track is not None)
            if len(places) == len(given) == len(set(places)):  # the file has whose keypoints they are
                rows = [row for row, place in enumerate(places) if place in people]
                given, labelled = [given[row] for row in rows], tuple(places[row] for row in rows)
            elif self.window is not None:
                pairs = by_overlap(boxes_of([sample.people[i].seen for i in people]), boxes_of(given), 0.1)
                given, labelled = [given[row] for row in pairs.values()], tuple(people[i] for i in pairs)
        elif self.find:
            given = self.recoverer.finder(sample.photo)
        else:
            given, labelled = [sample.people[i].seen for i in people], tuple(people)
            if self.redetect:
                boxes = np.array([person.box for person in given]).reshape(-1, 4)
                given = self._finder.landmarks(sample.photo, boxes)
        return self._with_keypoints(given, sample.photo), labelled

    def _with_keypoints(self, people: list[Person], photo: Photo) -> list[Person]:
        """The people with keypoints, where the method needs some: those of the landmark model, or none (JOTR)."""
        spec = self.recoverer.network.spec
        has_some = [person.keypoints is not None and bool(person.keypoints[:, 2].any()) for person in people]
        if all(has_some) or (spec.keypoints is None and not spec.landmarks):
            return people
        bare = [person for person, has in zip(people, has_some, strict=True) if not has]
        boxes = [replace(person, keypoints=None, keypoint_set=None, landmarks3d=None) for person in bare]
        if spec.landmarks:
            boxes = complete(boxes, photo, self._finder.landmarks)
        else:
            boxes = [replace(box, keypoints=np.zeros((len(COCO17), 3)), keypoint_set=COCO17) for box in boxes]
        completed = iter(boxes)
        return [person if has else next(completed) for person, has in zip(people, has_some, strict=True)]


def _track(frames: list[_Frame], recoverer: Recoverer, window: Window) -> Iterator[tuple[int, BodyPose]]:
    """The sample's number and the pose of each frame of one person, who is in all of them."""
    numbers, times, everywhere = zip(*frames, strict=True)
    step = 1 / window.fps
    if times[0] is not None and times[-1] is not None and len(times) > 1:
        step = (times[-1] - times[0]) / (len(times) - 1)
    seconds = step * window.interval * torch.arange(window.length)[None]
    for places, new in window.parts(len(frames)):
        crops = Crops.joined([everywhere[place] for place in places], dim=1)
        clip = ClipCrops(**vars(crops) | {"pixels": crops.pixels.float()}, seconds=seconds)
        pose = recoverer.predict(clip).pose
        for row, place in enumerate(places[:new]):
            yield numbers[place], pose.map(itemgetter(row))
