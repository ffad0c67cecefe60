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
    picture lasts; the first picture begins the film. `notes`, complete at the end: what became of the sound. Raises
    VideoError.
    """

    def __init__(self, path: str | Path, size: tuple[int, int], fps: float | int, source: Video | None = None) -> None:
        self.path, self.size, self.fps, self.source = Path(path), size, float(fps), source
        self.notes: list[str] = []
        self._held: tuple[Any, int] | None = None  # the last picture and its stamp: the next one ends it
        self._durations: dict[int, int] = {}  # ticks of the pictures inside the encoder, by their stamps
        self._zero = 0.0  # time_s of the first picture
        self._sound: Iterator[Any] = iter(())
        self._next_sound: Any = None
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
                self._opened = opened
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
            raise self._cannot(error) from error

    def _cannot(self, error: Exception) -> VideoError:
        return VideoError(f"film {self.path}: cannot be written ({reason(error)}); choose another folder or make room.")

    def _close(self) -> None:
        with suppress(av.FFmpegError, OSError):  # the reason is already on its way to the user
            self._container.close()

    def _begin(self, zero_s: float) -> None:
        self._zero = zero_s
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
            media = self._opened.enter_context(open_media(self.source.sound))
            sound = next((stream for stream in media.streams.audio if stream.codec_context is not None), None)
            if sound is not None:
                start_s, early_s = self.source.zero_s + zero_s, 1.0 if zero_s > 2 else 0.0
                self._sound = _packets(media, sound, self._add_sound(sound), start_s, early_s, self.notes)
        self._container.start_encoding()
        self._next_sound = next(self._sound, None)

    def _add_sound(self, sound: Any) -> Any:
        """The film's stream for a source's sound."""
        context = sound.codec_context
        if context.name in COPIED_SOUND:
            return self._container.add_stream_from_template(sound)
        self.notes.append(f"The sound was {context.name}, which MP4 does not hold; it was encoded as AAC.")
        layout = "mono" if context.channels == 1 else "stereo"
        return self._container.add_stream("aac", rate=min(48_000, context.rate), layout=layout)  # players' limit

    def write(self, pixels: UInt8[np.ndarray, "H W 3"], time_s: float | int) -> None:
        """Adds an RGB picture that is shown from time_s on, in seconds of the source; times increase."""
        height, width = pixels.shape[:2]
        if (width, height) != self.size:
            wanted = "{} x {}".format(*self.size)
            raise VideoError(f"film {self.path}: expected pictures of {wanted}, got {width} x {height}.")
        stamp = 0 if self._held is None else round((time_s - self._zero) * TICKS)
        if self._held is not None and stamp <= self._held[1]:
            earlier = self._zero + self._held[1] / TICKS
            raise VideoError(f"film {self.path}: expected a time after {earlier:.6f} s, got {time_s:.6f} s.")
        even = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709", threads=1)
        frame.pts, frame.time_base = stamp, Fraction(1, TICKS)
        try:
            if self._held is None:
                self._begin(float(time_s))
            else:
                self._encode(stamp)
        except (av.FFmpegError, OSError) as error:
            raise self._cannot(error) from error
        self._held = frame, stamp

    def _encode(self, until: int) -> None:
        """Encodes the held picture, which lasts until this stamp, and the sound beside it."""
        assert self._held is not None
        frame, stamp = self._held
        self._durations[stamp] = until - stamp
        self._mux(self._stream.encode(frame))
        while (packet := self._next_sound) is not None:
            if (packet.pts + (packet.duration or 0)) * packet.time_base > until / TICKS + 0.001:
                break
            self._container.mux(packet)
            self._next_sound = next(self._sound, None)

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


def _packets(media: Any, stream: Any, out: Any, start_s: float, early_s: float, notes: list[str]) -> Iterator[Any]:
    """A stream's packets in the time of a film that begins at start_s of the media's clock, as those of stream `out`.

    `early_s`: how much earlier to begin reading, as not every file has an index of its sound; 0: at the media's
    beginning. Sound before the film's beginning has a negative time, which the file's edit list leaves out. `notes`
    gets a sentence where the sound cannot be read to its end.
    """
    shift, copied = round(start_s / stream.time_base), stream.codec_context.name in COPIED_SOUND
    try:
        if early_s:
            media.seek(round((start_s - early_s) / stream.time_base), stream=stream)
        for packet in media.demux(stream):
            if not copied:
                with suppress(av.FFmpegError):  # a damaged packet is a short silence
                    for frame in stream.decode(packet):
                        ticks = frame.samples / frame.sample_rate / stream.time_base
                        if frame.pts is not None and frame.pts + ticks > shift:
                            frame.pts -= shift
                            yield from out.encode(frame)
            # One packet more, because decoders of AAC and MP3 overlap two.
            elif packet.pts is not None and packet.pts + 2 * (packet.duration or 0) > shift:
                packet.dts = packet.pts = packet.pts - shift
                packet.stream = out
                yield packet
        if not copied:
            yield from out.encode(None)
    except av.FFmpegError as error:
        notes.append(f"The sound ends early: it could not be read to its end ({error.strerror}).")
