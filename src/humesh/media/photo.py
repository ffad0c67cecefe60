"""A photograph: upright RGB pixels with the camera that took them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image, UnidentifiedImageError
from torch import Tensor

from humesh.errors import HumeshError
from humesh.files import reason
from humesh.geometry.camera import GUESSED, Camera
from humesh.media.kinds import PHOTO_FORMATS, is_heif, is_raw, is_url, opened, public, quiet

MAX_MEGAPIXELS = 120
"""Larger images are refused before their pixels are read; today's largest phone photos have 108 (200 for a few)."""

_FOCAL = "focal length"  # which the notes that hold no longer where a camera is given have in them
_IN_MEMORY = "in memory"  # the name of a photo without a file
_FILM_DIAGONAL_MM = 43.27  # of the 36 x 24 mm frame that EXIF's FocalLengthIn35mmFilm refers to
_BAND_PIXELS = 2**20  # that are converted at a time
_STORED = {  # EXIF's orientation: how the stored pixels lie in the upright ones: transposed, rows and columns reversed
    1: (False, 1, 1), 2: (False, 1, -1), 3: (False, -1, -1), 4: (False, -1, 1),
    5: (True, 1, 1), 6: (True, -1, 1), 7: (True, -1, -1), 8: (True, 1, -1),
}  # fmt: skip


class PhotoError(HumeshError, ValueError):
    """A photo that cannot be read; the sentence says which, why and what to do."""


class PhotoTypeError(PhotoError, TypeError):
    """Something that is no photo at all: a list, None, pixels of another type."""


@dataclass(frozen=True, eq=False)
class Photo:
    """RGB pixels, upright (EXIF orientation applied), with the camera that took them."""

    pixels: UInt8[np.ndarray, "H W 3"]
    camera: Camera
    camera_source: str = GUESSED
    notes: tuple[str, ...] = ()  # what reading it changed or left out, in sentences
    path: str = ""  # of its file, as far as there is one

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
        notes = tuple(note for note in photo.notes if _FOCAL not in note)
        return replace(photo, camera=camera, camera_source="given", notes=notes)

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
        stream.seek(0)
        head = stream.read(32)
        stream.seek(0)
        if not isinstance(head, bytes):
            raise PhotoTypeError(f"photo {name}: expected a file opened for bytes ('rb'), got one opened for text.")
        if not head:
            raise PhotoError(f"photo {name}: expected an image, the file is empty; fetch it anew.")
        try:
            with opened(stream, PHOTO_FORMATS) as image:
                return cls._of_image(image, name)
        except UnidentifiedImageError:
            if not is_heif(head):
                raise
            return cls._of_image(_heif(stream, name), name)

    @classmethod
    def _of_image(cls, image: Image.Image, name: str) -> Photo:
        _check_size(name, image.size)
        if is_raw(image):
            raise PhotoError(f"photo {name}: expected an image, it is a camera's raw file; export it as JPEG.")
        notes, called = [], "The photo" if name == _IN_MEMORY else Path(name).name
        exif = exif_of(image)
        pixels = rgb_of(image, exif.get("Orientation"))
        if getattr(image, "is_animated", False):
            notes.append(f"{called} has several frames; the first one was used.")
        camera, source, note = camera_from_exif(exif, (pixels.shape[1], pixels.shape[0]))
        notes += [f"{called} {note}"] if note else []
        return cls(pixels, camera, source, tuple(notes), "" if name == _IN_MEMORY else name)


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
        why = reason(error)
        raise PhotoError(f"photo {name}: the image is damaged or cut short ({why}); fetch it anew.") from error


def _check_size(name: str, size: tuple[int, int]) -> None:
    megapixels = size[0] * size[1] / 1e6
    if megapixels > MAX_MEGAPIXELS:
        raise PhotoError(_too_large(name, f"{megapixels:.0f}"))


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
    _check_size(name, file.size)
    image: Image.Image = file.to_pillow()
    return image


