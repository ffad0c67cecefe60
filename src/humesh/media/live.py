"""The newest of what keeps coming: a live source is read as fast as it comes, however slowly its frames are used."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Newest(Generic[Item]):
    """Iterates over `items`, which a thread reads; each time, the newest one that was not given yet.

    `passed_over` counts those that a newer one replaced. An error of `items` is raised after the last item. The thread
    begins with the first item that is asked for, and ends with the items or with `close`.
    """

    def __init__(self, items: Iterable[Item]) -> None:
        self.passed_over = 0
        self._items: Iterable[Item] = items
        self._changed = threading.Condition()
        self._waiting: list[Item] = []  # the newest, or nothing
        self._ended = False
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._read, name="newest", daemon=True)

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        if self._thread.ident is None:
            self._thread.start()
        with self._changed:
            while not self._waiting and not self._ended:
                self._changed.wait(0.5)  # without a limit, Windows would not let Ctrl-C through
            if self._waiting:
                return self._waiting.pop()
            error, self._error = self._error, None
        if error is not None:
            raise error
        raise StopIteration

    def close(self) -> None:
        """Ends the thread after the item that it waits for; a source that is silent is not waited for."""
        with self._changed:
            self._ended = True
        if self._thread.ident is not None:
            self._thread.join(0.5)

    def _read(self) -> None:
        error = None
        try:
            for item in self._items:
                with self._changed:
                    if self._ended:
                        return
                    self.passed_over += len(self._waiting)
                    self._waiting[:] = [item]
                    self._changed.notify()
        except Exception as raised:
            error = raised
        finally:
            with self._changed:
                self._ended, self._error = True, error
                self._items = ()  # whatever it holds open is closed
                self._changed.notify()
