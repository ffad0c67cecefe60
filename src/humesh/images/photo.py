"""A photograph and the people in it: the two records that everything after them starts from."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from humesh.body.joints import JointSet
from humesh.errors import HumeshError
from humesh.geometry.camera import Camera
from humesh.images.masks import Mask

MAX_MEGAPIXELS = 120
"""Larger images are refused before their pixels are read; today's largest phone photos have 108 (200 for a few)."""

_FILM_DIAGONAL_MM = 43.27  # of the 36 x 24 mm frame that EXIF's FocalLengthIn35mmFilm refers to


class PhotoError(HumeshError, ValueError):
    """A photo that cannot be read; the sentence says which, why and what to do."""


@dataclass(frozen=True)
class Photo:
    """RGB pixels, upright (EXIF orientation applied), with the camera that took them."""

    pixels: UInt8[np.ndarray, "H W 3"]
    camera: Camera
    camera_source: str = "guessed: focal length = image diagonal"
    notes: tuple[str, ...] = ()  # what reading it changed or left out, in sentences

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @classmethod
    def of(cls, pixels: UInt8[np.ndarray, "H W 3"], camera: Camera | None = None) -> Photo:
        """A photo of pixels in memory, RGB; without a camera the focal length is guessed from the diagonal."""
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
            raise PhotoError(f"photo: expected uint8 RGB pixels of H x W x 3, got {pixels.dtype} {pixels.shape}.")
        if camera is not None:
            return cls(pixels, camera, "given")
        return cls(pixels, Camera.guess((pixels.shape[1], pixels.shape[0])))

    @classmethod
    def read(cls, path: str | Path) -> Photo:
        """Reads any still image that Pillow reads: grey, 16-bit, palette, CMYK and transparent ones become 8-bit RGB.

        The focal length comes from EXIF where it is there, else from the diagonal. Raises PhotoError.
        """
        path = Path(path)
        if not path.is_file():
            raise PhotoError(
                f"photo {path}: expected an image file, found {'a folder' if path.is_dir() else 'nothing'}."
            )
        if path.stat().st_size == 0:
            raise PhotoError(f"photo {path}: expected an image, the file is empty; fetch it anew.")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Pillow's size warning: the limit is ours; and oddities of EXIF
                with Image.open(path) as image:
                    return cls._of_image(image, path)
        except UnidentifiedImageError:
            raise PhotoError(
                f"photo {path}: expected an image (JPEG, PNG, WebP, TIFF, GIF, BMP), it is none."
            ) from None
        except Image.DecompressionBombError:
            raise PhotoError(_too_large(path, "more than 178")) from None
        except (OSError, SyntaxError, ValueError, EOFError) as error:
            if isinstance(error, PhotoError):
                raise
            raise PhotoError(f"photo {path}: the image is damaged or cut short ({error}); fetch it anew.") from error

    @classmethod
    def _of_image(cls, image: Image.Image, path: Path) -> Photo:
        megapixels = image.width * image.height / 1e6
        if megapixels > MAX_MEGAPIXELS:
            raise PhotoError(_too_large(path, f"{megapixels:.0f}"))
        notes = []
        if getattr(image, "n_frames", 1) > 1:
            notes.append(f"{path.name} has {image.n_frames} frames; the first one was used.")  # type: ignore[attr-defined]
        exif = _exif(image)
        image.load()
        upright = ImageOps.exif_transpose(image)
        pixels = np.ascontiguousarray(_eight_bit_rgb(upright))
        size = (pixels.shape[1], pixels.shape[0])
        focal = focal_from_exif(exif, size)
        if focal is None:
            notes.append(f"{path.name} does not say its focal length; it was guessed from the image's diagonal.")
            return cls(pixels, Camera.guess(size), notes=tuple(notes))
        return cls(pixels, Camera.virtual(focal, size), "EXIF focal length", tuple(notes))


def _too_large(path: Path, megapixels: str) -> str:
    return f"photo {path}: expected at most {MAX_MEGAPIXELS} megapixels, got {megapixels}; scale it down first."


def _exif(image: Image.Image) -> dict[str, Any]:
    """EXIF entries by name, those of the photo's own block included; damaged EXIF counts as none."""
    try:
        entries = image.getexif()
        every = {**entries, **entries.get_ifd(ExifTags.IFD.Exif)}
        return {ExifTags.TAGS.get(tag, str(tag)): value for tag, value in every.items()}
    except Exception:
        return {}


def focal_from_exif(exif: Mapping[str, Any], size: tuple[int, int]) -> float | None:
    """Focal length in pixels of an image of (width, height) from its EXIF entries, None where they do not tell.

    From the 35 mm equivalent (over the diagonal), else from the focal length and the sensor's pixels per unit.
    """
    try:
        film = float(exif.get("FocalLengthIn35mmFilm") or 0)
        diagonal = float(np.hypot(*size))
        if 4 <= film <= 2000:  # mm: from fisheye to telescope; other numbers are fill-ins
            return film / _FILM_DIAGONAL_MM * diagonal
        focal_mm, density = float(exif.get("FocalLength") or 0), float(exif.get("FocalPlaneXResolution") or 0)
        unit_mm = {2: 25.4, 3: 10.0, 4: 1.0}.get(int(exif.get("FocalPlaneResolutionUnit") or 2))
        taken = max(float(exif.get("ExifImageWidth") or 0), float(exif.get("ExifImageHeight") or 0))
        if focal_mm > 0 and density > 0 and unit_mm and taken > 0:
            focal = focal_mm / unit_mm * density * max(size) / taken
            return focal if 0.1 < focal / diagonal < 50 else None
    except (TypeError, ValueError, ZeroDivisionError):
        pass
    return None


def _eight_bit_rgb(image: Image.Image) -> UInt8[np.ndarray, "H W 3"]:
    """8-bit RGB pixels of an image of any mode; transparency is laid over white, 16-bit grey scaled by its range."""
    if image.mode.startswith(("I", "F")):
        grey = np.asarray(image, dtype=np.float64)
        top = (
            65535.0
            if image.mode.startswith("I") and grey.max(initial=0) > 255
            else max(float(grey.max(initial=1)), 1.0)
        )
        scaled = np.clip(np.nan_to_num(grey) / top * 255, 0, 255).astype(np.uint8)
        return np.repeat(scaled[..., None], 3, axis=-1)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        return np.asarray(Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB"))
    return np.asarray(image.convert("RGB"))


@dataclass(frozen=True)
class Person:
    """One person of a photo, in the photo's pixels; what a detector did not give is None."""

    box: Float[np.ndarray, "4"]  # x0 y0 x1 y1 px
    score: float
    keypoints: Float[np.ndarray, "K 3"] | None = None  # x, y px, confidence in [0, 1]
    keypoint_set: JointSet | None = None
    landmarks3d: Float[np.ndarray, "K 3"] | None = None  # metres, camera axes, any origin; same joint set
    track: int | None = None
    mask: Mask | None = None
