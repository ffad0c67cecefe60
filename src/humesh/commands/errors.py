"""The one way in which the command line tells a user what is wrong."""

from __future__ import annotations

import sys

from humesh.errors import HumeshError


class UserError(HumeshError):
    """Something only the user can mend, told in one sentence; the command ends with exit code 2."""


def say_error(sentence: str) -> None:
    """One line on standard error."""
    print(f"humesh: {sentence}", file=sys.stderr, flush=True)
