"""Where videos come from: odd files, animated pictures, addresses; each is read, or refused in one sentence."""

import os
import socket
import sys
import threading
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from humesh.media import decoding
from humesh.media.decoding import Decoder, declared_seconds
from humesh.media.film import Film
from humesh.media.kinds import is_url
from humesh.media.video import Frame, Video, VideoError, _Clock

from .videos import SIZE, make_video, number_of, picture


def _pictures(count: int) -> list[np.ndarray]:
    return [picture(k) for k in range(count)]


def _numbers(frames: list[Frame]) -> list[int]:
    return [number_of(frame.pixels) for frame in frames]


# Odd files.


@pytest.mark.parametrize("ending", ["avi", "mp4", "mkv"])
def test_a_title_that_is_not_utf8(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "cafXX"
        stream: Any = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for pixels in _pictures(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    content = path.read_bytes()
    assert b"cafXX" in content
    path.write_bytes(content.replace(b"cafXX", b"caf\xe9s"))
    video = Video(path)
    assert _numbers(list(video)) == [0, 1, 2]
    with Film(tmp_path / "film.mp4", video.size, video.fps, video) as film:
        for frame in video:
            film.write(frame.pixels, frame.time_s)
    assert Video(tmp_path / "film.mp4").count == 3


@pytest.mark.parametrize("name", ["concat:a.mp4", "frame%03d.mp4", "data:,a.mp4", "-i.mp4"])
def test_a_name_is_a_name_and_no_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    make_video(tmp_path / "b.mp4", _pictures(2)).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert _numbers(list(Video(name))) == [0, 1]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems' names are text")
def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    name = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp4"))
    make_video(tmp_path / "b.mp4", _pictures(2)).rename(name)
    assert _numbers(list(Video(name))) == [0, 1]
    name.write_bytes(b"no video")
    with pytest.raises(VideoError, match=r"caf\\udce9\.mp4: expected a video") as caught:
        Video(name)
    str(caught.value).encode()


def test_a_name_that_no_file_can_have() -> None:
    for name in ("a" * 300 + ".mp4", "zero\0byte.mp4"):
        with pytest.raises(VideoError, match="found nothing there"):
            Video(name)


def test_a_file_cannot_make_ffmpeg_open_another(tmp_path: Path) -> None:
    make_video(tmp_path / "secret.ts", _pictures(12))
    secret = f"file://{tmp_path}/secret.ts"
    for name, content in {
        "script.mp4": f"ffconcat version 1.0\nfile {tmp_path}/secret.ts\n",
        "relative.mp4": "ffconcat version 1.0\nfile secret.ts\n",
        "list.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n",
        "call.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    }.items():
        (tmp_path / name).write_text(content)
        with pytest.raises(VideoError, match="expected a video that FFmpeg reads"):
            Video(tmp_path / name)


def test_frames_too_large_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_video(tmp_path / "a.mp4", _pictures(2))
    monkeypatch.setattr(decoding, "MAX_MEGAPIXELS", 0.003)
    with pytest.raises(VideoError, match=r"at most 0\.003 megapixels, got 64 x 48; scale it down first"):
        Video(path)


def test_frames_larger_than_the_header_says_are_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes change within a stream; the limit holds for each frame before memory is taken for it."""
    small, large = (make_video(tmp_path / f"{n}.h264", [picture(1, (64 * n, 48 * n))] * 3) for n in (1, 9))
    (tmp_path / "a.h264").write_bytes(small.read_bytes() + large.read_bytes())
    sizes = {frame.pixels.shape for frame in Video(tmp_path / "a.h264")}
    assert sizes == {(48, 64, 3)}  # fitted into the first one's
    whole = len(list(Video(tmp_path / "a.h264")))
    monkeypatch.setitem(decoding._LIMITS, "max_pixels", "100000")
    assert len(list(Video(tmp_path / "a.h264"))) < whole


@pytest.mark.parametrize("fps", [500, 960, 1000])
@pytest.mark.parametrize("ending", ["mp4", "mkv", "avi"])
def test_slow_motion_is_believed(tmp_path: Path, fps: int, ending: str) -> None:
    video = Video(make_video(tmp_path / f"a.{ending}", _pictures(30), fps=fps))
    frames = list(video)
    assert video.fps == pytest.approx(fps, rel=1e-3)
    assert [frame.time_s for frame in frames] == pytest.approx([k / fps for k in range(30)], abs=6e-4)
    assert not [note for note in video.notes if "no frame rate" in note]


def test_a_clock_of_milliseconds_is_no_frame_rate(tmp_path: Path) -> None:
    """Recordings of browsers: the header says 1000 frames a second, their times say 30."""
    times = [round(k / 30, 3) for k in range(30)]
    video = Video(make_video(tmp_path / "a.mkv", _pictures(30), times, fps=1000))
    assert video.fps == pytest.approx(30, rel=0.01)
    assert video.notes == ["The video has no frame rate; its first frames came at 30 a second."]


def test_the_end_of_an_mpg_is_a_guess(tmp_path: Path) -> None:
    """Its last time stamp is that of the first of several frames."""
    path = make_video(tmp_path / "a.mpg", _pictures(8), codec="mpeg1video")
    assert _numbers(list(Video(path, start_s=0.19))) == [5, 6, 7]


@pytest.mark.parametrize(
    ("duration", "written", "expected"),
    [(75, "", 3.0), (-75, "", None), (2**62, "", None), (0, "00:01:02.5", 62.5), (0, "9" * 400 + ":00:00", None)],
)
def test_a_length_that_cannot_be_is_none(duration: int, written: str, expected: float | None) -> None:
    stream = SimpleNamespace(duration=duration, time_base=Fraction(1, 25), frames=0, metadata={"DURATION": written})
    container = SimpleNamespace(format=SimpleNamespace(name="mov"), duration=0, streams=[stream])
    assert declared_seconds(container, stream) == expected


def test_a_clock_that_jumps_far_ahead_is_joined() -> None:
    clock = _Clock(0.04)
    assert [clock(stamp) for stamp in (0.0, 0.04, 1e9, 1e9 + 0.04)] == pytest.approx([0, 0.04, 0.08, 0.12], abs=1e-6)
    assert clock.made == 1
    assert _Clock(0.04)(1e9) == 1e9  # the first frame of a stretch may be late


@pytest.mark.parametrize("error", [ZeroDivisionError("z"), MemoryError(), UnicodeDecodeError("utf-8", b"", 0, 1, "x")])
def test_whatever_is_raised_becomes_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    path = make_video(tmp_path / "a.mp4", _pictures(2))
    video = Video(path)

    def fails(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(Decoder, "_from", fails)
    with pytest.raises(VideoError, match=r"a\.mp4: the video is damaged"):
        list(video)
    monkeypatch.setattr(decoding, "declared_seconds", fails)
    with pytest.raises(VideoError, match=r"a\.mp4: the video is damaged"):
        Video(path)


def test_what_the_user_raises_while_a_film_is_written_stays_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="mine"), Film(tmp_path / "film.mp4", SIZE, 25):
        raise OSError("mine")
    assert not (tmp_path / "film.mp4").exists()


def test_a_film_that_cannot_be_ended_is_none(tmp_path: Path) -> None:
    """A disk is often full only when the rest of the file is written."""

    class Full:
        def close(self) -> None:
            raise OSError(28, "No space left on device")

        def __getattr__(self, name: str) -> Any:
            return getattr(container, name)

    with pytest.raises(VideoError, match=r"cannot be written \(No space left"):  # noqa: SIM117, PT012
        with Film(tmp_path / "film.mp4", SIZE, 25) as film:
            film.write(picture(0), 0)
            container, film._container = film._container, Full()
    assert list(tmp_path.iterdir()) == []


def test_a_film_that_cannot_be_written_on_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(film: Film, until: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Film, "_encode", full)
    with pytest.raises(VideoError, match=r"cannot be written \(No space left"):  # noqa: SIM117, PT012
        with Film(tmp_path / "film.mp4", SIZE, 25) as film:
            film.write(picture(0), 0)
            film.write(picture(1), 0.04)
    assert list(tmp_path.iterdir()) == []


def test_a_frame_that_cannot_be_converted_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn, calls = decoding._upright, iter(range(99))
    monkeypatch.setattr(decoding, "_upright", lambda frame: None if next(calls) == 3 else drawn(frame))
    frames = list(Video(make_video(tmp_path / "a.mp4", _pictures(5))))  # the first call is for the size
    assert [frame.broken for frame in frames] == [False, False, True, False, False]


# Folders and animated pictures.


def test_a_folder_takes_pictures_of_any_format_and_name(tmp_path: Path) -> None:
    for k, (ending, format) in enumerate((("jfif", "JPEG"), ("avif", "AVIF"), ("jp2", "JPEG2000"), ("png", "PNG"))):
        Image.fromarray(picture(k)).save(tmp_path / f"{k}.{ending}", format)
    (tmp_path / "4.png").write_bytes(bytes(300))  # its place in time is kept
    (tmp_path / "5.txt").write_text("no picture")
    (tmp_path / "._3.png").write_bytes(b"\0\5\x16\7")
    frames = list(Video(tmp_path))
    assert _numbers(frames) == [0, 1, 2, 3, 3]
    assert frames[4].broken


def test_a_folder_that_cannot_be_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", denied)
    with pytest.raises(VideoError, match="expected pictures in this folder, Permission denied"):
        Video(tmp_path)


@pytest.mark.parametrize("ending", ["gif", "png"])
def test_animated_pictures_have_their_own_times(tmp_path: Path, ending: str) -> None:
    frames = [Image.fromarray(picture(6 * k)) for k in range(4)]
    lasting = [100, 40, 300, 40]
    path = tmp_path / f"a.{ending}"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=lasting)
    video = Video(path)
    seen = list(video)
    assert _numbers(seen) == [0, 6, 12, 18]
    assert [frame.time_s for frame in seen] == pytest.approx([0, 0.1, 0.14, 0.44])
    assert _numbers(list(video)) == [0, 6, 12, 18]
    assert (video.size, video.live) == (SIZE, False)
    assert _numbers(list(Video(path, start_s=0.05, end_s=0.4))) == [6, 12]


# Addresses.


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of a server of the folder's files."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(tmp_path))) as web:
        thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{web.server_port}"
        web.shutdown()
        thread.join()


def test_a_video_is_read_from_an_address(tmp_path: Path, server: str) -> None:
    make_video(tmp_path / "a b.mp4", _pictures(8), sound="aac")
    video = Video(f"{server}/a%20b.mp4?key=1")
    assert (video.path, video.name, video.live, video.count) == (None, "a b.mp4", False, 8)
    for _ in range(2):
        assert _numbers(list(video)) == list(range(8))
    with Film(tmp_path / "film.mp4", video.size, video.fps, video) as film:
        for frame in video:
            film.write(frame.pixels, frame.time_s)
    with av.open(str(tmp_path / "film.mp4")) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]


def test_an_address_cannot_name_files_of_this_machine(tmp_path: Path, server: str) -> None:
    make_video(tmp_path / "a.ts", _pictures(12))

    def playlist(names: str) -> Video:
        head = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n"
        (tmp_path / "list.m3u8").write_text(f"{head}{names}\n#EXT-X-ENDLIST\n")
        return Video(f"{server}/list.m3u8")

    assert _numbers(list(playlist("a.ts"))) == list(range(12))
    for secret in (f"file://{tmp_path}/a.ts", f"file:{tmp_path}/a.ts", f"{tmp_path}/a.ts"):
        with pytest.raises(VideoError):
            playlist(secret)


def test_a_stream_without_an_end_is_live(tmp_path: Path, server: str) -> None:
    make_video(tmp_path / "a.h264", _pictures(8))
    video = Video(f"{server}/a.h264")
    assert (video.live, video.count, video.duration_s) == (True, None, None)
    assert len(list(video)) == 8


def test_a_broken_network_becomes_one_sentence(server: str) -> None:
    for address, sentence in {
        f"{server}/missing.mp4": "cannot be opened .*is the address right, and the network up",
        "rtsp://somebody:secret@127.0.0.1:1/a": r"video rtsp://127\.0\.0\.1:1/a: .*cannot be opened",
    }.items():
        with pytest.raises(VideoError, match=sentence) as caught:
            Video(address)
        assert "secret" not in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_server_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("humesh.media.decoding._PATIENCE_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(VideoError, match=r"no answer in 0\.2 s"):
        Video(f"http://127.0.0.1:{silent.getsockname()[1]}/a.mp4")


def test_what_is_an_address() -> None:
    assert all(map(is_url, ("http://a/b.mp4", "HTTPS://a", "rtsp://a:554/b", "rtmp://a", "srt://a:1")))
    assert not any(map(is_url, ("a.mp4", "http:/a", "/http://a", "C:\\a.mp4", "file:///a.mp4", "concat:a")))
