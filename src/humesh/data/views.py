"""Datasets seen in another way: one sample a person, checked fits, labels converted to the trained body."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from humesh.body.joints import H36M17, SMPL24
from humesh.body.label_bodies import NEUTRAL, BodyFiles, label_of, onto
from humesh.body.model import BodyModel
from humesh.data.batch import BatchMaker, DataError
from humesh.data.datasets import DatasetError
from humesh.data.sample import Dataset, LabelledPerson, Sample, View

_CHILD = "-kid"


class EachPerson:
    """A dataset of photos with one sample a person: the photo with that person alone (JOTR, SPIN's line of work).

    DatasetError where the dataset does not list how many people its photos have (`people_per_photo`).
    """

    tracks: tuple[range, ...] = ()

    def __init__(self, dataset: Dataset) -> None:
        people: Sequence[int] | None = getattr(dataset, "people_per_photo", None)
        if people is None:
            raise DatasetError(f"each_person: {type(dataset).__name__} does not list its people; leave the option out.")
        self.dataset, self._stops = dataset, np.cumsum(people)

    def __len__(self) -> int:
        return int(self._stops[-1])

    def __getitem__(self, index: int) -> Sample:
        photo = int(np.searchsorted(self._stops, index, side="right"))
        sample = self.dataset[photo]
        person = sample.people[index - (int(self._stops[photo - 1]) if photo else 0)]
        return replace(sample, people=(person,))


def checked_fits(
    dataset: Dataset, betas_within: float | None, within_m: float | None, bodies: Mapping[str, BodyModel]
) -> View:
    """The dataset with its fits checked as JOTR and 3DCrowdNet do it (in this order).

    A fit with a shape coefficient beyond `betas_within` gets the mean shape; one whose joints are `within_m` metres and
    more from the labelled 3D points, in the mean over those that both have, the means aligned, gets weight 0. Its
    joints are those of `bodies` by the label's name, of Human3.6M's regressor where the body has it. DatasetError
    without one.
    """
    checked = partial(_checked, betas_within=betas_within, within_m=within_m, bodies=bodies)
    return View(dataset, partial(Sample.map, function=checked))


def _checked(
    person: LabelledPerson, betas_within: float | None, within_m: float | None, bodies: Mapping[str, BodyModel]
) -> LabelledPerson:
    if not person.pose_weight.any():
        return person
    if betas_within is not None and bool((person.pose.shape.abs() > betas_within).any()):
        person = replace(person, pose=replace(person.pose, shape=torch.zeros_like(person.pose.shape)))
    if within_m is None or _fit_error_m(person, within_m, bodies) < within_m:
        return person
    zero = torch.zeros(())
    return replace(person, pose_weight=torch.zeros(24), shape_weight=zero, translation_weight=zero)


def _fit_error_m(person: LabelledPerson, within_m: float, bodies: Mapping[str, BodyModel]) -> float:
    if person.body not in bodies:
        raise DatasetError(
            f"fits within {1000 * within_m:.0f} mm of their points: expected the body {person.body!r}, on which that "
            f"is measured, got {', '.join(bodies) or 'none'}; give SMPL's files with --body."
        )
    body = bodies[person.body]
    own = H36M17 if H36M17.name in body.keypoint_names else SMPL24
    here, there = own.map_to(person.joint_set)
    known = person.points3d_weight[there] > 0
    fitted, labelled = body.points(body(person.pose), own)[here][known], person.points3d[there][known]
    away = fitted - fitted.mean(0) - labelled + labelled.mean(0)
    return float(away.norm(dim=-1).mean()) if len(labelled) else 0.0


def on_trained_body(dataset: Dataset, bodies: BodyFiles) -> Dataset:
    """The dataset with poses and shapes of the body that `bodies` predicts; DataError where they are of another.

    SMPL's male and female labels are converted to the neutral body (`onto`) with the user's files of them. A child's
    shape is of a template of its own, so that only its pose counts. Labels without pose and shape pass.
    """
    if not isinstance(dataset, BatchMaker):
        return View(dataset, partial(Sample.map, function=partial(_converted, bodies=bodies)))
    body = getattr(dataset, "body", None)  # of the people that it makes
    if isinstance(body, BodyModel) and label_of(body) != label_of(bodies.predicted):
        raise _other_body(label_of(body), bodies.predicted)
    return dataset


def _converted(person: LabelledPerson, bodies: BodyFiles) -> LabelledPerson:
    label, body = person.body.removesuffix(_CHILD), bodies.predicted
    labelled = person.pose_weight.any() or person.shape_weight > 0 or person.translation_weight > 0
    if not labelled or person.body == label_of(body):
        return person
    if label not in (NEUTRAL, "smpl-male", "smpl-female") or label_of(body) != NEUTRAL:
        raise _other_body(person.body, body)
    if label != person.body:
        zero = torch.zeros(())
        return replace(person, body=NEUTRAL, shape_weight=zero, translation_weight=zero)
    return replace(person, body=NEUTRAL, pose=onto(person.pose, bodies[label], body))


def _other_body(label: str, body: BodyModel) -> DataError:
    if label_of(body) == NEUTRAL:
        advice = "take a data set, or fits, of SMPL's body"
    elif label.startswith("smpl-"):
        advice = "give your SMPL files with --body"
    else:
        advice = "take a data set of humesh's own people"
    return DataError(f"pose and shape labels: expected the trained body {body.name!r}, got {label!r}; {advice}.")
