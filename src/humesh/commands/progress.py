"""Progress bars: what is done, how much of it, how fast, and the time left."""

from __future__ import annotations

from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from humesh.commands.errors import shown


class Pace(ProgressColumn):
    """How fast a task is done; `each`: how much of the unit a step is."""

    def __init__(self, unit: str, each: int = 1) -> None:
        super().__init__()
        self.unit, self.each = unit, each

    def render(self, task: Task) -> Text:
        """The text of the column, empty before the first step."""
        return Text("" if task.speed is None else f"{self.each * task.speed:.1f} {self.unit}/s")


def progress_bar(*more: ProgressColumn, **options: Any) -> Progress:
    """Rich's `Progress` with its options, and with more columns before the time left."""
    description = TextColumn("{task.description}", markup=False)  # names of files hold brackets
    return Progress(description, BarColumn(), MofNCompleteColumn(), *more, TimeRemainingColumn(), **options)


def say_above(bar: Progress, text: str) -> None:
    """Lines above a progress bar, whose long paths stay in one piece."""
    text = shown(text, bar.console.encoding)
    bar.console.print(text, highlight=False, markup=False, emoji=False, soft_wrap=True)
