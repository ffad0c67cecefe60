"""A photograph: upright RGB pixels with the camera that took them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from humesh.errors import HumeshError
from humesh.geometry.camera import GUESSED, Camera
from humesh.media.exif import camera_from_exif, exif_of, orientation_of
from humesh.media.kinds import PHOTO_FORMATS, is_heif, is_raw, is_url, opened, public, quiet

MAX_MEGAPIXELS = 120
"""Larger images are refused before their pixels are read; today's largest phone photos have 108 (200 for a few)."""

_IN_MEMORY = "in memory"  # the name of a photo without a file
_COUNTED_BYTES = 2**21  # larger GIF and TIFF files take long to count
_BAND_PIXELS = 2**20  # of a photo that are converted at a time


class PhotoError(HumeshError, ValueError):
    """A photo that cannot be read; the sentence says which, why and what to do."""


class PhotoTypeError(PhotoError, TypeError):
    """Something that is no photo at all: a list, None, pixels of another type."""


@dataclass(frozen=True)
class Photo:
    """RGB pixels, upright (EXIF orientation applied), with the camera that took them."""

    pixels: UInt8[np.ndarray, "H W 3"]
    camera: Camera
    camera_source: str = GUESSED
    notes: tuple[str, ...] = ()  # what reading it changed or left out, in sentences
    path: str = ""  # of its file, as far as there is one
    camera_note: str = ""  # the one of the notes that holds no longer where a camera is given

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @classmethod
    def of(cls, source: object, camera: Camera | None = None) -> Photo:
        """A photo of what holds one: a path, an open binary file, a PIL image, an array, a tensor, a Photo.

        Arrays and tensors are uint8: H x W x 3 (RGB), H x W or H x W x 1 (grey), H x W x 4 (RGBA, laid over white);
        tensors also C x H x W, as torchvision has them. `camera`: if it is known; else EXIF gives the focal length, or
        it is guessed (`Camera.guess`). Raises PhotoError; for anything else PhotoTypeError, which is a TypeError too.
        """
        if isinstance(source, Photo):
            photo = source
        elif isinstance(source, str | Path):
            photo = cls.read(source)
        elif isinstance(source, Image.Image):
            name = str(getattr(source, "filename", "") or _IN_MEMORY)
            with _in_one_sentence(name):
                photo = cls._of_image(source, name)
        elif isinstance(source, np.ndarray | Tensor):
            pixels = rgb_pixels(source)
            photo = cls(pixels, Camera.guess((pixels.shape[1], pixels.shape[0])))
        elif hasattr(source, "read") and hasattr(source, "seek"):
            found = getattr(source, "name", None)
            name = found if isinstance(found, str) else _IN_MEMORY  # a temporary file's is a number
            with _in_one_sentence(name):
                photo = cls._of_stream(source, name)
        else:
            raise PhotoTypeError(
                "photo: expected a path, a PIL image, a uint8 array or tensor of H x W x 3 pixels, or an open binary "
                f"file, got {type(source).__name__}; for several photos make one Recoverer and call it in a loop."
            )
        if camera is None:
            return photo
        notes = tuple(note for note in photo.notes if note != photo.camera_note)
        return replace(photo, camera=camera, camera_source="given", notes=notes, camera_note="")

    @classmethod
    def read(cls, path: str | Path) -> Photo:
        """Reads a still image file: grey, 16-bit, float, palette, CMYK and transparent ones become 8-bit RGB.

        JPEG, PNG, WebP, TIFF, GIF, BMP, AVIF, JPEG 2000 and PNM; HEIC and HEIF where pillow-heif is installed. The
        focal length comes from EXIF where it is there, else it is guessed (`Camera.guess`). Raises PhotoError.
        """
        if is_url(str(path)):
            raise PhotoError(
                f"photo {public(str(path))}: expected a file, photos are not read from the web; download it first."
            )
        if not os.path.isfile(path):
            raise PhotoError(
                f"photo {path}: expected an image file, found {'a folder' if os.path.isdir(path) else 'nothing'}."
            )
        with _in_one_sentence(str(path)), open(path, "rb") as stream:
            return cls._of_stream(stream, str(path))

    @classmethod
    def _of_stream(cls, stream: Any, name: str) -> Photo:
        """The photo of an open file; it is read from its beginning, whatever was read of it or written before."""
        size = stream.seek(0, os.SEEK_END)
        stream.seek(0)
        head = stream.read(32)
        stream.seek(0)
        if not isinstance(head, bytes):
            raise PhotoTypeError(f"photo {name}: expected a file opened for bytes ('rb'), got one opened for text.")
        if not head:
            raise PhotoError(f"photo {name}: expected an image, the file is empty; fetch it anew.")
        try:
            with opened(stream, PHOTO_FORMATS + tuple({"JXL"} & set(Image.OPEN))) as image:
                return cls._of_image(image, name, counted=size < _COUNTED_BYTES)
        except UnidentifiedImageError:
            if not is_heif(head):
                raise
            return cls._of_image(_heif(stream, name), name)

    @classmethod
    def _of_image(cls, image: Image.Image, name: str, counted: bool = True) -> Photo:
        megapixels = image.width * image.height / 1e6
        if megapixels > MAX_MEGAPIXELS:
            raise PhotoError(_too_large(name, f"{megapixels:.0f}"))
        if is_raw(image):
            raise PhotoError(f"photo {name}: expected an image, it is a camera's raw file; export it as JPEG.")
        notes, called = [], "The photo" if name == _IN_MEMORY else Path(name).name
        exif = exif_of(image)
        pixels = rgb_of(image, upright=True)
        if getattr(image, "is_animated", False):
            count = _count(image) if counted else "several"
            notes.append(f"{called} has {count} frames; the first one was used.")
        size = (pixels.shape[1], pixels.shape[0])
        camera, source, note = camera_from_exif(exif, size)
        camera_note = f"{called} {note}" if note else ""
        notes += [camera_note] if note else []
        return cls(pixels, camera, source, tuple(notes), "" if name == _IN_MEMORY else name, camera_note)


