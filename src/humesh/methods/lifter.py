"""The baseline that looks at no picture: a detector's 2D keypoints and 3D landmarks of one person to a posed body.

Ours, after Martinez et al. (ICCV 2017): what a network that does look at the picture has to beat, and what our small
JOTR starts from. The whole body is turned about the ray through the crop's centre, so that the answer does not depend
on where in a photo a person stands.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor, nn

from humesh.body.joints import JOTR30, LIMBS12, MEDIAPIPE33, SMPL24
from humesh.body.kinematics import swing
from humesh.body.model import BodyModel, Rig
from humesh.body.pose import BodyPose
from humesh.crops.crops import Crops, CropSpec, jotr_box, visible_in_crop
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import identity, rotation_from_6d_rows
from humesh.losses import Targets, Term
from humesh.methods.base import Method, Prediction

_LIMBS30 = list(JOTR30.indices(*LIMBS12.names))
_HIPS33 = MEDIAPIPE33.indices("left_hip", "right_hip")
_CROP_PX = 32  # no pixel is used; only a frame for the points
_JOINTS = 24
_LANDMARK_UNIT_M = 0.3  # landmarks lie about so far from the hips; inputs are of the order of 1
_SHARED = 0.95, 0.25, (0.76, 0.76, 0.9), 0.25
"""Share of the network's error without landmarks that landmarks have too: mean and deviation over people, and factors
of x, y and z; shared errors stay below the last number, metres. On real photographs with known 3D joints the two have a
correlation of 0.75; where the lifter is far off, landmarks often are not."""
_OWN, _FLOOR_M, _DOUBT_M = 0.417, 0.047, 0.438
"""Of expected errors: a factor on the network's own, a floor (labels define joints in other ways, bodies differ), and
what a person has whose keypoints have no confidence. Maximum likelihood of Student's t in space with 5 degrees of
freedom, on the sets of ../shared/real that may be calibrated on (`tools/calibrate_errors.py`)."""


@dataclass(frozen=True)
class LifterConfig:
    """`landmarks` False: 2D keypoints alone. `dropped`: share of people without landmarks in training."""

    width: int = 1024
    blocks: int = 3
    landmarks: bool = True
    dropped: float = 0.15
    shapes: int = 10


@dataclass(frozen=True)
class Lifted:
    """What the points alone give; `hidden`: the features before the last layer."""

    pose: Float[Tensor, "B 24 6"]  # six numbers a rotation, what they are beyond the rest pose's; see `rest_six`
    shape: Float[Tensor, "B S"]
    weak: Float[Tensor, "B 3"]  # weak-perspective camera (s, tx, ty) in the crop
    hidden: Float[Tensor, "B W"]
    log_error: Float[Tensor, "B 24"]  # logarithm of each joint's expected error about the middle, in decimetres


class Lifter(nn.Module):
    """Residual blocks over all numbers at once, after Martinez et al. (ICCV 2017); they start at the rest pose."""

    def __init__(self, points: int, landmarks: int, width: int, blocks: int, shapes: int) -> None:
        super().__init__()
        self.given = nn.Linear(3 * points + 4 * landmarks + 3, width)
        self.blocks = nn.ModuleList(LifterBlock(width) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.answer = nn.Linear(width, 6 * _JOINTS + shapes + 3 + _JOINTS)
        with torch.no_grad():  # at first landmarks count nothing: a training without them leaves it so
            self.given.weight[:, 3 * points : 3 * points + 4 * landmarks] = 0
        nn.init.xavier_uniform_(self.answer.weight, 0.01)
        nn.init.zeros_(self.answer.bias)

    def forward(
        self, points: Float[Tensor, "B K 3"], landmarks: Float[Tensor, "B L 4"], view: Float[Tensor, "B 3"]
    ) -> Lifted:
        """`points`: place in the crop (-1..1) and confidence, 0 where not seen; `landmarks`: metres and confidence.

        `view`: where the crop's centre lies in the camera's view, (x / z, y / z), and the crop's side / focal length.
        """
        place = points[..., :2].clamp(-2, 2) * (points[..., 2:] > 0)
        deep = landmarks[..., :3] / _LANDMARK_UNIT_M
        given = [place, points[..., 2:], deep, landmarks[..., 3:]]
        x = self.given(torch.cat([*(part.flatten(1) for part in given), view], dim=-1))
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        answer = self.answer(x)
        pose, shape, camera, log_error = answer.split(
            (6 * _JOINTS, answer.shape[1] - 7 * _JOINTS - 3, 3, _JOINTS), dim=-1
        )
        weak = torch.cat([camera[:, :1].clamp(-3, 3).exp(), camera[:, 1:]], dim=-1)
        return Lifted(pose.unflatten(-1, (_JOINTS, 6)), shape, weak, x, log_error)


def rest_six(like: Tensor) -> Float[Tensor, "24 6"]:
    """Six numbers of each joint's rotation at rest, upright and facing the camera: two columns, row by row."""
    upright, eye = [1.0, 0.0, 0.0, -1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 1.0, 0.0, 0.0]
    return torch.tensor([upright] + [eye] * (_JOINTS - 1)).to(like)


