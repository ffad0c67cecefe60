"""`humesh predict`: photos and videos in, pictures, films and files of posed bodies out."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from humesh.commands.errors import UserError, say_error
from humesh.commands.predict_video import FILM, VIDEO_ENDINGS, VideoOptions, is_video, is_webcam, predict_video, told
from humesh.commands.progress import progress_bar
from humesh.threads import ahead

if TYPE_CHECKING:
    from humesh.people.given import GivenPeople
    from humesh.recover import Recoverer

IMAGE_ENDINGS = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"}

_VIDEO = VideoOptions()
_PHOTOS_AT_ONCE = 4  # more of them only take memory

Finder = Literal["accurate", "fast", "rtmlib"]
Format = Literal["jpg", "views", "mp4", "glb", "obj", "ply", "npz", "json", "bvh"]


def predict(
    inputs: tyro.conf.Positional[list[Path]],
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("humesh_out"),
    weights: str = "",
    refine: bool = True,
    body: str = "open",
    detections: Path | None = None,
    finder: Finder = "accurate",
    focal_px: float | None = None,
    formats: tuple[Format, ...] = ("jpg", "glb", "json"),
    device: str = "cpu",
    overwrite: bool = False,
    video: VideoOptions = _VIDEO,
) -> int:
    """Recover the bodies of everyone in photos and videos.

    Each photo gets files named after it: an overlay picture, a GLB for Blender or three.js, a JSON with all numbers;
    each video a film, a GLB that moves and an NPZ. What is finished is skipped, so a stopped run goes on where it was.

    Args:
        inputs: Photos, videos, folders of them, patterns such as "shots/*.jpg", or the number of a webcam.
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
        focal_px: The photos' focal length in pixels, where you know it better than EXIF does.
        formats: What to write of photos; views is a picture from the side and from above, mp4 a turntable film.
        device: Where bodies are computed: cpu, cuda, cuda:1.
        overwrite: Do again what is finished.
        video: Of videos only.
    """
    from humesh.images.decoding import VideoError
    from humesh.images.photo import PhotoError
    from humesh.people.mot import TracksError
    from humesh.recover import DEFAULT, IN_VIDEOS

    if focal_px is not None and not 0 < focal_px < float("inf"):
        raise UserError(f"--focal-px: expected a positive number of pixels, got {focal_px:g}.")
    named = _named(_expand(inputs, video))
    photos = {name: path for name, path in named.items() if not is_video(path, video)}
    videos = {name: path for name, path in named.items() if name not in photos}
    _check_out(out, inputs, photos, videos)
    wanted = (*formats, "json")  # the record is always written, and last: it marks a photo as finished
    todo = {name: path for name, path in photos.items() if overwrite or not _finished(out, name, wanted)}
    if len(todo) < len(photos):
        done = len(photos) - len(todo)
        print(f"{done} of {len(photos)} photos are finished and skipped (--overwrite does them again).")
    if not todo and not videos:
        return 0
    given = _given(detections, photos.values())
    made = cache(lambda weights: _recoverer(body, finder, device, weights, refine, given is not None and not videos))
    failed: list[str] = []

    def one(path: Path, answer: Callable[[], str], say: Callable[[str], None]) -> None:
        try:
            say(answer())
        except Exception as error:  # whatever it is, the others are done all the same
            expected = isinstance(error, (PhotoError, VideoError, TracksError, UserError))
            kind = "video" if is_video(path, video) else "photo"
            failed.append(str(error) if expected else f"{kind} {path}: {type(error).__name__}: {error}")
            say_error(failed[-1])

    with progress_bar(disable=len(todo) < 2) as progress:
        task = progress.add_task("photos", total=len(todo))

        def say(report: str) -> None:
            progress.console.print(report, highlight=False, markup=False, soft_wrap=True)

        recoverer = made(weights or DEFAULT) if todo else None
        work = partial(_one, out, wanted, recoverer, given, focal_px)
        for path, answer in zip(
            todo.values(), ahead(work, todo.items(), min(_PHOTOS_AT_ONCE, len(todo) or 1)), strict=True
        ):
            one(path, answer.result, say)
            progress.advance(task)
    for name, path in videos.items():
        recoverer = made(weights or (DEFAULT if is_webcam(path) else IN_VIDEOS))
        one(path, partial(predict_video, path, name, out, video, recoverer, focal_px, overwrite), print)
    if failed and len(named) == 1:
        return 2
    if failed:
        kind = "photos" if not videos else "videos" if not photos else "photos and videos"
        say_error(f"{len(failed)} of {len(named)} {kind} failed:\n  " + "\n  ".join(failed))
        return 1
    return 0


def _one(
    out: Path,
    formats: tuple[str, ...],
    recoverer: Recoverer | None,
    given: GivenPeople | None,
    focal_px: float | None,
    photo_file: tuple[str, Path],
) -> str:
    """One photo's files; returns what to tell the user."""
    from humesh.geometry.camera import Camera
    from humesh.images.photo import Photo
    from humesh.scene.export import save

    assert recoverer is not None  # made where there are photos
    name, path = photo_file
    photo = Photo.read(path)
    if focal_px is not None:
        photo = replace(photo, camera=Camera.virtual(focal_px, photo.size), camera_source="given")
    people = None
    if given is not None:
        people, photo = given.on(photo, path)
    recovery = recoverer(photo, people)
    written = save(recovery, out / name, formats, image_path=path)
    return told(path, len(recovery.people), "found", recovery.notes, written)


