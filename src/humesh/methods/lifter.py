"""The baseline that looks at no picture: a detector's 2D keypoints and 3D landmarks of one person to a posed body.

Ours, after Martinez et al. (ICCV 2017): what a network that does look at the picture has to beat, and what our small
JOTR starts from. The whole body is turned about the ray through the crop's centre, so that the answer does not depend
on where in a photo a person stands.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from humesh.body.joints import JOTR30, MEDIAPIPE33
from humesh.body.kinematics import swing
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_from_6d_rows
from humesh.images.crops import Crops, CropSpec
from humesh.images.seen_box import seen_box, seen_in_crop
from humesh.losses.targets import Targets, Term
from humesh.methods.base import Method, Prediction
from humesh.networks.lifter import Lifted, Lifter, rest_six

_CROP_PX = 32  # nobody looks at it; only a frame for the points


@dataclass(frozen=True)
class LifterConfig:
    """`landmarks` False: 2D keypoints alone. `dropped`: share of people without landmarks in training."""

    width: int = 1024
    blocks: int = 3
    landmarks: bool = True
    dropped: float = 0.15
    shapes: int = 10


class LifterMethod(Method):
    """The lifter by itself."""

    config_type = LifterConfig
    config: LifterConfig

    def __init__(self, config: LifterConfig, body: BodyModel) -> None:
        super().__init__(config, body)
        self.spec = CropSpec((_CROP_PX, _CROP_PX), keypoints=JOTR30, box=seen_box, landmarks=True)
        self.lifter = Lifter(len(JOTR30), len(MEDIAPIPE33), config.width, config.blocks, config.shapes)

    def forward(self, crops: Crops) -> Prediction:
        """The body of each crop's person, from points seen inside of the crop."""
        group = crops.present.shape
        landmarks = crops.landmarks if self.config.landmarks else torch.zeros_like(crops.landmarks)
        lifted = lifted_from(self.lifter, crops, landmarks, self.config.dropped if self.training else 0.0)
        turns = rotations(lifted.pose, crops)
        translation = crops.camera.translation_from_weak(lifted.weak.unflatten(0, group), crops.size)
        return Prediction(BodyPose(turns, lifted.shape.unflatten(0, group), translation))

    def own_terms(self, crops: Crops, prediction: Prediction, targets: Targets) -> dict[str, Term]:
        """None: the shared terms are all it learns from."""
        return {}


def lifted_from(lifter: Lifter, crops: Crops, landmarks: Float[Tensor, "B N L 4"], dropped: float) -> Lifted:
    """What the points of some crops tell, their landmarks left out for a random share of people."""
    points, (height, width) = crops.keypoints.flatten(0, 1), crops.size
    seen = seen_in_crop(points, crops.size).to(points)
    place = 2 * points[..., :2] / torch.tensor([width, height]).to(points) - 1
    known = torch.cat([place, (seen * points[..., 2])[..., None]], dim=-1)
    deep = landmarks.flatten(0, 1)
    if dropped:
        deep = deep * (torch.rand(len(deep), 1, 1).to(deep) >= dropped)
    ray = ray_of(crops).flatten(0, 1)
    side = height / crops.camera.matrix[..., 0, 0].flatten(0, 1)
    return lifter(known, deep, torch.cat([ray[:, :2] / ray[:, 2:], side[:, None]], dim=-1))


def with_cameras(crops: Crops) -> Crops:
    """The crops, with some camera for those that are not there, so that what is said of them is finite."""
    there, eye = crops.present[..., None, None], torch.eye(3).to(crops.keypoints)
    camera = Camera(torch.where(there, crops.photo_camera.matrix, eye))
    return replace(crops, photo_camera=camera, crop_from_photo=torch.where(there, crops.crop_from_photo, eye[:2]))


def ray_of(crops: Crops) -> Float[Tensor, "B N 3"]:
    """The direction in which the cameras see the middles of their crops."""
    height, width = crops.size
    middle = torch.tensor([width / 2, height / 2]).to(crops.keypoints)
    return crops.camera.rays(middle.expand(*crops.present.shape, 1, 2))[..., 0, :]


def rotations(pose: Float[Tensor, "B 24 6"], crops: Crops) -> Float[Tensor, "*g 24 3 3"]:
    """Parent-relative rotations of six numbers beyond the rest pose's, the root seen along the crops' rays."""
    turns = rotation_from_6d_rows(pose + rest_six(pose)).unflatten(0, crops.present.shape)
    ray = ray_of(crops)
    ahead = torch.tensor([0.0, 0.0, 1.0]).to(ray).expand_as(ray)
    return torch.cat([swing(ahead, ray)[..., None, :, :] @ turns[..., :1, :, :], turns[..., 1:, :, :]], dim=-3)
