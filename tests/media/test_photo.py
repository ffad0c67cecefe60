"""Reading photos: every kind of image file, and every kind of file that is none."""

import math
import struct
import sys
import threading
import tracemalloc
import types
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from humesh.geometry.camera import Camera
from humesh.media import kinds
from humesh.media import photo as photo_module
from humesh.media.kinds import quiet
from humesh.media.photo import MAX_MEGAPIXELS, Photo, PhotoError, focal_from_exif, rgb_of


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


def test_deep_pixels_are_scaled_by_their_range(tmp_path: Path) -> None:
    grey = _gradient()[..., 0]
    grey[0, 0] = 255
    high = grey.astype(np.float32) * 300
    odd = high.copy()
    odd[0, 1:4] = np.nan, np.inf, -np.inf
    for name, pixels in {
        "16.png": grey.astype(np.uint16) * 257,
        "16.tif": grey.astype(np.uint16) * 257,
        "32.tif": grey.astype(np.int32) * 1_000_000,
        "float.tif": high,
        "unit.tif": grey.astype(np.float32) / 255,
        "odd.tif": odd,
    }.items():
        Image.fromarray(pixels).save(tmp_path / name)
        read = Photo.read(tmp_path / name).pixels
        assert np.abs(read[1:].astype(int) - grey[1:, :, None]).max() <= 1, name
    assert read[0, 1:4, 0].tolist() == [0, 255, 0]  # the last one: not a number, infinitely bright, infinitely dark


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "L"])
def test_photos_of_other_colours_look_the_same(tmp_path: Path, mode: str) -> None:
    smooth = Image.fromarray(_gradient())
    smooth.convert(mode).save(tmp_path / "a.jpg", quality=95)
    expected = np.asarray(smooth.convert(mode).convert("RGB")).astype(int)
    assert np.abs(Photo.read(tmp_path / "a.jpg").pixels - expected).mean() < 4


def test_a_transparent_palette_is_laid_over_white(tmp_path: Path) -> None:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 200, 10, 10])
    image.paste(0, (0, 4, 8, 8))
    image.save(tmp_path / "a.png", transparency=0)
    pixels = Photo.read(tmp_path / "a.png").pixels
    assert (pixels[0, 0].tolist(), pixels[7, 7].tolist()) == ([200, 10, 10], [255, 255, 255])


def test_transparency_is_laid_over_white(tmp_path: Path) -> None:
    layer = np.zeros((8, 8, 4), np.uint8)
    layer[:4] = (200, 10, 10, 255)
    Image.fromarray(layer).save(tmp_path / "a.png")
    pixels = Photo.read(tmp_path / "a.png").pixels
    assert pixels[0, 0].tolist() == [200, 10, 10]
    assert pixels[7, 7].tolist() == [255, 255, 255]


def _stored(upright: np.ndarray, orientation: int) -> np.ndarray:
    """What the sensor stored, so that the tag tells how to turn it upright (TIFF 6.0, tag 274)."""
    return np.ascontiguousarray({
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.swapaxes(0, 1), 6: np.rot90(upright, 1),
        7: np.rot90(upright.swapaxes(0, 1), 2), 8: np.rot90(upright, -1),
    }[orientation])  # fmt: skip


@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "webp", "avif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(
    tmp_path: Path, orientation: int, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photo_module, "_BAND_PIXELS", 300)  # several bands, the last one shorter
    upright = _gradient(48, 32)
    exif = Image.Exif()
    exif[274] = orientation
    options = {"lossless": True} if ending == "webp" else {"quality": 95} if ending in ("jpg", "avif") else {}
    Image.fromarray(_stored(upright, orientation)).save(tmp_path / f"a.{ending}", exif=exif, **options)
    photo = Photo.read(tmp_path / f"a.{ending}")
    difference = np.abs(photo.pixels.astype(int) - upright)
    assert difference.max() == 0 if ending in ("png", "tif", "webp") else difference.mean() < 3
    assert photo.camera.principal_point_px.tolist() == [24, 16]


def _jpeg_with_exif(path: Path, exif: bytes) -> Path:
    """A grey JPEG of 48 x 64 with these bytes for its EXIF, right or wrong."""
    Image.new("RGB", (48, 64), "grey").save(path, exif=b"Exif\0\0" + exif)
    return path


def _tiff(*entries: tuple[int, int, int, bytes]) -> bytes:
    """The block of EXIF with these (tag, type, count, value of four bytes)."""
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + b"".join(
        struct.pack("<HHI4s", *entry) for entry in entries
    ) + bytes(4)  # fmt: skip


