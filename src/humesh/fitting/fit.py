"""Fitting at test time: a body's pose, shape and place are moved until its joints fall on a detector's 2D keypoints.

After SMPLify (Bogo et al., ECCV 2016), but second order, many people at once, and from a start that knows more than a
mean pose does: Levenberg-Marquardt on the sum of a robust reprojection error (Geman-McClure, times the keypoints'
confidences), a pose prior, a shape prior, and anchors to the start. What the photo does not tell - above all depth -
stays with the start. No mesh is made: skinning is linear, so a keypoint regressed from the surface is a sum of a few
points fixed to joints (`Rig`), exactly so for bodies without pose correctives, and the Jacobian is in closed form.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import softplus

from humesh.body.joints import LIMBS12, MEDIAPIPE33, SMPL24, JointSet
from humesh.body.kinematics import forward_kinematics
from humesh.body.model import BodyModel, Rig
from humesh.body.pose import BodyPose
from humesh.body.pose_prior import PRIOR_JOINTS, PosePrior
from humesh.geometry.align import procrustes, translation_onto_pixels
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import (
    axis_angle_rate,
    cross_matrix,
    identity,
    nearest_rotation,
    rotation_from_axis_angle,
    rotation_to_axis_angle,
)

_COUNT = len(SMPL24)
_FREE = slice(3 * SMPL24.index(PRIOR_JOINTS[0]), 3 * SMPL24.index(PRIOR_JOINTS[-1]) + 3)  # they lie side by side
_WIDE = 4.0  # how much wider the robust scale is at first
_LIMBS24, _LIMBS33 = SMPL24.indices(*LIMBS12.names), MEDIAPIPE33.indices(*LIMBS12.names)
_NEAR_M = 0.1  # no body is nearer to the camera


@dataclass(frozen=True)
class FitSettings:
    """How much each source is believed: standard deviations about the truth, for the finder's keypoints.

    Tuned on labelled photographs, from the lifter's predictions; more steps gain nothing.
    """

    pixel_sd_m: float = 0.018  # of keypoints, at the person's depth: 1 % of the height
    outlier_sd: float = 5.0  # keypoints this many sd off count a quarter (Geman-McClure's scale)
    together: float = 2.0  # keypoints of one body part (a face) count together as this many
    prior: float = 0.6  # the pose prior's weight beyond what is usual; 1 would be its full probability
    usual: float = -55.0  # nats; poses more likely than this are not pulled any further (the mean of held-out mocap)
    usual_sd: float = 15.0
    turn_sd: float = 0.4  # rad, of the start's parent-relative rotations
    root_sd: float = 0.2  # rad, of the start's whole body; people cut off at the hips would lean without
    joint_sd_m: float = 0.06  # of the start's joints about their middle, apart from how the whole body is turned
    shape_sd: float = 0.5  # of the start's shape coefficients, besides N(0, 1) of people
    landmarks: float = 0.5  # how far the start's joints are moved towards the 3D landmarks, at full confidence
    depth_sd: float = 0.3  # of the start's place, in shares of its depth
    wide_steps: int = 3  # with a wider robust scale, for starts that are far off
    steps: int = 5


@dataclass(frozen=True)
class Posed:
    """Points (and all 24 joints) of posed bodies, metres, and how they move with U = 72 + S + 3 unknowns."""

    points: Float[Tensor, "P K 3"]
    joints: Float[Tensor, "P 24 3"]
    moves: Float[Tensor, "P K 3 U"]  # turns d with R -> R exp(d), joint by joint; shape; translation
    joint_moves: Float[Tensor, "P 24 3 U"]


def posed(body: BodyModel, rig: Rig, pose: BodyPose) -> Posed:
    """A rig's points on posed bodies with their Jacobian in closed form, all in one pass over the tree."""
    people, rest = len(pose.shape), body.rest_joints(pose.shape)
    turns, joints = forward_kinematics(pose.rotations, rest)
    _, bones = forward_kinematics(  # joints are linear in the rest joints, so in the shape
        pose.rotations[:, None].expand(-1, body.shapes, -1, -1, -1),
        body.rest_directions.to(rest).expand(people, -1, -1, -1),
    )
    joints = joints + pose.translation[:, None]
    offset = rig.offset + torch.einsum("ps,skjc->pkjc", pose.shape, rig.slope)
    hung = (turns[:, None] @ offset[..., None])[..., 0] + rig.share[..., None] * joints[:, None]  # P K 24 3
    slopes = torch.einsum("pjab,skjb->pska", turns, rig.slope) + torch.einsum("kj,psja->pska", rig.share, bones)

    def moves(of_joints: Tensor, share: Tensor, by_shape: Tensor) -> Tensor:
        """What hangs on joint i and below turns about joint i: dx/dd_i = -[lever_i] turn_i."""
        below = _below(share)
        lever = torch.einsum("pkjc,ij->pkic", of_joints, below) - (share @ below.T)[..., None] * joints[:, None]
        by_turn = (-cross_matrix(lever) @ turns[:, None]).transpose(-3, -2).flatten(-2)  # P K 3 72
        eye = (share.sum(-1)[..., None, None] * identity(share)).expand(people, -1, -1, -1)
        return torch.cat([by_turn, by_shape.permute(0, 2, 3, 1), eye], dim=-1)

    itself = identity(rest, _COUNT)
    return Posed(
        hung.sum(-2),
        joints,
        moves(hung, rig.share, slopes),
        moves(itself[..., None] * joints[:, None], itself, bones),
    )


