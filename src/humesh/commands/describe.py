"""What `humesh train --dry-run` prints: the recipe, and of data that are given their counts and labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from humesh.body.label_bodies import BodyFiles
from humesh.data.sample import Dataset, LabelledPerson
from humesh.data.views import on_trained_body
from humesh.methods.base import Method
from humesh.training.data import Given, those_given
from humesh.training.loop import Place
from humesh.training.prepare import bodies_of, planned, prepare
from humesh.training.recipe import SMPL, Recipe, Source

LABELS = ("pose", "shape", "3D", "2D", "camera-frame 3D")
_APART = ("about", "data", "weights", "config", "body", "pretrained", "starts_from", "lacks", "method")
_LOSS = ("learned", "delayed", "optional", "discriminators")


def describe(name: str, recipe: Recipe, place: Place, given: Given) -> Iterator[str]:
    """The lines on a recipe; of data that are given also counts and labels, and with all of them what a step holds."""
    is_lacking_body = recipe.body == SMPL  # sizes are the same on the open body
    bodies = BodyFiles("open-low") if is_lacking_body else bodies_of(recipe)
    yield from _recipe(name, recipe, given)
    yield from _method(recipe, planned(recipe, bodies.predicted))
    found = dict[str, Census]()
    for each, data in those_given(recipe, given, bodies.smpl).items():
        found[each] = census(data if is_lacking_body else on_trained_body(data, bodies))
        yield f"{each}: {found[each]}"
    if lacking := [source.name for source in recipe.data if source.name not in found]:
        yield f"data to be given with --data before it trains: {', '.join(lacking)}"
        return
    for term, label in unfed(recipe, list(found.values())).items():
        yield f"WARNING: the loss {term} has a weight, but nobody in the data has a label of {label}."
    if not is_lacking_body:
        groups = prepare(name, dataclasses.replace(recipe, precision="float32"), place, given).groups
        crops = groups[0].crops
        shape = " x ".join(map(str, crops.pixels.shape[1:]))
        yield f"a step: {recipe.batch} groups of {shape}, {crops.keypoints.shape[2]} keypoints each"


def _recipe(name: str, recipe: Recipe, given: Given) -> Iterator[str]:
    pretrained = ", ".join(given.pretrained)
    yield f"recipe {name}: {recipe.about}"
    yield "data:"
    for source in recipe.data:
        yield f"  {_source(source)}"
    if recipe.lacks:
        yield f"  not here: {recipe.lacks}"
    yield f"body: {recipe.body}{' (--body): NOT GIVEN' if recipe.body == SMPL else ''}"
    yield "start:"
    if recipe.starts_from:
        yield f"  the weights of {recipe.starts_from} (--init): {given.init or 'NOT GIVEN'}"
    if recipe.pretrained:
        start = pretrained or ("in --init" if given.init else "NOT GIVEN, it would start from nothing")
        yield f"  {' and '.join(recipe.pretrained)} (--pretrained): {start}"
    if not recipe.starts_from and not recipe.pretrained:
        yield f"  {pretrained or given.init or 'random weights'}"
    yield "losses:"
    yield from (f"  {term}: {weight:g}" for term, weight in recipe.weights.items())
    settings = {field.name: getattr(recipe, field.name) for field in dataclasses.fields(recipe)}
    yield from (f"  ({name}: {settings[name]})" for name in _LOSS if settings[name])
    yield "schedule:"
    yield from (f"  {name}: {value}" for name, value in settings.items() if name not in _APART + _LOSS)


def _source(source: Source) -> str:
    words = [source.name, f"{source.share:.1%} of the samples"]
    words += [f"split {source.split}"] if source.split else []
    words += [f"{key} {value}" for key, value in source.options.items()]
    words += [f"pseudo labels of {source.labels} (--labels)"] if source.labels else []
    words += [f"stride {source.stride}"] if source.stride is not None else []
    return ", ".join(words) + (f" ({source.note})" if source.note else "")


def _method(recipe: Recipe, method: Method) -> Iterator[str]:
    yield f"method {recipe.method}:"
    yield from (f"  {name}: {value!r}" for name, value in vars(method.config).items())
    yield "parameters:"
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in method.named_children()}
    counts["all"] = sum(p.numel() for p in method.parameters())
    yield from (f"  {name}: {count / 1e6:.2f} M" for name, count in counts.items() if count)


@dataclass(frozen=True)
class Census:
    """What the people of a data set have: how many samples, and the share of people with each of `LABELS`."""

    samples: int
    shares: Mapping[str, float]

    def __str__(self) -> str:
        return f"{self.samples:,} samples; " + ", ".join(f"{name} {share:.0%}" for name, share in self.shares.items())


def census(dataset: Dataset, most: int = 64) -> Census:
    """The census of a data set, from at most `most` samples all over it."""
    numbers = np.unique(np.linspace(0, len(dataset) - 1, most).round().astype(int))
    people = [_labels(person) for number in numbers.tolist() for person in dataset[number].people]
    shares = np.array(people, dtype=np.float64).reshape(-1, len(LABELS)).mean(0) if people else np.zeros(len(LABELS))
    return Census(len(dataset), dict(zip(LABELS, shares.tolist(), strict=True)))


def _labels(person: LabelledPerson) -> list[bool]:
    in3d = bool(person.points3d_weight.any())
    pose, shape, flat = (bool(w.any()) for w in (person.pose_weight, person.shape_weight, person.points2d_weight))
    return [pose, shape, in3d, flat, in3d and person.metric]


FED_BY: Mapping[str, str] = {
    "rotations": "pose", "shape": "shape", "points3d": "3D", "points2d": "2D", "body_joint_cam": "3D",
    "body_joint_img": "2D", "body_joint_proj": "2D", "smpl_joint_img": "pose", "smpl_pose": "pose",
    "smpl_shape": "shape", "joint_to_joint": "3D", "joint_to_non_joint": "3D", "kp2d": "2D", "kp3d": "3D",
    "vertices": "pose", "pose": "pose", "betas": "shape", "camera": "", "contrast": "", "kp_2d": "2D", "kp_3d": "3D",
    "norm": "", "velocity": "3D", "skeleton_absolute": "camera-frame 3D", "skeleton_relative": "3D",
    "skeleton_2d": "2D", "skeleton_projected": "2D", "twist": "pose", "leaves": "pose", "first_shape": "shape",
    "refined_pose": "pose", "refined_shape": "shape", "refined_3d": "3D", "refined_2d": "2D", "adversarial": "pose",
    "depth": "camera-frame 3D", "path": "camera-frame 3D", "spread": "3D", "log_error": "3D",
}  # fmt: skip
"""The label without which a loss term is 0; "": none is needed."""


def unfed(recipe: Recipe, found: Sequence[Census]) -> dict[str, str]:
    """The weighted terms of a recipe whose label none of the data sets has, with that label."""
    lacking = {name for name in LABELS if not any(each.shares[name] for each in found)}
    if recipe.joints_from_fits and "pose" not in lacking:
        lacking.discard("3D")
    needed = {term: FED_BY.get(term, "") for term, weight in recipe.weights.items() if weight}
    return {term: label for term, label in needed.items() if label in lacking}
