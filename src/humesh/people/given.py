"""People that the user gives: COCO results, OpenPose folders, plain boxes."""

from __future__ import annotations

import re
import reprlib
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float

from humesh.body.joints import COCO17, MEDIAPIPE33, OPENPOSE25, JointSet
from humesh.errors import HumeshError
from humesh.files import read_json
from humesh.media.photo import Photo
from humesh.people.person import Person

_COCO_PERSON = 1  # category_id of people in COCO
_MOST_BYTES = 2**29  # of a file: COCO's largest one has 449 MB
_FARTHEST_PX = 65_535  # from a photo's corner: JPEG's longest side
_MOST_PHOTOS = 10  # times the photo's width or height that a box may have
_OPENPOSE = "_keypoints.json"
_ENDING = re.compile(r"\.(jpe?g|jpe|jfif|png|webp|bmp|tiff?|gif|hei[cf]|avif|jp2|ppm|dng)$", re.IGNORECASE)
_NUMBER = re.compile(r"(?:COCO_[a-z]+20\d\d_)?([0-9]{1,18})")
"""A stem that is COCO's image_id: digits alone, as COCO names its pictures (before 2017 with the set's name)."""
_DEEPEST = 16  # folders of a path that count
_Key = tuple[str, ...]
_T = TypeVar("_T")


class DetectionsError(HumeshError, ValueError):
    """A detections file that cannot be used; the sentence says which entry and what was expected."""


class GivenPeople:
    """The people that a file gives for each photo.

    Reads a COCO results JSON (list of {image_id, bbox, score, keypoints}), a COCO dictionary with images and
    annotations, a folder of OpenPose JSON files (PHOTO_keypoints.json, in folders like the photos) or a JSON
    {"photo.jpg": [[x0, y0, x1, y1], ...]}. A COCO entry's "person" becomes the track: who it is, if that is known.

    A name of the file fits a photo by the longest common end of their paths, folder by folder: the file's name without
    its ending at least; COCO's number ("785") fits the photo whose name is that number. Raises DetectionsError.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._of = _read_openpose(self.path) if self.path.is_dir() else _read_json(self.path)
        self._notes = _calibrate(self.path, self._of)
        self._keys = {name: _keys(name, number=name.isdecimal()) for name in self._of}
        self._index = _index(self._keys)
        self._pairs: dict[Path, list[str]] = {}  # the photos of a run, and the name that fits each, or none

    def match(self, photos: Iterable[str | Path]) -> list[str]:
        """Finds each photo's people among those of the other photos of a run; what was not matched, in sentences."""
        every = {Path(photo).absolute(): str(photo) for photo in photos}
        keys = {photo: _keys(str(photo), number=True) for photo in every}
        having, fitting = _index(keys), set[str]()
        missing, unclear = list[str](), list[str]()
        for photo, text in every.items():
            names = _best(keys[photo], self._index)
            clear = len(names) == 1 and _best(self._keys[names[0]], having) == [photo]
            self._pairs[photo] = names if clear else []
            fitting |= {*names}
            if not clear:
                (unclear if names else missing).append(text)
        unused = [name for name, people in self._of.items() if people and name not in fitting]
        notes, start = list(self._notes), f"detections {self.path}: "
        if missing:
            notes.append(f"{start}nobody is given for {len(missing)} of {len(every)} photos ({_some(missing)}).")
        if unclear:
            notes.append(
                f"{start}nobody is given for {len(unclear)} of {len(every)} photos ({_some(unclear)}), as no name in "
                f"it means them alone; write their paths in it, such as {unclear[0]}."
            )
        if unused:
            notes.append(f"{start}{len(unused)} of its {len(self._of)} photos not in this run ({_some(unused)}).")
        return notes

    def names(self, photo_path: str | Path) -> list[str]:
        """The names that fit a photo equally well: one if it is clear, none if nobody is given."""
        path = Path(photo_path).absolute()
        return self._pairs.get(path, _best(_keys(str(path), number=True), self._index))

    def people(self, photo_path: str | Path) -> list[Person]:
        """The people given for a photo; none where no name of the file, or more than one, fits it."""
        names = self.names(photo_path)
        return list(self._of[names[0]]) if len(names) == 1 else []

    def on(self, photo: Photo, path: str | Path) -> tuple[list[Person], Photo]:
        """The people given for a photo, without those whose boxes cannot be in it; the photo gets a note on these."""
        given, (width, height) = self.people(path), photo.size
        people = [person for person in given if _fits(person.box, np.array(photo.size))]
        if len(people) == len(given):
            return people, photo
        note = (
            f"{len(given) - len(people)} of {len(given)} given people left out: boxes outside the photo of {width} x "
            f"{height} px, or more than {_MOST_PHOTOS} times as large; were they found in a photo of another size?"
        )
        return people, replace(photo, notes=(*photo.notes, note))


def complete(given: list[Person], photo: Photo, landmarks: Callable[[Photo, np.ndarray], list[Person]]) -> list[Person]:
    """The given people with the 3D landmarks that a landmark model predicts in their boxes.

    Where a person came with keypoints these replace the model's 2D points of the same name, confidence included.
    """
    people = []
    predicted = landmarks(photo, np.stack([person.box for person in given])) if given else []
    for person, model in zip(given, predicted, strict=True):
        keypoints = model.keypoints
        if person.keypoints is not None and person.keypoint_set is not None and keypoints is not None:
            here, there = person.keypoint_set.map_to(MEDIAPIPE33)
            keypoints = keypoints.copy()
            keypoints[there] = person.keypoints[here]
        people.append(replace(model, box=person.box, score=person.score, keypoints=keypoints))
    return people


