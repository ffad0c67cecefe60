"""`humesh predict clip.mp4`: a film with the bodies on it, and files of their motions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from rich.progress import TextColumn

from humesh.commands.errors import UserError, say_error, shown, within
from humesh.commands.progress import progress_bar
from humesh.threads import ahead
from humesh.video_options import VideoOptions

if TYPE_CHECKING:
    import numpy as np

    from humesh.commands.inputs import Input
    from humesh.commands.results import Job, Results
    from humesh.geometry.camera import Camera
    from humesh.media.video import Video
    from humesh.people.detections import VideoDetections
    from humesh.recover import Recoverer
    from humesh.recover_video import Finder, Progress
    from humesh.scene.options import FileOptions
    from humesh.scene.result import VideoResult

FILM = "_overlay.mp4"
"""What a film is called after the video's own name."""

_PEOPLE = ".people.npz"  # who was seen, so that a run that was stopped goes on

VideoFormat = Literal["mp4", "glb", "bvh", "amass", "usd", "rrd", "npz"]

_SMALL_PX = 720  # height of a picture up to which 2,400 triangles a body look as 14,000 do
_MOST = 10**7  # seconds or frames: four months, and more than any video has
_KEPT_EVERY_S = 15  # who was seen is written so often, so that no more is lost when the run is killed


@dataclass(frozen=True)
class VideoFiles(VideoOptions):
    """How videos are recovered, and what is written of them."""

    formats: tuple[VideoFormat, ...] = ("mp4", "glb", "npz")
    """What to write: mp4 the film, glb the moving bodies for Blender and three.js, bvh and amass a file a person."""
    beside: bool = True
    """The people from their side, beside the film."""
    tracks: Path | None = None
    """Who is where, in MOT's text format, instead of finding and following people."""
    folders: bool = False
    """Folders are videos: their pictures in order are the frames."""
    pad: bool = False
    """BVH and AMASS files of everybody are as long as the video: before and after a person its nearest pose is held."""

    def check(self, videos: int, folder: bool, finder: str, photos: bool) -> None:
        """Raises UserError for options that are wrong, or that apply to none of the inputs.

        `videos`: how many there are; `folder`, `photos`: whether there is one among the inputs.
        """
        from humesh.scene.export_video import EXTRAS

        default = VideoFiles()
        used = [field.name for field in fields(self) if getattr(self, field.name) != getattr(default, field.name)]
        if used and not videos:
            option = used[0].replace("_", "-")
            raise UserError(f"--video.{option} is for videos in files, and none is among the inputs.")
        for name in ("start_s", "end_s", "stride", "smooth_s", "bridge_s", "least_s", "interval"):
            least = 1 if name in ("stride", "interval") else 0
            within(f"--video.{name.replace('_', '-')}", getattr(self, name), least, _MOST)
        if self.end_s is not None and self.end_s <= self.start_s:
            raise UserError(f"--video.end-s: expected a time after the start, {self.start_s:g} s, got {self.end_s:g}.")
        if videos and not self.formats:
            raise UserError(f"--video.formats: expected at least one of {', '.join(get_args(VideoFormat))}.")
        if self.folders and not folder:
            raise UserError("--video.folders: expected a folder of frames among the inputs, got none.")
        if not self.beside and "mp4" not in self.formats:
            raise UserError("--video.no-beside is for the film, but mp4 is not among --video.formats.")
        if self.tracks is not None and videos > 1:
            raise UserError(f"--video.tracks: one file holds the people of one video, got {videos} videos.")
        if self.tracks is not None and finder == "rtmlib" and not photos:
            raise UserError("--finder rtmlib: nobody is looked for where --video.tracks tells who is where.")
        for name in self.formats:
            module, extra = EXTRAS.get(name, ("sys", ""))
            if find_spec(module) is None:
                raise UserError(f'--video.formats {name} needs a package more; run: pip install "humesh[{extra}]"')


