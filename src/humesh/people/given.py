"""People that the user gives: COCO results, OpenPose folders, plain boxes."""

from __future__ import annotations

import reprlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from humesh.body.joints import COCO17, MEDIAPIPE33, OPENPOSE25, JointSet
from humesh.errors import HumeshError
from humesh.files import read_json
from humesh.media.photo import Photo
from humesh.people.names import Names
from humesh.people.person import Person

_COCO_PERSON = 1  # category_id of people in COCO
_MOST_BYTES = 2**29  # of a file: COCO's largest one has 449 MB
_FARTHEST_PX = 65_535  # from a photo's corner: JPEG's longest side
_MOST_PHOTOS = 10  # a box may be so many times as wide or high as its photo
_OPENPOSE = "_keypoints.json"


class DetectionsError(HumeshError, ValueError):
    """A detections file that cannot be used; the sentence says which entry and what was expected."""


class GivenPeople:
    """The people that a file gives for each photo.

    Reads a COCO results JSON (list of {image_id, bbox, score, keypoints}), a COCO dictionary with images and
    annotations, a folder of OpenPose JSON files (PHOTO_keypoints.json, in folders like the photos) or a JSON
    {"photo.jpg": [[x0, y0, x1, y1], ...]}. A COCO entry's "person" becomes the track: who it is, if that is known.
    Photos are found by their paths, see `Names`. Raises DetectionsError.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._of = _read_openpose(self.path) if self.path.is_dir() else _read_json(self.path)
        self._notes = _calibrate(self.path, self._of)
        self._names = Names(self._of)
        self._pairs: dict[Path, str] = {}
        self._matched: set[Path] = set()

    def match(self, photos: Iterable[str | Path]) -> list[str]:
        """Finds each photo's people among those of the other photos of a run; what was not matched, in sentences."""
        every = {Path(photo).absolute(): str(photo) for photo in photos}
        self._matched, self._pairs = set(every), self._names.pairs(every)
        without = [(text, self._names.of(photo)) for photo, text in every.items() if photo not in self._pairs]
        missing = [text for text, names in without if not names]
        unclear = [text for text, names in without if names]
        told = {*self._pairs.values(), *(name for _, names in without for name in names)}
        unused = [name for name, people in self._of.items() if people and name not in told]
        notes, start = list(self._notes), f"detections {self.path}: "
        photos = f"{len(every)} photo{'s' * (len(every) > 1)}"
        if missing:
            notes.append(f"{start}nobody is given for {len(missing)} of {photos} ({_some(missing)}).")
        if unclear:
            get = "gets" if len(unclear) == 1 else "get"
            notes.append(
                f"{start}{len(unclear)} of {photos} ({_some(unclear)}) {get} nobody, no name in it means "
                f"them alone; write their paths in it, such as {unclear[0]}."
            )
        if unused:
            which = f"{len(unused)} of the {len(self._of)} photos" if len(self._of) > 1 else "the photo"
            verb = "is" if len(unused) == 1 else "are"
            notes.append(f"{start}{which} it names {verb} not in this run ({_some(unused)}).")
        return notes

    def names(self, photo_path: str | Path) -> list[str]:
        """The file's names that fit a photo equally well: one if it is clear who is meant, none if nobody is given."""
        path = Path(photo_path).absolute()
        if path in self._matched:
            return [self._pairs[path]] if path in self._pairs else []
        return self._names.of(path)

    def people(self, photo_path: str | Path) -> list[Person]:
        """The people given for a photo; none where no name of the file, or more than one, fits it."""
        names = self.names(photo_path)
        return list(self._of[names[0]]) if len(names) == 1 else []

    def on(self, photo: Photo, path: str | Path) -> tuple[list[Person], Photo]:
        """The people given for a photo, without those whose boxes cannot be in it; the photo gets a note on these."""
        given, (width, height) = self.people(path), photo.size
        people = [person for person in given if _fits(person.box, width, height)]
        if len(people) == len(given):
            return people, photo
        note = (
            f"{len(given) - len(people)} of {len(given)} given people left out: boxes outside the photo of {width} x "
            f"{height} px, or more than {_MOST_PHOTOS} times as large; were they found in a photo of another size?"
        )
        return people, replace(photo, notes=(*photo.notes, note))


def complete(given: list[Person], photo: Photo, landmarks: Callable[[Photo, np.ndarray], list[Person]]) -> list[Person]:
    """The given people with the 3D landmarks that a landmark model sees in their boxes.

    Where a person came with keypoints these replace the model's 2D points of the same name, confidence included.
    """
    if not given:
        return []
    seen = landmarks(photo, np.stack([person.box for person in given]))
    return [_merged(person, model) for person, model in zip(given, seen, strict=True)]