def _below(like: Tensor) -> Float[Tensor, "24 24"]:
    """1 where joint j is joint i or hangs on it."""
    below = identity(like, _COUNT)
    for joint in reversed(range(1, _COUNT)):  # children come after their parents
        below[SMPL24.parents[joint]] += below[joint]
    return below


@dataclass(frozen=True)
class _Quadratic:
    """The energy `P`, and its gradient `P U` and Gauss-Newton Hessian `P U U`, at a pose."""

    pose: BodyPose
    energy: Tensor
    slope: Tensor
    bend: Tensor

    def replaced(self, which: Bool[Tensor, " P"], other: _Quadratic) -> _Quadratic:
        """The other's answer for the people chosen."""
        old, new = self.pose, other.pose
        pose = BodyPose(
            _choose(which, new.rotations, old.rotations),
            _choose(which, new.shape, old.shape),
            _choose(which, new.translation, old.translation),
        )
        mine, theirs = (self.energy, self.slope, self.bend), (other.energy, other.slope, other.bend)
        return _Quadratic(pose, *(_choose(which, b, a) for a, b in zip(mine, theirs, strict=True)))


@dataclass(frozen=True)
class _Problem:
    """Everything that stays the same during a fit."""

    body: BodyModel
    rig: Rig
    prior: PosePrior
    start: BodyPose
    anchor: Float[Tensor, "P 24 3"]  # the start's joints about their middle
    pixels: Float[Tensor, "P K 2"]
    weights: Float[Tensor, "P K"]
    camera: Camera
    settings: FitSettings

    def at(self, pose: BodyPose, widen: float) -> _Quadratic:
        """All terms about a pose; infinite energy for a body that is not ahead of the camera."""
        now = posed(self.body, self.rig, pose)
        terms = zip(self._on_pixels(now, widen), self._like_start(now), self._likely(pose), strict=True)
        energy, slope, bend = (torch.stack(parts).sum(0) for parts in terms)
        behind = (now.points[..., 2] <= _NEAR_M).any(-1)
        return _Quadratic(pose, torch.where(behind, torch.inf, energy), slope, bend)

    def _on_pixels(self, now: Posed, widen: float) -> tuple[Tensor, Tensor, Tensor]:
        """The reprojection error in sd of the keypoints, robust: half of w r^2 / (1 + r^2 / scale^2)."""
        x, y, z = now.points.unbind(-1)
        z = z.clamp(min=_NEAR_M)
        sd_px = self.camera.focal_px.to(z) * self.settings.pixel_sd_m / self.start.translation[:, 2].clamp(min=_NEAR_M)
        by_x, by_y, by_z = now.moves.unbind(-2)
        flat = [by_x - (x / z)[..., None] * by_z, by_y - (y / z)[..., None] * by_z]
        flat_moves = torch.stack(flat, dim=-2) / z[..., None, None]
        jacobian = self.camera.matrix.to(z)[:2, :2] / sd_px[:, None, None, None] @ flat_moves
        miss = self.camera.project(torch.stack([x, y, z], dim=-1)) - self.pixels
        miss = miss / sd_px[:, None, None]
        square, scale = miss.square().sum(-1), (widen * self.settings.outlier_sd) ** 2
        believed = self.weights / (1 + square / scale).square()
        rows = (believed.sqrt()[..., None, None] * jacobian).flatten(1, 2)
        energy = (self.weights * square / (1 + square / scale)).sum(-1) / 2
        return energy, torch.einsum("pk,pkc,pkcu->pu", believed, miss, jacobian), rows.mT @ rows

    def _like_start(self, now: Posed) -> tuple[Tensor, Tensor, Tensor]:
        """The start's joints, turned as a whole as fits best: of the whole body's turn 2D tells more than the start."""
        apart = now.joints - now.joints.mean(1, keepdim=True)
        miss = (apart - self.anchor @ nearest_rotation(apart.mT @ self.anchor).mT) / self.settings.joint_sd_m
        rows = (now.joint_moves - now.joint_moves.mean(1, keepdim=True)).flatten(1, 2) / self.settings.joint_sd_m
        whole = cross_matrix(apart).flatten(1, 2)  # how joints move as the whole body turns: of no interest here
        rows = rows - whole @ torch.linalg.solve(whole.mT @ whole, whole.mT @ rows)
        return miss.square().sum((-2, -1)) / 2, (miss.flatten(1)[:, None] @ rows)[:, 0], rows.mT @ rows

    def _likely(self, pose: BodyPose) -> tuple[Tensor, Tensor, Tensor]:
        """The pose prior, the shape prior, and the start's turns, shape and place."""
        s = self.settings
        turn = rotation_to_axis_angle(self.start.rotations.mT @ pose.rotations)
        trust = torch.full((_COUNT, 1), s.turn_sd**-2, device=turn.device).to(turn.dtype)
        trust[SMPL24.index("pelvis")] = s.root_sd**-2
        rate = axis_angle_rate(turn)
        nats, prior_slope, prior_bend = self.prior.quadratic(pose.rotations)
        above = (nats - s.usual) / s.usual_sd
        pull = s.prior * above.sigmoid()
        reshaped, moved = pose.shape - self.start.shape, pose.translation - self.start.translation
        depth = self.start.translation[:, 2:].clamp(min=_NEAR_M)
        place = ((s.depth_sd * depth) ** -2).expand(-1, 3)
        energy = s.prior * s.usual_sd * softplus(above) + (trust * turn.square()).sum((-2, -1)) / 2
        energy = energy + pose.shape.square().sum(-1) / 2 + reshaped.square().sum(-1) / (2 * s.shape_sd**2)
        energy = energy + (place * moved.square()).sum(-1) / 2
        turn_slope = (trust * (rate.mT @ turn[..., None])[..., 0]).flatten(1)
        slope = torch.cat([turn_slope, pose.shape + reshaped / s.shape_sd**2, place * moved], dim=-1)
        bend = torch.diag_embed(
            torch.cat([torch.zeros_like(turn_slope), torch.full_like(pose.shape, 1 + s.shape_sd**-2), place], dim=-1)
        )
        bend[:, : 3 * _COUNT, : 3 * _COUNT] = _block_diagonal(trust[..., None] * (rate.mT @ rate))
        slope[:, _FREE] += pull[:, None] * prior_slope
        bend[:, _FREE, _FREE] += pull[:, None, None] * prior_bend
        return energy, slope, bend


