"""AGORA (Patel et al., CVPR 2021) for SMPL bodies: matching of people per image, F1, MPJPE, MVE and their normals.

A person is valid whose flag in the annotation says so and whose occlusion lies within 0 to 90 %. Vertices are optional;
the benchmark compares a part of SMPL's only (its list of body vertices): pass that part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from humesh.body.joints import SMPL24
from humesh.evaluation.metrics import mpjpe
from humesh.geometry.boxes import box_around, box_iou

MISSED, INVALID = -1, -2
"""In a matching: nobody was predicted for this person; the person is not evaluated."""


@dataclass(frozen=True)
class Image:
    """One image's G annotated and P predicted people (either may be none): pixels, and metres; joints of `SMPL24`."""

    truth_px: Float[Tensor, "..."]  # G 24 2; the sizes are checked below, with a sentence for the user
    truth: Float[Tensor, "..."]  # G 24 3
    valid: Bool[Tensor, "..."]  # G
    predicted_px: Float[Tensor, "..."]  # P 24 2
    predicted: Float[Tensor, "..."]  # P 24 3
    truth_vertices: Float[Tensor, "..."] | None = None  # G V 3
    predicted_vertices: Float[Tensor, "..."] | None = None  # P V 3

    def __post_init__(self) -> None:
        meshes = [mesh for mesh in (self.truth_vertices, self.predicted_vertices) if mesh is not None]
        for people in ("truth", "predicted"):
            count = len(getattr(self, people))
            expected: dict[str, tuple[int, ...]] = {people: (count, len(SMPL24), 3)}
            expected[f"{people}_px"] = (count, len(SMPL24), 2)
            if people == "truth":
                expected["valid"] = (count,)
            if meshes:
                expected[f"{people}_vertices"] = (count, *meshes[0].shape[1:2], 3)
            for name, shape in expected.items():
                array = getattr(self, name)
                got = "none" if array is None else tuple(array.shape)
                if got != shape:
                    raise ValueError(
                        f"agora.Image: expected {name} of shape {shape}, got {got}; give all {people} arrays for the "
                        "same people, with SMPL's 24 joints and vertices of both sides or of neither."
                    )
            if not getattr(self, f"{people}_px").isfinite().all():
                raise ValueError(
                    f"agora.Image: expected finite {people}_px, got NaN or infinity; leave such people out."
                )


@dataclass(frozen=True)
class Scores:
    """The benchmark's numbers: over valid people, `false_positives` are predictions that no valid person took.

    Precision, recall and F1 are rounded to 0.01, 0 where nothing was found. `mpjpe_mm` and `mve_mm` are means over the
    matched people (NaN for none), each moved with its mid-hip point to 0; NMJE and NMVE are these, rounded to 0.1 mm,
    divided by F1 and rounded to 0.1 mm again. None: no vertices were given.
    """

    people: int
    misses: int
    false_positives: int
    precision: float
    recall: float
    f1: float
    mpjpe_mm: float
    nmje_mm: float
    mve_mm: float | None = None
    nmve_mm: float | None = None


def match(image: Image, least_iou: float = 0.1) -> Int[Tensor, "G"]:
    """Each annotated person's prediction, or `MISSED`, or `INVALID` (also when nobody was predicted there).

    All pairs are gone through from the closest on; the distance is the largest singular value of the 24 x 2 pixel
    differences. A pair whose boxes overlap by less than `least_iou` is rejected, whether its people are free or not.
    Any other pair of free people is a match, or, where the person is invalid, takes the person out and leaves the
    prediction free. It ends when matches and rejected pairs are as many as the predictions, so rejected pairs can
    cost a later pair its match. 0.1 and the rules: the benchmark's tool.
    """
    truth, predicted = image.truth_px.double(), image.predicted_px.double()
    distance = torch.linalg.matrix_norm(predicted[:, None] - truth, ord=2)
    overlap = box_iou(_box(predicted)[:, None], _box(truth)[None]).tolist()
    found = [MISSED if valid else INVALID for valid in image.valid.tolist()]
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


def scores(images: Sequence[Image]) -> Scores:
    """The benchmark's numbers over all images together."""
    with_vertices = {image.truth_vertices is not None for image in images}
    if len(with_vertices) != 1:
        got = "some of both" if images else "none at all"
        raise ValueError(f"agora.scores: expected images all with or all without vertices, got {got}; pass one kind.")
    joints, vertices = [], []
    people = predictions = 0
    for image in images:
        found = match(image)
        people, predictions = people + int(image.valid.sum()), predictions + len(image.predicted)
        here, there = found >= 0, found[found >= 0]
        truth, predicted = image.truth[here].double(), image.predicted[there].double()
        joints.append(mpjpe(predicted - _mid_hip(predicted), truth - _mid_hip(truth)).cpu())
        if image.truth_vertices is not None and image.predicted_vertices is not None:
            truth_mesh, predicted_mesh = image.truth_vertices[here], image.predicted_vertices[there]
            vertices.append(mpjpe(predicted_mesh - _mid_hip(predicted), truth_mesh - _mid_hip(truth)).cpu())
    matched = sum(len(each) for each in joints)
    misses, false_positives = people - matched, predictions - matched
    f1 = _ratio(2 * matched, 2 * matched + false_positives + misses)
    mpjpe_mm = 1000 * float(torch.cat(joints).mean())
    mve_mm = 1000 * float(torch.cat(vertices).mean()) if vertices else None
    return Scores(
        people,
        misses,
        false_positives,
        precision=_ratio(matched, predictions),
        recall=_ratio(matched, people),
        f1=f1,
        mpjpe_mm=mpjpe_mm,
        nmje_mm=_normalised(mpjpe_mm, f1),
        mve_mm=mve_mm,
        nmve_mm=None if mve_mm is None else _normalised(mve_mm, f1),
    )


def _mid_hip(joints: Float[Tensor, "n 24 3"]) -> Float[Tensor, "n 1 3"]:
    return joints[:, SMPL24.indices("left_hip", "right_hip")].mean(1, keepdim=True)


def _ratio(part: int, whole: int) -> float:
    return round(part / whole, 2) if whole else 0.0


def _normalised(error_mm: float, f1: float) -> float:
    return round(round(error_mm, 1) / f1, 1) if f1 else float("nan")