def _count(image: Image.Image) -> int | str:
    """How many frames a picture has, "several" where one after this one is damaged: counting looks at all of them."""
    here = image.tell()
    try:
        with quiet():
            return int(image.n_frames)  # type: ignore[attr-defined]
    except Exception:  # of a foreign file's every byte: Pillow's readers have no common base of errors
        image.seek(here)
        return "several"


def rgb_pixels(source: np.ndarray | Tensor) -> UInt8[np.ndarray, "H W 3"]:
    """RGB pixels of an array or tensor in one of the layouts that `Photo.of` takes; raises PhotoError."""
    dtype, shape = str(source.dtype).removeprefix("torch."), tuple(source.shape)
    if dtype != "uint8":
        raise PhotoTypeError(
            f"photo: expected uint8 pixels from 0 to 255, got {dtype} of {_times(shape)}; bring them to 0 to 255 and "
            "convert them, (255 * pixels).round().astype('uint8') where they are from 0 to 1."
        )
    if isinstance(source, Tensor):
        if len(shape) == 3 and shape[0] in (1, 3, 4) and shape[2] not in (1, 3, 4):
            source = source.permute(1, 2, 0)
        source = source.detach().cpu().numpy()
    if source.ndim == 3 and source.shape[2] == 1:
        source = source[..., 0]
    if not source.size or not (source.ndim == 2 or (source.ndim == 3 and source.shape[2] in (3, 4))):
        raise PhotoError(f"photo: expected H x W x 3 pixels (or H x W grey, H x W x 4 RGBA), got {_times(shape)}.")
    if source.ndim == 3 and source.shape[2] == 3:
        return source
    return rgb_of(Image.fromarray(np.ascontiguousarray(source)))


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "one number"


