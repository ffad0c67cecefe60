"""Tiny stand-ins: a body in SMPL's format whose joints are vertices, a regressor, and a data set in memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from humesh.body.joints import H36M17, MPI_INF_3DHP17, SMPL24, JointSet
from humesh.body.label_bodies import BodyFiles
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.data.sample import LabelledPerson, Sample
from humesh.evaluation.errors import joints_of
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_from_axis_angle
from humesh.media.photo import Photo
from humesh.people.person import Person

VERTICES = 40
MOVED = 9
"""The shape coefficient that moves everything but the pelvis, by 10 cm a unit along x."""

POINTS = JointSet("fake", tuple(dict.fromkeys((*SMPL24.names, *MPI_INF_3DHP17.names, *H36M17.names))))
CAMERA = Camera.virtual(500.0, (320, 240))
_NEAREST = {"spine": "spine2", "jaw": "head", "head_top": "head"}


def smpl_arrays(seed: int) -> dict[str, np.ndarray]:
    """A body of 40 vertices: vertex j is SMPL's joint j and moves with it alone; the others hang on some joint."""
    g = np.random.default_rng(seed)
    owner = np.concatenate([np.arange(24), g.integers(1, 24, VERTICES - 24)])
    rest = np.random.default_rng(0).normal(0, 0.3, (VERTICES, 3)) + 0.02 * g.normal(size=(VERTICES, 3))
    shapes = np.zeros((VERTICES, 3, 10))
    shapes[:, :, :MOVED] = 0.01 * g.normal(size=(VERTICES, 3, MOVED))
    shapes[1:, 0, MOVED] = 0.1
    parents = np.array(SMPL24.parents, dtype=np.int64)
    return {
        "v_template": rest,
        "shapedirs": shapes,
        "posedirs": np.zeros((VERTICES, 3, 207)),
        "J_regressor": np.eye(24, VERTICES),
        "weights": np.eye(24)[owner],
        "f": g.integers(0, VERTICES, (30, 3)).astype(np.uint32),
        "kintree_table": np.stack([parents.astype(np.uint32), np.arange(24, dtype=np.uint32)]),
    }


def write_files(folder: Path) -> Path:
    """A folder of SMPL bodies of three genders with Human3.6M's regressor, as users have them."""
    bodies = folder / "smpl"
    bodies.mkdir()
    for seed, gender in enumerate(("NEUTRAL", "MALE", "FEMALE")):
        np.savez(bodies / f"SMPL_{gender}.npz", **smpl_arrays(seed))
    rows = np.zeros((len(H36M17), VERTICES))
    for row, name in enumerate(H36M17.names):
        rows[row, SMPL24.index(_NEAREST.get(name, name))] = 1.0
    np.save(bodies / "J_regressor_h36m_correct.npy", rows)
    return bodies


def pose_of(g: np.random.Generator) -> BodyPose:
    """A random pose three metres away."""
    turns = torch.from_numpy(0.4 * g.standard_normal((24, 3))).float()
    shape = torch.from_numpy(g.standard_normal(10)).float()
    shape[MOVED] = 0
    place = torch.from_numpy(np.array([g.uniform(-0.5, 0.5), g.uniform(-0.3, 0.3), g.uniform(3, 5)])).float()
    return BodyPose(rotation_from_axis_angle(turns), shape, place)


class FakePeople:
    """Two videos of `frames` photos with two people each, their labels made with the bodies of a folder."""

    def __init__(self, bodies: Path, body: str = "smpl-neutral", frames: int = 4) -> None:
        files = BodyFiles(bodies)
        self.body: BodyModel = files[body]
        self.frames, self.label = frames, body
        self.names = ("courtyard_hug_00", "courtyard_dancing_00")
        self.tracks = (range(frames), range(frames, 2 * frames))
        self._made: dict[int, Sample] = {}

    def __len__(self) -> int:
        return 2 * self.frames

    def __getitem__(self, index: int) -> Sample:
        if index not in self._made:
            self._made[index] = self._sample(index)
        return self._made[index]

    def _sample(self, index: int) -> Sample:
        video, frame = divmod(index, self.frames)
        people = tuple(self.person(2 * video + i, frame) for i in range(2))
        sequence = self.names[video]
        photo = Photo.of(np.full((240, 320, 3), 90, np.uint8), CAMERA)
        return Sample(photo, people, f"{sequence}/{frame:05d}", sequence, frame)

    def person(self, identity: int, frame: int) -> LabelledPerson:
        """Somebody of a video in one of its frames."""
        pose = pose_of(np.random.default_rng((identity, frame)))
        with torch.no_grad():
            bodies = self.body(pose.map(lambda t: t[None]))
        regressed = joints_of(bodies, self.body, H36M17.names, "h36m regressor")
        known = dict(zip(H36M17.names, regressed[0], strict=True))
        limbs = joints_of(bodies, self.body, MPI_INF_3DHP17.names, "limbs of the body, rest by h36m regressor")
        known |= dict(zip(MPI_INF_3DHP17.names, limbs[0], strict=True))
        known |= dict(zip(SMPL24.names, bodies.joints[0], strict=True))
        points = torch.stack([known[name] for name in POINTS.names])
        pixels = CAMERA.project(points)
        box = np.concatenate([pixels.amin(0).numpy(), pixels.amax(0).numpy()]).astype(np.float64)
        keypoints = np.concatenate([pixels.double().numpy(), np.ones((len(POINTS), 1))], axis=1)
        ones = torch.ones(len(POINTS))
        return LabelledPerson(
            seen=Person(box, 1.0, keypoints, POINTS),
            identity=identity,
            pose=pose,
            pose_weight=torch.ones(24),
            shape_weight=torch.ones(()),
            translation_weight=torch.ones(()),
            joint_set=POINTS,
            points3d=points,
            points3d_weight=ones,
            points2d=pixels,
            points2d_weight=ones,
            visible=(torch.arange(len(POINTS)) % 4 != identity).float(),
            body=self.label,
        )


def write_predictions(path: Path, dataset: FakePeople, offset: float = 0.0, leave_out: int = 0, **extra: Any) -> None:
    """The truth as a file of predictions, all but the pelvis moved by `offset` metres; some of the rows left out."""
    names, people = [], []
    for i in range(len(dataset)):
        sample = dataset[i]
        names += [sample.name] * len(sample.people)
        people += [replace(p.pose, shape=p.pose.shape + 10 * offset * torch.eye(10)[MOVED]) for p in sample.people]
    rows = slice(leave_out, None)
    np.savez(
        path,
        name=np.array(names)[rows],
        rotations=torch.stack([p.rotations for p in people]).numpy()[rows],
        shape=torch.stack([p.shape for p in people]).numpy()[rows],
        translation=torch.stack([p.translation for p in people]).numpy()[rows],
        **extra,
    )