def box_of(
    where: str, numbers: Float[np.ndarray, "4"], error: type[HumeshError] = DetectionsError
) -> Float[np.ndarray, "4"]:
    """A box x0 y0 x1 y1 in pixels that can be one in a photo; raises `error`."""
    if not (np.abs(numbers) <= _FARTHEST_PX).all():
        raise error(f"{where}: expected a box within {_FARTHEST_PX} px of the photo's corner, got {numbers.tolist()}.")
    if not (numbers[2:] - numbers[:2] >= 1).all():
        raise error(
            f"{where}: expected a box with some width and height, 1 px at least, got {numbers.tolist()}; give pixels, "
            "not shares of the photo."
        )
    return numbers


def _merged(person: Person, model: Person) -> Person:
    if person.keypoints is None or person.keypoint_set is None or model.keypoints is None:
        return replace(model, box=person.box, score=person.score)
    here, there = person.keypoint_set.map_to(MEDIAPIPE33)
    keypoints = model.keypoints.copy()
    keypoints[there] = person.keypoints[here]
    return replace(model, box=person.box, score=person.score, keypoints=keypoints)


def _fits(box: np.ndarray, width: int, height: int) -> bool:
    x0, y0, x1, y1 = box.tolist()
    inside = x0 < width and y0 < height and x1 > 0 and y1 > 0
    return inside and x1 - x0 <= _MOST_PHOTOS * width and y1 - y0 <= _MOST_PHOTOS * height


def _some(names: list[Any]) -> str:
    return ", ".join(map(str, names[:3])) + (", ..." if len(names) > 3 else "")


def _load(path: Path) -> Any:
    what = "a JSON file or a folder of OpenPose files"
    try:
        return read_json(path, what=what, error=DetectionsError, most_bytes=_MOST_BYTES)
    except DetectionsError as error:
        raise DetectionsError(f"detections {error}") from None


def _read_json(path: Path) -> dict[str, list[Person]]:
    content = _load(path)
    if isinstance(content, dict) and "annotations" not in content:
        return {name: _boxes(path, name, boxes) for name, boxes in content.items()}
    of_name: dict[str, list[Person]] = defaultdict(list)
    names: dict[str, str] = {}
    if isinstance(content, dict):
        names = _image_names(path, content.get("images", []))
        of_name.update({name: [] for name in names.values()})
        content = content["annotations"]
    if not isinstance(content, list):
        raise DetectionsError(f"detections {path}: expected a list of people, got {type(content).__name__}.")
    for i, entry in enumerate(content):
        where = f"detections {path}, entry {i}"
        image = _id(entry.get("image_id")) if isinstance(entry, dict) else None
        if image is None or not {"bbox", "keypoints"} & entry.keys():
            found = ", ".join([*entry][:8]) if isinstance(entry, dict) else type(entry).__name__
            raise DetectionsError(f"{where}: expected image_id with bbox or keypoints (COCO results), got {found}.")
        if entry.get("category_id", _COCO_PERSON) != _COCO_PERSON:
            continue
        unknown = f"image_id {image} without a file_name" if names and image.isdecimal() else image
        of_name[names.get(image, unknown)].append(_coco_person(where, entry))
    return dict(of_name)


def _image_names(path: Path, images: Any) -> dict[str, str]:
    """COCO's file names by image_id."""
    entries: list[Any] = images if isinstance(images, list) else [images]
    names: dict[str, str] = {}
    for entry in entries:
        image = _id(entry.get("id")) if isinstance(entry, dict) else None
        if image is None or not isinstance(entry.get("file_name"), str):
            raise DetectionsError(
                f"detections {path}: expected images with id and file_name, got {reprlib.repr(entry)}."
            )
        if names.setdefault(image, entry["file_name"]) != entry["file_name"]:
            raise DetectionsError(f"detections {path}: expected one file_name for image {image}, got two.")
    if len(set(names.values())) < len(names):
        raise DetectionsError(
            f"detections {path}: expected another file_name for each of {len(names)} images, got "
            f"{len(set(names.values()))}; write their folders in it."
        )
    return names


