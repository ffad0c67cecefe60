"""What `humesh predict` does: it gathers the inputs, checks the options and predicts what is not finished yet."""

from __future__ import annotations

import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

import torch

from humesh.body.files import SHIPPED
from humesh.commands.errors import UserError, explained, say, say_error, shown, within
from humesh.commands.inputs import Input, Kind, gathered
from humesh.commands.predict import Format, Options, VideoFiles, VideoFormat
from humesh.commands.predict_live import predict_live
from humesh.commands.progress import Pace, progress_bar, say_above
from humesh.commands.results import PEOPLE, Claim, Job, Results, digest
from humesh.errors import HumeshError
from humesh.geometry.camera import Camera
from humesh.media.kinds import is_url
from humesh.media.photo import Photo
from humesh.media.video import Video
from humesh.methods.weights import shipped
from humesh.people.finder import PeopleFinder, RtmlibPeople
from humesh.people.given import GivenPeople
from humesh.people.mot import TracksGiven
from humesh.people.person import VideoDetections
from humesh.people.video_people import VideoPeople
from humesh.recover import DEFAULT, IN_VIDEOS, PersonFinder, Recoverer, camera_with, device_named
from humesh.recover_video import Finder, Progress, pose_video, track_people
from humesh.scene.export import PHOTO_FORMATS, VIDEO_FORMATS, write
from humesh.scene.mocap import clock, start_frame
from humesh.scene.pictures import write_film
from humesh.scene.record import record
from humesh.scene.result import FileOptions, VideoResult
from humesh.threads import ahead

_PHOTOS_AT_ONCE = 4  # more of them only take memory
_SAVED_EVERY_S = 15  # how often the people found so far are saved, so that no more is lost when the run is killed
_MOST = 10**7  # pixels of a focal length; seconds or frames of a video, which are four months


def run(inputs: Sequence[str], options: Options) -> int:
    """The exit code: 0, 1 where some of several inputs failed, 2 where the only one did; raises HumeshError."""
    found, notes = gathered(inputs, options.out, options.video.folders, options.overwrite)
    found.sort(key=lambda each: each.kind != "photo")
    kinds = Counter(each.kind for each in found)
    notes += _check_options(options, found, kinds)
    layout = _layout(options)
    formats = options.formats * (kinds["photo"] > 0), options.video.formats * (kinds["video"] > 0)
    layout.check(*formats)
    results, jobs = Results(options.out), [(each, _job(each, options)) for each in found]
    _check_out(options.out)
    for note in notes:
        say(note)
    todo = jobs if options.overwrite else _unfinished(results, jobs)
    for _, job in todo:
        results.name(job)  # in their order, whichever of them is finished first
    photos = [(each, job) for each, job in todo if each.kind == "photo"]
    others = [(each, job) for each, job in todo if each.kind != "photo"]
    given = _given(options.detections, found) if todo else None
    recoverer = cache(lambda weights: _recoverer(options, weights, given is not None and not others))
    failed: list[str] = []

    def one(each: Input, work: Callable[[], str], say: Callable[[str], None]) -> None:
        try:
            say(work())
        except Exception as error:  # whatever it is, the others are done all the same
            sentence = explained(error)
            failed.append(sentence if isinstance(error, HumeshError) else f"{each.kind} {each.public}: {sentence}")
            say_error(failed[-1])

    with progress_bar(disable=len(photos) < 2) as progress:
        task = progress.add_task("photos", total=len(photos))
        if photos:
            work = partial(_photo, results, recoverer(options.weights or DEFAULT), given, layout, options.focal_px)
            for (each, _), done in zip(photos, ahead(work, photos, min(_PHOTOS_AT_ONCE, len(photos))), strict=True):
                one(each, done.result, partial(say_above, progress))
                progress.advance(task)
    for each, job in others:
        of = recoverer(_weights(each, options))
        one(each, partial(_video, each, job, results, options, layout, of), say)
    if failed and len(found) == 1:
        return 2
    if failed:
        kind = "photos" if kinds.total() == kinds["photo"] else "photos and videos" if kinds["photo"] else "videos"
        say_error(f"{len(failed)} of {len(found)} {kind} failed:\n  " + "\n  ".join(failed))
    return 1 if failed else 0


def _weights(each: Input, options: Options) -> str:
    return options.weights or (IN_VIDEOS if each.kind == "video" else DEFAULT)


