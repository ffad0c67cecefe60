"""The MuPoTS-3D and AGORA protocols against the numbers of the benchmarks' tools (in ik_refine's parity folder)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from humesh.body.joints import MPI_INF_3DHP17, SMPL24
from humesh.evaluation.matching import MISSED, match_agora, match_mupots, with_bone_lengths
from humesh.evaluation.metrics import auc, mpjpe, pck
from humesh.evaluation.protocols import PCK_JOINTS
from parity.arrays import Arrays

METRICS = {
    "mpjpe14": "mpjpe14",
    "mpjpe16": "mpjpe16",
    "mpjpe17": "mpjpe17",
    "pck_matched": "pck_matched",
    "auc_matched": "auc_matched",
    "pck_all_anno": "pck_all",
    "auc_all_anno": "auc_all",
}
TRUTHS = {"univ": "gt3d_univ", "nonuniv": "gt3d"}


def check(files: dict[str, Arrays], folder: Path, salt: str, keys: Path | None) -> None:
    """The two evaluation files; either may be missing, since its README allows that they are dropped."""
    if "eval_mupots" in files:
        _mupots(files["eval_mupots"])
    if "eval_agora" in files:
        _agora(files["eval_agora"])


class Frame(NamedTuple):
    """One frame's G annotated and P predicted people of MuPoTS-3D, joints of `MPI_INF_3DHP17`: pixels, and metres."""

    truth_px: Tensor
    truth: Tensor
    predicted_px: Tensor
    predicted: Tensor


class Image(NamedTuple):
    """One image's G annotated and P predicted people of AGORA, joints of `SMPL24`: pixels, and metres."""

    truth_px: Tensor
    truth: Tensor
    valid: Tensor
    predicted_px: Tensor
    predicted: Tensor
    truth_vertices: Tensor | None = None
    predicted_vertices: Tensor | None = None


def mupots_scores(
    sequences: Sequence[Sequence[Frame]], root_relative: bool = True, rescale: bool = True
) -> tuple[dict[str, Tensor], float]:
    """The numbers of MuPoTS-3D's tool for each sequence (percent, mm), and the matched share of all people.

    Matched: means over the matched people; all: each missed person counts 0. NaN: there is nobody to take it over.
    """
    limbs, pelvis = MPI_INF_3DHP17.indices(*PCK_JOINTS), MPI_INF_3DHP17.index("pelvis")
    rows, everybody, right = [], 0, 0
    for frames in sequences:
        errors = [torch.zeros(0, len(MPI_INF_3DHP17), dtype=torch.float64)]
        for frame in frames:
            found = match_mupots(frame.truth_px, frame.predicted_px)
            truth, predicted = frame.truth[found >= 0].double(), frame.predicted[found[found >= 0]].double()
            apart = (with_bone_lengths(predicted, truth) if rescale else predicted) - truth
            errors.append(1000 * (apart - apart[:, [pelvis]] if root_relative else apart).norm(dim=-1))
        of, annotated = torch.cat(errors), sum(len(frame.truth) for frame in frames)
        everybody, right = everybody + annotated, right + len(of)
        row = {"mpjpe14": of[:, limbs].mean(), "mpjpe17": of.mean()}
        row["mpjpe16"] = of[:, [joint for joint in range(17) if joint != pelvis]].mean()
        for name, percent in (("pck", pck), ("auc", auc)):
            each = percent(of[:, limbs], 150.0)
            row |= {f"{name}_matched": each.mean(), f"{name}_all": each.sum() / annotated}
        rows.append(row)
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}, right / everybody


def agora_scores(images: Sequence[Image]) -> dict[str, float]:
    """The numbers of AGORA's tool over all images, rounded where it rounds; errors about the middle of the hips."""
    joints, vertices, people, predictions = [], [], 0, 0
    for image in images:
        found = match_agora(image.truth_px, image.valid, image.predicted_px)
        people, predictions = people + int(image.valid.sum()), predictions + len(image.predicted)
        here, there = found >= 0, found[found >= 0]
        truth, predicted = image.truth[here].double(), image.predicted[there].double()
        joints.append(mpjpe(predicted - _mid_hip(predicted), truth - _mid_hip(truth)))
        if image.truth_vertices is not None and image.predicted_vertices is not None:
            meshes = image.predicted_vertices[there], image.truth_vertices[here]
            vertices.append(mpjpe(meshes[0] - _mid_hip(predicted), meshes[1] - _mid_hip(truth)))
    right = sum(len(each) for each in joints)
    told: dict[str, float] = {"people": people, "misses": people - right, "false_positives": predictions - right}
    told |= {"precision": _ratio(right, predictions), "recall": _ratio(right, people)}
    f1 = told["f1"] = _ratio(2 * right, people + predictions)
    for name, normal, errors in (("mpjpe", "nmje", joints), ("mve", "nmve", vertices)):
        if errors:
            told[name] = 1000 * float(torch.cat(errors).mean())
            told[normal] = round(round(told[name], 1) / f1, 1) if f1 else float("nan")
    return told


