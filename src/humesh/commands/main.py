"""`humesh VERB`: reads the command line and calls the verb; errors of the user end in one sentence and exit code 2."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import tyro

from humesh.commands.convert import convert
from humesh.commands.data import data
from humesh.commands.demo import demo
from humesh.commands.errors import UserError, say_error
from humesh.commands.evaluate import evaluate
from humesh.commands.export_model import export_model
from humesh.commands.info import info
from humesh.commands.predict import predict
from humesh.commands.synth import synth
from humesh.commands.train import train
from humesh.commands.view import view

VERBS: dict[str, Callable[..., int]] = {
    "predict": predict,
    "demo": demo,
    "convert": convert,
    "data": data,
    "export-model": export_model,
    "evaluate": evaluate,
    "info": info,
    "synth": synth,
    "train": train,
    "view": view,
}


def main() -> None:
    """The entry point of the command `humesh`."""
    try:
        code = tyro.extras.subcommand_cli_from_dict(
            VERBS,
            prog="humesh",
            description="Photos and videos of people into posed body meshes.",
        )
    except UserError as error:
        say_error(str(error))
        code = 2
    except KeyboardInterrupt:
        say_error("stopped; what was finished is kept, and the same command goes on from there.")
        code = 130
    except BrokenPipeError:  # `humesh ... | head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code)
