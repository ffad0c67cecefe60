"""`humesh VERB`: reads the command line and calls the verb; errors of the user end in one sentence and exit code 2."""

from __future__ import annotations

import difflib
import io
import os
import re
import sys
from collections.abc import Callable
from importlib import import_module

import tyro

from humesh.commands.errors import DEBUG, UserError, explained, is_of_user, say_error

VERBS = {
    "predict": "Recover the bodies of everyone in photos and videos.",
    "app": "Open a page in the browser: drop a photo or a video on it, see the bodies in 3D; Ctrl-C ends it.",
    "batch": "Recover the people of many photos and videos on Ray: a Parquet row a person; a stopped run goes on.",
    "demo": "Recover the body in scikit-image's photo `camera` (CC0) and say where the pictures are.",
    "convert": "Convert a checkpoint that a method's authors released; nothing in it is executed.",
    "data": "Check that a dataset that you downloaded is complete, and draw 16 of its samples with their labels.",
    "export-model": "Write a method's network as ONNX, for a fixed number of groups and crops.",
    "evaluate": "Score a method by a benchmark's protocol; "
    "`humesh evaluate --explain 3dpw` prints what the number means.",
    "info": "Say version, device, bodies, and the methods with their weights' licences.",
    "synth": "Render photos of synthetic people. A run that was stopped goes on where it was.",
    "train": "Train a method after a recipe; the same command goes on after it was stopped or killed.",
    "view": "Show a result's people in 3D in the browser: play, orbit, follow somebody; Ctrl-C ends it.",
}
"""Each verb and the first sentence of its function, which is imported, and torch with it, only when it is called."""

_MODULES = {  # where it is not the module of their name
    "convert": "weights", "export-model": "weights", "info": "weights",
    "demo": "predict", "synth": "data", "view": "app",
}  # fmt: skip

_HELP = """Photos and videos of people into posed body meshes.

Examples:
  humesh photo.jpg                      the same as: humesh predict photo.jpg
  humesh shots/ clip.mp4 -o out         folders, "patterns*", addresses, or 0 for the webcam
  humesh photo.jpg --formats glb bvh    files for Blender; --body SMPL_NEUTRAL.pkl for your own body
  humesh view out/clip.npz              walk around the people of a video
  humesh train debug -o run             train a method after a recipe

-v, --verbose or --debug, anywhere: show the traceback of an error."""


def verb(name: str) -> Callable[..., int]:
    """The function of a verb."""
    module = import_module(f"humesh.commands.{_MODULES.get(name, name)}")
    function: Callable[..., int] = getattr(module, name.replace("-", "_"))
    return function


def _named(name: str, sentence: str) -> Callable[..., int]:
    """What stands for a verb that is not called."""

    def stand_in() -> int:
        return verb(name)()

    stand_in.__doc__ = sentence
    return stand_in


def with_verb(words: list[str]) -> list[str]:
    """The words behind `predict` where they begin with an input or an option of its; UserError for no such verb."""
    first = words[0] if words else "--help"
    if first in VERBS or first in ("-h", "--help"):
        return words
    if first.startswith("-") or os.path.exists(first) or re.search(r"[./\\*?\[]|^\d+$", first):
        return ["predict", *words]
    near = difflib.get_close_matches(first, VERBS, 1)
    hint = f"did you mean `humesh {near[0]}`?" if near else f"the verbs are {', '.join(VERBS)}."
    raise UserError(f"{first}: expected a verb, or a photo, video, folder, pattern, address or webcam's number; {hint}")


def main() -> None:
    """The entry point of the command `humesh`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that the console lacks must not end a run
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # else ONNX Runtime keeps an identifier of the machine in $HOME
    try:
        words = with_verb([word for word in sys.argv[1:] if word not in DEBUG])
        code = tyro.extras.subcommand_cli_from_dict(
            {name: verb(name) if name in words[:1] else _named(name, about) for name, about in VERBS.items()},
            prog="humesh",
            description=_HELP,
            args=words,
        )
    except KeyboardInterrupt:
        say_error("stopped; what was finished is kept, and the same command goes on from there.")
        code = 130
    except BrokenPipeError:  # `humesh ... | head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:
        say_error(explained(error))
        code = 2 if is_of_user(error) else 1
    sys.exit(code)
