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


class Threads:
    """Threads that work side by side for as long as their owner lives.

    A forked process, in which its parent's threads do not exist, starts its own.
    """

    def __init__(self, count: int, name: str) -> None:
        self.count, self.name = count, name
        self._start()

    def _start(self) -> None:
        self._pool, self._process = ThreadPoolExecutor(self.count, thread_name_prefix=self.name), os.getpid()

    def map(self, function: Callable[[Item], Done], items: Iterable[Item]) -> list[Done]:
        """The results for all items, in order."""
        if self._process != os.getpid():
            self._start()
        return list(self._pool.map(function, items))

    def close(self) -> None:
        """Ends the threads."""
        self._pool.shutdown()


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
    if count == 1:  # a thread of its own would only take memory
        yield from (_done(work, item) for item in items)
        return
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


def _done(work: Callable[[Item], Done], item: Item) -> Future[Done]:
    done = Future[Done]()
    try:
        done.set_result(work(item))
    except Exception as error:
        done.set_exception(error)
    return done
