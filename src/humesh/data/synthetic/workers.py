"""Processes that render, and end with the process that they work for; a start imports this file alone."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

from humesh.errors import HumeshError


class ShardError(HumeshError, ValueError):
    """A folder of shards that cannot be written or read; the sentence says why."""


def in_processes(work: Callable[[int], int], items: Sequence[int], workers: int) -> Iterator[int]:
    """Does the work for each item in some processes, which end with this one; yields the items as they are done."""
    if workers <= 1:
        yield from map(work, items)
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, spawn, _end_with_parent) as pool:
        try:
            for job in as_completed([pool.submit(work, item) for item in items]):
                yield job.result()
        except BrokenProcessPool:
            raise ShardError(
                "synth: a worker died (out of memory?); the same command goes on where it stopped."
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """Ends this process as soon as its parent is gone: nothing else would, it would wait for work for ever."""
    parent = multiprocessing.parent_process()

    def wait_for_end() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait_for_end, daemon=True).start()
