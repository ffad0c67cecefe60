"""Other people's datasets, one file each, read in the form in which their owners give them away."""

from __future__ import annotations

from humesh.errors import HumeshError


class DatasetError(HumeshError, ValueError):
    """A download that cannot be read; the sentence says what was expected, what was found and what to do."""
