"""Reading photos: every kind of image file, and every kind of file that is none."""

import math
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from humesh.geometry.camera import Camera
from humesh.images.photo import MAX_MEGAPIXELS, Photo, PhotoError, focal_from_exif


def _gradient(width: int = 40, height: int = 30) -> np.ndarray:
    """RGB pixels that rise to the right in red and downwards in green."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return np.stack([x, y, np.full_like(x, 60)], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("ending", ["png", "bmp", "tiff", "webp", "jpg"])
def test_pixels_come_in_as_they_are(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"photo.{ending}"
    Image.fromarray(_gradient()).save(path, **({"lossless": True} if ending == "webp" else {}))
    photo = Photo.read(path)
    assert photo.size == (40, 30)
    difference = np.abs(photo.pixels.astype(int) - _gradient().astype(int))
    assert difference.max() == 0 if ending != "jpg" else difference.mean() < 4


def test_every_mode_becomes_8_bit_rgb(tmp_path: Path) -> None:
    grey = _gradient()[..., 0]
    images = {
        "grey": Image.fromarray(grey),
        "deep": Image.fromarray(grey.astype(np.uint16) * 257),
        "int": Image.fromarray(grey.astype(np.int32)),
        "float": Image.fromarray(grey.astype(np.float32)),
        "cmyk": Image.fromarray(_gradient()).convert("CMYK"),
        "palette": Image.fromarray(_gradient()).quantize(64),
        "two": Image.fromarray(grey).convert("1"),
        "la": Image.fromarray(grey).convert("LA"),
    }
    for name, image in images.items():
        path = tmp_path / f"{name}.tiff"
        image.save(path)
        photo = Photo.read(path)
        assert photo.pixels.dtype == np.uint8
        assert photo.pixels.shape == (30, 40, 3)
        if name in ("grey", "deep", "la", "int", "float"):
            assert np.abs(photo.pixels[..., 1].astype(int) - grey).max() <= 1, name
        if name in ("cmyk", "palette"):
            assert photo.pixels[15, 35, 0] > photo.pixels[15, 5, 0] + 100, name


def test_transparency_is_laid_over_white(tmp_path: Path) -> None:
    layer = np.zeros((8, 8, 4), np.uint8)
    layer[:4] = (200, 10, 10, 255)
    Image.fromarray(layer).save(tmp_path / "a.png")
    pixels = Photo.read(tmp_path / "a.png").pixels
    assert pixels[0, 0].tolist() == [200, 10, 10]
    assert pixels[7, 7].tolist() == [255, 255, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    upright = _gradient(48, 32)
    # What the sensor stored, so that the tag tells how to turn it upright (TIFF 6.0, tag 274).
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.swapaxes(0, 1), 6: np.rot90(upright, 1),
        7: np.rot90(upright.swapaxes(0, 1), 2), 8: np.rot90(upright, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "a.png", exif=exif)
    photo = Photo.read(tmp_path / "a.png")
    assert np.array_equal(photo.pixels, upright)
    assert photo.camera.principal_point_px.tolist() == [24, 16]


def test_the_focal_length_comes_from_exif_or_is_guessed_and_said(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 28
    Image.fromarray(_gradient(400, 300)).save(tmp_path / "known.jpg", exif=exif)
    known = Photo.read(tmp_path / "known.jpg")
    assert math.isclose(float(known.camera.focal_px), 28 / math.hypot(36, 24) * 500, rel_tol=1e-3)
    assert known.camera_source == "EXIF focal length"
    Image.fromarray(_gradient(400, 300)).save(tmp_path / "unknown.jpg")
    unknown = Photo.read(tmp_path / "unknown.jpg")
    assert float(unknown.camera.focal_px) == 500
    assert "guessed" in unknown.camera_source
    assert any("focal length" in note for note in unknown.notes)


@pytest.mark.parametrize(
    ("exif", "focal"),
    [
        ({"FocalLengthIn35mmFilm": 43}, 43 / math.hypot(36, 24) * 500),
        (
            {"FocalLength": 50.0, "FocalPlaneXResolution": 10.0, "FocalPlaneResolutionUnit": 4, "ExifImageWidth": 400},
            500.0,
        ),
        ({"FocalLength": 50.0, "FocalPlaneXResolution": 254.0, "ExifImageWidth": 800}, 250.0),
        ({"FocalLength": 50.0}, None),
        ({"FocalLengthIn35mmFilm": 0}, None),
        ({"FocalLengthIn35mmFilm": "text"}, None),
        ({"FocalLength": 1e9, "FocalPlaneXResolution": 254.0, "ExifImageWidth": 400}, None),
        ({}, None),
    ],
)
def test_focal_lengths_of_exif(exif: dict, focal: float | None) -> None:
    found = focal_from_exif(exif, (400, 300))
    assert found == focal or math.isclose(found, focal, rel_tol=1e-3)


def test_of_an_animation_the_first_frame_is_used_and_said(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue", "green")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    photo = Photo.read(tmp_path / "a.gif")
    assert photo.pixels[5, 5].tolist() == [255, 0, 0] or photo.pixels[5, 5, 0] > 250
    assert "3 frames; the first one was used" in photo.notes[0]


def _png_header(width: int, height: int) -> bytes:
    """A PNG that says its size and has no pixels."""
    chunk = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = b"IHDR" + chunk
    empty = b"IDAT" + zlib.compress(b"")
    parts = [struct.pack(">I", len(chunk)), body, struct.pack(">I", zlib.crc32(body))]
    parts += [struct.pack(">I", len(empty) - 4), empty, struct.pack(">I", zlib.crc32(empty))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("missing.jpg", None, "expected an image file, found nothing"),
        ("empty.jpg", b"", "the file is empty"),
        ("text.jpg", b"dear reader, this is no photo", "it is none"),
        ("huge.png", _png_header(20_000, 20_000), "expected at most 120 megapixels, got (400|more than 178)"),
        ("large.png", _png_header(13_000, 10_000), "expected at most 120 megapixels, got 130; scale it down"),
        ("hollow.png", _png_header(100, 100), "damaged or cut short"),
    ],
)
def test_files_that_are_no_photo_are_told_in_one_sentence(
    tmp_path: Path, name: str, content: bytes | None, sentence: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PhotoError, match=sentence) as caught:
        Photo.read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert MAX_MEGAPIXELS == 120


def test_a_folder_and_a_truncated_jpeg_are_told(tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match="found a folder"):
        Photo.read(tmp_path)
    path = tmp_path / "cut.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(PhotoError, match="damaged or cut short"):
        Photo.read(path)


def test_one_pixel_is_a_photo(tmp_path: Path) -> None:
    Image.new("RGB", (1, 1)).save(tmp_path / "one.png")
    assert Photo.read(tmp_path / "one.png").size == (1, 1)


def test_pixels_in_memory_are_checked() -> None:
    assert Photo.of(_gradient()).size == (40, 30)
    camera = Camera.virtual(100.0, (40, 30))
    assert Photo.of(_gradient(), camera).camera is camera
