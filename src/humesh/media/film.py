"""Films: pictures with their times become an H.264 MP4 with the sound of the video that they were made from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from jaxtyping import UInt8

from humesh.files import writing
from humesh.media.decoding import VideoError, open_media, reason
from humesh.media.video import Video

TICKS = 90_000
"""Time stamps a second, the clock of MPEG: 24, 25, 30, 30000/1001, 60 and 120 frames a second are whole ticks."""
COPIED_SOUND = frozenset({"aac", "mp3", "mp3float", "ac3", "eac3", "alac", "opus", "libopus"})
"""Sound that MP4 may hold and players play: it is copied bit by bit, any other is encoded anew as AAC."""
# Without B-frames, with which MP4 cannot say how long the last one lasts.
_X264 = {"crf": "18", "preset": "veryfast", "bf": "0"}


class Film:
    """Writes an MP4 (H.264, crf 18) that appears when it is complete, with the times given and the source's sound.

    `size` (width, height) px of the pictures, odd sides are padded by repeating the edge; `fps` says how long the last
    picture lasts; the first picture begins the film. `notes`, complete at the end: what became of the sound.
    Raises VideoError.
    """

    def __init__(self, path: str | Path, size: tuple[int, int], fps: float | int, source: Video | None = None) -> None:
        self.path, self.size, self.fps, self.source = Path(path), size, float(fps), source
        self.notes: list[str] = []
        self._held: tuple[Any, int] | None = None  # the last picture and its stamp: the next one ends it
        self._durations: dict[int, int] = {}  # ticks of the pictures inside the encoder, by their stamps
        self._zero = 0.0  # time_s of the first picture
        self._sound: _Sound | None = None
        self._container: Any = None
        self._writing = self._begun_and_ended()

    def __enter__(self) -> Film:
        return self._writing.__enter__()

    def __exit__(self, *error: Any) -> bool | None:
        return self._writing.__exit__(*error)

    @contextmanager
    def _begun_and_ended(self) -> Iterator[Film]:
        if self.path.is_dir() or not self.path.parent.is_dir():
            there = "a folder is there" if self.path.is_dir() else "its folder does not exist"
            raise VideoError(f"film {self.path}: expected the name of a file to write, {there}; choose another name.")
        users: BaseException | None = None  # an error of the program that makes the pictures
        try:
            with writing(self.path) as draft, ExitStack() as opened:
                self._container = av.open(str(draft), "w", format="mp4", options={"movflags": "+faststart"})
                opened.callback(self._close)
                self._add_streams()
                try:
                    yield self
                except BaseException as error:
                    users = error
                    raise
                if self._held is None:
                    raise VideoError(f"film {self.path}: expected pictures, none was written.")
                self._encode(self._end(self._held[1]))
                self._mux(self._stream.encode())
                self._container.close()
        except (av.FFmpegError, OSError) as error:
            if error is users:
                raise
            raise VideoError(
                f"film {self.path}: cannot be written ({reason(error)}); choose another folder or make room."
            ) from error

    def _add_streams(self) -> None:
        stream: Any = self._container.add_stream("libx264", options=_X264)
        stream.width, stream.height = (side + side % 2 for side in self.size)
        stream.pix_fmt = "yuv420p"  # what every player plays; it halves both sides, so they are even
        context = stream.codec_context
        context.framerate = Fraction(self.fps).limit_denominator(1001)
        context.time_base = Fraction(1, TICKS)
        # BT.709, limited range: what players assume, written down so that none guesses.
        context.color_primaries = context.color_trc = context.colorspace = context.color_range = 1
        self._stream = stream
        if self.source is not None and self.source.sound is not None:
            self._sound = _Sound(self.source, self.source.sound, self._container, self.notes)
        self._container.start_encoding()

    def write(self, pixels: UInt8[np.ndarray, "H W 3"], time_s: float | int) -> None:
        """Adds an RGB picture that is shown from time_s on, in seconds of the source; times increase."""
        height, width = pixels.shape[:2]
        if (width, height) != self.size:
            wanted = "{} x {}".format(*self.size)
            raise VideoError(f"film {self.path}: expected pictures of {wanted}, got {width} x {height}.")
        if self._held is None:
            self._zero = float(time_s)
        stamp = round((time_s - self._zero) * TICKS)
        if self._held is not None and stamp <= self._held[1]:
            earlier = self._zero + self._held[1] / TICKS
            raise VideoError(f"film {self.path}: expected a time after {earlier:.6f} s, got {time_s:.6f} s.")
        even = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709", threads=1)
        frame.pts, frame.time_base = stamp, Fraction(1, TICKS)
        if self._held is not None:
            self._encode(stamp)
        self._held = frame, stamp

    def _encode(self, until: int) -> None:
        """Encodes the held picture, which lasts until this stamp, and the sound beside it."""
        assert self._held is not None
        frame, stamp = self._held
        self._durations[stamp] = until - stamp
        self._mux(self._stream.encode(frame))
        if self._sound is not None:
            for packet in self._sound.until(self._zero, until / TICKS):
                self._container.mux(packet)

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            packet.duration = self._durations.pop(packet.pts)  # the last one's would otherwise be guessed
            self._container.mux(packet)

    def _end(self, last: int) -> int:
        """When the last picture ends: after 1 / fps, and not after the part of the source that was asked for."""
        end = last + round(TICKS / self.fps)
        if self.source is not None and self.source.duration_s is not None:
            end = min(end, round((self.source.start_s + self.source.duration_s - self._zero) * TICKS))
        return max(end, last + 1)

    def _close(self) -> None:
        """Closes what is open; where that fails, the reason is already on its way to the user."""
        if self._sound is not None:
            self._sound.container.close()
        with suppress(av.FFmpegError, OSError):
            self._container.close()


class _Sound:
    """The first sound track of a video, if any, as packets of a film that begins somewhere in the video."""

    def __init__(self, source: Video, where: str | Path, film: Any, notes: list[str]) -> None:
        self.source, self.notes = source, notes
        self.container = open_media(where)
        streams = [stream for stream in self.container.streams.audio if stream.codec_context is not None]
        self.waiting: Any = None
        self.packets: Iterator[Any] | None = None if streams else iter(())
        if not streams:
            return
        self.stream: Any = streams[0]
        context: Any = self.stream.codec_context
        self.copied = context.name in COPIED_SOUND
        if self.copied:
            self.out = film.add_stream_from_template(self.stream)
        else:
            notes.append(f"The sound was {context.name}, which MP4 does not hold; it was encoded as AAC.")
            layout = "mono" if context.channels == 1 else "stereo"
            self.out = film.add_stream("aac", rate=min(48_000, context.rate), layout=layout)  # players' limit

    def until(self, zero_s: float, end_s: float) -> Iterator[Any]:
        """Packets not yet given that end by end_s of a film that begins at zero_s of the source."""
        if self.packets is None:
            self.packets = self._from(self.source.zero_s + zero_s)
        while True:
            packet = self.waiting or next(self.packets, None)
            self.waiting = packet
            if packet is None or (packet.pts + (packet.duration or 0)) * packet.time_base > end_s + 0.001:
                return
            self.waiting = None
            yield packet

    def _from(self, start_s: float) -> Iterator[Any]:
        """Packets in the film's time from this moment of the source's own clock on."""
        base = self.stream.time_base
        shift = round(start_s / base)
        try:
            if start_s - self.source.zero_s > 2:  # a second early, because not every file has an index of its sound
                self.container.seek(round((start_s - 1) / base), stream=self.stream)
            for packet in self.container.demux(self.stream):
                # What begins before the film begins has a negative time, and the file's edit list leaves it out.
                if self.copied:
                    # One packet more, because decoders of AAC and MP3 overlap two.
                    if packet.pts is not None and packet.pts + 2 * (packet.duration or 0) > shift:
                        packet.dts = packet.pts = packet.pts - shift
                        packet.stream = self.out
                        yield packet
                    continue
                with suppress(av.FFmpegError):  # a damaged packet is a moment of silence
                    for frame in self.stream.decode(packet):
                        if frame.pts is not None and frame.pts + frame.samples / frame.sample_rate / base > shift:
                            frame.pts -= shift
                            yield from self.out.encode(frame)
            if not self.copied:
                yield from self.out.encode(None)
        except av.FFmpegError as error:
            self.notes.append(f"The sound ends early: it could not be read to its end ({error.strerror}).")
