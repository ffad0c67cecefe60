"""`humesh VERB`: reads the command line and calls the verb; errors of the user end in one sentence and exit code 2."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from importlib import import_module

import tyro

from humesh.commands.errors import named, say_error
from humesh.errors import HumeshError

VERBS = {
    "predict": "Recover the bodies of everyone in photos and videos.",
    "demo": "Recover the body in scikit-image's photo `camera` (CC0) and say where the pictures are.",
    "convert": "Convert a checkpoint that a method's authors released; nothing in it is executed.",
    "data": "Look whether a dataset that you downloaded is whole, and draw 16 of its samples with their labels.",
    "export-model": "Write a method's network as ONNX, for a fixed number of groups and crops.",
    "evaluate": "Score a method by a benchmark's protocol; "
    "`humesh evaluate explain 3dpw` prints what the number means.",
    "info": "Say version, device, bodies, and the methods with their weights' licences.",
    "synth": "Render synthetic people: photos, or videos with --clips. A run that was stopped goes on where it was.",
    "train": "Train a method after a recipe; the same command goes on after it was stopped or killed.",
    "view": "Show a video's people in 3D in the browser: scrub, play, orbit, follow somebody; Ctrl-C ends it.",
}
"""Each verb and the first sentence of its function, which is imported, and torch with it, only when it is called."""


def verb(name: str) -> Callable[..., int]:
    """The function of a verb."""
    python_name = name.replace("-", "_")
    function: Callable[..., int] = getattr(import_module(f"humesh.commands.{python_name}"), python_name)
    return function


def _named(name: str, sentence: str) -> Callable[..., int]:
    """What stands for a verb that is not called."""

    def stands() -> int:
        return verb(name)()

    stands.__doc__ = sentence
    return stands


def main() -> None:
    """The entry point of the command `humesh`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that the console lacks must not end a run
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # else ONNX Runtime keeps an identifier of the machine in $HOME
    try:
        code = tyro.extras.subcommand_cli_from_dict(
            {name: verb(name) if name in sys.argv[1:2] else _named(name, about) for name, about in VERBS.items()},
            prog="humesh",
            description="Photos and videos of people into posed body meshes.",
        )
    except HumeshError as error:
        say_error(str(error))
        code = 2
    except KeyboardInterrupt:
        say_error("stopped; what was finished is kept, and the same command goes on from there.")
        code = 130
    except BrokenPipeError:  # `humesh ... | head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:  # a fault of ours: its type in a line, all of it with HUMESH_TRACEBACK=1
        say_error(named(error))
        code = 1
    sys.exit(code)
