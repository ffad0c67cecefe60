"""Scores on real photographs with labels: how far predicted bodies are from what people marked or cameras measured.

Labels are SMPL's 12 limb joints in pixels and, where they are known, in metres (camera frame), in FOLDER/labels.json:
our own format or COCO's keypoint annotations, see docs/benchmarks.md. Every labelled person is paired, one to one,
with the prediction whose limb joints lie nearest in the photo. Somebody is found if the mean of these distances is
below half of the person's size, which is 1.2 times the longer side of the box around the labelled limb joints.

found           share of the labelled people who are found
pa_mpjpe_found  mean distance (mm) of limb joints, 8 or more of a person labelled in 3D, after the best similarity
pa_mpjpe        the same with 250 mm for everybody who is not found
pck@x           share of labelled joints within x of the person's size; joints of people who are not found are wrong
within_68, _95  share of joints whose error is in the range that the expected error of each joint gives
error_ratio     mean error over mean expected error: above 1, the method is surer than it may be
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment

from humesh.body.joints import COCO17, LIMBS12, SMPL24
from humesh.data.datasets.reader import DatasetError, Entry
from humesh.evaluation.metrics import aligned, point_errors
from humesh.evaluation.protocols import EvaluationError
from humesh.evaluation.summary import MISSED_MM, Number, Row, interval, ratio, resampled
from humesh.media.photo import Photo
from humesh.people.person import Person, VideoDetections
from humesh.scene.record import exact, humesh_version, pixels_of
from humesh.scene.result import Result

_PCK = (0.05, 0.1)
WITHIN = {68: 1.1213, 95: 2.1224}
"""By percentage, how many times its mean an error stays below if it is Student's t in space with 5 degrees of freedom
(its square is 3 times Fisher's F with 3 and 5, its mean 1.898): errors of poses have heavier tails than normal ones."""

UNITS = {
    "found": "%", "pa_mpjpe_found": "mm", "pa_mpjpe": "mm", "pck@0.05": "%", "pck@0.1": "%", "within_68": "%",
    "within_95": "%", "error_ratio": "",
}  # fmt: skip
_FOUND_WITHIN = 0.5  # mean 2D error in the person's size
_FAR = 9.0  # 2D error of a joint of somebody who is not found, and the largest that counts for a pair
_SIZE_OF_EXTENT = 1.2
_FEWEST_2D, _FEWEST_3D = 6, 8  # labelled limb joints of a person who counts, and of one with a 3D error
_LIMBS = SMPL24.indices(*LIMBS12.names)
Recover = Callable[[Photo, list[Person]], Result]
"""The bodies of the people given in a photo, as a Recoverer makes them."""


@dataclass(frozen=True, eq=False)
class Label:
    """One labelled person: LIMBS12 in pixels and in metres (camera frame), NaN where a joint has no label."""

    pixels: Float[np.ndarray, "12 2"]
    metres: Float[np.ndarray, "12 3"]

    @property
    def size(self) -> float:
        """The person's size in pixels, by which 2D errors are divided."""
        extent = np.nanmax(self.pixels, axis=0) - np.nanmin(self.pixels, axis=0)
        return _SIZE_OF_EXTENT * max(float(extent.max()), 1.0)


@dataclass(frozen=True, eq=False)
class LabelledPhoto:
    """A photo's file, the set that it belongs to, and its labelled people."""

    path: Path
    set: str
    labels: tuple[Label, ...]


@dataclass(frozen=True, eq=False)
class Score:
    """One labelled person's errors of the labelled joints: `errors` in sizes, `errors_mm` after the best similarity.

    `row`: which of the photo's `people` it is, None if missed. `errors_mm`: None where fewer than 8 joints
    have a 3D label; `expected_mm`: None where the method expects no errors.
    """

    photo: LabelledPhoto
    label: Label
    people: list[Person]
    row: int | None
    errors: Float[np.ndarray, " K"]
    errors_mm: Float[np.ndarray, " D"] | None = None
    expected_mm: Float[np.ndarray, " D"] | None = None

    @property
    def pa_mpjpe(self) -> float | None:
        """Millimetres, None without 3D labels."""
        return None if self.errors_mm is None else float(self.errors_mm.mean())


def read_labels(folder: Path) -> list[LabelledPhoto]:
    """The photos of FOLDER/labels.json with people who have 6 or more labelled limb joints; raises EvaluationError."""
    try:
        content = Entry.json(folder / "labels.json", "labels of photos as docs/benchmarks.md describes them")
        read = _read_coco if isinstance(content.value, dict) else _read_own
        photos = [photo for photo in read(folder, content) if photo.labels]
    except DatasetError as error:
        text = str(error).replace("; fetch it anew.", "; docs/benchmarks.md describes the format.")
        raise EvaluationError(text) from None
    if not photos:
        least = f"people with {_FEWEST_2D} or more labelled limb joints"
        raise EvaluationError(f"{folder / 'labels.json'}: expected {least}, found none; check the joints' names.")
    for photo in photos:
        if not photo.path.is_file():
            raise EvaluationError(f"{photo.path}: expected a photo that labels.json names, found none; add it.")
    return photos


def _read_own(folder: Path, content: Entry) -> Iterator[LabelledPhoto]:
    for entry in content:
        name = entry.get("set")
        people = entry["people"]
        labels = [Label(_joints(p.get("joints2d_px"), 2), _joints(p.get("joints3d_m"), 3)) for p in people]
        yield _photo(folder, entry["image"], folder.name if name is None else name.text(), labels)


def _read_coco(folder: Path, content: Entry) -> Iterator[LabelledPhoto]:
    content.has("images", "annotations", what="COCO's keypoint annotations, or a list of labelled photos")
    names: dict[int, list[str]] = {}
    for category in content.get("categories") or ():
        if (found := category.get("keypoints")) is not None:
            names[category["id"].integer()] = [name.text() for name in found]
    labels: dict[int, list[Label]] = {}
    for person in content["annotations"]:
        keypoints, crowd = person.get("keypoints"), person.get("iscrowd")
        if keypoints is None or (crowd is not None and crowd.integer()):
            continue
        own = names.get(person["category_id"].integer(), list(COCO17.names))
        points = keypoints.numbers(-1, 3)
        if len(points) != len(own):
            raise keypoints.wrong(f"{len(own)} keypoints, as its category names them")
        points[:, :2] += 0.5  # COCO counts from the centre of the first pixel
        named = {name: point[:2].tolist() for name, point in zip(own, points, strict=True) if point[2] > 0}
        label = Label(_joints(Entry(named, person, "keypoints"), 2), _joints(None, 3))
        labels.setdefault(person["image_id"].integer(), []).append(label)
    for image in content["images"]:
        yield _photo(folder, image["file_name"], folder.name, labels.get(image["id"].integer(), []))


def _joints(named: Entry | None, width: int) -> Float[np.ndarray, "12 _"]:
    found = np.full((len(LIMBS12), width), np.nan)
    for k, name in enumerate(LIMBS12.names):
        if named is not None and (values := named.get(name)) is not None:
            found[k] = values.numbers(width)
    return found


def _photo(folder: Path, name: Entry, group: str, labels: list[Label]) -> LabelledPhoto:
    counted = tuple(label for label in labels if np.isfinite(label.pixels[:, 0]).sum() >= _FEWEST_2D)
    return LabelledPhoto(folder / name.path(), group, counted)


def run(
    photos: Sequence[LabelledPhoto],
    recover: Recover,
    find: Callable[[Photo], list[Person]],
    cache: Path | None = None,
    advance: Callable[[int], None] = lambda photos: None,
) -> list[Score]:
    """Everybody's scores. `find` gives a photo's people, which the folder `cache` keeps for other runs."""
    scores: list[Score] = []
    for photo in photos:
        pixels = Photo.read(photo.path)
        scores += scored(photo, recover(pixels, find(pixels) if cache is None else _found(pixels, find, cache)))
        advance(1)
    return scores


def _found(photo: Photo, find: Callable[[Photo], list[Person]], cache: Path) -> list[Person]:
    """The people of a photo, found by this version of humesh in this state of its file."""
    file = Path(photo.path)
    about = file.stat()
    key = hashlib.sha256(repr((humesh_version(), file.name, about.st_size, about.st_mtime_ns)).encode()).hexdigest()
    kept = VideoDetections.load(cache / f"{key[:16]}.npz", key)
    if not kept.people:
        kept = VideoDetections([0.0], [find(photo)])
        cache.mkdir(parents=True, exist_ok=True)
        kept.save(cache / f"{key[:16]}.npz", key)
    return kept.people[0]


def scored(photo: LabelledPhoto, result: Result) -> list[Score]:
    """The scores of a photo's labelled people."""
    joints = exact(result.bodies.joints[:, _LIMBS])
    truth, sizes = np.stack([label.pixels for label in photo.labels]), np.array([label.size for label in photo.labels])
    known = np.isfinite(truth).all(-1)[:, None]  # G 1 12
    distances = np.linalg.norm(pixels_of(result.photo.camera, joints).numpy() - truth[:, None], axis=-1)
    errors = np.nan_to_num(distances / sizes[:, None, None], nan=_FAR)  # G P 12
    cost = np.minimum((errors * known).sum(-1) / known.sum(-1), _FAR)
    matched = np.stack(linear_sum_assignment(cost), axis=1).tolist()
    pairs = {i: row for i, row in matched if cost[i, row] < _FOUND_WITHIN}
    scores = []
    for i, label in enumerate(photo.labels):
        row, in_3d = pairs.get(i), np.isfinite(label.metres).all(-1)
        errors_2d = np.full(known[i].sum(), _FAR) if row is None else errors[i, row, known[i, 0]]
        errors_mm = expected_mm = None
        if in_3d.sum() >= _FEWEST_3D:
            errors_mm = np.full(in_3d.sum(), MISSED_MM)
            if row is not None:
                true, predicted = torch.from_numpy(label.metres[in_3d]), joints[row, torch.from_numpy(in_3d)]
                errors_mm = 1000 * point_errors(aligned(predicted, true), true).numpy()
                if result.expected_error_m is not None:
                    expected_mm = 1000 * exact(result.expected_error_m[row, _LIMBS]).numpy()[in_3d]
        scores.append(Score(photo, label, result.people, row, errors_2d, errors_mm, expected_mm))
    return scores


def by_set(scores: Sequence[Score]) -> list[Row]:
    """A row for each set; where there are several, one for everybody together and one of the means over the sets.

    Intervals: percentiles of a bootstrap over photos, in each set on its own; fixed seed.
    """
    generator = np.random.default_rng(0)
    names = list(dict.fromkeys(score.photo.set for score in scores))
    groups = [[score for score in scores if score.photo.set == name] for name in names]
    values = np.stack([_resampled(some, generator) for some in groups])  # S D N
    rows = [_row(name, some, own) for name, some, own in zip(names, groups, values, strict=True)]
    if len(names) > 1:
        rows.append(_row("together", scores, _resampled(scores, generator)))
        known = np.isfinite(values)
        rows.append(_row("mean of the sets", scores, ratio(np.where(known, values, 0).sum(0), known.sum(0))))
    return rows


def _resampled(scores: Sequence[Score], generator: np.random.Generator) -> Float[np.ndarray, "D N"]:
    """Each number as it is, then in each draw; every one of them is a sum over people divided by another."""
    photos = {photo: number for number, photo in enumerate(dict.fromkeys(score.photo for score in scores))}
    sums = np.zeros((len(photos), len(UNITS), 2))
    for score in scores:
        sums[photos[score.photo]] += _parts(score)
    parts = np.tensordot(resampled(len(photos), generator), sums, 1)
    return np.where([unit == "%" for unit in UNITS.values()], 100.0, 1.0) * ratio(parts[..., 0], parts[..., 1])


def _parts(score: Score) -> Float[np.ndarray, "N 2"]:
    """What one person adds to each number's numerator and denominator."""
    found = score.row is not None
    parts: dict[str, tuple[float, float]] = {"found": (found, 1)}
    parts |= {f"pck@{x}": ((score.errors < x).sum(), len(score.errors)) for x in _PCK}
    if score.errors_mm is not None:
        mean = float(score.errors_mm.mean())
        parts |= {"pa_mpjpe_found": (found * mean, found), "pa_mpjpe": (mean, 1)}
        if score.expected_mm is not None:
            errors, expected = score.errors_mm, score.expected_mm
            parts |= {f"within_{s}": ((errors < x * expected).sum(), len(errors)) for s, x in WITHIN.items()}
            parts["error_ratio"] = (errors.sum(), expected.sum())
    return np.array([parts.get(name, (0, 0)) for name in UNITS], dtype=np.float64)


def _row(name: str, scores: Sequence[Score], values: Float[np.ndarray, "D N"]) -> Row:
    is_single = len({score.photo for score in scores}) == 1
    bounds = [(np.nan, np.nan) if is_single else interval(draws) for draws in values[1:].T]
    named = zip(UNITS.items(), values[0].tolist(), bounds, strict=True)
    return Row(name, len(scores), tuple(Number(n, unit, value, *bound) for (n, unit), value, bound in named))
