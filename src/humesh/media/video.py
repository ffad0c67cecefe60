"""Videos: frames with their true times from any file that FFmpeg reads, a folder of pictures or a webcam."""

from __future__ import annotations

import math
import os
import re
import threading
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import unquote, urlsplit

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from humesh.errors import ArgumentError
from humesh.media.decoding import ASSUMED_FPS, Decoder, Draw, Pictures, Pixels, VideoError
from humesh.media.kinds import is_url, kind_of, public
from humesh.media.photo import Photo, PhotoError

__all__ = ["Frame", "Video", "VideoError", "letterboxed"]

_ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"})
_TICK = 1e-6  # seconds, for comparing times that were rounded differently
Item = TypeVar("Item")
_LONGEST_GAP_S = 600.0  # between two frames; a longer one is a clock that jumped


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame of a video, upright, with its seconds since the first; `number` counts those that were asked for."""

    number: int
    time_s: float
    pixels: UInt8[np.ndarray, "H W 3"]  # RGB
    broken: bool = False  # it cannot be read and is the last good frame


class Video:
    """The frames of a video with start_s <= time < end_s, every `stride`-th; streams, again and again for files.

    `source`: a file that FFmpeg reads, a folder of pictures (by name, 2 before 10), an address (https://, rtsp://, ...)
    or the number of a webcam; `live`: one without an end, which cannot be read again (`endless`: nor has it a size, as
    a file on the net has). `size` (width, height) px; `fps` (nominal), `duration_s` and `count` (expected, None if not
    known) are those of the frames asked for. `notes`: what was guessed, broken or bridged, complete after iterating.
    `sound`: where it may be read. Raises VideoError; ArgumentError (a TypeError) for what is no source.
    """

    def __init__(
        self, source: str | Path | int, start_s: float | int = 0.0, end_s: float | int | None = None, stride: int = 1
    ):
        if not isinstance(source, str | Path | int):
            raise ArgumentError(
                "video: expected a path, an address or the number of a webcam, got "
                f"{type(source).__name__}; write a file of it, or give a Recoverer the pictures one by one."
            )
        end = math.inf if end_s is None else end_s
        if not 0 <= start_s < end or stride < 1:
            raise VideoError(
                f"video {public(str(source))}: expected 0 <= start < end and a stride of 1 or more, "
                f"got start {start_s}, end {end_s}, stride {stride}."
            )
        self.start_s, self.end_s, self.stride = float(start_s), end, stride
        self.path = None if isinstance(source, int) or is_url(str(source)) else Path(source)
        self.name = _name(source) if self.path is None else self.path.name or str(self.path)
        if self.path is not None and os.path.isdir(self.path):
            self._source: Decoder | _Folder = _Folder(self.path)
        else:
            self._source = Decoder(source if self.path is None else self.path)
        self.live = self.endless = False
        self._newest = Newest[tuple[float, Draw]](())
        self.sound: str | Path | None = None
        if isinstance(self._source, Decoder):
            self.live, self.endless = self._source.live, self._source.endless
            self.sound = None if self.live or isinstance(self._source.source, int) else self._source.source
        self.size, self.notes = self._source.size, list(self._source.notes)
        self.fps = self._source.fps / stride
        self.duration_s: float | None = None
        self.count: int | None = None
        length = self._source.duration_s
        if length is not None:
            if self.start_s >= length:
                raise VideoError(f"video {self.name}: expected a start before its end, {length:.3f} s, got {start_s}.")
            self.duration_s = min(end, length) - self.start_s
            everything = self.start_s == 0 and end >= length
            frames = self._source.count if everything else round(self.duration_s * self._source.fps)
            self.count = max(1, math.ceil(frames / stride))

    @property
    def zero_s(self) -> float:
        """What the file's own clock shows at time 0, in seconds: its sound is timed by that clock."""
        return self._source.zero_s

    @property
    def passed_over(self) -> int:
        """The frames that a newer one replaced in the last `newest`."""
        return self._newest.passed_over

    def __iter__(self) -> Iterator[Frame]:
        clock = _Clock(1 / self._source.fps)
        return self._frames(self._wanted(clock), clock)

    def newest(self) -> Generator[Frame, None, None]:
        """The frames of a live video, each the newest when it is asked for, however slowly they are used.

        A thread reads meanwhile.
        """
        clock = _Clock(1 / self._source.fps)
        self._newest = Newest(self._wanted(clock))
        try:
            yield from self._frames(self._newest, clock)
        finally:
            self._newest.close()

    def _wanted(self, clock: _Clock) -> Iterator[tuple[float, Draw]]:
        place = 0
        for stamp, draw in self._source.pictures(self.start_s):
            seconds = clock(stamp)
            if seconds >= self.end_s - _TICK:
                break
            if seconds < self.start_s - _TICK:
                continue
            if place % self.stride == 0:
                yield seconds, draw
            place += 1

    def _frames(self, wanted: Iterable[tuple[float, Draw]], clock: _Clock) -> Iterator[Frame]:
        number = broken = fitted = 0
        good: Draw | None = None  # the last good frame, drawn anew where it is needed: the user may paint on it
        self.notes[:] = self._source.notes
        for seconds, draw in wanted:
            pixels = draw()
            is_broken = pixels is None
            if pixels is None:
                broken += 1
                pixels = None if good is None else good()
            else:
                good = draw
            if pixels is None:
                continue
            if pixels.shape[1::-1] != self.size:
                fitted += 1
                pixels = letterboxed(pixels, self.size)
            yield Frame(number, seconds, pixels, is_broken)
            number += 1
        if number == 0:
            why = " ".join(["", *self._source.findings])
            raise VideoError(
                f"video {self.name}: expected pictures from {self.start_s:g} s to {self.end_s:g} s, found none that "
                f"can be read; choose others.{why}"
            )
        if broken:
            self.notes.append(f"Broken frames, replaced by the last good one or left out at the start: {broken}.")
        if clock.made:
            self.notes.append(f"Frames without a true time, set by the frame rate: {clock.made}.")
        if fitted:
            width, height = self.size
            self.notes.append(f"Pictures of another size, fitted into {width} x {height} with black: {fitted}.")
        self.notes += self._source.findings


class Newest(Generic[Item]):
    """The newest of `items`, which a thread reads as they come, that was not given yet, each time it is asked for.

    `passed_over` counts those that a newer one replaced. An error of `items` is raised after the last item. The thread
    begins with the first item that is asked for, and ends with the items or with `close`.
    """

    def __init__(self, items: Iterable[Item]) -> None:
        self.passed_over = 0
        self._items: Iterable[Item] = items
        self._changed = threading.Condition()
        self._waiting: list[Item] = []  # the newest, or nothing
        self._ended = False
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._read, name="newest", daemon=True)

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        if self._thread.ident is None:
            self._thread.start()
        with self._changed:
            while not self._waiting and not self._ended:
                self._changed.wait(0.5)  # without a limit, Windows would not let Ctrl-C through
            if self._waiting:
                return self._waiting.pop()
            error, self._error = self._error, None
        if error is not None:
            raise error
        raise StopIteration

    def close(self) -> None:
        """Ends the thread after the item that it waits for; a source that is silent is not waited for."""
        with self._changed:
            self._ended = True
        if self._thread.ident is not None:
            self._thread.join(0.5)

    def _read(self) -> None:
        error = None
        try:
            for item in self._items:
                with self._changed:
                    if self._ended:
                        return
                    self.passed_over += len(self._waiting)
                    self._waiting[:] = [item]
                    self._changed.notify()
        except Exception as raised:
            error = raised
        finally:
            with self._changed:
                self._ended, self._error = True, error
                self._items = ()  # whatever it holds open is closed
                self._changed.notify()


