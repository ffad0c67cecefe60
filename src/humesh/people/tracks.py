"""Tracking: people associated from frame to frame by where they should be, their keypoints and their colours."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, UInt8
from scipy.optimize import linear_sum_assignment

from humesh.geometry.boxes import box_iou
from humesh.people.person import Person

_PRIOR_S2 = (0.03 / 0.8) ** 2  # s^2: detections are 0.03 bodies off, walkers do 0.8 bodies a second
Colours = Float[np.ndarray, "64"]


@dataclass(frozen=True)
class TrackSettings:
    """How people are associated. Times in seconds; lengths in bodies, the longer side of a person's box.

    A lost person's track waits `keep_s`, that of somebody detected fewer than `confirm` times `keep_new_s`. Velocities
    are those of the detections of the last `memory_s`. People may be `slack` away from where they should be, and
    `slack_per_s` more for each second in which they were lost, `slack_most` at most. Pairs less similar than `least`
    (0..1) are not associated; being lost for `keep_s` costs `lost_cost`, other colours cost at most `colour_cost`.

    Chosen on OpenCV's vtest.avi (`benchmarks/tracking.py`).
    """

    keep_s: float = 3.0
    keep_new_s: float = 0.3
    confirm: int = 3
    memory_s: float = 1.0
    slack: float = 0.1
    slack_per_s: float = 0.3
    slack_most: float = 0.5
    least: float = 0.15
    lost_cost: float = 0.2
    colour_cost: float = 0.5


@dataclass(frozen=True, eq=False)
class Displacement:
    """Where a person is expected to have gone: by `shift`, and larger by `zoom` about its `centre`, px."""

    centre: Float[np.ndarray, "2"]
    shift: Float[np.ndarray, "2"]
    zoom: float

    def __call__(self, points: Float[np.ndarray, "*k 2"]) -> Float[np.ndarray, "*k 2"]:
        """Points of the last detection, where they are expected now."""
        return self.centre + self.shift + self.zoom * (points - self.centre)


class _Track:
    """One person through time: the last detection and the boxes of the last moments."""

    def __init__(self, number: int) -> None:
        self.number, self.detections = number, 0
        self.missed_at: float | None = None  # time of the first frame since in which it was not detected
        self.boxes: deque[tuple[float, float, float, float]] = deque()  # time, centre x, y, log of the size
        self.colours: Colours | None = None
        self.person: Person

    def add(self, person: Person, time_s: float, colours: Colours | None, memory_s: float) -> None:
        box = np.asarray(person.box, dtype=np.float64)
        centre, size = (box[:2] + box[2:]) / 2, np.maximum(box[2:] - box[:2], 1)
        self.boxes.append((time_s, *centre.tolist(), float(np.log(size).mean())))
        while self.boxes[0][0] < time_s - memory_s and len(self.boxes) > 2:
            self.boxes.popleft()
        self.detections, self.person, self.missed_at = self.detections + 1, person, None
        if colours is not None:
            self.colours = colours if self.colours is None else self.colours * 0.9 + colours * 0.1

    def displacement(self, time_s: float, memory_s: float) -> Displacement:
        """At constant velocity, which is the slope of the straight line through the last detections."""
        times, states = np.array(self.boxes)[:, 0], np.array(self.boxes)[:, 1:]
        since, offsets = time_s - times[-1], times - times.mean()
        rate = offsets @ (states - states[-1]) / (offsets @ offsets + _PRIOR_S2)
        return Displacement(states[-1, :2], rate[:2] * since, float(np.exp(rate[2] * min(since, memory_s))))


class Tracker:
    """Associates the people of frame after frame, whoever detected them; frames are given in the order of time.

    Every detection gets a track at once, so that nothing is lost of anybody; tracks of fewer than `confirm` detections
    are most likely no people: ask `confirmed` at the end. Time that goes back ends all tracks.
    """

    def __init__(self, settings: TrackSettings | None = None) -> None:
        self.settings = settings or TrackSettings()
        self._tracks: list[_Track] = []
        self._detections: dict[int, int] = {}  # of every track there ever was
        self._now = -np.inf

    def __call__(
        self, people: Sequence[Person], time_s: float, pixels: UInt8[np.ndarray, "H W 3"] | None = None
    ) -> list[Person]:
        """The same people in the same order, each with its track (1, 2, ... as they appear).

        `pixels` (RGB) are those of the frame; without them colours do not count.
        """
        if time_s < self._now:
            self.end()
        # Sorted, so that the order in which people are given does not matter.
        order = sorted(range(len(people)), key=lambda i: (*people[i].box.tolist(), people[i].score))
        ordered = [people[i] for i in order]
        colours = [None if pixels is None else colour_histogram(pixels, person.box) for person in ordered]
        tracked = list(people)
        for i, track, colour in zip(order, self._associated(ordered, colours, time_s), colours, strict=True):
            if track is None:
                track = _Track(max(self._detections, default=0) + 1)
                self._tracks.append(track)
            self._add(track, people[i], time_s, colour)
            tracked[i] = replace(people[i], track=track.number)
        self._advance(time_s)
        return tracked

    def go_on(self, people: Sequence[Person], time_s: float) -> None:
        """Takes over the people of a frame that was tracked before, with the tracks they have."""
        tracks = {track.number: track for track in self._tracks}
        for person in people:
            if person.track is not None:
                track = tracks.get(person.track) or _Track(person.track)
                self._add(track, person, time_s, None)
                self._tracks += [track] if person.track not in tracks else []
        self._advance(time_s)

    def end(self) -> None:
        """Ends all tracks, as at a scene cut."""
        self._tracks = []

    def confirmed(self, track: int) -> bool:
        """Whether a track was detected often enough to be somebody."""
        return self._detections.get(track, 0) >= self.settings.confirm

    def displacements(self, time_s: float, lost_s: float = 0.0) -> dict[int, Displacement]:
        """By track where people are expected: all who were detected in the last frame or within `lost_s` before."""
        return {
            track.number: track.displacement(time_s, self.settings.memory_s)
            for track in self._tracks
            if track.missed_at is None or self._now - track.missed_at < lost_s
        }

    def _add(self, track: _Track, person: Person, time_s: float, colours: Colours | None) -> None:
        track.add(person, time_s, colours, self.settings.memory_s)
        self._detections[track.number] = track.detections

    def _advance(self, time_s: float) -> None:
        """Drops tracks that have been lost for too long, counted from the frame that missed them first."""
        self._now = time_s
        for track in self._tracks:
            if track.boxes[-1][0] != time_s and track.missed_at is None:
                track.missed_at = time_s
        own = self.settings
        self._tracks = [
            track
            for track in self._tracks
            if track.missed_at is None
            or time_s - track.missed_at < (own.keep_s if track.detections >= own.confirm else own.keep_new_s)
        ]

    def _associated(
        self, people: Sequence[Person], colours: Sequence[Colours | None], time_s: float
    ) -> list[_Track | None]:
        """The track of each person, None for newcomers: the assignment whose summed similarity is highest."""
        tracks: list[_Track | None] = [None] * len(people)
        if people and self._tracks:
            worth = np.stack([self._similarity(track, people, colours, time_s) for track in self._tracks])
            worth = np.maximum(worth - self.settings.least, 0)
            for row, column in zip(*linear_sum_assignment(-worth), strict=True):
                if worth[row, column] > 0:
                    tracks[column] = self._tracks[row]
        return tracks

    def _similarity(
        self, track: _Track, people: Sequence[Person], colours: Sequence[Colours | None], time_s: float
    ) -> Float[np.ndarray, " P"]:
        """How much each person is the one of the track, up to 1: boxes and keypoints, less the costs."""
        own, displacement = self.settings, track.displacement(time_s, self.settings.memory_s)
        slack = min(own.slack + own.slack_per_s * (time_s - track.boxes[-1][0]), own.slack_most)
        boxes = np.stack([np.asarray(person.box, dtype=np.float64) for person in people])
        expected = displacement(np.asarray(track.person.box, dtype=np.float64).reshape(2, 2)).ravel()
        room = slack * np.max(expected[2:] - expected[:2]) * np.array([-1, -1, 1, 1])
        similar = box_iou(torch.from_numpy(expected + room), torch.from_numpy(boxes + room)).numpy()
        for i, person in enumerate(people):
            if similar[i] > 0:
                oks = keypoint_similarity(track.person, person, displacement, slack)
                similar[i] = similar[i] if oks is None else (similar[i] + oks) / 2
                if track.colours is not None and colours[i] is not None:
                    similar[i] -= own.colour_cost * (1 - track.colours @ colours[i])
        lost = 0.0 if track.missed_at is None else (time_s - track.missed_at) / own.keep_s
        return similar - own.lost_cost * lost


def keypoint_similarity(before: Person, now: Person, displacement: Displacement, sigma: float) -> float | None:
    """COCO's OKS of the joints that two detections share, after the displacement; every joint's sigma in bodies.

    None where either has no keypoints or they share none.
    """
    if before.keypoints is None or now.keypoints is None or before.keypoint_set is None or now.keypoint_set is None:
        return None
    old, new = before.keypoint_set.map_to(now.keypoint_set)
    one, other = before.keypoints[old], now.keypoints[new]
    weight = np.minimum(one[:, 2], other[:, 2])
    if not weight.sum():
        return None
    squared = np.sum((displacement(one[:, :2]) - other[:, :2]) ** 2, axis=1)
    reach = sigma * float(np.max(now.box[2:] - now.box[:2]))
    return float(weight @ np.exp(-squared / (2 * reach**2)) / weight.sum())


def colour_histogram(pixels: UInt8[np.ndarray, "H W 3"], box: Float[np.ndarray, "4"]) -> Colours | None:
    """Roots of the frequencies of 4 x 4 x 4 colours in the middle of a box's upper half, the clothes; None outside.

    The dot product of two is Bhattacharyya's coefficient, 1 for the same colours.
    """
    x0, y0, x1, y1 = box.tolist()
    wide, high = x1 - x0, y1 - y0
    first = np.maximum(np.floor([y0 + 0.1 * high, x0 + 0.25 * wide]), 0).astype(int)
    last = np.maximum(np.ceil([y0 + 0.5 * high, x1 - 0.25 * wide]), 0).astype(int)
    part = pixels[first[0] : last[0], first[1] : last[1]].reshape(-1, 3)
    if not len(part):
        return None
    part = part[:: max(len(part) // 4000, 1)] // 64
    counts = np.bincount(part.astype(np.int64) @ [16, 4, 1], minlength=64)
    return np.sqrt(counts / counts.sum())
