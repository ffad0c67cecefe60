"""The lifter: what it is given, that it answers along the ray, and that it needs no picture."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from humesh.body.joints import COCO17, JOTR30, MEDIAPIPE33
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.crops.crops import Crops, group_people
from humesh.geometry.camera import Camera
from humesh.losses import Targets
from humesh.media.photo import Photo
from humesh.methods.lifter import _FLOOR_M, _OWN, Lifter, LifterConfig, LifterMethod, calibrated, ray_of
from humesh.people.person import Person


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load("open-low")


@pytest.fixture(scope="module")
def method(body: BodyModel) -> LifterMethod:
    torch.manual_seed(0)
    method = LifterMethod(LifterConfig(width=48, blocks=2), body).eval()
    for parameter in method.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return method


def _person(rng: np.random.Generator, shift: float = 0.0) -> Person:
    points = np.concatenate(
        [rng.uniform(150, 350, (33, 2)) + np.array([shift, 0]), rng.uniform(0.5, 1, (33, 1))], axis=1
    )
    box = np.array([150.0 + shift, 150, 350 + shift, 350])
    return Person(box, 1.0, points, MEDIAPIPE33, rng.normal(0, 0.3, (33, 3)))


def _crops(method: LifterMethod, *people: Person, roll: float = 0.0) -> Crops:
    photo = Photo.of(np.zeros((500, 700, 3), np.uint8), Camera.virtual(500.0, (700, 500)))
    return group_people(method.spec, photo, list(people), roll)


def test_the_picture_does_not_matter_and_points_and_landmarks_do(method: LifterMethod) -> None:
    crops = _crops(method, _person(np.random.default_rng(0)))
    with torch.no_grad():
        plain = method(crops).pose.rotations
        assert torch.equal(method(replace(crops, pixels=torch.rand_like(crops.pixels))).pose.rotations, plain)
        for name in ("keypoints", "landmarks"):
            other = replace(crops, **{name: getattr(crops, name) * 0.9})
            assert not torch.allclose(method(other).pose.rotations, plain, atol=1e-4)


def test_landmarks_are_given_in_units_of_30_cm() -> None:
    """Of the order of 1, as all inputs; the shipped weights were trained so."""
    lifter, given = Lifter(2, 3, 8, 1, 10), []
    lifter.given.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    landmarks = torch.rand(1, 3, 4)
    lifter(torch.zeros(1, 2, 3), landmarks, torch.zeros(1, 3))
    assert torch.allclose(given[0][0, 6:15], landmarks[0, :, :3].flatten() / 0.3)
    assert torch.equal(given[0][0, 15:18], landmarks[0, :, 3])


def test_without_landmarks_it_does_not_look_at_them(body: BodyModel) -> None:
    method = LifterMethod(LifterConfig(width=48, blocks=1, landmarks=False), body).eval()
    crops = _crops(method, _person(np.random.default_rng(0)))
    with torch.no_grad():
        other = replace(crops, landmarks=torch.zeros_like(crops.landmarks))
        assert torch.equal(method(crops).pose.rotations, method(other).pose.rotations)


def test_unseen_points_say_nothing(method: LifterMethod) -> None:
    crops = _crops(method, _person(np.random.default_rng(1)))
    crops.keypoints[..., 3, 2] = 0.0
    moved = crops.keypoints.clone()
    moved[..., 3, :2] += 5.0
    with torch.no_grad():
        assert torch.equal(method(crops).pose.rotations, method(replace(crops, keypoints=moved)).pose.rotations)


def test_a_person_with_keypoints_of_another_detector_has_no_landmarks(method: LifterMethod) -> None:
    points = np.concatenate([np.random.default_rng(0).uniform(100, 300, (17, 2)), np.ones((17, 1))], axis=1)
    crops = _crops(method, Person(np.array([100.0, 100, 300, 300]), 1.0, points, COCO17))
    assert crops.landmarks.shape == (1, 1, 33, 4)
    assert not crops.landmarks.any()
    assert method(crops).pose.rotations.isfinite().all()


def test_landmarks_roll_with_the_crop(method: LifterMethod) -> None:
    """A quarter turn clockwise on the screen takes x to y."""
    person = _person(np.random.default_rng(2))
    plain, rolled = _crops(method, person).landmarks, _crops(method, person, roll=math.pi / 2).landmarks
    assert torch.allclose(rolled[..., :3], torch.stack([-plain[..., 1], plain[..., 0], plain[..., 2]], -1), atol=1e-6)
    hips = plain[0, 0, MEDIAPIPE33.indices("left_hip", "right_hip"), :3]
    assert torch.allclose(hips.mean(0), torch.zeros(3), atol=1e-6)


def test_the_root_is_seen_along_the_ray(method: LifterMethod) -> None:
    """The same numbers in another place of the view: the whole body turns as the ray does."""
    crops = _crops(method, _person(np.random.default_rng(3)), _person(np.random.default_rng(3), shift=150.0))
    ray = ray_of(crops)[:, 0]
    middle = crops.camera.project((3 * ray)[:, None, None])[:, 0, 0]
    assert torch.allclose(middle, torch.full((2, 2), 16.0), atol=1e-3)
    with torch.no_grad():  # without what tells the place in the view
        weight = method.lifter.given.weight
        weight[:, -3:] = 0
        pose = method(crops).pose
    assert len(JOTR30) * 3 + 33 * 4 + 3 == weight.shape[1]
    assert torch.allclose(pose.rotations[0, 0, 1:], pose.rotations[1, 0, 1:], atol=1e-5)
    turn = pose.rotations[1, 0, 0] @ pose.rotations[0, 0, 0].mT
    angle = torch.acos(((torch.trace(turn) - 1) / 2).clamp(-1, 1))
    between = torch.acos(torch.nn.functional.cosine_similarity(ray[0], ray[1], dim=0))
    assert angle == pytest.approx(float(between), abs=0.03)


def _targets(method: LifterMethod, crops: Crops, body: BodyModel) -> Targets:
    pose = BodyPose.rest(1, shapes=body.shapes)
    group = pose.map(lambda tensor: tensor[:, None].float())
    joints = body.joints(pose).float()[:, None]
    points, every = torch.cat([joints, torch.zeros(1, 1, 6, 3)], dim=2), torch.ones(1, 1)
    return Targets(
        pose=group, pose_weight=torch.ones(1, 1, 24), shape_weight=every, translation_weight=every, joint_set=JOTR30,
        points3d=points, points3d_weight=torch.ones(1, 1, 30), points2d=points[..., :2],
        points2d_weight=torch.ones(1, 1, 30), metric_weight=every, body_weight=every,
        identity=torch.zeros(1, 1, dtype=torch.long),
    )  # fmt: skip


def test_simulated_landmarks_err_as_the_network_does(method: LifterMethod, body: BodyModel) -> None:
    crops = _crops(method, _person(np.random.default_rng(0)))
    targets = _targets(method, crops, body)
    moved = method.as_detected(crops, targets).landmarks - crops.landmarks
    assert torch.equal(moved[..., 3], torch.zeros(1, 1, 33))
    hips = MEDIAPIPE33.indices("left_hip", "right_hip")
    assert torch.allclose(moved[..., hips, :3].mean(-2), torch.zeros(1, 1, 3), atol=0.1)
    assert moved[..., :3].norm(dim=-1).max() > 0.05  # the untrained network is far off
    assert moved[..., :3].norm(dim=-1).max() < 0.5  # and landmarks less
    none = replace(crops, landmarks=torch.zeros_like(crops.landmarks))
    assert method.as_detected(none, targets) is none


def test_expected_errors_are_learned_by_laplaces_likelihood(method: LifterMethod, body: BodyModel) -> None:
    """Of an error e (decimetres) and s = log of the expected one: e exp(-s) + s, least at s = log e."""
    crops = _crops(method, _person(np.random.default_rng(0)))
    targets = _targets(method, crops, body)
    prediction = method(crops)
    joints = body.joints(prediction.pose.map(lambda tensor: tensor.flatten(0, 1)))
    apart = (joints - joints.mean(1, keepdim=True)) - (
        targets.points3d[0, :, :24] - targets.points3d[0, :, :24].mean(1)
    )
    error = 10 * apart.norm(dim=-1)
    s = torch.full((1, 1, 24), 0.3)
    value, weight = method.own_terms(crops, replace(prediction, log_error=s), targets)["log_error"]
    assert torch.allclose(value[0], error * math.exp(-0.3) + 0.3, atol=1e-5)
    assert torch.equal(weight, torch.ones(1, 1, 24))


def test_expected_errors_grow_with_the_networks_and_with_doubt() -> None:
    low, high = torch.full((1, 24), -1.0), torch.full((1, 24), 1.0)
    sure, unsure = torch.ones(1, 30, 3), torch.full((1, 30, 3), 0.5)
    assert (calibrated(high, sure) > calibrated(low, sure)).all()
    assert (calibrated(low, unsure) > calibrated(low, sure)).all()
    assert torch.allclose(calibrated(low, sure), torch.hypot(_OWN * low.exp() / 10, torch.tensor(_FLOOR_M)))
