"""COCO's format: everybody with points is read, where they are, and nobody else; CrowdPose and PoseTrack on top."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from humesh.body.joints import COCO17, CROWDPOSE14, JOTR30, POSETRACK17, JointSet
from humesh.data import DATASETS
from humesh.data.datasets.coco import Coco, CrowdPose, PoseTrack
from humesh.data.datasets.reader import DatasetError
from humesh.data.drawn import DrawnPeople
from humesh.data.sample import Dataset, as_joint_set

DRAWN = DrawnPeople(3, seed=4, people=2)


def picture(path: Path, number: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(DRAWN[number].photo.pixels).save(path)


def true_points(number: int, joint_set: JointSet) -> np.ndarray:
    """Points of the first drawn person, px, all seen: by name, random where the drawing has none."""
    person = DRAWN[number].people[0]
    rng = np.random.default_rng(number)
    names = person.joint_set.names
    true = {name: point.numpy() for name, point in zip(names, person.points2d, strict=True)}
    return np.array([true.get(name, rng.uniform(20, 90, 2)) for name in joint_set.names], dtype=np.float64)


def annotation(number: int, photo: int, points: np.ndarray, flags: list[int], **more: Any) -> dict[str, Any]:
    """COCO's own: points as if pixel centres were whole numbers, 0 0 0 where there is none, box x y width height."""
    labels = [[x, y, v] if v else [0, 0, 0] for (x, y), v in zip(points.tolist(), flags, strict=True)]
    low, high = points.min(0), points.max(0)
    return {
        "id": number, "image_id": photo, "category_id": 1, "iscrowd": 0, "num_keypoints": sum(v > 0 for v in flags),
        "keypoints": [value for point in labels for value in point], "bbox": [*low, *(high - low)], **more,
    }  # fmt: skip


def write_coco(root: Path) -> np.ndarray:
    """Three photos: one person, half of them unseen; a crowd and somebody without points beside one; nobody."""
    points = true_points(0, COCO17)
    flags = [2] * 15 + [1, 0]
    crowd = {**annotation(7, 5, points, [2] * 17), "iscrowd": 1}
    nobody = annotation(8, 9, points, [0] * 17)
    people = [annotation(41, 5, points - 0.5, flags), annotation(12, 3, points - 0.5, [2] * 17), crowd, nobody]
    for photo in (5, 3, 9):
        picture(root / f"train2017/{photo:012d}.jpg")
    content = {"images": [{"id": i, "file_name": f"{i:012d}.jpg"} for i in (5, 3, 9)], "annotations": people}
    (root / "annotations").mkdir()
    (root / "annotations/person_keypoints_train2017.json").write_text(json.dumps(content))
    return points


def test_coco_gives_the_points_back_in_pixels_from_the_corner(tmp_path: Path) -> None:
    points = write_coco(tmp_path)
    dataset = Coco(tmp_path, "train")
    assert isinstance(dataset, Dataset)
    assert [dataset[i].name for i in range(len(dataset))] == ["000000000003.jpg", "000000000005.jpg"]
    (person,) = dataset[1].people
    assert person.identity == 41
    torch.testing.assert_close(person.points2d[:16].double(), torch.from_numpy(points[:16]), rtol=0, atol=1e-4)
    assert person.points2d_weight.tolist() == [1] * 16 + [0]
    assert person.visible.tolist() == [1] * 15 + [0, 0]
    assert not torch.cat([person.pose_weight, person.points3d_weight, person.shape_weight[None]]).any()
    assert person.seen.keypoints is not None
    assert person.seen.keypoints[:, 2].tolist() == [1] * 16 + [0]
    np.testing.assert_allclose(person.seen.box, [*(points.min(0) - 0.5), *(points.max(0) - 0.5)])
    moved = as_joint_set(dataset[1], JOTR30).people[0]
    knee = JOTR30.index("left_knee")
    torch.testing.assert_close(moved.points2d[knee], person.points2d[COCO17.index("left_knee")])


