"""The base of every error that humesh raises on purpose."""

from __future__ import annotations

_LONGEST = 2_000  # characters of a sentence: names in foreign files can have millions


class HumeshError(Exception):
    """Something that the caller can mend; its sentence says what was expected, what was found and what to do."""

    def __str__(self) -> str:
        return printable(super().__str__())


class ArgumentError(HumeshError, TypeError):
    """Something of another type than a function takes; the sentence says what it takes."""


class MissingPackageError(HumeshError, ImportError):
    """A package that an extra of humesh installs is not there; the sentence says which extra."""


class BatchError(HumeshError, ValueError):
    """Inputs or an output of a batch that cannot be used."""


class RunError(BatchError):
    """What ends a run, as no input is to blame: results that cannot be written, networks that cannot be loaded."""


def printable(text: str) -> str:
    """The text without characters that would steer a terminal (escape sequences, bells, lone surrogates)."""
    cut = text if len(text) <= _LONGEST else text[:_LONGEST] + " ..."
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in cut)
