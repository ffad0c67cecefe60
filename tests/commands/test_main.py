"""The command line before a verb is chosen."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from humesh.commands.main import VERBS, verb


@pytest.mark.parametrize("name", VERBS)
def test_help_says_of_each_verb_what_its_function_says(name: str) -> None:
    first = (inspect.getdoc(verb(name)) or "").split("\n\n")[0]
    assert VERBS[name] == " ".join(first.split())


@pytest.mark.parametrize(
    "code",
    [
        "import humesh, humesh.commands.main",
        "import sys; sys.argv = ['humesh', '--help']\n"
        "try:\n    from humesh.commands.main import main; main()\nexcept SystemExit: pass",
    ],
)
def test_torch_is_imported_only_when_it_is_needed(code: str) -> None:
    heavy = f"{code}\nimport sys; sys.stderr.write(' '.join({{'torch', 'onnxruntime', 'av'}} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_public_names_are_there_whatever_was_imported_before() -> None:
    code = "import humesh.recover_video, humesh; print(humesh.recover.__module__, humesh.recover_video.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["humesh.recover", "recover_video"]
