"""One labelled photo, as every dataset gives it, and what a dataset is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from humesh.body.joints import JOTR30, SMPL24, JointSet
from humesh.body.label_bodies import label_of
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.geometry.camera import Camera
from humesh.media.photo import Photo
from humesh.people.person import Person

_NEAR_M = 0.1  # nearer to the camera nothing is projected


@dataclass(frozen=True, eq=False)
class LabelledPerson:
    """A person of a photo as a detector would find them, and labels of their body; weight 0: not known.

    3D is in metres in the photo's camera frame, 2D in the photo's pixels. `metric`: the 3D points stand where the
    person stood, in true size; False where only differences between them count (skeletons of one height, guessed
    cameras). `visible`: 0 where something (also the person's own body) or the photo's edge hides a point. `identity` is
    the same number for the same person in all samples of a dataset. `body`: whose pose and shape the labels are:
    "open", "smpl-neutral", "smpl-male", "smpl-female", "smplx-neutral" ...
    """

    seen: Person
    identity: int
    pose: BodyPose  # rotations 24 3 3, shape S, translation 3
    pose_weight: Float[Tensor, " J"]
    shape_weight: Float[Tensor, ""]
    translation_weight: Float[Tensor, ""]
    joint_set: JointSet
    points3d: Float[Tensor, "K 3"]
    points3d_weight: Float[Tensor, " K"]
    points2d: Float[Tensor, "K 2"]
    points2d_weight: Float[Tensor, " K"]
    visible: Float[Tensor, " K"]
    body: str = "open"
    metric: bool = True

    @classmethod
    def fully_labelled(
        cls,
        seen: Person,
        identity: int,
        pose: BodyPose,
        points3d: Float[Tensor, "30 3"],
        points2d: Float[Tensor, "30 2"],
        visible: Float[Tensor, "30"],
        points2d_weight: Float[Tensor, "30"],
        body: str = "open",
    ) -> LabelledPerson:
        """A person whose pose, shape, place and points (JOTR30) are all known, as those that we make ourselves."""
        one, every = torch.ones(()), torch.ones(len(JOTR30))
        return cls(
            seen, identity, pose, torch.ones(len(SMPL24)), one, one, JOTR30, points3d, every, points2d,
            points2d_weight, visible, body,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Sample:
    """A photo with its labelled people; `name` finds it again in its dataset, `sequence` and `frame` in a benchmark.

    `time_s`: when a video's frame was taken, in seconds; None: not known.
    """

    photo: Photo
    people: tuple[LabelledPerson, ...]
    name: str = ""
    sequence: str = ""
    frame: int = 0
    time_s: float | None = None

    def map(self, function: Callable[[LabelledPerson], LabelledPerson]) -> Sample:
        """The sample with a function applied to each person."""
        return replace(self, people=tuple(map(function, self.people)))


@runtime_checkable
class Dataset(Protocol):
    """Labelled photos by number; the same number is always the same sample.

    `tracks`: ranges of samples that are consecutive frames of one video, for methods that look at frames; empty for
    photos. A dataset may also list its `people_per_photo`; and one with variations of some samples has their number,
    `stored`: sample i is a variation of sample i % stored.
    """

    tracks: tuple[range, ...]

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...


def stored(dataset: Dataset) -> int:
    """How many samples of a dataset are not variations of others."""
    return int(getattr(dataset, "stored", len(dataset)))


class View:
    """A dataset whose samples are changed one by one."""

    def __init__(self, dataset: Dataset, changed: Callable[[Sample], Sample]) -> None:
        self.dataset, self.changed = dataset, changed
        self.tracks, self.stored = dataset.tracks, stored(dataset)
        self.people_per_photo = getattr(dataset, "people_per_photo", None)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        return self.changed(self.dataset[index])


def as_joint_set(sample: Sample, joint_set: JointSet) -> Sample:
    """The sample with its labels in another joint set, by name; points that it has none of have weight 0."""

    def moved(person: LabelledPerson) -> LabelledPerson:
        if person.joint_set == joint_set:
            return person
        here, there = person.joint_set.map_to(joint_set)
        changed = {}
        for name in ("points3d", "points3d_weight", "points2d", "points2d_weight", "visible"):
            old = getattr(person, name)
            changed[name] = old.new_zeros(len(joint_set), *old.shape[1:])
            changed[name][there] = old[here]
        return replace(person, joint_set=joint_set, **changed)

    return sample.map(moved)


def joints_of_fit(person: LabelledPerson, body: BodyModel, camera: Camera) -> LabelledPerson:
    """The person with SMPL's 24 joints as their fit has them, in a joint set that holds all of these.

    Without a labelled translation they are moved to the labelled 3D points, in the mean of those that both have;
    without such points they stand before the camera's centre and are not metric. Joints without a 2D label get the
    projected one where the 3D is metric. People without a fit of this body stay as they are.
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
