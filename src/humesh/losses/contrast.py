"""Contrast: InfoNCE, and JOTR's two losses on a volume of features, at joints against joints and against voxels.

Similarities are computed anchor by anchor against all candidates and the drawn ones are picked from them, so that
memory grows with anchors x candidates and no feature is ever repeated.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, distributed
from torch.nn.functional import normalize, softplus

from humesh.losses.total import mean_of
from humesh.networks.volumes import interpolation

TEMPERATURE = 0.07  # JOTR's


def info_nce(
    query: Float[Tensor, "*g C"],
    positive: Float[Tensor, "*g C"],
    negatives: Float[Tensor, "*#g N C"],
    temperature: float = TEMPERATURE,
) -> Float[Tensor, "*g"]:
    """-log(e^{q.p/t} / (e^{q.p/t} + sum_n e^{q.n/t})) of features made unit vectors (van den Oord et al., 2018)."""
    query, positive, negatives = (normalize(features, dim=-1) for features in (query, positive, negatives))
    pull = (query * positive).sum(-1, keepdim=True) / temperature
    push = (negatives @ query[..., None])[..., 0] / temperature
    return contrasted(pull, push)[..., 0]


def contrasted(pull: Float[Tensor, "*g P"], push: Float[Tensor, "*g N"]) -> Float[Tensor, "*g P"]:
    """InfoNCE of each positive's logit against all the negatives' logits."""
    return softplus(push.logsumexp(-1, keepdim=True) - pull)


@dataclass(frozen=True)
class Draw:
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


def joint_to_joint(
    predicted: Float[Tensor, "B K C"], true: Float[Tensor, "B K C"], draw: Draw, temperature: float = TEMPERATURE
) -> Float[Tensor, ""]:
    """Features at predicted joints, pulled to those at the true places of the same joint, pushed from other joints'.

    The mean over the kept anchors and their positives, 0 where none is kept. Features are unit vectors.
    """
    features, joints = predicted.flatten(0, 1), predicted.shape[1]
    anchors, wanted = features[draw.anchors], draw.positives * joints + draw.anchors[:, None] % joints
    pull = (anchors @ true.flatten(0, 1).mT).gather(1, wanted)
    push = (anchors @ features.mT).gather(1, draw.negatives)
    return mean_of((contrasted(pull / temperature, push / temperature), draw.kept[:, None]), draw.kept[:, None])


def joint_to_non_joint(
    predicted: Float[Tensor, "B K C"], voxels: Float[Tensor, "B T C"], draw: Draw, temperature: float = TEMPERATURE
) -> Float[Tensor, ""]:
    """Unit features at predicted joints, pulled to all other joints', pushed from voxels where no joint is.

    The mean over the kept anchors and their positives. Voxels are made unit vectors here.
    """
    features = predicted.flatten(0, 1)
    anchors = features[draw.anchors]
    pull = (anchors @ features.mT).gather(1, draw.positives)
    push = anchors @ normalize(voxels.flatten(0, 1)[draw.negatives], dim=-1).mT
    return mean_of((contrasted(pull / temperature, push / temperature), draw.kept[:, None]), draw.kept[:, None])


def joint_contrasts(
    names: tuple[str, ...],
    volume: Float[Tensor, "B T C"],
    predicted: Float[Tensor, "B K 3"],
    true: Float[Tensor, "B K 3"],
    valid: Bool[Tensor, "B K"],
    known: Bool[Tensor, " B"],
    cells: tuple[int, int, int],
    corrected: bool = False,
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
        draw = draw_joint_to_non_joint(joints, non_joint_voxels(predicted.detach(), cells, corrected))
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
    anchors: int = 100,
    positives: int = 128,
    negatives: int = 256,
) -> Draw:
    """Who is compared, at random: positives where the joint is `valid`, negatives among all other joints.

    The counts are JOTR's; what is too few is drawn with replacement, as the authors do.
    """
    samples, joints = valid.shape
    every = torch.ones(1, samples * joints, dtype=torch.bool, device=valid.device)
    chosen = _pick(every, anchors, generator)[0]
    kind = chosen % joints
    same = valid.mT[kind]  # A B
    other = torch.arange(samples * joints, device=valid.device) % joints != kind[:, None]
    return Draw(chosen, _pick(same, positives, generator), _pick(other, negatives, generator), same.any(-1))


def draw_joint_to_non_joint(
    joints: int,
    pool: Bool[Tensor, "B T"],
    generator: torch.Generator | None = None,
    anchors: int = 100,
    positives: int = 1024,
    negatives: int = 2048,
) -> Draw:
    """Who is compared, at random: positives are any other of the samples' joints, negatives voxels of the pool."""
    every = torch.ones(1, len(pool) * joints, dtype=torch.bool, device=pool.device)
    chosen = _pick(every, anchors, generator)[0]
    other = torch.arange(every.shape[1], device=pool.device) != chosen[:, None]
    voxels = _pick(pool.flatten()[None], negatives, generator)[0]
    return Draw(chosen, _pick(other, positives, generator), voxels, pool.any().expand(anchors))


def non_joint_voxels(
    points: Float[Tensor, "B K 3"], cells: tuple[int, int, int], corrected: bool = False
) -> Bool[Tensor, "B T"]:
    """The voxels that count as no joint's, given joints (x, y, z) in [0, 1].

    As the authors code it, coordinates are scaled by the number of voxels, and x and z change places. `corrected`: the
    voxels that the paper means, all but those which the joints' features are interpolated from.
    """
    if corrected:
        return ~(interpolation(points.detach(), cells) > 0).any(1)
    samples = len(points)
    marked = torch.zeros(samples, *cells, dtype=torch.bool, device=points.device)
    size = torch.tensor(cells).to(points)
    ends = [edge.clamp(min=0).minimum(size - 1).long() for edge in ((points * size).floor(), (points * size).ceil())]
    row = torch.arange(samples, device=points.device)[:, None]
    for corner in range(8):
        depth, y, x = (ends[corner >> axis & 1][..., axis] for axis in range(3))  # the coded order: x is the depth
        marked[row, depth, y, x] = True
    return ~marked.flatten(1)


def _pick(allowed: Bool[Tensor, "A K"], count: int, generator: torch.Generator | None) -> Int[Tensor, "A n"]:
    """For each row `count` allowed positions, without replacement if there are enough; rows without any get some."""
    chances = (allowed | ~allowed.any(-1, keepdim=True)).float()
    repeated = torch.multinomial(chances, count, replacement=True, generator=generator)
    if allowed.shape[1] < count:
        return repeated
    keys = torch.rand(allowed.shape, generator=generator, device=allowed.device).masked_fill(~allowed, -1.0)
    return torch.where(allowed.sum(-1, keepdim=True) >= count, keys.topk(count, dim=-1).indices, repeated)
