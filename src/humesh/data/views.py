"""Data sets of photos seen in another way: one sample a person, no extreme shapes, joints from the fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from humesh.body.joints import SMPL24
from humesh.body.model import BodyModel
from humesh.data.datasets import DatasetError
from humesh.data.sample import Dataset, LabelledPerson, Sample
from humesh.geometry.camera import Camera

_NEAR_M = 0.1  # nearer to the camera nothing is projected


class EachPerson:
    """A dataset of photos with one sample a person: the photo with that person alone (JOTR, SPIN's line of work).

    DatasetError where the dataset cannot tell how many people its photos have (`people`, a number a photo).
    """

    tracks: tuple[range, ...] = ()

    def __init__(self, dataset: Dataset) -> None:
        people: Sequence[int] | None = getattr(dataset, "people", None)
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


class WithinBetas:
    """A dataset whose fits with a shape coefficient beyond a bound get the mean shape (JOTR, 3DCrowdNet: 3)."""

    def __init__(self, dataset: Dataset, bound: float) -> None:
        self.dataset, self.bound, self.tracks = dataset, bound, dataset.tracks
        self.people = getattr(dataset, "people", None)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        sample = self.dataset[index]
        return replace(sample, people=tuple(map(self._bounded, sample.people)))

    def _bounded(self, person: LabelledPerson) -> LabelledPerson:
        if bool((person.pose.shape.abs() <= self.bound).all()):
            return person
        return replace(person, pose=replace(person.pose, shape=torch.zeros_like(person.pose.shape)))


def joints_of_fit(person: LabelledPerson, body: BodyModel, camera: Camera) -> LabelledPerson:
    """The person with SMPL's 24 joints as their fit has them, in a joint set that holds all of these.

    Without a labelled translation they are moved to where the labelled 3D points are, in the mean of those that both
    have; without such points they stand before the camera's centre and are not metric. Joints that had no 2D label get
    the projected one where the 3D is metric. People without a fit of this body stay as they are.
    """
    fitted = bool(person.pose_weight.all()) and bool(person.shape_weight > 0)
    if not fitted or (person.body == "open") != body.name.startswith("open"):
        return person
    at = person.joint_set.indices(*SMPL24.names)
    joints, known = body.joints(person.pose), person.points3d_weight[at] > 0
    metric = bool(person.translation_weight > 0)
    if not metric and bool(known.any()):
        joints = joints + (person.points3d[at] - joints)[known].mean(0)
        metric = person.metric
    points3d, weight3d = person.points3d.clone(), person.points3d_weight.clone()
    points3d[at], weight3d[at] = joints.to(points3d), person.pose_weight.to(weight3d)
    points2d, weight2d = person.points2d.clone(), person.points2d_weight.clone()
    if metric:
        lacking = [j for j in at if weight2d[j] == 0 and points3d[j, 2] > _NEAR_M]
        points2d[lacking] = camera.project(points3d[lacking].double()).to(points2d)
        weight2d[lacking] = weight3d[lacking]
    return replace(
        person, points3d=points3d, points3d_weight=weight3d, points2d=points2d, points2d_weight=weight2d, metric=metric
    )
