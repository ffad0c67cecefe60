"""Work ahead, with the answers in order."""

from __future__ import annotations

import threading
import time

import pytest

from humesh.threads import ahead


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
