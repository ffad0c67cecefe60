"""Poses and shapes that others fitted to the people of 2D datasets: EFT, NeuralAnnot and CLIFF, as side files.

EFT (.json with `data`; Joo et al., 3DV 2021; `annotId` for COCO), NeuralAnnot (.json by annotation id; Moon et al.,
CVPRW 2022) and CLIFF (.npz; Li et al., ECCV 2022) fit SMPL's neutral body. EFT's and NeuralAnnot's poses are relative
to a crop, as if the person stood on the camera's axis: here they are turned to where they stand (ours; the papers train
on them as they are). CLIFF's are of the photo, with its diagonal as focal length: where ours is a guess, theirs is
taken.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from humesh.body.pose import BodyPose
from humesh.data.datasets import DatasetError
from humesh.data.datasets.entries import Entry, json_entry, npz_entry
from humesh.data.datasets.labels import with_smpl
from humesh.data.sample import Dataset, LabelledPerson, Sample, View
from humesh.geometry.camera import GUESSED, Camera
from humesh.geometry.rotations import nearest_rotation, rotation_about, rotation_from_axis_angle

_NEAR = 0.25  # of a box's longer side: how far the centre of a fit's box may be from that of the person's (ours)
_WHAT = "fits of EFT, NeuralAnnot (.json) or CLIFF (.npz)"
_CLIFF = ("imgname", "pose", "shape", "center", "global_t", "focal_l")


@dataclass(frozen=True, eq=False)
class Fit:
    """A body fitted to one person, known by the `identity` of their annotation or by the box in a photo (`photo_key`).

    `rotations`: vectors 24 3 or matrices 24 9. `centre`: of the person's box, px. `translation`: metres, in the photo's
    camera of focal length `focal` px.
    """

    rotations: Float[np.ndarray, "24 D"]
    shape: Float[np.ndarray, " S"]
    identity: int | None = None
    photo: str = ""
    centre: Float[np.ndarray, "2"] = field(default_factory=lambda: np.zeros(2))
    translation: Float[np.ndarray, "3"] | None = None
    focal: float = 0.0


def _read(path: Path) -> Iterator[Fit]:
    if path.suffix == ".npz":
        yield from _cliff(npz_entry(path, _WHAT, *_CLIFF))
    elif (rows := (content := json_entry(path, _WHAT)).get("data")) is not None:
        yield from _eft(rows)
    else:
        yield from _neural_annot(content)


def _eft(rows: Entry) -> Iterator[Fit]:
    for row in rows:
        rotations, shape, number = row["parm_pose"].numbers(24, 9), row["parm_shape"].numbers(10), row.get("annotId")
        identity = int(number.value) if number is not None and str(number.value).isdecimal() else None
        yield Fit(rotations, shape, identity, photo_key(row["imageName"].text()), row["bbox_center"].numbers(2))


def _neural_annot(content: Entry) -> Iterator[Fit]:
    for entry in content:
        if not str(entry.key).isdecimal():
            raise entry.wrong("fits under the numbers of annotations")
        fit = entry["smpl_param"]
        yield Fit(fit["pose"].numbers(24, 3), fit["shape"].numbers(10), int(entry.key))


def _cliff(rows: Entry) -> Iterator[Fit]:
    for i, name in enumerate(rows["imgname"]):
        sizes = {"pose": (24, 3), "shape": (10,), "center": (2,), "global_t": (3,)}
        pose, shape, centre, moved = (rows[key][i].numbers(*size) for key, size in sizes.items())
        yield Fit(pose, shape, None, photo_key(name.text()), centre, moved, rows["focal_l"][i].number(1.0))


def with_fits(dataset: Dataset, files: str | Path | Sequence[str | Path]) -> View:
    """A dataset of photos whose people get the pose and shape of side files.

    A fit is a person's if it has the id of their annotation (their identity), and else if they are the nearest to each
    other in the photo and not far apart. People who have a pose keep it.
    """
    by_id, by_photo = dict[int, Fit](), defaultdict[str, list[Fit]](list)
    for path in map(Path, [files] if isinstance(files, str | Path) else files):
        for fit in _read(path):
            if not fit.photo and not getattr(dataset, "annotation_ids", False):
                raise DatasetError(
                    f"{path}: expected fits for a dataset whose people have annotation ids (COCO's, CrowdPose's), as "
                    "NeuralAnnot's have no other key; take EFT's or CLIFF's."
                )
            if fit.identity is not None:
                by_id[fit.identity] = fit
            if fit.photo:
                by_photo[fit.photo].append(fit)
    return View(dataset, partial(_fitted, by_id=by_id, by_photo=dict(by_photo)))


def _fitted(sample: Sample, by_id: Mapping[int, Fit], by_photo: Mapping[str, Sequence[Fit]]) -> Sample:
    key, boxes = photo_key(sample.name), np.array([p.seen.box for p in sample.people]).reshape(-1, 4)
    centres, reach = (boxes[:, :2] + boxes[:, 2:]) / 2, _NEAR * (boxes[:, 2:] - boxes[:, :2]).max(-1)
    near = by_photo.get(key, [])
    away = np.array([[float(np.linalg.norm(fit.centre - centre)) for fit in near] for centre in centres])
    photo, people = sample.photo, []
    if photo.camera_source == GUESSED and any(fit.translation is not None for fit in near):
        photo = replace(photo, camera=Camera.virtual(math.hypot(*photo.size), photo.size))
    for i, person in enumerate(sample.people):
        fit = by_id.get(person.identity)
        if fit is None or fit.photo not in ("", key):
            j = int(away[i].argmin()) if near else -1
            fit = near[j] if near and away[i, j] <= reach[i] and away[:, j].argmin() == i else None
        if fit is not None and not person.pose_weight.any():
            person = _with_fit(person, fit, photo.camera, centres[i])
        people.append(person)
    return replace(sample, people=tuple(people), photo=photo)


def photo_key(name: str) -> str:
    """The common part of a photo's names: COCO's of 2014 (COCO_train2014_000000000009.jpg) are numbers in 2017."""
    return Path(name).stem.rpartition("_")[2]


def _with_fit(person: LabelledPerson, fit: Fit, camera: Camera, centre: Float[np.ndarray, "2"]) -> LabelledPerson:
    """The person with a fit's pose and shape; `centre`: of their box, px. The translation counts only from CLIFF."""
    values = torch.from_numpy(fit.rotations).float()
    rotations = nearest_rotation(values.reshape(24, 3, 3)) if values.shape[1] == 9 else rotation_from_axis_angle(values)
    translation, known = torch.zeros(3), False
    if fit.translation is None:
        rotations[0] = turned_towards(torch.from_numpy(centre).float(), camera) @ rotations[0]
    else:
        translation = torch.from_numpy(fit.translation).float()
        known = abs(fit.focal / float(camera.focal_px) - 1) < 0.01  # depth is in proportion to the focal length
    pose = BodyPose(rotations, torch.from_numpy(fit.shape).float()[:10], translation)
    return with_smpl(person, (pose, float(known)), "smpl-neutral")


def turned_towards(pixel: Float[Tensor, "2"], camera: Camera) -> Float[Tensor, "3 3"]:
    """The shortest rotation from the optical axis to the ray of a pixel."""
    ray = torch.nn.functional.normalize(camera.rays(pixel[None])[0], dim=0)
    axis = torch.stack([-ray[1], ray[0], torch.zeros_like(ray[0])])  # the optical axis cross the ray
    sin = axis.norm()
    return rotation_about(axis / sin.clamp(min=1e-9), ray[2], sin)