def test_a_photo_is_read_as_it_is_stored(tmp_path: Path) -> None:
    write_coco(tmp_path)
    path = tmp_path / "train2017/000000000003.jpg"
    turned = Image.Exif()
    turned[0x0112] = 6  # orientation: turn by 90 degrees to show it
    Image.fromarray(DRAWN[0].photo.pixels).save(path, exif=turned)
    assert Coco(tmp_path, "train")[0].photo.size == DRAWN[0].photo.size


def test_crowdpose_has_its_own_joints(tmp_path: Path) -> None:
    points = true_points(1, CROWDPOSE14)
    picture(tmp_path / "images/100000.jpg", 1)
    content = {
        "images": [{"id": 100000, "file_name": "100000.jpg", "crowdIndex": 0.3}],
        "annotations": [annotation(1, 100000, points - 0.5, [2] * 14)],
    }
    (tmp_path / "json").mkdir()
    (tmp_path / "json/crowdpose_train.json").write_text(json.dumps(content))
    person = CrowdPose(tmp_path, "train")[0].people[0]
    top = CROWDPOSE14.index("head_top")
    torch.testing.assert_close(person.points2d[top].double(), torch.from_numpy(points[top]), rtol=0, atol=1e-4)


def write_posetrack(root: Path) -> None:
    """Two videos: frames 2, 3, 4 and 8 of the first are labelled, 3 has a person more; in the second one frame is."""
    (root / "annotations/train").mkdir(parents=True)
    points = true_points(2, POSETRACK17)
    flags = [1, 1, 1, 0, 0] + [1] * 12
    for video, frames in (("000001_bonn_train", (2, 3, 4, 8)), ("000002_mpii_train", (0,))):
        images, people = [], []
        for frame in (*frames, 9):
            name = f"images/train/{video}/{frame:06d}.jpg"
            picture(root / name, 2)
            images.append({"id": 10000 + frame, "file_name": name, "is_labeled": frame != 9, "frame_id": frame})
            label = annotation(frame, 10000 + frame, points + frame, flags, track_id=3)
            people.append(label)
            if frame == 3:
                people.append({k: v for k, v in label.items() if k != "bbox"} | {"track_id": 5})
        (root / f"annotations/train/{video}.json").write_text(json.dumps({"images": images, "annotations": people}))


def test_posetrack_has_tracks_of_consecutive_frames(tmp_path: Path) -> None:
    write_posetrack(tmp_path)
    dataset = PoseTrack(tmp_path, "train")
    assert len(dataset) == 5
    assert dataset.tracks == (range(3),)
    clip = [dataset[i] for i in dataset.tracks[0]]
    assert [(s.sequence, s.frame) for s in clip] == [("000001_bonn_train", f) for f in (2, 3, 4)]
    assert len({s.people[0].identity for s in clip}) == 1
    assert len(clip[1].people) == 2
    assert dataset[4].people[0].identity != clip[0].people[0].identity
    person = clip[0].people[0]
    want = torch.from_numpy(true_points(2, POSETRACK17) + 2).float()
    torch.testing.assert_close(person.points2d[5:], want[5:], rtol=0, atol=1e-4)
    assert person.visible.tolist() == [1, 1, 1, 0, 0] + [1] * 12
    known = want[person.points2d_weight > 0].numpy() + 1  # of frame 3
    box = clip[1].people[1].seen.box  # was not given: it is around the points
    assert (box[:2] < known.min(0)).all()
    assert (box[2:] > known.max(0)).all()


