"""Poses and shapes that others fitted to the people of 2D datasets: EFT, NeuralAnnot and CLIFF, as side files.

EFT (.json with `data`; Joo et al., 3DV 2021; `annotId` for COCO), NeuralAnnot (.json by annotation id; Moon et al.,
CVPRW 2022) and CLIFF (.npz; Li et al., ECCV 2022) tell SMPL's neutral body. EFT and NeuralAnnot speak of a person as if
they stood on the camera's axis, as crops show them: here they are turned to where they stand (ours; the papers train on
them as they are). CLIFF speaks of the whole photo, with its diagonal as focal length: where ours is
a guess, theirs is taken.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from humesh.body.pose import BodyPose
from humesh.data.datasets import DatasetError
from humesh.data.datasets.entries import Entry, json_entry
from humesh.data.datasets.labels3d import with_smpl
from humesh.data.sample import Dataset, LabelledPerson, Sample
from humesh.files import Array, read_arrays
from humesh.geometry.camera import GUESSED, Camera
from humesh.geometry.rotations import nearest_rotation, rotation_about, rotation_from_axis_angle

_NEAR = 0.25  # of a box's longer side: how far the middle of a fit's box may be from that of the person's (ours)


@dataclass(frozen=True)
class Fit:
    """A body fitted to one person; `rotations`: vectors 24 3 or matrices 24 9."""

    rotations: Float[np.ndarray, "24 D"]
    shape: Float[np.ndarray, " S"]
    middle: Float[np.ndarray, "2"] | None = None  # of the person's box, px; None: known by the annotation's id alone
    translation: Float[np.ndarray, "3"] | None = None  # metres, in the photo's camera of focal length `focal`
    focal: float = 0.0
    photo: str = ""  # its `photo_key`, where the file tells it


_WHAT = "fits of EFT, NeuralAnnot (.json) or CLIFF (.npz)"
_CLIFF = {
    "imgname": Array(("N",), "text"), "pose": Array(("N", 72), "float"), "shape": Array(("N", 10), "float"),
    "center": Array(("N", 2), "float"), "global_t": Array(("...", 3), "float"), "focal_l": Array(("N",), "float"),
}  # fmt: skip

Fits = tuple[dict[int, Fit], dict[str, list[Fit]]]
"""Fits by annotation id, and fits by photo."""


def _json(path: Path) -> Fits:
    content = json_entry(path, _WHAT)
    data = content.get("data")
    if data is None:  # NeuralAnnot
        return dict(_neural_annot(entry) for entry in content), {}
    by_id, by_photo = dict[int, Fit](), dict[str, list[Fit]]()
    for row in data:
        rotations, shape = row["parm_pose"].numbers(24, 9), row["parm_shape"].numbers(10)
        fit = Fit(rotations, shape, row["bbox_center"].numbers(2), photo=photo_key(row["imageName"].text()))
        by_photo.setdefault(fit.photo, []).append(fit)
        number = row.get("annotId")
        if number is not None and str(number.value).isdecimal():
            by_id[int(number.value)] = fit
    return by_id, by_photo


def _neural_annot(entry: Entry) -> tuple[int, Fit]:
    fit = entry["smpl_param"]
    if not entry.key.isdecimal():
        raise entry.wrong("fits under the numbers of annotations")
    return int(entry.key), Fit(fit["pose"].numbers(24, 3), fit["shape"].numbers(10))


def _cliff(path: Path) -> Fits:
    by_photo = dict[str, list[Fit]]()
    rows = Entry(read_arrays(path, _CLIFF, what=_WHAT, error=DatasetError, only=_CLIFF), path)
    for i, name in enumerate(rows["imgname"]):
        pose, shape, middle, moved = (rows[key][i].numbers(-1) for key in ("pose", "shape", "center", "global_t"))
        focal = rows["focal_l"][i].number(1.0)
        fit = Fit(pose.reshape(24, 3), shape, middle, moved, focal, photo_key(name.text()))
        by_photo.setdefault(fit.photo, []).append(fit)
    return {}, by_photo


def photo_key(name: str) -> str:
    """What the names of a photo share: COCO's 2014 ones (COCO_train2014_000000000009.jpg) are numbers in 2017."""
    return Path(name).stem.rpartition("_")[2]