def video_job(each: Input, name: str, options: dict[str, Any], video: VideoFiles) -> Job:
    """What a video's result depends on, and its files."""
    from humesh.commands.results import Job
    from humesh.scene.export_video import PER_PERSON, VIDEO_ENDINGS

    if each.kind == "live":  # every recording is another one
        where = f"{each.whole} at {datetime.now().isoformat(timespec='microseconds')}"
        return Job(where, name, each.name, options, {"mp4": FILM})
    wanted: tuple[str, ...] = video.formats
    ours = {name: value for name, value in asdict(video).items() if name not in ("formats", "folders", "tracks")}
    endings = {name: ending for name, ending in {**VIDEO_ENDINGS, "mp4": FILM}.items() if name in wanted}
    return Job(each.whole, name, each.name, options | ours, endings, frozenset(PER_PERSON), {"people": _PEOPLE})


def predict_video(
    each: Input,
    job: Job,
    results: Results,
    options: VideoFiles,
    layout: FileOptions,
    recoverer: Recoverer,
    focal_px: float | None = None,
) -> str:
    """One video's files; what to print. Raises VideoError, TracksError, UserError."""
    from humesh.geometry.camera import Camera
    from humesh.media.video import Video
    from humesh.scene.record import video_record

    if options.interval > 1 and (recoverer.network is None or recoverer.network.spec.group != "frames"):
        raise UserError(f"--video.interval is for methods through time (int), {recoverer.method!r} is none.")
    video = Video(each.where, options.start_s, options.end_s, options.stride)
    if video.live:  # an address tells it only now
        endless = replace(each, kind="live")
        return predict_live(endless, video_job(endless, job.name, job.options, options), results, recoverer, focal_px)
    camera = None if focal_px is None else Camera.virtual(focal_px, video.size)
    with (
        progress_bar(TextColumn("{task.fields[pace]}", markup=False), transient=True) as bar,
        results.claimed(job) as claim,
    ):
        started: dict[str, Any] = {}

        def progress(what: str, done: int, total: int | None) -> None:
            if what not in started:
                label = shown(f"{each.name.name}: {what}", bar.console.encoding)
                started[what] = bar.add_task(label, total=total, pace=""), time.perf_counter(), done - 1
            task, began, first = started[what]
            speed = (done - first) / max(time.perf_counter() - began, 1e-3)
            bar.update(task, completed=done, total=total, pace=f"{speed:.1f} frames/s")

        people = Path(f"{claim.target}{_PEOPLE}")
        recovery = _recovered(video, job, people, options, recoverer, camera, progress)
        files = _written(video, recovery, each.public, claim.target, options, layout, progress)
        written = claim.finish(video_record(recovery, each.public), files, {"people": [people]})
    seconds = float(recovery.times[-1]) if len(recovery.times) else 0.0
    where = f"in {len(recovery.times)} frames, {seconds:.1f} s"
    return report(each.public, len(recovery.tracks), where, [*recovery.notes, *_late(recovery, options)], written)


def predict_live(each: Input, job: Job, results: Results, recoverer: Recoverer, focal_px: float | None = None) -> str:
    """A film of what a webcam or an endless stream sees until Ctrl-C, each frame posed at once; what to print."""
    from humesh.media.film import Film
    from humesh.media.video import Video, VideoError
    from humesh.recover_video import recover_live
    from humesh.scene.overlay import overlay

    video, frames = Video(int(each.where) if each.where.isdecimal() else each.where), 0
    name = each.whole
    with results.claimed(job) as claim:
        path = Path(f"{claim.target}{FILM}")
        say_error(f"{name}: filming into {path}; Ctrl-C ends the film.")
        with Film(path, video.size, video.fps) as film:
            began = time.monotonic()
            try:
                for moment in recover_live(video, recoverer=recoverer, focal_px=focal_px):
                    film.write(overlay(moment), time.monotonic() - began)
                    frames += 1
            except (KeyboardInterrupt, VideoError) as end:  # a connection that breaks ends the film as well
                if not frames and isinstance(end, VideoError):
                    raise
                if not frames:
                    raise UserError(f"{name}: stopped before the first frame; nothing was written.") from None
        written = claim.finish({"video": {"path": each.public, "frames": frames}}, {"mp4": [path]})
    return "\n  ".join([f"{name}: {frames} frames", *map(str, written)])


def report(where: str, count: int, found: str, notes: Iterable[str], written: list[Path]) -> str:
    """What to print of a finished photo or video: how many people, what is odd, and the files."""
    who = "nobody" if count == 0 else "1 person" if count == 1 else f"{count} people"
    return "\n".join([f"{where}: {who} {found}", *(f"  {line}" for line in (*notes, *written))])


