"""Tracks in MOTChallenge's text format, given for the people of a video, and the count of identity switches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from humesh.errors import HumeshError
from humesh.files import read_text
from humesh.geometry.boxes import box_iou
from humesh.media.photo import Photo
from humesh.people.finder import PeopleFinder
from humesh.people.given import checked_box, complete
from humesh.people.person import Person

_MOST = 2**31 - 1  # numbers of frames and tracks
_MOST_BYTES = 2**28  # of a file


class TracksError(HumeshError, ValueError):
    """A track file that cannot be used; the sentence says which line and what was expected."""


def read_mot(path: str | Path) -> dict[int, list[Person]]:
    """The people of each frame of a MOT file, by frame number from 0, in the order of the file.

    A line needs frame, track and box; a score of 0 means that it does not count, track -1 that there is none (a file of
    detections). Raises TracksError.
    """
    text = read_text(path, what="a text file in MOT format", error=TracksError, most_bytes=_MOST_BYTES)
    frames: dict[int, list[Person]] = {}
    known: set[tuple[int, int]] = set()
    for i, line in enumerate(text.splitlines(), 1):
        if line.strip():
            number, person = _read_line(f"tracks {path}, line {i}", line)
            people = frames.setdefault(number, [])
            if person.track is not None and (number, person.track) in known:
                raise TracksError(
                    f"tracks {path}, line {i}: frame {number + 1} has track {person.track} a second time."
                )
            if person.score > 0:
                people.append(person)
                known |= set() if person.track is None else {(number, person.track)}
    return frames


def _read_line(where: str, line: str) -> tuple[int, Person]:
    try:
        numbers = [float(word) for word in line.replace(",", " ").split()]
    except ValueError:
        numbers = []
    if len(numbers) < 6 or not np.isfinite(numbers[:7]).all():
        raise TracksError(f"{where}: expected the numbers frame, track, x, y, width, height, score, got {line[:60]!r}.")
    frame, track, x, y, width, height, score = [*numbers, 1.0][:7]
    if frame != int(frame) or not 1 <= frame <= _MOST or track != int(track) or not -_MOST <= track <= _MOST:
        raise TracksError(f"{where}: expected a whole frame number from 1 and a whole track number, got {line[:60]!r}.")
    box = checked_box(where, np.array([x, y, x + width, y + height]), TracksError)
    return int(frame) - 1, Person(box, min(score, 1.0), track=int(track) if track >= 0 else None)


class TracksGiven:
    """The people that a MOT file gives for the frames of a video, with the finder's keypoints in their boxes."""

    def __init__(self, path: str | Path, finder: PeopleFinder) -> None:
        self.finder, self._frames = finder, read_mot(path)

    def __call__(self, photo: Photo, number: int) -> list[Person]:
        """The people of frame `number` (from 0); confidences are 0 where nobody is seen in the box."""
        people = self._frames.get(number, [])
        bodies = complete(people, photo, self.finder.landmarks)
        return [replace(body, track=given.track) for given, body in zip(people, bodies, strict=True)]


@dataclass(frozen=True)
class TrackCount:
    """Predicted tracks against labelled ones."""

    people: int  # labelled tracks
    boxes: int  # and their boxes
    tracks: int  # predicted tracks that were once one of them
    switches: int  # how often a person got another track
    misses: int


def count_switches(
    labels: Mapping[int, Sequence[Person]], predicted: Mapping[int, Sequence[Person]], least: float = 0.5
) -> TrackCount:
    """Counts identity switches by CLEAR MOT's rule (Bernardin and Stiefelhagen, 2008) over the labelled frames.

    A person keeps its track as long as their boxes overlap (intersection over union) by `least`; the others are
    assigned frame by frame; a switch is a person with another track than its last one.
    """
    last: dict[int, int] = {}
    boxes = misses = changed = 0
    tracks: set[int] = set()
    for number in sorted(labels):
        people = [person for person in labels[number] if person.track is not None]
        found = [person for person in predicted.get(number, []) if person.track is not None]
        boxes, pairs = boxes + len(people), []
        if people and found:
            true, ours = (torch.from_numpy(np.stack([p.box for p in group])) for group in (people, found))
            iou = box_iou(true[:, None], ours[None]).numpy()
            keeps = np.array([[last.get(p.track or 0) == f.track for f in found] for p in people])
            worth = np.where(iou >= least, iou + 1000.0 * keeps, 0)
            pairs = [(people[i], found[j]) for i, j in zip(*linear_sum_assignment(-worth), strict=True) if worth[i, j]]
        misses += len(people) - len(pairs)
        for label, prediction in pairs:
            person, track = label.track or 0, prediction.track or 0
            changed += last.get(person, track) != track
            last[person] = track
            tracks.add(track)
    return TrackCount(len({p.track for people in labels.values() for p in people}), boxes, len(tracks), changed, misses)