@pytest.mark.parametrize(
    "exif",
    [
        _tiff((274, 11, 1, struct.pack("<f", 6))),
        _tiff((274, 2, 2, b"6\0\0\0")),
        _tiff((274, 3, 1, b"\x63\0\0\0")),
        _tiff((274, 5, 1, b"\xff\xff\xff\xff")),
        _tiff((0x8769, 4, 1, b"\xff\xff\xff\x7f")),
        _tiff((0x8769, 2, 4, b"abc\0")),
        _tiff((282, 11, 1, struct.pack("<f", math.nan)), (0x8769, 4, 1, b"\x08\0\0\0")),
        _tiff((0xA405, 2, 4, b"28m\0"), (0xA002, 2, 4, b"4k!\0"), (0xA003, 12, 1, b"\0\0\0\0")),
        _tiff((274, 3, 1, b"\1\0\0\0"))[:-9],
        b"II*\0\xff\xff\xff\xff",
        b"MM*\0nonsense",
        b"",
    ],
)
def test_exif_of_wrong_types_counts_as_none(tmp_path: Path, exif: bytes) -> None:
    photo = Photo.read(_jpeg_with_exif(tmp_path / "a.jpg", exif))
    assert photo.size == (48, 64)
    assert "guessed" in photo.camera_source


@pytest.mark.parametrize("block", [(4, 1, b"\xff\xff\xff\x7f"), (2, 4, b"abc\0")])
def test_a_damaged_block_of_exif_leaves_the_orientation(tmp_path: Path, block: tuple[int, int, bytes]) -> None:
    exif = _tiff((274, 3, 1, b"\6\0\0\0"), (0x8769, *block))
    assert Photo.read(_jpeg_with_exif(tmp_path / "a.jpg", exif)).size == (64, 48)


def test_the_focal_length_comes_from_exif_or_is_guessed_with_a_note(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 28
    Image.fromarray(_gradient(400, 300)).save(tmp_path / "known.jpg", exif=exif)
    known = Photo.read(tmp_path / "known.jpg")
    assert math.isclose(float(known.camera.focal_px), 28 / math.hypot(36, 24) * 500, rel_tol=1e-3)
    assert known.camera_source == "EXIF focal length"
    Image.fromarray(_gradient(400, 300)).save(tmp_path / "unknown.jpg")
    unknown = Photo.read(tmp_path / "unknown.jpg")
    assert float(unknown.camera.focal_px) == pytest.approx(28 / 43.27 * 500)
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


_ORIGINAL = {"FocalLengthIn35mmFilm": 28, "ExifImageWidth": 4000, "ExifImageHeight": 3000}
_PLANE = {
    "FocalLength": 5.0, "FocalPlaneXResolution": 800.0, "FocalPlaneResolutionUnit": 4, "ExifImageWidth": 4000,
    "ExifImageHeight": 3000,
}  # fmt: skip


@pytest.mark.parametrize(
    ("size", "scale"),
    [
        ((4000, 3000), 1),
        ((3000, 4000), 1),  # turned upright, by its orientation or by a program
        ((1000, 750), 0.25),
        ((150, 200), 0.05),
        ((1023, 767), 0.2557),  # rounded
        ((8000, 6000), 2),
        ((4000, 2250), None),  # 16:9 of 4:3
        ((3000, 3000), None),
        ((4000, 2990), 1),
        ((1000, 700), None),
        ((2250, 4000), None),
        ((1500, 3000), None),  # a portrait out of a landscape
        ((1000, 1000), None),
        ((1920, 1080), None),
        ((500, 3001), None),
    ],
)
def test_a_crop_is_known_by_the_size_that_exif_says(size: tuple[int, int], scale: float | None) -> None:
    """The focal length is that of the photo at the scale of the file, None where it was cropped."""
    expected = None if scale is None else 28 / math.hypot(36, 24) * 5000 * scale
    found = focal_from_exif(_ORIGINAL, size)
    assert found == expected or math.isclose(found, expected, rel_tol=2e-3)
    by_plane = focal_from_exif(_PLANE, size)
    assert by_plane == scale or math.isclose(by_plane, 4000 * scale, rel_tol=2e-3)


@pytest.mark.parametrize(
    ("size", "film_mm", "source", "note"),
    [
        ((40, 30), 28, "EXIF focal length", None),
        ((20, 20), 0, "guessed: as of a 28 mm lens on film", "a.jpg does not say its focal length"),
        (
            (20, 20),
            28,
            "guessed: as of a 28 mm lens on film",
            "a.jpg was cropped after it was taken (40 x 30 by its",
        ),
    ],
)
def test_a_cropped_photo_says_so(
    tmp_path: Path, size: tuple[int, int], film_mm: int, source: str, note: str | None
) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769).update({0xA405: film_mm, 0xA002: 40, 0xA003: 30})
    Image.new("RGB", size).save(tmp_path / "a.jpg", exif=exif)
    photo = Photo.read(tmp_path / "a.jpg")
    assert photo.camera_source == source
    assert [text[: len(note)] for text in photo.notes] == [note] if note else photo.notes == ()


