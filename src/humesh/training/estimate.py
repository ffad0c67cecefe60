"""How long a training will take and what memory it needs, measured on a few steps of it."""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass

import torch

from humesh.training.loading import AHEAD
from humesh.training.loop import Training


@dataclass(frozen=True)
class Estimate:
    """What a training will take: `memory_gb` of the GPU or of the main process, NaN on Windows."""

    steps_per_second: float
    hours: float
    memory_gb: float


def estimate(training: Training, seconds: float = 20.0) -> Estimate:
    """Trains a few steps without keeping anything, and extrapolates; the data path's time is counted too."""
    recipe, place = training.recipe, training.place
    started, counted, began = time.perf_counter(), 0, 0.0
    # What workers have made beforehand must be used up before the clock starts.
    warm = 1 + AHEAD * place.workers
    for index, batch in enumerate(training.batches(0, stop=10**9)):
        training.one_step(batch.to(place.device))
        if place.device.type == "cuda":
            torch.cuda.synchronize()
        now = time.perf_counter()
        if index + 1 == warm:
            began = now
        elif index + 1 > warm:
            counted += 1
            if (now - started > seconds and counted >= 3) or index + 1 >= recipe.steps:
                break
    pace = counted / max(time.perf_counter() - began, 1e-9)
    if place.device.type == "cuda":
        memory = torch.cuda.max_memory_allocated() / 1e9
    else:
        memory = _largest_gb()
    # Validation is a forward pass with the data path: about half a step for as many groups.
    validating = 0.5 * recipe.held_out / recipe.batch * (1 + recipe.steps // recipe.validate_every)
    return Estimate(pace, (recipe.steps + validating) / pace / 3600, memory)


def _largest_gb() -> float:
    """The most memory that this process has had, GB of 10**9 bytes."""
    if sys.platform == "win32":
        return math.nan
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e9
