"""The web page of a video's people: what it shows frame by frame, and in a real browser."""

from __future__ import annotations

import io
import shutil
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial.transform import Rotation

from humesh.body.joints import SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.commands.view import view
from humesh.errors import HumeshError
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_from_axis_angle
from humesh.scene.result import Motion, VideoResult
from humesh.scene.viewer import Guard

SIZE, COUNT, FPS = (64, 48), 12, 10


def motion(track: int, frames: list[int], x: float) -> Motion:
    """Somebody upright who turns the head, if only that, and walks to the right at 1 m/s."""
    time = torch.tensor(frames) / FPS
    vectors = torch.zeros(len(frames), 24, 3)
    vectors[:, SMPL24.index("pelvis"), 0] = torch.pi  # the body's y up in the camera's frame
    vectors[:, 1:, 1] = 0.1 * time[:, None]
    places = torch.stack([x + time, 0 * time, 4 + 0 * time], dim=-1)
    pose = BodyPose(rotation_from_axis_angle(vectors), torch.zeros(len(frames), 10), places)
    return Motion(track, np.array(frames), pose, np.array([k != 4 for k in frames]), 0.8)


@pytest.fixture(scope="module")
def recovery() -> VideoResult:
    motions = [motion(1, list(range(9)), -0.5), motion(4, [3, 4, 7, 8], 0.5)]
    facts = Camera.guess(SIZE), "guessed", motions, BodyModel.load("open-low"), "made-up"
    return VideoResult(np.arange(COUNT) / FPS, SIZE, *facts)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video whose frame k is grey 20 k."""
    path = tmp_path_factory.mktemp("film") / "clip.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for k in range(COUNT):
            picture = np.full((SIZE[1], SIZE[0], 3), 20 * k, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())
    return path


@pytest.fixture
def viewer(recovery: VideoResult, film: Path) -> Iterator[object]:
    pytest.importorskip("viser")
    from humesh.scene.viewer import Viewer

    opened = Viewer(recovery, film, port=18080)
    yield opened
    opened.close()


def test_frames_show_who_is_there(viewer, recovery: VideoResult) -> None:
    for frame in (0, 3, 5, 8, 9, 2):
        viewer.frame.value = frame
        viewer.step(0.0)
        assert viewer.shown == frame
        for person, (mesh, label) in zip(recovery.tracks, viewer.people, strict=True):
            assert mesh.visible == label.visible == (frame in person.frames)
        assert f"{frame / FPS:.2f} s" in viewer.caption.content
        assert np.abs(viewer.picture.image.astype(int) - 20 * frame).max() < 8
    assert "People: 1" in viewer.caption.content


def test_bones_are_where_the_body_is(viewer, recovery: VideoResult) -> None:
    """The browser skins by the bones: moved by them from rest, the surface is the body model's."""
    viewer.show(4)
    assert "4 (not found, interpolated)" in viewer.caption.content
    person, body, (mesh, _) = recovery.tracks[1], recovery.body, viewer.people[1]
    rest = body.rest_joints(person.pose.shape[0]).numpy()
    turns = Rotation.from_quat([np.roll(bone.wxyz, -1) for bone in mesh.bones]).as_matrix()
    places = np.stack([bone.position for bone in mesh.bones])
    moved = np.einsum("jab,vjb->vja", turns, mesh.vertices[:, None] - rest) + places
    skinned = (moved * body.weights.numpy().T[..., None]).sum(1)
    np.testing.assert_allclose(skinned, body(person.pose).vertices[1], atol=1e-5)


def test_playing_goes_by_the_clock_and_round(viewer) -> None:
    viewer.playing.value = True
    viewer.step(0.25)
    assert viewer.shown == 2
    viewer.speed.value = 2.0
    viewer.step(0.3)
    assert viewer.shown == 8
    viewer.frame.value = 1  # somebody moves the slider while it plays
    viewer.step(0.0)
    assert viewer.shown == 1
    viewer.step(0.7)
    assert viewer.shown == 0
    assert viewer.frame.value == 0


PORT = 18090


class Headers(list[tuple[str, str]]):
    """Headers of a request, as websockets has them."""

    def __contains__(self, name: object) -> bool:
        return bool(self.get_all(str(name)))

    def get_all(self, name: str) -> list[str]:
        return [value for key, value in self if key.lower() == name.lower()]