def test_what_is_wrong_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"expected annotations/person_keypoints_train2017.json, .*cocodataset"):
        Coco(tmp_path, "train")
    write_coco(tmp_path)
    with pytest.raises(DatasetError, match="person_keypoints_val2017"):
        DATASETS["coco"](root=tmp_path, split="val")
    (tmp_path / "train2017/000000000005.jpg").unlink()
    with pytest.raises(DatasetError, match="found nothing; fetch it anew"):
        Coco(tmp_path, "train")[1]
    (tmp_path / "train2017/000000000005.jpg").write_bytes(b"\xff\xd8 cut")
    with pytest.raises(DatasetError, match="damaged"):
        Coco(tmp_path, "train")[1]
    file = tmp_path / "annotations/person_keypoints_train2017.json"
    (tmp_path / "crowdpose_train.json").write_text(file.read_text())
    (tmp_path / "images").mkdir()
    with pytest.raises(DatasetError, match="expected 14 points of crowdpose14 a person, got 17"):
        CrowdPose(tmp_path, "train")
    file.write_text(file.read_text()[:-40])
    with pytest.raises(DatasetError, match=r"cannot be read as JSON \(Expecting value"):
        Coco(tmp_path, "train")
    file.write_text("[]")
    with pytest.raises(DatasetError, match="expected a COCO-format file, it has no images, annotations"):
        Coco(tmp_path, "train")


@pytest.mark.parametrize(
    ("where", "key", "value", "sentence"),
    [
        ("annotations", "bbox", [0, 0, 1e308, 1e308], r"annotations\[0\].bbox: expected 4 finite numbers"),
        ("annotations", "bbox", [0, 0, float("nan"), 1], r"annotations\[0\].bbox: expected 4 finite numbers"),
        ("annotations", "keypoints", [1e30] * 51, r"annotations\[0\].keypoints: expected N x 3 finite numbers"),
        ("annotations", "keypoints", "all", r"annotations\[0\].keypoints: expected N x 3 finite numbers"),
        ("annotations", "id", [1], r"annotations\[0\].id: expected a whole number"),
        ("annotations", "image_id", {}, r"annotations\[0\].image_id: expected a whole number"),
        ("images", "file_name", "../../../secret.jpg", r"images\[0\].file_name: .* inside the dataset's folder"),
        ("images", "file_name", "/etc/secret.jpg", r"images\[0\].file_name: .* inside the dataset's folder"),
        ("images", "file_name", 5, r"images\[0\].file_name: expected a text, got 5"),
        ("images", "id", None, r"images\[0\].id: expected a whole number"),
    ],
)
def test_damaged_entries_are_refused_with_their_place(
    tmp_path: Path, where: str, key: str, value: Any, sentence: str
) -> None:
    write_coco(tmp_path)
    file = tmp_path / "annotations/person_keypoints_train2017.json"
    content = json.loads(file.read_text())
    content[where][0][key] = value
    file.write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=f"person_keypoints_train2017.json, {sentence}"):
        Coco(tmp_path, "train")


def test_people_who_cannot_be_cut_out_or_show_their_head_alone_are_left_out(tmp_path: Path) -> None:
    write_coco(tmp_path)
    file = tmp_path / "annotations/person_keypoints_train2017.json"
    content = json.loads(file.read_text())
    points = true_points(0, COCO17)
    face = annotation(50, 3, points, [2] * 5 + [0] * 12)  # its box is the whole person's, as COCO's are
    small = annotation(51, 3, points / 100 + 40, [2] * 17)
    boxless = {key: value for key, value in small.items() if key != "bbox"} | {"id": 52}
    content["annotations"] += [face, small, boxless]
    file.write_text(json.dumps(content))
    everybody, bodies = Coco(tmp_path, "train"), Coco(tmp_path, "train", least_points=6)
    assert [[p.identity for p in dataset[0].people] for dataset in (everybody, bodies)] == [[12, 50], [12]]
    assert (everybody.people_per_photo, bodies.people_per_photo) == ([2, 1], [1, 1])
    each = DATASETS["coco"](root=tmp_path, split="train", each_person=True)
    assert [[p.identity for p in each[i].people] for i in range(len(each))] == [[12], [50], [41]]
