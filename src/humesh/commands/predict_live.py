"""`humesh predict 0`: a film of a webcam or an endless stream with the bodies on it, until Ctrl-C."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from humesh.commands.app import previewing
from humesh.commands.errors import UserError, say_error, shown
from humesh.commands.inputs import Input
from humesh.commands.progress import Pace, progress_bar
from humesh.commands.results import Job, Results
from humesh.media.film import Film
from humesh.media.video import Video, VideoError, letterboxed
from humesh.recover import Recoverer
from humesh.recover_video import recover_live
from humesh.scene.pictures import LivePictures
from humesh.scene.result import Result

PAUSES_S = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Before a source that ended or broke is opened again; after the last of them the film ends."""
_STEADY_S = 60.0  # a source that ran for that long is opened again as often as at first


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
    videos = [video or _opened(each)]
    times, errors, stop, size = list[float](), list[VideoError](), Stop(), videos[0].size
    with stop, results.claimed(job) as claim:
        path = Path(f"{claim.target}{job.endings['mp4']}")
        say_error(f"{each.identity}: filming {results.folder / path.name}; Ctrl-C ends the film.")
        with (
            threadpool_limits(1, "blas"),  # small products of matrices wait longer for BLAS's threads than they take
            previewing() if preview else nullcontext(None) as show,
            progress_bar(Pace("frames"), transient=True) as bar,
            Film(path, size, videos[0].fps) as film,
            closing(_results(each, videos, recoverer, focal_px)) as recovered,
        ):
            task, picture_of = bar.add_task("", total=None), LivePictures(recoverer.body, size)
            while (result := _next(recovered, stop, errors)) is not None:
                assert result.time_s is not None
                picture = picture_of(result)
                if picture.shape[1::-1] != size:  # a camera that came back with another setting
                    picture = letterboxed(picture, size)
                film.write(picture, result.time_s)
                times.append(result.time_s)
                if show is not None:
                    show(picture)
                about = f"{each.identity}: {sum(video.passed_over for video in videos)} passed over"
                bar.update(task, completed=len(times), description=shown(about, bar.console.encoding))
            if not times:
                raise [*errors, UserError(f"{each.identity}: stopped before the first frame; nothing was written.")][0]
        written = claim.finish({"video": {"path": each.public, "frames": len(times)}}, {"mp4": [path]})
    notes = dict.fromkeys([*(note for video in videos for note in video.notes), *map(str, errors)])
    lines = [f"{each.identity}: {len(times)} frames in {times[-1] - times[0]:.1f} s", *notes]
    if passed_over := sum(video.passed_over for video in videos):
        lines.append(f"{passed_over} frames were passed over, because newer ones had come.")
    return "\n  ".join([*lines, *map(str, written)])


def _opened(each: Input) -> Video:
    return Video(int(each.where) if each.where.isdecimal() else each.where)


def _results(
    each: Input, videos: list[Video], recoverer: Recoverer, focal_px: float | None
) -> Generator[Result, None, None]:
    """The results of the last video, and of those that are opened, and added, after it ended or broke.

    Times are seconds since the first frame of all. VideoError where the source stays away. What has a length, as files
    on the net do, or breaks before its first frame is not opened again.
    """
    tries, zero, last = 0, 0.0, None  # zero: what the clock showed at the film's time 0; last: its last frame
    while True:
        error, first, shift = None, None, 0.0
        try:
            if tries:
                videos.append(_opened(each))
            with closing(recover_live(videos[-1], recoverer, focal_px=focal_px)) as recovered:
                for result in recovered:
                    time_s = result.time_s or 0.0
                    if last is None:
                        zero = time.monotonic() - time_s
                    elif first is None:  # the times of a new connection begin anew
                        shift = max(time.monotonic() - zero, last + 1 / videos[-1].fps) - time_s
                    first = time_s if first is None else first
                    if time_s - first > _STEADY_S:
                        tries = 0
                    last = time_s + shift
                    yield replace(result, time_s=last)
        except VideoError as raised:
            error = raised
        if last is None or not videos[-1].endless or tries == len(PAUSES_S):
            if error is not None:
                raise error
            return
        pause, tries = PAUSES_S[tries], tries + 1
        why = str(error or f"{each.identity}: the stream ended").rstrip(".")
        say_error(f"{why}; it is opened again in {pause:g} s ({tries} of {len(PAUSES_S)}).")
        time.sleep(pause)


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
