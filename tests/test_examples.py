"""The scripts and the notebook of examples/ run as they stand."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pygltflib
import pytest
from PIL import Image
from skimage.data import camera

from humesh.media.film import Film

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = ("photo_to_glb.py", "video_to_bvh.py", "knee_angles.py")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _run(script: str, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    runpy.run_path(str(EXAMPLES / script), run_name="__main__")


@pytest.fixture
def clip(folder: Path) -> str:
    """Six frames of a man who moves through the picture."""
    pixels = np.repeat(camera()[..., None], 3, axis=-1)
    with Film(folder / "clip.mp4", (512, 512), 6.0) as film:
        for frame in range(6):
            film.write(np.roll(pixels, 4 * frame, axis=1), frame / 6)
    return "clip.mp4"


def test_every_example_is_run_here() -> None:
    assert {path.name for path in EXAMPLES.iterdir()} == {*SCRIPTS, "notebook.ipynb"}


def test_photo_to_glb(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(camera()).save("man.png")
    _run("photo_to_glb.py", monkeypatch, "man.png")
    assert "person 1:" in capsys.readouterr().out
    assert len(pygltflib.GLTF2().load(str(folder / "man.glb")).skins) == 1


def test_video_to_bvh(clip: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _run("video_to_bvh.py", monkeypatch, clip)
    (file,) = folder.glob("clip*.bvh")
    assert "Frames: 6" in file.read_text()


def test_knee_angles(clip: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    _run("knee_angles.py", monkeypatch, clip)
    lines = capsys.readouterr().out.splitlines()
    header, *rows = lines[[line.startswith("person,") for line in lines].index(True) :]
    assert header.split(",")[2:] == ["left_knee_degrees", "right_knee_degrees"]
    angles = np.array([[float(cell) for cell in row.split(",")[2:]] for row in rows])
    assert len(angles) == 6
    assert ((angles >= 0) & (angles < 150)).all()


def test_the_notebook(folder: Path) -> None:
    """Cell by cell; what a cell ends with can be shown."""
    cells = json.loads((EXAMPLES / "notebook.ipynb").read_text())["cells"]
    names: dict[str, object] = {}
    for number, cell in enumerate(c for c in cells if c["cell_type"] == "code"):
        *body, last = "".join(cell["source"]).rstrip().splitlines()
        exec(compile("\n".join(body), f"cell {number}", "exec"), names)
        try:
            shown = eval(compile(last, f"cell {number}", "eval"), names)
        except SyntaxError:
            exec(compile(last, f"cell {number}", "exec"), names)
            continue
        picture = getattr(shown, "_repr_png_", lambda: None)()
        assert picture is None or picture.startswith(b"\x89PNG")
    assert (folder / "camera.glb").is_file()
    assert float(eval("(again.bodies.vertices - result.bodies.vertices).abs().max()", names)) < 1e-5
