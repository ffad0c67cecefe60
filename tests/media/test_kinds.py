"""What a file is, is decided by what it holds, whatever its name says."""

import os
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from humesh.media.kinds import PHOTO_FORMATS, Kind, kind_of

from .videos import SOUND_RATE, cut_short, make_video, picture

STILLS = {
    "jpg": "JPEG", "jpeg": "JPEG", "jfif": "JPEG", "png": "PNG", "webp": "WEBP", "bmp": "BMP", "tif": "TIFF",
    "gif": "GIF", "avif": "AVIF", "jp2": "JPEG2000", "j2k": "JPEG2000", "ppm": "PPM", "mpo": "MPO",
}  # fmt: skip
VIDEOS = {  # ending: FFmpeg's container and encoder
    "mp4": ("mp4", "libx264"), "mov": ("mov", "libx264"), "m4v": ("mp4", "libx264"), "3gp": ("3gp", "libx264"),
    "3g2": ("3g2", "libx264"), "f4v": ("f4v", "libx264"), "insv": ("mp4", "libx264"), "mkv": ("matroska", "libx264"),
    "webm": ("webm", "libvpx"), "avi": ("avi", "mpeg4"), "ts": ("mpegts", "libx264"), "flv": ("flv", "flv"),
    "wmv": ("asf", "msmpeg4"), "ogv": ("ogg", "libvpx"), "vob": ("vob", "mpeg2video"), "mpg": ("mpeg", "mpeg1video"),
    "h264": ("h264", "libx264"), "hevc": ("hevc", "libx265"), "mxf": ("mxf", "mpeg2video"),
    "y4m": ("yuv4mpegpipe", "wrapped_avframe"),
}  # fmt: skip


def _still(path: Path, format: str, colour: str = "red") -> Path:
    Image.new("RGB", (40, 30), colour).save(path, format)
    return path


def _animation(path: Path, format: str) -> Path:
    frames = [Image.new("RGB", (40, 30), (60 * k, 200, 90)) for k in range(4)]
    frames[0].save(path, format, save_all=True, append_images=frames[1:])
    return path


def _video(path: Path, container: str, codec: str, frames: int = 8) -> Path:
    with av.open(str(path), "w", format=container) as output:
        options = {"x265-params": "log-level=none:pools=1"} if codec == "libx265" else {}
        stream = output.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for k in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(k), format="rgb24")
            output.mux(stream.encode(frame.reformat(format="yuv420p")))
        output.mux(stream.encode())
    return path


def _sound(path: Path, container: str, codec: str) -> Path:
    with av.open(str(path), "w", format=container) as output:
        track = output.add_stream(codec, rate=SOUND_RATE, layout="mono")
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        silence.sample_rate = SOUND_RATE
        output.mux(track.encode(silence))
        output.mux(track.encode())
    return path


@pytest.mark.parametrize("ending", STILLS)
def test_pictures_are_photos_under_any_name(tmp_path: Path, ending: str) -> None:
    path = _still(tmp_path / f"a.{ending}", STILLS[ending])
    assert kind_of(path) == "photo"
    assert kind_of(path.rename(tmp_path / "a.mp4")) == "photo"


@pytest.mark.parametrize("ending", VIDEOS)
def test_containers_are_videos_under_any_name(tmp_path: Path, ending: str) -> None:
    path = _video(tmp_path / f"a.{ending}", *VIDEOS[ending])
    assert kind_of(path) == "video"
    assert kind_of(path.rename(tmp_path / "_a.dat")) == "video"


def test_transport_streams_of_cameras_are_videos(tmp_path: Path) -> None:
    """M2TS and MTS: each packet of 188 bytes follows a time of four."""
    content = _video(tmp_path / "a.ts", "mpegts", "libx264").read_bytes()
    packets = [b"\0\0\0\0" + content[k : k + 188] for k in range(0, len(content), 188)]
    (tmp_path / "a.m2ts").write_bytes(b"".join(packets))
    assert kind_of(tmp_path / "a.m2ts") == "video"


@pytest.mark.parametrize("ending", ["gif", "png"])
def test_pictures_of_several_frames_are_videos(tmp_path: Path, ending: str) -> None:
    format = STILLS[ending]
    assert kind_of(_animation(tmp_path / f"a.{ending}", format)) == "video"
    assert kind_of(_still(tmp_path / f"b.{ending}", format)) == "photo"
    one = Image.new("RGB", (40, 30))
    one.save(tmp_path / f"c.{ending}", format, save_all=True, append_images=[])
    assert kind_of(tmp_path / f"c.{ending}") == "photo"


