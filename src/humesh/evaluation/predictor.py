"""A method's predictions of a benchmark's people: given, detected or found, photo by photo or track by track."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from operator import itemgetter

import numpy as np
import torch

from humesh.body.joints import COCO17
from humesh.body.pose import BodyPose
from humesh.crops.crops import ClipCrops, Crops
from humesh.data.sample import Sample
from humesh.evaluation.matching import by_overlap
from humesh.evaluation.predictions import Detections, Predictions, boxes_of
from humesh.evaluation.protocols import EvaluationError, Protocol
from humesh.media.photo import Photo
from humesh.methods.base import Method
from humesh.people.finder import PeopleFinder
from humesh.people.given import complete
from humesh.people.person import Person
from humesh.recover import Recoverer

Evaluated = tuple[int, Sample, list[int]]
"""A sample's number in its dataset, the sample, and the places of its people who are evaluated."""
_Given = tuple[list[Person], tuple[int, ...] | None]
"""The people a method gets, and, if that is known, the places of the labelled people who they are."""


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

    `find` finds people in a photo; `redetect`: labelled people get the keypoints that humesh's landmark model sees in
    their boxes. Nobody is left out for lack of keypoints: networks that need only a box get it, JOTR
    crops around it without heatmaps (as its authors do), and methods that start from keypoints get those that MediaPipe
    sees in it. `stage`: score what the method has after this step (see `Method.stages`). `window`: for temporal
    methods, whose tracks `over` follows by `LabelledPerson.identity`.
    """

    def __init__(
        self,
        recoverer: Recoverer,
        detections: Detections | None = None,
        find: Callable[[Photo], list[Person]] | None = None,
        stage: str = "",
        window: Window | None = None,
        redetect: bool = False,
    ) -> None:
        self.recoverer, self.detections, self.find, self.window = recoverer, detections, find, window
        self.redetect, self.skeleton = redetect, stage == "skeleton"
        if stage:
            known = self.recoverer.network.stages
            if stage not in known:
                raise EvaluationError(f"--stage {stage}: expected one of this method's: {', '.join(known) or 'none'}.")
            self.recoverer.network.use_stage(stage)

    @cached_property
    def _finder(self) -> PeopleFinder:
        return PeopleFinder()

    def __call__(self, sample: Sample, people: list[int]) -> Predictions:
        """The bodies of one photo's people; a temporal method sees this one frame."""
        given, labelled = self._people(sample, people)
        if not given:
            return self._finished(None, given, sample, labelled)
        crops = self.recoverer.crops(sample.photo, given)
        if not self.skeleton:
            return self._finished(self.recoverer.predict(crops).pose, given, sample, labelled)
        with torch.no_grad():
            prediction = self.recoverer.network(crops.map(lambda tensor: tensor.to(self.recoverer.device)))
        nothing, joints = torch.zeros(len(given), 0, 3), prediction.skeleton.cpu()[crops.wanted]
        return Predictions(nothing, joints, torch.zeros(len(given), 3), boxes_of(given), labelled)

    def matched_nobody(self, name: str) -> EvaluationError | None:
        """The error that nobody was matched, of detections that are for other photos than such as `name`."""
        return None if self.detections is None else self.detections.matched_nobody(name)

    def over(self, samples: Iterable[Evaluated]) -> Iterator[tuple[int, Sample, list[int], Predictions]]:
        """The bodies in samples that follow each other in a video, in windows of their tracks where there is one.

        The video's crops are held until its end, in half precision.
        """
        if self.window is None:
            for number, sample, people in samples:
                yield number, sample, people, self(sample, people)
            return
        video: list[tuple[Evaluated, _Given]] = []
        tracks: dict[int, list[_Frame]] = {}
        for number, sample, people in samples:
            given, labelled = self._people(sample, people, matched=True)
            crops = self.recoverer.crops(sample.photo, given) if given else None
            for row, place in enumerate(labelled or ()):
                assert crops is not None
                one = crops.map(itemgetter(slice(row, row + 1))).map(torch.clone)
                frame = _Frame(number, sample.time_s, replace(one, pixels=one.pixels.half()))
                tracks.setdefault(sample.people[place].identity, []).append(frame)
            video.append(((number, _without_pixels(sample), people), (given, labelled)))
        poses: dict[tuple[int, int], BodyPose] = {}
        for identity, frames in tracks.items():
            gaps = [i + 1 for i, (a, b) in enumerate(pairwise(frames)) if b.number != a.number + 1]
            for start, stop in pairwise([0, *gaps, len(frames)]):
                track = _track(frames[start:stop], self.recoverer, self.window)
                poses |= {(number, identity): pose for number, pose in track}
        for (number, sample, people), (given, labelled) in video:
            rows = [poses[number, sample.people[place].identity] for place in labelled or ()]
            pose = BodyPose.stacked(rows) if rows else None
            yield number, sample, people, self._finished(pose, given, sample, labelled)

    def _finished(
        self, pose: BodyPose | None, given: list[Person], sample: Sample, labelled: tuple[int, ...] | None
    ) -> Predictions:
        body, photo = self.recoverer.body, sample.photo
        if pose is None:  # of nobody
            pose = BodyPose.rest(0, shapes=body.shapes)
        else:
            pose = self.recoverer.fitted(pose, given, photo.camera, photo.size)
        with torch.no_grad():
            bodies = body(pose).cpu()
        return Predictions(bodies.vertices, bodies.joints, pose.translation, boxes_of(given), labelled)

    def _people(self, sample: Sample, people: list[int], matched: bool = False) -> _Given:
        """The people that the method gets; `matched`: only those whose labels are known."""
        labelled: tuple[int, ...] | None = None
        if self.detections is not None:
            given = self.detections.people(sample)
            places = tuple(person.track for person in given if person.track is not None)
            if len(places) == len(given) == len(set(places)):  # the file has whose keypoints they are
                rows = [row for row, place in enumerate(places) if place in people]
                given, labelled = [given[row] for row in rows], tuple(places[row] for row in rows)
            elif matched:
                pairs = by_overlap(boxes_of([sample.people[i].seen for i in people]), boxes_of(given), 0.1)
                given, labelled = [given[row] for row in pairs.values()], tuple(people[i] for i in pairs)
        elif self.find is not None:
            given = self.find(sample.photo)
        else:
            given, labelled = [sample.people[i].seen for i in people], tuple(people)
            if self.redetect:
                boxes = np.array([person.box for person in given]).reshape(-1, 4)
                given = self._finder.landmarks(sample.photo, boxes)
        return self._with_keypoints(given, sample.photo), labelled

    def _with_keypoints(self, people: list[Person], photo: Photo) -> list[Person]:
        """The people with keypoints, where the method needs some: those that MediaPipe sees, or none (JOTR)."""
        spec = self.recoverer.network.spec
        if spec.keypoints is None and not spec.landmarks:
            return people
        bare = [row for row, person in enumerate(people) if not _has_keypoints(person)]
        boxes = [replace(people[row], keypoints=None, keypoint_set=None, landmarks3d=None) for row in bare]
        if not spec.landmarks:
            nothing = np.zeros((len(COCO17), 3))
            completed = [replace(box, keypoints=nothing, keypoint_set=COCO17) for box in boxes]
        else:
            completed = complete(boxes, photo, self._finder.landmarks) if boxes else []
        by_row = dict(zip(bare, completed, strict=True))
        return [by_row.get(row, person) for row, person in enumerate(people)]