def test_of_an_animation_the_first_frame_is_used_with_a_note(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue", "green")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    photo = Photo.read(tmp_path / "a.gif")
    assert photo.pixels[5, 5].tolist() == [255, 0, 0] or photo.pixels[5, 5, 0] > 250
    assert "several frames; the first one was used" in photo.notes[0]


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
def test_files_that_are_no_photo_are_refused_in_one_sentence(
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


def test_a_folder_and_a_truncated_jpeg_are_refused(tmp_path: Path) -> None:
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


@pytest.mark.parametrize(
    "content",
    [
        b"DDS |\0\0\0",
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
        b"\xd7\xcd\xc6\x9a\0\0",
        b"SIMPLE  =                    T",
        b"8BPS\0\1",
    ],
)
def test_formats_that_nobody_expects_are_not_opened(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(content + bytes(3000))
    with pytest.raises(PhotoError, match="it is none"):
        Photo.read(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    "error",
    [TypeError("a\nb"), NotImplementedError(), RuntimeError("x" * 9000), struct.error("s"), SyntaxError("s"),
     OverflowError("o"), ZeroDivisionError("z"), KeyError("k"), RecursionError("r")],
)  # fmt: skip
def test_whatever_a_reader_raises_becomes_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.bmp")

    def load(image: Image.Image) -> None:
        raise error

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)
    with pytest.raises(PhotoError, match="damaged or cut short") as caught:
        Photo.read(tmp_path / "a.bmp")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_dark_photo_of_16_bits_stays_dark(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 9000, np.uint16)).save(tmp_path / "a.png")
    assert Photo.read(tmp_path / "a.png").pixels.max() == 35


def test_an_image_beyond_memory_is_not_called_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.bmp")

    def load(image: Image.Image) -> None:
        raise MemoryError

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)
    with pytest.raises(PhotoError, match="does not fit into memory; scale it down first"):
        Photo.read(tmp_path / "a.bmp")


def test_an_interrupt_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.bmp")

    def load(image: Image.Image) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)
    with pytest.raises(KeyboardInterrupt):
        Photo.read(tmp_path / "a.bmp")


def test_addresses_and_names_that_no_file_can_have(tmp_path: Path) -> None:
    for path, sentence in {
        "https://example.org/a.jpg": "photos are not read from the web; download it first",
        str(tmp_path / ("a" * 300 + ".jpg")): "found nothing",
        "zero\0byte.jpg": "found nothing",
    }.items():
        with pytest.raises(PhotoError, match=sentence):
            Photo.read(path)


def test_a_raw_file_is_no_thumbnail(tmp_path: Path) -> None:
    Image.new("RGB", (16, 12)).save(tmp_path / "a.dng", "TIFF", tiffinfo={254: 1})
    with pytest.raises(PhotoError, match="a camera's raw file; export it as JPEG"):
        Photo.read(tmp_path / "a.dng")


def _heic(path: Path) -> Path:
    path.write_bytes(b"\0\0\0\x1cftypheic\0\0\0\0mif1heic" + bytes(100))
    return path


def test_heic_without_its_package_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(PhotoError, match=r'pip install "humesh\[heic\]"'):
        Photo.read(_heic(tmp_path / "a.heic"))


@pytest.mark.parametrize(("width", "sentence"), [(40, None), (20_000, "at most 120 megapixels, got 600")])
def test_heic_is_read_by_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int, sentence: str | None
) -> None:
    pixels = Image.fromarray(_gradient())
    file = types.SimpleNamespace(size=(width, 30_000 if sentence else 30), to_pillow=lambda: pixels)
    monkeypatch.setitem(sys.modules, "pillow_heif", types.SimpleNamespace(open_heif=lambda path: file))
    if sentence is None:
        assert np.array_equal(Photo.read(_heic(tmp_path / "a.heic")).pixels, _gradient())
    else:
        with pytest.raises(PhotoError, match=sentence):
            Photo.read(_heic(tmp_path / "a.heic"))


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_true_heic(tmp_path: Path, orientation: int) -> None:
    heif = pytest.importorskip("pillow_heif")
    upright = _gradient(48, 32)
    exif = Image.Exif()
    exif[274] = orientation
    exif.get_ifd(0x8769)[0xA405] = 28
    stored = Image.fromarray(_stored(upright, orientation))
    heif.from_pillow(stored).save(tmp_path / "a.heic", exif=exif.tobytes(), quality=95)
    photo = Photo.read(tmp_path / "a.heic")
    assert np.abs(photo.pixels.astype(int) - upright).mean() < 4
    assert photo.camera_source == "EXIF focal length"
    (tmp_path / "a.heic").write_bytes((tmp_path / "a.heic").read_bytes()[:300])
    with pytest.raises(PhotoError, match="damaged or cut short"):
        Photo.read(tmp_path / "a.heic")


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_large_photos_are_converted_in_bands(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    monkeypatch.setattr(photo_module, "_BAND_PIXELS", 10_000)
    image = Image.new(mode, (1000, 800))
    tracemalloc.start()
    pixels = rgb_of(image)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.2 * pixels.nbytes


def test_no_warning_comes_through_and_none_is_switched_off_for_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Photos are read by several threads at a time, and Python's filter of warnings is one for all of them."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)  # of 3072, at which Pillow warns
    paths = [_jpeg_with_exif(tmp_path / "a.jpg", b"II*\0\xff\xff\xff\xff"), tmp_path / "a.tif"]
    Image.new("RGB", (48, 64)).save(paths[1], compression="tiff_lzw")
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        before = list(warnings.filters)
        threads = [threading.Thread(target=lambda: [Photo.read(path) for path in 10 * paths]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert warnings.filters == before
    assert heard == []
    with quiet():
        assert kinds._LOCK.locked()