def test_a_long_colour_profile_hides_no_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (40, 30), (60 * k, 200, 90)) for k in range(4)]
    profile = np.random.default_rng(0).bytes(20_000)
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:], icc_profile=profile)
    frames[0].save(tmp_path / "b.png", icc_profile=profile)
    assert (kind_of(tmp_path / "a.png"), kind_of(tmp_path / "b.png")) == ("video", "photo")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.jpg", b""),
        ("text.ts", b"export const one: number = 1;\n" * 100),
        ("a.json", b'{"people": []}'),
        ("a.pdf", b"%PDF-1.7\n" + b"0" * 5000),
        ("a.dds", b"DDS |\0\0\0" + bytes(200)),
        ("a.wmf", b"\xd7\xcd\xc6\x9a" + bytes(200)),
        ("a.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 30\n"),
        ("a.fits", b"SIMPLE  =                    T" + b" " * 5000),
        ("a.ico", b"\0\0\1\0\1\0\x10\x10\0\0\1\0\x20\0" + bytes(2000)),
        ("a.npz", b"PK\3\4" + bytes(200)),
        ("a.glb", b"glTF\2\0\0\0" + bytes(200)),
        ("a.bvh", b"HIERARCHY\nROOT Hips\n"),
        ("a.wav", b"RIFF\x24\0\0\0WAVEfmt " + bytes(200)),
        ("a.cr3", b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(200)),
        ("a.jxl", b"\xff\x0a" + bytes(200)),
        ("a.m3u8", b"#EXTM3U\n#EXTINF:10,\n/etc/passwd\n"),
        ("a.mp4", b"ffconcat version 1.0\nfile other.mp4\n"),
        ("P1 a.txt", b"P1 is the first point.\n"),
        ("BM.txt", b"BMW is a car.\n"),
        ("._IMG_1.jpg", b"\0\5\x16\7\0\2\0\0Mac OS X        " + bytes(4000)),
        ("._IMG_2.jpg", b"\xff\xd8\xff\xe0"),
    ],
)  # fmt: skip
def test_what_is_neither_is_other(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert kind_of(tmp_path / name) == "other"


def test_folders_pipes_and_missing_files_are_other(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    for name in ("pipe.jpg", "folder.jpg", "missing.jpg", "zero\0byte.jpg"):
        assert kind_of(tmp_path / name) == "other"


@pytest.mark.parametrize(
    ("ending", "container", "codec"),
    [("m4a", "ipod", "aac"), ("mp4", "mp4", "aac"), ("ogg", "ogg", "libopus"), ("mka", "matroska", "aac")],
)
def test_sound_alone_is_other(tmp_path: Path, ending: str, container: str, codec: str) -> None:
    assert kind_of(_sound(tmp_path / f"a.{ending}", container, codec)) == "other"


@pytest.mark.parametrize(
    ("brand", "kind"), [("heic", "photo"), ("mif1", "photo"), ("qt  ", "video"), ("hevc", "video")]
)
def test_damaged_files_keep_their_kind(tmp_path: Path, brand: str, kind: Kind) -> None:
    (tmp_path / "a").write_bytes(b"\0\0\0\x18ftyp" + brand.encode() + bytes(100))
    assert kind_of(tmp_path / "a") == kind
    (tmp_path / "b.png").write_bytes(_still(tmp_path / "c.png", "PNG").read_bytes()[:40])
    (tmp_path / "b.tif").write_bytes(_still(tmp_path / "c.tif", "TIFF").read_bytes()[:40])
    assert kind_of(tmp_path / "b.png") == kind_of(tmp_path / "b.tif") == "photo"
    assert kind_of(cut_short(make_video(tmp_path / "c.mov", [picture(0)]), 0.5)) == "video"


@pytest.mark.parametrize("tag", [(254, 1), (50706, bytes([1, 4, 0, 0]))])
def test_raw_files_of_cameras_are_other(tmp_path: Path, tag: tuple[int, int | bytes]) -> None:
    about = TiffImagePlugin.ImageFileDirectory_v2()
    about[tag[0]] = tag[1]
    Image.new("RGB", (16, 12)).save(tmp_path / "a.dng", "TIFF", tiffinfo=about)
    assert kind_of(tmp_path / "a.dng") == "other"


def test_every_format_of_a_photo_is_one_that_pillow_has() -> None:
    Image.init()
    assert set(PHOTO_FORMATS) <= set(Image.OPEN)
