"""The one look of progress bars: what is done, how much of it, and the time left."""

from __future__ import annotations

from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn


def progress_bar(*more: ProgressColumn, **options: Any) -> Progress:
    """Rich's `Progress` with its options, and with more columns before the time left."""
    what = TextColumn("{task.description}", markup=False)  # names of files hold brackets
    return Progress(what, BarColumn(), MofNCompleteColumn(), *more, TimeRemainingColumn(), **options)
