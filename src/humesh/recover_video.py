"""A video's path through the library: find and follow people, pose them, bridge gaps, smooth, give back each frame.

The video is read three times (people, poses, pictures), so that nothing but numbers is kept of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice, pairwise
from operator import itemgetter
from pathlib import Path

import numpy as np
import torch

from humesh.body.joints import SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.crops.crops import Crops
from humesh.fitting.contact import foot_contact, ground_plane, grounded, sliding
from humesh.fitting.landmark_ik import SEEN_ABOVE
from humesh.fitting.motion import bridged, smoothed_pose, with_one_shape
from humesh.fitting.windows import Windows
from humesh.geometry.camera import GUESSED, Camera
from humesh.media.photo import Photo
from humesh.media.video import Video
from humesh.methods.base import ClipMethod
from humesh.people.detections import VideoDetections
from humesh.people.person import Person
from humesh.people.video_people import VideoPeople
from humesh.recover import DEFAULT, IN_VIDEOS, Recoverer
from humesh.scene.record import pixels_of
from humesh.scene.result import Motion, Result, VideoResult
from humesh.threads import ahead
from humesh.video_options import VideoOptions

Finder = Callable[[Photo, float], list[Person]]
"""From a frame and its time in seconds to the people in it, with their tracks."""

Progress = Callable[[str, int, int | None], None]
"""Told what is being done, how many frames are done, and of how many (None: unknown)."""

Part = list[tuple[int, Person, BodyPose | None]]
_BATCHES_AT_ONCE = 4  # fitted side by side
_AT_ONCE = 32  # people in a batch: networks and fits are several times as fast as one by one


def _unfollowed(what: str, done: int, total: int | None) -> None:
    """Progress that nobody wants to know of."""


def recover_video(
    source: Video | str | Path | int,
    recoverer: Recoverer | None = None,
    settings: VideoOptions | None = None,
    finder: Finder | None = None,
    camera: Camera | None = None,
    progress: Progress = _unfollowed,
) -> Iterator[Result]:
    """The bodies in every frame of a video, one after the other; all of it is looked at before the first is given.

    What is live (a webcam, `source` its number; rtsp://) gives each frame at once, unsmoothed. `recoverer`: default
    with the weights of the lifter through time, for what is live those of the lifter. `finder` finds and
    follows people (default: `VideoPeople`); `camera`: of all frames, if it is known. Raises VideoError, and
    ArgumentError for what is no video.
    """
    settings = settings or VideoOptions()
    video = source if isinstance(source, Video) else Video(source, settings.start_s, settings.end_s, settings.stride)
    recoverer = recoverer or Recoverer(weights=DEFAULT if video.live else IN_VIDEOS)
    finder = finder or VideoPeople(recoverer.finder)
    if video.live:  # it cannot be looked at again
        for frame in video:
            photo = Photo.of(frame.pixels, camera)
            yield replace(recoverer(photo, finder(photo, frame.time_s)), time_s=frame.time_s)
        return
    sightings = VideoDetections()
    for _ in sight(video, finder, sightings, camera, progress):
        pass
    yield from moments(video, pose_video(video, sightings, recoverer, settings, camera, progress), progress)


def sight(
    video: Video,
    finder: Finder,
    sightings: VideoDetections,
    camera: Camera | None = None,
    progress: Progress = _unfollowed,
) -> Iterator[int]:
    """Adds who is where in each frame, from the first one that the sightings do not hold yet; yields its number."""
    known = len(sightings.times)
    for frame in video:
        if frame.number >= known:
            people = [] if frame.broken else finder(Photo.of(frame.pixels, camera), frame.time_s)
            sightings.times.append(frame.time_s)
            sightings.people.append([person for person in people if person.track is not None])
            yield frame.number
        progress("people", frame.number + 1, video.count)


def pose_video(
    video: Video,
    sightings: VideoDetections,
    recoverer: Recoverer,
    settings: VideoOptions | None = None,
    camera: Camera | None = None,
    progress: Progress = _unfollowed,
) -> VideoResult:
    """The motions of everyone sighted: posed, bridged, of one shape each, smoothed, perhaps with resting feet."""
    settings = settings or VideoOptions()
    usable = [recoverer.usable(people) for people in sightings.people]
    source = GUESSED if camera is None else "given"
    camera = camera or Camera.guess(video.size)
    frames, whose, poses, trusts = list[int](), list[Person](), list[BodyPose](), list[torch.Tensor]()
    for numbers, some, pose, trust in _posed(video, usable, recoverer, settings, camera, progress):
        frames += numbers
        whose += some
        poses.append(pose)
        trusts.append(trust)
    everyone = BodyPose.joined(poses) if poses else BodyPose.rest(0)
    everywhere, trusted = np.array(frames, dtype=np.int64), torch.cat(trusts) if trusts else torch.zeros(0)
    times, tracks = np.array(sightings.times), np.array([person.track for person in whose], dtype=np.int64)
    motions, short = [], 0
    for track in sorted(set(tracks.tolist())):
        rows = np.flatnonzero(tracks == track)
        rows = rows[np.argsort(everywhere[rows])]
        where = everywhere[rows]
        if times[where[-1]] - times[where[0]] < settings.least_s and len(times) > 1:
            short += 1
            continue
        score = float(np.mean([whose[row].score for row in rows]))
        pose = everyone.map(itemgetter(rows))
        motions.append(_motion(track, where, score, pose, trusted[rows], times, recoverer, settings))
    notes = [*video.notes, *recoverer.notes]
    if settings.ground:
        motions, told = _on_ground(motions, times, recoverer.body)
        notes += told
    if short:
        who, were = ("1 track", "was") if short == 1 else (f"{short} tracks", "were")
        notes.append(f"{who} shorter than {settings.least_s:g} s {were} left out.")
    bridged_frames = sum(int((~motion.found).sum()) for motion in motions)
    if bridged_frames:
        notes.append(f"{bridged_frames} poses were put in between where a person was not seen for a moment.")
    if source != "given":
        notes.append(f"{video.name} does not say its focal length; it was guessed as that of a 28 mm lens on film.")
    return VideoResult(times, video.size, camera, source, motions, recoverer.body, recoverer.method, tuple(notes))


def _motion(
    track: int,
    frames: np.ndarray,
    score: float,
    pose: BodyPose,
    trust: torch.Tensor,
    times: np.ndarray,
    recoverer: Recoverer,
    settings: VideoOptions,
) -> Motion:
    """One track's motion from the frames it was seen in, their poses and their joints' confidences."""
    everywhere, pose, found = bridged(frames, times, pose, settings.bridge_s)
    believed = torch.zeros(len(everywhere), trust.shape[1])
    believed[torch.from_numpy(found)] = trust.float()
    pose = with_one_shape(pose, recoverer.body)
    parts = []  # smoothed piece by piece: what lies between is not known
    for rows_of in _pieces(everywhere):
        piece, when = pose.map(itemgetter(rows_of)), times[everywhere[rows_of]]
        parts.append(smoothed_pose(piece, when, believed[rows_of], settings.smooth_s))
    return Motion(track, everywhere, BodyPose.joined(parts), found, score, believed)


def _pieces(frames: np.ndarray) -> list[slice]:
    """The rows of each stretch of frames without a gap."""
    ends = np.flatnonzero(np.diff(frames) > 1) + 1
    return [slice(start, end) for start, end in pairwise([0, *ends.tolist(), len(frames)])]


def _on_ground(motions: list[Motion], times: np.ndarray, body: BodyModel) -> tuple[list[Motion], list[str]]:
    """The motions moved so that resting feet stay, and what that did and where the ground is, in sentences."""
    moved, notes, contacts = [], [], []
    for motion in motions:
        parts, slid, weights = [], [], []
        for rows in _pieces(motion.frames):
            piece, when = motion.pose.map(itemgetter(rows)), times[motion.frames[rows]]
            contact = foot_contact(piece, when, body, motion.confidence[rows])
            parts.append(grounded(piece, when, contact))
            contacts.append(contact.moved(parts[-1].translation - piece.translation))
            slid.append((sliding(contact, when), sliding(contacts[-1], when)))
            weights.append(float(contact.touch.sum()))
        moved.append(replace(motion, pose=BodyPose.joined(parts)))
        if sum(weights) > 0:
            before, after = np.average(slid, axis=0, weights=weights)
            notes.append(
                f"person {motion.track}: feet in contact slid {before:.2f} m/s, {after:.2f} m/s after grounding."
            )
    plane = ground_plane(contacts)
    if plane is not None:
        down = math.degrees(math.asin(float(-plane.normal[2])))
        way = f"{abs(down):.0f} degrees {'down' if down >= 0 else 'up'}"
        notes.append(f"The ground is {-plane.level:.1f} m below the camera, which looks {way}.")
    return moved, notes


def _posed(
    video: Video,
    people: list[list[Person]],
    recoverer: Recoverer,
    settings: VideoOptions,
    camera: Camera,
    progress: Progress,
) -> Iterator[tuple[list[int], list[Person], BodyPose, torch.Tensor]]:
    """Frames, people, poses and joints' confidences of everyone, batch by batch."""
    answers: Iterator[tuple[int, Person, BodyPose | None]] = (
        ((n, person, None) for n, some in enumerate(people) for person in some)
        if recoverer.network is None
        else _answers(video, people, recoverer, settings, camera, progress)
    )

    def posed(part: Part) -> tuple[list[int], list[Person], BodyPose, torch.Tensor]:
        some = [person for _, person, _ in part]
        if recoverer.network is None:
            done = recoverer.pose(None, some, camera, video.size)
        else:
            done = recoverer.finished(BodyPose.stacked([pose for *_, pose in part if pose]), some, camera, video.size)
        return [number for number, *_ in part], some, done.pose, done.confidence

    parts: Iterator[Part] = iter(lambda: list(islice(answers, _AT_ONCE)), [])
    for done in ahead(posed, parts, _BATCHES_AT_ONCE):
        yield done.result()


def _answers(
    video: Video,
    people: list[list[Person]],
    recoverer: Recoverer,
    settings: VideoOptions,
    camera: Camera,
    progress: Progress,
) -> Iterator[tuple[int, Person, BodyPose | None]]:
    """Frame, person and what the network itself says of everyone."""
    assert recoverer.network is not None
    spec = recoverer.network.spec
    network, windows = recoverer.network, None
    if isinstance(network, ClipMethod):
        windows = Windows(network, spec.count or 16, settings.interval, recoverer.device)
    waiting: list[tuple[int, Person]] = []
    cut: list[Crops] = []
    for frame in video:
        here = people[frame.number] if frame.number < len(people) else []
        crops = recoverer.cut(Photo.of(frame.pixels, camera), here)
        if crops is not None and windows is not None:
            tracks = [person.track for person in here if person.track is not None]
            windows.add(frame.number, frame.time_s, tracks, crops)
            yield from _of(people, windows.ready())
        elif crops is not None:
            waiting += [(frame.number, person) for person in here]
            cut.append(crops)
        if waiting and (len(waiting) >= _AT_ONCE or spec.group == "people"):  # groups of people differ in their number
            yield from _told(waiting, recoverer.answers(Crops.joined(cut)))
            waiting, cut = [], []
        progress("poses", frame.number + 1, len(people))
    if waiting:
        yield from _told(waiting, recoverer.answers(Crops.joined(cut)))
    if windows is not None:
        yield from _of(people, windows.poses())


def _of(people: list[list[Person]], said: dict[tuple[int, int], BodyPose]) -> Iterator[tuple[int, Person, BodyPose]]:
    """Frame, person and pose of what windows said."""
    for (number, track), pose in said.items():
        yield from ((number, person, pose) for person in people[number] if person.track == track)


def _told(whose: list[tuple[int, Person]], pose: BodyPose) -> Iterator[tuple[int, Person, BodyPose]]:
    for row, (number, person) in enumerate(whose):
        yield number, person, pose.map(itemgetter(row))


def moments(video: Video, recovery: VideoResult, progress: Progress = _unfollowed) -> Iterator[Result]:
    """Each frame of a video with everybody in it."""
    rows = [{int(frame): row for row, frame in enumerate(motion.frames)} for motion in recovery.tracks]
    for frame in video:
        if frame.number >= len(recovery.times):
            break
        here = [
            (motion, row[frame.number])
            for motion, row in zip(recovery.tracks, rows, strict=True)
            if frame.number in row
        ]
        photo = replace(Photo.of(frame.pixels, recovery.camera), camera_source=recovery.camera_source)
        yield _moment(recovery, photo, here, frame.time_s)
        progress("pictures", frame.number + 1, len(recovery.times))


def _moment(recovery: VideoResult, photo: Photo, here: list[tuple[Motion, int]], time_s: float) -> Result:
    """One frame's people."""
    pose = BodyPose.rest(0, shapes=recovery.body.shapes)
    confidence = torch.zeros(0, len(SMPL24))
    if here:
        pose = BodyPose.stacked([motion.pose.map(itemgetter(row)) for motion, row in here])
        confidence = torch.stack([motion.confidence[row] for motion, row in here])
    people = [Person(np.zeros(4), motion.score, track=motion.track) for motion, _ in here]
    facts = confidence, confidence >= SEEN_ABOVE, recovery.body, recovery.method
    moment = Result(photo, people, pose, *facts, time_s=time_s)
    for row, person in enumerate(people):  # their boxes are those of their surfaces
        pixels = pixels_of(photo.camera, moment.bodies.vertices[row].double())
        people[row] = replace(person, box=torch.cat([pixels.amin(0), pixels.amax(0)]).numpy())
    return moment
