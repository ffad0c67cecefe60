"""Everything that a program may hold a photo in is understood; anything else ends in one sentence."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from humesh.errors import HumeshError
from humesh.geometry.camera import Camera
from humesh.media.photo import Photo, PhotoError, PhotoTypeError

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)


def _stream(pixels: np.ndarray = PIXELS) -> io.BytesIO:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream  # written, and therefore at its end


@pytest.mark.parametrize(
    "source",
    [
        PIXELS, torch.from_numpy(PIXELS), torch.from_numpy(PIXELS).permute(2, 0, 1), Image.fromarray(PIXELS), _stream(),
        Photo.of(PIXELS), np.dstack([PIXELS, np.full((12, 20), 255, np.uint8)]),
    ],
    ids=["array", "tensor", "channels first", "PIL", "stream at its end", "Photo", "RGBA"],
)  # fmt: skip
def test_the_same_pixels_come_from_everything(source: Any) -> None:
    photo = Photo.of(source)
    assert np.array_equal(photo.pixels, PIXELS)
    assert photo.path == ""
    assert photo.camera.focal_px == pytest.approx(28 / 43.27 * np.hypot(20, 12))


@pytest.mark.parametrize("shape", [(12, 20), (12, 20, 1)])
def test_grey_pixels_become_rgb(shape: tuple[int, ...]) -> None:
    grey = PIXELS[..., 0].reshape(shape)
    for source in (grey, torch.from_numpy(grey)):
        assert np.array_equal(Photo.of(source).pixels, np.repeat(PIXELS[..., :1], 3, axis=-1))


def test_what_is_transparent_is_white() -> None:
    clear = np.dstack([PIXELS, np.zeros((12, 20), np.uint8)])
    assert (Photo.of(clear).pixels == 255).all()


def test_files_say_where_they_are_and_pil_images_their_exif(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] = 28
    Image.fromarray(PIXELS).save(path, exif=exif)
    named = Photo.of(path), Photo.of(str(path)), Photo.of(Image.open(path))
    with path.open("rb") as stream:
        photos = [*named, Photo.of(stream)]
        assert not stream.closed
    assert [photo.path for photo in photos] == [str(path)] * 4
    photos.append(Photo.of(io.BytesIO(path.read_bytes())))
    for photo in photos:
        assert photo.size == (12, 20)  # upright
        assert photo.camera_source == "EXIF focal length"
        assert np.array_equal(photo.pixels, photos[0].pixels)


def test_a_camera_that_is_known_is_used(tmp_path: Path) -> None:
    camera, path = Camera.virtual(100.0, (20, 12)), tmp_path / "a.png"
    path.write_bytes(_stream().getvalue())
    for source in (PIXELS, path, Image.fromarray(PIXELS)):
        photo = Photo.of(source, camera)
        assert (photo.camera is camera, photo.camera_source) == (True, "given")
        assert photo.notes == ()  # such as that its focal length was guessed


def test_a_known_camera_leaves_the_notes_on_anything_else() -> None:
    frames = [Image.fromarray(PIXELS), Image.fromarray(255 - PIXELS)]
    stream = io.BytesIO()
    frames[0].save(stream, format="TIFF", save_all=True, append_images=frames[1:])
    guessed = Photo.of(stream)
    assert [" ".join(note.split()[2:5]) for note in guessed.notes] == ["has several frames;", "does not say"]
    assert Photo.of(guessed, Camera.virtual(100.0, guessed.size)).notes == guessed.notes[:1]


@pytest.mark.parametrize("damage", [b"", b"\xff" * 500])
def test_of_a_file_whose_second_page_is_damaged_the_first_is_read(damage: bytes) -> None:
    stream = io.BytesIO()
    frames = [Image.fromarray(PIXELS), Image.fromarray(255 - PIXELS)]
    frames[0].save(stream, format="TIFF", save_all=True, append_images=frames[1:])
    with Image.open(stream) as image:
        image.seek(1)
        second = image._frame_pos[1]  # type: ignore[attr-defined]
    broken = io.BytesIO(stream.getvalue()[:second] + damage)
    image = Image.open(broken)
    for source in (broken, image):
        photo = Photo.of(source)
        assert np.array_equal(photo.pixels, PIXELS)
        assert "several frames; the first one was used" in photo.notes[0]
    assert np.array_equal(np.asarray(image), PIXELS)  # the user's image is where it was


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ([PIXELS], r"expected a path, .* got list; for several photos make one Recoverer and call it in a loop"),
        (None, "got NoneType"),
        (b"bytes", "got bytes"),
        (3, "got int"),
        (PIXELS / 255, r"expected uint8 pixels from 0 to 255, got float64 of 12 x 20 x 3; .*255 \* pixels"),
        (torch.zeros(3, 4, 4, dtype=torch.bfloat16), "got bfloat16 of 3 x 4 x 4"),
        (PIXELS.astype(np.uint16), "got uint16"),
        (io.StringIO("text"), "opened for bytes"),
    ],
)
def test_what_is_no_photo_is_a_type_error_in_a_sentence(source: Any, sentence: str) -> None:
    with pytest.raises(TypeError, match=sentence) as raised:
        Photo.of(source)
    assert isinstance(raised.value, PhotoTypeError)
    assert isinstance(raised.value, HumeshError)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (PIXELS[None], r"expected H x W x 3 pixels .*, got 1 x 12 x 20 x 3"),
        (PIXELS[..., :2], "got 12 x 20 x 2"),
        (PIXELS[:0], "got 0 x 20 x 3"),
        (np.uint8(3) + np.zeros((), np.uint8), "got one number|expected a path"),
        (io.BytesIO(), "photo in memory: expected an image, the file is empty"),
        (io.BytesIO(b"no image"), "photo in memory: expected an image .*, it is none"),
        (io.BytesIO(_stream().getvalue()[:60]), "photo in memory: the image is damaged or cut short"),
    ],
)
def test_damaged_and_misshapen_ones_are_refused(source: Any, sentence: str) -> None:
    with pytest.raises(PhotoError, match=sentence):
        Photo.of(source)


def test_an_image_whose_file_was_closed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(_stream().getvalue())
    with Image.open(tmp_path / "a.png") as image:
        pass
    with pytest.raises(PhotoError, match=r"a\.png: the image is damaged or cut short"):
        Photo.of(image)
