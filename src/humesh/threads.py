"""Work on several things at a time, with the results in order."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Done = TypeVar("Done")


def _forked() -> None:
    """Lets torch compute in one thread: its others stayed behind in the parent, and it would wait for them for ever."""
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_forked)


def ahead(work: Callable[[Item], Done], items: Iterable[Item], most: int | None = None) -> Iterator[Future[Done]]:
    """The finished or running work on each item, in order; one item a processor core, at most `most`, is worked on.

    Items are taken in the caller's thread. A caller that stops iterating cancels what has not begun.
    """
    count = min(os.cpu_count() or 1, most or 64)
    waiting: deque[Future[Done]] = deque()
    pool = ThreadPoolExecutor(count, thread_name_prefix="ahead")
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > count:
                yield waiting.popleft()
        yield from waiting
    finally:
        pool.shutdown(cancel_futures=True)


def ahead_of_time(items: Iterable[Item], most: int = 4) -> Iterator[Item]:
    """The items in order, made in a thread of their own, which is at most so many ahead; its errors are raised here.

    A caller that stops iterating ends the thread after the item it is making.
    """
    iterator, end = iter(items), object()
    pool = ThreadPoolExecutor(1, thread_name_prefix="ahead_of_time")
    made = deque(pool.submit(next, iterator, end) for _ in range(most + 1))
    try:
        while (item := made.popleft().result()) is not end:
            made.append(pool.submit(next, iterator, end))
            yield item  # type: ignore[misc]
    finally:
        pool.shutdown(cancel_futures=True)
