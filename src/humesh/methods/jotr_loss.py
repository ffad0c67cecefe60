"""JOTR's loss: six means of absolute errors, learned to be weighed, and two contrasts on the volume H_3D.

As its authors' code has them, which has two more than the paper: on the 15 joints that the decoder predicts. Every mean
is over all elements, those without a label too. Names and factors are the authors'.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, distributed
from torch.nn.functional import normalize, softplus

from humesh.body.joints import JOTR15, JOTR30, SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.crops.crops import Crops
from humesh.geometry.absolute import solved_offset, weak_offset
from humesh.geometry.rotations import rotation_to_axis_angle
from humesh.losses import Targets, Term, absolute, body_pixels, body_points, centred, mean_of, reduced
from humesh.networks.heads import interpolation

DEPTH_BOX_M = 2.0  # joints' z in [0, 1] spans this, the pelvis in the middle (authors' bbox_3d_size)
TEMPERATURE = 0.07
_PELVIS = JOTR30.index("pelvis")
_FIFTEEN = JOTR30.indices(*JOTR15.names)
_SIDES = ("left", "right")
_FACTORS = {"body_joint_proj": 8.0, "body_joint_cam": 5.0}  # 8: an eighth of the heatmaps' 64 cells
_UNFITTED = SMPL24.indices(*(f"{side}_{part}" for part in ("ankle", "foot", "wrist", "hand") for side in _SIDES))


def jotr_losses(made: Mapping[str, Tensor], true: Mapping[str, Term]) -> dict[str, Float[Tensor, ""]]:
    """The six supervised losses, whose weights are learned, from estimates and from labels with their weights."""
    return {name: _FACTORS.get(name, 1.0) * reduced(absolute(made[name], *true[name])) for name in made}


def jotr_estimates(
    body: BodyModel, joints: Float[Tensor, "*g 15 3"], pose: BodyPose, crops: Crops
) -> dict[str, Float[Tensor, "*g n d"] | Float[Tensor, "*g S"]]:
    """What a prediction is compared by, one tensor a loss.

    The decoder's joints twice: x and y in shares of the crop, z: 0.5 + depth from the pelvis / 2 m; axis-angles; shape;
    the body's 30 points in shares of the crop, and in metres from the pelvis.
    """
    points = body_points(body, pose, JOTR30)
    return {
        "body_joint_img": joints,
        "smpl_joint_img": joints,
        "smpl_pose": rotation_to_axis_angle(pose.rotations),
        "smpl_shape": pose.shape,
        "body_joint_proj": body_pixels(points, crops.camera) / crops.size[0],
        "body_joint_cam": centred(points, _PELVIS),
    }


@torch.no_grad()
def jotr_labels(body: BodyModel, made: Mapping[str, Tensor], targets: Targets, crops: Crops) -> dict[str, Term]:
    """A batch's labels in the units of the estimates, with their weights; "smpl_joint_img" has the fit's joints.

    2D counts inside of the crop, also of the depth box where depth is known ("trunc"); depth where 3D is known; fits
    where pose, shape and place are, ankles, feet, wrists and hands of their poses never (authors). Of the two vectors
    of a rotation the one nearer to the estimate is meant, as at half a turn they jump.
    """
    targets, size = targets.only(JOTR30), crops.size[0]
    weight3d = targets.points3d_weight[..., None] * targets.points3d_weight[..., _PELVIS, None, None]
    joints, weight2d = in_boxes(targets.points2d, targets.points3d, targets.points2d_weight[..., None], weight3d, size)
    joints_weight = torch.cat([weight2d, weight2d, weight2d * weight3d], dim=-1)
    fit_points, known = _placed_fit(body, targets, crops)
    placed = (known * targets.pose_weight.amin(-1) * targets.shape_weight)[..., None, None].expand_as(weight2d)
    fit_joints, fit_weight = in_boxes(body_pixels(fit_points, crops.camera), fit_points, placed, placed, size)
    pose_weight = targets.pose_weight.clone()
    pose_weight[..., _UNFITTED] = 0
    vectors = nearest_vectors(rotation_to_axis_angle(targets.pose.rotations), made["smpl_pose"])
    return {
        "body_joint_img": (joints[..., _FIFTEEN, :], joints_weight[..., _FIFTEEN, :]),
        "smpl_joint_img": (fit_joints[..., _FIFTEEN, :], fit_weight[..., _FIFTEEN, :]),
        "smpl_pose": (vectors, pose_weight[..., None]),
        "smpl_shape": (targets.pose.shape, targets.shape_weight[..., None]),
        "body_joint_proj": (joints[..., :2], weight2d),
        "body_joint_cam": (centred(targets.points3d, _PELVIS), weight3d),
    }


def in_boxes(
    pixels: Float[Tensor, "*g 30 2"],
    points: Float[Tensor, "*g 30 3"],
    weight2d: Float[Tensor, "*g 30 1"],
    weight3d: Float[Tensor, "*g 30 1"],
    size: int,
) -> tuple[Float[Tensor, "*g 30 3"], Float[Tensor, "*g 30 1"]]:
    """Points as shares of the crop and 0.5 + depth from the pelvis / 2 m, and the 2D weights, 0 outside of the boxes.

    The depth of points whose `weight3d` is 0 is unknown, so these may be outside of the depth box.
    """
    depth = points[..., 2:] - points[..., _PELVIS, None, 2:]
    joints = torch.cat([pixels / size, 0.5 + depth / DEPTH_BOX_M], dim=-1)
    within = (joints >= 0) & (joints < 1)
    return joints, weight2d * (within[..., :2].all(-1, keepdim=True) & (within[..., 2:] | (weight3d == 0)))


def _placed_fit(
    body: BodyModel, targets: Targets, crops: Crops
) -> tuple[Float[Tensor, "*g 30 3"], Float[Tensor, "*g"]]:
    """The points of the fitted bodies in the camera's frame, and 1 for those whose place is known, else 0.

    It is the label's, or puts the pelvis at the labelled one, or is where the joints are nearest to the labelled rays
    of six or more 2D points: pseudo labels are of other cameras.
    """
    rest = BodyPose(targets.pose.rotations, targets.pose.shape, torch.zeros_like(targets.pose.translation))
    points, usable = body_points(body, rest, JOTR30), targets.points2d_weight > 0
    rays = crops.camera.rays(targets.points2d)
    flat, weak = (offset(points, rays, usable).to(points) for offset in (solved_offset, weak_offset))
    flat = torch.where(flat[..., 2:] > 0, flat, weak)  # of a fit that is far from its 2D points
    deep, labelled = targets.points3d_weight[..., _PELVIS] > 0, targets.translation_weight > 0
    place = torch.where(deep[..., None], targets.points3d[..., _PELVIS, :] - points[..., _PELVIS, :], flat)
    place = torch.where(labelled[..., None], targets.pose.translation, place)
    ahead = place[..., 2] + points[..., _PELVIS, 2] > 0
    known = (labelled | deep | (usable.sum(-1) >= 6)) & ahead
    return points + place[..., None, :], known.to(points)


def nearest_vectors(vectors: Float[Tensor, "*g 24 3"], wanted: Float[Tensor, "*g 24 3"]) -> Float[Tensor, "*g 24 3"]:
    """The same rotations as vectors of up to a whole turn, the nearer ones to those wanted."""
    angle = vectors.norm(dim=-1, keepdim=True)
    other = vectors * (1 - 2 * torch.pi / angle.clamp(min=1e-6))
    nearer = (other - wanted).norm(dim=-1, keepdim=True) < (vectors - wanted).norm(dim=-1, keepdim=True)
    return torch.where(nearer & (angle > 0.1), other, vectors)


def info_nce(pull: Float[Tensor, "*g P"], push: Float[Tensor, "*g N"]) -> Float[Tensor, "*g P"]:
    """-log(e^p / (e^p + sum_n e^n)) of each positive's logit p and all the negatives' logits n (InfoNCE, 2018)."""
    return softplus(push.logsumexp(-1, keepdim=True) - pull)


class Draw(NamedTuple):
    """Which features a contrastive loss compares, as positions; `kept`: False for anchors that have no positive.

    Joints are numbered sample * K + joint, voxels sample * T + cell. Joint-to-joint: `positives` are samples (the joint
    is the anchor's) and each anchor has its own negatives; joint-to-non-joint: joints, and one set of voxels for all.
    """

    anchors: Int[Tensor, " A"]
    positives: Int[Tensor, "A P"]
    negatives: Int[Tensor, "*every N"]
    kept: Bool[Tensor, " A"]


def features_at(
    volume: Float[Tensor, "B T C"], points: Float[Tensor, "B K 3"], cells: tuple[int, int, int]
) -> Float[Tensor, "B K C"]:
    """Unit features of volumes of (depth, rows, columns) `cells` at points (x, y, z) in [0, 1]."""
    return normalize(interpolation(points, cells) @ volume, dim=-1)


def joint_to_joint(predicted: Float[Tensor, "B K C"], true: Float[Tensor, "B K C"], draw: Draw) -> Float[Tensor, ""]:
    """Unit features at predicted joints, pulled to the same joint's at true places, pushed from other joints'."""
    features, joints = predicted.flatten(0, 1), predicted.shape[1]
    anchors, wanted = features[draw.anchors], draw.positives * joints + draw.anchors[:, None] % joints
    pull = (anchors @ true.flatten(0, 1).mT).gather(1, wanted)  # of all candidates: no feature is ever repeated
    push = (anchors @ features.mT).gather(1, draw.negatives)
    return _mean_of_kept(pull, push, draw)


def joint_to_non_joint(
    predicted: Float[Tensor, "B K C"], voxels: Float[Tensor, "B T C"], draw: Draw
) -> Float[Tensor, ""]:
    """Unit features at predicted joints, pulled to all other joints', pushed from voxels where no joint is."""
    features = predicted.flatten(0, 1)
    anchors = features[draw.anchors]
    pull = (anchors @ features.mT).gather(1, draw.positives)
    push = anchors @ normalize(voxels.flatten(0, 1)[draw.negatives], dim=-1).mT
    return _mean_of_kept(pull, push, draw)


def _mean_of_kept(pull: Tensor, push: Tensor, draw: Draw) -> Float[Tensor, ""]:
    kept = draw.kept[:, None]
    return mean_of((info_nce(pull / TEMPERATURE, push / TEMPERATURE), kept), kept)


def joint_contrasts(
    names: tuple[str, ...],
    volume: Float[Tensor, "B T C"],
    predicted: Float[Tensor, "B K 3"],
    true: Float[Tensor, "B K 3"],
    valid: Bool[Tensor, "B K"],
    known: Bool[Tensor, " B"],
    cells: tuple[int, int, int],
) -> dict[str, Float[Tensor, ""]]:
    """The chosen ones of "joint_to_joint" and "joint_to_non_joint" with fresh draws, of people `known` in 3D.

    Of people in all processes that train together; gradients reach this process's. 0 where nobody is known.
    """
    volume, predicted, true, valid, known = map(gathered, (volume, predicted, true, valid, known))
    volume, predicted, true, valid = (tensor[known] for tensor in (volume, predicted, true, valid))
    if not len(volume):
        return dict.fromkeys(names, volume.sum() + predicted.sum())  # 0, with a gradient: all processes must have one
    joints = predicted.shape[1]
    features, wanted = features_at(volume, torch.cat([predicted, true], dim=1), cells).split(joints, dim=1)
    losses: dict[str, Tensor] = {}
    if "joint_to_joint" in names:
        losses["joint_to_joint"] = joint_to_joint(features, wanted, draw_joint_to_joint(valid))
    if "joint_to_non_joint" in names:
        draw = draw_joint_to_non_joint(joints, non_joint_voxels(predicted.detach(), cells))
        losses["joint_to_non_joint"] = joint_to_non_joint(features, volume, draw)
    return losses


def gathered(tensor: Float[Tensor, " B *rest"] | Bool[Tensor, " B *rest"]) -> Tensor:
    """The rows of all processes that train together, `world * B`; only this process's have a gradient."""
    if not distributed.is_initialized():
        return tensor
    sent = tensor.detach().to(torch.uint8 if tensor.dtype == torch.bool else tensor.dtype).contiguous()
    parts = [torch.empty_like(sent) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, sent)
    parts = [part.to(tensor.dtype) for part in parts]
    parts[distributed.get_rank()] = tensor
    return torch.cat(parts)


def draw_joint_to_joint(
    valid: Bool[Tensor, "B K"],
    generator: torch.Generator | None = None,
    counts: tuple[int, int, int] = (100, 128, 256),
) -> Draw:
    """A random draw: positives where the joint is `valid`, negatives among all other joints; JOTR's counts."""
    samples, joints = valid.shape
    anchors = _pick(torch.ones_like(valid).view(1, -1), counts[0], generator)[0]
    kind = anchors % joints
    same, other = valid.mT[kind], torch.arange(samples * joints, device=valid.device) % joints != kind[:, None]
    return Draw(anchors, _pick(same, counts[1], generator), _pick(other, counts[2], generator), same.any(-1))


def draw_joint_to_non_joint(
    joints: int,
    pool: Bool[Tensor, "B T"],
    generator: torch.Generator | None = None,
    counts: tuple[int, int, int] = (100, 1024, 2048),
) -> Draw:
    """A random draw: positives are any other of the samples' joints, negatives voxels of the pool; JOTR's counts."""
    every = torch.ones(1, len(pool) * joints, dtype=torch.bool, device=pool.device)
    anchors = _pick(every, counts[0], generator)[0]
    other = torch.arange(every.shape[1], device=pool.device) != anchors[:, None]
    voxels = _pick(pool.view(1, -1), counts[2], generator)[0]
    return Draw(anchors, _pick(other, counts[1], generator), voxels, pool.any().expand(counts[0]))


def non_joint_voxels(points: Float[Tensor, "B K 3"], cells: tuple[int, int, int]) -> Bool[Tensor, "B T"]:
    """The voxels that count as no joint's, given joints (x, y, z) in [0, 1].

    As the authors code it: coordinates are scaled by the number of voxels, and x and z change places.
    """
    marked = torch.zeros(len(points), *cells, dtype=torch.bool, device=points.device)
    size = torch.tensor(cells).to(points)
    ends = [edge.clamp(min=0).minimum(size - 1).long() for edge in ((points * size).floor(), (points * size).ceil())]
    row = torch.arange(len(points), device=points.device)[:, None]
    for corner in itertools.product(ends, repeat=3):
        depth, y, x = (end[..., axis] for axis, end in enumerate(corner))  # the coded order: x is the depth
        marked[row, depth, y, x] = True
    return ~marked.flatten(1)


def _pick(allowed: Bool[Tensor, "A K"], count: int, generator: torch.Generator | None) -> Int[Tensor, "A n"]:
    """For each row `count` allowed positions, with replacement where there are fewer; rows without any get some."""
    chances = (allowed | ~allowed.any(-1, keepdim=True)).float()
    repeated = torch.multinomial(chances, count, replacement=True, generator=generator)
    if allowed.shape[1] < count:
        return repeated
    keys = torch.rand(allowed.shape, generator=generator, device=allowed.device).masked_fill(~allowed, -1.0)
    return torch.where(allowed.sum(-1, keepdim=True) >= count, keys.topk(count, dim=-1).indices, repeated)
