"""What `humesh train --dry-run` prints: the whole recipe, and with data what it holds and how long it will take."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from humesh.training.loop import Place, Training
    from humesh.training.recipe import Recipe, Source
    from humesh.training.sources import Given

Inputs = tuple["Given", Path | None, tuple[str, ...], Path | None, "Given"]
"""What `prepare` takes: data, init, pretrained, backgrounds, labels."""

_APART = ("about", "data", "weights", "config", "body", "pretrained", "starts_from", "lacks", "method")
_LOSS = ("learned", "delayed", "optional", "judges")


def describe(name: str, recipe: Recipe, place: Place, inputs: Inputs) -> None:
    """Prints a recipe; of data that are given also counts and labels, and with all of them a measured estimate."""
    from humesh.body.label_bodies import BodyFiles
    from humesh.data.views import on_trained_body
    from humesh.training.prepare import bodies_of, planned, prepare
    from humesh.training.recipe import SMPL
    from humesh.training.sources import census, those_given, unfed

    given, init, pretrained, _, labels = inputs
    without = recipe.body == SMPL  # sizes are the same on the open body
    bodies = BodyFiles("open-low") if without else bodies_of(recipe)
    for line in (*_recipe(name, recipe, init, pretrained), *_method(recipe, planned(recipe, bodies.predicted))):
        print(line)
    there = those_given(recipe, given, labels, bodies.smpl).items()
    found = {each: census(data if without else on_trained_body(data, bodies)) for each, data in there}
    for each, counted in found.items():
        print(f"{each}: {counted}")
    if len(found) < len(recipe.data):
        lacking = ", ".join(source.name for source in recipe.data if source.name not in found)
        print(f"data to be given with --data before it trains: {lacking}")
        return
    for term, label in unfed(recipe, list(found.values())).items():
        print(f"WARNING: the loss {term} has a weight, but nobody in the data has a label of {label}.")
    if without:
        return
    if recipe.precision == "float16" and place.device.type != "cuda":
        print("measured in float32, as float16 needs a GPU:")
        recipe = dataclasses.replace(recipe, precision="float32")
    _measure(prepare(name, recipe, place, *inputs))


def _recipe(name: str, recipe: Recipe, init: Path | None, pretrained: tuple[str, ...]) -> Iterator[str]:
    yield f"recipe {name}: {recipe.about}"
    yield "data:"
    for source in recipe.data:
        yield f"  {_source(source)}"
    if recipe.lacks:
        yield f"  not here: {recipe.lacks}"
    from humesh.training.recipe import SMPL

    yield f"body: {recipe.body}{' (--body): NOT GIVEN' if recipe.body == SMPL else ''}"
    yield "start:"
    if recipe.starts_from:
        yield f"  the weights of {recipe.starts_from} (--init): {init or 'NOT GIVEN'}"
    if recipe.pretrained:
        given = ", ".join(pretrained) or ("in --init" if init else "NOT GIVEN, it would start from nothing")
        yield f"  {' and '.join(recipe.pretrained)} (--pretrained): {given}"
    if not recipe.starts_from and not recipe.pretrained:
        yield f"  {', '.join(pretrained) or init or 'random weights'}"
    yield "losses:"
    for term, weight in recipe.weights.items():
        yield f"  {term}: {weight:g}"
    for field in dataclasses.fields(recipe):
        if field.name in _LOSS and getattr(recipe, field.name):
            yield f"  ({field.name}: {getattr(recipe, field.name)})"
    yield "schedule:"
    for field in dataclasses.fields(recipe):
        if field.name not in _APART + _LOSS:
            yield f"  {field.name}: {getattr(recipe, field.name)}"


def _source(source: Source) -> str:
    words = [source.name, f"{source.share:.1%} of the samples"]
    words += [f"split {source.split}"] if source.split else []
    words += [f"{key} {value}" for key, value in source.options.items()]
    words += [f"pseudo labels of {source.labels} (--labels)"] if source.labels else []
    words += [f"stride {source.stride}"] if source.stride is not None else []
    return ", ".join(words) + (f" ({source.note})" if source.note else "")


def _method(recipe: Recipe, method: object) -> Iterator[str]:
    from humesh.methods.base import Method

    assert isinstance(method, Method)
    yield f"method {recipe.method}:"
    for field in dataclasses.fields(method.config):
        yield f"  {field.name}: {getattr(method.config, field.name)!r}"
    yield "parameters:"
    for part, module in method.named_children():
        if count := sum(parameter.numel() for parameter in module.parameters()):
            yield f"  {part}: {count / 1e6:.2f} M"
    yield f"  all: {sum(p.numel() for p in method.parameters()) / 1e6:.2f} M"


def _measure(training: Training) -> None:
    """Prints what a step holds, and time and memory measured on some."""
    from humesh.training.estimate import estimate

    recipe, crops = training.recipe, training.groups[0].crops
    shape = " x ".join(str(n) for n in crops.pixels.shape[1:])
    print(f"a step: {recipe.batch} groups of {shape}, {crops.keypoints.shape[2]} keypoints each", flush=True)
    measured = estimate(training)
    where = "GPU memory" if training.place.device.type == "cuda" else "memory of the main process"
    memory = "unknown" if math.isnan(measured.memory_gb) else f"{measured.memory_gb:.1f} GB"
    print(
        f"measured: {measured.steps_per_second:.2f} steps/s "
        f"({measured.steps_per_second * recipe.batch:.0f} samples/s); {recipe.steps} steps will take about "
        f"{measured.hours:.2f} h; {where} {memory}"
    )
