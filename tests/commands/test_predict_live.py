"""`humesh predict` on webcams and streams: what is filmed is kept, however it ends, and can be seen meanwhile."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from http.client import HTTPConnection
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from humesh.commands import main, predict_live
from humesh.commands.app import previewing
from humesh.commands.inputs import Input
from humesh.media.film import Film
from humesh.media.photo import Photo
from humesh.media.video import Video, VideoError
from humesh.people.video_people import VideoPeople
from humesh.recover import Recoverer
from humesh.scene.result import Result


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    """`humesh` with these words; its exit code."""
    monkeypatch.setattr(sys, "argv", ["humesh", *map(str, words)])
    with pytest.raises(SystemExit) as stopped:
        main.main()
    return int(stopped.value.code or 0)


def times_of(path: Path) -> list[float]:
    with av.open(str(path)) as film:
        return [float(frame.time) for frame in film.decode(video=0)]


@pytest.fixture
def webcam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Results of made-up frames come from webcam 0 at these times, or what is raised or called there."""
    script: list[Any] = []

    def results(video: Video, recoverer: Recoverer, **_: object) -> Iterator[Result]:
        for step in script:
            if isinstance(step, float):
                yield replace(recoverer(Photo.of(_grey(90)), []), time_s=step)
            elif isinstance(step, BaseException):
                raise step
            else:
                step()

    clip = tmp_path / "source.mp4"
    with Film(clip, (64, 48), 25.0) as film:
        film.write(_grey(90), 0.0)
    start = Video.__init__
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(predict_live, "recover_live", results)
    monkeypatch.setattr(Video, "__init__", lambda self, source: start(self, clip))  # no webcam is here
    return script


