"""Videos are read with their true times from whole and from damaged files, and films give back what was written."""

import sys
import tracemalloc
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from humesh.media import decoding
from humesh.media.decoding import turned
from humesh.media.film import Film
from humesh.media.video import Frame, Video, VideoError, _Clock, letterboxed

from .videos import SIZE, SOUND_RATE, break_packets, cut_short, make_video, number_of, picture, turn_display


def _pictures(count: int, size: tuple[int, int] = SIZE) -> list[np.ndarray]:
    return [picture(k, size) for k in range(count)]


def _times(frames: list[Frame]) -> list[float]:
    return [frame.time_s for frame in frames]


def _numbers(frames: list[Frame]) -> list[int]:
    return [number_of(frame.pixels) for frame in frames]


# Reading: times.


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_times_of_a_variable_frame_rate_are_kept(tmp_path: Path, ending: str) -> None:
    times = [0.0, 0.04, 0.05, 0.3, 0.31, 0.7, 1.5]
    video = Video(make_video(tmp_path / f"a.{ending}", _pictures(7), times))
    frames = list(video)
    assert _times(frames) == pytest.approx(times, abs=1e-9)
    assert _numbers(frames) == [frame.number for frame in frames] == list(range(7))
    assert video.notes == []
    assert video.size == SIZE


@pytest.mark.parametrize("ending", ["mp4", "mkv", "avi", "ts"])
def test_every_container_begins_at_zero_and_reads_twice_the_same(tmp_path: Path, ending: str) -> None:
    video = Video(make_video(tmp_path / f"a.{ending}", _pictures(12)))
    first, second = list(video), list(video)
    assert _times(first) == pytest.approx([k / 25 for k in range(12)], abs=1e-6)
    assert _times(first) == _times(second)
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(first, second, strict=True))
    assert video.fps == 25
    assert video.count == 12
    assert video.duration_s == pytest.approx(12 / 25, abs=1e-3)


def test_120_frames_a_second(tmp_path: Path) -> None:
    video = Video(make_video(tmp_path / "a.mp4", _pictures(30), fps=120))
    assert video.fps == 120
    assert _times(list(video)) == pytest.approx([k / 120 for k in range(30)], abs=1e-9)