def _expand(inputs: list[Path], video: VideoOptions) -> list[Path]:
    """The photos and videos that files, folders and patterns name, in order, each once."""
    photos: list[Path] = []
    for given in inputs:
        if is_video(given, video):
            photos.append(given)
        elif given.is_dir():
            endings = IMAGE_ENDINGS | VIDEO_ENDINGS
            inside = sorted(p for p in given.iterdir() if p.suffix.lower() in endings and p.is_file())
            if not inside:
                raise UserError(f"folder {given}: expected photos ({', '.join(sorted(IMAGE_ENDINGS))}), found none.")
            photos += inside
        elif given.exists() or not glob.has_magic(str(given)):
            photos.append(given)  # a missing file is told of when its turn comes: the others are done all the same
        else:
            inside = sorted(Path(match) for match in glob.glob(str(given), recursive=True) if Path(match).is_file())
            if not inside:
                raise UserError(f"pattern {given}: expected photos, matches none.")
            photos += inside
    if not photos:
        raise UserError("expected at least one photo, video, folder or pattern, got none; see: humesh predict --help")
    return list(dict.fromkeys(photos))


def _named(photos: list[Path]) -> dict[str, Path]:
    """Result names by photo: its stem, or with its ending and folder where several photos share one."""
    stems = Counter(path.stem for path in photos)
    full = Counter(path.name for path in photos)
    named: dict[str, Path] = {}
    for path in photos:
        name = path.stem if stems[path.stem] == 1 else f"{path.stem}_{path.suffix.removeprefix('.')}"
        if full[path.name] > 1:
            name = f"{path.resolve().parent.name}_{name}"
        while name in named:
            name += "_"
        named[name] = path
    return named


def _finished(out: Path, name: str, formats: tuple[str, ...]) -> bool:
    from humesh.scene.export import ENDINGS

    # BVH files are one a person, perhaps none: the JSON, written after them, stands for them.
    return all((out / f"{name}{ENDINGS[f]}").is_file() for f in formats if f != "bvh")


def _check_out(out: Path, inputs: list[Path], photos: dict[str, Path], videos: dict[str, Path]) -> None:
    """Tells before any work is done that results cannot be written, or that they would get in the inputs' way."""
    from humesh.scene.export import ENDINGS

    if any(given.is_dir() and given.resolve() == out.resolve() for given in inputs):
        raise UserError(f"{out}: the results would lie among the photos; give another folder with -o.")
    originals = {path.resolve(): kind for kind, of in (("photo", photos), ("video", videos)) for path in of.values()}
    results = [out / f"{name}{ending}" for name in photos for ending in ENDINGS.values()]
    for result in (*results, *(out / f"{name}{FILM}" for name in videos)):
        kind = originals.get(result.resolve())
        if kind is not None:
            raise UserError(f"the {kind} {result} would be overwritten by a result; give another folder with -o.")
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".humesh_can_write"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(f"cannot write into {out}: {error.strerror}; give another folder with -o.") from None


def _recoverer(body: str, finder: str, device: str, weights: str, refine: bool, given: bool) -> Recoverer:
    import torch

    from humesh.people.finder import PeopleFinder
    from humesh.people.rtmlib_people import RtmlibPeople
    from humesh.people.runtime import MissingNetworkError
    from humesh.recover import Recoverer

    try:
        people = None if given else RtmlibPeople() if finder == "rtmlib" else PeopleFinder(fast=finder == "fast")
        recoverer = Recoverer(body, people, device, weights, refine)
    except (ValueError, ImportError, MissingNetworkError) as error:  # of a file or the device; what is not there
        raise UserError(str(error)) from None
    network = recoverer.network
    if network is None or not any(isinstance(part, torch.nn.Conv2d) for part in network.modules()):
        torch.set_num_threads(1)  # many small steps: more threads only wait for each other, above all on busy machines
    return recoverer


def _given(detections: Path | None, photos: Iterable[Path]) -> GivenPeople | None:
    from humesh.people.given import DetectionsError, GivenPeople

    if detections is None:
        return None
    try:
        given = GivenPeople(detections)
    except DetectionsError as error:
        raise UserError(str(error)) from None
    for note in given.match(photos):
        say_error(note)
    return given
