"""`humesh predict`: photos and videos in, pictures, films and files of posed bodies out."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from humesh.commands.errors import UserError, named, say, say_error, shown, within
from humesh.commands.predict_video import FILM, VideoFiles, predict_live, predict_video, report, video_job
from humesh.commands.progress import progress_bar
from humesh.errors import HumeshError
from humesh.threads import ahead

if TYPE_CHECKING:
    from humesh.commands.inputs import Input
    from humesh.commands.results import Job, Results
    from humesh.people.given import GivenPeople
    from humesh.recover import Recoverer
    from humesh.scene.options import FileOptions

_VIDEO = VideoFiles()
_PHOTOS_AT_ONCE = 4  # more of them only take memory

Finder = Literal["accurate", "fast", "rtmlib"]
Format = Literal["jpg", "views", "errors", "mp4", "glb", "obj", "ply", "npz", "json", "bvh"]
_FORMATS: tuple[Format, ...] = ("jpg", "glb", "json")


def predict(
    inputs: tyro.conf.Positional[list[str]],
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("humesh_out"),
    weights: str = "",
    refine: bool = True,
    body: str = "open",
    detections: Path | None = None,
    finder: Finder = "accurate",
    focal_px: float | None = None,
    formats: tuple[Format, ...] = _FORMATS,
    units: Literal["m", "cm"] = "m",
    floor: bool = False,
    device: str = "cpu",
    overwrite: bool = False,
    video: VideoFiles = _VIDEO,
) -> int:
    """Recover the bodies of everyone in photos and videos.

    Each photo gets files named after it: an overlay picture, a GLB for Blender or three.js, a JSON with all numbers;
    each video a film, a GLB that moves, an NPZ and a JSON. What is finished is skipped, so a stopped run goes on where
    it was; what was made from another file or with other options is done again. Files that humesh did not make are
    never replaced.

    Args:
        inputs: Photos, videos, folders of them, patterns such as "shots/*.jpg", addresses of videos (https, rtsp), or
            the number of a webcam.
        out: Folder for the results.
        weights: A method whose weights are shipped (default: lifter for photos and webcams, int for videos), or a file
            of a trained one (.safetensors, see `humesh convert`); "landmarks": the finder's landmarks are posed by the
            inverse kinematics of ik_refine, without a network.
        refine: Afterwards fit every body's joints to the 2D keypoints of the finder, held by a pose prior, so that it
            sits on the photo; --no-refine leaves the method's own answer.
        body: "open" (free, shipped) or your own SMPL .pkl or .npz file.
        detections: People you already have: a COCO results JSON, a folder of OpenPose JSON, or a JSON of boxes.
        finder: What finds people when no detections are given: accurate looks three times at everyone with the larger
            landmark model, fast looks once with the smaller one.
        focal_px: The focal length in pixels, where you know it better than EXIF does.
        formats: What to write of photos; views is a picture from the side and from above, mp4 a turntable film.
        units: Of BVH, OBJ and PLY files: metres or centimetres; GLB, USD and AMASS files are in metres by definition.
        floor: Files for other programs have their lowest point at height 0 instead of the camera at the origin.
        device: Where bodies are computed: cpu, cuda, cuda:1.
        overwrite: Do again what is finished.
        video: Of videos only.
    """
    from humesh.commands.inputs import gathered
    from humesh.commands.results import Results
    from humesh.recover import DEFAULT, IN_VIDEOS
    from humesh.scene.options import FileOptions

    found, notes = gathered(map(str, inputs), out, video.folders, overwrite)
    of_photos = {"formats": formats != _FORMATS, "detections": detections is not None}
    notes += _check_options(found, of_photos, formats, finder, focal_px, video)
    layout = FileOptions(units, floor, video.pad)
    kinds = {each.kind for each in found}
    layout.check([*(formats if "photo" in kinds else ()), *(video.formats if "video" in kinds else ())])
    names = dict(zip(_named([each.name for each in found]), found, strict=True))
    _check_out(out, inputs, names)
    for note in notes:
        say(note)

    def job(name: str, each: Input) -> Job:
        options: dict[str, Any] = {"weights": _file_named(weights_for(each)), "finder": finder, **made_with}
        if each.kind == "photo" and detections is not None:
            options |= {"finder": None, "detections": _file_named(detections)}
        elif each.kind == "video" and video.tracks is not None:
            options["tracks"] = _file_named(video.tracks)
        if each.kind == "photo":
            return _photo_job(each, name, options, formats)
        return video_job(each, name, options, video)

    def weights_for(each: Input) -> str:
        return weights or (IN_VIDEOS if each.kind == "video" else DEFAULT)

    results, made_with = Results(out), {"refine": refine, "body": _file_named(body), "focal_px": focal_px}
    made_with |= {"units": units, "floor": floor}
    jobs = {name: job(name, each) for name, each in names.items()}
    photos, videos = ({n: jobs[n] for n, each in names.items() if each.kind == kind} for kind in ("photo", "video"))
    if not overwrite:
        photos, videos = _unfinished(results, photos, "photos"), _unfinished(results, videos, "videos")
    others = [name for name, each in names.items() if each.kind == "live" or name in videos]
    if not photos and not others:
        return 0
    given = _given(detections, [Path(each.where) for each in names.values() if each.kind == "photo"])
    made = cache(lambda weights: _recoverer(body, finder, device, weights, refine, given is not None and not others))
    failed: list[str] = []

    def one(each: Input, answer: Callable[[], str], say: Callable[[str], None]) -> None:
        try:
            say(answer())
        except Exception as error:  # whatever it is, the others are done all the same
            failed.append(
                str(error) if isinstance(error, HumeshError) else f"{each.kind} {each.public}: {named(error)}"
            )
            say_error(failed[-1])

    with progress_bar(disable=len(photos) < 2) as progress:
        task = progress.add_task("photos", total=len(photos))

        def say_above(text: str) -> None:
            text = shown(text, progress.console.encoding)
            progress.console.print(text, highlight=False, markup=False, emoji=False, soft_wrap=True)

        recoverer = made(weights or DEFAULT) if photos else None
        todo = [(names[name], job) for name, job in photos.items()]
        work = partial(_one, results, recoverer, given, layout, focal_px)
        for (each, _), answer in zip(todo, ahead(work, todo, min(_PHOTOS_AT_ONCE, len(todo) or 1)), strict=True):
            one(each, answer.result, say_above)
            progress.advance(task)
    for name in others:
        each, recoverer = names[name], made(weights_for(names[name]))
        if each.kind == "live":
            one(each, partial(predict_live, each, jobs[name], results, recoverer, focal_px), say)
        else:
            one(each, partial(predict_video, each, jobs[name], results, video, layout, recoverer, focal_px), say)
    if failed and len(names) == 1:
        return 2
    if failed:
        kinds = {each.kind for each in names.values()}
        kind = "photos" if kinds == {"photo"} else "videos" if "photo" not in kinds else "photos and videos"
        say_error(f"{len(failed)} of {len(names)} {kind} failed:\n  " + "\n  ".join(failed))
        return 1
    return 0


def _one(
    results: Results,
    recoverer: Recoverer | None,
    given: GivenPeople | None,
    layout: FileOptions,
    focal_px: float | None,
    what: tuple[Input, Job],
) -> str:
    """One photo's files; returns what to print."""
    from humesh.geometry.camera import Camera
    from humesh.media.photo import Photo
    from humesh.scene.export import ENDINGS, WRITERS, write_formats
    from humesh.scene.record import record

    assert recoverer is not None  # made where there are photos
    each, job = what
    photo = Photo.read(each.where)
    if focal_px is not None:
        photo = Photo.of(photo, Camera.virtual(focal_px, photo.size))
    people = None
    if given is not None:
        people, photo = given.on(photo, Path(each.where))
    recovery = recoverer(photo, people)
    with results.claimed(job) as claim:
        formats = [format for format in job.endings if format != "json"]
        files = {f: write_formats(WRITERS, ENDINGS, recovery, claim.target, [f], each.where, layout) for f in formats}
        written = claim.finish(record(recovery, each.where), files)
    return report(each.public, len(recovery.people), "found", recovery.notes, written)


