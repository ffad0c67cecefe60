"""What a file is by its content, whatever its name: a photo, a video or neither."""

from __future__ import annotations

import re
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from PIL import Image

Kind = Literal["photo", "video", "other"]

PHOTO_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF", "JPEG2000", "PPM")
"""Pillow's readers that are used; it has thirty more, of formats that nobody expects, which are never given a file."""

_HEAD = 1024  # bytes that decide
_HEIF = rb".{4}ftyp(hei[cxms]|mif1|miaf)"
_PHOTO = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8|II[*+]\x00(?!\x10\x00\x00\x00CR)|MM\x00[*+]|RIFF.{4}WEBP|"
    rb".{4}ftyp(avi[fs]|jp[2x] )|\xff\x4f\xff\x51|.{4}jP  \r\n\x87\n(?!.{8}mjp2)|"
    rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\x00{3}|P[1-6]\s(\s*#[^\n]*\n)*\s*\d|" + _HEIF,
    re.DOTALL,
)
_CONTAINER = re.compile(  # MP4 and QuickTime, Matroska, Ogg, ASF, MPEG, FLV, MXF, RM, IVF, Y4M, NUT, AVI, TS, M2TS, DVB
    rb".{4}ftyp(?!M4[ABP] |F4A |aax |crx |jxl )|.{4}(moov|mdat|wide|free|skip|pnot)|\x1a\x45\xdf\xa3|OggS|"
    rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11|\x00\x00\x01\xba|FLV\x01|\x06\x0e\x2b\x34|.RMF|DKIF|YUV4MPEG2 |nut/multimedia|"
    rb".{4}jP  \r\n\x87\n|RIFF.{4}AVI |(G.{187}){5}|.{4}(G.{191}){4}G|(G.{203}){4}G",
    re.DOTALL,
)
_STREAM = re.compile(rb"\x00{2,3}\x01")  # H.264, HEVC or MPEG without a container; Windows' icons too
_IS_THUMBNAIL, _DNG_VERSION = 254, 50706  # tags of TIFF
_URL = re.compile(r"(https?|rtsps?|rtmps?|srt|udp|rtp)://", re.IGNORECASE)


def kind_of(path: Path) -> Kind:
    """Whether a file is a photo or a video by its content; an animated GIF or PNG is a video.

    "other" is what is neither: folders, hidden files (macOS's `._*` among them), sound, cameras' raw files, and what
    cannot be read. A damaged photo or video keeps its kind, so that its reader can report it. Never raises.
    """
    try:
        if path.name.startswith(".") or not stat.S_ISREG(path.stat().st_mode):  # a pipe would never end
            return "other"
        with path.open("rb", buffering=0) as stream:
            head = stream.read(_HEAD)
    except (OSError, ValueError):  # ValueError: a name with a zero byte
        return "other"
    if _PHOTO.match(head):
        return _kind_of_photo(path)
    container = _CONTAINER.match(head)
    if not container and not _STREAM.match(head):
        return "other"
    from humesh.media.decoding import open_media, video_streams  # slow to load, and photos do not need it

    try:
        with open_media(path) as media:
            return "video" if video_streams(media) else "other"
    except Exception:  # whatever it is, the reader of videos reports it
        return "video" if container else "other"


def _kind_of_photo(path: Path) -> Kind:
    try:
        with opened(path, ("PNG", "GIF", "TIFF")) as image:  # animated pictures that FFmpeg reads
            if is_raw(image):
                return "other"
            return "video" if image.format != "TIFF" and getattr(image, "is_animated", False) else "photo"
    except Exception:  # another format, or a damaged photo
        return "photo"


def is_url(text: str) -> bool:
    """Whether an input is an address on the net; pathlib would take one of its slashes away."""
    return _URL.match(text) is not None


def public(source: str) -> str:
    """A path as it is, an address without its user, password and query, which can hold a token."""
    return re.sub(r"^(\w[\w+.-]+://)(?:[^/?#]*@)?([^?]*).*", r"\1\2", source, flags=re.DOTALL)


def is_heif(head: bytes) -> bool:
    """Whether a file that begins so is a HEIC or HEIF photo, which Pillow does not read."""
    return re.match(_HEIF, head, re.DOTALL) is not None


def is_raw(image: Image.Image) -> bool:
    """Whether an opened picture is the thumbnail of a camera's raw file (DNG, NEF, ARW), which is a TIFF as well."""
    tags = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
    return tags.get(_IS_THUMBNAIL) == 1 or _DNG_VERSION in tags


_LOCK = threading.Lock()  # Python's filter of warnings is one for all threads


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings meanwhile: Pillow warns of sizes, whose limit is ours, and of odd EXIF."""
    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def opened(file: Any, formats: tuple[str, ...]) -> Iterator[Image.Image]:
    """A picture of a path or open file, its pixels not read yet; raises whatever Pillow raises."""
    with quiet():
        image = Image.open(file, formats=formats)
    with image:
        yield image
