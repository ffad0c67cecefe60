"""Live sources: the newest frame is given, the others are counted, and times are those of the pictures."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from typing import Any

import numpy as np
import pytest

from humesh.media.video import Newest, Video


class Tap:
    """Items that come when they are put, and an event is set when all before it were read."""

    def __init__(self) -> None:
        self.queue: queue.Queue[Any] = queue.Queue()
        self.closed = threading.Event()

    def __iter__(self) -> Iterator[Any]:
        try:
            while (item := self.queue.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                if isinstance(item, threading.Event):
                    item.set()
                    continue
                yield item
        finally:
            self.closed.set()

    def put(self, *items: Any) -> None:
        """Returns when all were read."""
        read = threading.Event()
        for item in (*items, read):
            self.queue.put(item)
        assert read.wait(10)


@pytest.fixture
def tap() -> Tap:
    return Tap()


def test_the_newest_is_given_and_the_others_are_counted(tap: Tap) -> None:
    newest = Newest(tap)
    tap.queue.put(1)
    assert next(newest) == 1
    tap.put(2, 3, 4)
    assert (next(newest), newest.passed_over) == (4, 2)
    tap.put(5)
    assert (next(newest), newest.passed_over) == (5, 2)
    tap.put(6, 7)
    tap.queue.put(None)
    assert (list(newest), newest.passed_over) == ([7], 3)
    assert list(newest) == []


def test_an_item_that_comes_late_is_waited_for(tap: Tap) -> None:
    newest = Newest(tap)
    threading.Timer(0.02, tap.queue.put, [8]).start()
    assert next(newest) == 8


def test_an_error_comes_after_the_last_item(tap: Tap) -> None:
    newest = Newest(tap)
    tap.queue.put(1)
    assert next(newest) == 1
    tap.put(2)
    tap.queue.put(ValueError("broken"))
    assert tap.closed.wait(10)
    assert next(newest) == 2
    with pytest.raises(ValueError, match="broken"):
        next(newest)
    assert list(newest) == []


def test_who_closes_it_closes_its_source(tap: Tap) -> None:
    newest = Newest(tap)
    tap.queue.put(1)
    assert next(newest) == 1
    tap.queue.put(2)
    newest.close()
    tap.queue.put(3)
    assert tap.closed.wait(10)


def test_no_thread_is_started_for_nothing(tap: Tap) -> None:
    before = threading.active_count()
    Newest(tap).close()
    assert threading.active_count() == before


def test_a_motion_jpeg_has_the_times_of_its_arrival(live_stream: Any) -> None:
    """FFmpeg would say 25 frames a second; ten are sent."""
    video = Video(f"{live_stream.address}/live.mjpg")
    with closing(video.newest()) as frames:
        times = [frame.time_s for frame in islice(frames, 12)]
    assert video.live
    assert np.median(np.diff(times[-8:])) == pytest.approx(0.1, abs=0.03)
