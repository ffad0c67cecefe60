"""The default method's accuracy, pinned on people made of numbers: keypoints and landmarks of six known poses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import humesh
from humesh.body.joints import LIMBS12, MEDIAPIPE33, SMPL24
from humesh.body.kinematics import swing
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.geometry.align import procrustes
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_from_axis_angle
from humesh.media.photo import Photo
from humesh.people.person import Person

SIZE = (1280, 960)
POSES: list[dict[str, tuple[float, float, float]]] = [
    {"left_shoulder": (0, 0, -1.2), "right_shoulder": (0, 0, 1.2)},  # stands
    {"left_hip": (-0.5, 0, 0), "right_hip": (0.4, 0, 0), "right_knee": (0.5, 0, 0),  # walks
     "left_shoulder": (0.4, 0, -1.2), "right_shoulder": (-0.4, 0, 1.2)},
    {"left_hip": (-1.5, 0, 0.1), "right_hip": (-1.5, 0, -0.1), "left_knee": (1.5, 0, 0), "right_knee": (1.5, 0, 0),
     "left_shoulder": (0, -0.3, -1.1), "right_shoulder": (0, 0.3, 1.1)},  # sits on a chair
    {"left_hip": (-1.5, 0, 0.2), "right_hip": (-1.5, 0, -0.2),  # sits on the floor, legs stretched
     "left_shoulder": (0, 0, -1.0), "right_shoulder": (0, 0, 1.0)},
    {"left_shoulder": (0, -0.5, -0.9), "right_shoulder": (0, 0.5, 0.9),  # boxes
     "left_elbow": (0, -1.9, 0), "right_elbow": (0, 1.9, 0)},
    {"pelvis": (0, 2.6, 0), "right_shoulder": (0, 0.4, 1.0), "right_elbow": (0, 1.0, 0)},  # turned away
]  # fmt: skip
LIMBS = SMPL24.indices(*LIMBS12.names)


def _truth(body: BodyModel) -> BodyPose:
    vectors = torch.zeros(len(POSES), 24, 3, dtype=torch.float64)
    for row, pose in enumerate(POSES):
        for joint, vector in pose.items():
            vectors[row, SMPL24.index(joint)] = torch.tensor(vector)
    rotations = rotation_from_axis_angle(vectors)
    facing = torch.tensor([1.0, -1.0, -1.0]).diag().double()  # upright, towards the camera
    rotations[:, 0] = facing @ rotations[:, 0]
    places = torch.tensor([[-0.8, 0.2, 4.5], [0, 0, 3.5], [0.8, 0.2, 4.0], [0, 0.3, 4.5], [0.5, 0.2, 4.0], [0, 0, 4.5]])
    return BodyPose(rotations, torch.zeros(len(POSES), body.shapes).double(), places.double())


def _people(body: BodyModel, pose: BodyPose, camera: Camera) -> list[Person]:
    """What good detectors find: keypoints a hundredth of the person off, landmarks a little too small and flat."""
    points = body.keypoints(body(pose).vertices, MEDIAPIPE33)
    pixels = camera.project(points).numpy()
    pixels = pixels + 4 * np.random.default_rng(0).normal(size=pixels.shape)
    middle = points.mean(1)
    ahead = torch.tensor([0.0, 0.0, 1.0]).double().expand_as(middle)
    landmarks = ((points - middle[:, None]) @ swing(ahead, middle)) * torch.tensor([0.9, 0.9, 0.8])
    people = []
    for places, deep in zip(pixels, landmarks.numpy(), strict=True):
        box = np.concatenate([places.min(0), places.max(0)])
        seen = np.concatenate([places, np.full((33, 1), 0.95)], axis=1)
        people.append(Person(box, 1.0, seen, MEDIAPIPE33, deep))
    return people


def _errors_mm(recovery: humesh.Result, truth: BodyPose) -> torch.Tensor:
    ours, theirs = recovery.bodies.joints[:, LIMBS].double(), recovery.body.joints(truth)[:, LIMBS]
    return 1000 * (procrustes(ours, theirs)(ours) - theirs).norm(dim=-1)


@pytest.fixture(scope="module")
def photo() -> Photo:
    return Photo.of(np.zeros((SIZE[1], SIZE[0], 3), np.uint8), Camera.guess(SIZE))


@pytest.fixture(scope="module")
def recoverer() -> humesh.Recoverer:
    return humesh.Recoverer(finder=lambda photo: [])


def test_known_poses_are_found_to_four_centimetres(recoverer: humesh.Recoverer, photo: Photo) -> None:
    truth = _truth(recoverer.body)
    errors = _errors_mm(recoverer(photo, _people(recoverer.body, truth, photo.camera)), truth).mean(1)
    assert errors.mean() < 43, errors
    assert errors.max() < 70, errors


def test_landmarks_in_other_units_are_noticed(recoverer: humesh.Recoverer, photo: Photo) -> None:
    """What they weigh: ten times too large they must do harm, turned round in depth too."""
    truth = _truth(recoverer.body)
    people = _people(recoverer.body, truth, photo.camera)
    good = _errors_mm(recoverer(photo, people), truth).mean()
    for factor in (np.array([10.0, 10.0, 10.0]), np.array([1.0, 1.0, -1.0])):
        wrong = [replace(person, landmarks3d=person.landmarks3d * factor) for person in people]  # type: ignore[operator]
        assert _errors_mm(recoverer(photo, wrong), truth).mean() > 1.3 * good


def test_errors_are_expected_where_they_are(recoverer: humesh.Recoverer, photo: Photo) -> None:
    """Expected errors of well seen people are centimetres; of doubtful keypoints they are larger."""
    people = _people(recoverer.body, _truth(recoverer.body), photo.camera)
    sure = recoverer(photo, people).expected_error_m
    doubtful = [replace(p, keypoints=np.asarray(p.keypoints) * [1, 1, 0.6]) for p in people]
    unsure = recoverer(photo, doubtful).expected_error_m
    assert sure is not None
    assert unsure is not None
    assert sure.shape == (len(POSES), len(SMPL24))
    assert 0.04 < float(sure.mean()) < 0.09
    assert (unsure > sure + 0.03).all()
