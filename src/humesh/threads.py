"""Work on several things at a time, with the results in order."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from queue import Full, Queue
from threading import Event, Thread
from typing import Any, TypeVar

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


def ahead_of_time(items: Iterable[Item], most: int = 4) -> Iterator[Item]:
    """The items in order, made in a thread of their own, which is at most so many ahead; its errors are raised here.

    A caller that stops iterating ends the thread after the item it is making.
    """
    made, stopped = Queue[Callable[[], Item] | None](most), Event()

    def put(get: Callable[[], Item] | None) -> None:
        while not stopped.is_set():
            try:
                return made.put(get, timeout=0.1)
            except Full:
                continue

    def make() -> None:
        try:
            for item in items:
                put(partial(_same, item))
                if stopped.is_set():
                    return
            put(None)
        except BaseException as error:
            put(partial(_raise, error))

    thread = Thread(target=make, name="ahead_of_time", daemon=True)
    thread.start()
    try:
        while (get := made.get()) is not None:
            yield get()
    finally:
        stopped.set()
        thread.join()


def _same(item: Item) -> Item:
    return item


def _raise(error: BaseException) -> Any:
    raise error


def _done(work: Callable[[Item], Done], item: Item) -> Future[Done]:
    done = Future[Done]()
    try:
        done.set_result(work(item))
    except Exception as error:
        done.set_exception(error)
    return done