def rgb_of(image: Image.Image, orientation: object = 1) -> UInt8[np.ndarray, "H W 3"]:
    """8-bit RGB pixels of an image of any mode, turned by EXIF's orientation; raises whatever Pillow raises.

    Transparency is laid over white, 16-bit numbers and floats are scaled by their range. Bands of rows are converted
    one by one, so that a photo of 108 megapixels is in memory only twice.
    """
    with quiet() if image.format == "TIFF" else nullcontext():  # Pillow checks a TIFF's size only now
        image.load()
    known = isinstance(orientation, int) and orientation in _STORED and image.format != "TIFF"  # which Pillow turns
    transposed, down, right = _STORED[orientation if known else 1]  # type: ignore[index]
    pixels = np.empty((image.width, image.height, 3) if transposed else (image.height, image.width, 3), np.uint8)
    stored = (pixels.swapaxes(0, 1) if transposed else pixels)[::down, ::right]
    if image.mode.startswith(("I", "F")):
        grey = np.asarray(image, dtype=np.float32)
        white = float(np.max(grey, initial=1, where=np.isfinite(grey)))
        if image.mode.startswith("I") and white > 255:  # more than eight bits are in use
            white = max(white, 65535.0)
        grey = np.nan_to_num(grey, posinf=white, neginf=0) / white * 255
        stored[:] = np.clip(grey, 0, 255).astype(np.uint8)[..., None]
        return pixels
    rows = max(1, _BAND_PIXELS // image.width)
    for y in range(0, image.height, rows):
        band = image.crop((0, y, image.width, min(y + rows, image.height)))
        if band.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in band.info:
            layer = band.convert("RGBA")
            band = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
        stored[y : y + rows] = np.asarray(band.convert("RGB"))
    return pixels


def exif_of(image: Image.Image) -> dict[str, Any]:
    """EXIF entries by name, those of the photo's own block included; what is damaged is left out."""
    if image.format == "PNG":
        image.load()  # EXIF may follow the pixels
    every: dict[int, Any] = {}
    with suppress(Exception), quiet():  # struct's, Pillow's and Python's own errors, whatever the bytes bring about
        entries = image.getexif()
        every |= dict(entries)
        every |= entries.get_ifd(ExifTags.IFD.Exif)
    return {ExifTags.TAGS.get(tag, str(tag)): value for tag, value in every.items()}


def camera_from_exif(exif: Mapping[str, Any], size: tuple[int, int]) -> tuple[Camera, str, str]:
    """The camera, where its focal length is from, and what to note of that about the photo."""
    focal = focal_from_exif(exif, size)
    if focal is not None:
        return Camera.virtual(focal, size), "EXIF focal length", ""
    why = f"does not say its {_FOCAL}"
    if _is_cropped(exif, size) and (exif.get("FocalLengthIn35mmFilm") or exif.get("FocalLength")):
        taken = "{} x {}".format(*_taken(exif))
        why = f"was cropped after it was taken ({taken} by its EXIF), so that its EXIF's {_FOCAL} holds no longer"
    return Camera.guess(size), GUESSED, f"{why}; it was guessed as that of a 28 mm lens on film."


def focal_from_exif(exif: Mapping[str, Any], size: tuple[int, int]) -> float | None:
    """Focal length in pixels of an image of (width, height) from its EXIF entries, None where they do not say.

    From the 35 mm equivalent (over the diagonal), else from the focal length and the sensor's pixels per unit. A photo
    of another aspect ratio than EXIF says was cropped, at an unknown scale: None.
    """
    try:
        if _is_cropped(exif, size):
            return None
        diagonal = float(np.hypot(*size))
        film = float(exif.get("FocalLengthIn35mmFilm") or 0)
        if 4 <= film <= 2000:  # mm: from fisheye to telescope; other numbers are fill-ins
            return film / _FILM_DIAGONAL_MM * diagonal
        focal_mm, density = float(exif.get("FocalLength") or 0), float(exif.get("FocalPlaneXResolution") or 0)
        unit_mm = {2: 25.4, 3: 10.0, 4: 1.0}.get(int(exif.get("FocalPlaneResolutionUnit") or 2))
        taken = max(_taken(exif))
        if focal_mm > 0 and density > 0 and unit_mm and taken > 0:
            focal = focal_mm / unit_mm * density * max(size) / taken
            return focal if 0.1 < focal / diagonal < 50 else None
    except (TypeError, ValueError, ArithmeticError):
        pass
    return None


def _taken(exif: Mapping[str, Any]) -> tuple[int, int]:
    """The (width, height) in pixels with which the photo was taken, by EXIF; 0 for what it does not say."""
    width, height = (exif.get(name) for name in ("ExifImageWidth", "ExifImageHeight"))
    known = [side if isinstance(side, int) and 0 < side < 1e6 else 0 for side in (width, height)]
    return known[0], known[1]


def _is_cropped(exif: Mapping[str, Any], size: tuple[int, int]) -> bool:
    """Whether an image of (width, height) has another aspect ratio than EXIF says, either way round."""
    taken = _taken(exif)
    # One percent, or a pixel by rounding: such a crop would change the focal length no more than that.
    return min(taken) > 0 and not any(
        abs(size[0] * height - size[1] * width) <= max(0.01 * size[1] * width, width, height)
        for width, height in (taken, taken[::-1])
    )
