"""Work ahead, with the answers in order; threads of forked processes."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from humesh.threads import ahead, ahead_of_time


@pytest.mark.parametrize("most", [1, None])
def test_answers_come_in_order_whichever_is_ready_first(most: int | None) -> None:
    def work(number: int) -> int:
        time.sleep(0.02 if number % 2 == 0 else 0)
        return number * number

    assert [answer.result() for answer in ahead(work, range(20), most)] == [number * number for number in range(20)]


@pytest.mark.parametrize("most", [1, None])
def test_an_error_is_its_own_items_alone(most: int | None) -> None:
    answers = ahead(lambda number: 1 // number, [1, 0, 2], most)
    assert next(answers).result() == 1
    with pytest.raises(ZeroDivisionError):
        next(answers).result()
    assert next(answers).result() == 0


def test_items_are_taken_by_the_caller_and_only_a_few_ahead() -> None:
    taken: list[int] = []

    def items():  # type: ignore[no-untyped-def]
        for number in range(1000):
            assert threading.current_thread() is threading.main_thread()
            taken.append(number)
            yield number

    answers = ahead(lambda number: number, items(), 2)
    assert next(answers).result() == 0
    assert len(taken) <= 4
    answers.close()
    assert len(taken) <= 4


def forked(work: Callable[[], Any]) -> Any:
    """What a process forked from this one answers."""
    fork = multiprocessing.get_context("fork")
    receive, send = fork.Pipe(duplex=False)
    child = fork.Process(target=lambda: send.send(work()))
    child.start()
    send.close()
    answer = receive.recv() if receive.poll(30) else "it hangs"
    child.kill()
    child.join()
    return answer


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_torch_computes_in_a_forked_process() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        numbers = torch.arange(1_000_000)
        here = (3 * numbers).sum().item()  # by two threads
        assert forked(lambda: (3 * numbers).sum().item()) == here
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_items_are_made_ahead_in_order_but_only_so_many() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        try:
            for number in range(100):
                made.append(number)
                yield number
            raise ValueError("the end")
        finally:
            made.append(-1)

    coming = ahead_of_time(items(), 3)
    assert [next(coming) for _ in range(5)] == [0, 1, 2, 3, 4]
    coming.close()  # type: ignore[attr-defined]
    assert made[-1] == -1  # the thread has ended, and what made the items is closed
    assert len(made) <= 5 + 3 + 2
    with pytest.raises(ValueError, match="the end"):
        list(ahead_of_time(items()))