@contextmanager
def _in_one_sentence(name: str) -> Iterator[None]:
    """Raises whatever reading a photo brings about as a PhotoError."""
    try:
        yield
    except PhotoError:
        raise
    except UnidentifiedImageError:
        raise PhotoError(
            f"photo {name}: expected an image (JPEG, PNG, WebP, TIFF, GIF, BMP, AVIF, JP2), it is none."
        ) from None
    except Image.DecompressionBombError:
        raise PhotoError(_too_large(name, "more than 178")) from None
    except MemoryError:
        raise PhotoError(f"photo {name}: the image does not fit into memory; scale it down first.") from None
    except Exception as error:  # of a foreign file's every byte: Pillow's readers have no common base of errors
        why = " ".join(str(error).split())[:200] or type(error).__name__
        raise PhotoError(f"photo {name}: the image is damaged or cut short ({why}); fetch it anew.") from error


def _too_large(name: str, megapixels: str) -> str:
    return f"photo {name}: expected at most {MAX_MEGAPIXELS} megapixels, got {megapixels}; scale it down first."


def _heif(stream: Any, name: str) -> Image.Image:
    try:
        import pillow_heif
    except ImportError:
        raise PhotoError(
            f"photo {name}: HEIC photos need the package pillow-heif; "
            'run: pip install "humesh[heic]", or export it as JPEG.'
        ) from None
    stream.seek(0)
    file = pillow_heif.open_heif(stream)  # its pixels are not decoded yet
    megapixels = file.size[0] * file.size[1] / 1e6
    if megapixels > MAX_MEGAPIXELS:
        raise PhotoError(_too_large(name, f"{megapixels:.0f}"))
    image: Image.Image = file.to_pillow()
    return image


_STORED = {  # EXIF's orientation: how the stored pixels lie in the upright ones: transposed, rows and columns reversed
    1: (False, 1, 1), 2: (False, 1, -1), 3: (False, -1, -1), 4: (False, -1, 1),
    5: (True, 1, 1), 6: (True, -1, 1), 7: (True, -1, -1), 8: (True, 1, -1),
}  # fmt: skip


def rgb_of(image: Image.Image, upright: bool = False) -> UInt8[np.ndarray, "H W 3"]:
    """8-bit RGB pixels of an image of any mode; `upright`: turned as its EXIF says; raises whatever Pillow raises.

    Transparency is laid over white, whole numbers of 16 bits and floats are scaled by their range. Works through bands
    of rows, so that a photo of 108 megapixels is in memory twice and no more often.
    """
    with quiet() if image.format == "TIFF" else nullcontext():  # Pillow looks at a TIFF's sizes only now
        image.load()
    transposed, down, right = _STORED[orientation_of(image) if upright else 1]
    pixels = np.empty((image.width, image.height, 3) if transposed else (image.height, image.width, 3), np.uint8)
    stored = (pixels.swapaxes(0, 1) if transposed else pixels)[::down, ::right]
    rows = max(1, _BAND_PIXELS // image.width)
    bands = [(y, min(y + rows, image.height)) for y in range(0, image.height, rows)]
    deep = image.mode.startswith(("I", "F"))
    white = max(_highest(image.crop((0, band[0], image.width, band[1]))) for band in bands) if deep else 0.0
    for first, end in bands:
        band = image.crop((0, first, image.width, end))
        stored[first:end] = _scaled(band, white) if deep else _eight_bit(band)
    return pixels


def _highest(band: Image.Image) -> float:
    """The number that becomes white: all 16 bits where more than eight are in use."""
    grey = np.asarray(band)
    highest = float(np.max(grey, initial=1, where=np.isfinite(grey)))
    return max(highest, 65535.0) if band.mode.startswith("I") and highest > 255 else highest


def _scaled(band: Image.Image, white: float) -> UInt8[np.ndarray, "h w 1"]:
    grey = np.nan_to_num(np.asarray(band, dtype=np.float32), posinf=white, neginf=0)
    return np.clip(grey / white * 255, 0, 255).astype(np.uint8)[..., None]


def _eight_bit(band: Image.Image) -> UInt8[np.ndarray, "h w 3"]:
    if band.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in band.info:
        layer = band.convert("RGBA")
        band = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return np.asarray(band if band.mode == "RGB" else band.convert("RGB"))
