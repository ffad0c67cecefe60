"""What the documents tell users to type is understood."""

from __future__ import annotations

import re
import shlex
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import camera

from humesh.evaluation.options import Options
from humesh.evaluation.published import ABLATIONS
from humesh.media.film import Film
from humesh.methods import METHODS
from humesh.training.recipe import overridden
from humesh.training.recipes import RECIPES

EVALUATES = {field.name for field in fields(Options)}
DOCS = Path(__file__).parents[1] / "docs"
METHODS_PAGE = (DOCS / "methods.md").read_text()
ABLATION_PART = METHODS_PAGE.partition("## The papers' ablations")[2].partition("## Attention")[0]
SECTIONS = re.findall(r"^### (.*?)\n(.*?)(?=^###|\Z)", ABLATION_PART, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(("title", "text"), SECTIONS, ids=[title.split(",")[0] for title, _ in SECTIONS])
def test_every_row_of_the_papers_tables_is_a_command(title: str, text: str) -> None:
    """Recipes are known, each row's options change the recipe as they say, and the method can be built so."""
    recipes = re.findall(r"humesh train (\S+)", text)
    rows = re.findall(r"^\| \d.*? \| (.*?) \| (.*) \| .*? \|$", text, re.MULTILINE)
    assert recipes
    assert len(rows) >= 5
    for row, cell in rows:
        if cell.startswith("evaluate"):
            assert {flag.replace("-", "_") for flag in re.findall(r"--(\S+)", cell)} <= EVALUATES
            continue
        for options in re.findall(r"`(--[^`]+)`", cell) or [""]:
            words = shlex.split(options)
            pairs = list(zip(words[::2], words[1::2], strict=True))
            given = {flag: [word for other, word in pairs if other == flag] for flag, _ in pairs}
            assert set(given) <= {"--set", "--weights"}, row
            for recipe in recipes:
                plan = overridden(RECIPES[recipe], tuple(given.get("--set", ())), tuple(given.get("--weights", ())))
                config = METHODS[plan.method].network().config_type(**plan.config)
                for key, value in (pair.split("=") for pair in given.get("--set", ())):
                    got = getattr(config, key)
                    got = ",".join(got) if isinstance(got, tuple) else f"{got:g}" if isinstance(got, float) else got
                    assert str(got) == value, (row, key)
                for key, value in (pair.split("=") for pair in given.get("--weights", ())):
                    assert plan.weights[key] == float(value)


def test_every_printed_ablation_is_in_the_tables() -> None:
    """Row by row with its table and numbers, and no other rows."""
    lines = [[cell.strip() for cell in line.split("|")] for line in ABLATION_PART.splitlines() if line[:3] > "| 0"]
    rows = [cells[1:5] for cells in lines if cells[1][:1].isdigit()]
    for row in ABLATIONS:
        numbers = " / ".join(f"{value:.1f}" for value in row.values.values())
        table = re.search(r"table (\d)", row.source)
        assert table is not None
        label = row.system.partition(", ")[2]
        assert any(c[0][0] == table[1] and c[1] == label and c[3] == numbers for c in rows), row
    assert len(rows) == len(ABLATIONS)


def test_the_python_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    picture = Image.fromarray(camera()).convert("RGB").resize((256, 256))
    picture.save("photo.jpg")
    with Film("clip.mp4", (256, 256), 25.0) as film:
        for frame in range(3):
            film.write(np.asarray(picture), frame / 25)
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", (DOCS / "python.md").read_text(), re.DOTALL):
        exec(compile(block, "python.md", "exec"), names)
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"person.glb", "person.json"} <= written
    assert not [name for name in written if name.endswith(".glb.glb")]
    printed = capsys.readouterr().out
    assert "photo.jpg" in printed.splitlines()
    assert printed.splitlines()[-1].startswith("photo: expected a path")
