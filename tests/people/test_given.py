"""People given by the user, in each of the formats, and files that are none of them."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from humesh.body.joints import COCO17, MEDIAPIPE33, OPENPOSE25
from humesh.media.photo import Photo
from humesh.people.given import DetectionsError, GivenPeople, complete
from humesh.people.person import Person


def _write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def _coco_keypoints(confidence: float = 0.5) -> list[float]:
    return [number for i in range(17) for number in (10.0 + i, 20.0 + 2 * i, confidence)]


def test_coco_results_by_file_name_stem_or_number(tmp_path: Path) -> None:
    entries = [
        {"image_id": "a.jpg", "category_id": 1, "bbox": [10, 20, 30, 40], "score": 0.9},
        {"image_id": "a.jpg", "bbox": [0, 0, 5, 5], "score": 0.8, "keypoints": _coco_keypoints()},
        {"image_id": "a.jpg", "category_id": 17, "bbox": [0, 0, 5, 5], "score": 0.99},  # a cat
        {"image_id": "b", "bbox": [0, 0, 7, 7]},
        {"image_id": 785, "category_id": 1, "keypoints": _coco_keypoints()},
    ]
    given = GivenPeople(_write(tmp_path / "results.json", entries))
    people = given.people("somewhere/a.png")
    assert [p.box.tolist() for p in people] == [[10, 20, 40, 60], [0, 0, 5, 5]]
    assert [p.score for p in people] == [0.9, 0.8]
    assert people[0].keypoints is None
    assert people[1].keypoint_set is COCO17
    assert [p.box.tolist() for p in given.people("b.jpg")] == [[0, 0, 7, 7]]
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
    numbers = [number for i in range(25) for number in (3.0 * i, 3.0 * i + 1, i / 25)]
    nobody = [0.0] * 75
    people = {"people": [{"pose_keypoints_2d": numbers}, {"pose_keypoints_2d": nobody}]}
    _write(tmp_path / "shot1_keypoints.json", people)
    (person,) = GivenPeople(tmp_path).people("shot1.jpg")
    assert person.keypoint_set is OPENPOSE25
    assert person.keypoints is not None
    assert person.keypoints[1].tolist() == [3, 4, 1 / 25]


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
        ([{"image_id": True, "bbox": [1, 2, 3, 4]}], "entry 0: expected image_id with bbox"),
        ([{"image_id": 1, "bbox": [1e308, 1e308, 1e308, 1e308]}], "expected 4 finite numbers in bbox"),
        ([{"image_id": 1, "bbox": [1, 2, float("inf"), 4]}], "expected 4 finite numbers in bbox"),
        ([{"image_id": 1, "bbox": [1, 2, True, 4]}], "expected 4 finite numbers in bbox"),
        ([{"image_id": 1, "bbox": [1, 2, "3", 4]}], "expected 4 finite numbers in bbox"),
        ([{"image_id": 1, "bbox": {"x": 1}}], "expected 4 finite numbers in bbox"),
        ([{"image_id": 1, "bbox": [1, 2, 3, 4], "score": float("nan")}], "expected 1 finite numbers in score"),
        ([{"image_id": 1, "keypoints": [1e9, 1.0, 0.5] * 17}], "expected keypoints within 65535 px"),
        ([{"image_id": 1, "bbox": [[[[[[[[1]]]]]]]]}], "expected 4 finite numbers in bbox"),
        ({"a.jpg": [[1, 2, 10**400, 4]]}, "'a.jpg', box 0: expected 4 finite numbers"),
        ({"a.jpg": [[-1e30, -1e30, 1e30, 1e30]]}, "expected a box within 65535 px"),
        ({"a.jpg": [[100000, 100000, 100100, 100200]]}, "expected a box within 65535 px"),
        ({"a.jpg": [[0.1, 0.1, 0.9, 0.9]]}, "1 px at least, got .*; give pixels, not shares"),
        ({"a.jpg": [["\x1b]0;owned\x07", 2, 3]]}, "expected 4 finite numbers in x0 y0 x1 y1, got .*owned"),
        ({"annotations": {}}, "expected a list of people, got dict"),
        (
            {"annotations": [], "images": [{"id": 1, "file_name": n} for n in "ab"]},
            "another id and file_name for each of 2 images, got 1 ids and 1 names",
        ),
        (
            {"annotations": [], "images": [{"id": i, "file_name": "a"} for i in (1, 2)]},
            "another id and file_name for each of 2 images, got 2 ids and 1 names",
        ),
    ],
)
def test_wrong_fields_are_reported_with_the_entry(tmp_path: Path, content: Any, sentence: str) -> None:
    with pytest.raises(DetectionsError, match=sentence):
        GivenPeople(_write(tmp_path / "wrong.json", content))


@pytest.mark.parametrize(
    "content",
    [None, b'[{"image_id": 1,', b"\xff\xfe\x00", b"[" * 100_000, b'{"a.jpg": [[1, 2, ' + b"9" * 5000 + b", 4]]}"],
)
def test_files_that_cannot_be_read_are_one_sentence(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(
        DetectionsError, match=r"a\.json: expected detections as a JSON file .*(read as JSON|found nothing) \("
    ):
        GivenPeople(tmp_path / "a.json")


def test_openpose_folders_that_are_none_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(DetectionsError, match=r"named PHOTO_keypoints.json, found none"):
        GivenPeople(tmp_path / "folder")
    _write(tmp_path / "folder" / "a_keypoints.json", {"people": [{"pose_keypoints_2d": [1, 2]}]})
    with pytest.raises(DetectionsError, match=r"a_keypoints.json, person 0: expected 75 finite numbers"):
        GivenPeople(tmp_path / "folder")


def _boxes(tmp_path: Path, *names: str) -> GivenPeople:
    """Somebody in each photo of these names, at the place of the name."""
    return GivenPeople(_write(tmp_path / "boxes.json", {name: [[i, 0, i + 9, 9]] for i, name in enumerate(names)}))


def _matches(given: GivenPeople, *photos: str) -> list[int | None]:
    """Which name's person each photo gets."""
    given.match(photos)
    return [int(people[0].box[0]) if (people := given.people(photo)) else None for photo in photos]


