"""What a job of the page is: a photo's or a video's people recovered, and the files that the page shows and gives."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import CancelledError
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from humesh.media.film import Film
from humesh.media.kinds import kind_of
from humesh.media.video import Video
from humesh.recover import IN_VIDEOS, Recoverer
from humesh.recover_video import recover_video
from humesh.scene.pictures import write_film
from humesh.scene.result import Result, VideoResult
from humesh.web.jobs import Job, Limits, TooLongError

_SIDE = 1280  # px of the picture behind the bodies, at most
_STEPS = {
    "people": "Looking for people",
    "poses": "Posing",
    "film": "Making the overlay",
    "picture": "Making the picture",
}

Progress = Callable[[str, int, int | None], None]


class Worker:
    """Recovers the file of one job after the other; networks are loaded with the first."""

    def __init__(self, device: str = "auto") -> None:
        self.device = device

    @cached_property
    def _photos(self) -> Recoverer:
        return Recoverer(device=self.device)

    @cached_property
    def _videos(self) -> Recoverer:
        return Recoverer(device=self.device, weights=IN_VIDEOS)

    def __call__(self, job: Job, limits: Limits) -> None:
        """Fills the job's result; raises HumeshErrors for files that are no photo and no video, or too long."""

        def progress(what: str, done: int = 0, total: int | None = None) -> None:
            if job.cancelled:
                raise CancelledError
            job.message, job.fraction = _STEPS.get(what, what), done / total if total else None

        stem = job.folder / Path(job.name).stem
        if kind_of(job.input) == "video":
            if (length := Video(job.input).duration_s or 0.0) > limits.seconds:
                raise TooLongError(
                    f"{job.name}: expected a video of at most {limits.seconds / 60:g} minutes, got {length / 60:.1f}; "
                    "cut it, or use the command line."
                )
            video = Video(job.input, end_s=limits.seconds)  # some do not say how long they are
            result: Result | VideoResult = recover_video(video, recoverer=self._videos, progress=progress)
            formats = ["mp4", "glb", "npz", "bvh", *(["usd"] if find_spec("pxr") else [])]
        else:
            progress("people")
            result, formats = self._photos(job.input), ["jpg", "glb", "npz", "bvh", "json"]
        progress("Writing files")
        job.result = shown(result, stem, formats, progress)


def shown(result: Result | VideoResult, stem: Path, formats: list[str], progress: Progress) -> dict[str, Any]:
    """Writes a result's files, and its picture, beside `stem`; what the page shows of them (`Job.result`)."""
    files = []
    if isinstance(result, VideoResult) and "mp4" in formats:
        formats = [ending for ending in formats if ending != "mp4"]
        film = stem.with_name(f"{stem.name}_overlay.mp4")
        write_film(result, film, progress=lambda done: progress("film", done, len(result.times)))
        files.append(film.name)
    files += [path.name for path in result.save(stem, formats)]
    if isinstance(result, Result):
        picture, errors = "picture.jpg", result.expected_error_m
        _small(result.photo.pixels).save(stem.with_name(picture), quality=88)
        people = [
            _line(number, person.score, result.pose.translation[number, 2], None if errors is None else errors[number])
            for number, person in enumerate(result.people)
        ]
    else:
        picture = "picture.mp4" if result.video is not None else ""
        if picture:
            _write_picture(result, stem.with_name(picture), progress)
        people = [_line(m.track, m.score, m.pose.translation[:, 2].median(), None) for m in result.tracks]
    first = {end: next((name for name in files if name.endswith(end)), None) for end in (".jpg", ".mp4", ".glb")}
    return {
        "overlay": first[".jpg"] or first[".mp4"],
        "scene": first[".glb"],
        "picture": picture or None,
        "files": files,
        "people": people,
        "notes": list(result.notes),
    }


def _line(number: int, score: float, distance_m: Any, errors_m: Any) -> dict[str, Any]:
    """A line of the page's table."""
    return {
        "name": f"person{number}",
        "score": round(float(score), 3),
        "distance_m": round(float(distance_m), 2),
        "error_mm": None if errors_m is None else round(1000 * float(errors_m.mean()), 1),
    }


def _write_picture(result: VideoResult, path: Path, progress: Progress) -> None:
    """The video's frames as a browser plays them, small."""
    assert result.video is not None
    size = _small(np.zeros((*result.size[::-1], 3), np.uint8)).size
    with Film(path, size, result.fps) as film:
        for frame in result.video:
            progress("picture", frame.number, len(result.times))
            film.write(np.asarray(Image.fromarray(frame.pixels).resize(size)), frame.time_s)


def _small(pixels: np.ndarray) -> Image.Image:
    picture = Image.fromarray(pixels)
    picture.thumbnail((_SIDE, _SIDE))
    return picture
