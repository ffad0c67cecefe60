"""A made-up body of 24 balls, and recoveries with it: the scene needs no shipped body."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import trimesh

from humesh.body.files import BodyData
from humesh.body.joints import SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_from_axis_angle
from humesh.media.photo import Photo
from humesh.people.person import Person
from humesh.scene.result import Result


def made_up_body(correctives: bool = False, coco17: bool = False, most_weights: int = 4, seed: int = 0) -> BodyModel:
    """A ball of 6 cm around each joint of a random tree; its vertices follow at most `most_weights` joints."""
    random = np.random.default_rng(seed)
    joints = np.zeros((24, 3))
    for joint, parent in enumerate(SMPL24.parents):
        if parent >= 0:
            step = random.normal(size=3)
            joints[joint] = joints[parent] + 0.18 * step / np.linalg.norm(step)
    ball = trimesh.creation.icosphere(subdivisions=1, radius=0.06)
    each, count = len(ball.vertices), 24 * len(ball.vertices)
    owner = np.repeat(np.arange(24), each)
    template = joints[owner] + np.tile(ball.vertices, (24, 1))
    weights = np.zeros((count, 24))
    for vertex, joint in enumerate(owner):
        others = random.permutation(24)[: random.integers(0, most_weights)]
        weights[vertex, others] = 0.2 * random.random(len(others))
        weights[vertex, joint] += 1
    weights /= weights.sum(1, keepdims=True)
    regressor = (owner == np.arange(24)[:, None]) / each
    return BodyModel(
        BodyData(
            name="made-up",
            template=template,
            shape_directions=0.01 * random.normal(size=(24, 3, 10))[owner],
            joint_regressor=regressor,
            weights=weights,
            faces=np.concatenate([ball.faces + k * each for k in range(24)]).astype(np.int64),
            pose_directions=0.003 * random.normal(size=(count, 3, 207)) if correctives else None,
            keypoint_regressors={"coco17": regressor[np.arange(17)]} if coco17 else {},
        )
    )


def recover(body: BodyModel, people: int = 2, size: tuple[int, int] = (160, 120), seed: int = 1) -> Result:
    """People in random poses, 3 m away and side by side."""
    random = torch.Generator().manual_seed(seed)
    rotations = rotation_from_axis_angle(0.8 * torch.randn(people, 24, 3, generator=random))
    shape = torch.randn(people, 10, generator=random)
    translation = torch.tensor([[0.5 * k - 0.3, 0.1 * k, 3.0 + 0.5 * k] for k in range(people)]).reshape(people, 3)
    pose = BodyPose(rotations, shape, translation)
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Result(
        photo=Photo(noise, Camera.virtual(200.0, size), "guessed", path="photo.jpg"),
        people=[Person(np.array([1.0, 2.0, 30.5, 40.0]), 0.9 - 0.1 * k) for k in range(people)],
        pose=pose,
        confidence=torch.full((people, 24), 0.75),
        visible=torch.ones(people, 24, dtype=torch.bool),
        body=body,
        method="made-up",
        notes=("The focal length was guessed.",),
    )


@pytest.fixture(scope="session")
def body() -> BodyModel:
    return made_up_body()


@pytest.fixture(params=["plain", "correctives", "coco17", "eight weights"], scope="session")
def any_body(request: pytest.FixtureRequest) -> BodyModel:
    """Bodies that differ in what writers must handle."""
    kinds = {
        "plain": {},
        "correctives": {"correctives": True},
        "coco17": {"coco17": True},
        "eight weights": {"most_weights": 8},
    }
    return made_up_body(**kinds[request.param])


@pytest.fixture(scope="session")
def recover_with() -> Callable[..., Result]:
    """`recover`, for tests of other bodies and numbers of people."""
    return recover


@pytest.fixture(scope="session")
def recovery(body: BodyModel) -> Result:
    return recover(body)


@pytest.fixture(scope="session")
def nobody(body: BodyModel) -> Result:
    return recover(body, people=0)


@pytest.fixture(scope="session")
def open_recovery() -> Result:
    """One person with the shipped body."""
    return recover(BodyModel.load("open"), people=1)
