"""Pictures and their stamps out of a file or webcam through FFmpeg, also where the file is damaged."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
from jaxtyping import UInt8

from humesh.errors import HumeshError
from humesh.media.containers import (
    MAX_MEGAPIXELS,
    VideoError,
    check_file,
    declared_seconds,
    media,
    pictured,
    reason,
    webcam,
)
from humesh.media.kinds import is_url, public

__all__ = ["ASSUMED_FPS", "Decoder", "Draw", "Pictures", "Pixels", "VideoError", "is_url", "turned"]

Pixels = UInt8[np.ndarray, "H W 3"]
Draw = Callable[[], Pixels | None]
"""Draws a picture, upright RGB, None where it cannot be read; costs nothing until it is called."""
Pictures = Iterator[tuple[float | None, Draw | None]]
"""(seconds since the first, picture) in the order shown: None for a time that is not told and for a broken picture."""

_LIMITS = {"max_pixels": f"{MAX_MEGAPIXELS}000000"}  # FFmpeg's own: frames may be larger than the header says
_LENGTH_IN_HEADER = {"mov", "matroska", "avi"}  # in other containers FFmpeg estimates it from what is there
_HDR = {16: "PQ", 18: "HLG"}  # transfer functions by their numbers in ISO/IEC 23091-2
ASSUMED_FPS = 25.0
"""Pictures a second where nothing tells it: the default of FFmpeg for pictures, and the rate of PAL."""


class Decoder:
    """A file, an address on the net or a webcam through FFmpeg; raises VideoError."""

    def __init__(self, source: str | Path | int) -> None:
        self.url = isinstance(source, str) and is_url(source)
        self.live = isinstance(source, int)  # it has no end, and shows other pictures each time
        self.webcam = self.live
        self.name = f"webcam {source}" if self.webcam else f"video {public(str(source))}"
        self.format: str | None = None
        self.where, self.options = str(source), dict[str, str]()
        if isinstance(source, int):
            self.where, self.format, self.options = webcam(source)
        elif not self.url:
            check_file(Path(source))
        self.notes: list[str] = []
        self.findings: list[str] = []
        self.broke: str | None = None  # why the file ended before its end, in the pass that has just ended
        with self._in_a_sentence():
            self._begin()

    def _begin(self) -> None:
        """Looks at the header and at the first picture."""
        with self._open() as container:
            stream = self._stream(container)
            self.base = stream.time_base
            aspect = stream.sample_aspect_ratio
            seconds = None if self.live else declared_seconds(container, stream)
            self.live = self.live or (self.url and seconds is None)
            self.duration_s = seconds
            self.avi = container.format.name == "avi"  # its `frames` counts empty ones, which have no picture
            self.fps = self._frame_rate(container, stream)
            self.count = (len(stream.index_entries) if self.avi else stream.frames) or round((seconds or 0) * self.fps)
        # The first picture tells how it is turned and coloured, better than headers do.
        self.first: int | None = None
        for stamp, frame in self._decoded(0.0):
            self.first = stamp if self.first is None else self.first
            pixels = None if frame is None else _upright(frame)
            if pixels is not None:
                break
        else:
            raise VideoError(f"{self.name}: expected pictures, none can be decoded{self._why()}; export it anew.")
        self.size = (pixels.shape[1], pixels.shape[0])
        self.zero_s = 0.0 if self.avi else float((self.first or 0) * self.base)
        self.notes += _oddities(frame, aspect)

    def _frame_rate(self, container: Any, stream: Any) -> float:
        """Frames a second; what is out of the ordinary is held against the times of the first frames.

        Cameras for slow motion do film 1000 frames a second; recordings of browsers only tell their clock so.
        """
        told = float(stream.average_rate or stream.guessed_rate or 0)
        if 0.01 < told <= 480:
            return told
        times = []
        if not self.live:
            with suppress(av.FFmpegError):  # the pass through all pictures tells it
                times = sorted(t for t in map(self._stamp, islice(container.demux(stream), 100)) if t is not None)
        lasted = float((times[-1] - times[0]) * self.base) if times else 0.0
        measured = (len(times) - 1) / lasted if lasted > 0 else 0.0
        if not 0.01 < measured < 100_000:
            self.notes.append(f"The video tells no frame rate; {ASSUMED_FPS:g} frames a second were assumed.")
            return ASSUMED_FPS
        if abs(told / measured - 1) < 0.02:
            return told
        self.notes.append(f"The video tells no frame rate; its first frames came at {measured:.3g} a second.")
        return measured

    @contextmanager
    def _in_a_sentence(self) -> Iterator[None]:
        """Whatever a damaged file makes FFmpeg's Python side raise becomes a VideoError."""
        try:
            yield
        except HumeshError:
            raise
        except Exception as error:  # of a foreign file's every byte: FFmpeg's, Python's and NumPy's errors
            raise VideoError(
                f"{self.name}: the video is damaged ({reason(error)}); fetch it anew or export it as MP4."
            ) from error

    def pictures(self, start_s: float) -> Pictures:
        """The pictures from the last key frame before start_s on, or from the beginning where seeking fails."""
        first = None if self.live else self.first
        self.findings.clear()
        with self._in_a_sentence():
            for stamp, frame in self._from(start_s):
                first = stamp if first is None else first
                seconds = None if stamp is None or first is None else float((stamp - first) * self.base)
                yield seconds, None if frame is None else partial(_upright, frame)
        if self.broke:
            self.findings.append(f"The video is cut short{self._why()}; it was read up to there.")

    def _from(self, start_s: float) -> Iterator[tuple[int | None, Any]]:
        if start_s > 1 and not self.live:  # earlier than that, decoding is quicker than seeking
            frames = self._decoded(start_s)
            stamp, frame = next(frames, (None, None))
            if stamp is not None and (stamp - (self.first or 0)) * self.base <= start_s:
                yield stamp, frame
                yield from frames
                return
            frames.close()
        yield from self._decoded(0.0)

    def _decoded(self, start_s: float) -> Generator[tuple[int | None, Any], None, None]:
        """(stamp, frame) in the order shown; frame None where a packet of that stamp gave no whole picture."""
        self.broke = None
        expected: list[int] = []  # stamps of the packets inside the decoder, least first
        lost: list[int | None] = []
        errors = 0
        end: int | None = None  # of what was shown by the packets so far
        before: int | None = None  # stamp of the last frame
        with self._open() as container:
            stream = self._stream(container)
            stream.thread_type = "AUTO"
            if start_s > 0:
                try:
                    container.seek((self.first or 0) + int(start_s / self.base), stream=stream)
                except (av.FFmpegError, OverflowError):  # OverflowError: later than any clock of FFmpeg's
                    return
            for packet in self._packets(container, stream):
                if packet is not None and packet.size:
                    stamp = self._stamp(packet)
                    if stamp is not None:
                        heapq.heappush(expected, stamp)
                        end = max(stamp + (packet.duration or 0), end or stamp)
                try:
                    frames = stream.decode(packet)
                except av.FFmpegError:
                    errors += 1  # decoders work ahead in threads: which packet it was shows when its picture is missing
                    continue
                for frame in frames:
                    shown = self._stamp(frame)
                    if shown is None and self.avi and before is not None:
                        shown = before + 1  # it came out after the last packet; AVI's clock counts frames
                    before = shown
                    gone: list[int | None] = [None] * errors if shown is None else []
                    while expected and shown is not None and expected[0] < shown:
                        gone.append(heapq.heappop(expected))
                    if shown is None:
                        expected.clear()
                    elif expected and expected[0] == shown:
                        heapq.heappop(expected)
                    if errors:  # without one, a packet without a picture is a hidden frame (VP8) or a second field
                        lost += gone
                        errors = max(0, errors - len(gone))
                    if frame.is_corrupt:
                        lost.append(shown)
                        continue
                    for stamp in lost:
                        yield stamp, None
                    lost.clear()
                    yield shown, frame
            if not self.broke and end is not None and container.format.name.split(",")[0] in _LENGTH_IN_HEADER:
                declared = declared_seconds(container, stream, pictures_only=True)
                ends = float(end * self.base) - float((stream.start_time or 0) * self.base)
                if declared is not None and ends < declared - 1.5 / self.fps:
                    self.broke = f"it should last {declared:.3f} s and ends at {ends:.3f} s"
        if not self.broke:  # the last packets were broken: in a whole file they have their place in time
            for stamp in [*lost, *sorted(expected)]:
                yield stamp, None

    def _stamp(self, thing: Any) -> int | None:
        """The stamp of a packet or frame. AVI tells only the order of decoding, FFmpeg's pts of it are inventions."""
        return thing.dts if self.avi or thing.pts is None else thing.pts

    def _packets(self, container: Any, stream: Any) -> Iterator[Any]:
        while True:
            try:
                yield from container.demux(stream)
                return
            except av.BlockingIOError:  # a webcam that has no new picture yet
                time.sleep(0.002)
            except av.FFmpegError as error:
                self.broke = reason(error)
                yield None  # what is inside the decoder still comes out
                return

    def _open(self) -> Any:
        try:
            return media(self.where, self.format, self.options)
        except (av.FFmpegError, OSError) as error:
            why = reason(error)
            if self.webcam:
                raise VideoError(f"{self.name}: cannot be opened ({why}); is one plugged in, and free?") from error
            if self.url:
                raise VideoError(
                    f"{self.name}: expected a video that FFmpeg reads at this address, it cannot be opened ({why}); "
                    "is the address right, and the network up?"
                ) from error
            raise VideoError(
                f"{self.name}: expected a video that FFmpeg reads, it is none, damaged or cut short ({why}); "
                "fetch it anew or export it as MP4."
            ) from error

    def _stream(self, container: Any) -> Any:
        streams = pictured(container)
        if not streams:
            others = " and ".join(sorted({stream.type for stream in container.streams})) or "nothing"
            raise VideoError(f"{self.name}: expected pictures, the file holds {others}; give a video.")
        if streams[0].codec_context is None:
            raise VideoError(f"{self.name}: FFmpeg has no decoder for its format; export it as H.264 MP4.")
        context = streams[0].codec_context
        if context.width * context.height > MAX_MEGAPIXELS * 1e6:
            raise VideoError(
                f"{self.name}: expected frames of at most {MAX_MEGAPIXELS} megapixels, got {context.width} x "
                f"{context.height}; scale it down first."
            )
        context.options = _LIMITS
        return streams[0]

    def _why(self) -> str:
        return f" ({self.broke})" if self.broke else ""


