"""People without pictures: labels agree with the body, joints are hidden for a reason, a number is a person."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from humesh.body.joints import JOTR30, LIMBS12, MEDIAPIPE33
from humesh.body.model import BodyModel
from humesh.crops.crops import CropSpec, jotr_box
from humesh.data.augment import Augment
from humesh.data.batch import Groups, joined, split
from humesh.data.synthetic.motion import MotionError
from humesh.data.synthetic.posed import PosedPeople
from humesh.geometry.align import procrustes
from humesh.geometry.boxes import affine_apply, affine_inverse
from humesh.methods.rois import ROI_COPIES

LIMBS = JOTR30.indices(*LIMBS12.names)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> PosedPeople:
    path = tmp_path_factory.mktemp("motion") / "poses.npz"
    np.savez(path, poses=np.random.default_rng(0).normal(0, 0.25, (200, 24, 3)))
    return PosedPeople([path], seed=3)


def test_labels_are_those_of_the_posed_body(people: PosedPeople) -> None:
    body = BodyModel.load("open-low")
    for number in (0, 7, 255):
        sample = people[number]
        (person,) = sample.people
        points = body.points(body(person.pose.map(lambda tensor: tensor[None])), JOTR30)[0]
        assert torch.allclose(points, person.points3d, atol=1e-4)
        pixels = sample.photo.camera.project(person.points3d.double()).float()
        ahead = person.points2d_weight > 0
        assert torch.allclose(pixels[ahead], person.points2d[ahead], atol=1e-2)


def test_what_can_be_seen_is_inside_and_something_is_hidden(people: PosedPeople) -> None:
    share = []
    for number in range(64):
        (person,) = people[number].people
        seen = person.visible > 0
        inside = ((person.points2d >= 0) & (person.points2d < 256)).all(-1)
        assert not (seen & ~inside).any()
        share.append(float(seen[LIMBS].float().mean()))
        assert person.seen.keypoint_set == MEDIAPIPE33
    assert 0.3 < np.mean(share) < 0.9


def test_the_side_away_from_the_camera_is_hidden_more_often(people: PosedPeople) -> None:
    """The own body hides: of two ears the farther one is seen more seldom."""
    ears = JOTR30.indices("left_ear", "right_ear")
    near, far = [], []
    for number in range(128):
        (person,) = people[number].people
        depth = person.points3d[ears, 2]
        if abs(float(depth[0] - depth[1])) > 0.08:
            first = int(depth.argmin())
            near.append(float(person.visible[ears[first]]))
            far.append(float(person.visible[ears[1 - first]]))
    assert len(near) > 20
    assert np.mean(near) > np.mean(far) + 0.3


def test_a_number_is_a_person(people: PosedPeople) -> None:
    again = PosedPeople.__new__(PosedPeople)
    again.__dict__.update(people.__dict__, _last=None)
    one, other = people[300].people[0], again[300].people[0]
    assert torch.equal(one.pose.rotations, other.pose.rotations)
    assert np.array_equal(one.seen.keypoints, other.seen.keypoints)
    assert not torch.equal(one.pose.rotations, people[301].people[0].pose.rotations)
    with pytest.raises(IndexError, match="expected a sample below"):
        people[len(people)]


def test_a_whole_batch_is_its_people_one_by_one(people: PosedPeople) -> None:
    """The fast path against the general one, bit for bit but for the rounding of projected labels."""
    spec = CropSpec((32, 32), keypoints=JOTR30, box=jotr_box, landmarks=True)
    groups = Groups(spec, [split(people, 1024)[0]], people.body, seed=5)
    numbers = [3, 4, 5, 600]
    one = joined([groups[number] for number in numbers])
    (many,) = groups.__getitems__(numbers)
    for name in ("pixels", "crop_from_photo", "keypoints", "landmarks", "present", "wanted"):
        assert torch.equal(getattr(one.crops, name), getattr(many.crops, name)), name
    assert torch.equal(one.crops.photo_camera.matrix, many.crops.photo_camera.matrix)
    for name in ("points3d", "points2d", "points3d_weight", "points2d_weight", "pose_weight", "identity"):
        assert torch.allclose(getattr(one.targets, name), getattr(many.targets, name), atol=1e-3), name
    for name in ("rotations", "shape", "translation"):
        assert torch.equal(getattr(one.targets.pose, name), getattr(many.targets.pose, name))
    assert torch.equal(many.crops.keypoints, groups.__getitems__(numbers)[0].crops.keypoints)


@pytest.mark.parametrize(("group", "copies"), [("people", ((0.0, 0.0, 1.0),)), ("rois", ROI_COPIES[:2])])
def test_groups_of_several_crops_are_not_made_at_once(people: PosedPeople, group: str, copies: Any) -> None:
    spec = CropSpec((32, 32), group, None, keypoints=JOTR30, box=jotr_box, landmarks=True, copies=copies)
    groups = Groups(spec, [people], people.body, people=2)
    batches = groups.__getitems__([3, 4])
    assert [batch.crops.present.tolist() for batch in batches] == [[[True, group == "rois"]]] * 2


def test_boxes_of_whole_batches_are_varied_by_the_seed(people: PosedPeople) -> None:
    spec = CropSpec((32, 32), keypoints=JOTR30, box=jotr_box, landmarks=True)
    plain, moved, again = (
        Groups(spec, [people], people.body, augment=augment, seed=2).__getitems__(list(range(64)))[0].crops
        for augment in (Augment(), Augment(centre=0.1, scale=0.2), Augment(centre=0.1, scale=0.2))
    )
    assert torch.equal(moved.crop_from_photo, again.crop_from_photo)
    zoom = (moved.crop_from_photo[..., 0, 0] / plain.crop_from_photo[..., 0, 0]).log()
    assert 0.1 < float(zoom.std()) < 0.3
    back = affine_inverse(moved.crop_from_photo), affine_inverse(plain.crop_from_photo)
    points = [affine_apply(a, c.keypoints[..., :2]) for a, c in zip(back, (moved, plain), strict=True)]
    assert torch.allclose(*points, atol=0.01)  # the same places of the photo


def test_a_missing_motion_is_told(tmp_path: Path) -> None:
    with pytest.raises(MotionError, match=r"none\.npz"):
        PosedPeople([tmp_path / "none.npz"])


def test_a_guessed_focal_length_changes_nothing_but_the_camera(people: PosedPeople) -> None:
    spec = CropSpec((32, 32), keypoints=JOTR30, box=jotr_box, landmarks=True)
    numbers = list(range(512))
    guess = [Augment(focal=focal) for focal in (0.0, 0.2)]
    true, guessed = (people.batch(numbers, spec, augment, np.random.default_rng(0)) for augment in guess)
    ratio = guessed.crops.photo_camera.focal_px / true.crops.photo_camera.focal_px
    wrong = ratio[..., 0] != 1
    assert wrong.float().mean() == pytest.approx(0.6, abs=0.07)
    assert ratio[wrong].log().std() == pytest.approx(0.2, rel=0.15)
    assert torch.equal(guessed.crops.keypoints, true.crops.keypoints)
    assert torch.equal(guessed.targets.points3d, true.targets.points3d)


def test_landmarks_belong_to_the_keypoints(people: PosedPeople) -> None:
    """Of people who are seen well they are near the truth, a little too small."""
    points = people.chunk(0)
    seen = points.visible.float().mean(1) > 0.8
    mp, jotr = MEDIAPIPE33.indices(*LIMBS12.names), JOTR30.indices(*LIMBS12.names)
    true, made = points.points[seen][:, jotr].double(), points.landmarks[seen][:, mp].double()
    fitted = procrustes(made, true)
    errors = (fitted(made) - true).norm(dim=-1).mean(1)
    assert 0.02 < errors.median() < 0.09
    assert 1 / fitted.scale.median() == pytest.approx(0.9, abs=0.05)