HERE, WITH_TOKEN = f"127.0.0.1:{PORT}", "/?a=b&token=TOKEN"
COOKIE = ("Cookie", f"a=b; humesh-view-{PORT}=TOKEN")
ASKS = {
    "the printed address": (True, WITH_TOKEN, [("Host", HERE)]),
    "localhost": (True, WITH_TOKEN, [("Host", f"localhost:{PORT}")]),
    "the page's own files": (True, "/assets/index.js", [("host", HERE), COOKIE, ("Origin", f"http://{HERE}")]),
    "the page's websocket": (
        True,
        "/",
        [("Host", HERE), ("Upgrade", "websocket"), ("Origin", f"http://{HERE}"), COOKIE],
    ),
    "no token": (False, "/", [("Host", HERE)]),
    "another token": (False, "/?token=TOKEM", [("Host", HERE)]),
    "a token of another alphabet": (False, "/?token=%C3%A4", [("Host", HERE)]),
    "another cookie": (False, "/", [("Host", HERE), ("Cookie", f"humesh-view-{PORT + 1}=TOKEN; humesh-view-{PORT}=")]),
    "a foreign origin": (False, WITH_TOKEN, [("Host", HERE), ("Origin", "http://evil.example"), COOKIE]),
    "no origin of its own": (False, WITH_TOKEN, [("Host", HERE), ("Origin", "null"), COOKIE]),
    "another server here": (False, WITH_TOKEN, [("Host", HERE), ("Origin", "http://127.0.0.1:9"), COOKIE]),
    "two origins": (False, WITH_TOKEN, [("Host", HERE), *[("Origin", f"http://{HERE}")] * 2, COOKIE]),
    "DNS rebinding": (False, WITH_TOKEN, [("Host", f"evil.example:{PORT}"), COOKIE]),
    "the same with its origin": (
        False,
        "/",
        [("Host", f"e.com:{PORT}"), ("Origin", f"http://e.com:{PORT}"), COOKIE, ("Upgrade", "websocket")],
    ),
    "another port": (False, WITH_TOKEN, [("Host", "127.0.0.1:80"), COOKIE]),
    "no port": (False, WITH_TOKEN, [("Host", "127.0.0.1"), COOKIE]),
    "a port that is none": (False, WITH_TOKEN, [("Host", "127.0.0.1:99999999"), COOKIE]),
    "a name within a name": (False, WITH_TOKEN, [("Host", f"evil.example/@{HERE}"), COOKIE]),
    "a user of a host": (False, WITH_TOKEN, [("Host", f"me@{HERE}"), COOKIE]),
    "no host": (False, WITH_TOKEN, [COOKIE]),
    "two hosts": (False, WITH_TOKEN, [("Host", HERE), ("Host", HERE), COOKIE]),
    "a websocket without origin": (False, "/", [("Host", HERE), ("Upgrade", "websocket"), COOKIE]),
    "a websocket without cookie": (
        False,
        WITH_TOKEN,
        [("Host", HERE), ("Upgrade", "websocket"), ("Origin", f"http://{HERE}")],
    ),
}


@pytest.mark.parametrize("name", ASKS)
def test_only_the_printed_address_is_answered(name: str) -> None:
    guard = Guard("127.0.0.1")
    expected, path, headers = ASKS[name]
    told = Headers((key, value.replace("TOKEN", guard.token)) for key, value in headers)
    assert guard.lets_in(told, path.replace("TOKEN", guard.token), PORT) == expected


def test_from_other_computers_numbers_and_its_own_name_are_answered() -> None:
    for host, names in (("0.0.0.0", ("192.168.0.7", "[fe80::1]", socket.gethostname())), ("my.lan", ("my.lan",))):
        guard = Guard(host)
        for name, expected in (*((name, True) for name in names), ("evil.example", False), ("1.2.3.4.evil", False)):
            asked = Headers([("Host", f"{name}:{PORT}")])
            assert guard.lets_in(asked, f"/?token={guard.token}", PORT) == expected
            assert not guard.lets_in(asked, "/", PORT)
    here_alone = Guard("127.0.0.1")
    asked = Headers([("Host", f"192.168.0.7:{PORT}")])
    assert not here_alone.lets_in(asked, f"/?token={here_alone.token}", PORT)


