"""Batches made by worker processes ahead of time; what goes wrong in one of them is told in a sentence."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import torch
from torch.utils.data import DataLoader

from humesh.data.batch import Batch, DataError, Groups, joined
from humesh.training.recipe import TrainingError

AHEAD = 2  # batches that each worker makes beforehand


def loaded(groups: Groups, numbers: Iterator[list[int]], workers: int, pinned: bool) -> Iterator[Batch]:
    """The batches of lists of numbers, in their order. Raises TrainingError for bad data or a worker that died."""
    loader: DataLoader[Batch] = DataLoader(
        groups,  # type: ignore[arg-type]
        batch_sampler=_Once(numbers),
        collate_fn=joined,
        num_workers=workers,
        worker_init_fn=_start_worker,
        pin_memory=pinned,
        prefetch_factor=AHEAD if workers else None,
    )
    try:
        yield from loader
    except DataError as error:
        raise TrainingError(_sentence(error)) from error
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise TrainingError(
            f"a data worker died ({error}); if it was killed for memory use fewer --workers, --workers 0 shows the "
            "error itself."
        ) from error


class _Once:
    """A batch sampler that hands on lists of numbers."""

    def __init__(self, numbers: Iterator[list[int]]) -> None:
        self.numbers = numbers

    def __iter__(self) -> Iterator[list[int]]:
        return self.numbers


def _start_worker(_: int) -> None:
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the main process, which needs its last batches


def _sentence(error: DataError) -> str:
    """The error's own sentence, without the worker's traceback that torch puts before it."""
    whole = error.args[0] if error.args else ""  # an error's own text is cut off where it is long
    lines = [line for line in str(whole).splitlines() if line.strip()]
    return lines[-1].split("DataError: ", 1)[-1] if lines else "reading the data failed."
