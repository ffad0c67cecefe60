"""`humesh predict` on videos: what is written, what is kept, what is printed."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from humesh.body.joints import MEDIAPIPE33
from humesh.commands import main
from humesh.media.film import Film
from humesh.media.photo import Photo
from humesh.media.video import Frame, Video
from humesh.people.finder import PeopleFinder
from humesh.people.person import Person, VideoDetections
from humesh.people.video_people import VideoPeople
from tests.media.videos import make_video, picture

FRAMES = 9


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """`humesh` with these words; its exit code."""
    monkeypatch.setattr(sys, "argv", ["humesh", *map(str, words)])
    with pytest.raises(SystemExit) as stopped:
        main.main()
    return int(stopped.value.code or 0)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Nine grey frames of odd size."""
    path = tmp_path / "clip.mp4"
    with Film(path, (97, 75), 25.0) as film:
        for frame in range(FRAMES):
            film.write(np.full((75, 97, 3), 90 + frame, np.uint8), frame / 25)
    return path


def frames_of(path: Path) -> int:
    with av.open(str(path)) as film:
        return sum(1 for _ in film.decode(video=0))


def test_a_video_of_nobody(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(monkeypatch, "predict", clip, "-o", out) == 0
    sentences = capsys.readouterr().out
    assert "nobody in 9 frames" in sentences
    assert frames_of(out / "clip_overlay.mp4") == FRAMES
    assert (out / "clip.glb").is_file()
    with np.load(out / "clip.npz") as data:
        assert data["tracks"].tolist() == []
        assert len(data["times_s"]) == FRAMES
    assert not [path for path in out.iterdir() if path.name.startswith(".")]
    assert run(monkeypatch, "predict", clip, "-o", out) == 0
    assert "finished and skipped" in capsys.readouterr().out


def test_what_became_of_the_sound_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(VideoPeople, "__call__", lambda *_: [])
    clip = make_video(tmp_path / "clip.avi", [picture(number) for number in range(3)], sound="pcm_s16le")
    assert run(monkeypatch, "predict", clip, "-o", tmp_path / "out", "--video.formats", "mp4") == 0
    assert "  The sound was pcm_s16le, which MP4 does not hold; it was encoded as AAC." in capsys.readouterr().out


def test_a_stopped_run_goes_on_where_it_was(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames_searched: list[float] = []

    def look(self: VideoPeople, photo: Photo, time_s: float) -> list[Person]:
        if time_s > 0.19 and len(frames_searched) == 5:
            frames_searched.append(-1)
            raise KeyboardInterrupt
        frames_searched.append(time_s)
        return []

    monkeypatch.setattr(VideoPeople, "__call__", look)
    out = tmp_path / "out"
    assert run(monkeypatch, "predict", clip, "-o", out, "--video.formats", "npz") == 130
    people = out / ".humesh-clip" / "clip.people.npz"
    with np.load(people) as kept:
        known = VideoDetections.load(people, str(kept["of"]))
    assert len(known.times) == 5
    assert not (out / "clip.npz").exists()
    assert run(monkeypatch, "predict", clip, "-o", out, "--video.formats", "npz") == 0
    assert len(frames_searched) == FRAMES + 1
    assert (out / "clip.npz").is_file()
    assert not (out / "clip_overlay.mp4").exists()


def test_given_tracks_are_of_the_frames_that_the_file_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also after a broken frame, which nobody is looked for in, and when the file was changed since the last run."""
    pictures = [np.full((48, 64, 3), 20 * i, np.uint8) for i in range(5)]

    def frames(self: Video) -> Iterator[Frame]:
        yield from (Frame(i, i / 25, picture, broken=i == 1) for i, picture in enumerate(pictures))

    def landmarks(self: PeopleFinder, photo: Photo, boxes: np.ndarray) -> list[Person]:
        return [Person(box, 1.0, np.ones((33, 3)), MEDIAPIPE33, np.ones((33, 3))) for box in boxes]

    monkeypatch.setattr(Video, "__iter__", frames)
    monkeypatch.setattr(PeopleFinder, "landmarks", landmarks)
    path, tracks, out = tmp_path / "clip.mp4", tmp_path / "clip.txt", tmp_path / "out"
    with Film(path, (64, 48), 25.0) as film:
        for number, picture in enumerate(pictures):
            film.write(picture, number / 25)
    words = (
        "predict",
        path,
        "-o",
        out,
        "--video.tracks",
        tracks,
        "--video.formats",
        "npz",
        "--overwrite",
        "--no-refine",
    )
    for first in (4, 7):
        tracks.write_text("".join(f"{frame},1,{first + frame},5,20,30,1\n" for frame in range(1, 6)))
        assert run(monkeypatch, *words) == 0
        with np.load(out / "clip.people.npz") as kept:
            assert kept["frame"].tolist() == [0, 2, 3, 4]
            assert (kept["box"][:, 0] - first - 1).tolist() == [0, 2, 3, 4]


def test_part_of_a_video(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    words = ("--video.start-s", 0.08, "--video.stride", 2, "--video.formats", "mp4", "--video.no-beside")
    assert run(monkeypatch, "predict", clip, "-o", out, *words) == 0
    assert frames_of(out / "clip_overlay.mp4") == 4  # frames 2, 4, 6, 8


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        (["--video.start-s", "99"], "expected a start before its end"),
        (["--video.stride", "0"], "--video.stride: expected a number from 1 to"),
        (["--video.tracks", "nowhere.txt"], "expected a text file in MOT format, found nothing"),
    ],
)
def test_wrong_wishes_are_named(
    clip: Path,
    tmp_path: Path,
    words: list[str],
    printed: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, "predict", clip, "-o", tmp_path / "out", *words) == 2
    error = capsys.readouterr().err
    assert printed in error
    assert "Traceback" not in error


def test_what_is_no_video_is_named_and_the_rest_is_done(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "empty.mov").write_bytes(b"")
    out = tmp_path / "out"
    words = (tmp_path / "text.mp4", tmp_path / "empty.mov", tmp_path / "none.avi", clip)
    assert run(monkeypatch, "predict", *words, "-o", out, "--video.formats", "npz") == 1
    error = capsys.readouterr().err
    assert "3 of 4 videos failed" in error
    assert "Traceback" not in error
    assert (out / "clip.npz").is_file()


def test_a_film_lies_beside_its_video_and_takes_the_place_of_no_other(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = clip.with_name("clip_overlay.mp4")
    mine.write_bytes(clip.read_bytes())
    assert run(monkeypatch, "predict", clip, "-o", clip.parent, "--video.formats", "mp4") == 0
    assert mine.read_bytes() == clip.read_bytes()
    assert frames_of(clip.with_name("clip_2_overlay.mp4")) == FRAMES


def test_a_folder_of_frames(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(3):
        Image.new("RGB", (60 + 4 * number, 50), "gray").save(folder / f"{number}.png")
    out = tmp_path / "out"
    assert run(monkeypatch, "predict", folder, "-o", out, "--video.folders") == 0
    assert frames_of(out / "frames_overlay.mp4") == 3


def test_a_video_from_the_web(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Served(SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(clip.parent))

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing is printed."""

    out = tmp_path / "out"
    with ThreadingHTTPServer(("127.0.0.1", 0), Served) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/clip.mp4"
        try:
            assert run(monkeypatch, "predict", address, "-o", out, "--video.formats", "mp4", "npz") == 0
        finally:
            server.shutdown()
    assert f"{address}: nobody in 9 frames" in capsys.readouterr().out
    assert frames_of(out / "clip_overlay.mp4") == FRAMES
    assert json.loads((out / "clip.json").read_text())["video"]["path"] == address
    assert run(monkeypatch, "predict", address, "-o", out, "--video.formats", "mp4", "npz") == 0
    assert "finished and skipped" in capsys.readouterr().out


def test_tracks_and_files_of_people_count_as_finished(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Formats of a file for each person, also where there is nobody; without them nothing could be skipped."""
    out, tracks = tmp_path / "out", tmp_path / "tracks.txt"
    tracks.write_text("")
    words = ("predict", clip, "-o", out, "--video.formats", "bvh", "amass", "--video.tracks", tracks)
    for text, changed in (("", False), ("", False), ("1,1,5,5,20,30,1\n", True), ("1,1,5,5,20,30,1\n", False)):
        tracks.write_text(text)
        capsys.readouterr()
        assert run(monkeypatch, *words) == 0
        printed = capsys.readouterr().out
        assert ("1 of 1 video is done again; changed since: tracks." in printed) == changed
    assert "1 of 1 video is finished and skipped" in printed
    assert sorted(path.name for path in out.iterdir()) == ["clip.json", "clip.people.npz"]
    (out / "clip.people.npz").unlink()  # whoever wants its room
    assert run(monkeypatch, *words) == 0
    assert "finished and skipped" in capsys.readouterr().out