@pytest.mark.parametrize(
    ("names", "photos", "expected"),
    [
        (["a/1.jpg", "b/1.jpg"], ["a/1.jpg", "b/1.jpg"], [0, 1]),
        (["a/1.jpg", "b/1.jpg"], ["b/1.jpg"], [1]),
        (["1.jpg"], ["a/1.jpg"], [0]),  # unique on both sides
        (["1.jpg"], ["a/1.jpg", "b/1.jpg"], [None, None]),  # whose is it?
        (["a/1.jpg", "b/1.jpg"], ["c/1.jpg"], [None]),
        (["a/1.jpg", "b/1.jpg"], ["1.jpg"], [None]),
        (["a/1.jpg"], ["a/1.jpg", "b/1.jpg"], [0, None]),
        (["x/a/1.jpg", "y/a/1.jpg"], ["y/a/1.jpg", "x/a/1.jpg"], [1, 0]),
        (["a/1.png", "a/1.jpg"], ["a/1.jpg", "a/1.png"], [1, 0]),  # the whole name before the stem
        (["a/1", "b/1"], ["a/1.png", "b/1.jpg"], [0, 1]),
        (["1.png"], ["1.jpg", "1.webp"], [None, None]),
        (["frame.0001", "frame.0002"], ["frame.0002.jpg", "frame.0001.jpg"], [1, 0]),
        (["train\\a.jpg"], ["train/a.jpg"], [0]),
        (["caf\u00e9.jpg"], ["cafe\u0301.jpg"], [0]),  # macOS's way of writing it
        (["17"], ["camera1_frame7.jpg"], [None]),  # digits of a name are no number
        (["17"], ["frame17.jpg"], [None]),
        (["17"], ["000000000017.jpg"], [0]),
        (["42"], ["COCO_val2014_000000000042.jpg"], [0]),
        (["1"], ["a/000001.jpg", "b/000001.jpg"], [None, None]),
        (["1", "000001"], ["000001.jpg", "1.jpg"], [1, 0]),
        (["1.jpg"], ["000001.jpg"], [None]),  # a file's name, no number
        (["/".join("ab" * 20_000)], ["b/b.jpg"], [0]),  # in no time
    ],
)
def test_photos_are_matched_by_path(
    tmp_path: Path, names: list[str], photos: list[str], expected: list[int | None]
) -> None:
    assert _matches(_boxes(tmp_path, *names), *photos) == expected


def test_coco_numbers_are_those_of_its_images_where_it_lists_them(tmp_path: Path) -> None:
    images = [{"id": 2, "file_name": "a/000001.jpg"}, {"id": 1, "file_name": "b/000001.jpg"}]
    entries = [{"image_id": i, "bbox": [i, 0, 9, 9]} for i in (1, 2, 3)]
    given = GivenPeople(_write(tmp_path / "coco.json", {"images": images, "annotations": entries}))
    assert _matches(given, "a/000001.jpg", "b/000001.jpg", "3.jpg") == [2, 1, None]
    assert "image_id 3 without a file_name" in given.match(["a/000001.jpg"])[0]


