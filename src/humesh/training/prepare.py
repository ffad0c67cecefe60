"""From a recipe to a training that can start: its data, its method, and what both start from."""

from __future__ import annotations

import ast
import difflib
import warnings
from collections.abc import Iterable
from dataclasses import fields, replace
from functools import partial
from typing import Any, Literal, get_args, get_origin, get_type_hints

import torch

from humesh.body.label_bodies import BodyFiles
from humesh.body.model import BodyModel
from humesh.data.batch import Groups, split
from humesh.data.views import on_trained_body
from humesh.errors import HumeshError
from humesh.methods import METHODS
from humesh.methods.base import Method
from humesh.methods.rois import roi_copies
from humesh.methods.settings import from_values
from humesh.methods.weights import build, read_weights
from humesh.training.data import Given, sources
from humesh.training.loop import Place, Training
from humesh.training.recipe import SMPL, Recipe, TrainingError
from humesh.training.starts import start_from, start_learned, start_pretrained

_MOST_WEIGHTS = 4e9  # bytes; training takes four times as much
_NOTHING = Given()


def prepare(name: str, recipe: Recipe, place: Place, given: Given = _NOTHING) -> Training:
    """A training ready to run. Raises TrainingError, WeightsError, DatasetError."""
    bodies, init = bodies_of(recipe), given.init
    body = bodies.predicted
    planned(recipe, body)
    datasets = [on_trained_body(dataset, bodies) for dataset in sources(recipe, given, bodies.smpl)]
    torch.manual_seed(recipe.seed)  # the network's first weights
    method = build(recipe.method, recipe.config, body)
    for source in given.pretrained:
        place.say(start_pretrained(method, source))
    if recipe.pretrained and not given.pretrained and init is None:
        wanted = " and ".join(recipe.pretrained)
        place.say(f"WARNING: {name} starts from nothing; its paper starts from {wanted}: give it with --pretrained.")
    if init is not None:  # which may be of a part of the network only
        place.say(start_from(method, init))
    has_vposer = getattr(method.config, "pose_decoder", "") == "vposer"
    if has_vposer and not (init and any(key.startswith("vposer.") for key in read_weights(init)[1])):
        raise TrainingError(
            "pose_decoder=vposer: expected VPoser's own weights, which stay as they are, got none, so they would be "
            "random; give --init a file that has them (`humesh convert CHECKPOINT --method jotr --vposer FILE`)."
        )
    train, held_out = zip(*(split(d, recipe.held_out if i == 0 else 0) for i, d in enumerate(datasets)), strict=True)
    strides = [recipe.stride if source.stride is None else source.stride for source in recipe.data]
    settings: dict[str, Any] = {
        "seed": recipe.seed, "people": getattr(method.config, "people", 1), "joints_from_fits": recipe.joints_from_fits,
        "for_skeleton": [index for index, source in enumerate(recipe.data) if source.for_skeleton],
    }  # fmt: skip
    is_random = getattr(method.config, "boxes", "") == "random"
    copies = partial(roi_copies, "random", method.config.rois) if is_random else None
    names, shares = [source.name for source in recipe.data], [source.share for source in recipe.data]
    groups = Groups(
        method.spec, train, body, shares, recipe.augment, copies=copies, stride=strides, names=names, **settings
    )
    check = Groups(method.spec, held_out[:1], body, stride=strides[:1], names=[f"{names[0]}, held out"], **settings)
    training = Training(name, recipe, method, body, groups, check, place)
    if init is not None and training.learner.learned is not None:
        place.say(start_learned(training.learner.learned, init))
    return training


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