def _photo_job(each: Input, name: str, options: dict[str, Any], formats: Sequence[str]) -> Job:
    from humesh.commands.results import Job
    from humesh.scene.export import ENDINGS

    wanted = {*formats, "json"}  # the record is always written, and last: it marks a photo as finished
    endings = {format: ending for format, ending in ENDINGS.items() if format in wanted}
    return Job(each.whole, name, each.name, options, endings, frozenset({"bvh"}))


def _unfinished(results: Results, jobs: dict[str, Job], kind: str) -> dict[str, Job]:
    """The jobs that are not finished; says how many are, and what is done again and why."""
    todo: dict[str, Job] = {}
    changes: list[list[str]] = []
    for name, job in jobs.items():
        finished, changed = results.state(job)
        if not finished:
            todo[name] = job
        changes += [changed] if changed else []
    if len(todo) < len(jobs):
        done = len(jobs) - len(todo)
        again = f"--overwrite does {'it' if done == 1 else 'them'} again"
        say(f"{_share(done, len(jobs), kind)} finished and skipped ({again}).")
    if changes:
        what = ", ".join(dict.fromkeys(word for changed in changes for word in changed))
        say(f"{_share(len(changes), len(jobs), kind)} done again; changed since: {what}.")
    return todo


def _share(count: int, total: int, kind: str) -> str:
    return f"{count} of {total} {kind if total > 1 else kind.removesuffix('s')} {'is' if count == 1 else 'are'}"


