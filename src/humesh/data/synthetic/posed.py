"""People without pictures: poses, cameras and what a detector would say, for networks that look at 2D joints alone.

Poses and cameras are drawn as for the rendered scenes. What hides a joint is only roughly true: the own body's surface
nearer to the camera, the photo's edge, and boxes held before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.random import Generator, default_rng

from humesh.body.joints import JOTR30, LIMBS12, MEDIAPIPE33, SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.data.sample import LabelledPerson, Sample
from humesh.data.synthetic.motion import Motion
from humesh.data.synthetic.poses import PoseSource, mirrored, turn
from humesh.data.synthetic.scenery import draw_focal, draw_turn, place_camera
from humesh.data.synthetic.scenes import inside, joint_depths, projected
from humesh.data.synthetic.seen import seen_person
from humesh.geometry.camera import Camera
from humesh.images.photo import Photo

_CHUNK = 256  # people are posed so many at a time: skinning them one by one costs most of the time
_NEAR_RAY = 0.05  # metres beside the ray to a joint within which surface hides it; the low-poly body's edges are 4 cm
_FEWEST = 4  # limb joints that must be seen
_LIMBS = JOTR30.indices(*LIMBS12.names)


class PosedPeople:
    """One labelled person a sample, in a black photo of `size` pixels; the same seed and number, the same sample."""

    def __init__(
        self, motion: Sequence[str | Path], *, count: int = 10**8, size: int = 256, seed: int = 0,
        body: BodyModel | None = None,
    ) -> None:  # fmt: skip
        self.body = body or BodyModel.load("open-low")
        self.source = PoseSource(Motion.read(motion), self.body.rest_joints(torch.zeros(self.body.shapes)).numpy())
        self.count, self.size, self.seed = count, size, seed
        self.tracks: tuple[range, ...] = ()
        self._kept: tuple[int, list[Sample]] | None = None

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.count:
            raise IndexError(f"expected a sample below {self.count}, got {index}.")
        chunk, row = divmod(index, _CHUNK)
        if self._kept is None or self._kept[0] != chunk:
            self._kept = chunk, self._people(chunk)
        return self._kept[1][row]

    def _people(self, chunk: int) -> list[Sample]:
        g = default_rng([self.seed, 6, chunk])
        poses = np.stack([self.source.draw(g) for _ in range(_CHUNK)])
        flips = g.random(_CHUNK) < 0.5
        poses[flips] = mirrored(poses[flips])
        turns = np.stack([draw_turn(g) @ turn("y", g.uniform(0, 2 * np.pi)) for _ in range(_CHUNK)])
        poses[:, 0] = turns @ poses[:, 0]
        shapes = np.clip(g.normal(0, 1, (_CHUNK, self.body.shapes)), -2.2, 2.2)
        pose = BodyPose(_tensor(poses), _tensor(shapes), torch.zeros(_CHUNK, 3))
        with torch.no_grad():
            bodies = self.body(pose)
            joints, landmarks = (self.body.points(bodies, s).double().numpy() for s in (JOTR30, MEDIAPIPE33))
        surface = bodies.vertices.double().numpy()
        first = chunk * _CHUNK
        return [
            self._sample(first + i, pose.map(itemgetter(i)), joints[i], landmarks[i], surface[i], g)
            for i in range(_CHUNK)
        ]

    def _sample(
        self,
        number: int,
        pose: BodyPose,
        joints: Float[np.ndarray, "30 3"],
        landmarks: Float[np.ndarray, "33 3"],
        surface: Float[np.ndarray, "V 3"],
        g: Generator,
    ) -> Sample:
        size = (self.size, self.size)
        for _ in range(4):
            focal = draw_focal(self.size, g)
            camera = np.array([[focal, 0, self.size / 2], [0, focal, self.size / 2], [0, 0, 1]])
            shift = place_camera(joints[None], surface, np.eye(3), focal, self.size, g)
            points = np.concatenate([joints, landmarks]) + shift
            pixels = projected(camera, points)
            visible = inside(pixels, size) & (points[:, 2] > 0.05) & _open(points, surface + shift)
            visible &= ~_behind_boxes(pixels, self.size, g)
            if visible[_LIMBS].sum() >= _FEWEST:
                break
        within = pixels[inside(pixels, size)] if visible.any() else np.array([[0.0, 0.0], size])
        edge = 0.03 * np.ptp(within, axis=0).max()
        box = np.concatenate([within.min(0) - edge, within.max(0) + edge]).clip(0, self.size)
        seen = seen_person(pixels[30:], visible[30:], box, [], size, g)
        person = LabelledPerson(
            seen=seen,
            identity=number,
            pose=BodyPose(pose.rotations, pose.shape, _tensor(shift)),
            pose_weight=torch.ones(len(SMPL24)),
            shape_weight=torch.tensor(1.0),
            translation_weight=torch.tensor(1.0),
            joint_set=JOTR30,
            points3d=_tensor(points[:30]),
            points3d_weight=torch.ones(len(JOTR30)),
            points2d=_tensor(pixels[:30]),
            points2d_weight=_tensor(points[:30, 2] > 0.1),
            visible=_tensor(visible[:30]),
        )
        black = np.broadcast_to(np.uint8(0), (self.size, self.size, 3))
        return Sample(Photo.of(black, Camera(torch.from_numpy(camera))), (person,), f"posed {number}")


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))


def _open(points: Float[np.ndarray, "63 3"], surface: Float[np.ndarray, "V 3"]) -> Bool[np.ndarray, "63"]:
    """Whether no surface lies near the ray to a joint and farther before it than its limb is thick."""
    depth = np.maximum(points[:, 2], 0.05)
    flat, skin = points[:, :2] / depth[:, None], surface[:, :2] / np.maximum(surface[:, 2:], 0.05)
    beside = np.abs(skin[None] - flat[:, None]).max(-1) * depth[:, None] < _NEAR_RAY
    before = surface[None, :, 2] < (points[:, 2] - joint_depths())[:, None]
    return ~(beside & before).any(1)


def _behind_boxes(pixels: Float[np.ndarray, "63 2"], size: int, g: Generator) -> Bool[np.ndarray, "63"]:
    """Points behind none to two boxes anywhere in the photo."""
    hidden = np.zeros(len(pixels), bool)
    for _ in range(int(g.choice([0, 1, 2], p=[0.55, 0.3, 0.15]))):
        middle, half = g.uniform(0, size, 2), size * g.uniform(0.04, 0.3, 2)
        hidden |= (np.abs(pixels - middle) < half).all(-1)
    return hidden