def _recovered(
    video: Video,
    job: Job,
    kept: Path,
    options: VideoFiles,
    recoverer: Recoverer,
    camera: Camera | None,
    progress: Progress,
) -> VideoResult:
    """Who is in the video, kept in a file as it is found out, and how they move."""
    from humesh.people.detections import VideoDetections
    from humesh.recover_video import pose_video, sight

    seen_by = [job.options.get(name) for name in ("finder", "tracks", "start_s", "end_s", "stride")]
    of = " ".join(map(str, [job.version, job.input, *seen_by]))
    sightings = VideoDetections.load(kept, of)
    finder = _finder(options, recoverer, sightings)
    saved = time.monotonic()
    try:
        for _ in sight(video, finder, sightings, camera, progress):
            if time.monotonic() - saved > _KEPT_EVERY_S:
                sightings.save(kept, of)
                saved = time.monotonic()
    finally:  # Ctrl-C too
        sightings.save(kept, of)
    return pose_video(video, sightings, recoverer, options, camera, progress)


def _finder(options: VideoFiles, recoverer: Recoverer, sightings: VideoDetections) -> Finder:
    """Who finds and follows people from the first frame on that is not in the sightings."""
    from humesh.people.finder import PeopleFinder
    from humesh.people.mot import TracksGiven
    from humesh.people.video_people import VideoPeople

    if options.tracks is None:
        following = VideoPeople(recoverer.finder)
        following.go_on(sightings.times, sightings.people)
        return following
    looks = recoverer.finder if isinstance(recoverer.finder, PeopleFinder) else PeopleFinder()
    given = TracksGiven(options.tracks, looks)
    return lambda photo, time_s: given(photo, len(sightings.times))  # frames before this one, broken ones included


def _written(
    video: Video,
    recovery: VideoResult,
    where: str,
    target: Path,
    options: VideoFiles,
    layout: FileOptions,
    progress: Progress,
) -> dict[str, list[Path]]:
    """The film and the other files by format."""
    from humesh.media.film import Film
    from humesh.recover_video import moments
    from humesh.scene.export import write_formats
    from humesh.scene.export_video import VIDEO_ENDINGS, VIDEO_WRITERS
    from humesh.scene.overlay import MotionPictures

    written: dict[str, list[Path]] = {}
    if "mp4" in options.formats:
        written["mp4"] = [Path(f"{target}{FILM}")]
        drawn_of = drawable(recovery)
        pictures = MotionPictures(drawn_of, options.beside)
        with Film(written["mp4"][0], pictures.size, recovery.fps, source=video) as film:
            drawn = _drawn(pictures, moments(video, drawn_of, progress))
            for picture, when in zip(drawn, recovery.times.tolist(), strict=True):
                film.write(picture, when)
    for name in (name for name in options.formats if name != "mp4"):
        written[name] = write_formats(VIDEO_WRITERS, VIDEO_ENDINGS, recovery, target, [name], where, layout)
    return written


def _late(recovery: VideoResult, options: VideoFiles) -> list[str]:
    """A sentence on the people whose own files start after the video's first frame."""
    from humesh.scene.export_video import PER_PERSON
    from humesh.scene.motion_record import clock, start_frame

    starts = [(motion.track, start_frame(recovery, motion)) for motion in recovery.tracks]
    late = [f"person {who} at frame {at} ({at / clock(recovery)[0]:.2f} s)" for who, at in starts if at]
    if options.pad or not late or not set(PER_PERSON) & set(options.formats):
        return []
    return [f"Each BVH or AMASS file starts when its person comes: {', '.join(late)}; --video.pad starts all at once."]


def drawable(recovery: VideoResult) -> VideoResult:
    """The same motions of the low-polygon body where pictures are too small to tell: drawn three times as fast."""
    from humesh.body.model import BodyModel

    if recovery.body.name != "open" or recovery.size[1] > _SMALL_PX:
        return recovery
    return replace(recovery, body=BodyModel.load("open-low"))


def _drawn(draw: Callable[[Any], np.ndarray], moments: Iterator[Any]) -> Iterator[np.ndarray]:
    """The pictures of moments in order, several drawn at a time."""
    from threadpoolctl import threadpool_limits

    # Small products of matrices wait longer for BLAS's own threads than they take: films twice as fast.
    with threadpool_limits(1, "blas"):
        for picture in ahead(draw, moments):
            yield picture.result()
