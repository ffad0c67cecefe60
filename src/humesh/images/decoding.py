"""Pictures and their stamps out of a file or webcam through FFmpeg, also where the file is damaged."""

from __future__ import annotations

import heapq
import re
import sys
import time
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
from jaxtyping import UInt8

from humesh.errors import HumeshError

Pixels = UInt8[np.ndarray, "H W 3"]
Draw = Callable[[], Pixels | None]
"""Draws a picture, upright RGB, None where it cannot be read; costs nothing until it is called."""
Pictures = Iterator[tuple[float | None, Draw | None]]
"""(seconds since the first, picture) in the order shown: None for a time that is not told and for a broken picture."""

ASSUMED_FPS = 25.0
"""Pictures a second where nothing tells it: the default of FFmpeg for pictures, and the rate of PAL."""

_LENGTH_IN_HEADER = {"mov", "matroska", "avi"}  # in other containers FFmpeg estimates it from what is there
_HDR = {16: "PQ", 18: "HLG"}  # transfer functions by their numbers in ISO/IEC 23091-2
_WEBCAMS: dict[str, tuple[str, str, dict[str, str]]] = {
    "linux": ("v4l2", "/dev/video{}", {}),
    # Most of Apple's cameras refuse FFmpeg's default of 29.97 frames a second.
    "darwin": ("avfoundation", "{}:none", {"framerate": "30"}),
    "win32": ("dshow", "video={}", {}),
}


class VideoError(HumeshError, ValueError):
    """A video that cannot be read or written; the sentence says which, why and what to do."""


class Decoder:
    """A file or webcam through FFmpeg."""

    def __init__(self, source: str | Path | int) -> None:
        self.live = isinstance(source, int)
        self.name = f"webcam {source}" if isinstance(source, int) else f"video {source}"
        self.format: str | None
        self.where, self.format, self.options = _webcam(source) if isinstance(source, int) else _file(Path(source))
        self.notes: list[str] = []
        self.findings: list[str] = []
        self.broke: str | None = None  # why the file ended before its end, in the pass that has just ended
        with self._open() as container:
            stream = self._stream(container)
            self.base = stream.time_base
            aspect = stream.sample_aspect_ratio
            rate = stream.average_rate or stream.guessed_rate or 0
            self.fps = float(rate)
            if not 0.01 < self.fps <= 480:  # 1000, a clock of milliseconds, is what recordings of browsers tell
                self.fps = ASSUMED_FPS
                self.notes.append(f"The video tells no frame rate; {self.fps:g} frames a second were assumed.")
            seconds = None if self.live else _declared_seconds(container, stream)
            self.duration_s = seconds
            self.avi = container.format.name == "avi"  # its `frames` counts empty ones, which have no picture
            self.count = (len(stream.index_entries) if self.avi else stream.frames) or round((seconds or 0) * self.fps)
        # The first picture tells how it is turned and coloured, better than headers do.
        self.first: int | None = None
        for stamp, frame in self._decoded(0.0):
            self.first = stamp if self.first is None else self.first
            if frame is not None:
                break
        else:
            raise VideoError(f"{self.name}: expected pictures, none can be decoded{self._why()}; export it anew.")
        pixels = _upright(frame)
        self.size = (pixels.shape[1], pixels.shape[0])
        self.zero_s = 0.0 if self.avi else float((self.first or 0) * self.base)
        self.notes += _oddities(frame, aspect)

    def pictures(self, start_s: float) -> Pictures:
        """The pictures from the last key frame before start_s on, or from the beginning where seeking fails."""
        first = None if self.live else self.first
        self.findings.clear()
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
                except av.FFmpegError:
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
                declared = _declared_seconds(container, stream, pictures_only=True)
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
                self.broke = error.strerror or str(error)
                yield None  # what is inside the decoder still comes out
                return

    def _open(self) -> Any:
        try:
            return av.open(self.where, format=self.format, options=self.options)
        except (av.FFmpegError, OSError) as error:
            why = getattr(error, "strerror", None) or str(error)
            if self.live:
                raise VideoError(f"{self.name}: cannot be opened ({why}); is one plugged in, and free?") from error
            raise VideoError(
                f"{self.name}: expected a video that FFmpeg reads, it is none, damaged or cut short ({why}); "
                "fetch it anew or export it as MP4."
            ) from error

    def _stream(self, container: Any) -> Any:
        cover = av.stream.Disposition.attached_pic
        streams = [stream for stream in container.streams.video if not stream.disposition & cover]
        if not streams:
            others = " and ".join(sorted({stream.type for stream in container.streams})) or "nothing"
            raise VideoError(f"{self.name}: expected pictures, the file holds {others}; give a video.")
        if streams[0].codec_context is None:
            raise VideoError(f"{self.name}: FFmpeg has no decoder for its format; export it as H.264 MP4.")
        return streams[0]

    def _why(self) -> str:
        return f" ({self.broke})" if self.broke else ""


def _file(path: Path) -> tuple[str, None, dict[str, str]]:
    if not path.is_file():
        raise VideoError(f"video {path}: expected a video file or a folder of pictures, found nothing there.")
    if path.stat().st_size == 0:
        raise VideoError(f"video {path}: expected a video, the file is empty; fetch it anew.")
    return str(path), None, {}


def _webcam(number: int) -> tuple[str, str, dict[str, str]]:
    """Where FFmpeg finds the webcam of this number, and the format and options to open it with."""
    name, where, options = _WEBCAMS.get(sys.platform, _WEBCAMS["linux"])
    if name != "dshow":
        return where.format(number), name, options
    from av.device import enumerate_input_devices  # DirectShow knows cameras by their names only

    cameras = [device.name for device in enumerate_input_devices(name) if "video" in device.media_types]
    if not 0 <= number < len(cameras):
        raise VideoError(f"webcam {number}: expected a camera, found {len(cameras)}; plug it in or choose another.")
    return where.format(cameras[number]), name, options


def _declared_seconds(container: Any, stream: Any, pictures_only: bool = False) -> float | None:
    """How long the pictures last by the header; `pictures_only`: None where that could be the length of the sound."""
    if container.format.name == "avi" and stream.frames:
        return float(stream.frames * stream.time_base)  # its `duration` shrinks with the file
    if stream.duration:
        return float(stream.duration * stream.time_base)
    written = re.fullmatch(r"(\d+):(\d+):(\d+\.?\d*)", stream.metadata.get("DURATION", ""))  # Matroska
    if written:
        hours, minutes, seconds = map(float, written.groups())
        return 3600 * hours + 60 * minutes + seconds
    if container.duration and (not pictures_only or len(container.streams) == 1):
        return container.duration / av.time_base
    return None


def _upright(frame: Any) -> Pixels:
    """8-bit RGB pixels of a decoded frame, turned by its display matrix."""
    pixels = frame.to_ndarray(format="rgb24", threads=1)  # more are started anew for each frame: seven times as slow
    sides = frame.side_data
    matrix = np.frombuffer(bytes(sides["DISPLAYMATRIX"]), np.int32) if "DISPLAYMATRIX" in sides else None
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
