"""The people of a video: searched for now and then, followed in between, and tracked."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from scipy.optimize import linear_sum_assignment

from humesh.geometry.boxes import box_iou
from humesh.media.photo import Photo
from humesh.people.finder import person_of
from humesh.people.networks import Pose
from humesh.people.person import Person

# Seconds, and lengths in bodies, the longer side of a person's box; chosen on vtest.avi (`benchmarks/tracking.py`).
KEEP_S, _KEEP_NEW_S = 3.0, 0.3  # that a lost person's track waits, and that of somebody hardly detected yet
CONFIRM = 3
"""Detections of a track from which it is most likely somebody."""
_MEMORY_S = 1.0  # velocities are those of the detections of this time
_SLACK, _SLACK_PER_S, _MOST_SLACK = 0.1, 0.3, 0.5  # how far from their expected place people are, and the longer lost
_LEAST = 0.15  # similarity, 0..1; less similar people are not associated
_LOST_COST, _COLOUR_COST = 0.2, 0.5  # of similarity, for being lost for KEEP_S and for other colours
_PRIOR_S2 = (0.03 / 0.8) ** 2  # s^2: detections are 0.03 bodies off, walkers do 0.8 bodies a second

PersonFinder = Callable[[Photo], list[Person]]
"""Whatever finds the people of a photo."""
_Colours = Float[np.ndarray, "64"]


@dataclass(frozen=True, eq=False)
class Displacement:
    """Where a person is expected to have gone: by `shift`, and larger by `zoom` about its `centre`, px."""

    centre: Float[np.ndarray, "2"]
    shift: Float[np.ndarray, "2"]
    zoom: float

    def __call__(self, points: Float[np.ndarray, "*k 2"]) -> Float[np.ndarray, "*k 2"]:
        """Points of the last detection, where they are expected now."""
        return self.centre + self.shift + self.zoom * (points - self.centre)

    def of_pose(self, pose: Pose) -> Pose:
        """The pose where it is expected now."""
        roi = pose.next_roi
        x, y = self(np.array([roi.x, roi.y])).tolist()
        points = np.concatenate([self(pose.points[:, :2]), pose.points[:, 2:]], axis=1)
        return replace(pose, points=points, next_roi=replace(roi, x=x, y=y, side=roi.side * self.zoom))


class _Track:
    """One person through time: the last detection, and how it moved in the last moments."""

    def __init__(self, number: int) -> None:
        self.number, self.detections = number, 0
        self.missed_at: float | None = None  # time of the first frame since in which it was not detected
        self.path: deque[Float[np.ndarray, "4"]] = deque()  # time; x, y, log of the size since the first detection
        self.colours: _Colours | None = None
        self.person: Person

    def add(self, person: Person, time_s: float, colours: _Colours | None) -> None:
        moved = self.path[-1][1:] + _movement(self.person, person) if self.path else np.zeros(3)
        self.path.append(np.array([time_s, *moved]))
        while self.path[0][0] < time_s - _MEMORY_S and len(self.path) > 2:
            self.path.popleft()
        self.detections, self.person, self.missed_at = self.detections + 1, person, None
        if colours is not None:
            self.colours = colours if self.colours is None else self.colours * 0.9 + colours * 0.1

    def waits(self, time_s: float) -> bool:
        """Whether somebody not detected may come back, counted from the first frame in which it was missed."""
        if self.path[-1][0] != time_s and self.missed_at is None:
            self.missed_at = time_s
        keep_s = KEEP_S if self.detections >= CONFIRM else _KEEP_NEW_S
        return self.missed_at is None or time_s - self.missed_at < keep_s

    def displacement(self, time_s: float) -> Displacement:
        """At constant velocity, which is the slope of the straight line through the last detections."""
        times, states = np.split(np.array(self.path), [1], axis=1)
        since, offsets = time_s - times[-1, 0], times[:, 0] - times.mean()
        rate = offsets @ (states - states[-1]) / (offsets @ offsets + _PRIOR_S2)
        centre, keypoints = np.asarray(self.person.box, dtype=np.float64).reshape(2, 2).mean(0), self.person.keypoints
        if keypoints is not None and keypoints[:, 2].any():
            centre = np.average(keypoints[:, :2], axis=0, weights=keypoints[:, 2])
        return Displacement(centre, rate[:2] * since, float(np.exp(rate[2] * min(since, _MEMORY_S))))

    def similarity(
        self, people: Sequence[Person], colours: Sequence[_Colours | None], time_s: float
    ) -> Float[np.ndarray, " P"]:
        """How much each person is this one, up to 1: boxes and keypoints, less the costs."""
        displacement = self.displacement(time_s)
        slack = min(_SLACK + _SLACK_PER_S * (time_s - self.path[-1][0]), _MOST_SLACK)
        boxes = np.stack([np.asarray(person.box, dtype=np.float64) for person in people])
        expected = displacement(np.asarray(self.person.box, dtype=np.float64).reshape(2, 2)).ravel()
        room = slack * np.max(expected[2:] - expected[:2]) * np.array([-1, -1, 1, 1])
        similar = box_iou(torch.from_numpy(expected + room), torch.from_numpy(boxes + room)).numpy()
        for i, person in enumerate(people):
            if similar[i] > 0:
                oks = keypoint_similarity(self.person, person, displacement, slack)
                similar[i] = similar[i] if oks is None else (similar[i] + oks) / 2
                if self.colours is not None and colours[i] is not None:
                    similar[i] -= _COLOUR_COST * (1 - self.colours @ colours[i])
        lost = 0.0 if self.missed_at is None else (time_s - self.missed_at) / KEEP_S
        return similar - _LOST_COST * lost


class Tracker:
    """Associates the people of frame after frame, whoever detected them; frames are given in the order of time.

    Every detection gets a track at once, so that nothing is lost of anybody. Time that goes back ends all tracks.
    """

    def __init__(self) -> None:
        self._tracks: list[_Track] = []
        self._count, self._now = 0, -np.inf

    def __call__(
        self, people: Sequence[Person], time_s: float, pixels: UInt8[np.ndarray, "H W 3"] | None = None
    ) -> list[Person]:
        """The same people in the same order, each with its track (1, 2, ... as they appear) or the one it came with.

        `pixels` (RGB) are those of the frame; without them colours do not count.
        """
        if time_s < self._now:
            self.end()
        # Sorted, so that the order in which people are given does not matter.
        order = sorted(range(len(people)), key=lambda i: (*people[i].box.tolist(), people[i].score))
        colours = [None if pixels is None else colour_histogram(pixels, people[i].box) for i in order]
        tracks = self._associated([people[i] for i in order], colours, time_s)
        tracked = list(people)
        for i, track, colour in zip(order, tracks, colours, strict=True):
            if track is None:
                track = _Track(people[i].track or self._count + 1)
                self._count = max(self._count, track.number)
                self._tracks.append(track)
            track.add(people[i], time_s, colour)
            tracked[i] = replace(people[i], track=track.number)
        self._now = time_s
        self._tracks = [track for track in self._tracks if track.waits(time_s)]
        return tracked

    def end(self) -> None:
        """Ends all tracks, as at a scene cut."""
        self._tracks = []

    def displacements(self, time_s: float, lost_s: float = 0.0) -> dict[int, Displacement]:
        """By track where people are expected: all who were detected in the last frame or within `lost_s` before."""
        return {
            track.number: track.displacement(time_s)
            for track in self._tracks
            if track.missed_at is None or self._now - track.missed_at < lost_s
        }

    def _associated(
        self, people: Sequence[Person], colours: Sequence[_Colours | None], time_s: float
    ) -> list[_Track | None]:
        """The track of each person, None for newcomers: the assignment whose summed similarity is highest."""
        known = {track.number: track for track in self._tracks}
        tracks = [known.get(person.track or 0) for person in people]
        if people and self._tracks and not any(person.track for person in people):
            worth = np.stack([track.similarity(people, colours, time_s) for track in self._tracks])
            worth = np.maximum(worth - _LEAST, 0)
            for row, column in zip(*linear_sum_assignment(-worth), strict=True):
                if worth[row, column] > 0:
                    tracks[column] = self._tracks[row]
        return tracks


def keypoint_similarity(before: Person, now: Person, displacement: Displacement, sigma: float) -> float | None:
    """COCO's OKS of the joints that two detections share, after the displacement; every joint's sigma in bodies.

    None where either has no keypoints or they share none.
    """
    shared = _shared(before, now)
    if shared is None:
        return None
    one, other, weight = shared
    squared = np.sum((displacement(one) - other) ** 2, axis=1)
    reach = sigma * float(np.max(now.box[2:] - now.box[:2]))
    return float(weight @ np.exp(-squared / (2 * reach**2)) / weight.sum())


def _movement(before: Person, now: Person) -> Float[np.ndarray, "3"]:
    """How far somebody went between two detections, x and y in px, and the logarithm of how much larger they became.

    Of the keypoints that both show: a box also changes where a foot leaves the picture or an arm is believed again,
    and regions that followed it would leave the body.
    """
    shared = _shared(before, now)
    if shared is None:
        one, other = (np.asarray(person.box, dtype=np.float64).reshape(2, 2) for person in (before, now))
        grown = np.log(np.maximum(np.ptp(other, axis=0), 1) / np.maximum(np.ptp(one, axis=0), 1)).mean()
        return np.append(other.mean(0) - one.mean(0), grown)
    one, other, weight = shared
    middles = [np.average(points, axis=0, weights=weight) for points in (one, other)]
    spreads = [
        max(float(weight @ np.sum((points - middle) ** 2, axis=1) / weight.sum()) ** 0.5, 1.0)
        for points, middle in zip((one, other), middles, strict=True)
    ]
    return np.append(middles[1] - middles[0], np.log(spreads[1] / spreads[0]))


def _shared(before: Person, now: Person) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """The keypoints `K 2` that two detections share, and the lesser confidences; None where they share none."""
    if before.keypoints is None or now.keypoints is None or before.keypoint_set is None or now.keypoint_set is None:
        return None
    old, new = before.keypoint_set.map_to(now.keypoint_set)
    one, other = before.keypoints[old], now.keypoints[new]
    weight = np.minimum(one[:, 2], other[:, 2])
    return (one[:, :2], other[:, :2], weight) if weight.sum() > 0 else None


def colour_histogram(pixels: UInt8[np.ndarray, "H W 3"], box: Float[np.ndarray, "4"]) -> _Colours | None:
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


@runtime_checkable
class FollowingFinder(Protocol):
    """A finder that also follows people from frame to frame without a search; `PeopleFinder` is one."""

    def search(self, photo: Photo, known: Sequence[Pose] = ()) -> list[Pose]:
        """The known people of a photo and all others."""
        ...

    def follow(self, photo: Photo, poses: Sequence[Pose], quick: bool = False) -> list[Pose]:
        """The people of expected poses."""
        ...


class SceneCuts:
    """Detects the first frame of each new shot: pixels and the histogram of greys change at once.

    The limits lie between what was measured on OpenCV's sample videos within shots and at cuts.
    """

    def __init__(self) -> None:
        self._last: tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "32"]] | None = None

    def __call__(self, pixels: UInt8[np.ndarray, "H W 3"]) -> bool:
        """Whether this frame (RGB) is no continuation of the one before; never so of the first frame."""
        small = Image.fromarray(pixels).resize((64, 36), Image.Resampling.BOX, reducing_gap=1.0).convert("L")
        grey = np.asarray(small)
        last, self._last = self._last, (grey / 255, np.bincount(grey.ravel() // 8, minlength=32) / grey.size)
        if last is None:
            return False
        moved, changed = np.abs(last[0] - self._last[0]).mean(), np.abs(last[1] - self._last[1]).sum() / 2
        return bool(moved > 0.095 and changed > 0.134)


class VideoPeople:
    """Finds and tracks the people of a video; call it with frame after frame.

    A `FollowingFinder` searches frames every `every_s` seconds, after a cut and, half as long after the last search,
    when somebody is lost; in between it follows people quickly, for half as long also the lost ones. Other finders
    search every frame. One `VideoPeople` is for one video.
    """

    def __init__(self, finder: PersonFinder | FollowingFinder, *, every_s: float = 1.0) -> None:
        self.finder, self.every_s, self.tracker = finder, every_s, Tracker()
        self._cut = SceneCuts()
        self._poses: dict[int, Pose] = {}  # the last of each person, by track
        self._searched_s = -np.inf

    def __call__(self, photo: Photo, time_s: float) -> list[Person]:
        """The people of a frame at its time, best score first, each with its track."""
        if self._cut(photo.pixels):
            self.tracker.end()
            self._poses, self._searched_s = {}, -np.inf
        if not isinstance(self.finder, FollowingFinder):
            return self.tracker(self.finder(photo), time_s, photo.pixels)
        poses = self._find(self.finder, photo, time_s)
        people = self.tracker([person_of(pose, *photo.size) for pose in poses], time_s, photo.pixels)
        self._poses |= {person.track: pose for person, pose in zip(people, poses, strict=True) if person.track}
        return people

    def go_on(self, times: Sequence[float], frames: Sequence[Sequence[Person]]) -> None:
        """Takes over what an earlier run found and tracked in the frames up to here."""
        for time_s, people in zip(times, frames, strict=True):
            self.tracker(people, time_s)

    def _find(self, finder: FollowingFinder, photo: Photo, time_s: float) -> list[Pose]:
        displacements = self.tracker.displacements(time_s, lost_s=self.every_s / 2)
        self._poses = {track: pose for track, pose in self._poses.items() if track in displacements}
        expected = [displacements[track].of_pose(pose) for track, pose in self._poses.items()]
        since_s = time_s - self._searched_s + 1e-6  # times of frames are rounded
        due = not 0 <= since_s < self.every_s
        poses = finder.follow(photo, expected, quick=not due) if expected else []
        if due or (len(poses) < len(expected) and since_s >= self.every_s / 2):
            poses, self._searched_s = finder.search(photo, poses), time_s
        return poses
