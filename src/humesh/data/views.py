"""Data sets of photos seen in another way: one sample a person, checked fits, joints from the fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from humesh.body.joints import H36M17, SMPL24
from humesh.body.label_bodies import label_of
from humesh.body.model import BodyModel
from humesh.data.datasets import DatasetError
from humesh.data.sample import Dataset, LabelledPerson, Sample
from humesh.geometry.camera import Camera

_NEAR_M = 0.1  # nearer to the camera nothing is projected


class EachPerson:
    """A dataset of photos with one sample a person: the photo with that person alone (JOTR, SPIN's line of work).

    DatasetError where the dataset cannot tell how many people its photos have (`people_per_photo`).
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


class CheckedFits:
    """A dataset whose fits are checked as JOTR and 3DCrowdNet do it (in this order).

    A fit with a shape coefficient beyond `betas_within` gets the mean shape; one whose joints are `within_m` metres and
    more from the labelled 3D points, in the mean over those that both have, the means aligned, counts no more. Its
    joints are those of `bodies` by the label's name, of Human3.6M's regressor where the body has it. DatasetError
    without one.
    """

    def __init__(
        self, dataset: Dataset, betas_within: float | None, within_m: float | None, bodies: Mapping[str, BodyModel]
    ) -> None:
        self.dataset, self.tracks = dataset, dataset.tracks
        self.people_per_photo = getattr(dataset, "people_per_photo", None)
        self.betas_within, self.within_m, self.bodies = betas_within, within_m, bodies

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        sample = self.dataset[index]
        return replace(sample, people=tuple(map(self._checked, sample.people)))

    def _checked(self, person: LabelledPerson) -> LabelledPerson:
        if not person.pose_weight.any():
            return person
        if self.betas_within is not None and bool((person.pose.shape.abs() > self.betas_within).any()):
            person = replace(person, pose=replace(person.pose, shape=torch.zeros_like(person.pose.shape)))
        if self.within_m is None or self._error_m(person) < self.within_m:
            return person
        pose, nothing = torch.zeros_like(person.pose_weight), torch.zeros(())
        return replace(person, pose_weight=pose, shape_weight=nothing, translation_weight=nothing)

    def _error_m(self, person: LabelledPerson) -> float:
        if person.body not in self.bodies:
            raise DatasetError(
                f"fits within {1000 * (self.within_m or 0):.0f} mm of their points: expected the body {person.body!r}, "
                f"on which that is measured, got {', '.join(self.bodies) or 'none'}; give SMPL's files with --body."
            )
        body = self.bodies[person.body]
        own = H36M17 if H36M17.name in body.keypoint_names else SMPL24
        here, there = own.map_to(person.joint_set)
        known = person.points3d_weight[there] > 0
        made, true = body.points(body(person.pose), own)[here][known], person.points3d[there][known]
        return float((made - made.mean(0) - true + true.mean(0)).norm(dim=-1).mean()) if len(true) else 0.0


def joints_of_fit(person: LabelledPerson, body: BodyModel, camera: Camera) -> LabelledPerson:
    """The person with SMPL's 24 joints as their fit has them, in a joint set that holds all of these.

    Without a labelled translation they are moved to where the labelled 3D points are, in the mean of those that both
    have; without such points they stand before the camera's centre and are not metric. Joints that had no 2D label get
    the projected one where the 3D is metric. People without a fit of this body stay as they are.
    """
    fitted = bool(person.pose_weight.all()) and bool(person.shape_weight > 0)
    if not fitted or person.body != label_of(body):
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