def _id(value: Any) -> str | None:
    """COCO's image_id as text; None for what is none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None


def _coco_person(where: str, entry: dict[str, Any]) -> Person:
    keypoints = box = None
    if "keypoints" in entry:
        keypoints = _numbers(where, "keypoints", entry["keypoints"], 3 * len(COCO17)).reshape(-1, 3)
    score = float(_numbers(where, "score", [entry.get("score", 1.0)], 1)[0])
    if "bbox" in entry:
        x, y, width, height = _numbers(where, "bbox", entry["bbox"], 4)
        box = np.array([x, y, x + width, y + height])
    person = _person(where, box, score, keypoints, COCO17)
    if "person" not in entry:
        return person
    if type(entry["person"]) is not int or not 0 <= entry["person"] < 2**31:
        raise DetectionsError(f"{where}: expected a whole number from 0 in person, got {entry['person']!r}.")
    return replace(person, track=entry["person"])


def _boxes(path: Path, name: str, boxes: Any) -> list[Person]:
    if not isinstance(boxes, list):
        raise DetectionsError(f"detections {path}: expected a list of boxes for {name!r}, got {type(boxes).__name__}.")
    wheres = [f"detections {path}, {name!r}, box {i}" for i in range(len(boxes))]
    return [_person(w, _numbers(w, "x0 y0 x1 y1", b, 4), 1.0, None, None) for w, b in zip(wheres, boxes, strict=True)]


def _read_openpose(folder: Path) -> dict[str, list[Person]]:
    files = sorted(folder.rglob(f"*{_OPENPOSE}"))
    if not files:
        raise DetectionsError(f"detections {folder}: expected OpenPose files named PHOTO_keypoints.json, found none.")
    of_name = {}
    for file in files:
        content = _load(file)
        if not isinstance(content, dict) or not isinstance(content.get("people"), list):
            raise DetectionsError(f"detections {file}: expected OpenPose's list 'people'.")
        people = []
        for i, entry in enumerate(content["people"]):
            where = f"detections {file}, person {i}"
            points = entry.get("pose_keypoints_2d") if isinstance(entry, dict) else None
            keypoints = _numbers(where, "pose_keypoints_2d", points, 3 * len(OPENPOSE25)).reshape(-1, 3)
            if (keypoints[:, 2] > 0).any():
                people.append(_person(where, None, float(keypoints[:, 2].mean()), keypoints, OPENPOSE25))
        of_name[str(file.relative_to(folder)).removesuffix(_OPENPOSE)] = people
    return of_name


def _numbers(where: str, field: str, values: Any, count: int) -> np.ndarray:
    numbers = np.array([])
    if isinstance(values, list) and len(values) == count and all(type(value) in (int, float) for value in values):
        numbers = np.array([value if abs(value) < 1e300 else np.inf for value in values], dtype=np.float64)
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        raise DetectionsError(f"{where}: expected {count} finite numbers in {field}, got {reprlib.repr(values)[:60]}.")
    return numbers


def _person(
    where: str, box: np.ndarray | None, score: float, keypoints: np.ndarray | None, joint_set: JointSet | None
) -> Person:
    """A person with a checked box; without one it is put around the keypoints with a tenth of margin."""
    if keypoints is not None and not (keypoints[:, 2] > 0).any():
        keypoints = None  # COCO has boxes of people without keypoints so
    if keypoints is not None and not (np.abs(keypoints[:, :2]) <= _FARTHEST_PX).all():
        raise DetectionsError(f"{where}: expected keypoints within {_FARTHEST_PX} px of the photo's corner.")
    if box is None:
        if keypoints is None:
            raise DetectionsError(f"{where}: expected a box or a keypoint with confidence above 0, got neither.")
        points = keypoints[keypoints[:, 2] > 0, :2]
        margin = 0.1 * (points.max(0) - points.min(0)).max() + 1
        box = np.concatenate([points.min(0) - margin, points.max(0) + margin])
        box = box.clip(-_FARTHEST_PX, _FARTHEST_PX)
    return Person(box_of(where, box), score, keypoints, None if keypoints is None else joint_set)


def _calibrate(path: Path, of_name: dict[str, list[Person]]) -> list[str]:
    """Brings all confidences and scores into [0, 1], by what the whole file has; what was changed, in sentences."""
    notes: list[str] = []
    every = [(people, i, person) for people in of_name.values() for i, person in enumerate(people)]
    scores = _confidences(path, "scores", np.array([person.score for *_, person in every]), notes)
    points = [person.keypoints for *_, person in every if person.keypoints is not None]
    values = np.concatenate([each[:, 2] for each in points]) if points else np.zeros(0)
    if np.isin(values, (0, 1, 2)).all() and (values == 2).any():  # annotations: 0 absent, 1 hidden, 2 visible
        values = values / 2
    values, start = _confidences(path, "keypoints' confidences", values, notes), 0
    for each in points:
        each[:, 2] = values[start : start + len(each)]
        start += len(each)
    for (people, i, person), score in zip(every, scores.tolist(), strict=True):
        people[i] = replace(person, score=score)
    return notes


def _confidences(path: Path, what: str, values: np.ndarray, notes: list[str]) -> np.ndarray:
    positive = values[values > 0]
    if len(positive) and np.median(positive) > 10:  # most are so large: percent; a few too large ones are only clipped
        values = values / 100
        notes.append(f"detections {path}: its {what} are taken for percent.")
    outside = int(((values < 0) | (values > 1)).sum())
    if outside:
        notes.append(f"detections {path}: {outside} of {len(values)} {what} were outside 0 to 1 and are clipped.")
    return values.clip(0, 1)