class WithFits:
    """A dataset of photos whose people get the pose and shape of side files, with that weight.

    A fit is a person's if it has the id of their annotation (their identity), and else if they are the nearest to each
    other in the photo and not far apart. People who have a pose keep it.
    """

    def __init__(self, dataset: Dataset, files: str | Path | Sequence[str | Path], weight: float = 1.0) -> None:
        self.dataset, self.weight, self.tracks = dataset, weight, dataset.tracks
        self.people_per_photo = getattr(dataset, "people_per_photo", None)
        self._by_id, self._by_photo = dict[int, Fit](), dict[str, list[Fit]]()
        for path in map(Path, [files] if isinstance(files, str | Path) else files):
            read = _cliff if path.suffix == ".npz" else _json
            by_id, by_photo = read(path)
            if not by_photo and not getattr(dataset, "annotation_ids", False):
                raise DatasetError(
                    f"{path}: expected fits for a dataset whose people have annotation ids (COCO's, CrowdPose's), as "
                    "NeuralAnnot's are told apart by these alone; take EFT's or CLIFF's."
                )
            self._by_id |= by_id
            for photo, fits in by_photo.items():
                self._by_photo.setdefault(photo, []).extend(fits)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Sample:
        sample = self.dataset[index]
        photo, boxes = photo_key(sample.name), np.array([p.seen.box for p in sample.people]).reshape(-1, 4)
        middles, reach = (boxes[:, :2] + boxes[:, 2:]) / 2, _NEAR * (boxes[:, 2:] - boxes[:, :2]).max(-1)
        near = [fit for fit in self._by_photo.get(photo, []) if fit.middle is not None]
        away = np.array([[float(np.linalg.norm(fit.middle - middle)) for fit in near] for middle in middles])
        shown, people = sample.photo, []
        if shown.camera_source == GUESSED and any(fit.translation is not None for fit in near):
            shown = replace(shown, camera=Camera.virtual(math.hypot(*shown.size), shown.size))
        for i, person in enumerate(sample.people):
            fit = self._by_id.get(person.identity)
            if fit is None or fit.photo not in ("", photo):
                j = int(away[i].argmin()) if near else -1
                fit = near[j] if near and away[i, j] <= reach[i] and away[:, j].argmin() == i else None
            if fit is not None and not person.pose_weight.any():
                person = with_fit(person, fit, shown.camera, middles[i], self.weight)
            people.append(person)
        return replace(sample, people=tuple(people), photo=shown)


def with_fit(
    person: LabelledPerson, fit: Fit, camera: Camera, middle: Float[np.ndarray, "2"], weight: float
) -> LabelledPerson:
    """The person with a fit's pose and shape; `middle`: of their box, px. The translation counts only from CLIFF."""
    values = torch.from_numpy(fit.rotations).float()
    rotations = nearest_rotation(values.reshape(24, 3, 3)) if values.shape[1] == 9 else rotation_from_axis_angle(values)
    translation, known = torch.zeros(3), False
    if fit.translation is None:
        rotations[0] = turned_towards(torch.from_numpy(middle).float(), camera) @ rotations[0]
    else:
        translation = torch.from_numpy(fit.translation).float()
        known = abs(fit.focal / float(camera.focal_px) - 1) < 0.01  # depth is in proportion to the focal length
    pose = BodyPose(rotations, torch.from_numpy(fit.shape).float()[:10], translation)
    return with_smpl(person, (pose, weight * known), "smpl-neutral", weight)


def turned_towards(pixel: Float[Tensor, "2"], camera: Camera) -> Float[Tensor, "3 3"]:
    """The shortest turn from the optical axis to the ray of a pixel."""
    ray = torch.nn.functional.normalize(camera.rays(pixel[None])[0], dim=0)
    axis = torch.stack([-ray[1], ray[0], torch.zeros_like(ray[0])])  # the optical axis cross the ray
    sin = axis.norm()
    return rotation_about(axis / sin.clamp(min=1e-9), ray[2], sin)