class _Clock:
    """True seconds, strictly increasing; what the file does not say is made from the nominal distance of frames."""

    def __init__(self, period: float) -> None:
        self.period, self.last, self.shift, self.made = period, -math.inf, 0.0, 0

    def __call__(self, stamp: float | None) -> float:
        now = max(self.last + self.period, 0.0) if stamp is None else stamp + self.shift
        jumped_ahead = self.last >= 0 and now > self.last + _LONGEST_GAP_S
        jumped_back = now <= self.last - self.period
        if jumped_ahead or jumped_back:  # a clock that began anew: this piece is joined to the last one
            self.shift += self.last + self.period - now
            now = self.last + self.period
        repeated = now <= self.last
        if repeated:  # a stamp given twice moves half a frame on
            now = self.last + self.period / 2
        self.made += stamp is None or jumped_ahead or jumped_back or repeated
        self.last = now
        return now


class _Folder:
    def __init__(self, path: Path) -> None:
        try:
            inside = [file for file in path.iterdir() if file.name[0] != "."]
        except OSError as error:
            raise VideoError(f"video {path}: expected pictures in this folder, {error.strerror}.") from None
        found = [file for file in inside if file.suffix.lower() in _ENDINGS or kind_of(file) == "photo"]
        self.files = sorted(found, key=lambda file: _natural(file.name))
        if not self.files:
            raise VideoError(f"video {path}: expected pictures (JPEG, PNG, ...) in this folder, found none.")
        first = next((pixels for pixels in map(_read, self.files) if pixels is not None), None)
        if first is None:
            raise VideoError(f"video {path}: none of its {len(self.files)} pictures can be read; look at them.")
        self.size = (first.shape[1], first.shape[0])
        self.fps, self.count, self.zero_s = ASSUMED_FPS, len(self.files), 0.0
        self.duration_s: float | None = self.count / self.fps
        self.notes = [f"A folder of pictures has no times; {self.fps:g} pictures a second were assumed."]
        self.findings: list[str] = []

    def pictures(self, start_s: float) -> Pictures:
        """All pictures; none is read before it is drawn."""
        yield from ((k / self.fps, partial(_read, file)) for k, file in enumerate(self.files))


def letterboxed(pixels: UInt8[np.ndarray, "h w 3"], size: tuple[int, int]) -> UInt8[np.ndarray, "H W 3"]:
    """Pixels scaled to fit into (width, height), in the middle, with black around."""
    height, width = pixels.shape[:2]
    scale = min(size[0] / width, size[1] / height)
    inner = max(1, round(width * scale)), max(1, round(height * scale))
    sheet = Image.new("RGB", size)
    sheet.paste(Image.fromarray(pixels).resize(inner), ((size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2))
    return np.array(sheet)


def _read(file: Path) -> Pixels | None:
    try:
        return Photo.read(file).pixels
    except PhotoError:
        return None


def _name(source: str | Path | int) -> str:
    """What to call a webcam or a video on the net: the last part of its path, or its host."""
    if isinstance(source, int):
        return f"webcam{source}"
    parts = urlsplit(str(source))
    return Path(unquote(parts.path)).name or parts.hostname or "stream"


def _natural(name: str) -> tuple[tuple[int, str], ...]:
    """Sorts names with their numbers as numbers: 2 before 10."""
    return tuple((int(digits or -1), word) for digits, word in re.findall(r"(\d+)|(\D+)", name.lower()))
