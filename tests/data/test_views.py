"""Views of data sets: each person once, fits checked by their joints, and joints put where the fits have them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from humesh.body.joints import COCO17, H36M17, JOTR30, MUCO21, SMPL24
from humesh.body.label_bodies import NEUTRAL
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.crops.crops import CropSpec
from humesh.data.batch import Groups
from humesh.data.datasets.labels import below_the_head, person_2d, person_3d, usable, with_smpl
from humesh.data.datasets.reader import DatasetError
from humesh.data.drawn import DrawnPeople
from humesh.data.sample import LabelledPerson, Sample, as_joint_set, joints_of_fit
from humesh.data.views import EachPerson, checked_fits
from humesh.geometry.camera import Camera
from humesh.media.photo import Photo

CAMERA = Camera.virtual(150.0, (160, 128))
PHOTO = Photo.of(np.zeros((128, 160, 3), np.uint8), CAMERA)


class Listed:
    """Photos of 2, 0 and 3 people, whose identities are 10 x photo + person."""

    tracks: tuple[range, ...] = ()
    people_per_photo = (2, 0, 3)

    def __len__(self) -> int:
        return len(self.people_per_photo)

    def __getitem__(self, index: int) -> Sample:
        box, points = np.array([0.0, 0.0, 40.0, 80.0]), np.ones((30, 3))
        people = (person_2d(box, points, JOTR30, 10 * index + i) for i in range(self.people_per_photo[index]))
        return Sample(PHOTO, tuple(people), f"{index}.jpg")


class Alone:
    """One photo of one person."""

    tracks: tuple[range, ...] = ()

    def __init__(self, person: LabelledPerson) -> None:
        self.person = person

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Sample:
        return Sample(PHOTO, (self.person,))


def test_each_person_is_a_sample_once() -> None:
    dataset = EachPerson(Listed())
    assert len(dataset) == 5
    seen = [(dataset[i].name, [p.identity for p in dataset[i].people]) for i in range(5)]
    assert seen == [("0.jpg", [0]), ("0.jpg", [1]), ("2.jpg", [20]), ("2.jpg", [21]), ("2.jpg", [22])]
    with pytest.raises(DatasetError, match="each_person: DrawnPeople does not list its people"):
        EachPerson(DrawnPeople(1))


def _person(open_body: BodyModel, pose: BodyPose, joint_set: Any = MUCO21, **more: Any) -> LabelledPerson:
    """A person whose labelled 3D points are those of a pose, with a fit of no translation."""
    points = open_body.points(open_body(pose), joint_set if joint_set is not MUCO21 else SMPL24)
    if joint_set is MUCO21:
        points = as_joint_set(_sample(points, SMPL24), MUCO21).people[0].points3d
    known = np.array([float(joint_set is not MUCO21 or name in SMPL24.names) for name in joint_set.names])
    pixels = CAMERA.project(points.double()).numpy()
    person = person_3d(1, joint_set, PHOTO, pixels, points.double().numpy(), known, **more)
    fit = replace(pose, translation=torch.zeros(3))
    return replace(with_smpl(person, (fit, 0.0), "open"), body="open")


def _sample(points: torch.Tensor, joint_set: Any) -> Sample:
    person = person_3d(1, joint_set, PHOTO, np.zeros((len(points), 2)), points.double().numpy())
    return Sample(PHOTO, (person,))


def _pose(seed: int = 0) -> BodyPose:
    rng = torch.Generator().manual_seed(seed)
    turns = torch.linalg.qr(torch.eye(3) + 0.2 * torch.randn(24, 3, 3, generator=rng)).Q
    turns = turns * torch.linalg.det(turns).sign()[:, None, None]
    return BodyPose(turns, 0.5 * torch.randn(10, generator=rng), torch.tensor([0.3, -0.2, 4.0]))


def test_fits_far_from_their_points_do_not_count(open_body: BodyModel) -> None:
    """A fit of the points' own body is 0 off; lengthened by s, the mean distance from the mean grows by s - 1."""
    pose = _pose()
    person = _person(open_body, pose, H36M17)
    points = person.points3d
    spread = float((points - points.mean(0)).norm(dim=-1).mean())
    for off_m, kept in ((0.024, True), (0.026, False)):
        scaled = points.mean(0) + (points - points.mean(0)) * (1 + off_m / spread)
        moved = replace(person, points3d=scaled + torch.tensor([1.0, 2.0, 3.0]))
        (checked,) = checked_fits(Alone(moved), None, 0.025, {"open": open_body})[0].people
        assert bool(checked.pose_weight.any()) == bool(checked.shape_weight) == kept
        assert bool(checked.points3d_weight.all())
    with pytest.raises(DatasetError, match=r"within 25 mm .* expected the body 'open', .* got none; give SMPL's files"):
        checked_fits(Alone(person), None, 0.025, {})[0]


