"""MuPoTS-3D (Mehta et al., 3DV 2018): matching of people per frame, 3DPCK, AUC and MPJPE per sequence.

Pass as truth the universal-height annotation (`univ_annot3`) of the frames that are valid, in the files' order. With
`root_relative` and `rescale` left on, the means of `pck_all` and `pck_matched` over the 20 sequences are what papers
print.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from humesh.body.joints import MPI_INF_3DHP17
from humesh.evaluation.metrics import auc, pck

MISSED = -1
"""In a matching: nobody was predicted for this person."""

PCK_JOINTS = MPI_INF_3DHP17.names[: MPI_INF_3DHP17.index("left_ankle") + 1]
"""The 14 joints that PCK, AUC and `mpjpe14` are taken over: all but pelvis, spine and head (whose top is in)."""

MATCH_JOINTS = PCK_JOINTS[PCK_JOINTS.index("neck") :]
"""The 13 joints that people are matched by: the former without the top of the head."""

MPJPE_JOINTS = {
    "mpjpe14": PCK_JOINTS,
    "mpjpe16": tuple(name for name in MPI_INF_3DHP17.names if name != "pelvis"),
    "mpjpe17": MPI_INF_3DHP17.names,
}
"""The joints that each of the three MPJPEs is the mean over."""

_BONES = """
    spine<pelvis neck<spine head_top<neck head<neck right_shoulder<neck right_elbow<right_shoulder
    right_wrist<right_elbow left_shoulder<neck left_elbow<left_shoulder left_wrist<left_elbow right_hip<pelvis
    right_knee<right_hip right_ankle<right_knee left_hip<pelvis left_knee<left_hip left_ankle<left_knee
"""
BONES = tuple(tuple(bone.split("<")) for bone in _BONES.split())
"""(joint, parent), outwards from the pelvis: the order in which bones are rescaled."""


@dataclass(frozen=True)
class Frame:
    """One frame's G annotated and P predicted people (either may be none): pixels, and metres in the camera's frame.

    Joints in the order of `MPI_INF_3DHP17`. A predicted joint with the pixel (0, 0) is missing for the matching; its
    place in metres counts all the same.
    """

    truth_px: Float[Tensor, "..."]  # G 17 2; the sizes are checked below, with a sentence for the user
    truth: Float[Tensor, "..."]  # G 17 3
    predicted_px: Float[Tensor, "..."]  # P 17 2
    predicted: Float[Tensor, "..."]  # P 17 3

    def __post_init__(self) -> None:
        for people in ("truth", "predicted"):
            count = len(getattr(self, people))
            for name, axes in ((people, 3), (f"{people}_px", 2)):
                shape, expected = tuple(getattr(self, name).shape), (count, len(MPI_INF_3DHP17), axes)
                if shape != expected:
                    raise ValueError(
                        f"mupots.Frame: expected {name} of shape {expected}, got {shape}; give both {people} arrays "
                        "for the same people with the 17 joints of MPI_INF_3DHP17."
                    )


@dataclass(frozen=True)
class Scores:
    """Each metric per sequence and as the plain mean of the sequences; PCK and AUC in percent, MPJPE in mm.

    `pck_matched`, `auc_matched` (over `PCK_JOINTS`), `mpjpe14`, `mpjpe16` and `mpjpe17` (over `MPJPE_JOINTS`) are means
    over the matched people; in `pck_all` and `auc_all` each missed person counts 0. What has no people to be taken
    over is NaN and left out of the mean. `recall`: the matched share of all annotated people.
    """

    per_sequence: dict[str, Float[Tensor, "S"]]
    mean: dict[str, float]
    recall: float


def match(frame: Frame, within_px: float = 40.0) -> Int[Tensor, "G"]:
    """Each annotated person's prediction, or `MISSED`.

    In the order of the annotation each takes the free prediction (the first of equals) with the most of `MATCH_JOINTS`
    less than `within_px` away in x and in y, of which there must be one. 40 px: the benchmark's tool.
    """
    joints = MPI_INF_3DHP17.indices(*MATCH_JOINTS)
    truth, predicted = frame.truth_px.double()[:, joints], frame.predicted_px.double()[:, joints]
    near = (truth[:, None] - predicted).abs().amax(-1) < within_px
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


def errors_mm(
    predicted: Float[Tensor, "*g 17 3"], truth: Float[Tensor, "*g 17 3"], root_relative: bool, rescale: bool
) -> Float[Tensor, "*g 17"]:
    """Distances in mm of skeletons in metres, joint by joint; root-relative: both moved with the pelvis to 0."""
    predicted, truth = predicted.double(), truth.double()
    if rescale:
        predicted = with_bone_lengths(predicted, truth)
    apart = predicted - truth
    if root_relative:
        pelvis = MPI_INF_3DHP17.index("pelvis")
        apart = apart - apart[..., pelvis : pelvis + 1, :]
    return 1000 * apart.norm(dim=-1)


def scores(sequences: Sequence[Sequence[Frame]], root_relative: bool = True, rescale: bool = True) -> Scores:
    """The benchmark's numbers; `rescale` gives predictions the true bone lengths first.

    PCK counts errors below 150 mm; AUC is its mean at 0, 5, ... 150 mm.
    """
    if not sequences:
        raise ValueError("mupots.scores: expected at least one sequence, got none; pass a list of lists of Frame.")
    errors = [_errors_of_matched(frames, root_relative, rescale) for frames in sequences]
    annotated = torch.tensor([sum(len(frame.truth) for frame in frames) for frames in sequences]).double()
    per_sequence = {}
    for metric, joints in MPJPE_JOINTS.items():
        per_sequence[metric] = torch.stack([e[:, MPI_INF_3DHP17.indices(*joints)].mean() for e in errors])
    limbs = [e[:, MPI_INF_3DHP17.indices(*PCK_JOINTS)] for e in errors]
    for metric, percent in (("pck", pck), ("auc", auc)):
        per_sequence[f"{metric}_matched"] = torch.stack([percent(e, 150.0).mean() for e in limbs])
        per_sequence[f"{metric}_all"] = torch.stack([percent(e, 150.0).sum() for e in limbs]) / annotated
    mean = {metric: float(values.nanmean()) for metric, values in per_sequence.items()}
    return Scores(per_sequence, mean, float(sum(len(e) for e in errors) / annotated.sum()))


def _errors_of_matched(frames: Sequence[Frame], root_relative: bool, rescale: bool) -> Float[Tensor, "M 17"]:
    """Distances in mm of a sequence's matched people, of which there may be none."""
    errors = [torch.zeros(0, len(MPI_INF_3DHP17), dtype=torch.float64)]
    for frame in frames:
        found = match(frame)
        truth, predicted = frame.truth[found != MISSED], frame.predicted[found[found != MISSED]]
        errors.append(errors_mm(predicted, truth, root_relative, rescale).cpu())
    return torch.cat(errors)
