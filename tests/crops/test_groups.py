"""People become the groups of crops that a method asks for."""

import numpy as np
import pytest
import torch

from humesh.body.joints import COCO17, JOTR30, MEDIAPIPE33, SMPL24, JointSet
from humesh.crops.crops import CropSpec, confidence_of_joints, group_people, keypoints_as
from humesh.media.photo import Photo
from humesh.people.person import Person

PHOTO = Photo.of(np.random.default_rng(0).integers(0, 256, (100, 160, 3), dtype=np.uint8))


def _person(x: float, joint_set: JointSet | None = COCO17) -> Person:
    if joint_set is None:
        return Person(np.array([x, 20.0, x + 20, 60.0]), 0.9)
    keypoints = np.random.default_rng(int(x)).uniform([x, 20, 0.2], [x + 20, 60, 1], (len(joint_set), 3))
    return Person(np.array([x, 20.0, x + 20, 60.0]), 0.9, keypoints, joint_set)


def test_single_people_are_groups_of_one() -> None:
    crops = group_people(CropSpec((64, 64), keypoints=JOTR30, margin=1.5), PHOTO, [_person(10), _person(90)])
    assert crops.pixels.shape == (2, 1, 3, 64, 64)
    assert crops.present.all()
    assert crops.wanted.all()
    # 64 pixels for 1.5 x 40: the box's middle is the crop's, and its keypoints moved along.
    assert torch.allclose(crops.crop_from_photo[:, 0, :, :2], torch.eye(2) * 64 / 60, atol=1e-6)
    nose = torch.tensor(_person(90).keypoints[0, :2]).float()
    expected = (nose - torch.tensor([100.0, 40.0])) * 64 / 60 + 32
    assert torch.allclose(crops.keypoints[1, 0, JOTR30.index("nose"), :2], expected, atol=1e-4)


def test_regions_of_one_person_share_a_group() -> None:
    copies = ((0.0, 0.0, 1.0), (0.1, 0.0, 1.5), (0.0, -0.1, 0.65))
    crops = group_people(CropSpec((64, 48), "rois", 3, copies=copies), PHOTO, [_person(10), _person(90)])
    assert crops.pixels.shape == (2, 3, 3, 64, 48)
    assert crops.wanted.tolist() == [[True, False, False]] * 2
    heights = 64 / crops.crop_from_photo[0, :, 0, 0]
    assert torch.allclose(heights, 40 * torch.tensor([1.0, 1.5, 0.65]))
    centre = torch.tensor([24.0, 32.0])
    moved = (centre - crops.crop_from_photo[0, 1, :, 2]) / crops.crop_from_photo[0, 1, 0, 0]
    assert torch.allclose(moved, torch.tensor([20.0 + 4, 40.0]), atol=1e-4)  # 0.1 of the original height


def test_the_people_of_a_photo_share_a_group() -> None:
    people = [_person(10), _person(60), _person(110)]
    crops = group_people(CropSpec((32, 32), "people", None), PHOTO, people)
    assert crops.pixels.shape == (1, 3, 3, 32, 32)
    assert crops.wanted.all()
    with pytest.raises(ValueError, match="at most 2 people in a group, got 3"):
        group_people(CropSpec((32, 32), "people", 2), PHOTO, people)


def test_keypoints_are_matched_by_name() -> None:
    person = _person(10)
    points = dict(zip(JOTR30.names, keypoints_as(person, JOTR30), strict=True))
    given = dict(zip(COCO17.names, person.keypoints, strict=True))
    assert np.array_equal(points["left_knee"], given["left_knee"])
    hips = [given["left_hip"], given["right_hip"]]
    assert np.allclose(points["pelvis"][:2], np.mean(hips, axis=0)[:2])
    assert points["pelvis"][2] == pytest.approx(hips[0][2] * hips[1][2])
    assert points["neck"][2] == pytest.approx(given["left_shoulder"][2] * given["right_shoulder"][2])
    assert points["spine1"].tolist() == [0, 0, 0]
    assert keypoints_as(person, None).shape == (0, 3)
    assert keypoints_as(_person(10, MEDIAPIPE33), SMPL24)[SMPL24.index("neck"), 2] > 0


def test_what_cannot_be_matched_is_refused() -> None:
    with pytest.raises(ValueError, match="needs 2D keypoints of 'jotr30', got a person with only a box"):
        group_people(CropSpec((32, 32), keypoints=JOTR30), PHOTO, [_person(10, None)])
    paws = JointSet("dog4", ("front_left_paw", "front_right_paw", "tail", "snout"))
    with pytest.raises(ValueError, match="share joints with 'jotr30', got 'dog4'"):
        keypoints_as(_person(10, paws), JOTR30)


def test_joints_are_as_visible_as_their_landmarks() -> None:
    """In a photo of 100 x 80 pixels; knees under 0.7 are guesses where the ankle is under 0.3."""
    points = np.array([[50.0, 40, 0.9]] * len(MEDIAPIPE33))
    points[MEDIAPIPE33.indices("left_elbow"), 0] = 101
    points[MEDIAPIPE33.indices("right_elbow"), 1] = -1
    points[MEDIAPIPE33.indices("left_hip"), 2] = 0.5
    points[MEDIAPIPE33.indices("left_pinky"), 2] = 0.1
    points[MEDIAPIPE33.indices("left_knee", "right_knee"), 2] = 0.6
    points[MEDIAPIPE33.indices("left_ankle"), 2] = 0.2
    person = Person(np.array([0.0, 0, 90, 70]), 1.0, points, MEDIAPIPE33)
    (confidence,) = confidence_of_joints([person], (100, 80))
    found = dict(zip(SMPL24.names, confidence.tolist(), strict=True))
    expected = dict.fromkeys(SMPL24.names, 0.9) | {
        "left_elbow": 0, "right_elbow": 0, "left_hip": 0.5, "pelvis": 0.7, "spine1": 0.7, "spine2": 0.8, "spine3": 0.8,
        "left_hand": 0.5, "left_knee": 0, "right_knee": 0.6, "left_ankle": 0.2,
    }  # fmt: skip
    assert found == pytest.approx(expected)
    assert confidence_of_joints([person, _person(10)], (100, 80)).eq(1).all()
    assert confidence_of_joints([], (100, 80)).shape == (0, 24)