def _upright(frame: Any) -> Pixels | None:
    """8-bit RGB pixels of a decoded frame, turned by its display matrix; None where its colours are unknown."""
    try:
        pixels = frame.to_ndarray(format="rgb24", threads=1)  # more are started anew for each frame: 7 times as slow
        sides = frame.side_data
        matrix = np.frombuffer(bytes(sides["DISPLAYMATRIX"]), np.int32) if "DISPLAYMATRIX" in sides else None
    except (av.FFmpegError, ValueError):
        return None
    return pixels if matrix is None else turned(pixels, matrix.reshape(3, 3)[:2, :2])


def turned(pixels: UInt8[np.ndarray, "H W 3"], matrix: np.ndarray) -> UInt8[np.ndarray, "h w 3"]:
    """Pixels turned and mirrored by the 2 x 2 part ((a, b), (c, d)) of a display matrix, to the nearest right angle.

    ISO/IEC 14496-12: the pixel at (x, y) is shown at (a x + c y, b x + d y).
    """
    (a, b), (c, d) = matrix.astype(float)
    if abs(a) + abs(d) < abs(b) + abs(c):
        pixels, a, d = pixels.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def _oddities(frame: Any, aspect: Any) -> list[str]:
    notes = []
    bits = max(component.bits for component in frame.format.components)
    curve = _HDR.get(frame.color_trc) or ("BT.2020" if frame.color_primaries == 9 else None)
    if bits > 8 or curve:
        kind = f"{bits}-bit{f' HDR ({curve})' if curve else ''}"
        notes.append(f"The video is {kind}; its colours became 8-bit RGB and were not tone-mapped.")
    if aspect and aspect != 1:
        notes.append(f"Its pixels are not square ({aspect.numerator}:{aspect.denominator}); they were used as stored.")
    if frame.interlaced_frame:
        notes.append("The video is interlaced; its fields were not separated.")
    return notes
