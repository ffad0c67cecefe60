"""What a file is, by what it holds and not by its name: a photo, a video or neither."""

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

_HEAD = 4096  # bytes that nearly always decide
_MARKS = (
    (b"\xff\xd8\xff", "photo"),  # JPEG, JFIF, MPO
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF8", "GIF"),
    (b"II*\0\x10\0\0\0CR", "other"),  # Canon's raw files, a TIFF with a preview in front
    (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"), (b"II+\0", "TIFF"), (b"MM\0+", "TIFF"),
    (b"\xff\x4f\xff\x51", "photo"),  # JPEG 2000 without a container
    (b"\xff\x0a", "JXL"), (b"\0\0\0\x0cJXL \r\n\x87\n", "JXL"),
    (b"\x1a\x45\xdf\xa3", "media"),  # Matroska, WebM
    (b"OggS", "media"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "media"),  # ASF: WMV and WMA
    (b"\0\0\1\xba", "media"),  # MPEG programme stream: MPG, VOB
    (b"FLV\1", "media"), (b"\x06\x0e\x2b\x34", "media"), (b".RMF", "media"), (b"DKIF", "media"),
    (b"YUV4MPEG2 ", "media"), (b"nut/multimedia container", "media"),
    (b"\0\0\1", "stream"), (b"\0\0\0\1", "stream"),  # H.264, HEVC or MPEG without a container; Windows' icons too
)  # fmt: skip
_BRANDS = {  # the major brands of ISO/IEC 14496-12 that are no films
    b"avif": "photo", b"avis": "AVIF", b"jp2 ": "photo", b"jpx ": "photo", b"jxl ": "JXL", b"crx ": "other",
    b"heic": "photo", b"heix": "photo", b"heim": "photo", b"heis": "photo", b"mif1": "photo", b"miaf": "photo",
    b"M4A ": "other", b"M4B ": "other", b"M4P ": "other", b"F4A ": "other", b"aax ": "other",
}  # fmt: skip
_QUICKTIME = {b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"}  # the first box of films older than brands
_IS_THUMBNAIL, _DNG_VERSION = 254, 50706  # tags of TIFF
_URL = re.compile(r"(https?|rtsps?|rtmps?|srt|udp|rtp)://", re.IGNORECASE)


def kind_of(path: Path) -> Kind:
    """Whether a file is a photo or a video by its content; a picture of several frames (GIF, WebP, ...) is a video.

    "other" is what is neither: folders, hidden files (macOS's `._*` among them), sound, cameras' raw files, and what
    cannot be read. A damaged photo or video keeps its kind, so that its reader can tell. Never raises.
    """
    if path.name.startswith("."):
        return "other"
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return "other"  # a pipe would never end
        with path.open("rb", buffering=0) as stream:
            head = stream.read(_HEAD)
    except (OSError, ValueError):  # ValueError: a name with a zero byte
        return "other"
    mark = _mark(head)
    if mark == "photo":
        return "photo"
    if mark == "other":
        return "other"
    if mark == "media" or mark == "stream":
        return _of_media(path, damaged="video" if mark == "media" else "other")
    if mark == "JXL":
        return "photo" if "JXL" in Image.OPEN else "other"  # only where the user has loaded a plug-in
    if mark == "TIFF":
        return "other" if _is_raw_file(path) else "photo"
    still = (mark == "PNG" and b"IDAT" in head and b"acTL" not in head) or (
        mark == "WEBP" and not (head[12:16] == b"VP8X" and head[20:21] and head[20] & 2)
    )
    return "video" if not still and is_animated(path, (mark,)) else "photo"


def is_url(text: str) -> bool:
    """Whether an input is an address on the net; pathlib would take one of its slashes away."""
    return _URL.match(text) is not None


def public(source: str) -> str:
    """A path as it is, an address without its user, password and query, which can hold a token."""
    return re.sub(r"^(\w[\w+.-]+://)(?:[^/?#]*@)?([^?]*).*", r"\1\2", source, flags=re.DOTALL)


def is_heif(head: bytes) -> bool:
    """Whether a file that begins so is a HEIC or HEIF photo, which Pillow does not read."""
    return head[4:8] == b"ftyp" and head[8:12] in {b"heic", b"heix", b"heim", b"heis", b"mif1", b"miaf"}


_LOCK = threading.Lock()  # Python's filter of warnings is one for all threads


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing is warned of meanwhile: Pillow warns of sizes, whose limit is ours, and of what is odd in EXIF."""
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


def is_animated(path: Path, formats: tuple[str, ...]) -> bool:
    """Whether a file is a picture of several frames in one of Pillow's formats; damaged ones are not."""
    try:
        with opened(path, formats) as image:
            return bool(getattr(image, "is_animated", False))
    except Exception:  # of a foreign file's every byte; Pillow's readers have no common base of errors
        return False


def _mark(head: bytes) -> str:
    """What the leading bytes tell: a kind, a format of Pillow that has to look, or that FFmpeg has to."""
    for start, mark in _MARKS:
        if head.startswith(start):
            return mark
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "media")
    if head[4:12] == b"jP  \r\n\x87\n":
        return "media" if head[20:24] == b"mjp2" else "photo"
    if head[4:8] in _QUICKTIME:
        return "media"
    if head[:4] == b"RIFF":
        return {b"WEBP": "WEBP", b"AVI ": "media"}.get(head[8:12], "other")
    if head[:2] == b"BM" and head[15:18] == b"\0\0\0" and head[14:15] in b"\x0c\x28\x34\x38\x40\x6c\x7c":
        return "photo"
    if re.match(rb"P[1-6]\s(\s*#[^\n]*\n)*\s*\d", head):
        return "photo"
    for first, distance in ((0, 188), (4, 192), (0, 204)):  # packets of transport streams: TS; M2TS and MTS; DVB
        if len(head) > first + 4 * distance and set(head[first : first + 5 * distance : distance]) == {0x47}:
            return "media"
    return "other"


def is_raw(image: Image.Image) -> bool:
    """Whether an opened picture is the thumbnail of a camera's raw file (DNG, NEF, ARW), which is a TIFF as well."""
    tags = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
    return tags.get(_IS_THUMBNAIL) == 1 or _DNG_VERSION in tags


def _is_raw_file(path: Path) -> bool:
    try:
        with opened(path, ("TIFF",)) as image:
            return is_raw(image)
    except Exception:  # a damaged photo, as far as one can see
        return False


def _of_media(path: Path, damaged: Kind) -> Kind:
    """Whether a file for FFmpeg holds moving pictures, or only sound."""
    from humesh.media.containers import media, pictured  # slow to load, and photos do not need it

    try:
        with media(path) as container:
            return "video" if pictured(container) else "other"
    except Exception:  # whatever it is, the reader of videos tells it in a sentence
        return damaged
