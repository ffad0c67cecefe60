"""Human3.6M: SPIN's npz, root-relative joints in an order of its own, boxes as centre and scale, two protocols."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from humesh.body.joints import H36M17, SPIN24
from humesh.data.datasets.reader import DatasetError
from humesh.data.datasets.smpl_fits import Human36M

# Where SPIN's files keep Human3.6M's 17 joints (pelvis, right leg, left leg, spine, neck, jaw, head, arms).
PLACES = [14, 2, 1, 0, 3, 4, 5, 16, 12, 17, 18, 9, 10, 11, 8, 7, 6]
NAMES = [
    f"S{s}_Walking_1.{camera}_{frame:06d}.jpg"
    for s, camera, frames in ((9, "60457274", (1, 6, 11)), (11, "54138969", (1,)), (1, "60457274", (1, 6)))
    for frame in frames
]


@pytest.fixture
def download(tmp_path: Path, figures: Callable[..., list[Any]], write_photo: Any, matrix: np.ndarray) -> Any:
    people = [figures(1, seed=i, moving=False)[0] for i in range(len(NAMES))]
    part, joints = np.zeros((len(NAMES), 24, 3)), np.zeros((len(NAMES), 24, 4))
    for row, person in enumerate(people):
        points = person.of(H36M17, person.points)
        flat = points @ matrix.T
        part[row, PLACES] = np.concatenate([flat[:, :2] / flat[:, 2:], np.ones((17, 1))], axis=1)
        joints[row, PLACES] = np.concatenate([points - points[0], np.ones((17, 1))], axis=1)
    content = {
        "center": np.tile([60.0, 70.0], (len(NAMES), 1)),
        "scale": np.full(len(NAMES), 0.5),
        "part": part,
        "S": joints,
        "pose": np.stack([p.vectors for p in people]),
        "shape": np.stack([p.betas for p in people]),
    }
    test = slice(0, 4)
    np.savez(tmp_path / "h36m_train.npz", imgname=np.array(NAMES), **content)
    bare = {key: values[test] for key, values in content.items() if key not in ("pose", "shape")}
    np.savez(tmp_path / "h36m_valid_protocol1.npz", imgname=np.array(NAMES[test]), **bare)
    fits = {key: values[test] for key, values in content.items()}
    genders = np.array(["m", "m", "m", "f"])
    np.savez(tmp_path / "h36m_with_fits.npz", imgname=np.array(NAMES[test]), gender=genders, **fits)
    for name in NAMES:
        write_photo(tmp_path / "images" / name)
    cameras = {str(i): {"f": [matrix[0, 0], matrix[1, 1]], "c": [matrix[0, 2], matrix[1, 2]]} for i in range(1, 5)}
    (tmp_path / "annotations").mkdir()
    for subject in (9, 11):
        (tmp_path / "annotations" / f"Human36M_subject{subject}_camera.json").write_text(json.dumps(cameras))
    return tmp_path, people


def test_the_truth_comes_back_where_the_cameras_are_known(download: Any, matrix: np.ndarray) -> None:
    root, people = download
    dataset = Human36M(root, "test", protocol=1)
    assert len(dataset) == 4
    assert dataset.tracks == (range(0, 3),)
    for i in range(4):
        sample = dataset[i]
        (person,) = sample.people
        true = people[i].of(H36M17, people[i].points)
        assert np.allclose(person.points3d, true, atol=1e-4)
        pixels = sample.photo.camera.project(person.points3d.double())
        assert np.allclose(person.points2d, pixels, atol=1e-2)
        assert np.allclose(sample.photo.camera.matrix, matrix)
        assert np.array_equal(person.seen.box, [10, 20, 110, 120])
        assert not person.pose_weight.any()
        assert person.metric
    assert (sample.sequence, sample.frame, person.identity) == ("S11_Walking_1.54138969", 1, 11)


def test_fits_and_guessed_cameras(download: Any) -> None:
    root, people = download
    dataset = Human36M(root, "train")
    assert [dataset[i].sequence for i in range(2)] == ["S1_Walking_1.60457274"] * 2
    assert len(dataset) == 2
    sample = dataset[0]
    (person,) = sample.people
    assert sample.photo.camera_source.startswith("guessed")
    assert not person.metric
    relative = person.points3d - person.points3d[H36M17.index("pelvis")]
    true = people[4].of(H36M17, people[4].points)
    assert np.allclose(relative, true - true[0], atol=1e-4)
    assert person.body == "smpl-neutral"
    assert np.allclose(person.pose.shape, people[4].betas, atol=1e-6)
    assert np.allclose(person.pose.rotations, people[4].pose.rotations, atol=1e-5)
    assert person.pose_weight.all()
    assert float(person.translation_weight) == 0


def test_genders_where_the_file_tells_them(download: Any) -> None:
    (download[0] / "h36m_with_fits.npz").replace(download[0] / "h36m_valid_protocol1.npz")
    dataset = Human36M(download[0], "test", protocol=1)
    people = [dataset[i].people[0] for i in range(4)]
    assert [person.body for person in people] == ["smpl-male"] * 3 + ["smpl-female"]
    assert all(person.pose_weight.all() for person in people)


def test_protocols_and_wrong_downloads(download: Any) -> None:
    root, _ = download
    assert [s.sequence[:3] for s in map(Human36M(root, "test", 2).__getitem__, range(3))] == ["S9_"] * 3
    assert len(Human36M(root, "test", 2)) == 3
    assert SPIN24.indices(*("head" if name == "head_top" else name for name in H36M17.names)) == PLACES
    with pytest.raises(DatasetError, match="expected the split train or test, got 'val'"):
        Human36M(root, "val", 1)
    with pytest.raises(DatasetError, match="expected the split train, or test with protocol 1 or 2, got None"):
        Human36M(root, "test")
    path = root / "h36m_valid_protocol1.npz"
    path.unlink()
    with pytest.raises(DatasetError, match=r"expected h36m_valid_protocol1.npz, found annotations, h36m_train.npz"):
        Human36M(root, "test", 1)
    np.savez(path, imgname=np.array(["a.jpg"]), center=np.zeros((1, 2)), scale=np.zeros(1),
             part=np.zeros((1, 24, 3)), S=np.zeros((1, 24, 4)))  # fmt: skip
    with pytest.raises(DatasetError, match=r"expected images like S9_Directions_1.60457274_000001.jpg, got 'a.jpg'"):
        Human36M(root, "test", 1)
    np.savez(path, imgname=np.array(["a.jpg"]))
    with pytest.raises(DatasetError, match=r"labels of Human3.6M in SPIN's format, it has no center, scale"):
        Human36M(root, "test", 1)


def test_of_two_training_files_the_one_with_fits_is_read(download: Any) -> None:
    root, people = download
    whole = dict(np.load(root / "h36m_train.npz"))
    bare = {key: values for key, values in whole.items() if key not in ("pose", "shape")}
    np.savez(root / "h36m_train.npz", **bare)
    assert not Human36M(root, "train")[0].people[0].pose_weight.any()
    np.savez(root / "h36m_mosh_train.npz", **whole)
    person = Human36M(root, "train")[0].people[0]
    assert np.allclose(person.pose.shape, people[4].betas, atol=1e-6)
    assert person.pose_weight.all()
