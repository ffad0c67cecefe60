"""Makes docs/pictures/app.png: `humesh app` in a real browser with scikit-image's photo `camera` (CC0).

Run: python tools/make_app_picture.py [-o FILE]. Needs playwright, Chromium and the extra [app].
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright
from skimage.data import camera

FLAGS = ["--no-sandbox", "--use-gl=swiftshader", "--enable-unsafe-swiftshader"]  # a machine without a screen or GPU
SIZE = {"width": 960, "height": 700}
COLOURS = 64


def shoot(address: str, path: Path) -> None:
    """Gives the page the photo, turns the body a little and keeps what is seen."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        photo, shot = Path(folder) / "camera.png", Path(folder) / "shot.png"
        Image.fromarray(camera()).save(photo)
        page = driver.chromium.launch(executable_path=chromium, args=FLAGS).new_page(viewport=SIZE)
        page.goto(address)
        page.set_input_files("#file", photo)
        page.wait_for_selector("body[data-ready]", timeout=180_000)
        page.focus("#canvas")
        for _ in range(4):
            page.keyboard.press("ArrowRight")
        page.evaluate("document.activeElement.blur()")
        page.wait_for_timeout(800)
        page.screenshot(path=shot)
        Image.open(shot).convert("RGB").quantize(COLOURS).save(path, optimize=True)


def main() -> None:
    """Starts the page, takes its picture and ends it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--out", type=Path, default=Path("docs/pictures/app.png"))
    path = parser.parse_args().out
    command = [sys.executable, "-c", "from humesh.commands.main import main; main()", "app", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found is not None
        try:
            shoot(found[0], path)
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
