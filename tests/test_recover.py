"""The path of a photo: with the real finder on a free photograph, and with people that are given."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from skimage.data import camera as photo_of_cameraman

import humesh
from humesh.body.joints import COCO17, LIMBS12, MEDIAPIPE33, SMPL24
from humesh.body.model import BodyModel
from humesh.media.photo import Photo
from humesh.methods.weights import WeightsError


@pytest.fixture(scope="module")
def cameraman() -> Photo:
    """scikit-image's photo of a man with a camera on a tripod, seen from his right; CC0, in its wheel."""
    return Photo.of(np.repeat(photo_of_cameraman()[..., None], 3, axis=-1))


@pytest.fixture(scope="module")
def recoverer() -> humesh.Recoverer:
    return humesh.Recoverer()


@pytest.fixture(scope="module")
def recovery(recoverer: humesh.Recoverer, cameraman: Photo) -> humesh.Result:
    return recoverer(cameraman)


def test_the_man_is_found_and_the_mesh_stands_on_him(recovery: humesh.Result) -> None:
    """He bends over his camera from the left edge; read off the photo by eye: nose (243, 163), hips (85, 370)."""
    assert len(recovery.people) == 1
    points = recovery.body.keypoints(recovery.bodies.vertices.double(), COCO17)[0]
    pixels = dict(zip(COCO17.names, recovery.photo.camera.project(points).numpy(), strict=True))
    assert np.linalg.norm(pixels["nose"] - [243, 163]) < 35
    assert np.linalg.norm((pixels["left_hip"] + pixels["right_hip"]) / 2 - [85, 370]) < 60
    assert pixels["right_wrist"][0] > 150  # both hands are at the camera, right of his trunk
    assert pixels["left_wrist"][0] > 150


def test_the_mesh_follows_the_detectors_landmarks(recovery: humesh.Result) -> None:
    """The bound of issue "A photo in": 5 % of the box's longer side, over the limb joints that are seen."""
    person, seen = recovery.people[0], recovery.visible[0, SMPL24.indices(*LIMBS12.names)].numpy()
    assert seen.sum() >= 6
    assert person.keypoints is not None
    there = person.keypoints[MEDIAPIPE33.indices(*LIMBS12.names), :2]
    pixels = recovery.photo.camera.project(recovery.bodies.joints.double())[0, SMPL24.indices(*LIMBS12.names)].numpy()
    miss = np.linalg.norm(pixels - there, axis=1)[seen]
    assert miss.mean() < 0.05 * (person.box[2:] - person.box[:2]).max()


def test_he_stands_upright_at_a_believable_distance(recovery: humesh.Result) -> None:
    joints = dict(zip(SMPL24.names, recovery.bodies.joints[0], strict=True))
    assert joints["head"][1] < joints["pelvis"][1] < joints["left_ankle"][1]  # y points down
    assert 1 < joints["pelvis"][2] < 4  # metres, under the guessed focal length
    assert recovery.body.name == "open"
    assert "guessed" in recovery.photo.camera_source


def test_the_pose_gives_the_bodies(recovery: humesh.Result) -> None:
    again = recovery.body(recovery.pose)
    assert torch.allclose(again.vertices, recovery.bodies.vertices, atol=1e-6)


def test_the_same_photo_gives_the_same_answer(recoverer: humesh.Recoverer, recovery: humesh.Result) -> None:
    again = recoverer(recovery.photo)
    assert torch.equal(again.bodies.vertices, recovery.bodies.vertices)


def test_a_photo_with_nobody_is_an_empty_answer(recoverer: humesh.Recoverer) -> None:
    nobody = recoverer(Photo.of(np.full((300, 400, 3), 128, np.uint8)))
    assert nobody.people == []
    assert nobody.bodies.vertices.shape[0] == 0
    assert nobody.visible.shape == (0, 24)


def test_people_given_as_boxes_are_posed(recoverer: humesh.Recoverer, recovery: humesh.Result) -> None:
    box = recovery.people[0].box
    nothing_there = np.array([400.0, 5, 440, 60])
    people = [humesh.Person(box, 0.5), humesh.Person(nothing_there, 0.4)]
    given = recoverer(recovery.photo, people)
    assert given.people[0].score == 0.5
    distance = (given.bodies.joints[0] - recovery.bodies.joints[0]).norm(dim=-1).mean()
    assert distance < 0.15
    assert len(given.people) == 1 or not given.visible[1].all()


def test_people_without_anything_seen_are_left_out_and_said(
    recoverer: humesh.Recoverer, recovery: humesh.Result
) -> None:
    seen = recovery.people[0]
    assert seen.keypoints is not None
    unseen = replace(seen, keypoints=seen.keypoints * [1, 1, 0])
    given = recoverer(recovery.photo, [unseen, seen])
    assert len(given.people) == 1
    assert "1 of 2 people left out: no body seen in their boxes." in given.notes


def test_whoever_movenet_alone_finds_is_posed(recoverer: humesh.Recoverer, recovery: humesh.Result) -> None:
    seen = recovery.people[0]
    without = replace(seen, landmarks3d=None)
    assert len(recoverer(recovery.photo, [without]).people) == 1


def test_hidden_joints_are_noted(recoverer: humesh.Recoverer, recovery: humesh.Result) -> None:
    seen = recovery.people[0]
    assert seen.keypoints is not None
    keypoints = seen.keypoints.copy()
    keypoints[MEDIAPIPE33.indices("left_elbow"), 2] = 0
    given = recoverer(recovery.photo, [replace(seen, keypoints=keypoints)])
    assert any("not seen and guessed by the network" in note and "left_elbow" in note for note in given.notes)
    assert not given.visible[0, SMPL24.index("left_elbow")]
    assert given.confidence[0, SMPL24.index("left_elbow")] == 0


def test_another_body_can_be_used(recovery: humesh.Result) -> None:
    low = humesh.Recoverer(BodyModel.load("open-low"))(recovery.photo)
    assert low.bodies.vertices.shape[1] < recovery.bodies.vertices.shape[1]
    assert (low.bodies.joints - recovery.bodies.joints).norm(dim=-1).mean() < 0.02


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="device 'cuda:77': expected auto, cpu, or a GPU that is present"):
        humesh.Recoverer(device="cuda:77")
    with pytest.raises(ValueError, match=r"^device: expected auto, cpu, cuda\[:N\] or mps, got 'toaster'\.$"):
        humesh.Recoverer(device="toaster")


def test_weights_that_are_neither_a_file_nor_shipped_are_refused() -> None:
    with pytest.raises(WeightsError, match=r"^weights landmarks: expected a \.safetensors file .* lifter, lifter_v"):
        humesh.Recoverer(weights="landmarks")
