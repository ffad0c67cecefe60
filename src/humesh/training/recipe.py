"""What a training is: everything that decides its result, in one record."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import cos, inf, pi
from typing import Any, Literal

from humesh.data.augment import Augment
from humesh.errors import HumeshError


class TrainingError(HumeshError, ValueError):
    """A training that cannot start or go on; the sentence says why and what to do."""


@dataclass(frozen=True)
class Source:
    """A data set of the mix by its name in `DATASETS`, its share, and the options that it is made with."""

    name: str
    share: float = 1.0
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Judges:
    """Adversarial training (HMR, CVPR 2018): the judges' own learning rate and weight decay.

    Their word counts as the loss term "adversarial". Real ones are the batch's own labels.
    """

    rate: float = 1e-4  # HMR's
    decay: float = 1e-4


_LIMITS: Mapping[str, tuple[float, float]] = {
    "steps": (1, 10**9),
    "batch": (1, 2**14),
    "rate": (1e-12, 100.0),
    "seed": (0, 2**32 - 1),
}


@dataclass(frozen=True)
class Recipe:
    """One training.

    `batch`: groups of crops in a step, over all processes. `rate`: of learning; `rates`: factors for parts of the
    network by the start of their names, 0: they stay as they are. `drops`: shares of the steps after which "step"
    multiplies the rate by `drop`; "cosine" ends at a hundredth. `weights`: of the loss terms, others do not count, and
    `optional` ones need not exist; `learned`: those that are also weighed by learning (JOTR); `delayed`: terms that
    count only after a share of the steps. `error` of the shared terms. `clip`: the largest gradient norm. `ema`: decay
    of the running mean of the weights, which is what is kept. `stride`: frames between those of a clip. `held_out`:
    samples of the first data set that are only validated on. `encoder_start`: "lite0" (ImageNet's), "mediapipe" (its
    landmark model's) or "none"; methods' own `pretrained` is a setting of theirs. `starts_from`: the recipe whose
    weights this one goes on from, given with --init. Numbers that no training can have raise TrainingError.
    """

    about: str
    method: str
    data: tuple[Source, ...]
    steps: int
    batch: int
    weights: Mapping[str, float]
    optional: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    body: str = "open-low"
    optimiser: Literal["adamw", "adam", "sgd"] = "adamw"
    rate: float = 1e-4
    rates: Mapping[str, float] = field(default_factory=dict)
    decay: float = 1e-4
    schedule: Literal["constant", "step", "cosine"] = "constant"
    warm_up: int = 0
    drops: tuple[float, ...] = ()
    drop: float = 0.1
    error: Literal["squared", "absolute"] = "squared"
    learned: tuple[str, ...] = ()
    delayed: Mapping[str, float] = field(default_factory=dict)
    judges: Judges | None = None
    augment: Augment = field(default_factory=Augment)
    clip: float = 1.0
    ema: float = 0.999
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    people: int = 3
    stride: int = 1
    encoder_start: Literal["none", "lite0", "mediapipe"] = "none"
    starts_from: str = ""
    seed: int = 0
    held_out: int = 256
    log_every: int = 50
    validate_every: int = 1000
    save_every: int = 500

    def __post_init__(self) -> None:
        for name, (least, most) in _LIMITS.items():
            value = getattr(self, name)
            if not least <= value <= most:  # NaN, too
                raise TrainingError(f"{name}: expected a number from {least:,} to {most:,}, got {value:,}.")
        strange = [f"{name}={weight}" for name, weight in self.weights.items() if not 0 <= weight < inf]
        if strange:
            raise TrainingError(f"loss weights: expected numbers from 0 up, got {', '.join(strange)}.")

    def as_json(self) -> str:
        """All of it as text, the same for the same training."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    def rate_at(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        factor = min(1.0, (step + 1) / self.warm_up) if self.warm_up else 1.0
        done = step / max(self.steps, 1)
        if self.schedule == "step":
            factor *= self.drop ** sum(done >= share for share in self.drops)
        elif self.schedule == "cosine":
            factor *= 0.01 + 0.99 * (1 + cos(pi * min(done, 1.0))) / 2
        return self.rate * factor
