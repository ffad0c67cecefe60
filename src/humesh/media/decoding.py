"""Frames and their time stamps out of a video file, an address or a webcam through FFmpeg, also of damaged files."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
from jaxtyping import UInt8

from humesh import files
from humesh.errors import HumeshError
from humesh.media.kinds import is_url, public

Pixels = UInt8[np.ndarray, "H W 3"]
Draw = Callable[[], Pixels | None]
"""Gives the pixels of a frame, upright RGB, None where it cannot be read; costs nothing until it is called."""
Pictures = Iterator[tuple[float | None, Draw]]
"""(seconds since the first, frame) in the order shown; None where the file has no time for it."""

MAX_MEGAPIXELS = 70
"""Videos of larger frames are refused: 8K has 33 megapixels, the largest cameras for virtual reality 56."""
ASSUMED_FPS = 25.0
"""Frames a second where nothing says them: the default of FFmpeg for pictures, and the rate of PAL."""

# What FFmpeg may take a file for. Its others read further files that a playlist names, or take text for pictures.
_CONTAINERS = (
    "mov,matroska,avi,mpegts,mpeg,mpegvideo,h264,hevc,m4v,vc1,obu,ivf,flv,asf,ogg,rm,mxf,gxf,dv,nut,yuv4mpegpipe,"
    "gif,apng,mjpeg,wtv,dhav,cine"
)
_LIMITS = {"max_pixels": f"{MAX_MEGAPIXELS}000000"}  # FFmpeg's own: frames may be larger than the header says
_LENGTH_IN_HEADER = {"mov", "matroska", "avi"}  # in other containers FFmpeg estimates it from what is there
_WITHOUT_TIMES = {"mjpeg", "mpjpeg", "h264", "hevc"}  # FFmpeg makes times of an assumed frame rate; arrivals are true
_HDR = {16: "PQ", 18: "HLG"}  # transfer functions by their numbers in ISO/IEC 23091-2
_PATIENCE_S = 15.0  # for a reply over the net
_LONGEST_S = 1e7  # four months: a header that says more is damaged
_WEBCAMS: dict[str, tuple[str, str, dict[str, str]]] = {
    "linux": ("v4l2", "/dev/video{}", {}),
    # Most of Apple's cameras refuse FFmpeg's default of 29.97 frames a second.
    "darwin": ("avfoundation", "{}:none", {"framerate": "30"}),
    "win32": ("dshow", "video={}", {}),
}


class VideoError(HumeshError, ValueError):
    """A video that cannot be read or written; the sentence says which, why and what to do."""


def open_media(where: str | Path) -> av.container.InputContainer:
    """A file or address opened by FFmpeg; raises av.FFmpegError, OSError.

    A file is never taken for a playlist, which could make FFmpeg open any other.
    """
    if is_url(str(where)):  # FFmpeg itself opens no files that a playlist on the net names
        options = {"rtsp_transport": "tcp"}
        return av.open(str(where), options=options, timeout=_PATIENCE_S, metadata_errors="replace")
    options = {"protocol_whitelist": "file", "format_whitelist": _CONTAINERS}
    return av.open(f"file:{where}", options=options, metadata_errors="replace")


def open_webcam(number: int) -> av.container.InputContainer:
    """The webcam of this number opened by FFmpeg; raises VideoError, av.FFmpegError, OSError."""
    name, where, options = _WEBCAMS.get(sys.platform, _WEBCAMS["linux"])
    camera: int | str = number
    if name == "dshow":  # DirectShow knows cameras by their names only
        from av.device import enumerate_input_devices

        cameras = [device.name for device in enumerate_input_devices(name) if "video" in device.media_types]
        if not 0 <= number < len(cameras):
            raise VideoError(f"webcam {number}: expected a camera, found {len(cameras)}; plug it in or choose another.")
        camera = cameras[number]
    return av.open(where.format(camera), format=name, options=options, metadata_errors="replace")


def reason(error: Exception) -> str:
    """Why FFmpeg could not go on, in a few words."""
    if isinstance(error, av.ExitError):
        return f"no answer in {_PATIENCE_S:g} s"
    return files.reason(error)


def video_streams(container: Any) -> list[Any]:
    """The streams of moving pictures; the cover of a piece of music is none."""
    cover = av.stream.Disposition.attached_pic
    return [stream for stream in container.streams.video if not stream.disposition & cover]


def declared_seconds(container: Any, stream: Any, video_only: bool = False) -> float | None:
    """How long the video lasts by the header; `video_only`: None where that could be the length of the sound."""
    written = re.fullmatch(r"(\d+):(\d+):(\d+\.?\d*)", stream.metadata.get("DURATION", ""))  # Matroska
    seconds = 0.0
    if container.format.name == "avi" and stream.frames:
        seconds = float(stream.frames * stream.time_base)  # its `duration` shrinks with the file
    elif stream.duration:
        seconds = float(stream.duration * stream.time_base)
    elif written:
        seconds = 3600 * float(written[1]) + 60 * float(written[2]) + float(written[3])
    elif container.duration and (not video_only or len(container.streams) == 1):
        seconds = container.duration / av.time_base
    if container.format.name == "mpeg":
        seconds += 0.5  # FFmpeg goes by the last time stamp, and MPG and VOB need one in 0.7 s only
    return seconds if 0 < seconds < _LONGEST_S else None


class Decoder:
    """A file, an address or a webcam through FFmpeg; raises VideoError."""

    def __init__(self, source: str | Path | int) -> None:
        self.source, self.webcam = source, isinstance(source, int)
        self.url = isinstance(source, str) and is_url(source)
        self.name = f"webcam {source}" if isinstance(source, int) else f"video {public(str(source))}"
        if isinstance(source, Path | str) and not self.url:
            if not os.path.isfile(source):
                raise VideoError(f"{self.name}: expected a video file or a folder of pictures, found nothing there.")
            if os.path.getsize(source) == 0:
                raise VideoError(f"{self.name}: expected a video, the file is empty; fetch it anew.")
        self.findings: list[str] = []  # of the last pass through the video
        self.first: int | None = None
        with self._one_sentence(), self._open() as container:
            self._read_header(container, self._stream(container))
            # Connecting to a stream takes a second; of a file, packets may have been read already.
            for stamp, frame in self._decoded(0.0, container if self.live else None):
                self.first = stamp if self.first is None else self.first
                pixels = _upright(frame)
                if pixels is not None:
                    break
            else:
                why = " ".join(["", *self.findings])
                raise VideoError(f"{self.name}: expected pictures, none can be decoded; export it anew.{why}")
        self.size = (pixels.shape[1], pixels.shape[0])
        self.zero_s = 0.0 if self.avi else float((self.first or 0) * self.base)
        self.notes += _oddities(frame, self.aspect)

    def _read_header(self, container: Any, stream: Any) -> None:
        self.base, self.aspect = stream.time_base, stream.sample_aspect_ratio
        self.duration_s = None if self.webcam else declared_seconds(container, stream)
        self.live = self.webcam or (self.url and self.duration_s is None)  # no end, other frames each time
        self.endless = self.webcam or (self.live and container.size <= 0)  # some files do not say how long they last
        self.untimed = self.live and container.format.name in _WITHOUT_TIMES
        self.avi = container.format.name == "avi"  # its `frames` counts empty ones, which have no picture
        self.fps, self.notes = self._frame_rate(container, stream)
        counted = len(stream.index_entries) if self.avi else stream.frames
        self.count = counted or round((self.duration_s or 0) * self.fps)

    def _frame_rate(self, container: Any, stream: Any) -> tuple[float, list[str]]:
        """Frames a second, and a note: slow motion has 1000, but recordings of browsers only declare their clock so."""
        declared = float(stream.average_rate or stream.guessed_rate or 0)
        if 0.01 < declared <= 480:
            return declared, []
        times = []
        with suppress(av.FFmpegError):  # the pass through the whole video reports it
            packets = () if self.live else islice(container.demux(stream), 100)
            times = sorted(stamp for packet in packets if (stamp := self._stamp(packet)) is not None)
        duration = float((times[-1] - times[0]) * self.base) if times else 0.0
        measured = (len(times) - 1) / duration if duration > 0 else 0.0
        if not 0.01 < measured < 100_000:
            return ASSUMED_FPS, [f"The video has no frame rate; {ASSUMED_FPS:g} frames a second were assumed."]
        if abs(declared / measured - 1) < 0.02:
            return declared, []
        return measured, [f"The video has no frame rate; its first frames came at {measured:.3g} a second."]

    @contextmanager
    def _one_sentence(self) -> Iterator[None]:
        try:
            yield
        except HumeshError:
            raise
        except Exception as error:  # of a foreign file's every byte: FFmpeg's, Python's and NumPy's errors
            raise VideoError(
                f"{self.name}: the video is damaged ({reason(error)}); fetch it anew or export it as MP4."
            ) from error

    def pictures(self, start_s: float) -> Pictures:
        """The frames from the last key frame before start_s on, or from the beginning where seeking fails."""
        first, began = None if self.live else self.first, None
        with self._one_sentence():
            for stamp, frame in self._from(start_s):
                first = stamp if first is None else first
                seconds = None if stamp is None or first is None else float((stamp - first) * self.base)
                if self.untimed:
                    began = time.monotonic() if began is None else began
                    seconds = time.monotonic() - began
                yield seconds, partial(_upright, frame)

    def _from(self, start_s: float) -> Iterator[tuple[int | None, Any]]:
        if start_s > 1 and not self.live:  # earlier than that, decoding is quicker than seeking
            frames = self._decoded(start_s)
            stamp, frame = next(frames, (None, None))
            if stamp is not None and (stamp - (self.first or 0)) * self.base <= start_s:
                yield stamp, frame
                yield from frames
                return
        yield from self._decoded(0.0)

    def _decoded(self, start_s: float, opened: Any = None) -> Iterator[tuple[int | None, Any]]:
        """(stamp, frame) in the order shown; `findings`: what is missing. `opened`: a container, not read yet."""
        self.findings, lost = [], 0
        before = end = None  # stamp of the last frame; where the packets so far end
        with opened or self._open() as container:
            stream = self._stream(container)
            stream.thread_type = "SLICE" if self.live else "AUTO"  # threads for whole frames hold them back
            if start_s > 0:
                try:
                    container.seek((self.first or 0) + int(start_s / self.base), stream=stream)
                except (av.FFmpegError, OverflowError):  # OverflowError: later than any clock of FFmpeg's
                    return
            for packet in self._packets(container, stream):
                if packet is not None and packet.size and (stamp := self._stamp(packet)) is not None:
                    end = max(stamp + (packet.duration or 0), end or stamp)
                try:
                    frames = stream.decode(packet)
                except av.FFmpegError:
                    lost += 1
                    continue
                for frame in frames:
                    shown = self._stamp(frame)
                    if shown is None and self.avi and before is not None:
                        shown = before + 1  # it came out after the last packet; AVI's clock counts frames
                    before = shown
                    if frame.is_corrupt:
                        lost += 1
                    else:
                        yield shown, frame
            if end is not None and container.format.name.split(",")[0] in _LENGTH_IN_HEADER and not self.findings:
                declared = declared_seconds(container, stream, video_only=True)
                ends = float((end - (stream.start_time or 0)) * self.base)
                if declared is not None and ends < declared - 1.5 / self.fps:
                    self._cut_short(f"it should last {declared:.3f} s and ends at {ends:.3f} s")
        if lost:
            self.findings.insert(0, f"Packets that could not be decoded, their frames are left out: {lost}.")

    def _cut_short(self, why: str) -> None:
        self.findings.append(f"The video is cut short ({why}); it was read up to there.")

    def _stamp(self, thing: Any) -> int | None:
        """The stamp of a packet or frame. AVI has only the order of decoding, FFmpeg's pts of it are inventions."""
        return thing.dts if self.avi or thing.pts is None else thing.pts

    def _packets(self, container: Any, stream: Any) -> Iterator[Any]:
        while True:
            try:
                yield from container.demux(stream)
                return
            except av.BlockingIOError:  # a webcam that has no new frame yet
                time.sleep(0.002)
            except av.FFmpegError as error:
                self._cut_short(reason(error))
                yield None  # what is inside the decoder still comes out
                return

    def _open(self) -> Any:
        try:
            return open_webcam(self.source) if isinstance(self.source, int) else open_media(self.source)
        except (av.FFmpegError, OSError) as error:
            why = reason(error)
            if self.webcam:
                sentence = f"cannot be opened ({why}); is one plugged in, and free?"
            elif self.url:
                sentence = (
                    f"expected a video that FFmpeg reads at this address, it cannot be opened ({why}); "
                    "is the address right, and the network up?"
                )
            else:
                sentence = (
                    f"expected a video that FFmpeg reads, it is none, damaged or cut short ({why}); "
                    "fetch it anew or export it as MP4."
                )
            raise VideoError(f"{self.name}: {sentence}") from error

    def _stream(self, container: Any) -> Any:
        streams = video_streams(container)
        if not streams:
            others = " and ".join(sorted({stream.type for stream in container.streams})) or "nothing"
            raise VideoError(f"{self.name}: expected pictures, the file holds {others}; give a video.")
        context = streams[0].codec_context
        if context is None:
            raise VideoError(f"{self.name}: FFmpeg has no decoder for its format; export it as H.264 MP4.")
        if context.width * context.height > MAX_MEGAPIXELS * 1e6:
            raise VideoError(
                f"{self.name}: expected frames of at most {MAX_MEGAPIXELS} megapixels, got {context.width} x "
                f"{context.height}; scale it down first."
            )
        context.options = _LIMITS
        return streams[0]


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
    bits = max(component.bits for component in frame.format.components)
    curve = _HDR.get(frame.color_trc) or ("BT.2020" if frame.color_primaries == 9 else None)
    depth = f"{bits}-bit{f' HDR ({curve})' if curve else ''}"
    square = not aspect or aspect == 1
    notes = {
        f"The video is {depth}; its colours became 8-bit RGB and were not tone-mapped.": bits > 8 or curve,
        f"Its pixels are not square ({aspect}); they were used as stored.".replace("/", ":"): not square,
        "The video is interlaced; its fields were not separated.": frame.interlaced_frame,
    }
    return [note for note, holds in notes.items() if holds]