def checked_box(
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


def _fits(box: np.ndarray, size: np.ndarray) -> bool:
    low, high = box[:2], box[2:]
    return bool(((low < size) & (high > 0) & (high - low <= _MOST_PHOTOS * size)).all())


def _some(names: list[Any]) -> str:
    return ", ".join(map(str, names[:3])) + (", ..." if len(names) > 3 else "")


def _keys(path: str, number: bool) -> list[_Key]:
    """The keys that a name or photo is found by, the best first."""
    parts = unicodedata.normalize("NFC", path).replace("\\", "/").split("/")  # macOS writes names in another form
    *folders, name = [part for part in parts if part not in ("", ".", "..")] or [""]
    stem, keys = _ENDING.sub("", name), list[_Key]()
    for start in range(max(0, len(folders) - _DEEPEST), len(folders) + 1):
        keys += [("name", *folders[start:], name), ("stem", *folders[start:], stem)]
    if number and (digits := _NUMBER.fullmatch(stem)):
        keys.append(("number", str(int(digits[1]))))
    return keys


def _index(keys: Mapping[_T, Iterable[_Key]]) -> dict[_Key, list[_T]]:
    index: dict[_Key, list[_T]] = {}
    for item, some in keys.items():
        for key in some:
            index.setdefault(key, []).append(item)
    return index


def _best(keys: Iterable[_Key], index: Mapping[_Key, list[_T]]) -> list[_T]:
    return next((index[key] for key in keys if key in index), [])


def _load(path: Path) -> Any:
    what = "detections as a JSON file or a folder of OpenPose files"
    return read_json(path, what=what, error=DetectionsError, most_bytes=_MOST_BYTES)


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
        if entry.get("category_id", _COCO_PERSON) == _COCO_PERSON:
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
        names[image] = entry["file_name"]
    if len({*names.values()}) < len(entries):
        raise DetectionsError(
            f"detections {path}: expected another id and file_name for each of {len(entries)} images, got {len(names)} "
            f"ids and {len({*names.values()})} names; write their folders in them."
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
    track = entry.get("person")
    if "person" in entry and (type(track) is not int or not 0 <= track < 2**31):
        raise DetectionsError(f"{where}: expected a whole number from 0 in person, got {track!r}.")
    return replace(_person(where, box, score, keypoints, COCO17), track=track)


def _boxes(path: Path, name: str, boxes: Any) -> list[Person]:
    if not isinstance(boxes, list):
        raise DetectionsError(f"detections {path}: expected a list of boxes for {name!r}, got {type(boxes).__name__}.")
    wheres = [f"detections {path}, {name!r}, box {i}" for i in range(len(boxes))]
    return [_person(w, _numbers(w, "x0 y0 x1 y1", b, 4)) for w, b in zip(wheres, boxes, strict=True)]


def _read_openpose(folder: Path) -> dict[str, list[Person]]:
    of_name = {}
    for file in sorted(folder.rglob(f"*{_OPENPOSE}")):
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
    if not of_name:
        raise DetectionsError(f"detections {folder}: expected OpenPose files named PHOTO_keypoints.json, found none.")
    return of_name


def _numbers(where: str, field: str, values: Any, count: int) -> np.ndarray:
    if isinstance(values, list) and len(values) == count and all(type(value) in (int, float) for value in values):
        numbers = np.array([value if abs(value) < 1e300 else np.inf for value in values], dtype=np.float64)
        if np.isfinite(numbers).all():
            return numbers
    raise DetectionsError(f"{where}: expected {count} finite numbers in {field}, got {reprlib.repr(values)[:60]}.")


def _person(
    where: str,
    box: np.ndarray | None,
    score: float = 1.0,
    keypoints: np.ndarray | None = None,
    joint_set: JointSet | None = None,
) -> Person:
    """A person with a checked box; without one it is put around the keypoints with a tenth of margin."""
    if keypoints is not None and not (keypoints[:, 2] > 0).any():
        keypoints = joint_set = None  # as COCO gives boxes of people without keypoints
    if keypoints is not None and not (np.abs(keypoints[:, :2]) <= _FARTHEST_PX).all():
        raise DetectionsError(f"{where}: expected keypoints within {_FARTHEST_PX} px of the photo's corner.")
    if box is None:
        if keypoints is None:
            raise DetectionsError(f"{where}: expected a box or a keypoint with confidence above 0, got neither.")
        points = keypoints[keypoints[:, 2] > 0, :2]
        margin = 0.1 * (points.max(0) - points.min(0)).max() + 1
        box = np.concatenate([points.min(0) - margin, points.max(0) + margin]).clip(-_FARTHEST_PX, _FARTHEST_PX)
    return Person(checked_box(where, box), score, keypoints, joint_set)


def _calibrate(path: Path, of_name: dict[str, list[Person]]) -> list[str]:
    """Brings all confidences and scores into [0, 1]; what was changed, in sentences."""
    points = [person.keypoints for people in of_name.values() for person in people if person.keypoints is not None]
    confidences = np.concatenate([each[:, 2] for each in points]) if points else np.zeros(0)
    # COCO's annotations have 0 absent, 1 hidden, 2 visible.
    unit = 2 if np.isin(confidences, (0, 1, 2)).all() and (confidences == 2).any() else 1
    outside = int(((confidences < 0) | (confidences > unit)).sum())
    for each in points:
        each[:, 2] = (each[:, 2] / unit).clip(0, 1)
    for name, people in of_name.items():
        outside += sum(not 0 <= person.score <= 1 for person in people)
        of_name[name] = [replace(person, score=min(max(person.score, 0.0), 1.0)) for person in people]
    return [f"detections {path}: {outside} confidences and scores outside 0 to 1 were clipped."] if outside else []
