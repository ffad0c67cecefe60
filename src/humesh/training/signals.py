"""Ctrl-C and SIGTERM as a wish to stop at a good moment."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stopping(wish: Callable[[], None]) -> Iterator[None]:
    """Calls `wish` at the first Ctrl-C or SIGTERM; the second one is a KeyboardInterrupt."""
    wished = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal wished
        if wished:
            raise KeyboardInterrupt
        wished = True
        wish()

    try:
        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