def test_the_server_refuses_foreign_pages(viewer) -> None:
    """Asked as a browser asks: for the page, and for the websocket that brings the scene."""
    at, token = f"127.0.0.1:{viewer.port}", viewer.url.rpartition("=")[2]
    opening = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
    opening += "AAAAAAAAAAAAAAAAAAAAAA==\r\n"

    def answer(path: str, host: str, *more: str) -> bytes:
        with socket.create_connection(("127.0.0.1", viewer.port), timeout=30) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{''.join(more)}\r\n".encode())
            head = b""
            while b"\r\n\r\n" not in head and (got := connection.recv(4096)):
                head += got
            return head.split(b"\r\n\r\n")[0]

    page = answer(f"/?token={token}", at)
    assert page.startswith(b"HTTP/1.1 200")
    cookie = f"Cookie: {page.split(b'Set-Cookie: ')[1].split(b';')[0].decode()}\r\n"
    assert b"HttpOnly; SameSite=Strict" in page
    own, foreign = f"Origin: http://{at}\r\n", "Origin: http://evil.example\r\n"
    assert answer("/", at, own, cookie, opening).startswith(b"HTTP/1.1 101")
    for refused in (
        answer("/", at),
        answer("/", at, own, opening),
        answer("/", at, foreign, cookie, opening),
        answer("/", f"evil.example:{viewer.port}", f"Origin: http://evil.example:{viewer.port}\r\n", cookie, opening),
        answer(f"/?token={token}", f"evil.example:{viewer.port}"),
    ):
        assert refused.startswith(b"HTTP/1.1 403")
        assert token.encode() not in refused


def test_a_result_does_not_choose_which_file_is_opened(
    tmp_path: Path, recovery: VideoResult, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = []

    class Shown:
        url = ""

        def __init__(self, recovery: VideoResult, video: Path | None, *_: object) -> None:
            shown.append(video)

        def run(self) -> None:
            pass

    monkeypatch.setattr("humesh.scene.viewer.Viewer", Shown)
    [path] = replace(recovery, path=str(film)).save(tmp_path / "clip", ["npz"])
    view(path)
    beside = Path(shutil.copy(film, tmp_path))
    view(path)
    view(path, video=film)
    assert shown == [None, beside, film]


def test_view_tells_what_is_wrong(tmp_path: Path, recovery: VideoResult) -> None:
    with pytest.raises(HumeshError, match=r"none.npz: expected an .npz of humesh"):
        view(tmp_path / "none.npz")
    pytest.importorskip("viser")
    [path] = recovery.save(tmp_path / "clip", ["npz"])
    (tmp_path / "text.mp4").write_text("text")
    for options, sentence in (
        ({"video": tmp_path / "text.mp4"}, r"text.mp4"),
        ({"host": "192.0.2.1"}, r"host '192.0.2.1': expected an address of this computer"),
        ({"port": -1}, r"--port: expected a number from 1 to 65,000, got -1"),
    ):
        with pytest.raises(HumeshError, match=sentence):
            view(path, **options)


@pytest.mark.slow
def test_a_browser_shows_the_people(viewer) -> None:
    """In headless Chromium: the blue person is there, walks, is followed, and is gone when it has left."""
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs Chromium")
    flags = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
    threading.Thread(target=viewer.run, daemon=True).start()

    def blue() -> float:
        """The mean column of the pixels in the first colour of the palette, or -1 without any."""
        page.wait_for_timeout(2500)
        pixels = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB")).astype(int)[:, :700]
        found = np.argwhere((pixels[..., 2] - pixels[..., 0] > 45) & (pixels.sum(-1) > 250))
        return float(found[:, 1].mean()) if len(found) > 300 else -1.0

    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=flags)
        page = browser.new_page(viewport={"width": 1000, "height": 600})
        page.goto(viewer.url)
        page.get_by_text("People: 1").wait_for(timeout=30000)
        at_first = blue()
        assert at_first > 0
        viewer.frame.value = 8
        later = blue()
        assert later > at_first + 20, "walks to the right"
        viewer.follow.value, viewer.frame.value = "person 1", 0
        assert blue() == pytest.approx(later, abs=10), "the camera goes along"
        viewer.frame.value = 10
        assert blue() == -1, "has left"
        browser.close()
