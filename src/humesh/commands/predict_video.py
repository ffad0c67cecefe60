"""`humesh predict clip.mp4`: a film with the bodies on it, and files of their motions."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from humesh.commands.errors import UserError, shown
from humesh.commands.inputs import Input
from humesh.commands.predict import Options, VideoFiles
from humesh.commands.predict_live import predict_live
from humesh.commands.progress import Pace, progress_bar
from humesh.commands.results import PEOPLE, Claim, Job, Results
from humesh.geometry.camera import Camera
from humesh.media.video import Video
from humesh.people.detections import VideoDetections
from humesh.people.finder import PeopleFinder
from humesh.people.mot import TracksGiven
from humesh.people.video_people import VideoPeople
from humesh.recover import Recoverer, camera_with
from humesh.recover_video import Finder, Progress, pose_video, track_people
from humesh.scene.export import VIDEO_FORMATS, write
from humesh.scene.mocap import clock, start_frame
from humesh.scene.pictures import write_film
from humesh.scene.record import record
from humesh.scene.result import FileOptions, VideoResult

_SAVED_EVERY_S = 15  # how often the people found so far are saved, so that no more is lost when the run is killed


def video_job(each: Input, options: dict[str, Any], video: VideoFiles) -> Job:
    """What a video's result depends on, and its files."""
    if each.kind == "live":  # every recording is another one
        recording = f"{each.identity} at {datetime.now().isoformat(timespec='microseconds')}"
        return Job(recording, each.name, options, {"mp4": VIDEO_FORMATS["mp4"].ending})
    ours = {name: value for name, value in asdict(video).items() if name not in ("formats", "folders", "tracks")}
    wanted: tuple[str, ...] = video.formats
    endings = {name: format.ending for name, format in VIDEO_FORMATS.items() if name in wanted}
    return Job(each.identity, each.name, options | ours, endings)


def predict_video(
    each: Input, job: Job, results: Results, chosen: Options, layout: FileOptions, recoverer: Recoverer
) -> str:
    """One video's files; what to print. Raises VideoError, TracksError, UserError."""
    options, focal_px = chosen.video, chosen.focal_px
    if each.kind == "live":
        return predict_live(each, job, results, recoverer, focal_px, chosen.preview)
    if options.interval > 1 and recoverer.network.spec.group != "frames":
        raise UserError(f"--video.interval is for methods through time (int), {recoverer.method!r} is none.")
    video = Video(each.where, options.start_s, options.end_s, options.stride)
    if video.live:  # only opening an address shows it
        live = replace(each, kind="live")
        results.release(job)
        again = video_job(live, job.options, options)
        return predict_live(live, again, results, recoverer, focal_px, chosen.preview, video)
    camera = camera_with(focal_px, video.size)
    with progress_bar(Pace("frames"), transient=True) as bar, results.claimed(job) as claim:
        tasks: dict[str, Any] = {}

        def progress(step: str, done: int, total: int | None) -> None:
            if step not in tasks:
                tasks[step] = bar.add_task(shown(f"{each.name.name}: {step}", bar.console.encoding), total=total)
            bar.update(tasks[step], completed=done, total=total)

        detections = _detected(video, claim, options, recoverer, camera, progress)
        result = pose_video(video, detections, recoverer, options, camera, progress)
        result = replace(result, path=each.public)  # without the password of an address
        files = {"people": [Path(f"{claim.target}{PEOPLE}")]}
        for name, format in VIDEO_FORMATS.items():
            target = Path(f"{claim.target}{format.ending}")
            if name == "mp4" and name in options.formats:
                write_film(result, target, options.beside, lambda done: progress("film", done, len(result.times)))
                files[name] = [target]
            elif name in options.formats:
                files[name] = write(result, format, target, layout)
        written = claim.finish(record(result), files)
    seconds = float(result.times[-1]) if len(result.times) else 0.0
    found = f"in {len(result.times)} frames, {seconds:.1f} s"
    return report(
        each.public, len(result.tracks), found, [*result.notes, *_late(result, options.formats, layout)], written
    )


def report(where: str, count: int, found: str, notes: Iterable[str], written: list[Path]) -> str:
    """What to print of a finished photo or video: how many people, what is odd, and the files."""
    who = "nobody" if count == 0 else "1 person" if count == 1 else f"{count} people"
    return "\n".join([f"{where}: {who} {found}", *(f"  {line}" for line in (*notes, *written))])


def _detected(
    video: Video, claim: Claim, options: VideoFiles, recoverer: Recoverer, camera: Camera | None, progress: Progress
) -> VideoDetections:
    """The people in the video, saved now and then; of an earlier run those that the same finder found."""
    job, saved = claim.job, Path(f"{claim.target}{PEOPLE}")
    found_with = [job.options.get(name) for name in ("finder", "tracks", "start_s", "end_s", "stride")]
    of = " ".join(map(str, [job.version, job.input, *found_with]))
    detections = VideoDetections.load(saved, of)
    if not detections.times:
        detections = VideoDetections.load(claim.results.folder / saved.name, of)
    finder, last = _finder(options, recoverer, detections), time.monotonic()
    try:
        for _ in track_people(video, finder, detections, camera, progress):
            if time.monotonic() - last > _SAVED_EVERY_S:
                detections.save(saved, of)
                last = time.monotonic()
    finally:  # Ctrl-C too
        detections.save(saved, of)
    return detections


def _finder(options: VideoFiles, recoverer: Recoverer, detections: VideoDetections) -> Finder:
    """What finds and follows people from the first frame on that is not among the detections."""
    if options.tracks is None:
        following = VideoPeople(recoverer.finder)
        following.go_on(detections.times, detections.people)
        return following
    landmarks = recoverer.finder if isinstance(recoverer.finder, PeopleFinder) else PeopleFinder()
    given = TracksGiven(options.tracks, landmarks)
    return lambda photo, time_s: given(photo, len(detections.times))  # frames before this one, broken ones included


def _late(result: VideoResult, formats: Iterable[str], layout: FileOptions) -> list[str]:
    """A sentence on the people whose own files start after the video's first frame."""
    own = [name for name in formats if VIDEO_FORMATS[name].laid_out(layout).per_person]
    starts = [(motion.track, start_frame(result, motion, layout.fps)) for motion in result.tracks]
    rate, _ = clock(result, layout.fps)
    late = [f"person {who} at frame {at} ({at / rate:.2f} s)" for who, at in starts if at]
    if not late or not own:
        return []
    kinds = " or ".join(name.upper() for name in own)
    return [f"Each {kinds} file starts when its person comes: {', '.join(late)}."]
