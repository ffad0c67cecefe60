"""A method's bodies of the people of a benchmark: given, detected or found, photo by photo or track by track."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import itemgetter
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from humesh.body.joints import COCO17, SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import Bodies, BodyPose
from humesh.crops.crops import ClipCrops, Crops
from humesh.data.sample import Sample
from humesh.evaluation.answers import Answers, Detections, by_overlap
from humesh.evaluation.protocols import Protocol as Benchmark
from humesh.evaluation.subsets import EvaluationError
from humesh.geometry.camera import Camera
from humesh.media.photo import Photo
from humesh.methods.base import Method, Prediction
from humesh.people.finder import PeopleFinder
from humesh.people.given import complete
from humesh.people.person import Person
from humesh.scene.result import Result

Evaluated = tuple[int, Sample, list[int]]
"""A sample's number in its data set, the sample, and the places of its people who are evaluated."""


@runtime_checkable
class Recovers(Protocol):
    """What is used of `humesh.recover.Recoverer`."""

    network: Method | None
    body: BodyModel

    def __call__(self, photo: object, people: list[Person] | None = None) -> Result: ...

    def cut(self, photo: Photo, people: list[Person]) -> Crops | None:
        """The crops of some people of a photo."""

    def answers(self, crops: Crops) -> BodyPose:
        """The network's own poses of the wanted crops."""

    def finished(self, pose: BodyPose, people: list[Person], camera: Camera, size: tuple[int, int]) -> Prediction:
        """The poses fitted to the people's keypoints."""


@dataclass(frozen=True)
class Window:
    """What a temporal method sees at once: `length` frames of a track, `interval` apart; `fps`: of the video."""

    length: int
    interval: int
    fps: float = 30.0

    @classmethod
    def of(cls, network: Method, protocol: Benchmark, length: int | None = None) -> Window:
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

    @property
    def span(self) -> int:
        """From the first frame of a window to the first one of the next."""
        return self.length * self.interval

    def parts(self, start: int, count: int) -> Iterator[tuple[list[int], int]]:
        """The window at `start` of a track of `count` frames: places seen together, and how many are their first time.

        It is split into `interval` interleaved parts; past the track's end its places are reflected there.
        """
        period = max(2 * (count - 1), 1)
        for first in range(start, min(start + self.interval, count)):
            places = range(first, start + self.span, self.interval)
            folded = [place % period for place in places]
            yield [min(place, period - place) for place in folded], sum(place < count for place in places)


@dataclass
class _Track:
    """One person in consecutive samples: the samples, crops of those from `dropped` on; up to `posed` poses are known.

    Of frames before `posed` a window's length of crops is kept, for what is reflected at the end.
    """

    numbers: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    crops: list[Crops] = field(default_factory=list)
    dropped: int = 0
    posed: int = 0


