"""People that the user gives: COCO results, OpenPose folders, plain boxes."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from humesh.body.joints import COCO17, MEDIAPIPE33, OPENPOSE25, JointSet
from humesh.errors import HumeshError
from humesh.images.photo import Person, Photo

_COCO_PERSON = 1  # category_id of people in COCO


class DetectionsError(HumeshError, ValueError):
    """A detections file that cannot be used; the sentence says which entry and what was expected."""


class GivenPeople:
    """The people that a file gives for each photo, looked up by the photo's name.

    Reads a COCO results JSON (list of {image_id, bbox, score, keypoints}, or a dictionary with images and annotations;
    image_id a file name, its stem or a number that is the stem's number), a folder of OpenPose JSON files
    (STEM_keypoints.json) or a JSON {"photo.jpg": [[x0, y0, x1, y1], ...]}. Raises DetectionsError.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if self.path.is_dir():
            self._of_stem = _read_openpose(self.path)
        else:
            self._of_stem = _read_json(self.path)

    def people(self, photo_path: str | Path) -> list[Person]:
        """The people given for a photo; none where the file does not name it."""
        stem = Path(photo_path).stem
        if stem in self._of_stem:
            return self._of_stem[stem]
        digits = "".join(c for c in stem if c.isdecimal())
        return self._of_stem.get(str(int(digits)), []) if digits else []


def complete(given: list[Person], photo: Photo, landmarks: Callable[[Photo, np.ndarray], list[Person]]) -> list[Person]:
    """The given people with the 3D landmarks that a landmark model sees in their boxes.

    Where a person came with keypoints these replace the model's 2D points of the same name, confidence included.
    """
    if not given:
        return []
    seen = landmarks(photo, np.stack([person.box for person in given]))
    return [_merged(person, model) for person, model in zip(given, seen, strict=True)]


def _merged(person: Person, model: Person) -> Person:
    if person.keypoints is None or person.keypoint_set is None or model.keypoints is None:
        return replace(model, box=person.box, score=person.score)
    here, there = person.keypoint_set.map_to(MEDIAPIPE33)
    keypoints = model.keypoints.copy()
    keypoints[there] = person.keypoints[here]
    return replace(model, box=person.box, score=person.score, keypoints=keypoints)


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DetectionsError(
            f"detections {path}: expected a JSON file or an OpenPose folder, found nothing."
        ) from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DetectionsError(f"detections {path}: expected a JSON file, could not read it ({error}).") from error


def _read_json(path: Path) -> dict[str, list[Person]]:
    content = _load(path)
    names: dict[Any, str] = {}
    if isinstance(content, dict) and "annotations" in content:
        images = content.get("images", [])
        if not isinstance(images, list) or any(
            not isinstance(i, dict) or not _is_name(i.get("id")) or not isinstance(i.get("file_name"), str)
            for i in images
        ):
            raise DetectionsError(f"detections {path}: expected images with id and file_name.")
        names = {image["id"]: Path(image["file_name"]).stem for image in images}
        content = content["annotations"]
    elif isinstance(content, dict):
        return {Path(name).stem: _boxes(path, name, boxes) for name, boxes in content.items()}
    if not isinstance(content, list):
        raise DetectionsError(f"detections {path}: expected a list of people, got {type(content).__name__}.")
    of_stem: dict[str, list[Person]] = defaultdict(list)
    for i, entry in enumerate(content):
        where = f"detections {path}, entry {i}"
        if (
            not isinstance(entry, dict)
            or not _is_name(entry.get("image_id"))
            or not {"bbox", "keypoints"} & entry.keys()
        ):
            found = ", ".join(entry) if isinstance(entry, dict) else type(entry).__name__
            raise DetectionsError(f"{where}: expected image_id with bbox or keypoints (COCO results), got {found}.")
        if entry.get("category_id", _COCO_PERSON) != _COCO_PERSON:
            continue
        stem = names.get(entry["image_id"], Path(str(entry["image_id"])).stem)
        of_stem[stem].append(_coco_person(where, entry))
    return dict(of_stem)


def _is_name(image_id: Any) -> bool:
    return isinstance(image_id, str | int | float)


def _coco_person(where: str, entry: dict[str, Any]) -> Person:
    keypoints = None
    if "keypoints" in entry:
        keypoints = _numbers(where, "keypoints", entry["keypoints"], 3 * len(COCO17)).reshape(-1, 3)
        if keypoints[:, 2].max() > 1:  # annotations: 0 absent, 1 hidden, 2 visible; results: confidences
            keypoints[:, 2] = keypoints[:, 2] / 2
    score = float(_numbers(where, "score", [entry.get("score", 1.0)], 1)[0])
    if "bbox" in entry:
        x, y, width, height = _numbers(where, "bbox", entry["bbox"], 4)
        return _person(where, np.array([x, y, x + width, y + height]), score, keypoints, COCO17)
    return _person(where, None, score, keypoints, COCO17)


def _boxes(path: Path, name: str, boxes: Any) -> list[Person]:
    if not isinstance(boxes, list):
        raise DetectionsError(f"detections {path}: expected a list of boxes for {name!r}, got {type(boxes).__name__}.")
    wheres = [f"detections {path}, {name!r}, box {i}" for i in range(len(boxes))]
    return [_person(w, _numbers(w, "x0 y0 x1 y1", b, 4), 1.0, None, None) for w, b in zip(wheres, boxes, strict=True)]


def _read_openpose(folder: Path) -> dict[str, list[Person]]:
    files = sorted(folder.glob("*_keypoints.json"))
    if not files:
        raise DetectionsError(f"detections {folder}: expected OpenPose files named PHOTO_keypoints.json, found none.")
    of_stem = {}
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
        of_stem[file.name.removesuffix("_keypoints.json")] = people
    return of_stem


def _numbers(where: str, field: str, values: Any, count: int) -> np.ndarray:
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        numbers = np.array([])
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        raise DetectionsError(f"{where}: expected {count} finite numbers in {field}, got {str(values)[:60]}.")
    return numbers


def _person(
    where: str, box: np.ndarray | None, score: float, keypoints: np.ndarray | None, joint_set: JointSet | None
) -> Person:
    """A person with a checked box; without one it is put around the keypoints with a tenth of margin."""
    if box is None:
        assert keypoints is not None
        points = keypoints[keypoints[:, 2] > 0, :2]
        if not len(points):
            raise DetectionsError(f"{where}: expected a box or a keypoint with confidence above 0, got neither.")
        margin = 0.1 * (points.max(0) - points.min(0)).max() + 1
        box = np.concatenate([points.min(0) - margin, points.max(0) + margin])
    if not (box[2:] > box[:2]).all():
        raise DetectionsError(f"{where}: expected a box with some width and height, got {box.tolist()}.")
    return Person(box, score, keypoints, None if keypoints is None else joint_set)