def _named(paths: Sequence[Path]) -> dict[str, Path]:
    """Result names by input: its stem, or with its ending and folder where several inputs share one."""
    stems = Counter(path.stem for path in paths)
    full = Counter(path.name for path in paths)
    named: dict[str, Path] = {}
    for path in paths:
        name = path.stem if stems[path.stem] == 1 else f"{path.stem}_{path.suffix.removeprefix('.')}"
        if full[path.name] > 1:
            name = f"{path.resolve().parent.name}_{name}"
        while name in named:
            name += "_"
        named[name] = path
    return named


def _check_options(
    found: Sequence[Input],
    of_photos: dict[str, bool],
    formats: Sequence[str],
    finder: str,
    focal_px: float | None,
    video: VideoFiles,
) -> list[str]:
    """Sentences on options that apply to a part of the inputs only; raises UserError for those that apply to none."""
    kinds = Counter(each.kind for each in found)
    within("--focal-px", focal_px, 1, 10**7)
    if not formats:
        raise UserError(f"--formats: expected at least one of {', '.join(Format.__args__)}.")  # type: ignore[attr-defined]
    if of_photos["detections"] and finder != "accurate" and kinds.total() == kinds["photo"]:
        raise UserError(f"--finder {finder}: nobody is looked for where --detections gives the people; give only one.")
    notes = []
    for name in (name for name, is_set in of_photos.items() if is_set):
        if not kinds["photo"]:
            instead = "; for videos there is --video.formats" if name == "formats" else "; for videos: --video.tracks"
            raise UserError(f"--{name} is for photos, and none is among the inputs{instead}.")
        if kinds.total() > kinds["photo"]:
            notes.append(f"--{name} is for the photos; on the videos it has no effect.")
    video.check(kinds["video"], any(os.path.isdir(each.where) for each in found), finder, kinds["photo"] > 0)
    return notes


def _check_out(out: Path, inputs: Sequence[str], names: dict[str, Input]) -> None:
    """Raises UserError where results cannot be written, or would get in the inputs' way."""
    from humesh.scene.export import ENDINGS

    folder = os.path.realpath(out)
    if any(os.path.isdir(given) and os.path.realpath(given) == folder for given in inputs):
        raise UserError(f"{out}: the results would lie among the photos; give another folder with -o.")
    originals = {os.path.realpath(each.where): each.kind for each in names.values() if each.kind != "live"}
    for name, each in names.items():
        for ending in ENDINGS.values() if each.kind == "photo" else (FILM,):
            kind = originals.get(os.path.join(folder, f"{name}{ending}"))
            if kind is not None:
                result = out / f"{name}{ending}"
                raise UserError(f"the {kind} {result} would be overwritten by a result; give another folder with -o.")
    try:
        out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out).close()  # of a name of its own: several runs may begin at once
    except OSError as error:
        raise UserError(f"cannot write into {out}: {error.strerror}; give another folder with -o.") from None


def _file_named(what: str | Path) -> str:
    """A name, or a file's name with what changes with its content."""
    from humesh.body.files import SHIPPED
    from humesh.commands.results import digest
    from humesh.methods.weights import shipped

    if what in SHIPPED:
        return str(what)
    path = shipped().get(str(what), what)
    return " ".join([Path(what).name, *filter(None, [digest(path)])])


def _recoverer(body: str, finder: str, device: str, weights: str, refine: bool, given: bool) -> Recoverer:
    from humesh.people.finder import PeopleFinder, RtmlibPeople
    from humesh.people.runtime import MissingNetworkError
    from humesh.recover import Recoverer

    try:
        people = None if given else RtmlibPeople() if finder == "rtmlib" else PeopleFinder(fast=finder == "fast")
        recoverer = Recoverer(body, people, device, weights, refine)
    except (ValueError, ImportError, MissingNetworkError) as error:  # of a file or the device; what is not there
        raise UserError(str(error)) from None
    limit_threads(recoverer)
    return recoverer


def limit_threads(recoverer: Recoverer) -> None:
    """One thread for methods of many small steps: more only wait for each other, above all on busy machines."""
    import torch

    network = recoverer.network
    if network is None or not any(isinstance(part, torch.nn.Conv2d) for part in network.modules()):
        torch.set_num_threads(1)


def _given(detections: Path | None, photos: Sequence[Path]) -> GivenPeople | None:
    from humesh.people.given import GivenPeople

    if detections is None:
        return None
    given = GivenPeople(detections)
    for note in given.match(photos):
        say_error(note)
    return given
