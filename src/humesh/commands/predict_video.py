"""`humesh predict clip.mp4`: a film with the bodies on it, and files of their motions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.progress import TextColumn

from humesh.commands.errors import UserError, say_error
from humesh.commands.progress import progress_bar
from humesh.threads import ahead

if TYPE_CHECKING:
    import numpy as np

    from humesh.geometry.camera import Camera
    from humesh.images.video import Video
    from humesh.people.sightings import Sightings
    from humesh.recover import Recoverer
    from humesh.recover_video import Finder, Progress
    from humesh.scene.recovery import VideoRecovery

VIDEO_ENDINGS = {
    ".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".ts", ".mts", ".3gp",
}  # fmt: skip

FILM = "_overlay.mp4"
"""What a film is called after the video's own name."""

VideoFormat = Literal["mp4", "glb", "bvh", "amass", "usd", "rrd", "npz"]

_SMALL_PX = 720  # height of a picture up to which 2,400 triangles a body look as 14,000 do
_KEPT_EVERY_S = 15  # who was seen is written so often, so that no more is lost when the run is killed


@dataclass(frozen=True)
class VideoOptions:
    """How videos are read, and what is written of them."""

    formats: tuple[VideoFormat, ...] = ("mp4", "glb", "npz")
    """What to write: mp4 the film, glb the moving bodies for Blender and three.js, bvh and amass a file a person."""
    start_s: float = 0.0
    """Seconds into the video where to begin."""
    end_s: float | None = None
    """Seconds into the video where to end."""
    stride: int = 1
    """Only every so manyth frame."""
    smooth_s: float = 0.08
    """Seconds around a moment that smooth it; 0: not smoothed."""
    bridge_s: float = 0.5
    """Gaps in which a person is not seen are bridged up to so many seconds."""
    interval: int = 1
    """Frames between those that a method through time (INT) looks at together."""
    ground: bool = False
    """Keep feet that rest on the ground where they are, by moving people mostly in depth; for a still camera only."""
    beside: bool = True
    """The people from their side, beside the film."""
    tracks: Path | None = None
    """Who is where, in MOT's text format, instead of finding and following people."""
    folders: bool = False
    """Folders are videos: their pictures in order are the frames."""


def is_video(given: Path, options: VideoOptions) -> bool:
    """Whether an input is a video: by its ending, a folder of frames, or a webcam's number."""
    return given.suffix.lower() in VIDEO_ENDINGS or (given.is_dir() and options.folders) or is_webcam(given)


def is_webcam(given: Path) -> bool:
    """Whether an input is the number of a webcam."""
    return str(given).isdigit() and not given.exists()


def predict_video(
    path: Path,
    name: str,
    out: Path,
    options: VideoOptions,
    recoverer: Recoverer,
    focal_px: float | None = None,
    overwrite: bool = False,
) -> str:
    """One video's files; what to tell the user. Raises VideoError, TracksError."""
    from humesh.geometry.camera import Camera
    from humesh.images.video import Video

    if is_webcam(path):
        return _live(int(str(path)), out / f"{name}{FILM}", recoverer)
    if not overwrite and _finished(out, name, options):
        return f"{path}: finished and skipped (--overwrite does it again)"
    video = Video(path, options.start_s, options.end_s, options.stride)
    camera = None if focal_px is None else Camera.virtual(focal_px, video.size)
    with progress_bar(TextColumn("{task.fields[pace]}"), transient=True) as bar:
        shown: dict[str, Any] = {}

        def progress(what: str, done: int, total: int | None) -> None:
            if what not in shown:
                shown[what] = bar.add_task(f"{path.name}: {what}", total=total, pace=""), time.perf_counter(), done - 1
            task, began, first = shown[what]
            speed = (done - first) / max(time.perf_counter() - began, 1e-3)
            bar.update(task, completed=done, total=total, pace=f"{speed:.1f} frames/s")

        recovery = _recovered(video, path, out / f"{name}.people.npz", options, recoverer, camera, progress)
        written = _written(video, recovery, path, out / name, options, progress)
    seconds = float(recovery.times[-1]) if len(recovery.times) else 0.0
    where = f"in {len(recovery.times)} frames, {seconds:.1f} s"
    return told(path, len(recovery.motions), where, recovery.notes, written)