def _job(each: Input, options: Options) -> Job:
    """What an input's result depends on, and its files."""
    used: dict[str, Any] = {"weights": _with_digest(_weights(each, options)), "finder": options.finder}
    used |= {"refine": options.refine, "body": _with_digest(options.body), "focal_px": options.focal_px}
    used |= {"units": options.units, "floor": options.floor}
    of_motion = ("pad", "fps", "root_motion") if each.kind == "photo" else ("pad",)
    used |= {name: value for name, value in _layout(options).changed().items() if name not in of_motion}
    if each.kind != "photo":
        if each.kind == "video" and options.video.tracks is not None:
            used["tracks"] = _with_digest(options.video.tracks)
        return _video_job(each, used, options.video)
    if options.detections is not None:
        used |= {"finder": None, "detections": _with_digest(options.detections)}
    formats: set[str] = {*options.formats, "json"}  # the record is always written
    endings = {name: format.ending for name, format in PHOTO_FORMATS.items() if name in formats}
    return Job(each.identity, each.name, used, endings)


def _layout(options: Options) -> FileOptions:
    placed, moving = (options.units, options.floor), (options.root_motion, options.fps)
    return FileOptions(*placed, options.video.pad, options.rig, *moving, options.up)


def _photo(
    results: Results,
    recoverer: Recoverer,
    given: GivenPeople | None,
    layout: FileOptions,
    focal_px: float | None,
    work: tuple[Input, Job],
) -> str:
    """One photo's files; returns what to print."""
    each, job = work
    result = recoverer(Photo.read(each.where), given, focal_px)
    with results.claimed(job) as claim:
        files = {
            name: write(result, PHOTO_FORMATS[name], Path(f"{claim.target}{ending}"), layout)
            for name, ending in job.endings.items()
            if name != "json"
        }
        written = claim.finish(record(result), files)
    return _report(each.public, len(result.people), "found", result.notes, written)


def _video_job(each: Input, options: dict[str, Any], video: VideoFiles) -> Job:
    """What a video's result depends on, and its files."""
    if each.kind == "live":  # every recording is another one
        recording = f"{each.identity} at {datetime.now().isoformat(timespec='microseconds')}"
        return Job(recording, each.name, options, {"mp4": VIDEO_FORMATS["mp4"].ending})
    ours = {name: value for name, value in asdict(video).items() if name not in ("formats", "folders", "tracks")}
    wanted: tuple[str, ...] = video.formats
    endings = {name: format.ending for name, format in VIDEO_FORMATS.items() if name in wanted}
    return Job(each.identity, each.name, options | ours, endings)


def _video(each: Input, job: Job, results: Results, chosen: Options, layout: FileOptions, recoverer: Recoverer) -> str:
    """One video's files; returns what to print."""
    options, focal_px = chosen.video, chosen.focal_px
    if each.kind == "live":
        return predict_live(each, job, results, recoverer, focal_px, chosen.preview)
    if options.interval > 1 and recoverer.network.spec.group != "frames":
        raise UserError(f"--video.interval is for methods through time (int), {recoverer.method!r} is none.")
    video = Video(each.where, options.start_s, options.end_s, options.stride)
    if video.live:  # only opening an address shows it
        live = replace(each, kind="live")
        results.release(job)
        again = _video_job(live, job.options, options)
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
        files, on_sound = {"people": [Path(f"{claim.target}{PEOPLE}")]}, list[str]()
        for name, format in VIDEO_FORMATS.items():
            target = Path(f"{claim.target}{format.ending}")
            if name == "mp4" and name in options.formats:
                done_frames = partial(progress, "film", total=len(result.times))
                on_sound = write_film(result, target, options.beside, done_frames)
                files[name] = [target]
            elif name in options.formats:
                files[name] = write(result, format, target, layout)
        written = claim.finish(record(result), files)
    seconds = float(result.times[-1]) if len(result.times) else 0.0
    found = f"in {len(result.times)} frames, {seconds:.1f} s"
    notes = [*result.notes, *on_sound, *_late(result, options.formats, layout)]
    return _report(each.public, len(result.tracks), found, notes, written)


def _report(where: str, count: int, found: str, notes: Iterable[str], written: list[Path]) -> str:
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
    if layout.pad or not late or not own:
        return []
    kinds = " or ".join(name.upper() for name in own)
    return [f"Each {kinds} file starts when its person comes: {', '.join(late)}; --video.pad starts all at once."]


def _unfinished(results: Results, jobs: Sequence[tuple[Input, Job]]) -> list[tuple[Input, Job]]:
    """The jobs that are not finished; prints how many are, and what is done again and why."""
    states = [results.state(job) for _, job in jobs]
    for kind in ("photo", "video"):
        mine = [state for (each, _), state in zip(jobs, states, strict=True) if each.kind == kind]
        if done := sum(finished for finished, _ in mine):
            again = f"--overwrite does {'it' if done == 1 else 'them'} again"
            say(f"{_share(done, len(mine), kind)} finished and skipped ({again}).")
        if changes := [changed for _, changed in mine if changed]:
            what = ", ".join(dict.fromkeys(word for changed in changes for word in changed))
            say(f"{_share(len(changes), len(mine), kind)} done again; changed since: {what}.")
    return [job for job, (finished, _) in zip(jobs, states, strict=True) if not finished]


