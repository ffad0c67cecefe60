"""Small forms of every method of the zoo, and made-up photos of posed bodies with their labels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from humesh.body.joints import COCO17, JOTR30
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.crops.crops import Crops, group_people
from humesh.geometry.boxes import affine_apply
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_from_axis_angle
from humesh.losses import Targets
from humesh.media.photo import Photo
from humesh.methods.base import Method
from humesh.people.person import Person
from humesh.scene.render import Stage

SMALL: dict[str, dict[str, Any]] = {
    "lifter": {"width": 64, "blocks": 2},
    "lifter_video": {"width": 48, "heads": 4, "depth": 2, "lifter": 64, "lifter_blocks": 2},
    "jotr": {
        "encoder": "resnet18", "size": 96, "width": 32, "heads": 4, "hidden": 64, "volume_hidden": 64, "depth": 3,
        "encoder_layers": 1, "volume_layers": 1, "decoder_layers": 2,
    },
    "multi_roi": {"encoder": "resnet18", "crop": (96, 64), "rois": 3, "hidden": (64, 64)},
    "multi_roi_authors": {"encoder": "resnet18", "crop": (96, 64), "mixing": 32, "hidden": (64, 64)},
    "int": {"encoder": "resnet18", "crop": (96, 96), "width": 48, "heads": 4, "depth": 2, "temporal_depth": 1},
    "ik_refine": {
        "encoder": "resnet18", "size": 96, "twist_width": 64, "width": 32, "heads": 2, "head_width": 16, "hidden": 64,
        "head_gain": 0.01,
    },
}  # fmt: skip
"""Settings with which each method of the zoo fits into a test."""

COUNTS = {"int": 3, "lifter_video": 3, "ik_refine": 2}  # crops in a group, where the method takes any number


@dataclass(frozen=True)
class Batch:
    """Crops with the labels of the people in them."""

    crops: Crops
    targets: Targets


@pytest.fixture(scope="session")
def settings() -> dict[str, dict[str, Any]]:
    return SMALL


@pytest.fixture(scope="session")
def counts() -> dict[str, int]:
    return COUNTS


@pytest.fixture(scope="session")
def made_up_batch(small_body: BodyModel) -> Callable[..., Batch]:
    """`made_up_batch(method, name, groups, seed)`: rendered people in the groups that a method wants."""

    def make(method: Method, name: str, groups: int = 2, seed: int = 0) -> Batch:
        generator = torch.Generator().manual_seed(seed)
        people = COUNTS.get(name, 1)
        batches = [_group(method, small_body, people, index, generator) for index in range(groups)]
        crops = Crops(**{
            field: torch.cat([getattr(b.crops, field) for b in batches])
            for field in ("pixels", "crop_from_photo", "keypoints", "landmarks", "present", "wanted")
        }, photo_camera=Camera(torch.cat([b.crops.photo_camera.matrix for b in batches])))  # fmt: skip
        parts = [b.targets for b in batches]

        def joined(field: str) -> Tensor:
            return torch.cat([getattr(part, field) for part in parts])

        pose = BodyPose(
            *(torch.cat([getattr(p.pose, f) for p in parts]) for f in ("rotations", "shape", "translation"))
        )
        fields = ("pose_weight", "shape_weight", "translation_weight", "points3d", "points3d_weight", "points2d")
        labels = {
            field: joined(field) for field in (*fields, "points2d_weight", "identity", "metric_weight", "body_weight")
        }
        return Batch(crops, Targets(pose=pose, joint_set=JOTR30, **labels))

    return make


def _group(method: Method, body: BodyModel, people: int, index: int, generator: torch.Generator) -> Batch:
    """One photo's (or for "frames" one track's) people, or one person, as the method's group."""
    pose = _poses(people, generator)
    if method.spec.group == "frames":  # one person, who turns a little from frame to frame
        turn = rotation_from_axis_angle(torch.tensor([[0.0, 0.1 * frame, 0.0] for frame in range(people)]))
        rotations = pose.rotations[:1].repeat(people, 1, 1, 1)
        rotations[:, 0] = turn @ rotations[:, 0]
        pose = BodyPose(rotations, pose.shape[:1].repeat(people, 1), pose.translation[:1].repeat(people, 1))
    camera = Camera.virtual(300.0, (240, 160))
    bodies = body(pose)
    points = body.points(bodies, JOTR30)
    crops = []
    for frame in range(people) if method.spec.group == "frames" else [slice(None)]:
        chosen = pose.map(lambda tensor, frame=frame: tensor[frame].reshape(-1, *tensor.shape[1:]))
        vertices = body(chosen).vertices
        colours = torch.rand(len(vertices), 3, generator=generator).numpy()
        noise = torch.randint(0, 80, (160, 240, 3), generator=generator, dtype=torch.uint8).numpy()
        picture = Stage(vertices, bodies.faces, colours).render(camera, (240, 160))
        photo = Photo.of(picture.over(noise), camera)
        crops.append(group_people(method.spec, photo, [_seen(body, chosen, i, camera) for i in range(len(vertices))]))
    joined = crops[0]
    if method.spec.group == "frames":
        fields = {
            f: torch.cat([getattr(c, f) for c in crops], dim=1)
            for f in ("pixels", "crop_from_photo", "keypoints", "landmarks", "present", "wanted")
        }
        joined = Crops(**fields, photo_camera=Camera(torch.cat([c.photo_camera.matrix for c in crops], dim=1)))
    count = joined.present.shape[1]
    if method.spec.group == "rois":  # every crop shows the same person
        pose, points = pose.map(lambda t: t.repeat(count, *[1] * (t.ndim - 1))), points.repeat(count, 1, 1)
    pixels = affine_apply(joined.crop_from_photo[0], camera.project(points))
    one = torch.ones(1, count)
    identity = torch.arange(count) if method.spec.group == "people" else torch.zeros(count, dtype=torch.long)
    targets = Targets(
        pose=pose.map(lambda tensor: tensor[None]),
        pose_weight=torch.ones(1, count, 24),
        shape_weight=one,
        translation_weight=one,
        joint_set=JOTR30,
        points3d=points[None],
        points3d_weight=torch.ones(1, count, len(JOTR30)),
        points2d=pixels[None],
        points2d_weight=torch.ones(1, count, len(JOTR30)),
        identity=(100 * index + identity)[None],
        metric_weight=one,
        body_weight=one,
    )
    return Batch(joined, targets)


def _poses(people: int, generator: torch.Generator) -> BodyPose:
    """People side by side, 3 m away, upright, facing the camera, every joint a little bent."""
    turns = 0.25 * torch.randn(people, 24, 3, generator=generator)
    rotations = rotation_from_axis_angle(turns)
    upright = rotation_from_axis_angle(torch.tensor([math.pi, 0.0, 0.0]))
    rotations[:, 0] = upright @ rotations[:, 0]
    across = 0.9 * (torch.arange(people) - (people - 1) / 2)
    translation = torch.stack([across, torch.full_like(across, 0.2), torch.full_like(across, 3.5)], dim=-1)
    return BodyPose(rotations, 0.5 * torch.randn(people, 10, generator=generator), translation)


def _seen(body: BodyModel, pose: BodyPose, index: int, camera: Camera) -> Person:
    one = pose.map(lambda tensor: tensor[index])
    pixels = camera.project(body.points(body(one), COCO17)).numpy()
    box = np.array([*pixels.min(0), *pixels.max(0)], dtype=np.float64)
    return Person(box, 1.0, np.concatenate([pixels, np.ones((len(pixels), 1))], axis=1).astype(np.float64), COCO17)
