"""What the documents tell users to type is understood."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from humesh.methods import METHODS
from humesh.training.prepare import overridden
from humesh.training.recipes import RECIPES

DOCS = Path(__file__).parents[1] / "docs"
SECTIONS = re.findall(r"^### (.*?)\n(.*?)(?=^###|\Z)", (DOCS / "methods.md").read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(("title", "text"), SECTIONS, ids=[title.split(",")[0] for title, _ in SECTIONS])
def test_every_row_of_the_papers_tables_is_a_command(title: str, text: str) -> None:
    """Recipes are known, each row's options change the recipe as they say, and the method can be built so."""
    recipes = re.findall(r"humesh train (\S+)", text)
    rows = re.findall(r"^\| (.*?) \| (.*) \|$", text, re.MULTILINE)[2:]
    assert recipes
    assert len(rows) >= 5
    for row, cell in rows:
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