def test_openpose_folders_are_matched_with_their_subfolders(tmp_path: Path) -> None:
    for i, name in enumerate("ab", 1):
        (tmp_path / name).mkdir()
        people = {"people": [{"pose_keypoints_2d": [100.0 * i, 100.0, 0.5] * 25}]}
        _write(tmp_path / name / "1_keypoints.json", people)
    given = GivenPeople(tmp_path)
    given.match(["a/1.jpg", "b/1.jpg"])
    assert [given.people(f"{name}/1.jpg")[0].box[0] for name in "ab"] == [99, 199]


def test_what_is_not_matched_is_reported_once(tmp_path: Path) -> None:
    given = _boxes(tmp_path, "a.jpg", "b.jpg", "c/d.jpg", "e/d.jpg")
    missing, unclear, unused = given.match(["a.jpg", "f/d.jpg", "x.jpg", "y.jpg", "z.jpg", "w.jpg"])
    assert missing.endswith("nobody is given for 4 of 6 photos (x.jpg, y.jpg, z.jpg, ...).")
    assert "nobody is given for 1 of 6 photos (f/d.jpg), as no name in it means them alone" in unclear
    assert unused.endswith("1 of its 4 photos not in this run (b.jpg).")
    (unclear,) = _boxes(tmp_path, "d.jpg").match(["a/d.jpg", "b/d.jpg"])  # the name is unclear, not unused
    assert "nobody is given for 2 of 2 photos (a/d.jpg, b/d.jpg), as" in unclear
    missing, unused = _boxes(tmp_path, "a.jpg").match(["b.jpg"])
    assert missing.endswith("nobody is given for 1 of 1 photos (b.jpg).")
    assert unused.endswith("1 of its 1 photos not in this run (a.jpg).")
    assert _boxes(tmp_path, "a.jpg").match([str(tmp_path / "a.jpg"), tmp_path / "a.jpg"]) == []


def _confidences(tmp_path: Path, *people: Sequence[float], score: float = 1.0) -> tuple[list[float], list[str]]:
    keypoints = [[number for c in row for number in (5.0, 5.0, c)] for row in people]
    entries = [{"image_id": 1, "bbox": [0, 0, 9, 9], "keypoints": k, "score": score} for k in keypoints]
    given = GivenPeople(_write(tmp_path / "a.json", entries))
    found = [person.keypoints for person in given.people("1.jpg")]
    return [float(points[0, 2]) for points in found if points is not None], given.match(["1.jpg"])


def test_one_confidence_above_1_changes_no_other(tmp_path: Path) -> None:
    found, notes = _confidences(tmp_path, [0.8] * 17, [1.02] + [0.8] * 16)
    assert found == [0.8, 1]
    (note,) = notes
    assert note.endswith("1 confidences and scores outside 0 to 1 were clipped.")
    found, notes = _confidences(tmp_path, [0.8] * 17, [90] + [0.8] * 16)
    assert (found, len(notes)) == ([0.8, 1], 1)
    found, notes = _confidences(tmp_path, [-1] + [0.8] * 16)
    assert (found, len(notes)) == ([0], 1)


def test_confidences_are_what_the_whole_file_has(tmp_path: Path) -> None:
    assert _confidences(tmp_path, [2.0] * 17, [1.0] * 17, [0.0] + [2.0] * 16) == ([1, 0.5, 0], [])  # visibility
    assert _confidences(tmp_path, [1.0] * 17) == ([1], [])
    found, notes = _confidences(tmp_path, [2.0] * 17, [0.5] * 17, [1.5] + [0.9] * 16, score=-0.1)  # no visibilities
    assert found == [1, 0.5, 1]
    (note,) = notes
    assert note.endswith("21 confidences and scores outside 0 to 1 were clipped.")  # 17 + 1 and 3 scores


def test_a_box_without_seen_keypoints_is_a_box(tmp_path: Path) -> None:
    entry = {"image_id": 1, "bbox": [0, 0, 9, 9], "keypoints": [0] * 51}
    (person,) = GivenPeople(_write(tmp_path / "a.json", [entry])).people("1.jpg")
    assert person.keypoints is None


def test_people_who_cannot_be_in_the_photo_are_left_out(tmp_path: Path) -> None:
    boxes = [[0, 0, 50, 40], [60, 0, 70, 10], [0, -20, 9, 0], [-200, -200, 600, 300], [-20, -20, 480, 380]]
    given = GivenPeople(_write(tmp_path / "a.json", {"a.jpg": boxes, "b.jpg": boxes[:1]}))
    photo = Photo.of(np.zeros((40, 50, 3), np.uint8))
    people, noted = given.on(photo, "a.jpg")
    assert [person.box.tolist() for person in people] == [boxes[0], boxes[4]]
    assert noted.notes[-1].startswith("3 of 5 given people left out: boxes outside the photo of 50 x 40 px, or more")
    assert given.on(photo, "b.jpg")[1].notes == photo.notes


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
