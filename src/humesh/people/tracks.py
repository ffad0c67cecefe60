"""Who is who from frame to frame: people linked by where they should be, how they stand and what they wear."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, UInt8

from humesh.geometry.assignment import assigned
from humesh.geometry.boxes import box_iou
from humesh.people.person import Person

_PRIOR_S2 = (0.03 / 0.8) ** 2  # s^2: a find is 0.03 bodies off (MediaPipe, vtest.avi), walkers do 0.8 bodies a second


@dataclass(frozen=True)
class TrackSettings:
    """How people are linked. Times in seconds; lengths in bodies, the longer side of a person's box.

    A lost person's track waits `keep_s`, that of somebody found fewer than `confirm` times `keep_new_s`. Velocities are
    those of the finds of the last `memory_s`. People may be `slack` away from where they should be, and `slack_per_s`
    more for each second in which they were not seen, `slack_most` at the most. Pairs less alike than `least` (0..1) are
    not linked; being lost for `keep_s` costs `lost_cost` and other colours cost `colour_cost` at the most.

    Chosen on frames 0-300 of OpenCV's vtest.avi, all of them, every second and every third, with keypoints and without:
    7 switches; any one number half as large or half as much again makes 6 to 9.
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


@dataclass(frozen=True)
class Motion:
    """How a person has moved since it was found: away by `shift` and larger by `zoom` about its `centre`, px."""

    centre: Float[np.ndarray, "2"]
    shift: Float[np.ndarray, "2"]
    zoom: float

    def __call__(self, points: Float[np.ndarray, "*k 2"]) -> Float[np.ndarray, "*k 2"]:
        """Points of the person as it was found, where they are expected now."""
        return self.centre + self.shift + self.zoom * (points - self.centre)


class _Track:
    """One person through time; what is kept of it is its last find and the boxes of a moment."""

    def __init__(self, number: int) -> None:
        self.number, self.finds = number, 0
        self.missed_at: float | None = None  # time of the first frame in which it was not found
        self.boxes: deque[tuple[float, float, float, float]] = deque()  # time, centre x, y, log of the size
        self.colours: Float[np.ndarray, "64"] | None = None
        self.person: Person

    def add(self, person: Person, time_s: float, colours: Float[np.ndarray, "64"] | None, memory_s: float) -> None:
        box = np.asarray(person.box, dtype=np.float64)
        centre, size = (box[:2] + box[2:]) / 2, np.maximum(box[2:] - box[:2], 1)
        self.boxes.append((time_s, *centre.tolist(), float(np.log(size).mean())))
        while self.boxes[0][0] < time_s - memory_s and len(self.boxes) > 2:
            self.boxes.popleft()
        self.finds, self.person, self.missed_at = self.finds + 1, person, None
        if colours is not None:
            self.colours = colours if self.colours is None else self.colours * 0.9 + colours * 0.1

    def motion(self, time_s: float, memory_s: float) -> Motion:
        """At constant velocity, which is the slope of the straight line through the last finds."""
        times, states = np.array(self.boxes)[:, 0], np.array(self.boxes)[:, 1:]
        since = time_s - times[-1]
        offsets = times - times.mean()
        rate = offsets @ (states - states[-1]) / (offsets @ offsets + _PRIOR_S2)
        return Motion(states[-1, :2], rate[:2] * since, float(np.exp(rate[2] * min(since, memory_s))))


