"""Work on several things at a time, with the answers in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

A, B = TypeVar("A"), TypeVar("B")


def ahead(work: Callable[[A], B], items: Iterable[A], most: int | None = None) -> Iterator[Future[B]]:
    """What waits for each item's answer, in order; a thread a processor core, `most` at most, is as many items ahead.

    Items are taken in the caller's thread. Whoever stops asking cancels what has not begun.
    """
    count = min(os.cpu_count() or 1, most or 64)
    if count == 1:  # a thread of its own would only take memory
        yield from (_done(work, item) for item in items)
        return
    waiting: deque[Future[B]] = deque()
    pool = ThreadPoolExecutor(count, thread_name_prefix="ahead")
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > count:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()
    finally:
        pool.shutdown(cancel_futures=True)


def _done(work: Callable[[A], B], item: A) -> Future[B]:
    answer = Future[B]()
    try:
        answer.set_result(work(item))
    except Exception as error:
        answer.set_exception(error)
    return answer
