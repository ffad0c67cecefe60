"""The data sets of a recipe, from where the user has them, and which labels their people have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from humesh.body.model import BodyModel
from humesh.data import DATASETS
from humesh.data.sample import Dataset, LabelledPerson
from humesh.training.recipe import Recipe, Source, TrainingError

Given = Mapping[str, list[Path]]
"""Paths by the name of the data set that they are for; "": for any."""

_PLACES = {"synthetic": "folder", "detected": "folder", "posed": "motion", "posed_clips": "motion"}
_WANTED = {
    "synthetic": "FOLDER of shards from `humesh synth` (for some recipes with --detect)",
    "detected": "detected=FOLDER of shards from `humesh synth --detect`",
    "posed": "posed=FILE of motion",
    "posed_clips": "posed_clips=FILE of motion",
}
_OWNERS = "NAME=FOLDER as its owner gives it (`humesh data check NAME --root FOLDER`)"


def sources(
    recipe: Recipe,
    given: Given | None = None,
    backgrounds: Path | None = None,
    labels: Given | None = None,
    bodies: Mapping[str, BodyModel] | None = None,
) -> list[Dataset]:
    """The data sets of a recipe, from what is `given` for each; one sentence names what is missing.

    `labels`: files of pseudo labels, [Path("none")] for none; `bodies`: body models by the names that labels speak of.
    """
    made = _asked(recipe, given or {}, labels or {}, backgrounds, bodies or {})
    missing = [source for source, options in made if options is None]
    if missing:
        names = ", ".join(source.name for source in recipe.data)
        wanted = "; ".join(f"{source.name}: {_WANTED.get(source.name, _OWNERS)}" for source in missing)
        raise TrainingError(f"this recipe trains on {names}; give what is missing with --data. {wanted}.")
    unlabelled = [source for source, _ in made if source.labels and source.name not in (labels or {})]
    if unlabelled:
        told = "; ".join(f"--labels {source.name}=FILE of {source.labels}" for source in unlabelled)
        raise TrainingError(f"this recipe's people have pseudo labels: {told}; or {unlabelled[0].name}=none without.")
    return [DATASETS[source.name](**options) for source, options in made if options is not None]


def those_given(
    recipe: Recipe, given: Given, labels: Given, bodies: Mapping[str, BodyModel] | None = None
) -> dict[str, Dataset]:
    """The data sets of a recipe that are there already, by name."""
    made = _asked(recipe, given, labels, None, bodies or {})
    return {source.name: DATASETS[source.name](**options) for source, options in made if options is not None}


def _asked(
    recipe: Recipe, given: Given, labels: Given, backgrounds: Path | None, bodies: Mapping[str, BodyModel]
) -> list[tuple[Source, dict[str, Any] | None]]:
    """Each source with its reader's options, None where its place is not given. TrainingError for unused paths."""
    names = [source.name for source in recipe.data]
    for option, paths in (("--data", given), ("--labels", labels)):
        if strange := sorted(set(paths) - {"", *names}):
            raise TrainingError(f"{option} {strange[0]}=...: this recipe trains on {', '.join(names)}.")
    if "" in given and len(names) > 1:
        raise TrainingError(f"--data {given[''][0]}: expected NAME=PATH, as the recipe trains on {', '.join(names)}.")
    if "" in labels:
        raise TrainingError(f"--labels {labels[''][0]}: expected NAME=FILE, NAME of {', '.join(names)}.")
    return [(source, _options(source, given, labels, backgrounds, bodies)) for source in recipe.data]


def _options(
    source: Source, given: Given, labels: Given, backgrounds: Path | None, bodies: Mapping[str, BodyModel]
) -> dict[str, Any] | None:
    name, options, place = source.name, dict(source.options), given.get(source.name, given.get(""))
    key = _PLACES.get(name, "root")
    if place and name == "drawn":
        raise TrainingError(f"--data {place[0]}: expected none, the people of this recipe are drawn; leave it out.")
    if place:
        if len(place) > 1 and key != "folder":
            raise TrainingError(f"--data: expected one path for {name}, got {', '.join(map(str, place))}.")
        options[key] = str(place[0]) if len(place) == 1 else list(map(str, place))
    if name == "synthetic" and place is not None and backgrounds is not None:
        options["backgrounds"] = str(backgrounds)
    if files := [str(path) for path in labels.get(name, []) if path != Path("none")]:
        if not source.split:
            raise TrainingError(f"--labels {name}=...: the people of this data set have labels of their own.")
        options["pseudo"] = files
    if source.split:
        options |= {"split": source.split, "bodies": bodies}
    if name == "drawn":
        options["body"] = bodies.get("smpl-neutral")
    return options if name == "drawn" or options.keys() & {key, "motion"} else None


LABELS = ("pose", "shape", "3D", "2D", "camera-frame 3D")


@dataclass(frozen=True)
class Census:
    """What the people of a data set have: how many samples, and the share of people with each of `LABELS`."""

    samples: int
    shares: Mapping[str, float]

    def __str__(self) -> str:
        return f"{self.samples:,} samples; " + ", ".join(f"{name} {share:.0%}" for name, share in self.shares.items())


def census(dataset: Dataset, most: int = 64) -> Census:
    """The census of a data set, from at most so many samples all over it."""
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
