"""Datasets seen in another way: with others' fits, one sample a person, fits checked or converted to the trained body.

Files of fits: EFT (.json with `data`; Joo et al., 3DV 2021; `annotId` for COCO), NeuralAnnot (.json by annotation id;
Moon et al., CVPRW 2022) and CLIFF (.npz; Li et al., ECCV 2022), all of SMPL's neutral body. EFT's and NeuralAnnot's
poses are relative to a crop, as if the person stood on the camera's axis: here they are turned to where they stand
(ours; the papers train on them as they are). CLIFF's are of the photo, with its diagonal as focal length: where ours is
a guess, theirs is taken.
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

from humesh.body.joints import H36M17, SMPL24
from humesh.body.label_bodies import NEUTRAL, BodyFiles, label_of, onto
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.data.batch import BatchMaker, DataError
from humesh.data.datasets.labels import with_smpl
from humesh.data.datasets.reader import DatasetError, Entry
from humesh.data.sample import Dataset, LabelledPerson, Sample, View
from humesh.geometry.camera import GUESSED, Camera
from humesh.geometry.rotations import nearest_rotation, rotation_about, rotation_from_axis_angle

_CHILD, _ZERO = "-kid", torch.zeros(())
_NEAR = 0.25  # of a box's longer side: how far the centre of a fit's box may be from that of the person's (ours)
_WHAT = "fits of EFT, NeuralAnnot (.json) or CLIFF (.npz)"
_CLIFF_SIZES = {"pose": (24, 3), "shape": (10,), "center": (2,), "global_t": (3,)}
_CLIFF = ("imgname", *_CLIFF_SIZES, "focal_l")


class EachPerson:
    """A dataset of photos with one sample a person: the photo with that person alone (JOTR, SPIN's line of work).

    DatasetError where the dataset does not list how many people its photos have (`people_per_photo`).
    """

    tracks: tuple[range, ...] = ()

    def __init__(self, dataset: Dataset) -> None:
        people: Sequence[int] | None = getattr(dataset, "people_per_photo", None)
        if people is None:
            raise DatasetError(f"each_person: {type(dataset).__name__} does not list its people; leave the option out.")
        self.dataset, self._stops = dataset, np.cumsum(people)

    def __len__(self) -> int:
        return int(self._stops[-1])

    def __getitem__(self, index: int) -> Sample:
        photo = int(np.searchsorted(self._stops, index, side="right"))
        sample = self.dataset[photo]
        person = sample.people[index - (int(self._stops[photo - 1]) if photo else 0)]
        return replace(sample, people=(person,))


def checked_fits(
    dataset: Dataset, betas_within: float | None, within_m: float | None, bodies: Mapping[str, BodyModel]
) -> View:
    """The dataset with its fits checked as JOTR and 3DCrowdNet do it (in this order).

    A fit with a shape coefficient beyond `betas_within` gets the mean shape; one whose joints are `within_m` metres and
    more from the labelled 3D points, in the mean over those that both have, the means aligned, gets weight 0. Its
    joints are those of `bodies` by the label's name, of Human3.6M's regressor where the body has it. DatasetError
    without one.
    """
    checked = partial(_checked, betas_within=betas_within, within_m=within_m, bodies=bodies)
    return View(dataset, partial(Sample.map, function=checked))


def _checked(
    person: LabelledPerson, betas_within: float | None, within_m: float | None, bodies: Mapping[str, BodyModel]
) -> LabelledPerson:
    if not person.pose_weight.any():
        return person
    if betas_within is not None and bool((person.pose.shape.abs() > betas_within).any()):
        person = replace(person, pose=replace(person.pose, shape=torch.zeros_like(person.pose.shape)))
    if within_m is None or _fit_error_m(person, within_m, bodies) < within_m:
        return person
    return replace(person, pose_weight=torch.zeros(24), shape_weight=_ZERO, translation_weight=_ZERO)


def _fit_error_m(person: LabelledPerson, within_m: float, bodies: Mapping[str, BodyModel]) -> float:
    if person.body not in bodies:
        raise DatasetError(
            f"fits within {1000 * within_m:.0f} mm of their points: expected the body {person.body!r}, on which that "
            f"is measured, got {', '.join(bodies) or 'none'}; give SMPL's files with --body."
        )
    body = bodies[person.body]
    own = H36M17 if H36M17.name in body.keypoint_names else SMPL24
    here, there = own.map_to(person.joint_set)
    known = person.points3d_weight[there] > 0
    fitted, labelled = body.points(body(person.pose), own)[here][known], person.points3d[there][known]
    away = fitted - fitted.mean(0) - labelled + labelled.mean(0)
    return float(away.norm(dim=-1).mean()) if len(labelled) else 0.0


def on_trained_body(dataset: Dataset, bodies: BodyFiles) -> Dataset:
    """The dataset with poses and shapes of the body that `bodies` predicts; DataError where they are of another.

    SMPL's male and female labels are converted to the neutral body (`onto`) with the user's files of them. A child's
    shape is of a template of its own, so that only its pose counts. Labels without pose and shape pass.
    """
    if not isinstance(dataset, BatchMaker):
        return View(dataset, partial(Sample.map, function=partial(_converted, bodies=bodies)))
    body = getattr(dataset, "body", None)  # of the people that it makes
    if isinstance(body, BodyModel) and label_of(body) != label_of(bodies.predicted):
        raise _other_body(label_of(body), bodies.predicted)
    return dataset


def _converted(person: LabelledPerson, bodies: BodyFiles) -> LabelledPerson:
    label, body = person.body.removesuffix(_CHILD), bodies.predicted
    labelled = person.pose_weight.any() or person.shape_weight > 0 or person.translation_weight > 0
    if not labelled or person.body == label_of(body):
        return person
    if label not in (NEUTRAL, "smpl-male", "smpl-female") or label_of(body) != NEUTRAL:
        raise _other_body(person.body, body)
    if label != person.body:
        return replace(person, body=NEUTRAL, shape_weight=_ZERO, translation_weight=_ZERO)
    return replace(person, body=NEUTRAL, pose=onto(person.pose, bodies[label], body))


def _other_body(label: str, body: BodyModel) -> DataError:
    if label_of(body) == NEUTRAL:
        advice = "take a data set, or fits, of SMPL's body"
    elif label.startswith("smpl-"):
        advice = "give your SMPL files with --body"
    else:
        advice = "take a data set of humesh's own people"
    return DataError(f"pose and shape labels: expected the trained body {body.name!r}, got {label!r}; {advice}.")


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
    if path.suffix == ".npz":  # CLIFF
        rows = Entry.npz(path, _WHAT, *_CLIFF)
        for i, name in enumerate(rows["imgname"]):
            pose, shape, centre, moved = (rows[key][i].numbers(*size) for key, size in _CLIFF_SIZES.items())
            yield Fit(pose, shape, None, photo_key(name.text()), centre, moved, rows["focal_l"][i].number(1.0))
        return
    content = Entry.json(path, _WHAT)
    for row in content.get("data") or ():  # EFT
        rotations, shape, number = row["parm_pose"].numbers(24, 9), row["parm_shape"].numbers(10), row.get("annotId")
        identity = int(number.value) if number is not None and str(number.value).isdecimal() else None
        yield Fit(rotations, shape, identity, photo_key(row["imageName"].text()), row["bbox_center"].numbers(2))
    for entry in content if content.get("data") is None else ():  # NeuralAnnot
        if not str(entry.key).isdecimal():
            raise entry.wrong("fits under the numbers of annotations")
        fit = entry["smpl_param"]
        yield Fit(fit["pose"].numbers(24, 3), fit["shape"].numbers(10), int(entry.key))


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