def _block_diagonal(blocks: Float[Tensor, "P N 3 3"]) -> Float[Tensor, "P M M"]:
    count = blocks.shape[1]
    eye = identity(blocks, count)
    return torch.einsum("pnab,nm->pnamb", blocks, eye).flatten(3, 4).flatten(1, 2)


def _moved(pose: BodyPose, step: Float[Tensor, "P U"]) -> BodyPose:
    turns = step[:, : 3 * _COUNT].unflatten(-1, (_COUNT, 3))
    return BodyPose(
        pose.rotations @ rotation_from_axis_angle(turns),
        pose.shape + step[:, 3 * _COUNT : -3],
        pose.translation + step[:, -3:],
    )


def _towards_landmarks(
    joints: Float[Tensor, "P 24 3"], landmarks: Float[Tensor, "P 33 4"], share: float
) -> Float[Tensor, "P 24 3"]:
    """The limbs' joints moved by a share times confidence of the way to landmarks laid onto them by a similarity."""
    limbs, landmarks = list(_LIMBS24), landmarks[:, _LIMBS33]
    there = (landmarks.isfinite().flatten(1).all(-1) & landmarks[..., :3].flatten(1).any(-1))[:, None, None]
    places = torch.where(there, landmarks[..., :3], joints[:, limbs])
    confidence = torch.where(there, landmarks[..., 3:], 0.0)
    near = procrustes(places, joints[:, limbs])(places)
    moved = joints.clone()
    moved[:, limbs] += share * confidence * (near - joints[:, limbs])
    return moved


