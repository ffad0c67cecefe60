"""Files, addresses and webcams opened by FFmpeg, within limits."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import av

from humesh.errors import HumeshError
from humesh.media.kinds import is_url

MAX_MEGAPIXELS = 70
"""Videos of larger frames are refused: 8K has 33 megapixels, the largest cameras for virtual reality 56."""

# What FFmpeg may take a file for. Its others read further files that a playlist names, or take text for pictures.
_CONTAINERS = (
    "mov,matroska,avi,mpegts,mpeg,mpegvideo,h264,hevc,m4v,vc1,obu,ivf,flv,asf,ogg,rm,mxf,gxf,dv,nut,yuv4mpegpipe,"
    "gif,apng,mjpeg,wtv,dhav,cine"
)
_PATIENCE_S = 15.0  # for an answer over the net
_LONGEST_S = 1e7  # four months: a header that says more is damaged
_WEBCAMS: dict[str, tuple[str, str, dict[str, str]]] = {
    "linux": ("v4l2", "/dev/video{}", {}),
    # Most of Apple's cameras refuse FFmpeg's default of 29.97 frames a second.
    "darwin": ("avfoundation", "{}:none", {"framerate": "30"}),
    "win32": ("dshow", "video={}", {}),
}


class VideoError(HumeshError, ValueError):
    """A video that cannot be read or written; the sentence says which, why and what to do."""


def media(
    where: str | Path, format: str | None = None, options: dict[str, str] | None = None
) -> av.container.InputContainer:
    """A file or address opened by FFmpeg; raises av.FFmpegError, OSError.

    `format`: that of a webcam. A file is never taken for a playlist, which could make FFmpeg open any other.
    """
    if format is not None:
        return av.open(str(where), format=format, options=options, metadata_errors="replace")
    if is_url(str(where)):  # FFmpeg itself opens no files that a playlist on the net names
        options = {"rtsp_transport": "tcp"}
        return av.open(str(where), options=options, timeout=_PATIENCE_S, metadata_errors="replace")
    options = {"protocol_whitelist": "file", "format_whitelist": _CONTAINERS}
    return av.open(f"file:{where}", options=options, metadata_errors="replace")


def reason(error: Exception) -> str:
    """Why FFmpeg could not go on, in a few words."""
    if isinstance(error, av.ExitError):
        return f"no answer in {_PATIENCE_S:g} s"
    return getattr(error, "strerror", None) or " ".join(str(error).split())[:200] or type(error).__name__


def pictured(container: Any) -> list[Any]:
    """The streams of moving pictures; the cover of a piece of music is none."""
    cover = av.stream.Disposition.attached_pic
    return [stream for stream in container.streams.video if not stream.disposition & cover]


def check_file(path: Path) -> None:
    """Raises VideoError where no video can be at this path."""
    if not os.path.isfile(path):
        raise VideoError(f"video {path}: expected a video file or a folder of pictures, found nothing there.")
    if os.path.getsize(path) == 0:
        raise VideoError(f"video {path}: expected a video, the file is empty; fetch it anew.")


def webcam(number: int) -> tuple[str, str, dict[str, str]]:
    """Where FFmpeg finds the webcam of this number, and the format and options to open it with."""
    name, where, options = _WEBCAMS.get(sys.platform, _WEBCAMS["linux"])
    if name != "dshow":
        return where.format(number), name, options
    from av.device import enumerate_input_devices  # DirectShow knows cameras by their names only

    cameras = [device.name for device in enumerate_input_devices(name) if "video" in device.media_types]
    if not 0 <= number < len(cameras):
        raise VideoError(f"webcam {number}: expected a camera, found {len(cameras)}; plug it in or choose another.")
    return where.format(cameras[number]), name, options


def declared_seconds(container: Any, stream: Any, pictures_only: bool = False) -> float | None:
    """How long the pictures last by the header; `pictures_only`: None where that could be the length of the sound."""
    written = re.fullmatch(r"(\d+):(\d+):(\d+\.?\d*)", stream.metadata.get("DURATION", ""))  # Matroska
    seconds = 0.0
    if container.format.name == "avi" and stream.frames:
        seconds = float(stream.frames * stream.time_base)  # its `duration` shrinks with the file
    elif stream.duration:
        seconds = float(stream.duration * stream.time_base)
    elif written:
        seconds = 3600 * float(written[1]) + 60 * float(written[2]) + float(written[3])
    elif container.duration and (not pictures_only or len(container.streams) == 1):
        seconds = container.duration / av.time_base
    if container.format.name == "mpeg":
        seconds += 0.5  # FFmpeg goes by the last time stamp, and MPG and VOB need one in 0.7 s only
    return seconds if 0 < seconds < _LONGEST_S else None
