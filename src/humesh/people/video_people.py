"""The people of a video: searched for now and then, followed in between, and tracked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from humesh.media.photo import Photo
from humesh.people.finder import person_of
from humesh.people.networks import Pose
from humesh.people.person import Person
from humesh.people.tracks import Displacement, Tracker, TrackSettings

PersonFinder = Callable[[Photo], list[Person]]
"""Whatever finds the people of a photo."""


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

    def __init__(
        self, finder: PersonFinder | FollowingFinder, *, every_s: float = 1.0, settings: TrackSettings | None = None
    ) -> None:
        self.finder, self.every_s, self.tracker = finder, every_s, Tracker(settings)
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
            self.tracker.go_on(people, time_s)

    def _find(self, finder: FollowingFinder, photo: Photo, time_s: float) -> list[Pose]:
        displacements = self.tracker.displacements(time_s, lost_s=self.every_s / 2)
        self._poses = {track: pose for track, pose in self._poses.items() if track in displacements}
        expected = [_displaced(pose, displacements[track]) for track, pose in self._poses.items()]
        since_s = time_s - self._searched_s + 1e-6  # times of frames are rounded
        due = not 0 <= since_s < self.every_s
        poses = finder.follow(photo, expected, quick=not due) if expected else []
        if due or (len(poses) < len(expected) and since_s >= self.every_s / 2):
            poses, self._searched_s = finder.search(photo, poses), time_s
        return poses


def _displaced(pose: Pose, displacement: Displacement) -> Pose:
    roi = pose.next_roi
    x, y = displacement(np.array([roi.x, roi.y])).tolist()
    points = np.concatenate([displacement(pose.points[:, :2]), pose.points[:, 2:]], axis=1)
    return replace(pose, points=points, next_roi=replace(roi, x=x, y=y, side=roi.side * displacement.zoom))