class LifterBlock(nn.Module):
    """x + second(gelu(first(norm(x)))); at first the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.first, self.second = nn.LayerNorm(width), nn.Linear(width, width), nn.Linear(width, width)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Float[Tensor, "B W"]) -> Float[Tensor, "B W"]:
        return x + self.second(nn.functional.gelu(self.first(self.norm(x))))


@dataclass(frozen=True)
class LifterPrediction(Prediction):
    """Bodies, and the logarithm of each joint's expected error about the body's middle, in decimetres."""

    log_error: Float[Tensor, "B N 24"]


class HoldsLifter(Method):
    """A method with a lifter: in training 3D landmarks err, besides by themselves, as that does without landmarks."""

    lifter: Lifter
    bodies: tuple[BodyModel]  # in a tuple: not a part of what is learned

    @torch.no_grad()
    def as_detected(self, crops: Crops, targets: Targets) -> Crops:
        """The crops with landmarks that share the lifter's errors: both guess what no picture shows, see `_SHARED`."""
        if not crops.landmarks.any():
            return crops
        group, (mean, spread, axes, most_m) = crops.present.shape, _SHARED
        lifted = lifted_from(self.lifter, crops, torch.zeros_like(crops.landmarks), 0.0)
        guess = self._landmarks(rotations(lifted.pose, crops), lifted.shape.unflatten(0, group))
        ray = ray_of(crops)
        ahead = torch.tensor([0.0, 0.0, 1.0]).to(ray).expand_as(ray)
        error = (guess - self._landmarks(targets.pose.rotations, targets.pose.shape)) @ swing(ahead, ray)
        error = error / (1 + error.norm(dim=-1, keepdim=True) / most_m)
        share = (mean + spread * torch.randn(group[0], 1, 1, 1)).clamp(0, 1.4) * torch.tensor(axes)
        there = crops.landmarks.flatten(2).any(-1)[..., None, None]
        places = crops.landmarks[..., :3] + torch.where(there, share.to(error) * error, 0.0)
        return replace(crops, landmarks=torch.cat([places, crops.landmarks[..., 3:]], dim=-1))

    @cached_property
    def _rig(self) -> Rig:
        rig, _ = Rig.of(self.bodies[0], MEDIAPIPE33)
        return Rig(rig.offset.float(), rig.slope.float(), rig.share.float())

    def _landmarks(self, turns: Float[Tensor, "*g 24 3 3"], shape: Float[Tensor, "*g S"]) -> Float[Tensor, "*g 33 3"]:
        """MediaPipe's points of posed bodies, metres from the middle of the hips."""
        flat = BodyPose(
            turns.flatten(0, -4).float(), shape.flatten(0, -2).float(), turns.new_zeros(shape[..., 0].numel(), 3)
        )
        points = self._rig.points(self.bodies[0], flat)[0].unflatten(0, shape.shape[:-1])
        return points - points[..., _HIPS33, :].mean(-2, keepdim=True)


class LifterMethod(HoldsLifter):
    """The lifter by itself."""

    config_type = LifterConfig
    config: LifterConfig

    def __init__(self, config: LifterConfig, body: BodyModel) -> None:
        super().__init__(config, body)
        self.spec = CropSpec((_CROP_PX, _CROP_PX), keypoints=JOTR30, box=jotr_box, landmarks=True)
        self.bodies = (body,)
        self.lifter = Lifter(len(JOTR30), len(MEDIAPIPE33), config.width, config.blocks, config.shapes)

    def forward(self, crops: Crops) -> LifterPrediction:
        """The body of each crop's person, from points seen inside of the crop."""
        group = crops.present.shape
        landmarks = crops.landmarks if self.config.landmarks else torch.zeros_like(crops.landmarks)
        lifted = lifted_from(self.lifter, crops, landmarks, self.config.dropped if self.training else 0.0)
        pose = BodyPose(
            rotations(lifted.pose, crops),
            lifted.shape.unflatten(0, group),
            crops.camera.translation_from_weak(lifted.weak.unflatten(0, group), crops.size),
        )
        log_error = lifted.log_error.unflatten(0, group)
        return LifterPrediction(pose, log_error, expected_error_m=calibrated(log_error, crops.keypoints))

    def own_terms(self, crops: Crops, prediction: LifterPrediction, targets: Targets) -> dict[str, Term]:
        """`log_error`: the negative logarithm of Laplace's density of each joint's error about the body's middle."""
        (body,) = self.bodies
        with torch.no_grad():
            pose = prediction.pose.map(lambda tensor: tensor.float().flatten(0, 1))
            joints = body.joints(pose).unflatten(0, crops.present.shape)
            wanted = targets.points3d[..., : len(SMPL24), :]
            apart = (joints - joints.mean(-2, keepdim=True)) - (wanted - wanted.mean(-2, keepdim=True))
            error_dm = 10 * apart.norm(dim=-1)
        log_error = prediction.log_error.clamp(-5, 3)
        return {"log_error": (error_dm * (-log_error).exp() + log_error, targets.points3d_weight[..., : len(SMPL24)])}


def calibrated(log_error: Float[Tensor, "*g 24"], keypoints: Float[Tensor, "*g 30 3"]) -> Float[Tensor, "*g 24"]:
    """Expected errors in metres on real photographs, of the network's own (log decimetres) on simulated keypoints."""
    doubt = 1 - keypoints[..., _LIMBS30, 2].clamp(0, 1).mean(-1, keepdim=True)
    own = log_error.clamp(-5, 3).exp() / 10
    return ((_OWN * own).square() + _FLOOR_M**2 + (_DOUBT_M * doubt).square()).sqrt()


def lifted_from(lifter: Lifter, crops: Crops, landmarks: Float[Tensor, "B N L 4"], dropped: float) -> Lifted:
    """What the points of some crops tell, their landmarks left out for a random share of people."""
    points, (height, width) = crops.keypoints.flatten(0, 1), crops.size
    seen = visible_in_crop(points, crops.size).to(points)
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
    there, eye = crops.present[..., None, None], identity(crops.keypoints)
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
