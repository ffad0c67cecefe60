"""Small videos for tests: every picture says its number by its brightness, and can be damaged at a known place."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

SIZE = (64, 48)
TICKS = 90_000
SOUND_RATE = 48_000


def picture(number: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Grey of 20 + 6 x number (0..38), so that it is recognized also after lossy coding."""
    return np.full((size[1], size[0], 3), 20 + 6 * number, np.uint8)


def number_of(pixels: np.ndarray) -> int:
    """Which `picture` this is, by its middle."""
    height, width = pixels.shape[:2]
    return round(
        (float(np.median(pixels[height // 2 - 4 : height // 2 + 4, width // 2 - 4 : width // 2 + 4])) - 20) / 6
    )


def make_video(
    path: Path,
    pictures: Iterable[np.ndarray],
    times: Sequence[float] | None = None,
    fps: float = 25,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    sound: str | None = None,
    tone_from: float = 0.0,
    gop: int = 6,
    colours: dict[str, int] | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Writes a video of RGB pictures at these seconds (else every 1/fps); the ending of the path tells the container.

    `sound`: a codec; silence and from `tone_from` seconds on a tone, as long as the pictures.
    """
    pictures = list(pictures)
    times = [k / fps for k in range(len(pictures))] if times is None else times
    with av.open(str(path), "w", options={"movflags": "faststart"} if path.suffix == ".mp4" else {}) as container:
        rate = Fraction(fps).limit_denominator(1001)
        # AVI counts frames: its clock is the frame rate; MPEG-1 has no other.
        base = 1 / rate if path.suffix in (".avi", ".mpg") else Fraction(1, TICKS)
        stream: Any = container.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width = pictures[0].shape[:2] if pictures else (48, 64)
        stream.pix_fmt = pix_fmt
        stream.codec_context.time_base, stream.codec_context.gop_size = base, gop
        for name, value in (colours or {}).items():
            setattr(stream.codec_context, name, value)
        track: Any = None if sound is None else container.add_stream(sound, rate=SOUND_RATE, layout="mono")
        container.start_encoding()
        for pixels, seconds in zip(pictures, times, strict=True):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = round(seconds / base), base
            container.mux(stream.encode(frame))
        if pictures:
            container.mux(stream.encode())
        if track is not None:
            _add_tone(container, track, len(pictures) / fps, tone_from)
    return path


def _add_tone(container: Any, track: Any, seconds: float, tone_from: float) -> None:
    times = np.arange(round(seconds * SOUND_RATE)) / SOUND_RATE
    wave = np.where(times >= tone_from, 0.5 * np.sin(2 * np.pi * 1000 * times), 0).astype(np.float32)
    for start in range(0, len(wave), 1024):
        frame = av.AudioFrame.from_ndarray(wave[None, start : start + 1024], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = SOUND_RATE, start, Fraction(1, SOUND_RATE)
        container.mux(track.encode(frame))
    container.mux(track.encode())


def cut_short(path: Path, part: float) -> Path:
    """Leaves the first part (0..1) of a file."""
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    return path


def break_packets(path: Path, numbers: Iterable[int]) -> list[float]:
    """Overwrites the packets of these places in the file with zeros; returns the seconds of their pictures."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packets = [(p.pos, p.size, float(p.pts * stream.time_base)) for p in container.demux(stream) if p.size]
    content = bytearray(path.read_bytes())
    for number in numbers:
        place, size, _ = packets[number]
        content[place : place + size] = bytes(size)
    path.write_bytes(content)
    return sorted(packets[number][2] for number in numbers)


def turn_display(path: Path, a: int, b: int, c: int, d: int) -> Path:
    """Writes a display matrix into an MP4's track header, as phones do (ISO/IEC 14496-12, 8.3.2; 16.16 fixed point)."""
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 4 + 40
    matrix = np.array([a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30], ">i4")
    content[place : place + 36] = matrix.tobytes()
    path.write_bytes(content)
    return path
