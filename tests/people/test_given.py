"""People given by the user, in each of the formats, and files that are none of them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from humesh.body.joints import COCO17, MEDIAPIPE33, OPENPOSE25
from humesh.images.photo import Person, Photo
from humesh.people.given import DetectionsError, GivenPeople, complete


def _write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def _coco_keypoints(confidence: float = 0.5) -> list[float]:
    return [number for i in range(17) for number in (10.0 + i, 20.0 + 2 * i, confidence)]


def test_coco_results_by_file_name_stem_or_number(tmp_path: Path) -> None:
    entries = [
        {"image_id": "a.jpg", "category_id": 1, "bbox": [10, 20, 30, 40], "score": 0.9},
        {"image_id": "a", "bbox": [0, 0, 5, 5], "score": 0.8, "keypoints": _coco_keypoints()},
        {"image_id": "a", "category_id": 17, "bbox": [0, 0, 5, 5], "score": 0.99},  # a cat
        {"image_id": 785, "category_id": 1, "keypoints": _coco_keypoints()},
    ]
    given = GivenPeople(_write(tmp_path / "results.json", entries))
    people = given.people("somewhere/a.png")
    assert [p.box.tolist() for p in people] == [[10, 20, 40, 60], [0, 0, 5, 5]]
    assert [p.score for p in people] == [0.9, 0.8]
    assert people[0].keypoints is None
    assert people[1].keypoint_set is COCO17
    (numbered,) = given.people("000000000785.jpg")
    assert (numbered.box[:2] < [10, 20]).all()
    assert (numbered.box[2:] > [26, 52]).all()
    assert given.people("other.jpg") == []
    assert given.people("5 m².jpg") == []  # a digit that is no number


def test_coco_annotations_with_images(tmp_path: Path) -> None:
    content = {
        "images": [{"id": 7, "file_name": "train/b.jpg"}],
        "annotations": [{"image_id": 7, "bbox": [1, 2, 3, 4], "keypoints": _coco_keypoints(2)}],
    }
    (person,) = GivenPeople(_write(tmp_path / "a.json", content)).people("b.jpg")
    assert person.keypoints is not None
    assert (person.keypoints[:, 2] == 1).all()  # visible


def test_plain_boxes(tmp_path: Path) -> None:
    given = GivenPeople(_write(tmp_path / "boxes.json", {"a.jpg": [[1, 2, 30, 40], [5, 5, 9, 9]], "empty.jpg": []}))
    assert [p.box.tolist() for p in given.people("a.jpg")] == [[1, 2, 30, 40], [5, 5, 9, 9]]
    assert given.people("empty.jpg") == []


def test_an_openpose_folder(tmp_path: Path) -> None:
    numbers = [float(i) for i in range(75)]
    nobody = [0.0] * 75
    people = {"people": [{"pose_keypoints_2d": numbers}, {"pose_keypoints_2d": nobody}]}
    _write(tmp_path / "shot1_keypoints.json", people)
    (person,) = GivenPeople(tmp_path).people("shot1.jpg")
    assert person.keypoint_set is OPENPOSE25
    assert person.keypoints is not None
    assert person.keypoints[1].tolist() == [3, 4, 5]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ([{"image_id": 1}], "entry 0: expected image_id with bbox or keypoints .* got image_id"),
        ([{"bbox": [1, 2, 3, 4]}], "entry 0: expected image_id"),
        (["text"], "entry 0: .* got str"),
        ([{"image_id": 1, "bbox": [1, 2, 3]}], "entry 0: expected 4 finite numbers in bbox"),
        ([{"image_id": 1, "bbox": [1, 2, "x", 4]}], "expected 4 finite numbers in bbox"),
        ([{"image_id": 1, "bbox": [1, 2, 0, 4]}], "expected a box with some width and height"),
        ([{"image_id": 1, "bbox": [1, 2, 3, 4], "keypoints": [1, 2, 3]}], "expected 51 finite numbers in keypoints"),
        ([{"image_id": 1, "bbox": [1, 2, 3, 4], "score": None}], "expected 1 finite numbers in score"),
        ([{"image_id": 1, "keypoints": [0.0] * 51}], "expected a box or a keypoint with confidence above 0"),
        ("people", "expected a list of people, got str"),
        ({"a.jpg": [[1, 2, 3]]}, "'a.jpg', box 0: expected 4 finite numbers"),
        ({"a.jpg": 5}, "expected a list of boxes for 'a.jpg', got int"),
        ({"annotations": [], "images": [{"id": 1}]}, "expected images with id and file_name"),
        ({"annotations": [], "images": [{"id": [1], "file_name": "a.jpg"}]}, "expected images with id and file_name"),
        ({"annotations": [], "images": [{"id": 1, "file_name": 5}]}, "expected images with id and file_name"),
        ([{"image_id": [1], "bbox": [1, 2, 3, 4]}], "entry 0: expected image_id with bbox"),
    ],
)
def test_wrong_fields_are_told_with_the_entry(tmp_path: Path, content: Any, sentence: str) -> None:
    with pytest.raises(DetectionsError, match=sentence):
        GivenPeople(_write(tmp_path / "wrong.json", content))


def test_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    with pytest.raises(DetectionsError, match="found nothing"):
        GivenPeople(tmp_path / "missing.json")
    (tmp_path / "half.json").write_text('[{"image_id": 1,')
    with pytest.raises(DetectionsError, match="could not read it"):
        GivenPeople(tmp_path / "half.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DetectionsError, match="could not read it"):
        GivenPeople(tmp_path / "binary.json")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DetectionsError, match=r"named PHOTO_keypoints.json, found none"):
        GivenPeople(tmp_path / "folder")
    _write(tmp_path / "folder" / "a_keypoints.json", {"people": [{"pose_keypoints_2d": [1, 2]}]})
    with pytest.raises(DetectionsError, match=r"a_keypoints.json, person 0: expected 75 finite numbers"):
        GivenPeople(tmp_path / "folder")


def test_given_points_replace_the_models_by_name() -> None:
    photo = Photo.of(np.zeros((50, 50, 3), np.uint8))
    keypoints = np.array(_coco_keypoints(), dtype=np.float64).reshape(17, 3)
    given = [Person(np.array([0.0, 0, 9, 9]), 0.4, keypoints, COCO17), Person(np.array([5.0, 5, 9, 9]), 0.3)]

    def model(_: Photo, boxes: np.ndarray) -> list[Person]:
        seen = Person(boxes[0], 1.0, np.full((33, 3), -1.0), MEDIAPIPE33, np.zeros((33, 3)))
        return [replace(seen, box=box) for box in boxes]

    first, second = complete(given, photo, model)
    for name in MEDIAPIPE33.names:
        assert first.keypoints is not None
        row = first.keypoints[MEDIAPIPE33.index(name)]
        expected = keypoints[COCO17.index(name)] if name in COCO17.names else [-1, -1, -1]
        assert np.array_equal(row, expected)
    assert first.score == 0.4
    assert first.landmarks3d is not None
    assert second.keypoints is not None
    assert (second.keypoints == -1).all()
    assert second.box.tolist() == [5, 5, 9, 9]
    assert complete([], photo, model) == []
