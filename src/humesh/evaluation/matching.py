"""How benchmarks match people with predictions: by their boxes, and as the tools of MuPoTS-3D and AGORA do."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from humesh.body.joints import MPI_INF_3DHP17
from humesh.evaluation.protocols import PCK_JOINTS, EvaluationError
from humesh.geometry.boxes import box_around, box_iou

MISSED, INVALID = -1, -2
"""In a matching: nobody was predicted for this person; the person is not evaluated."""

MATCH_JOINTS = PCK_JOINTS[PCK_JOINTS.index("neck") :]
"""The 13 joints that MuPoTS-3D matches people by: those of PCK without the top of the head."""

_BONES = """
    spine<pelvis neck<spine head_top<neck head<neck right_shoulder<neck right_elbow<right_shoulder
    right_wrist<right_elbow left_shoulder<neck left_elbow<left_shoulder left_wrist<left_elbow right_hip<pelvis
    right_knee<right_hip right_ankle<right_knee left_hip<pelvis left_knee<left_hip left_ankle<left_knee
"""
BONES = tuple(tuple(bone.split("<")) for bone in _BONES.split())
"""(joint, parent), outwards from the pelvis: the order in which MuPoTS-3D rescales bones."""


def by_overlap(truths: Float[Tensor, "G 4"], boxes: Float[Tensor, "P 4"], least: float) -> dict[int, int]:
    """Pairs of boxes (place in `truths`: place in `boxes`) from the largest overlap on, each box once."""
    overlap = box_iou(truths[:, None], boxes[None])
    pairs: dict[int, int] = {}
    for pair in overlap.flatten().sort(descending=True, stable=True).indices.tolist():
        i, k = divmod(pair, len(boxes))
        if float(overlap[i, k]) >= least and i not in pairs and k not in pairs.values():
            pairs[i] = k
    return pairs


def match_mupots(truth_px: Float[Tensor, "G 17 2"], predicted_px: Float[Tensor, "P 17 2"]) -> Int[Tensor, " G"]:
    """MuPoTS-3D (Mehta et al., 3DV 2018): each annotated person's prediction, or `MISSED`; joints in pixels.

    In the order of the annotation each takes the free prediction (the first of equals) with the most of `MATCH_JOINTS`
    less than 40 px (the benchmark's tool) away in x and in y, of which there must be one. A predicted joint with the
    pixel (0, 0) is missing.
    """
    joints = MPI_INF_3DHP17.indices(*MATCH_JOINTS)
    truth, predicted = truth_px.double()[:, joints], predicted_px.double()[:, joints]
    near = (truth[:, None] - predicted).abs().amax(-1) < 40
    hits = (near & (predicted != 0).any(-1)).sum(-1)
    found: list[int] = []
    for row in hits.tolist():
        free = [p for p, count in enumerate(row) if count > 0 and p not in found]
        found.append(max(free, key=row.__getitem__, default=MISSED))
    return torch.tensor(found, dtype=torch.int64)


def with_bone_lengths(predicted: Float[Tensor, "*g 17 3"], truth: Float[Tensor, "*g 17 3"]) -> Float[Tensor, "*g 17 3"]:
    """The predicted skeletons with their pelvis and directions kept and the true bone lengths; no length stays none."""
    predicted, truth = predicted.double(), truth.double()
    rescaled = predicted.clone()
    for joint, parent in BONES:
        j, p = MPI_INF_3DHP17.indices(joint, parent)
        bone = predicted[..., j, :] - predicted[..., p, :]
        length = (truth[..., j, :] - truth[..., p, :]).norm(dim=-1, keepdim=True)
        rescaled[..., j, :] = rescaled[..., p, :] + torch.nn.functional.normalize(bone, dim=-1, eps=1e-300) * length
    return rescaled


def match_agora(
    truth_px: Float[Tensor, "G 24 2"],
    valid: Bool[Tensor, " G"],
    predicted_px: Float[Tensor, "P 24 2"],
    least_iou: float = 0.1,
) -> Int[Tensor, " G"]:
    """AGORA (Patel et al., CVPR 2021): each annotated person's prediction, or `MISSED`, or `INVALID`.

    All pairs are gone through from the closest on; the distance is the largest singular value of the 24 x 2 pixel
    differences. A pair whose boxes overlap by less than `least_iou` is rejected, whether its people are free or not.
    Any other pair of free people is a match, or, where the person is invalid, takes the person out and leaves the
    prediction free. It ends when matches and rejected pairs are as many as the predictions, so rejected pairs can
    cost a later pair its match. 0.1 and the rules: the benchmark's tool.
    """
    for name, pixels in (("truth_px", truth_px), ("predicted_px", predicted_px)):
        if not pixels.isfinite().all():
            raise EvaluationError(f"match_agora: expected finite {name}, got NaN or infinity; leave such people out.")
    truth, predicted = truth_px.double(), predicted_px.double()
    distance = torch.linalg.matrix_norm(predicted[:, None] - truth, ord=2)
    overlap = box_iou(_box(predicted)[:, None], _box(truth)[None]).tolist()
    found = [MISSED if is_valid else INVALID for is_valid in valid.tolist()]
    free_truths, free_predictions, closed = set(range(len(truth))), set(range(len(predicted))), 0
    for pair in distance.flatten().sort(stable=True).indices.tolist():
        if closed >= len(predicted):
            break
        p, g = divmod(pair, len(truth))
        if overlap[p][g] < least_iou:
            closed += 1
        elif p in free_predictions and g in free_truths:
            free_truths.remove(g)
            if found[g] != INVALID:
                found[g], closed = p, closed + 1
                free_predictions.remove(p)
    return torch.tensor(found, dtype=torch.int64)


def _box(points: Float[Tensor, "n 24 2"]) -> Float[Tensor, "n 4"]:
    """The box around the joints, its last pixel included: a side is max - min + 1, as the benchmark's tool has it."""
    return box_around(points) + torch.tensor([0, 0, 1, 1]).to(points)
