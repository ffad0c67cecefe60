"""The lifter through time: a detector's keypoints and landmarks of one person in a clip to one body in motion.

Ours. The lifter estimates each frame's body; a transformer over the frames, which is given these bodies and how far
they are from the keypoints and landmarks, corrects the clip as a whole. From INT (Yang et al., ICLR 2023) comes that
every joint has a motion of its own: its rotation is a mean of the lifter's over the frames, weighted by an attention of
that joint alone, plus a correction. The same goes for the root's path in the camera's frame; the clip has one shape.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from humesh.body.joints import JOTR30, MEDIAPIPE33, SMPL24
from humesh.body.kinematics import forward_kinematics, swing
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.crops.crops import Crops, CropSpec, jotr_box, seconds_of, visible_in_crop
from humesh.geometry.rotations import rotation_from_6d_rows
from humesh.losses import Targets, Term, absolute
from humesh.methods.base import ClipMethod
from humesh.methods.lifter import (
    HoldsLifter,
    Lifter,
    LifterPrediction,
    calibrated,
    lifted_from,
    ray_of,
    rotations,
    with_cameras,
)
from humesh.networks.attention import TimeBlock, rotary

_CROP_PX = 32  # no pixel is looked at; only a frame for the points
_JOINTS, _PATHS = len(SMPL24), len(SMPL24) + 1  # a path through time for each joint's rotation and the root's place
_KEY = 16  # numbers of a path's query and key
_NEAR_M = 0.1
_IN_2D = SMPL24.map_to(JOTR30)
_IN_3D = SMPL24.map_to(MEDIAPIPE33)
_HIPS = SMPL24.indices("left_hip", "right_hip")
_PARENTS = [max(parent, 0) for parent in SMPL24.parents]
_EVIDENCE = 3 * len(JOTR30) + 2 * len(_IN_2D[0]) + 4 * len(_IN_3D[0])


@dataclass(frozen=True)
class LifterVideoConfig:
    """`frames`: of a window when predicting; `lifter`, `lifter_blocks`: width and depth of the lifter inside.

    `dropped`: share of frames without landmarks in training.
    """

    width: int = 256
    heads: int = 4
    depth: int = 4
    frames: int = 32
    lifter: int = 1024
    lifter_blocks: int = 3
    dropped: float = 0.05


class LifterVideo(ClipMethod, HoldsLifter):
    """The whole method: `frame_features` frame by frame, `through_time` on what that gave of a clip."""

    config_type = LifterVideoConfig
    config: LifterVideoConfig

    def __init__(self, config: LifterVideoConfig, body: BodyModel) -> None:
        super().__init__(config, body)
        size, width = (_CROP_PX, _CROP_PX), config.width
        self.spec = CropSpec(size, "frames", config.frames, keypoints=JOTR30, box=jotr_box, landmarks=True)
        self.bodies = (body,)  # in a tuple it is no submodule: neither moved nor exported with the network
        self.parts = (6 * _JOINTS, body.shapes, 3)
        self.lifter = Lifter(len(JOTR30), len(MEDIAPIPE33), config.lifter, config.lifter_blocks, body.shapes)
        self.given = nn.Linear(sum(self.parts) + 6 * _JOINTS + 5 + _EVIDENCE, width)
        self.blocks = nn.ModuleList(TimeBlock(width, config.heads) for _ in range(config.depth))
        self.norm = nn.LayerNorm(width)
        self.paths = nn.Linear(width, 2 * _PATHS * _KEY)
        self.reach = nn.Parameter(torch.full((_PATHS,), -2.5))  # logarithm of seconds over which paths are averaged
        self.answers = (6 * _JOINTS, body.shapes, 3, _JOINTS)
        self.answer = nn.Linear(width, sum(self.answers))
        for head in (self.paths, self.answer):
            nn.init.xavier_uniform_(head.weight, 0.01)
            nn.init.zeros_(head.bias)

    def frame_features(self, crops: Crops) -> Float[Tensor, "B N F"]:
        """What the lifter estimates of each frame by itself: pose, shape and weak camera."""
        lifted = lifted_from(self.lifter, crops, crops.landmarks, self.config.dropped if self.training else 0.0)
        return torch.cat([lifted.pose.flatten(1), lifted.shape, lifted.weak], dim=-1).unflatten(0, crops.present.shape)

    def through_time(self, features: Float[Tensor, "B N F"], crops: Crops) -> LifterPrediction:
        """The bodies of clips from what `frame_features` gave of their frames; of the crops no pixel is needed."""
        crops = with_cameras(crops)
        there, (body,) = crops.present.to(features), self.bodies
        features = torch.where(crops.present[..., None], features, 1.0)  # of absent frames some numbers, all finite
        pose, shape, weak = features.split(self.parts, dim=-1)
        rest = body.rest_joints(shape)
        turns = rotations(pose.flatten(0, 1).unflatten(-1, (_JOINTS, 6)), crops)
        place = crops.camera.translation_from_weak(weak, crops.size)
        joints = forward_kinematics(turns, rest)[1] + place[..., None, :]
        # The clip's own axes look at the person's mean direction.
        ahead = torch.tensor([0.0, 0.0, 1.0]).to(features)
        ray = _mean(ray_of(crops), there)
        facing = swing(ahead.expand_as(ray), ray)
        own = torch.cat([facing[:, None, None].mT @ turns[:, :, :1], turns[:, :, 1:]], dim=2)[..., :2].flatten(-2)
        unit = _mean(crops.size[0] / crops.camera.matrix[..., 0, 0, None], there)[:, None]  # of crops, in focal lengths
        depth = joints[..., 0, 2:].clamp(min=_NEAR_M)
        # What pixels tell is the ratio of the depth and the body's size.
        path = torch.cat([joints[..., 0, :2] / depth / unit, (depth / _size(rest)).log()], dim=-1)
        middle = _mean(path, there)[:, None]
        seconds = seconds_of(crops)
        seen = [own.flatten(-2), pose, shape, weak[..., :1].log(), weak[..., 1:], path - middle, unit.log()]
        seen += [middle[..., 2:], self._evidence(joints, crops)]
        tokens = self.given(torch.cat([part.expand(*features.shape[:2], -1) for part in seen], dim=-1))
        mask = crops.present | ~crops.present.any(-1, keepdim=True)
        for block in self.blocks:
            tokens = block(tokens, seconds, mask[:, None, None])
        tokens = self.norm(tokens)
        six, betas, move, log_error = self.answer(tokens).split(self.answers, dim=-1)
        weights = self._weights(tokens, seconds, mask)
        own = torch.einsum("bjts,bsjc->btjc", weights[:, :-1], own) + six.unflatten(-1, (_JOINTS, 6))
        path = middle + weights[:, -1] @ (path - middle) + move
        shape = _mean(shape + betas, there)[:, None].expand_as(shape)
        rest, turns = body.rest_joints(shape), rotation_from_6d_rows(own)
        turns = torch.cat([facing[:, None, None] @ turns[:, :, :1], turns[:, :, 1:]], dim=2)
        depth = path[..., 2:].exp() * _size(rest)
        place = torch.cat([path[..., :2] * unit * depth, depth], dim=-1) - rest[..., 0, :]
        expected = calibrated(log_error, crops.keypoints)
        return LifterPrediction(BodyPose(turns, shape, place), log_error, expected_error_m=expected)

    def _weights(self, tokens: Tensor, seconds: Float[Tensor, "B T"], mask: Tensor) -> Float[Tensor, "B P T T"]:
        """For each path and frame, how much each frame counts."""
        q, k = self.paths(tokens).unflatten(-1, (2, _PATHS, _KEY)).permute(2, 0, 3, 1, 4).unbind(0)
        alike = rotary(q, seconds) @ rotary(k, seconds).mT / _KEY**0.5
        apart = (seconds[:, None, :, None] - seconds[:, None, None]) / self.reach.exp()[:, None, None]
        return (alike - apart.square() / 2).masked_fill(~mask[:, None, None], -torch.inf).softmax(-1)

    def _evidence(self, joints: Float[Tensor, "B N 24 3"], crops: Crops) -> Float[Tensor, "B N E"]:
        """Keypoints in the crop (-1 to 1), and how far they and the landmarks (metres) are from the lifter's joints."""
        (here, there), size = _IN_2D, torch.tensor(crops.size[::-1]).to(joints)
        ahead = torch.cat([joints[..., :2], joints[..., 2:].clamp(min=_NEAR_M)], dim=-1)
        seen = visible_in_crop(crops.keypoints, crops.size)[..., None]
        place = 2 * crops.keypoints[..., :2] / size - 1
        flat = place[..., there, :] - (2 * crops.camera.project(ahead)[..., here, :] / size - 1)
        ray = ray_of(crops)
        facing = swing(torch.tensor([0.0, 0.0, 1.0]).to(ray).expand_as(ray), ray)
        about = (joints - joints[..., _HIPS, :].mean(-2, keepdim=True)) @ facing
        landmarks = crops.landmarks[..., _IN_3D[1], :]
        deep, sure = landmarks[..., :3] - about[..., _IN_3D[0], :], landmarks[..., 3:]
        parts = [torch.where(seen, place, 0.0), seen * crops.keypoints[..., 2:]]
        parts += [torch.where(seen[..., there, :], flat.clamp(-0.5, 0.5), 0.0)]
        parts += [torch.where(sure > 0, deep.clamp(-0.5, 0.5), 0.0), sure]
        return torch.cat([part.flatten(-2) for part in parts], dim=-1)

    def own_terms(self, crops: Crops, prediction: LifterPrediction, targets: Targets) -> dict[str, Term]:
        """Errors of the root's depth (logarithm), of velocities (m/s) and of the expected errors (Laplace's).

        "velocity": of points about their middle; "path": of the pelvis, in shares of its depth a second.
        """
        (body,), pose, label = self.bodies, prediction.pose.map(Tensor.float), targets.pose
        weight = targets.points3d_weight * crops.present[..., None]
        joints, true = (forward_kinematics(p.rotations, body.rest_joints(p.shape))[1] for p in (pose, label))
        joints, true = joints + pose.translation[..., None, :], true + label.translation[..., None, :]
        made, wanted = joints[..., 0, :], true[..., 0, :]
        deep = wanted[..., 2:].clamp(min=_NEAR_M)
        there = (targets.translation_weight * crops.present)[..., None]
        seconds = seconds_of(crops).diff(dim=1).clamp(min=1e-3)[..., None]
        both = there[:, 1:] * there[:, :-1]
        apart, about = (points - points.mean(-2, keepdim=True) for points in (joints, true))
        speed, wanted_speed = (points.diff(dim=1) / seconds[..., None] for points in (apart, about))
        with torch.no_grad():
            error = 10 * (apart - about).norm(dim=-1)
        log_error = prediction.log_error.float().clamp(-5, 3)
        return {
            "depth": absolute(made[..., 2:].clamp(min=_NEAR_M).log(), deep.log(), there),
            "path": absolute(
                made.diff(dim=1) / seconds / deep[:, 1:], wanted.diff(dim=1) / seconds / deep[:, 1:], both
            ),
            "velocity": absolute(speed, wanted_speed, both[..., None]),
            "log_error": (error * (-log_error).exp() + log_error, weight[..., :_JOINTS].amin(-1, keepdim=True)),
        }


def _mean(values: Float[Tensor, "B N C"], there: Float[Tensor, "B N"]) -> Float[Tensor, "B C"]:
    """The mean over the frames that are present."""
    return (values * there[..., None]).sum(1) / there.sum(1, keepdim=True).clamp(min=1)


def _size(rest: Float[Tensor, "*g 24 3"]) -> Float[Tensor, "*g 1"]:
    """The lengths of all bones together, metres."""
    return (rest - rest[..., _PARENTS, :]).norm(dim=-1).sum(-1, keepdim=True)
