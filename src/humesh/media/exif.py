"""What a photo's EXIF says of how it was taken: which way up, and the camera's focal length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from humesh.geometry.camera import GUESSED, Camera
from humesh.media.kinds import quiet

_FILM_DIAGONAL_MM = 43.27  # of the 36 x 24 mm frame that EXIF's FocalLengthIn35mmFilm refers to


def exif_of(image: Image.Image) -> dict[str, Any]:
    """EXIF entries by name, those of the photo's own block included; damaged EXIF counts as none."""
    if image.format == "PNG":
        image.load()  # EXIF may follow the pixels
    try:
        with quiet():
            entries = image.getexif()
            every = {**entries, **entries.get_ifd(ExifTags.IFD.Exif)}
            return {ExifTags.TAGS.get(tag, str(tag)): value for tag, value in every.items()}
    except Exception:  # struct's, Pillow's and Python's own errors, whatever the bytes bring about
        return {}


def orientation_of(image: Image.Image) -> int:
    """EXIF's, 1 where it is none of the eight. Asked for after loading: Pillow turns TIFF upright by itself."""
    try:
        with quiet():
            found = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # as for all of EXIF
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def camera_from_exif(exif: Mapping[str, Any], size: tuple[int, int]) -> tuple[Camera, str, str]:
    """The camera, where its focal length is from, and what to say of that about the photo."""
    focal, whole, taken = focal_from_exif(exif, size), _whole(exif, size), "{} x {}".format(*_taken(exif))
    if focal is not None:
        cropped = (
            f"was cropped along one side after it was taken ({taken} by its EXIF); the middle was assumed to be left."
        )
        return Camera.virtual(focal, size), "EXIF focal length", "" if whole == size else cropped
    why = "does not say its focal length"
    if whole is None and (exif.get("FocalLengthIn35mmFilm") or exif.get("FocalLength")):
        why = f"was cropped after it was taken ({taken} by its EXIF), so that its EXIF's focal length holds no longer"
    return Camera.guess(size), GUESSED, f"{why}; it was guessed as that of a 28 mm lens on film."


def focal_from_exif(exif: Mapping[str, Any], size: tuple[int, int]) -> float | None:
    """Focal length in pixels of an image of (width, height) from its EXIF entries, None where they do not tell.

    From the 35 mm equivalent (over the diagonal), else from the focal length and the sensor's pixels per unit. Where
    EXIF's own width and height have the image's aspect ratio, either way round, the photo was resized, and the focal
    length with it. Where only one side is as long as it was, the photo was cropped along the other: the focal length is
    the whole photo's. Any other size is a crop of unknown scale: None. A crop that keeps the aspect ratio cannot be
    told from a resized photo, nor one whose program wrote its own size into EXIF from a whole one.
    """
    try:
        whole, taken = _whole(exif, size), max(_taken(exif))
        if whole is None:
            return None
        film = float(exif.get("FocalLengthIn35mmFilm") or 0)
        diagonal = float(np.hypot(*whole))
        if 4 <= film <= 2000:  # mm: from fisheye to telescope; other numbers are fill-ins
            return film / _FILM_DIAGONAL_MM * diagonal
        focal_mm, density = float(exif.get("FocalLength") or 0), float(exif.get("FocalPlaneXResolution") or 0)
        unit_mm = {2: 25.4, 3: 10.0, 4: 1.0}.get(int(exif.get("FocalPlaneResolutionUnit") or 2))
        if focal_mm > 0 and density > 0 and unit_mm and taken > 0:
            focal = focal_mm / unit_mm * density * max(whole) / taken
            return focal if 0.1 < focal / diagonal < 50 else None
    except (TypeError, ValueError, ArithmeticError):
        pass
    return None


def _taken(exif: Mapping[str, Any]) -> tuple[int, int]:
    """The (width, height) in pixels with which the photo was taken, by EXIF; 0 for what it does not say."""
    sides = [exif.get("ExifImageWidth"), exif.get("ExifImageHeight")]
    known = [side if isinstance(side, int) and 0 < side < 1e6 else 0 for side in sides]
    return known[0], known[1]


def _whole(exif: Mapping[str, Any], size: tuple[int, int]) -> tuple[int, int] | None:
    """The (width, height) that the photo would have uncropped at the scale of the image; None: a crop hides it."""
    taken = _taken(exif)
    if min(taken) <= 0:
        return size
    turns = taken, taken[::-1]  # cameras say the sensor's sides, programs that turn photos say the upright ones, or not
    for width, height in turns:
        # One percent, or a pixel by rounding: such a crop would change the focal length no more than that.
        if abs(size[0] * height - size[1] * width) <= max(0.01 * size[1] * width, width, height):
            return size
    for width, height in turns:
        if (size[0] == width and size[1] < height) or (size[1] == height and size[0] < width):
            return width, height
    return None
