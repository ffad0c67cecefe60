"""Processes that work for another one and end with it, however it ends."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

T = TypeVar("T")


class WorkerDiedError(Exception):
    """A worker ended by force; `left`: how many items have no answer."""

    def __init__(self, left: int) -> None:
        super().__init__(f"a worker died, {left} items are left")
        self.left = left


def in_workers(work: Callable[[int], T], items: Sequence[int], workers: int) -> Iterator[tuple[int, T]]:
    """Yields each item with its answer, in the order in which they come, from so many processes.

    No more than two items a worker are under way, so few answers wait in memory. Raises WorkerDiedError.
    """
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _end_with_parent) as pool:
        waiting, jobs = list(reversed(items)), dict[Future[T], int]()
        try:
            while waiting or jobs:
                while waiting and len(jobs) < 2 * workers:
                    item = waiting.pop()
                    jobs[pool.submit(work, item)] = item
                for job in wait(jobs, return_when=FIRST_COMPLETED).done:
                    answer = job.result()
                    yield jobs.pop(job), answer
        except BrokenProcessPool:
            raise WorkerDiedError(len(waiting) + len(jobs)) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """Ends this process as soon as its parent is gone: nothing else would, it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait_for_its_end() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait_for_its_end, daemon=True).start()