@dataclass(frozen=True, eq=False)
class _Frame:
    """One person in one sample of a video."""

    number: int
    time_s: float | None
    crop: Crops


def _track(frames: list[_Frame], recoverer: Recoverer, window: Window) -> Iterator[tuple[int, BodyPose]]:
    """The sample's number and the pose of each frame of one person, who is in all of them."""
    first, last, step = frames[0].time_s, frames[-1].time_s, 1 / window.fps
    if first is not None and last is not None and len(frames) > 1:
        step = (last - first) / (len(frames) - 1)
    seconds = step * window.interval * torch.arange(window.length)[None]
    for places, new in window.parts(len(frames)):
        crops = Crops.joined([frames[place].crop for place in places], dim=1)
        clip = ClipCrops(**vars(crops) | {"pixels": crops.pixels.float()}, seconds=seconds)
        pose = recoverer.predict(clip).pose
        for row, place in enumerate(places[:new]):
            yield frames[place].number, pose.map(itemgetter(row))


def _has_keypoints(person: Person) -> bool:
    return person.keypoints is not None and bool(np.asarray(person.keypoints)[:, 2].any())


def _without_pixels(sample: Sample) -> Sample:
    """The sample while it waits for its windows: its photo's size and camera are all that is needed of it."""
    black = np.broadcast_to(np.uint8(0), sample.photo.pixels.shape)
    return replace(sample, photo=replace(sample.photo, pixels=black))