def test_large_betas_become_the_mean_shape(open_body: BodyModel) -> None:
    for largest, kept in ((3.0, True), (-3.1, False)):
        pose = replace(_pose(), shape=torch.tensor([largest, *[0.5] * 9]))
        (checked,) = checked_fits(Alone(_person(open_body, pose)), 3.0, None, {})[0].people
        assert torch.equal(checked.pose.shape, pose.shape if kept else torch.zeros(10))
        assert checked.shape_weight == 1


def _in_jotr(person: LabelledPerson) -> LabelledPerson:
    return as_joint_set(Sample(PHOTO, (person,)), JOTR30).people[0]


def test_all_24_joints_come_from_the_fit(open_body: BodyModel) -> None:
    """MuCo labels 17 of them: the others, spine and collars among them, stand where the posed body has them."""
    pose = _pose()
    person = _in_jotr(_person(open_body, pose))
    assert person.points3d_weight[JOTR30.index("spine1")] == 0
    filled = joints_of_fit(person, open_body, CAMERA)
    at = JOTR30.indices(*SMPL24.names)
    assert filled.points3d_weight[at].all()
    torch.testing.assert_close(filled.points3d[at], open_body.joints(pose), rtol=0, atol=1e-5)
    assert filled.metric
    assert filled.points2d_weight[at].all()
    there = CAMERA.project(open_body.joints(pose).double()).float()
    torch.testing.assert_close(filled.points2d[at], there, rtol=0, atol=1e-2)
    face = JOTR30.index("nose")
    assert filled.points3d_weight[face] == person.points3d_weight[face] == 0


def test_fits_without_3d_points_give_differences_alone(open_body: BodyModel) -> None:
    flat = person_2d(np.array([0.0, 0.0, 40.0, 80.0]), np.ones((30, 3)) * [5, 6, 1], JOTR30, 1)
    pose = replace(_pose(), translation=torch.zeros(3))
    filled = joints_of_fit(with_smpl(flat, (pose, 0.0), "open"), open_body, CAMERA)
    assert not filled.metric
    assert torch.equal(filled.points2d, flat.points2d)
    torch.testing.assert_close(filled.points3d[: len(SMPL24)], open_body.joints(pose))
    universal = replace(_in_jotr(_person(open_body, _pose())), metric=False)
    assert not joints_of_fit(universal, open_body, CAMERA).metric
    standing = with_smpl(flat, (replace(pose, translation=torch.tensor([0.0, 0.0, 3.0])), 1.0), "open")
    assert joints_of_fit(standing, open_body, CAMERA).metric
    for other in (flat, with_smpl(flat, (pose, 0.0), NEUTRAL)):  # no fit, or one of another body
        assert joints_of_fit(other, open_body, CAMERA) is other


def test_batches_hold_joints_of_fits_and_what_is_metric(open_body: BodyModel) -> None:
    person = _person(open_body, _pose())
    spec = CropSpec(size=(64, 64), group="single", keypoints=JOTR30)
    for metric in (True, False):
        dataset = Alone(replace(person, metric=metric))
        batch = Groups(spec, [dataset], open_body, joints_from_fits=True)[0]
        assert batch.targets.points3d_weight[0, 0, JOTR30.indices(*SMPL24.names)].all()
        assert batch.targets.metric_weight.tolist() == [[float(metric)]]
    assert not Groups(spec, [dataset], open_body)[0].targets.points3d_weight[0, 0, JOTR30.index("spine1")]


def test_what_can_be_cut_out() -> None:
    assert usable(np.array([3.0, 4.0, 5.0, 12.0]))
    assert not usable(np.array([3.0, 4.0, 9.0, 11.9]))
    points = np.zeros((17, 3))
    points[[0, 1, 2, 5, 11], 2] = 1  # nose, eyes, a shoulder, a hip
    assert below_the_head(points, COCO17) == 2