class Tracker:
    """Links the people of frame after frame, whoever found them; give each frame's people in the order of time.

    Every find gets a track at once, so nothing is lost of anybody; tracks that were found fewer than `confirm` times
    are most likely no people: ask `confirmed` at the end. Time that goes back ends all tracks.
    """

    def __init__(self, settings: TrackSettings | None = None) -> None:
        self.settings = settings or TrackSettings()
        self._tracks: list[_Track] = []
        self._finds: dict[int, int] = {}  # of every track there ever was
        self._now = -np.inf

    def __call__(
        self, people: Sequence[Person], time_s: float, pixels: UInt8[np.ndarray, "H W 3"] | None = None
    ) -> list[Person]:
        """The same people in the same order, each with its track (1, 2, ... as they appear).

        `pixels` (RGB) are those of the frame; without them colours do not count.
        """
        if time_s < self._now:
            self.end()
        self._now = time_s
        order = sorted(range(len(people)), key=lambda i: (*people[i].box.tolist(), people[i].score))
        found = [people[i] for i in order]  # so that the order in which they were given does not matter
        colours = [None if pixels is None else colours_of(pixels, person.box) for person in found]
        linked = self._linked(found, colours, time_s)
        answer = list(people)
        for i, person, colour, track in zip(order, found, colours, linked, strict=True):
            if track is None:
                track = _Track(max(self._finds, default=0) + 1)
                self._tracks.append(track)
            track.add(person, time_s, colour, self.settings.memory_s)
            self._finds[track.number] = track.finds
            answer[i] = replace(person, track=track.number)
        self._tracks = [track for track in self._tracks if self._waits(track, time_s)]
        return answer

    def go_on(self, people: Sequence[Person], time_s: float) -> None:
        """Takes over the people of a frame that was tracked before, with the tracks they have."""
        self._now = time_s
        tracks = {track.number: track for track in self._tracks}
        for person in people:
            if person.track is not None:
                track = tracks.get(person.track) or _Track(person.track)
                track.add(person, time_s, None, self.settings.memory_s)
                self._tracks += [track] if person.track not in tracks else []
                self._finds[track.number] = track.finds
        self._tracks = [track for track in self._tracks if self._waits(track, time_s)]

    def end(self) -> None:
        """Ends all tracks, as at a scene cut."""
        self._tracks = []

    def confirmed(self, track: int) -> bool:
        """Whether a track was found often enough to be somebody."""
        return self._finds.get(track, 0) >= self.settings.confirm

    def motions(self, time_s: float, lost_s: float = 0.0) -> dict[int, Motion]:
        """How people will have moved by then, by track: of all who were found in the last frame or not long before."""
        return {
            track.number: track.motion(time_s, self.settings.memory_s)
            for track in self._tracks
            if track.missed_at is None or self._now - track.missed_at < lost_s
        }

    def _waits(self, track: _Track, time_s: float) -> bool:
        if track.boxes[-1][0] == time_s:
            return True
        if track.missed_at is None:  # counted from here, not from the last find: frames may be far apart
            track.missed_at = time_s
        keep = self.settings.keep_s if track.finds >= self.settings.confirm else self.settings.keep_new_s
        return time_s - track.missed_at < keep

    def _linked(
        self, people: Sequence[Person], colours: Sequence[Float[np.ndarray, "64"] | None], time_s: float
    ) -> list[_Track | None]:
        """The track of each person, None for newcomers: the assignment whose summed likeness is highest."""
        linked: list[_Track | None] = [None] * len(people)
        if not people or not self._tracks:
            return linked
        worth = np.zeros((len(self._tracks), len(people)))
        for row, track in zip(worth, self._tracks, strict=True):
            row[:] = self._likeness(track, people, colours, time_s) - self.settings.least
        rows, columns = assigned(-np.maximum(worth, 0))
        for row, column in zip(rows, columns, strict=True):
            if worth[row, column] > 0:
                linked[column] = self._tracks[row]
        return linked

    def _likeness(
        self,
        track: _Track,
        people: Sequence[Person],
        colours: Sequence[Float[np.ndarray, "64"] | None],
        time_s: float,
    ) -> Float[np.ndarray, " P"]:
        """How much each person is the one of the track, up to 1: boxes and keypoints, less what speaks against it."""
        own, motion = self.settings, track.motion(time_s, self.settings.memory_s)
        since = time_s - track.boxes[-1][0]
        slack = min(own.slack + own.slack_per_s * since, own.slack_most)
        boxes = np.stack([np.asarray(person.box, dtype=np.float64) for person in people])
        expected = motion(np.asarray(track.person.box, dtype=np.float64).reshape(2, 2)).ravel()
        room = slack * np.max(expected[2:] - expected[:2]) * np.array([-1, -1, 1, 1])
        alike = box_iou(torch.from_numpy(expected + room), torch.from_numpy(boxes + room)).numpy()
        for i, person in enumerate(people):
            if alike[i] > 0:
                pose = keypoint_likeness(track.person, person, motion, slack)
                alike[i] = alike[i] if pose is None else (alike[i] + pose) / 2
                if track.colours is not None and colours[i] is not None:
                    alike[i] -= own.colour_cost * (1 - track.colours @ colours[i])
        waited = 0.0 if track.missed_at is None else (time_s - track.missed_at) / own.keep_s
        return alike - own.lost_cost * waited


def keypoint_likeness(before: Person, now: Person, motion: Motion, sigma: float) -> float | None:
    """COCO's OKS of the joints that two finds share, after the motion; every joint's sigma in bodies.

    None where either has no keypoints or they share none.
    """
    if before.keypoints is None or now.keypoints is None or before.keypoint_set is None or now.keypoint_set is None:
        return None
    old, new = before.keypoint_set.map_to(now.keypoint_set)
    one, other = before.keypoints[old], now.keypoints[new]
    weight = np.minimum(one[:, 2], other[:, 2])
    if not weight.sum():
        return None
    squared = np.sum((motion(one[:, :2]) - other[:, :2]) ** 2, axis=1)
    reach = sigma * float(np.max(now.box[2:] - now.box[:2]))
    return float(weight @ np.exp(-squared / (2 * reach**2)) / weight.sum())


def colours_of(pixels: UInt8[np.ndarray, "H W 3"], box: Float[np.ndarray, "4"]) -> Float[np.ndarray, "64"] | None:
    """Roots of the shares of 4 x 4 x 4 colours in the middle of a box's upper half, the clothes; None outside.

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
