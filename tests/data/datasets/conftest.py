"""Made-up people before a made-up camera, from which the tests write downloads in their owners' layouts."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import roma
import torch
from PIL import Image

from humesh.body.joints import SMPL24, JointSet
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose

SIZE = (160, 128)  # width, height px
MATRIX = np.array([[150.0, 0.0, 83.0], [0.0, 152.0, 61.0], [0.0, 0.0, 1.0]])


@dataclass(frozen=True)
class Figure:
    """One person: an SMPL fit in a world's frame, its joints there, and the same in the camera's frame and pixels."""

    vectors: np.ndarray  # 72, the root's in the world's frame
    betas: np.ndarray  # 10
    translation: np.ndarray  # 3, world
    extrinsics: np.ndarray  # 4 4, camera from world
    world: np.ndarray  # 24 3, posed joints
    pose: BodyPose  # in the camera's frame

    @property
    def points(self) -> np.ndarray:
        """The 24 joints in the camera's frame, metres."""
        return self.world @ self.extrinsics[:3, :3].T + self.extrinsics[:3, 3]

    @property
    def pixels(self) -> np.ndarray:
        """The 24 joints in the photo."""
        flat = self.points @ MATRIX.T
        return flat[:, :2] / flat[:, 2:]

    def of(self, joint_set: JointSet, values: np.ndarray) -> np.ndarray:
        """`values` (24 n: the world's joints, points or pixels) for another set: SMPL's joints by name, others near."""
        rows = [values[SMPL24.index(n)] if n in SMPL24.names else values[0] + 0.01 * i for i, n in
                enumerate(joint_set.names)]  # fmt: skip
        return np.stack(rows)


@pytest.fixture
def figures(open_body: BodyModel) -> Callable[..., list[Figure]]:
    """Makes people of a seed, all before one camera; what a fit says is found by posing the open body in the world."""

    def made(count: int = 2, seed: int = 0, moving: bool = True) -> list[Figure]:
        rng = np.random.default_rng(seed)
        extrinsics = np.eye(4)
        if moving:
            extrinsics[:3, :3] = roma.rotvec_to_rotmat(torch.from_numpy(rng.normal(size=3))).numpy()
            extrinsics[:3, 3] = rng.normal(size=3)
        turn, shift = extrinsics[:3, :3], extrinsics[:3, 3]
        people = []
        for i in range(count):
            inner = roma.rotvec_to_rotmat(torch.from_numpy(0.2 * rng.standard_normal((24, 3))))
            inner[0] = roma.rotvec_to_rotmat(torch.tensor([math.pi, 0.0, 0.0], dtype=torch.float64)) @ inner[0]
            shape = torch.from_numpy(0.5 * rng.standard_normal(10))
            place = np.array([i - (count - 1) / 2, 0.2, 3.0 + 0.3 * i])
            pose = BodyPose(inner, shape, torch.from_numpy(place))
            # In the world: rotated about the rest pelvis, which stands elsewhere.
            rotations = inner.clone()
            rotations[0] = torch.from_numpy(turn.T) @ inner[0]
            pelvis = open_body.rest_joints(shape)[0].numpy()
            translation = turn.T @ (pelvis + place - shift) - pelvis
            world = open_body.joints(BodyPose(rotations, shape, torch.from_numpy(translation))).numpy()
            vectors = roma.rotmat_to_rotvec(rotations).numpy().ravel()
            people.append(Figure(vectors, shape.numpy(), translation, extrinsics, world, pose.map(torch.Tensor.float)))
        return people

    return made


@pytest.fixture
def write_photo() -> Callable[..., None]:
    """Writes a small photo of noise, its folders too."""

    def write(path: Path, size: tuple[int, int] = SIZE) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)

    return write


@pytest.fixture
def matrix() -> np.ndarray:
    """The intrinsics of the camera that sees `figures`."""
    return MATRIX
