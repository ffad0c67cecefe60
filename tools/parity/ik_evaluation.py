"""The MuPoTS-3D and AGORA protocols against the numbers of the benchmarks' tools (in ik_refine's parity folder)."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from humesh.evaluation import agora, mupots
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


def _mupots(f: Arrays) -> None:
    truth_places, predicted_places = f.get("gt_seq_frame"), f.get("pred_seq_frame")
    places = np.unique(truth_places, axis=0)  # a frame without annotated people cannot change a number
    people = [(_rows(truth_places, place), _rows(predicted_places, place)) for place in places]
    gt2d, pred2d, pred3d = (f.tensor(name) for name in ("gt2d", "pred2d", "pred3d"))
    variants = itertools.product(TRUTHS.items(), (("rootrel", True), ("nonrootrel", False)),
                                 (("rescale", True), ("norescale", False)))  # fmt: skip
    for (truth, gt3d), (root, root_relative), (scale, rescale) in variants:
        variant, gt3d = f"{truth}_{root}_{scale}", f.tensor(gt3d)
        frames = [mupots.Frame(gt2d[t], gt3d[t] / 1000, pred2d[p], pred3d[p] / 1000) for t, p in people]  # from mm
        sequences = [
            [frame for frame, place in zip(frames, places, strict=True) if place[0] == sequence]
            for sequence in np.unique(places[:, 0])
        ]
        result = mupots.scores(sequences, root_relative, rescale)
        for theirs, ours in METRICS.items():
            values = torch.cat([result.per_sequence[ours], torch.tensor([result.mean[ours]], dtype=torch.float64)])
            f.compare(f"{variant}/{theirs}", values, atol=1e-6)
    f.compare("recall", np.float64(result.recall), atol=1e-6)
    matches = [
        (*place, person, prediction)
        for place, frame in zip(places.tolist(), frames, strict=True)
        for person, prediction in enumerate(mupots.match(frame).tolist())
        if prediction != mupots.MISSED
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
        images.append(agora.Image(*(array[t] for array in truth), *(array[p] for array in predicted)))
    matches = [
        (place, person, prediction)
        for place, image in zip(places, images, strict=True)
        for person, prediction in enumerate(agora.match(image).tolist())
    ]
    f.compare("match_image_gt_pred", np.array(matches, dtype=np.int64).reshape(-1, 3))
    result = agora.scores(images)
    f.compare("count_miss_fp", np.array([result.people, result.misses, result.false_positives]))
    f.compare("precision_recall_f1", np.array([result.precision, result.recall, result.f1]), atol=1e-9)
    f.compare("mpjpe_mm", np.float64(result.mpjpe_mm), atol=1e-6)
    f.compare("nmje_mm", np.float64(result.nmje_mm), atol=1e-6)


def _rows(places: np.ndarray, place: object) -> Tensor:
    """The people of one frame or image, in the file's order."""
    return torch.from_numpy(np.flatnonzero((places == place).all(-1)))