def _mid_hip(joints: Tensor) -> Tensor:
    return joints[:, SMPL24.indices("left_hip", "right_hip")].mean(1, keepdim=True)


def _ratio(part: int, whole: int) -> float:
    return round(part / whole, 2) if whole else 0.0


def _mupots(f: Arrays) -> None:
    truth_places, predicted_places = f.get("gt_seq_frame"), f.get("pred_seq_frame")
    places = np.unique(truth_places, axis=0)  # a frame without annotated people cannot change a number
    people = [(_rows(truth_places, place), _rows(predicted_places, place)) for place in places]
    gt2d, pred2d, pred3d = (f.tensor(name) for name in ("gt2d", "pred2d", "pred3d"))
    variants = itertools.product(TRUTHS.items(), (("rootrel", True), ("nonrootrel", False)),
                                 (("rescale", True), ("norescale", False)))  # fmt: skip
    for (truth, gt3d), (root, root_relative), (scale, rescale) in variants:
        variant, gt3d = f"{truth}_{root}_{scale}", f.tensor(gt3d)
        frames = [Frame(gt2d[t], gt3d[t] / 1000, pred2d[p], pred3d[p] / 1000) for t, p in people]  # from mm
        sequences = [
            [frame for frame, place in zip(frames, places, strict=True) if place[0] == sequence]
            for sequence in np.unique(places[:, 0])
        ]
        result, recall = mupots_scores(sequences, root_relative, rescale)
        for theirs, ours in METRICS.items():
            f.compare(f"{variant}/{theirs}", torch.cat([result[ours], result[ours].nanmean()[None]]), atol=1e-6)
    f.compare("recall", np.float64(recall), atol=1e-6)
    matches = [
        (*place, person, prediction)
        for place, frame in zip(places.tolist(), frames, strict=True)
        for person, prediction in enumerate(match_mupots(frame.truth_px, frame.predicted_px).tolist())
        if prediction != MISSED
    ]
    f.compare("matches_seq_frame_gt_pred", np.array(matches, dtype=np.int64).reshape(-1, 4))


def _agora(f: Arrays) -> None:
    truth_places, predicted_places = f.get("gt_image"), f.get("pred_image")
    places = np.union1d(truth_places, predicted_places).tolist()
    truth = [f.tensor(name) for name in ("gt2d", "gt3d", "gt_valid")]
    predicted = [f.tensor(name) for name in ("pred2d", "pred3d")]
    images = []
    for place in places:
        t, p = _rows(truth_places[:, None], [place]), _rows(predicted_places[:, None], [place])
        images.append(Image(*(array[t] for array in truth), *(array[p] for array in predicted)))
    matches = [
        (place, person, prediction)
        for place, image in zip(places, images, strict=True)
        for person, prediction in enumerate(match_agora(image.truth_px, image.valid, image.predicted_px).tolist())
    ]
    f.compare("match_image_gt_pred", np.array(matches, dtype=np.int64).reshape(-1, 3))
    told = agora_scores(images)
    f.compare("count_miss_fp", np.array([told[name] for name in ("people", "misses", "false_positives")]))
    f.compare("precision_recall_f1", np.array([told[name] for name in ("precision", "recall", "f1")]), atol=1e-9)
    f.compare("mpjpe_mm", np.float64(told["mpjpe"]), atol=1e-6)
    f.compare("nmje_mm", np.float64(told["nmje"]), atol=1e-6)


def _rows(places: np.ndarray, place: object) -> Tensor:
    """The people of one frame or image, in the file's order."""
    return torch.from_numpy(np.flatnonzero((places == place).all(-1)))