def test_start_end_and_stride(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", _pictures(38))
    video = Video(path, start_s=0.2, end_s=0.8, stride=4)  # frames 5, 9, 13, 17 of 0..19
    frames = list(video)
    assert _numbers(frames) == [5, 9, 13, 17]
    assert [frame.number for frame in frames] == [0, 1, 2, 3]
    assert _times(frames) == pytest.approx([0.2, 0.36, 0.52, 0.68], abs=1e-9)
    assert (video.count, video.fps) == (4, 6.25)
    assert video.duration_s == pytest.approx(0.6)
    assert _numbers(list(Video(path, start_s=1.2))) == list(range(30, 38))  # by seeking


def test_a_start_after_the_end_is_reported(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", _pictures(5))
    with pytest.raises(VideoError, match=r"expected a start before its end, 0\.200 s, got 3"):
        Video(path, start_s=3)
    for start, end, stride in [(-1, None, 1), (2, 1, 1), (0, None, 0)]:
        with pytest.raises(VideoError, match="expected 0 <= start < end and a stride"):
            Video(path, start, end, stride)


def test_times_that_the_file_does_not_tell_are_made(tmp_path: Path) -> None:
    video = Video(make_video(tmp_path / "a.h264", _pictures(10)))
    frames = list(video)
    assert _numbers(frames) == list(range(10))
    assert np.all(np.diff(_times(frames)) > 0)
    assert _times(frames) == pytest.approx([k / video.fps for k in range(10)])


def test_a_file_of_two_recordings_goes_on_where_the_clock_jumps_back(tmp_path: Path) -> None:
    one = make_video(tmp_path / "one.ts", _pictures(10)).read_bytes()
    two = make_video(tmp_path / "two.ts", _pictures(8, (32, 48))).read_bytes()
    (tmp_path / "both.ts").write_bytes(one + two)
    video = Video(tmp_path / "both.ts")
    frames = list(video)
    assert len(frames) == 18
    assert np.all(np.diff(_times(frames)) > 0)
    assert _times(frames)[-1] < 1
    assert {frame.pixels.shape for frame in frames} == {(48, 64, 3)}
    assert any("Pictures of another size, fitted into 64 x 48 with black: 8." in note for note in video.notes)


@given(st.lists(st.none() | st.floats(0, 100, width=32), min_size=1))
def test_the_clock_never_stands_still(stamps: list[float | None]) -> None:
    clock = _Clock(0.04)
    assert np.all(np.diff([clock(stamp) for stamp in stamps]) > 0)


def test_the_clock_keeps_true_stamps_around_a_doubled_one() -> None:
    clock = _Clock(0.04)
    assert [clock(s) for s in (0.0, 0.04, 0.04, 0.08, None, 0.2)] == pytest.approx([0, 0.04, 0.06, 0.08, 0.12, 0.2])
    assert clock.made == 2


# Reading: pixels.


@pytest.mark.parametrize("matrix", [(0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0), (-1, 0, 0, 1), (0, 1, 1, 0)])
def test_display_matrices_turn_the_picture(tmp_path: Path, matrix: tuple[int, int, int, int]) -> None:
    width, height = SIZE
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2] = (250, 20, 20)
    pixels[: height // 2, width // 2 :] = (20, 20, 250)
    video = Video(turn_display(make_video(tmp_path / "a.mp4", [pixels] * 3), *matrix))
    a, b, c, d = matrix
    assert video.size == ((width, height) if a else (height, width))
    shown = next(iter(video)).pixels
    for x, y in [(8, 8), (width - 8, 8), (8, height - 8), (width - 8, height - 8)]:
        # ISO/IEC 14496-12: x' = a x + c y, y' = b x + d y; a negative place counts from the other side.
        place = (b * x + d * y, a * x + c * y)
        assert np.abs(shown[place].astype(int) - pixels[y, x].astype(int)).max() < 30, (x, y)


def test_turned_rounds_to_right_angles() -> None:
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    cos, sin = np.cos(np.radians(88)), np.sin(np.radians(88))
    assert np.array_equal(turned(pixels, np.array([[cos, sin], [-sin, cos]])), np.rot90(pixels, -1))


def test_odd_sizes(tmp_path: Path) -> None:
    video = Video(make_video(tmp_path / "a.mkv", _pictures(3, (63, 47)), codec="ffv1", pix_fmt="yuv444p"))
    assert video.size == (63, 47)
    assert _numbers(list(video)) == [0, 1, 2]


@pytest.mark.parametrize(("codec", "curve", "kind"), [("libx265", 16, "10-bit HDR (PQ)"), ("ffv1", 2, "10-bit")])
def test_ten_bits_and_hdr_become_eight_bits(tmp_path: Path, codec: str, curve: int, kind: str) -> None:
    colours = {"color_trc": curve} | ({"color_primaries": 9, "colorspace": 9} if curve == 16 else {})
    options = {"x265-params": "log-level=none:pools=1"} if codec == "libx265" else {}
    path = tmp_path / "a.mkv"
    make_video(path, _pictures(4), codec=codec, pix_fmt="yuv420p10le", colours=colours, options=options)
    video = Video(path)
    frames = list(video)
    assert frames[0].pixels.dtype == np.uint8
    assert _numbers(frames) == [0, 1, 2, 3]
    assert video.notes == [f"The video is {kind}; its colours became 8-bit RGB and were not tone-mapped."]


def test_pixels_that_are_not_square_are_reported(tmp_path: Path) -> None:
    aspect = {"sample_aspect_ratio": Fraction(4, 3)}
    video = Video(make_video(tmp_path / "a.mkv", _pictures(2), colours=aspect))
    assert video.size == SIZE
    assert video.notes == ["Its pixels are not square (4:3); they were used as stored."]


# Reading: damaged files.


@pytest.mark.parametrize("ending", ["mp4", "mkv", "avi"])
def test_a_truncated_file_is_read_up_to_the_break(tmp_path: Path, ending: str) -> None:
    noise = np.random.default_rng(0).integers(0, 60, (48, 64, 3), dtype=np.uint8)
    pictures = [np.roll(noise, 5 * k, 1) + picture(k) // 2 for k in range(30)]
    video = Video(cut_short(make_video(tmp_path / f"a.{ending}", pictures), 0.6))
    frames = list(video)
    assert 5 < len(frames) < 25
    assert _times(frames) == pytest.approx([k / 25 for k in range(len(frames))], abs=1e-6)
    assert "cut short (it should last 1.200 s" in video.notes[-1]
    with pytest.raises(VideoError, match=r"found none that can be read; choose others\. .*The video is cut short"):
        list(Video(tmp_path / f"a.{ending}", start_s=1.1))


@pytest.mark.parametrize("broken", [[8], [3, 4, 13], [0], [14]])
def test_broken_packets_are_left_out(tmp_path: Path, broken: list[int]) -> None:
    path = make_video(tmp_path / "a.mp4", _pictures(15), gop=5, options={"bf": "0"})
    lost = break_packets(path, broken)
    video = Video(path)
    frames = list(video)
    kept = [round(25 * frame.time_s) for frame in frames]  # what remains has its true time
    assert _times(frames) == pytest.approx([k / 25 for k in kept], abs=1e-9)
    assert [number for number in _numbers(frames) if number < broken[0]] == list(range(broken[0]))
    assert broken == [14] or "Packets that could not be decoded, their frames are left out: " in video.notes[0]
    assert [frame.number for frame in frames] == list(range(len(frames)))
    if broken == [0]:  # nothing is good before the next key frame
        assert _numbers(frames) == list(range(5, 15))
    else:
        assert not {round(25 * seconds) for seconds in lost} & set(kept)
    if broken == [8]:
        assert kept == [0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14]


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_broken_packets_of_avi_are_left_out_in_its_order_of_decoding(tmp_path: Path, codec: str) -> None:
    noise = np.random.default_rng(0).integers(0, 60, (48, 64, 3), dtype=np.uint8)
    pictures = [np.roll(noise, 5 * k, 1) + picture(k) // 2 for k in range(24)]
    path = make_video(tmp_path / "a.avi", pictures, codec=codec, options={"bf": "2"})
    break_packets(path, [9, 16])
    frames = list(Video(path))
    kept = [round(25 * frame.time_s) for frame in frames]
    assert _times(frames) == pytest.approx([k / 25 for k in kept], abs=1e-9)
    assert 16 <= len(kept) <= 22


def test_what_is_no_video_is_reported(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("Once upon a time. " * 50)
    (tmp_path / "folder").mkdir()
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        track = container.add_stream("aac", rate=SOUND_RATE, layout="mono")
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        silence.sample_rate = SOUND_RATE
        container.mux(track.encode(silence))
        container.mux(track.encode())
    make_video(tmp_path / "none.avi", [])
    make_video(tmp_path / "none.mp4", [])
    make_video(tmp_path / "none.mkv", [])
    cut_short(make_video(tmp_path / "index.mov", _pictures(5)), 0.5)  # its index was to follow at the end
    for name, sentence in {
        "nowhere.mp4": "found nothing there",
        "empty.mp4": "the file is empty; fetch it anew",
        "text.mp4": "expected a video that FFmpeg reads, it is none, damaged or cut short",
        "folder": r"expected pictures \(JPEG, PNG, \.\.\.\) in this folder, found none",
        "sound.mp4": "expected pictures, the file holds audio; give a video",
        "none.avi": "expected pictures, none can be decoded; export it anew",
        "none.mp4": "expected pictures, the file holds nothing",
        "none.mkv": "expected a video that FFmpeg reads, it is none, damaged or cut short",
        "index.mov": "expected a video that FFmpeg reads",
    }.items():
        with pytest.raises(VideoError, match=sentence):
            Video(tmp_path / name)


# Other sources.


def test_a_folder_of_pictures(tmp_path: Path) -> None:
    for k in (0, 2, 10, 1):
        Image.fromarray(picture(k)).save(tmp_path / f"frame{k}.png")
    (tmp_path / "frame3.png").write_bytes((tmp_path / "frame2.png").read_bytes()[:60])
    Image.fromarray(picture(4, (96, 36))).save(tmp_path / "frame4.png")
    (tmp_path / "notes.txt").write_text("no picture")
    video = Video(tmp_path)
    frames = list(video)
    assert _numbers(frames) == [0, 1, 2, 2, 4, 10]
    assert [frame.broken for frame in frames] == [False, False, False, True, False, False]
    assert _times(frames) == pytest.approx([k / 25 for k in range(6)])
    assert (video.size, video.fps, video.count, video.name) == (SIZE, 25, 6, tmp_path.name)
    assert "25 pictures a second were assumed" in video.notes[0]
    assert video.notes[1:] == [
        "Broken frames, replaced by the last good one or left out at the start: 1.",
        "Pictures of another size, fitted into 64 x 48 with black: 1.",
    ]
    assert _numbers(list(Video(tmp_path, start_s=0.04, stride=2))) == [1, 1, 10]  # 3, which is broken, becomes 1


def test_letterboxed_keeps_the_shape() -> None:
    fitted = letterboxed(np.full((10, 40, 3), 200, np.uint8), (20, 20))
    assert fitted.shape == (20, 20, 3)
    assert np.argwhere(fitted[:, 10, 0] > 100).ravel().tolist() == [7, 8, 9, 10, 11] or fitted[8:12].min() > 100
    assert fitted[:6].max() == fitted[14:].max() == 0


def test_a_webcam_that_is_not_there() -> None:
    with pytest.raises(VideoError, match="webcam 97: cannot be opened"):
        Video(97)


def test_a_webcam(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(decoding._WEBCAMS, sys.platform, ("lavfi", "testsrc=size=64x48:rate=25", {}))
    video = Video(0, end_s=0.4, stride=2)
    frames = list(video)
    assert _times(frames) == pytest.approx([0, 0.08, 0.16, 0.24, 0.32])
    assert (video.size, video.count, video.duration_s, video.name, video.path) == (SIZE, None, None, "webcam0", None)


def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    size = (320, 240)
    video = Video(
        make_video(tmp_path / "a.mp4", (picture(k % 39, size) for k in range(90)), options={"preset": "fast"})
    )
    with Film(tmp_path / "film.mp4", size, 25, video) as film:
        tracemalloc.start()
        for frame in video:
            film.write(frame.pixels, frame.time_s)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 6 * 320 * 240 * 3


# Films.


def _streams(path: Path) -> dict[str, tuple[float, float]]:
    """(start, duration) in seconds of the streams of a film."""
    with av.open(str(path)) as container:
        return {s.type: (float(s.start_time * s.time_base), float(s.duration * s.time_base)) for s in container.streams}


def _sound(path: Path) -> tuple[list[bytes], np.ndarray, float, str]:
    """Packets, samples, seconds of the first sample and codec of the sound."""
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(container.streams.audio[0]) if packet.size]
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        frames = list(container.decode(stream))
        samples = np.concatenate([frame.to_ndarray()[0] for frame in frames])
        return packets, samples, float(frames[0].pts * frames[0].time_base), stream.codec_context.name


def _copy(video: Video, path: Path) -> Film:
    with Film(path, video.size, video.fps, video) as film:
        for frame in video:
            film.write(frame.pixels, frame.time_s)
    return film


def test_a_film_has_the_frames_and_times_written(tmp_path: Path) -> None:
    times = [0.0, 0.04, 0.05, 0.3, 0.31, 0.7, 1.5]
    with Film(tmp_path / "film.mp4", SIZE, 10) as film:
        for k, seconds in enumerate(times):
            film.write(picture(k), 5 + seconds)
    video = Video(tmp_path / "film.mp4")
    frames = list(video)
    assert _numbers(frames) == list(range(7))
    assert _times(frames) == pytest.approx(times, abs=1e-9)
    assert _streams(tmp_path / "film.mp4")["video"] == pytest.approx((0, 1.6), abs=1e-4)
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]
    with av.open(str(tmp_path / "film.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
    content = (tmp_path / "film.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")  # players begin before they have all


@pytest.mark.parametrize("fps", [120, Fraction(30000, 1001), 25])
def test_a_film_lasts_as_long_as_its_source(tmp_path: Path, fps: Fraction | int) -> None:
    source = Video(make_video(tmp_path / "a.mp4", _pictures(20), fps=float(fps)))
    _copy(source, tmp_path / "film.mp4")
    frames = list(Video(tmp_path / "film.mp4"))
    assert _times(frames) == pytest.approx(_times(list(source)), abs=1e-5)
    assert _streams(tmp_path / "film.mp4")["video"][1] == pytest.approx(20 / fps, abs=1e-4)


def test_the_colours_of_a_film(tmp_path: Path) -> None:
    pixels = np.empty((48, 64, 3), np.uint8)
    pixels[:, :32], pixels[:, 32:] = (200, 60, 40), (30, 90, 220)
    with Film(tmp_path / "film.mp4", SIZE, 25) as film:
        film.write(pixels, 0)
    shown = next(iter(Video(tmp_path / "film.mp4"))).pixels.astype(int)
    assert np.abs(shown - pixels)[:, [8, 56]].max() < 8


def test_odd_sizes_of_a_film_repeat_the_edge(tmp_path: Path) -> None:
    with Film(tmp_path / "film.mp4", (63, 47), 25) as film:
        film.write(picture(20, (63, 47)), 0)
    pixels = next(iter(Video(tmp_path / "film.mp4"))).pixels
    assert pixels.shape == (48, 64, 3)
    assert np.ptp(pixels.astype(int)) < 6


def test_sound_that_mp4_holds_is_copied(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mkv", _pictures(25), sound="aac")
    film = _copy(Video(path), tmp_path / "film.mp4")
    copied, source = _sound(tmp_path / "film.mp4")[0], _sound(path)[0]
    assert len(copied) >= len(source) - 2
    assert copied == source[: len(copied)]
    assert film.notes == []
    streams = _streams(tmp_path / "film.mp4")
    assert streams["video"][1] == pytest.approx(1, abs=1e-4)
    assert streams["audio"][1] == pytest.approx(1, abs=0.04)


@pytest.mark.parametrize(("ending", "codec"), [("mkv", "aac"), ("avi", "pcm_s16le"), ("ts", "aac"), ("mkv", "ac3")])
@pytest.mark.parametrize("start", [0.0, 0.28])
def test_sound_stays_with_its_pictures(tmp_path: Path, ending: str, codec: str, start: float) -> None:
    path = make_video(tmp_path / f"a.{ending}", _pictures(30), sound=codec, tone_from=0.6)
    source = Video(path, start_s=start, end_s=1.0, stride=3)
    film = _copy(source, tmp_path / "film.mp4")
    frames = list(Video(tmp_path / "film.mp4"))
    assert _numbers(frames) == list(range(round(start * 25), 25, 3))
    assert _times(frames) == pytest.approx([0.12 * k for k in range(len(frames))], abs=1e-5)
    _, samples, begins, name = _sound(tmp_path / "film.mp4")
    assert name == (codec if codec != "pcm_s16le" else "aac")
    assert any("encoded as AAC" in note for note in film.notes) == (codec == "pcm_s16le")
    loud = begins + np.argmax(np.abs(samples) > 0.2) / SOUND_RATE
    assert loud == pytest.approx(0.6 - start, abs=0.025)  # a frame of AAC is 0.021 s
    assert begins + len(samples) / SOUND_RATE == pytest.approx(1.0 - start, abs=0.06)


def test_a_film_appears_only_when_whole(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(b"an older one")
    with pytest.raises(KeyboardInterrupt), Film(tmp_path / "film.mp4", SIZE, 25) as film:  # noqa: PT012
        film.write(picture(0), 0)
        film.write(picture(1), 0.04)
        raise KeyboardInterrupt
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"an older one"]
    with pytest.raises(VideoError, match="expected pictures, none was written"), Film(tmp_path / "b.mp4", SIZE, 25):
        pass
    assert len(list(tmp_path.iterdir())) == 1


def test_what_cannot_be_written_is_reported(tmp_path: Path) -> None:
    for path, sentence in {
        tmp_path: "a folder is there",
        tmp_path / "nowhere" / "film.mp4": "its folder does not exist",
        Path("/proc/film.mp4"): "cannot be written",
    }.items():
        if path.parent == Path("/proc") and sys.platform != "linux":
            continue
        with pytest.raises(VideoError, match=sentence), Film(path, SIZE, 25):
            pass
    with pytest.raises(VideoError, match="expected pictures of 64 x 48, got 32 x 48"):  # noqa: SIM117
        with Film(tmp_path / "film.mp4", SIZE, 25) as film:
            film.write(picture(0, (32, 48)), 0)
    sentence = r"expected a time after 1\.000000 s, got 1\.000000 s"
    with pytest.raises(VideoError, match=sentence), Film(tmp_path / "film.mp4", SIZE, 25) as film:  # noqa: PT012
        film.write(picture(0), 1)
        film.write(picture(1), 1)
    assert list(tmp_path.iterdir()) == []