def _share(count: int, total: int, kind: str) -> str:
    return f"{count} of {total} {kind}{'s' * (total > 1)} {'is' if count == 1 else 'are'}"


def _check_options(options: Options, found: Sequence[Input], kinds: Counter[Kind]) -> list[str]:
    """Sentences on options that apply to a part of the inputs only; raises UserError for those that apply to none."""
    within("--focal-px", options.focal_px, 1, _MOST)
    if not options.formats:
        raise UserError(f"--formats: expected at least one of {', '.join(get_args(Format))}.")
    if options.detections and options.finder != "accurate" and kinds.total() == kinds["photo"]:
        raise UserError(f"--finder {options.finder}: nobody is looked for where --detections gives the people.")
    if options.preview and not any(each.kind == "live" or is_url(each.where) for each in found):
        raise UserError("--preview is for webcams and streams, and none is among the inputs.")
    notes = []
    for name, instead in (("formats", "--video.formats"), ("detections", "--video.tracks")):
        if getattr(options, name) == getattr(Options(), name):
            continue
        if not kinds["photo"]:
            raise UserError(f"--{name} is for photos, and none is among the inputs; for videos there is {instead}.")
        if kinds.total() > kinds["photo"]:
            notes.append(f"--{name} is for the photos; on the videos it has no effect.")
    has_folder = any(os.path.isdir(each.where) for each in found)
    _check_video_options(options.video, kinds["video"], has_folder)
    return notes


def _check_video_options(video: VideoFiles, videos: int, has_folder: bool) -> None:
    """UserError for options that are wrong, or that apply to none of the inputs."""
    used = [name for name, value in vars(video).items() if value != getattr(VideoFiles(), name)]
    if used and not videos:
        raise UserError(f"--video.{used[0].replace('_', '-')} is for videos in files, and none is among the inputs.")
    for name in ("start_s", "end_s", "stride", "smooth_s", "bridge_s", "least_s", "interval"):
        least = 1 if name in ("stride", "interval") else 0
        within(f"--video.{name.replace('_', '-')}", getattr(video, name), least, _MOST)
    if video.end_s is not None and video.end_s <= video.start_s:
        raise UserError(f"--video.end-s: expected a time after the start, {video.start_s:g} s, got {video.end_s:g}.")
    if videos and not video.formats:
        raise UserError(f"--video.formats: expected at least one of {', '.join(get_args(VideoFormat))}.")
    if video.folders and not has_folder:
        raise UserError("--video.folders: expected a folder of frames among the inputs, got none.")
    if not video.beside and "mp4" not in video.formats:
        raise UserError("--video.no-beside is for the film, but mp4 is not among --video.formats.")
    if video.tracks is not None and videos > 1:
        raise UserError(f"--video.tracks: one file holds the people of one video, got {videos} videos.")
    for name in video.formats:
        module, extra = VIDEO_FORMATS[name].needs or ("sys", "")
        if find_spec(module) is None:
            raise UserError(f'--video.formats {name} needs a package more; run: pip install "humesh[{extra}]"')


def _check_out(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out).close()  # of a name of its own: several runs may begin at once
    except OSError as error:
        raise UserError(f"cannot write into {out}: {error.strerror}; give another folder with -o.") from None


def _with_digest(name: str | Path) -> str:
    """A name, or a file's name with what changes with its content."""
    if name in SHIPPED:
        return str(name)
    return " ".join(filter(None, [Path(name).name, digest(shipped().get(str(name), name))]))


def _recoverer(options: Options, weights: str, has_people: bool) -> Recoverer:
    finder: PersonFinder | None = None
    if not has_people and options.finder == "rtmlib":
        finder = RtmlibPeople()
    elif not has_people:
        finder = PeopleFinder(fast=options.finder == "fast", device=str(device_named(options.device)))
    recoverer = Recoverer(options.body, finder, options.device, weights, options.refine)
    limit_threads(recoverer)
    return recoverer


def _given(detections: Path | None, found: Sequence[Input]) -> GivenPeople | None:
    if detections is None:
        return None
    given = GivenPeople(detections)
    for note in given.match([Path(each.where) for each in found if each.kind == "photo"]):
        say_error(note)
    return given


def limit_threads(recoverer: Recoverer) -> None:
    """One thread for methods of many small steps: more only wait for each other, above all on busy machines."""
    if not any(isinstance(part, torch.nn.Conv2d) for part in recoverer.network.modules()):
        torch.set_num_threads(1)