def told(path: Path, count: int, where: str, notes: Iterable[str], written: list[Path]) -> str:
    """What to tell the user of a finished photo or video: how many people, what is odd, and the files."""
    who = "nobody" if count == 0 else "1 person" if count == 1 else f"{count} people"
    return "\n".join([f"{path}: {who} {where}", *(f"  {line}" for line in (*notes, *written))])


def _recovered(
    video: Video,
    path: Path,
    kept: Path,
    options: VideoOptions,
    recoverer: Recoverer,
    camera: Camera | None,
    progress: Progress,
) -> VideoRecovery:
    """Who is in the video, kept in a file as it is found out, and how they move."""
    from humesh.people.sightings import Sightings
    from humesh.recover_video import VideoSettings, pose_video, sight

    finds = f"{type(recoverer.finder).__name__} {getattr(recoverer.finder, 'model', '')}"
    if options.tracks is not None:
        finds = f"{options.tracks.parent} {_state(options.tracks)}"
    of = f"{_state(path)} {options.start_s} {options.end_s} {options.stride} {finds}"
    sightings = Sightings.load(kept, of)
    finder = _finder(options, recoverer, sightings)
    saved = time.monotonic()
    try:
        for _ in sight(video, finder, sightings, camera, progress):
            if time.monotonic() - saved > _KEPT_EVERY_S:
                sightings.save(kept, of)
                saved = time.monotonic()
    finally:  # Ctrl-C too
        sightings.save(kept, of)
    settings = VideoSettings(options.smooth_s, options.bridge_s, interval=options.interval, ground=options.ground)
    return pose_video(video, sightings, recoverer, settings, camera, progress)


def _state(path: Path) -> str:
    """What changes with a file; one that is missing is told of by its reader."""
    about = path.stat() if path.exists() else None
    return path.name if about is None else f"{path.name} {about.st_size} {about.st_mtime_ns}"


def _finder(options: VideoOptions, recoverer: Recoverer, sightings: Sightings) -> Finder:
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
    video: Video, recovery: VideoRecovery, path: Path, target: Path, options: VideoOptions, progress: Progress
) -> list[Path]:
    """The film and the files; those that tell that all is done come last."""
    from humesh.images.film import Film
    from humesh.recover_video import moments
    from humesh.scene.export_video import save_video
    from humesh.scene.overlay import MotionPictures

    written: list[Path] = []
    if "mp4" in options.formats:
        film_path = Path(f"{target}{FILM}")
        shown = drawable(recovery)
        pictures = MotionPictures(shown, options.beside)
        with Film(film_path, pictures.size, recovery.fps, source=video) as film:
            drawn = _drawn(pictures, moments(video, shown, progress))
            for picture, when in zip(drawn, recovery.times.tolist(), strict=True):
                film.write(picture, when)
        written.append(film_path)
    files = [name for name in options.formats if name != "mp4"]
    return written + save_video(recovery, target, files, video_path=path)


def drawable(recovery: VideoRecovery) -> VideoRecovery:
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


def _finished(out: Path, name: str, options: VideoOptions) -> bool:
    from humesh.scene.export_video import PER_PERSON, VIDEO_ENDINGS

    endings = VIDEO_ENDINGS | {"mp4": FILM}
    single = [format for format in options.formats if format not in PER_PERSON]
    return bool(single) and all((out / f"{name}{endings[format]}").is_file() for format in single)


def _live(webcam: int, path: Path, recoverer: Recoverer) -> str:
    """Films what a webcam sees until Ctrl-C; each frame is posed at once, nothing is smoothed."""
    from humesh.images.film import Film
    from humesh.images.video import Video
    from humesh.recover_video import recover_video
    from humesh.scene.overlay import overlay

    video, frames = Video(webcam), 0
    say_error(f"webcam {webcam}: filming into {path}; Ctrl-C ends the film.")
    with Film(path, video.size, video.fps) as film:
        began = time.monotonic()
        try:
            for moment in recover_video(video, recoverer):
                film.write(overlay(moment), time.monotonic() - began)
                frames += 1
        except KeyboardInterrupt:
            if not frames:
                raise UserError(f"webcam {webcam}: stopped before the first frame; nothing was written.") from None
    return f"webcam {webcam}: {frames} frames\n  {path}"