class Estimates:
    """A recoverer's bodies of the labelled people as they are seen, of `detections`, or of whom `find` finds.

    Nobody is left out for lack of keypoints: networks that need only a box get it, JOTR puts its crop around it without
    heatmaps (as its authors do), and methods that start from keypoints get those that MediaPipe sees in it. `stage`:
    score what the method has after this step (see `Method.stages`). `window`: for temporal methods, whose tracks `over`
    follows by `LabelledPerson.identity`.
    """

    def __init__(
        self,
        recoverer: Recovers,
        detections: Detections | None = None,
        find: Callable[[Photo], list[Person]] | None = None,
        stage: str = "",
        window: Window | None = None,
    ) -> None:
        self.recoverer, self.detections, self.find, self.window = recoverer, detections, find, window
        self.skeleton = stage == "skeleton"
        if stage:
            known = () if recoverer.network is None else recoverer.network.stages
            if recoverer.network is None or stage not in known:
                raise EvaluationError(f"--stage {stage}: expected one of this method's: {', '.join(known) or 'none'}.")
            recoverer.network.use_stage(stage)

    @cached_property
    def _finder(self) -> PeopleFinder:
        return PeopleFinder()

    def __call__(self, sample: Sample, people: list[int]) -> Answers:
        """The bodies of one photo's people; a temporal method sees this one frame."""
        seen, asked = self._people(sample, people)
        photo, network = sample.photo, self.recoverer.network
        if network is None:
            recovery = self.recoverer(photo, seen)
            kept = {id(person.box): place for place, person in enumerate(seen)}  # who comes back is another object
            asked = None if asked is None else tuple(asked[kept[id(person.box)]] for person in recovery.people)
            return Answers(recovery.bodies, recovery.pose.translation, _boxes(recovery.people), asked)
        crops = self.recoverer.cut(photo, seen) if seen else None
        if crops is None:
            return self._answers(BodyPose.rest(0, shapes=self.recoverer.body.shapes), [], sample, asked)
        if self.skeleton:
            device = next(network.parameters()).device
            with torch.no_grad():
                points: Tensor = network(crops.map(lambda tensor: tensor.to(device))).skeleton.cpu()[crops.wanted]
            nobody = Bodies(torch.zeros(len(seen), 0, 3), points, self.recoverer.body.faces)
            return Answers(nobody, torch.zeros(len(seen), 3), _boxes(seen), asked, points, SMPL24.names)
        return self._answers(self.recoverer.answers(crops), seen, sample, asked)

    def over(self, samples: Iterable[Evaluated]) -> Iterator[tuple[int, Sample, list[int], Answers]]:
        """The bodies in samples that follow each other in a video, in windows of their tracks where there is one."""
        if self.window is None or self.find is not None:
            for number, sample, people in samples:
                yield number, sample, people, self(sample, people)
            return
        waiting: deque[tuple[Evaluated, list[Person], tuple[int, ...]]] = deque()
        tracks: dict[int, _Track] = {}
        poses: dict[tuple[int, int], BodyPose] = {}
        for number, sample, people in samples:
            seen, asked = self._people(sample, people, matched=True)
            assert asked is not None
            crops = self.recoverer.cut(sample.photo, seen) if seen else None
            here = [sample.people[place].identity for place in asked]
            ended = [who for who, track in tracks.items() if who not in here or track.numbers[-1] != number - 1]
            for who in ended:
                poses.update(self._posed(who, tracks.pop(who), ended=True))
            for row, who in enumerate(here):
                track = tracks.setdefault(who, _Track())
                track.numbers.append(number)
                track.times.append(len(track.times) / self.window.fps if sample.time_s is None else sample.time_s)
                assert crops is not None
                track.crops.append(_of_row(crops, row))
                if len(track.numbers) - track.posed > self.window.span:
                    poses.update(self._posed(who, track))
            waiting.append(((number, _without_pixels(sample), people), seen, asked))
            while waiting and all((n, who) in poses for n, who in _keys(waiting[0])):
                yield self._ready(waiting.popleft(), poses)
        for who, track in tracks.items():
            poses.update(self._posed(who, track, ended=True))
        while waiting:
            yield self._ready(waiting.popleft(), poses)

    def _posed(self, who: int, track: _Track, ended: bool = False) -> dict[tuple[int, int], BodyPose]:
        """The poses of one track's next window by sample and person; `ended`: of all that is left of it."""
        assert self.window is not None
        poses, count = {}, len(track.numbers)
        step = (track.times[-1] - track.times[0]) / (count - 1) if count > 1 else 1 / self.window.fps
        seconds = step * self.window.interval * torch.arange(self.window.length)[None]
        while track.posed < count and (ended or track.posed + self.window.span <= count):
            for places, new in self.window.parts(track.posed, count):
                crops = Crops.joined([track.crops[place - track.dropped] for place in places], dim=1)
                clip = ClipCrops(**vars(crops) | {"pixels": crops.pixels.float()}, seconds=seconds)
                pose = self.recoverer.answers(clip)
                for row, place in enumerate(places[:new]):
                    poses[track.numbers[place], who] = pose.map(itemgetter(row))
            track.posed += self.window.span
        gone = max(min(track.posed, count) - self.window.span - track.dropped, 0)
        track.crops, track.dropped = track.crops[gone:], track.dropped + gone
        return poses

    def _ready(
        self, entry: tuple[Evaluated, list[Person], tuple[int, ...]], poses: dict[tuple[int, int], BodyPose]
    ) -> tuple[int, Sample, list[int], Answers]:
        (number, sample, people), seen, asked = entry
        rows = [poses.pop(key) for key in _keys(entry)]
        pose = BodyPose.stacked(rows) if rows else BodyPose.rest(0, shapes=self.recoverer.body.shapes)
        return number, sample, people, self._answers(pose, seen, sample, asked)

    def _answers(self, pose: BodyPose, seen: list[Person], sample: Sample, asked: tuple[int, ...] | None) -> Answers:
        if seen:
            pose = self.recoverer.finished(pose, seen, sample.photo.camera, sample.photo.size).pose
        with torch.no_grad():
            bodies = self.recoverer.body(pose).cpu()
        return Answers(bodies, pose.translation, _boxes(seen), asked)

    def _people(
        self, sample: Sample, people: list[int], matched: bool = False
    ) -> tuple[list[Person], tuple[int, ...] | None]:
        """Who the method is asked for, and, if that is known, the labelled people's places whom they are."""
        asked: tuple[int, ...] | None = None
        if self.detections is not None:
            seen = self.detections.people(sample)
            places = tuple(person.track for person in seen if person.track is not None)
            if len(places) == len(seen) == len(set(places)):  # the file says whose keypoints they are
                kept = [(person, place) for person, place in zip(seen, places, strict=True) if place in people]
                seen, asked = [person for person, _ in kept], tuple(place for _, place in kept)
            elif matched:
                of = by_overlap(_boxes([sample.people[i].seen for i in people]), _boxes(seen), 0.1)
                seen, asked = [seen[k] for k in of.values()], tuple(people[i] for i in of)
        elif self.find is not None:
            seen = self.find(sample.photo)
        else:
            seen, asked = [sample.people[i].seen for i in people], tuple(people)
        return self._with_keypoints(seen, sample.photo), asked

    def _with_keypoints(self, seen: list[Person], photo: Photo) -> list[Person]:
        """The people with keypoints, where the method needs some: those that MediaPipe sees, or none (JOTR)."""
        network = self.recoverer.network
        if network is not None and network.spec.keypoints is None and not network.spec.landmarks:
            return seen
        blind = [row for row, person in enumerate(seen) if not _shows_keypoints(person)]
        boxes = [replace(seen[row], keypoints=None, keypoint_set=None, landmarks3d=None) for row in blind]
        if network is not None and not network.spec.landmarks:
            nothing = np.zeros((len(COCO17), 3))
            looked = [replace(box, keypoints=nothing, keypoint_set=COCO17) for box in boxes]
        else:
            looked = complete(boxes, photo, self._finder.landmarks) if boxes else []
        found = dict(zip(blind, looked, strict=True))
        return [found.get(row, person) for row, person in enumerate(seen)]


def _keys(entry: tuple[Evaluated, list[Person], tuple[int, ...]]) -> list[tuple[int, int]]:
    (number, sample, _), _, asked = entry
    return [(number, sample.people[place].identity) for place in asked]


def _shows_keypoints(person: Person) -> bool:
    return person.keypoints is not None and bool(np.asarray(person.keypoints)[:, 2].any())


def _of_row(crops: Crops, row: int) -> Crops:
    one = crops.map(itemgetter(slice(row, row + 1))).map(torch.clone)
    return replace(one, pixels=one.pixels.half())


def _boxes(people: list[Person]) -> Tensor:
    return torch.tensor(np.array([person.box for person in people]).reshape(-1, 4)).float()


def _without_pixels(sample: Sample) -> Sample:
    """The sample while it waits for its windows: its photo's size and camera are all that is needed of it."""
    black = np.broadcast_to(np.uint8(0), sample.photo.pixels.shape)
    return replace(sample, photo=replace(sample.photo, pixels=black))