def _choose(which: Bool[Tensor, " P"], a: Tensor, b: Tensor) -> Tensor:
    return torch.where(which.reshape(-1, *[1] * (a.ndim - 1)), a, b)


def _descend(problem: _Problem, now: _Quadratic, widen: float, steps: int) -> _Quadratic:
    """Levenberg-Marquardt: every person has a damping of their own, and only steps that lower the energy are taken."""
    damping = torch.full_like(now.energy, 1e-2)
    for _ in range(steps):
        ridge = torch.diag_embed(damping[:, None] * now.bend.diagonal(dim1=-2, dim2=-1))
        step = torch.linalg.solve(now.bend + ridge, -now.slope)
        largest = step[:, : 3 * _COUNT].abs().amax(-1, keepdim=True)
        then = problem.at(_moved(now.pose, step / largest.clamp(min=1)), widen)  # 1 rad a step at most
        better = then.energy < now.energy
        damping = torch.where(better, damping / 5, damping * 8).clamp(1e-8, 1e8)
        now = now.replaced(better, then)
    return now


_AS_MEASURED = FitSettings()


@torch.no_grad()
def fit(
    body: BodyModel,
    prior: PosePrior,
    start: BodyPose,
    keypoints: Float[Tensor, "P K 3"],
    keypoint_set: JointSet,
    camera: Camera,
    settings: FitSettings = _AS_MEASURED,
    landmarks: Float[Tensor, "P 33 4"] | None = None,
) -> BodyPose:
    """The start's bodies moved onto 2D keypoints (x, y px, confidence) of one camera.

    `landmarks`: MediaPipe's 3D landmarks (metres, any origin) with their confidences, zeros for people without.
    People without a confident keypoint, or whose start is not finite, stay as they are. The work is done in float64 on
    the start's device, for everybody at once; a body that is there too saves copies. The poses have the start's dtype.
    ValueError for keypoints of other people or points.
    """
    if keypoints.shape != (len(start.shape), len(keypoint_set), 3):
        raise ValueError(
            f"fit: expected keypoints of {len(start.shape)} people x {len(keypoint_set)} points of "
            f"{keypoint_set.name!r} x 3, got {tuple(keypoints.shape)}; give one row for each body of the start."
        )
    device = start.shape.device
    rig, kept = Rig.of(body, keypoint_set)
    rig, prior, camera = rig.on(device), prior.on(device), Camera(camera.matrix.to(device))
    seen = keypoints[:, kept].to(device, torch.float64)
    confidence = torch.where(seen.isfinite().all(-1), seen[..., 2], 0.0).clamp(0, 1)
    known = torch.cat([start.rotations.flatten(1), start.shape, start.translation], dim=-1).isfinite().all(-1)
    rows = ((confidence > 0).any(-1) & known).nonzero()[:, 0]
    if not len(rows):
        return start
    first = start.map(lambda tensor: tensor.double()[rows])
    pixels = torch.where(confidence[..., None] > 0, seen[..., :2], 0.0)[rows]
    weights = (confidence * (settings.together / rig.crowding).clamp(max=1.0))[rows]
    first = replace(first, rotations=nearest_rotation(first.rotations))
    now = posed(body, rig, first)
    placed = translation_onto_pixels(
        now.points - first.translation[:, None], pixels, weights + 1e-9, camera, steps=5, near=2 * _NEAR_M
    )
    behind = now.points[..., 2].amin(-1) <= _NEAR_M
    first = replace(first, translation=_choose(behind, placed, first.translation))
    anchor = now.joints - now.joints.mean(1, keepdim=True)
    if landmarks is not None:
        anchor = _towards_landmarks(anchor, landmarks.to(device, torch.float64)[rows], settings.landmarks)
        anchor = anchor - anchor.mean(1, keepdim=True)
    problem = _Problem(body, rig, prior, first, anchor, pixels, weights, camera, settings)
    wide = _descend(problem, problem.at(first, _WIDE), _WIDE, settings.wide_steps)
    begin, then = problem.at(first, 1.0), problem.at(wide.pose, 1.0)
    found = _descend(problem, begin.replaced(then.energy < begin.energy, then), 1.0, settings.steps).pose
    return BodyPose(
        start.rotations.index_copy(0, rows, found.rotations.to(start.rotations)),
        start.shape.index_copy(0, rows, found.shape.to(start.shape)),
        start.translation.index_copy(0, rows, found.translation.to(start.translation)),
    )
