"""The README stays short and true to what the program can do."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import camera

import humesh
from humesh.commands.main import VERBS
from humesh.media.film import Film
from humesh.methods import METHODS
from humesh.scene.export import PHOTO_FORMATS

README = Path(__file__).parents[1] / "README.md"
TEXT = README.read_text()


def test_it_is_short_and_complete() -> None:
    assert len(TEXT.splitlines()) < 200
    assert 'pip install ".[demo]" && humesh demo' in TEXT
    assert "%" not in re.sub(r"\d ?%|per cent|% of", "", TEXT), "a placeholder was left"
    for name in (*METHODS, *(f for f in PHOTO_FORMATS if f != "json")):
        assert f"`{name}`" in TEXT or f"{name}`" in TEXT, name


def test_what_it_links_to_is_there() -> None:
    links = re.findall(r"\]\(([^)]+)\)", TEXT)
    assert links
    for link in links:
        assert (README.parent / link).exists(), link
    for tool in set(re.findall(r"(?:tools|benchmarks)/\w+\.py", TEXT)):
        assert (README.parent / tool).is_file(), tool


def test_its_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(camera()).save("photo.jpg")
    with Film("clip.mp4", (512, 512), 25.0) as film:
        for frame in range(12):
            film.write(np.asarray(Image.fromarray(camera()).convert("RGB")), frame / 25)
    (block,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(block, "README.md", "exec"), names)
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"photo.glb", "clip_person1.bvh"}
    assert isinstance(names["result"], humesh.Result)
    assert capsys.readouterr().out.startswith("tensor([")


def test_its_commands_are_commands() -> None:
    lines = [line for block in re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]
    called = [shlex.split(part, comments=True) for line in lines for part in line.split("&&")]
    verbs = {words[1] for words in called if words[:1] == ["humesh"]}
    assert {verb for verb in verbs if "." not in verb} <= set(VERBS)  # a file's name stands for predict
    assert verbs & set(VERBS)


def test_the_version_is_the_installed_one() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+|0\+source", humesh.__version__)
