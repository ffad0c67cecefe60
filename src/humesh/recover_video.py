"""A video's path through the library: find and track people, pose them, bridge gaps, smooth.

The video is read twice (people, poses), and once more for pictures, so that nothing but numbers is kept of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import islice, pairwise
from operator import itemgetter
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.crops.crops import Crops, confidence_of_joints
from humesh.errors import ArgumentError
from humesh.fitting import motion
from humesh.fitting.windows import Windows
from humesh.geometry.camera import GUESSED, Camera
from humesh.media.photo import Photo
from humesh.media.video import Video
from humesh.methods.base import ClipMethod
from humesh.people.person import Person, VideoDetections
from humesh.people.video_people import VideoPeople
from humesh.recover import IN_VIDEOS, Recoverer, camera_with
from humesh.scene.result import Motion, Result, VideoResult
from humesh.threads import ahead, ahead_of_time
from humesh.video_options import VideoOptions

Progress = Callable[[str, int, int | None], None]
"""Gets what is being done, how many frames are done, and of how many (None: unknown)."""
Finder = Callable[[Photo, float], list[Person]]
"""From a frame and its time in seconds to the people in it, with their tracks."""

_Predicted = tuple[int, Person, BodyPose]  # the number of a frame, a person in it, and the pose
_BATCHES_AT_ONCE = 4  # fitted side by side
_PLAIN = VideoOptions()


def _silent(what: str, done: int, total: int | None) -> None:
    """Progress that nobody follows."""


def recover_video(
    source: Video | str | Path,
    recoverer: Recoverer | None = None,
    options: VideoOptions = _PLAIN,
    *,
    focal_px: float | None = None,
    finder: Finder | None = None,
    progress: Progress = _silent,
) -> VideoResult:
    """The people of a video and their motions.

    `recoverer`: by default one with the weights of the lifter through time. `finder` finds and tracks people (default:
    `VideoPeople`). `focal_px`: of all frames, where it is known. Raises VideoError, and ArgumentError for what is no
    video; what has no end (a webcam, rtsp://) is for `recover_live`.
    """
    video = source
    if not isinstance(video, Video):
        video = Video(video, options.start_s, options.end_s, options.stride)
    if video.live:
        raise ArgumentError(f"video {video.name}: expected one with an end, got a live one; use humesh.recover_live.")
    recoverer = recoverer or Recoverer(weights=IN_VIDEOS)
    camera, detections = camera_with(focal_px, video.size), VideoDetections()
    for _ in track_people(video, finder or VideoPeople(recoverer.finder), detections, camera, progress):
        pass
    return pose_video(video, detections, recoverer, options, camera, progress)


def recover_live(
    source: Video | str | int, recoverer: Recoverer | None = None, *, focal_px: float | None = None
) -> Generator[Result, None, None]:
    """The people of a webcam (its number) or a stream, each time of the newest frame, tracked but unsmoothed.

    Frames that come meanwhile are passed over (`Video.passed_over`), so that the results do not lag behind.
    """
    video = source if isinstance(source, Video) else Video(source)
    recoverer = recoverer or Recoverer()
    finder, camera = VideoPeople(recoverer.finder), camera_with(focal_px, video.size)
    with closing(video.newest()) as frames:
        for frame in frames:
            photo = Photo.of(frame.pixels, camera)
            yield replace(recoverer(photo, finder(photo, frame.time_s)), time_s=frame.time_s)


def track_people(
    video: Video,
    finder: Finder,
    detections: VideoDetections,
    camera: Camera | None = None,
    progress: Progress = _silent,
) -> Iterator[int]:
    """Adds the people of each frame, from the first one that the detections do not hold yet; yields its number."""
    known = len(detections.times)
    for frame in ahead_of_time(video):
        if frame.number >= known:
            people = [] if frame.broken else finder(Photo.of(frame.pixels, camera), frame.time_s)
            detections.times.append(frame.time_s)
            detections.people.append([person for person in people if person.track is not None])
            yield frame.number
        progress("people", frame.number + 1, video.count)


def pose_video(
    video: Video,
    detections: VideoDetections,
    recoverer: Recoverer,
    options: VideoOptions = _PLAIN,
    camera: Camera | None = None,
    progress: Progress = _silent,
) -> VideoResult:
    """The motions of everyone detected: posed, bridged, of one shape each, smoothed, perhaps with resting feet."""
    people = [recoverer.usable(some) for some in detections.people]
    source, lens = (GUESSED, Camera.guess(video.size)) if camera is None else ("given", camera)
    times, tracks = np.array(detections.times), dict[int, list[tuple[int, float, BodyPose, Tensor]]]()
    for number, person, pose, confidence in _posed(video, people, recoverer, options.interval, lens, progress):
        tracks.setdefault(person.track or 0, []).append((number, person.score, pose, confidence))
    motions, short = [], 0
    for track, rows in sorted(tracks.items()):
        rows.sort(key=itemgetter(0))
        numbers, scores, poses, confidences = zip(*rows, strict=True)
        if times[numbers[-1]] - times[numbers[0]] < options.least_s and len(times) > 1:
            short += 1
            continue
        pose = BodyPose.stacked(poses)
        frames, pose, found = motion.bridged(np.array(numbers), times, pose, options.bridge_s)
        confidence = torch.zeros(len(frames), confidences[0].shape[-1])
        confidence[torch.from_numpy(found)] = torch.stack(confidences).float()
        pose = motion.with_one_shape(pose, recoverer.body)
        parts = [  # smoothed piece by piece: what lies between is not known
            motion.smoothed_pose(pose.map(itemgetter(piece)), times[frames[piece]], confidence[piece], options.smooth_s)
            for piece in _pieces(frames)
        ]
        motions.append(Motion(track, frames, BodyPose.joined(parts), found, float(np.mean(scores)), confidence))
    notes = [*video.notes, *recoverer.notes]
    if options.ground:
        motions, more = _on_ground(motions, times, recoverer.body)
        notes += more
    if short:
        were = "1 track shorter than {:g} s was" if short == 1 else f"{short} tracks shorter than {{:g}} s were"
        notes.append(f"{were.format(options.least_s)} left out.")
    if count := sum(int((~one.found).sum()) for one in motions):
        notes.append(f"{count} poses were put in between where a person was not seen for a moment.")
    if source == GUESSED:
        notes.append(f"{video.name} does not say its focal length; it was guessed as that of a 28 mm lens on film.")
    method, path = recoverer.method, str(video.path or video.name)
    return VideoResult(times, video.size, lens, source, motions, recoverer.body, method, tuple(notes), path, video)


def _posed(
    video: Video, people: list[list[Person]], recoverer: Recoverer, interval: int, camera: Camera, progress: Progress
) -> Iterator[tuple[int, Person, BodyPose, Tensor]]:
    """Frame, person, pose and joints' confidences of everyone, fitted batch by batch."""
    predicted = _predicted(video, people, recoverer, interval, camera, progress)
    batches: Iterator[list[_Predicted]] = iter(lambda: list(islice(predicted, recoverer.batching.people)), [])

    def fitted(batch: list[_Predicted]) -> list[tuple[int, Person, BodyPose, Tensor]]:
        numbers, some, poses = zip(*batch, strict=True)
        pose = recoverer.fitted(BodyPose.stacked(poses), list(some), camera, video.size)
        confidence = confidence_of_joints(list(some), video.size)
        rows = [pose.map(itemgetter(row)) for row in range(len(batch))]
        return list(zip(numbers, some, rows, confidence, strict=True))

    for batch in ahead(fitted, batches, _BATCHES_AT_ONCE):
        yield from batch.result()


def _predicted(
    video: Video, people: list[list[Person]], recoverer: Recoverer, interval: int, camera: Camera, progress: Progress
) -> Iterator[_Predicted]:
    """The network's own predictions, frame by frame, of methods for clips in windows through each track."""
    windows = None
    if isinstance(recoverer.network, ClipMethod):
        length = recoverer.network.spec.count or 16
        windows = Windows(recoverer.network, length, interval, recoverer.device, recoverer.batching.windows)

    def of_tracks(poses: dict[tuple[int, int], BodyPose]) -> Iterator[_Predicted]:
        for (number, track), pose in poses.items():
            yield from ((number, person, pose) for person in people[number] if person.track == track)

    for frames, crops in _gathered(video, people, recoverer, camera, progress):
        if windows is None:
            pose, here = recoverer.predict(crops).pose, [(n, person) for n, _ in frames for person in people[n]]
            yield from ((n, person, pose.map(itemgetter(row))) for row, (n, person) in enumerate(here))
        else:
            windows.add([(n, when, [person.track or 0 for person in people[n]]) for n, when in frames], crops)
            yield from of_tracks(windows.ready())
    if windows is not None:
        yield from of_tracks(windows.poses())


def _gathered(
    video: Video, people: list[list[Person]], recoverer: Recoverer, camera: Camera, progress: Progress
) -> Iterator[tuple[list[tuple[int, float]], Crops]]:
    """Numbers and times of some frames with people, and the crops of all of these."""
    # Groups of everyone in a photo differ in size.
    most = 1 if recoverer.network.spec.group == "people" else recoverer.batching.crops
    frames, parts = list[tuple[int, float]](), list[Crops]()
    for frame in ahead_of_time(video):
        if here := people[frame.number] if frame.number < len(people) else []:
            frames.append((frame.number, frame.time_s))
            parts.append(recoverer.crops(Photo.of(frame.pixels, camera), here))
        if sum(len(part.present) for part in parts) >= most:
            yield frames, Crops.joined(parts)
            frames, parts = [], []
        progress("poses", frame.number + 1, len(people))
    if parts:
        yield frames, Crops.joined(parts)


def _pieces(frames: np.ndarray) -> list[slice]:
    """The rows of each stretch of frames without a gap."""
    ends = np.flatnonzero(np.diff(frames) > 1) + 1
    return [slice(start, end) for start, end in pairwise([0, *ends.tolist(), len(frames)])]


def _on_ground(motions: list[Motion], times: np.ndarray, body: BodyModel) -> tuple[list[Motion], list[str]]:
    """The motions moved so that resting feet stay, and what that did and where the ground is, in sentences."""
    moved, notes, contacts = [], [], []
    for one in motions:
        parts, speeds, weights = [], [], []
        for rows in _pieces(one.frames):
            piece, when = one.pose.map(itemgetter(rows)), times[one.frames[rows]]
            contact = motion.foot_contact(piece, when, body, one.confidence[rows])
            parts.append(motion.grounded(piece, when, contact))
            contacts.append(contact.moved(parts[-1].translation - piece.translation))
            speeds.append((motion.sliding(contact, when), motion.sliding(contacts[-1], when)))
            weights.append(float(contact.touch.sum()))
        moved.append(replace(one, pose=BodyPose.joined(parts)))
        if sum(weights) > 0:
            before, after = np.average(speeds, axis=0, weights=weights)
            notes.append(f"person {one.track}: feet in contact slid {before:.2f} m/s, {after:.2f} m/s after grounding.")
    plane = motion.ground_plane(contacts)
    if plane is not None:
        down = math.degrees(math.asin(float(-plane.normal[2])))
        way = f"{abs(down):.0f} degrees {'down' if down >= 0 else 'up'}"
        notes.append(f"The ground is {-plane.level:.1f} m below the camera, which looks {way}.")
    return moved, notes
