"""The page in a real browser: Debian's Chromium opens what `humesh app` serves."""

from __future__ import annotations

import base64
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pygltflib
import pytest
from PIL import Image
from skimage.data import camera

from humesh.commands.app import previewing
from humesh.media.film import Film
from humesh.web import server

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
THREE = Path(server.__file__).parent / "three" / "build"
pytestmark = [
    pytest.mark.xdist_group("page"),  # one server and one browser for all
    pytest.mark.skipif(
        CHROMIUM is None or not THREE.is_dir(),
        reason="needs Chromium, and three.js, which is fetched when a wheel is built",
    ),
]
_WAIT_MS = 180_000
_DONE, _FAILED = "body[data-ready]", "#status.error"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where a running `humesh app` is."""
    command = "from humesh.commands.main import main; main()"
    arguments = ["app", "--no-browser", "--port", "8765", "--max-mb", "40"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    process = subprocess.Popen(
        [sys.executable, "-c", command, *arguments], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    found = re.search(r"http://\S+", process.stdout.readline())
    assert found is not None
    yield found[0]
    process.terminate()
    process.wait(30)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    flags = ["--no-sandbox", "--use-gl=swiftshader", "--enable-unsafe-swiftshader"]
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Any, address: str) -> Iterator[Any]:
    """A new user's page, in which no script fails."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page, faults = context.new_page(), list[str]()
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(address)
    yield page
    context.close()
    assert not faults


def _pixels(page: Any) -> np.ndarray:
    shot = page.locator("#canvas").screenshot()
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).astype(int)


def _blue(pixels: np.ndarray) -> float:
    """The share of pixels in the first person's colour; the photo itself is grey."""
    return float((pixels[..., 2] - pixels[..., 0] > 25).mean())


def _wait_for_result(page: Any) -> None:
    page.wait_for_selector(f"{_DONE}, {_FAILED}", timeout=_WAIT_MS)
    assert page.locator(_DONE).count() == 1, page.inner_text("#message")


def test_a_photo_becomes_a_body_to_look_at_and_to_download(page: Any, tmp_path: Path) -> None:
    Image.fromarray(camera()).save(tmp_path / "man.png")
    page.set_input_files("#file", tmp_path / "man.png")
    _wait_for_result(page)
    page.wait_for_timeout(500)
    before = _pixels(page)
    assert 0.01 < _blue(before) < 0.3
    page.uncheck("#picture")
    page.wait_for_timeout(300)
    assert abs(_blue(_pixels(page)) - _blue(before)) < 0.02  # the body stays, the picture goes
    box = page.locator("#canvas").bounding_box()
    page.mouse.move(box["x"] + 300, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 150, box["y"] + 200, steps=5)
    page.mouse.up()
    page.wait_for_timeout(500)
    assert np.abs(_pixels(page) - before).mean() > 1
    page.click("#home")
    page.wait_for_timeout(500)
    turned = _pixels(page)
    page.focus("#canvas")
    for _ in range(6):
        page.keyboard.press("ArrowLeft")
    page.wait_for_timeout(500)
    assert np.abs(_pixels(page) - turned).mean() > 1  # without a mouse, too
    with page.expect_download() as loading:
        page.click("text=man.glb")
    loading.value.save_as(tmp_path / "man.glb")
    assert len(pygltflib.GLTF2().load(str(tmp_path / "man.glb")).skins) == 1
    assert "person0" in page.inner_text("#numbers")
    assert not page.locator("#play").is_visible()


def test_a_video_plays_and_somebody_is_followed(page: Any, tmp_path: Path) -> None:
    pixels = np.repeat(camera()[..., None], 3, axis=-1)
    with Film(tmp_path / "clip.mp4", (512, 512), 8.0) as film:
        for frame in range(8):
            film.write(np.roll(pixels, 6 * frame, axis=1), frame / 8)
    page.set_input_files("#file", tmp_path / "clip.mp4")
    _wait_for_result(page)
    page.wait_for_timeout(500)
    assert _blue(_pixels(page)) > 0.01
    page.select_option("#follow", index=1)
    page.click("#play")  # pause
    page.locator("#time").fill("0.5")
    page.wait_for_timeout(300)
    assert page.inner_text("#play") == "Play"
    with page.expect_download() as loading:
        page.click("text=.bvh")
    loading.value.save_as(tmp_path / "clip.bvh")
    assert "Frames: 8" in (tmp_path / "clip.bvh").read_text()
    assert page.locator("#overlay video").count() == 1


def test_a_text_called_jpg_gets_its_sentence_while_another_user_works(
    page: Any, browser: Any, address: str, tmp_path: Path
) -> None:
    (tmp_path / "big.jpg").write_bytes(base64.b64encode(np.random.default_rng(0).bytes(22_000_000)))  # 30 MB
    Image.fromarray(camera()).save(tmp_path / "man.png")
    context = browser.new_context()
    other = context.new_page()
    other.goto(address)
    other.set_input_files("#file", tmp_path / "man.png")
    page.set_input_files("#file", tmp_path / "big.jpg")
    page.wait_for_selector(_FAILED, timeout=_WAIT_MS)
    assert re.match(r"photo big\.jpg: expected an image \(JPEG", page.inner_text("#message"))
    other.wait_for_selector(_DONE, timeout=_WAIT_MS)
    context.close()


def test_a_file_cancelled_while_it_is_sent_stays_away(page: Any, tmp_path: Path) -> None:
    Image.fromarray(camera()).save(tmp_path / "man.png")
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 20_000}  # bytes a second
    network.send("Network.emulateNetworkConditions", slow)
    page.set_input_files("#file", tmp_path / "man.png")
    page.wait_for_selector("#cancel")
    page.wait_for_timeout(500)
    page.click("#cancel")
    network.send("Network.emulateNetworkConditions", slow | {"uploadThroughput": -1})
    page.set_input_files("#file", tmp_path / "man.png")
    _wait_for_result(page)
    assert page.locator("#result").is_visible()
    page.click("#again")
    assert page.locator("#drop").is_visible()


def test_too_large_a_file_is_refused_in_a_sentence(page: Any, tmp_path: Path) -> None:
    (tmp_path / "huge.mp4").write_bytes(bytes(41_000_000))
    page.set_input_files("#file", tmp_path / "huge.mp4")
    page.wait_for_selector(_FAILED, timeout=_WAIT_MS)
    assert "at most 40 MB" in page.inner_text("#message")


def test_a_recording_is_seen_as_it_is_made(browser: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The newest picture, not the one before it, which is what browsers show when no boundary follows."""
    with previewing() as show:
        found = re.search(r"preview: (http://\S+)", capsys.readouterr().err)
        assert found is not None
        context = browser.new_context(viewport={"width": 800, "height": 600})
        page, faults = context.new_page(), list[str]()
        page.on("console", lambda message: faults.append(message.text))
        show(np.full((48, 64, 3), (200, 0, 0), np.uint8))
        page.goto(found[1], wait_until="commit")
        for wanted in ((200, 0, 0), (0, 0, 200)):
            show(np.full((48, 64, 3), wanted, np.uint8))
            for _ in range(200):
                shot = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB")).astype(int)
                if np.abs(shot[300, 400] - wanted).max() < 20:
                    break
                page.wait_for_timeout(20)
            else:
                raise AssertionError(f"expected {wanted} in the middle of the page, got {shot[300, 400]}")
        assert "token" not in page.url
        context.close()
        assert not faults
