"""The people of a video: a search now and then, between them a look at where people were, and the tracks of both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from humesh.media.photo import Photo
from humesh.people.finder import PeopleFinder
from humesh.people.person import Person
from humesh.people.regions import Pose
from humesh.people.same_body import person_of
from humesh.people.tracks import Motion, Tracker, TrackSettings


class SceneCuts:
    """Tells the first frame of each new shot: what is where and how much of each grey there is change at once.

    The limits are the geometric middles of what was measured on OpenCV's sample videos: the most without a cut (a hand
    before a lens, tree.avi: 0.069 and 0.098) and the least at a cut (4 in a dark film, Megamind.avi: 0.13 and 0.18).
    """

    def __init__(self) -> None:
        self._last: tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "32"]] | None = None

    def __call__(self, pixels: UInt8[np.ndarray, "H W 3"]) -> bool:
        """Whether this frame (RGB) is no continuation of the one before; not so of the first frame."""
        last, self._last = self._last, _thumbnail(pixels)
        if last is None:
            return False
        moved, changed = changes(last, self._last)
        return moved > 0.095 and changed > 0.134


def _thumbnail(pixels: UInt8[np.ndarray, "H W 3"]) -> tuple[Float[np.ndarray, "36 64"], Float[np.ndarray, "32"]]:
    """A frame as 64 x 36 greys in 0..1, and the shares of 32 greys in it."""
    small = Image.fromarray(pixels).resize((64, 36), Image.Resampling.BOX, reducing_gap=1.0).convert("L")
    grey = np.asarray(small)
    return grey / 255, np.bincount(grey.ravel() // 8, minlength=32) / grey.size


def changes(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> tuple[float, float]:
    """How much two thumbnails differ, 0..1: pixel by pixel, and in the shares of greys (total variation)."""
    return float(np.abs(one[0] - other[0]).mean()), float(np.abs(one[1] - other[1]).sum() / 2)


class VideoPeople:
    """Finds and tracks the people of a video; call it with frame after frame.

    `finder`: anything that answers with a photo's people. A `PeopleFinder` searches whole frames every `every_s`
    seconds, after a cut and, half as long after the last search, when somebody is lost; between searches it has a quick
    look where people are expected, for half as long also for the lost. Others search every frame. One `VideoPeople` is
    for one video.
    """

    def __init__(
        self,
        finder: PeopleFinder | Callable[[Photo], list[Person]],
        *,
        every_s: float = 1.0,
        settings: TrackSettings | None = None,
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
        if not isinstance(self.finder, PeopleFinder):
            return self.tracker(self.finder(photo), time_s, photo.pixels)
        poses = self._find(self.finder, photo, time_s)
        people = self.tracker([person_of(pose, *photo.size) for pose in poses], time_s, photo.pixels)
        seen = {person.track: pose for person, pose in zip(people, poses, strict=True) if person.track}
        self._poses |= seen
        return people

    def go_on(self, times: Sequence[float], frames: Sequence[Sequence[Person]]) -> None:
        """Takes over what an earlier run found and tracked in the frames up to here."""
        for time_s, people in zip(times, frames, strict=True):
            self.tracker.go_on(people, time_s)

    def _find(self, finder: PeopleFinder, photo: Photo, time_s: float) -> list[Pose]:
        motions = self.tracker.motions(time_s, lost_s=self.every_s / 2)
        self._poses = {track: pose for track, pose in self._poses.items() if track in motions}
        expected = [_moved(pose, motions[track]) for track, pose in self._poses.items()]
        since_s = time_s - self._searched_s + 1e-6  # times of frames are rounded
        due = not 0 <= since_s < self.every_s
        poses = finder.follow(photo, expected, quick=not due) if expected else []
        if due or (len(poses) < len(expected) and since_s >= self.every_s / 2):
            poses, self._searched_s = finder.search(photo, poses), time_s
        return poses


def _moved(pose: Pose, motion: Motion) -> Pose:
    """A pose where it is expected after a motion."""
    roi, (x, y) = pose.next_roi, motion(np.array([pose.next_roi.x, pose.next_roi.y])).tolist()
    points = np.concatenate([motion(pose.points[:, :2]), pose.points[:, 2:]], axis=1)
    return replace(pose, points=points, next_roi=replace(roi, x=x, y=y, side=roi.side * motion.zoom))
