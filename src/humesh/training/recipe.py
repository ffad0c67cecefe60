"""What a training is: everything that decides its result, in one record, and its settings as a command has them."""

from __future__ import annotations

import ast
import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from math import cos, inf, pi
from typing import Any, Literal, get_args, get_origin, get_type_hints

from humesh.data import DATASETS, Reader
from humesh.data.augment import Augment
from humesh.errors import HumeshError
from humesh.methods import METHODS
from humesh.methods.weights import from_values


class TrainingError(HumeshError, ValueError):
    """A training that cannot start or go on; the sentence has the reason and what to do."""


@dataclass(frozen=True)
class Source:
    """A data set of the mix by its name in `DATASETS`, its share, its split, and its reader's other options.

    `split`: of a data set that others own, one of `TRAINING_SPLITS`. `labels`: the pseudo labels that the paper gives
    its people ("EFT"), which come with --labels. `stride`: frames between those of a clip, None: the recipe's.
    `for_skeleton`: it teaches IK-refine's skeleton alone (L_P). `note`: what the paper does with this data set,
    where it differs here.
    """

    name: str
    share: float = 1.0
    split: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    labels: str = ""
    stride: int | None = None
    for_skeleton: bool = False
    note: str = ""


SMPL = "your SMPL file"
"""The body of recipes that train SMPL's: the user's file must be given for it."""

TRAINING_SPLITS = ("train", "trainval")
"""The splits that benchmarks do not measure on."""

_LIMITS: Mapping[str, tuple[float, float]] = {
    "steps": (1, 10**9), "batch": (1, 2**14), "rate": (1e-12, 100.0), "seed": (0, 2**32 - 1), "held_out": (1, 10**6),
}  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """One training.

    `body`: a shipped one, an SMPL file, a folder of SMPL's files by gender, or `SMPL`: one of these must be given.
    `batch`: groups of crops in a step, over all processes. `rate`: of learning; `rates`: factors for parts of the
    network by the start of their names, 0: they stay as they are. `drops`: shares of the steps after which "step"
    multiplies the rate by `drop`; "cosine" ends at a hundredth. `weights`: of the loss terms, others do not count, and
    `optional` ones need not exist; `learned`: those that are also weighed by learning (JOTR); `delayed`: terms that
    count only after a share of the steps. `discriminators`: of poses and shapes (HMR, CVPR 2018), the term
    "adversarial"; the batch's fits are their real bodies. `clip`: the largest gradient norm. `ema`: decay of the
    running mean of the weights, which is what is kept. `stride`: frames between those of a clip. `joints_from_fits`:
    SMPL's joints are labelled as people's fits have them (see `joints_of_fit`). `held_out`: samples of the first data
    set that are only validated on. `pretrained`: what the paper's network starts from, in words (--pretrained).
    `starts_from`: the recipe whose weights this one goes on from (--init). `lacks`: data and conditions of the paper
    that cannot be had here. TrainingError for numbers that no training can have, and for splits of evaluation.
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
    learned: tuple[str, ...] = ()
    delayed: Mapping[str, float] = field(default_factory=dict)
    discriminators: bool = False
    augment: Augment = field(default_factory=Augment)
    clip: float = 1.0
    ema: float = 0.999
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    stride: int = 1
    joints_from_fits: bool = False
    pretrained: tuple[str, ...] = ()
    starts_from: str = ""
    lacks: str = ""
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
        if wrong := [f"{name}={weight}" for name, weight in self.weights.items() if not 0 <= weight < inf]:
            raise TrainingError(f"loss weights: expected numbers from 0 up, got {', '.join(wrong)}.")
        for source in self.data:
            if isinstance(DATASETS.get(source.name), Reader) and source.split not in TRAINING_SPLITS:
                raise TrainingError(
                    f"data {source.name}: expected a split to train on ({' or '.join(TRAINING_SPLITS)}), got "
                    f"{source.split!r}; the others are for evaluation."
                )

    def as_json(self) -> str:
        """All of it that decides the result, as text: the same for the same training."""
        settings = asdict(self)
        for source in settings["data"]:
            for key in [key for key, value in source.items() if key == "note" or value in ("", None, False)]:
                del source[key]
        return json.dumps(settings, sort_keys=True)

    def rate_at(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        factor = min(1.0, (step + 1) / self.warm_up) if self.warm_up else 1.0
        done = step / max(self.steps, 1)
        if self.schedule == "step":
            factor *= self.drop ** sum(done >= share for share in self.drops)
        elif self.schedule == "cosine":
            factor *= 0.01 + 0.99 * (1 + cos(pi * min(done, 1.0))) / 2
        return self.rate * factor


def overridden(recipe: Recipe, settings: Iterable[str] = (), weights: Iterable[str] = ()) -> Recipe:
    """The recipe with fields of its method's configuration and loss weights changed, each given as "key=value"."""
    kind = METHODS[recipe.method].network().config_type
    given = dict[str, Any]()
    for key, text in map(_pair, settings):
        known(key, [f.name for f in fields(kind)], f"--set: {recipe.method} has no setting")
        if key == "pretrained":
            raise TrainingError("--set pretrained: give what the encoder starts from with --pretrained timm or FILE.")
        given[key] = _parsed(text, get_type_hints(kind)[key])
    config, changed = {**recipe.config, **given}, dict(recipe.weights)
    try:
        from_values(kind, config)
    except ValueError as error:
        raise TrainingError(f"--set: {error}.") from None
    for key, text in map(_pair, weights):
        try:
            changed[key] = float(text)
        except ValueError:
            raise TrainingError(f"--weights {key}: expected a number, got {text!r}.") from None
    optional = tuple(recipe.weights) if config != recipe.config else ()  # an ablation may have no such term any more
    return replace(recipe, config=config, weights=changed, optional=optional)


def _pair(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign:
        raise TrainingError(f"expected key=value, got {text!r}.")
    return key.strip(), value.strip()


def known(name: str, names: Iterable[str], complaint: str) -> None:
    """TrainingError for a name that there is not, with the nearest ones."""
    names = list(names)
    if name in names:
        return
    near = difflib.get_close_matches(name, names, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(names)}."
    raise TrainingError(f"{complaint} {name!r}; {hint}")


def _parsed(text: str, kind: Any) -> Any:
    """A value as Python reads it, text for a field of texts, values with commas between for a tuple."""
    if kind is str or get_origin(kind) is Literal:
        return text
    if get_origin(kind) is tuple:
        parts = text.strip("()[] ").split(",")
        return tuple(_parsed(part.strip(" '\""), get_args(kind)[0]) for part in parts if part.strip())
    plain = {"true": True, "false": False, "none": None}
    try:
        value = plain[text.lower()] if text.lower() in plain else ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text  # of another type than any field that gets here
    return float(value) if type(value) is int and float in (kind, *get_args(kind)) else value
