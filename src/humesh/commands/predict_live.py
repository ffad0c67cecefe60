"""`humesh predict 0`: a film of a webcam or an endless stream with the bodies on it, until Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from humesh.commands.app import previewing
from humesh.commands.errors import UserError, say_error, shown
from humesh.commands.inputs import Input
from humesh.commands.progress import Pace, progress_bar
from humesh.commands.results import Job, Results
from humesh.media.film import Film
from humesh.media.video import Video, VideoError
from humesh.recover import Recoverer
from humesh.recover_video import recover_live
from humesh.scene.pictures import LivePictures
from humesh.scene.result import Result


def predict_live(
    each: Input,
    job: Job,
    results: Results,
    recoverer: Recoverer,
    focal_px: float | None = None,
    preview: bool = False,
    video: Video | None = None,
) -> str:
    """The film of a live input until Ctrl-C or its end, always of the newest frame; what to print.

    Raises VideoError, UserError.
    """
    video = video or Video(int(each.where) if each.where.isdecimal() else each.where)
    times, errors, stop = list[float](), list[VideoError](), Stop()
    with stop, results.claimed(job) as claim:
        path = Path(f"{claim.target}{job.endings['mp4']}")
        say_error(f"{each.identity}: filming {results.folder / path.name}; Ctrl-C ends the film.")
        with (
            threadpool_limits(1, "blas"),  # small products of matrices wait longer for BLAS's threads than they take
            previewing() if preview else nullcontext(None) as show,
            progress_bar(Pace("frames"), transient=True) as bar,
            Film(path, video.size, video.fps) as film,
            closing(recover_live(video, recoverer, focal_px=focal_px)) as recovered,
        ):
            task, picture_of = bar.add_task("", total=None), LivePictures(recoverer.body, video.size)
            while (result := _next(recovered, stop, errors)) is not None:
                assert result.time_s is not None
                picture = picture_of(result)
                film.write(picture, result.time_s)
                times.append(result.time_s)
                if show is not None:
                    show(picture)
                about = f"{each.identity}: {video.passed_over} passed over"
                bar.update(task, completed=len(times), description=shown(about, bar.console.encoding))
            if not times:
                raise [*errors, UserError(f"{each.identity}: stopped before the first frame; nothing was written.")][0]
        written = claim.finish({"video": {"path": each.public, "frames": len(times)}}, {"mp4": [path]})
    lines = [f"{each.identity}: {len(times)} frames in {times[-1] - times[0]:.1f} s", *video.notes, *map(str, errors)]
    if video.passed_over:
        lines.append(f"{video.passed_over} frames were passed over, because newer ones had come.")
    return "\n  ".join([*lines, *map(str, written)])


def _next(recovered: Iterator[Result], stop: Stop, errors: list[VideoError]) -> Result | None:
    """The next result; None where the user ends the film, or an error, which is added to the others."""
    try:
        with stop.raised():
            return next(recovered, None)
    except VideoError as error:
        errors.append(error)
    except KeyboardInterrupt:
        pass
    return None


class Stop:
    """While it is entered, Ctrl-C and SIGTERM are a KeyboardInterrupt, once, and only in what is `raised`.

    So neither ends a film in the middle of a frame, nor while it is brought to its end.
    """

    def __init__(self) -> None:
        self._is_asked = self._is_raised = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():  # others may not change it
            self._before = {each: signal.signal(each, self._stop) for each in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)

    def _stop(self, *_: object) -> None:
        self._is_asked = True
        if self._is_raised:
            self._is_raised = False
            raise KeyboardInterrupt

    @contextmanager
    def raised(self) -> Iterator[None]:
        """What stops at once; if it was asked for before, it is not begun."""
        self._is_raised = True
        try:
            if self._is_asked:
                raise KeyboardInterrupt
            yield
        finally:
            self._is_raised = False
