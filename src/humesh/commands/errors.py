"""What the command line prints: lines that any console can show, and the one sentence that names what is wrong."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from humesh.errors import HumeshError, printable

DEBUG = ("-v", "--verbose", "--debug")
"""The options with which the traceback of an error is printed, too."""


class UserError(HumeshError):
    """Something only the user can mend, in one sentence; the command ends with exit code 2."""


def say(text: str) -> None:
    """Lines on standard output."""
    _print(text, sys.stdout)


def say_error(sentence: str) -> None:
    """A line on standard error."""
    _print(f"humesh: {sentence}", sys.stderr)


def is_of_user(error: BaseException) -> bool:
    """Whether the user can mend an error: what humesh raises on purpose, and the system's of a file."""
    return isinstance(error, HumeshError) or (isinstance(error, OSError) and bool(error.filename and error.strerror))


def explained(error: Exception) -> str:
    """An error in one sentence: its own, the system's with its file, or that it is a bug of humesh.

    With --debug its traceback is printed first.
    """
    is_debug = not set(sys.argv).isdisjoint(DEBUG)
    if is_debug:
        _print("".join(traceback.format_exception(error)), sys.stderr)
    if isinstance(error, HumeshError):
        return str(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{error.filename or 'the results'}: cannot be written ({error.strerror}); make room."
    if isinstance(error, OSError) and is_of_user(error):
        return f"{error.filename}: {error.strerror}; check the path, or give another."
    how = "report it with the traceback above" if is_debug else "run it again with --debug, and report what that shows,"
    return f"this is a bug in humesh ({type(error).__name__}: {error}); {how} at the project's issue tracker."


def shown(text: str, encoding: str | None) -> str:
    """The text with escapes for what would steer a terminal or has no place in the console's encoding."""
    lines = "\n".join(map(printable, text.split("\n")))
    return lines.encode(encoding or "utf-8", "backslashreplace").decode(encoding or "utf-8")


def _print(text: str, stream: Any) -> None:
    if stream is not None:  # as in a program without a console
        print(shown(text, stream.encoding), file=stream, flush=True)


def within(option: str, value: float | int | None, least: float | int, most: float | int) -> None:
    """UserError for a number that is not from `least` to `most`, NaN too; None: the option was not given."""
    if value is not None and not least <= value <= most:
        raise UserError(f"{option}: expected a number from {_number(least)} to {_number(most)}, got {_number(value)}.")


def nameable(option: str, path: Path | None) -> None:
    """UserError, before the work is done, for a file's name that most file systems cannot have."""
    if path is not None and len(os.fsencode(path.name)) > 255:
        raise UserError(f"{option} {path.name[:40]}...: expected a name of at most 255 bytes, this one is longer.")


def _number(value: float | int) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"