def test_recordings_have_their_true_times_and_never_replace_each_other(
    webcam: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, times = tmp_path / "out", [0.0, 0.3, 0.35, 1.2]
    webcam += [*times, KeyboardInterrupt()]
    for number in range(2):
        assert run(monkeypatch, "predict", "0", "-o", out, "--no-refine") == 0
        assert "webcam 0: 4 frames in 1.2 s" in capsys.readouterr().out
        films = sorted(out.glob("*_overlay.mp4"))
        assert len(films) == number + 1
    for film in films:
        assert times_of(film) == pytest.approx(times, abs=1e-3)
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM])
def test_nothing_is_lost_by_signals_at_any_time(
    asked: signal.Signals, webcam: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of a frame; then again, impatiently, while the film is brought to its end."""
    encode, out = Film._encode, tmp_path / "out"

    def interrupted(film: Film, until: int) -> None:
        if film._held is not None and film._held[1] > 0:
            os.kill(os.getpid(), asked)
        encode(film, until)
        if film._held is not None and film._held[1] > 0:
            os.kill(os.getpid(), asked)

    before = signal.getsignal(asked)
    monkeypatch.setattr(Film, "_encode", interrupted)
    webcam += [0.0, 0.1, 0.2, 0.3, 0.4]
    assert run(monkeypatch, "predict", "0", "-o", out, "--no-refine") == 0
    assert times_of(out / "0_overlay.mp4") == pytest.approx([0, 0.1, 0.2], abs=1e-3)
    assert json.loads((out / "0.json").read_text())["video"]["frames"] == 3
    assert signal.getsignal(asked) is before


def test_who_waits_for_a_frame_stops_at_once(
    webcam: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = threading.Event()
    webcam += [0.0, 0.1, lambda: os.kill(os.getpid(), signal.SIGTERM), silent.wait]
    assert run(monkeypatch, "predict", "0", "-o", tmp_path / "out", "--no-refine") == 0
    assert len(times_of(tmp_path / "out" / "0_overlay.mp4")) == 2


def test_without_a_frame_nothing_is_written(
    webcam: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for end, sentence in {
        KeyboardInterrupt(): "webcam 0: stopped before the first frame; nothing was written",
        VideoError("webcam 0: unplugged."): "webcam 0: unplugged.",
    }.items():
        webcam[:] = [end]
        assert run(monkeypatch, "predict", "0", "-o", tmp_path / "out", "--no-refine") == 2
        assert sentence in capsys.readouterr().err
        assert list((tmp_path / "out").iterdir()) == []


def test_a_connection_that_breaks_leaves_the_film_and_says_why(
    webcam: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    webcam += [0.0, 0.1, VideoError("webcam 0: unplugged.")]
    assert run(monkeypatch, "predict", "0", "-o", tmp_path / "out", "--no-refine") == 0
    assert "webcam 0: unplugged." in capsys.readouterr().out
    assert len(times_of(tmp_path / "out" / "0_overlay.mp4")) == 2


def test_a_stream_is_filmed_until_sigterm(
    live_stream: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    times: list[float] = []

    def search(self: VideoPeople, photo: Photo, time_s: float) -> list[Any]:
        times.append(time_s)
        if len(times) == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(0.15)
        return []

    monkeypatch.setattr(VideoPeople, "__call__", search)
    out = tmp_path / "out"
    assert run(monkeypatch, "predict", f"{live_stream.address}/live.ts", "-o", out, "--no-refine") == 0
    printed = capsys.readouterr().out
    assert "live.ts: 3 frames in" in printed
    assert re.search(r"\d+ frames were passed over", printed)
    assert times_of(out / "live_overlay.mp4") == pytest.approx([each - times[0] for each in times[:3]], abs=1e-3)


def _unplugged_after(frames: int, stream: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Lets every connection of a stream end after that many frames; the list grows with each connection."""
    sent, connections = stream.frames, list[int]()

    def some(fps: int) -> Iterator[Any]:
        connections.append(len(connections))
        yield from islice(sent(fps), frames)

    monkeypatch.setattr(stream, "frames", some)
    return connections


def _nobody(stop_at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is in the frames; SIGTERM with one of them."""
    count = iter(range(stop_at))

    def search(self: VideoPeople, photo: Photo, time_s: float) -> list[Any]:
        if next(count, None) is None:
            os.kill(os.getpid(), signal.SIGTERM)
        return []

    monkeypatch.setattr(VideoPeople, "__call__", search)


def test_a_stream_that_ends_is_opened_again_and_the_film_goes_on(
    live_stream: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(predict_live, "PAUSES_S", (0.05,) * 12)
    monkeypatch.setattr(predict_live, "_STEADY_S", 0.0)  # each connection counts as a good one
    _unplugged_after(8, live_stream, monkeypatch)
    _nobody(8, monkeypatch)
    out = tmp_path / "out"
    assert run(monkeypatch, "predict", f"{live_stream.address}/live.ts", "-o", out, "--no-refine") == 0
    printed = capsys.readouterr()
    sentence = r"/live\.ts: the stream ended; it is opened again in 0\.05 s \(\d+ of 12\)\."
    breaks = len(re.findall(sentence, printed.err))
    assert breaks > 0
    times = np.array(times_of(out / "live_overlay.mp4"))
    assert len(times) > 4
    assert (np.diff(times) > 0).all()
    assert (np.diff(times) > 0.05).sum() >= breaks  # the pauses are in the film, too


def test_a_stream_that_stays_away_ends_the_film_after_some_trials(
    live_stream: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(predict_live, "PAUSES_S", (0.01, 0.02, 0.03))
    connections = _unplugged_after(6, live_stream, monkeypatch)
    _nobody(1000, monkeypatch)
    out, opened = tmp_path / "out", predict_live._opened

    def unplugged(each: Any) -> Video:
        if connections:
            raise VideoError("the camera is gone.")
        return opened(each)

    monkeypatch.setattr(predict_live, "_opened", unplugged)
    assert run(monkeypatch, "predict", f"{live_stream.address}/live.ts", "-o", out, "--no-refine") == 0
    printed = capsys.readouterr()
    found = re.findall(r"(ended|gone); it is opened again in (\S+) s \((\d) of 3\)", printed.err)
    assert found == [("ended", "0.01", "1"), ("gone", "0.02", "2"), ("gone", "0.03", "3")]
    assert "the camera is gone." in printed.out
    assert len(times_of(out / "live_overlay.mp4")) == json.loads((out / "live.json").read_text())["video"]["frames"] > 0


def test_a_source_that_ran_for_long_is_opened_as_often_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True)
    class Step:
        time_s: float

    with Film(tmp_path / "clip.mp4", (64, 48), 25.0) as film:
        film.write(_grey(90), 0.0)
    connections, opened = iter([[0.0, 1.0], [0.0], [0.0, 100.0], [], []]), list[Video]()

    def plugged_in(each: Input) -> Video:
        opened.append(Video(tmp_path / "clip.mp4"))
        opened[-1].endless = True
        return opened[-1]

    monkeypatch.setattr(predict_live, "PAUSES_S", (0.0, 0.0))
    monkeypatch.setattr(predict_live, "_opened", plugged_in)
    monkeypatch.setattr(predict_live, "recover_live", lambda *_, **__: (Step(time_s) for time_s in next(connections)))
    webcam, nobody = Input("0", "live"), object.__new__(Recoverer)
    times = [result.time_s for result in predict_live._results(webcam, [plugged_in(webcam)], nobody, None)]
    assert len(opened) == 5
    assert len(times) == 5
    assert times == sorted(set(times))


def test_a_file_on_the_net_without_a_length_is_not_read_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """H.264 without a container has no length, but its server says how many bytes it has."""
    with av.open(str(tmp_path / "raw.h264"), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for value in (50, 90, 130):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(_grey(value), format="rgb24")))
        container.mux(stream.encode())
    _nobody(1000, monkeypatch)
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/raw.h264"
        code = run(monkeypatch, "predict", url, "-o", tmp_path / "out", "--no-refine")
        server.shutdown()
        thread.join()
    assert code == 0
    assert "opened again" not in capsys.readouterr().err


def test_a_preview_is_of_what_is_live(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (64, 48)).save(tmp_path / "a.png")
    assert run(monkeypatch, "predict", tmp_path / "a.png", "-o", tmp_path / "out", "--preview") == 2
    assert "--preview is for webcams and streams" in capsys.readouterr().err


def test_a_recording_can_be_seen_while_it_is_made(
    webcam: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("uvicorn")
    seen: list[np.ndarray] = []
    webcam += [0.0, 0.1, lambda: seen.append(next(_pictures(_address(capsys)))), 0.2]
    assert run(monkeypatch, "predict", "0", "-o", tmp_path / "out", "--no-refine", "--preview") == 0
    assert seen[0].shape == (48, 64, 3)
    assert abs(int(seen[0].mean()) - 90) <= 2
    assert len(times_of(tmp_path / "out" / "0_overlay.mp4")) == 3


# The page of the preview, by its address.


def _address(capsys: pytest.CaptureFixture[str]) -> str:
    found = re.search(r"preview: (http://\S+)", capsys.readouterr().err)
    assert found is not None
    return found[1]


def _pictures(url: str, host: str = "", origin: str = "") -> Iterator[np.ndarray]:
    """The pictures that a browser with this address gets; headers as a page of another site would send them."""
    address, _, token = url.partition("/?token=")
    connection = HTTPConnection(address.removeprefix("http://"), timeout=10)
    headers = {"Host": host or address.removeprefix("http://")} | ({"Origin": origin} if origin else {})
    port = address.rpartition(":")[2]
    connection.request("GET", "/live", headers=headers | {"Cookie": f"humesh-{port}={token}"})
    answer = connection.getresponse()
    if answer.status != 200:
        raise PermissionError(answer.status)
    assert answer.headers["Content-Type"] == "multipart/x-mixed-replace; boundary=humesh-picture"
    try:
        jpeg = b""
        while line := answer.readline():
            if line != b"--humesh-picture\r\n":
                jpeg += line
                continue
            if jpeg:
                yield np.asarray(Image.open(BytesIO(jpeg)))
            assert (answer.readline(), answer.readline()) == (b"Content-Type: image/jpeg\r\n", b"\r\n")
            jpeg = b""
    finally:
        connection.close()


def _grey(value: int, size: tuple[int, int] = (64, 48)) -> np.ndarray:
    return np.full((size[1], size[0], 3), value, np.uint8)


def test_each_browser_gets_the_newest_picture(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("uvicorn")
    with previewing() as show:
        show(_grey(10))
        url = _address(capsys)
        one = _pictures(url)
        assert next(one).mean() == 10
        for value in (20, 30, 200):
            show(_grey(value))
        assert abs(next(one).mean() - 200) < 2
        assert abs(next(_pictures(url)).mean() - 200) < 2
        show(_grey(50, (2560, 200)))
        assert next(one).shape == (100, 1280, 3)
    assert list(one) == []


def test_a_preview_is_for_those_who_know_its_address(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("uvicorn")
    with previewing() as show:
        show(_grey(10))
        url = _address(capsys)
        assert next(_pictures(url)).mean() == 10
        for refused in ({"host": "evil.example"}, {"origin": "http://evil.example"}):
            with pytest.raises(PermissionError, match="403"):
                next(_pictures(url, **refused))
        with pytest.raises(PermissionError, match="403"):
            next(_pictures(f"{url}x"))
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(f"{url.partition('?')[0]}live", timeout=10)
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        with opener.open(url, timeout=10) as page:
            assert 'src="live"' in page.read().decode()
            policy = page.headers["Content-Security-Policy"]
    assert "img-src 'self'" in policy
    assert "default-src 'none'" in policy
    assert "script" not in policy


def test_a_preview_ends_for_who_does_not_read(capsys: pytest.CaptureFixture[str]) -> None:
    """A browser that stands still holds up neither the pictures nor the end."""
    pytest.importorskip("uvicorn")
    before = threading.active_count()
    with previewing() as show:
        stalled = _pictures(_address(capsys))
        show(_grey(0))
        next(stalled)
        noise = np.random.default_rng(0).integers(0, 255, (1280, 1280, 3), dtype=np.uint8)
        for _ in range(20):
            show(noise)
    assert threading.active_count() <= before + 1
