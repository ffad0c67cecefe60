"""From a recipe to a training that can start: its data, its method, and what both start from."""

from __future__ import annotations

import difflib
import types
import warnings
from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import torch

from humesh.body.label_bodies import BodyFiles
from humesh.body.model import BodyModel
from humesh.data.batch import Groups, split
from humesh.data.views import on_trained_body
from humesh.errors import HumeshError
from humesh.methods import METHODS
from humesh.methods.base import Method
from humesh.methods.rois import roi_copies
from humesh.methods.weights import build, read_weights
from humesh.training.loop import Place, Training
from humesh.training.recipe import SMPL, Recipe, TrainingError
from humesh.training.sources import Given, sources
from humesh.training.starts import start_from, start_learned, start_pretrained

_MOST_WEIGHTS = 4e9  # bytes; training takes four times as much


def prepare(
    name: str,
    recipe: Recipe,
    place: Place,
    given: Given | None = None,
    init: Path | None = None,
    pretrained: Iterable[str] = (),
    backgrounds: Path | None = None,
    labels: Given | None = None,
) -> Training:
    """A training ready to run. Raises TrainingError, WeightsError, DatasetError.

    `given`: where its data sets are, by name; `labels`: files of pseudo labels likewise; `pretrained`: what
    `start_pretrained` takes.
    """
    bodies = bodies_of(recipe)
    body = bodies.predicted
    planned(recipe, body)
    datasets = [on_trained_body(d, bodies) for d in sources(recipe, given, backgrounds, labels, bodies.smpl)]
    torch.manual_seed(recipe.seed)  # the network's first weights
    method = build(recipe.method, recipe.config, body)
    for source in pretrained:
        place.say(start_pretrained(method, source))
    if recipe.pretrained and not pretrained and init is None:
        wanted = " and ".join(recipe.pretrained)
        place.say(f"WARNING: {name} starts from nothing; its paper starts from {wanted}: give it with --pretrained.")
    if init is not None:  # which may be of a part of the network only
        place.say(start_from(method, init))
    if getattr(method.config, "pose_decoder", "") == "vposer" and (init is None or not _has_vposer(init)):
        raise TrainingError(
            "pose_decoder=vposer: expected VPoser's own weights, which stay as they are, got none, so they would be "
            "random; give --init a file that has them (`humesh convert CHECKPOINT --method jotr --vposer FILE`)."
        )
    train, held_out = zip(*(split(d, recipe.held_out if i == 0 else 0) for i, d in enumerate(datasets)), strict=True)
    names, shares = [s.name for s in recipe.data], [s.share for s in recipe.data]
    strides = [recipe.stride if source.stride is None else source.stride for source in recipe.data]
    settings: dict[str, Any] = {
        "seed": recipe.seed, "people": getattr(method.config, "people", 1), "joints_from_fits": recipe.joints_from_fits,
        "for_skeleton": [index for index, source in enumerate(recipe.data) if source.for_skeleton],
    }  # fmt: skip
    copies = None
    if getattr(method.config, "boxes", "") == "random":
        copies = partial(roi_copies, "random", method.config.rois)
    groups = Groups(
        method.spec, train, body, shares, recipe.augment, copies=copies, stride=strides, names=names, **settings
    )
    check = Groups(method.spec, held_out[:1], body, stride=strides[:1], names=[f"{names[0]}, held out"], **settings)
    training = Training(name, recipe, method, body, groups, check, place)
    if init is not None and training.learner.learned is not None:
        place.say(start_learned(training.learner.learned, init))
    return training


def _has_vposer(path: Path) -> bool:
    return any(key.startswith("vposer.") for key in read_weights(path)[1])


def bodies_of(recipe: Recipe) -> BodyFiles:
    """The body that a recipe trains, and the user's others that labels are for; TrainingError without SMPL's file."""
    if recipe.body == SMPL:
        raise TrainingError(
            "this recipe trains SMPL's body: expected your file of it, got none; give --body SMPL_NEUTRAL.pkl, or the "
            "folder with SMPL_NEUTRAL, SMPL_MALE and SMPL_FEMALE where labels are of these (smpl.is.tue.mpg.de)."
        )
    return BodyFiles(recipe.body)


def planned(recipe: Recipe, body: BodyModel) -> Method:
    """The network without memory for its numbers; TrainingError for settings that none can have, or an enormous one."""
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about layers without a number in them
            plan = build(recipe.method, recipe.config, body)
    except HumeshError:
        raise
    except Exception as error:  # whatever a network's parts make of strange numbers
        raise TrainingError(f"--set: {recipe.method} cannot have these settings ({error}).") from None
    size = sum(tensor.nbytes for tensor in plan.state_dict().values())
    if size > _MOST_WEIGHTS:
        raise TrainingError(f"--set: expected a network of up to {_MOST_WEIGHTS:.0e} bytes, this one has {size:.1e}.")
    return plan


def overridden(recipe: Recipe, settings: Iterable[str] = (), weights: Iterable[str] = ()) -> Recipe:
    """The recipe with fields of its method's configuration and loss weights changed, as "key=value" says."""
    config, changed = dict(recipe.config), dict(recipe.weights)
    kind = METHODS[recipe.method].network().config_type
    hints = get_type_hints(kind)
    for key, text in map(_pair, settings):
        known(key, [f.name for f in fields(kind)], f"--set: {recipe.method} has no setting")
        if key == "pretrained":
            raise TrainingError("--set pretrained: give what the encoder starts from with --pretrained timm or FILE.")
        config[key] = parsed(hints[key], text, f"--set {key}")
    for key, text in map(_pair, weights):
        changed[key] = parsed(float, text, f"--weights {key}")
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


def parsed(kind: Any, text: str, what: str) -> Any:
    """A value of the type that a dataclass's field has, from the command line."""
    options = get_args(kind)
    if get_origin(kind) is Literal:
        known(text, options, f"{what}: there is no")
        return text
    if get_origin(kind) in (Union, types.UnionType):
        if text.lower() == "none" and type(None) in options:
            return None
        (kind,) = (option for option in options if option is not type(None))
        return parsed(kind, text, what)
    if get_origin(kind) is tuple:
        parts = [part.strip().strip("'\"") for part in text.strip("()[] ").split(",") if part.strip()]
        kinds = [options[0]] * len(parts) if options[-1] is Ellipsis else list(options)
        if len(kinds) != len(parts):
            raise TrainingError(f"{what}: expected {len(kinds)} values with commas between, got {text!r}.")
        return tuple(parsed(one, part, what) for one, part in zip(kinds, parts, strict=True))
    readers: dict[Any, Callable[[str], Any]] = {int: int, float: float, str: str, bool: _truth}
    try:
        return readers[kind](text)
    except ValueError:
        raise TrainingError(f"{what}: expected {kind.__name__}, got {text!r}.") from None


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError
    return text.lower() == "true"
