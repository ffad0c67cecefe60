"""Videos: pictures with their true times from any file that FFmpeg reads, a folder of pictures or a webcam."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from humesh.errors import ArgumentError
from humesh.media.decoding import ASSUMED_FPS, Decoder, Draw, Pictures, Pixels, VideoError
from humesh.media.kinds import is_animated, is_url, kind_of, opened, public
from humesh.media.photo import MAX_MEGAPIXELS, Photo, PhotoError, rgb_of

__all__ = ["PICTURE_ENDINGS", "Frame", "Video", "VideoError", "letterboxed"]

PICTURE_ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm"})
"""Files of a folder that are pictures by their names; others are if they hold one."""

_ANIMATIONS = ("WEBP", "AVIF")  # pictures of several frames that FFmpeg does not read, or only the first of
_TICK = 1e-6  # seconds, for comparing times that were rounded differently
_LONGEST_GAP_S = 600.0  # between two frames; a longer one is a clock that jumped


@dataclass(frozen=True)
class Frame:
    """One picture of a video, upright, with its seconds since the video's first picture.

    `number` counts the frames that were asked for. `broken`: it could not be decoded and is the last good picture.
    """

    number: int
    time_s: float
    pixels: UInt8[np.ndarray, "H W 3"]  # RGB
    broken: bool = False


class Video:
    """The frames of a video with start_s <= time < end_s, every `stride`-th; streams, again and again for files.

    `source`: a file that FFmpeg reads, an animated picture, a folder of pictures (by name, 2 before 10), an address
    (https://, rtsp://, ...) or the number of a webcam; `live`: one without an end, which cannot be looked at again.
    `size` (width, height) px; `fps` (nominal), `duration_s` and `count` (expected, None if not known) are those of the
    frames asked for. `notes`: what was guessed, broken or bridged, complete after iterating. `sound`: where the sound
    that belongs to the pictures may be read, if anywhere. Raises VideoError; ArgumentError (a TypeError) for what
    is no source.
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
        self.sound: str | Path | None = None
        self._source: Decoder | _Folder | _Animation
        if isinstance(source, int) or is_url(str(source)):
            self.path, self.name = None, f"webcam{source}" if isinstance(source, int) else _name(str(source))
            self._source = Decoder(source)
            self.sound = None if self._source.live else str(source)
        else:
            self.path = Path(source)
            self.name = self.path.name or str(self.path)
            if os.path.isdir(self.path):
                self._source = _Folder(self.path)
            elif is_animated(self.path, _ANIMATIONS):
                self._source = _Animation(self.path)
            else:
                self._source, self.sound = Decoder(self.path), self.path
        self.live = isinstance(self._source, Decoder) and self._source.live
        self.size: tuple[int, int] = self._source.size
        self.fps: float = self._source.fps / stride
        self.duration_s: float | None = None
        self.count: int | None = None
        self.notes: list[str] = list(self._source.notes)
        self._fitted = 0
        whole = self._source.duration_s
        if whole is not None:
            if self.start_s >= whole:
                raise VideoError(f"video {self.name}: expected a start before its end, {whole:.3f} s, got {start_s}.")
            self.duration_s = min(end, whole) - self.start_s
            everything = self.start_s == 0 and end >= whole
            frames = self._source.count if everything else round(self.duration_s * self._source.fps)
            self.count = max(1, math.ceil(frames / stride))

    @property
    def zero_s(self) -> float:
        """What the file's own clock shows at time 0, in seconds: its sound is timed by that clock."""
        return self._source.zero_s

    def __iter__(self) -> Iterator[Frame]:
        clock = _Clock(1 / self._source.fps)
        good: Draw | None = None  # the last good picture, drawn anew where it is needed: the user may paint on it
        waiting: list[tuple[int, float]] = []  # broken frames before any good one
        seen = number = broken = 0
        self.notes[:], self._fitted = self._source.notes, 0
        for stamp, draw in self._source.pictures(self.start_s):
            seconds = clock(stamp)
            if seconds >= self.end_s - _TICK:
                break
            if seconds < self.start_s - _TICK:
                continue
            seen += 1
            if (seen - 1) % self.stride:
                continue
            pixels = self._drawn(draw)
            whole = pixels is not None
            if pixels is None:
                broken += 1
                pixels = self._drawn(good)
            else:
                good = draw
            if pixels is None:
                waiting.append((number, seconds))
            else:
                for earlier in waiting:
                    yield Frame(*earlier, pixels.copy(), broken=True)
                waiting.clear()
                yield Frame(number, seconds, pixels, not whole)
            number += 1
        if number == len(waiting):
            stretch = f"{self.start_s:g} s to {self.end_s:g} s"
            why = " ".join(["", *self._source.findings])
            raise VideoError(
                f"video {self.name}: expected pictures from {stretch}, found none whole; choose others.{why}"
            )
        if broken:
            self.notes.append(f"Broken frames, each replaced by the last good picture: {broken} of {number}.")
        if clock.made:
            self.notes.append(f"Frames without a true time, set by the frame rate: {clock.made}.")
        if self._fitted:
            width, height = self.size
            self.notes.append(f"Pictures of another size, fitted into {width} x {height} with black: {self._fitted}.")
        self.notes += self._source.findings

    def _drawn(self, draw: Draw | None) -> Pixels | None:
        pixels = None if draw is None else draw()
        if pixels is None or (pixels.shape[1], pixels.shape[0]) == self.size:
            return pixels
        self._fitted += 1
        return letterboxed(pixels, self.size)


class _Clock:
    """True seconds, strictly increasing; what the file does not tell is made from the nominal distance of frames."""

    def __init__(self, period: float) -> None:
        self.period, self.last, self.shift, self.made = period, -math.inf, 0.0, 0

    def __call__(self, stamp: float | None) -> float:
        if stamp is None:
            now = max(self.last + self.period, 0.0)
            self.made += 1
        else:
            now = stamp + self.shift
            if self.last + _LONGEST_GAP_S < now and self.last >= 0:
                self.shift += self.last + self.period - now
                now = self.last + self.period
                self.made += 1
            if now <= self.last:
                # A stamp shown twice moves half a frame on; one that jumps back begins a piece joined to the last one.
                jumped = now <= self.last - self.period
                self.shift += self.last + self.period - now if jumped else 0.0
                now = self.last + (self.period if jumped else self.period / 2)
                self.made += 1
        self.last = now
        return now


class _Folder:
    """Pictures of a folder in natural order, the later ones fitted into the size of the first."""

    def __init__(self, path: Path) -> None:
        try:
            inside = [file for file in path.iterdir() if file.name[0] != "."]
        except OSError as error:
            raise VideoError(f"video {path}: expected pictures in this folder, {error.strerror}.") from None
        found = [file for file in inside if file.suffix.lower() in PICTURE_ENDINGS or kind_of(file) == "photo"]
        self.files = sorted(found, key=lambda file: _natural(file.name))
        if not self.files:
            raise VideoError(f"video {path}: expected pictures (JPEG, PNG, ...) in this folder, found none.")
        first = next((pixels for pixels in map(_read, self.files) if pixels is not None), None)
        if first is None:
            raise VideoError(f"video {path}: none of its {len(self.files)} pictures can be read; look at them.")
        self.size = (first.shape[1], first.shape[0])
        self.fps, self.count, self.zero_s = ASSUMED_FPS, len(self.files), 0.0
        self.duration_s = self.count / self.fps
        self.notes = [f"A folder of pictures tells no times; {self.fps:g} pictures a second were assumed."]
        self.findings: list[str] = []

    def pictures(self, start_s: float) -> Pictures:
        """All pictures; start_s is left to the caller, because none is read before it is drawn."""
        yield from ((k / self.fps, partial(_read, file)) for k, file in enumerate(self.files))


class _Animation:
    """A picture of several frames with their own times, read by Pillow."""

    def __init__(self, path: Path) -> None:
        self.path, self.zero_s, self.duration_s, self.notes = path, 0.0, None, list[str]()
        self.findings: list[str] = []
        try:
            with opened(path, _ANIMATIONS) as image:
                if image.width * image.height > MAX_MEGAPIXELS * 1e6:
                    raise VideoError(
                        f"video {path}: expected frames of at most {MAX_MEGAPIXELS} megapixels, got {image.width} x "
                        f"{image.height}; scale it down first."
                    )
                self.size, self.count = image.size, int(getattr(image, "n_frames", 1))
                image.load()
                self.fps = 1000 / (image.info.get("duration") or 1000 / ASSUMED_FPS)
        except VideoError:
            raise
        except Exception as error:  # Pillow's readers have no common base of errors
            raise VideoError(f"video {path}: its pictures cannot be read ({error}); fetch it anew.") from error

    def pictures(self, start_s: float) -> Pictures:
        """All frames; start_s is left to the caller, because each is drawn upon the one before."""
        self.findings.clear()
        try:
            with opened(self.path, _ANIMATIONS) as image:
                for k in range(self.count):
                    image.seek(k)
                    pixels = rgb_of(image)
                    yield image.info.get("timestamp", 0) / 1000, partial(np.copy, pixels)
        except Exception as error:  # as above
            self.findings.append(f"The video is damaged ({error}); it was read up to there.")


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


def _name(address: str) -> str:
    """What to call a video on the net: the last part of its path, or who sends it."""
    parts = urlsplit(address)
    return Path(unquote(parts.path)).name or parts.hostname or "stream"


def _natural(name: str) -> tuple[tuple[int, str], ...]:
    """Sorts names with their numbers as numbers: 2 before 10."""
    return tuple((int(digits or -1), word) for digits, word in re.findall(r"(\d+)|(\D+)", name.lower()))
