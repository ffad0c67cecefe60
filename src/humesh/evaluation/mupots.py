"""MuPoTS-3D (Mehta et al., 3DV 2018): its joints, its matching of people per frame, its rescaling of bones."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from humesh.body.joints import MPI_INF_3DHP17

MISSED = -1
"""In a matching: nobody was predicted for this person."""

PCK_JOINTS = MPI_INF_3DHP17.names[: MPI_INF_3DHP17.index("left_ankle") + 1]
"""The 14 joints that PCK, AUC and MPJPE are taken over: all but pelvis, spine and head (whose top is in)."""

MATCH_JOINTS = PCK_JOINTS[PCK_JOINTS.index("neck") :]
"""The 13 joints that people are matched by: the former without the top of the head."""

_BONES = """
    spine<pelvis neck<spine head_top<neck head<neck right_shoulder<neck right_elbow<right_shoulder
    right_wrist<right_elbow left_shoulder<neck left_elbow<left_shoulder left_wrist<left_elbow right_hip<pelvis
    right_knee<right_hip right_ankle<right_knee left_hip<pelvis left_knee<left_hip left_ankle<left_knee
"""
BONES = tuple(tuple(bone.split("<")) for bone in _BONES.split())
"""(joint, parent), outwards from the pelvis: the order in which bones are rescaled."""


def match(truth_px: Float[Tensor, "G 17 2"], predicted_px: Float[Tensor, "P 17 2"]) -> Int[Tensor, " G"]:
    """Each annotated person's prediction, or `MISSED`; joints in the order of `MPI_INF_3DHP17`, in pixels.

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
