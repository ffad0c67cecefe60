"""CMU Panoptic: centimetres in a dome's frame, a distorting lens, joints without confidence, people out of view."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from humesh.body.joints import PANOPTIC15, PANOPTIC19, SMPL24
from humesh.data.datasets.cmu_panoptic import CmuPanoptic, distorted
from humesh.data.datasets.reader import DatasetError
from humesh.geometry.camera import Camera

NAME = "160906_pizza1"


@pytest.fixture(params=[0.0, -0.2])
def download(
    request: Any, tmp_path: Path, figures: Callable[..., list[Any]], write_photo: Any, matrix: np.ndarray
) -> Any:
    """Three frames, labels for the first two, of two people and one behind the camera; one VGA and one HD camera."""
    people = [figures(2, seed=5) for _ in range(2)]
    extrinsics = people[0][0].extrinsics
    folder = tmp_path / NAME
    lens = {"K": matrix.tolist(), "distCoef": [request.param, 0.01, 0.001, -0.002, 0.0], "resolution": [160, 128]}
    pose = {"R": extrinsics[:3, :3].tolist(), "t": (100 * extrinsics[:3, 3:]).tolist()}
    cameras = [{"name": "01_01", "type": "vga", **lens, **pose}, {"name": "00_16", "type": "hd", **lens, **pose}]
    labels = folder / "hdPose3d_stage1_coco19"
    labels.mkdir(parents=True)
    (folder / f"calibration_{NAME}.json").write_text(json.dumps({"calibDataSource": "x", "cameras": cameras}))
    for frame in range(3):
        write_photo(folder / "hdImgs" / "00_16" / f"00_16_{frame:08d}.jpg")
        bodies = []
        for i, person in enumerate(people[min(frame, 1)]):
            joints = np.concatenate([100 * person.of(PANOPTIC19, person.world), np.full((19, 1), 0.6)], axis=1)
            joints[PANOPTIC19.index("left_ear")] = [0, 0, 0, -1]
            bodies.append({"id": 3 + i, "joints19": joints.ravel().tolist()})
        behind = people[0][0].world - 8 * extrinsics[2, :3]
        joints = np.concatenate([100 * behind[:19], np.full((19, 1), 0.6)], axis=1)
        bodies.append({"id": 9, "joints19": joints.ravel().tolist()})
        if frame < 2:
            (labels / f"body3DScene_{frame:08d}.json").write_text(json.dumps({"version": 0.7, "bodies": bodies}))
    return tmp_path, people, np.array(lens["distCoef"])


def test_the_truth_comes_back(download: Any, matrix: np.ndarray) -> None:
    root, people, coefficients = download
    dataset = CmuPanoptic(root, "test", "pizza", cameras=(16,))
    assert len(dataset) == 2
    assert dataset.tracks == (range(0, 2),)
    sample = dataset[1]
    assert (sample.sequence, sample.frame, len(sample.people)) == (f"{NAME}/00_16", 1, 2)
    ear = PANOPTIC19.index("left_ear")
    for i, (person, true) in enumerate(zip(sample.people, people[1], strict=True)):
        assert person.identity == 3 + i
        weight = np.ones(19)
        weight[ear] = 0
        assert np.array_equal(person.points3d_weight, weight)
        assert np.array_equal(person.points2d_weight, weight)
        known = weight > 0
        points = true.of(PANOPTIC19, true.world) @ true.extrinsics[:3, :3].T + true.extrinsics[:3, 3]
        assert np.allclose(person.points3d[known], points[known], atol=1e-5)
        expected = distorted(points, Camera(torch.from_numpy(matrix)), coefficients)
        assert np.allclose(person.points2d[known], expected[known], atol=1e-3)
        assert np.abs(expected - sample.photo.camera.project(person.points3d.double()).numpy())[known].max() > 0.05


def test_older_joints(download: Any) -> None:
    root, people, _ = download
    old = root / NAME / "hdPose3d_stage1"
    old.mkdir()
    for frame in range(3):
        joints = np.concatenate([100 * people[0][0].of(PANOPTIC15, people[0][0].world), np.ones((15, 1))], axis=1)
        content = {"bodies": [{"id": 0, "joints15": joints.ravel().tolist()}]}
        (old / f"body3DScene_{frame:08d}.json").write_text(json.dumps(content))
    (root / NAME / "hdPose3d_stage1_coco19").rename(root / "elsewhere")
    dataset = CmuPanoptic(root, "test", "pizza", cameras=(16,))
    assert len(dataset) == 3
    (person,) = dataset[2].people
    assert person.joint_set == PANOPTIC15
    assert np.allclose(person.points3d, people[0][0].of(PANOPTIC15, people[0][0].points), atol=0.05)
    wrist = PANOPTIC15.index("left_wrist")
    assert np.allclose(person.points3d[wrist], people[0][0].points[SMPL24.index("left_wrist")], atol=1e-5)


def test_the_lens_is_opencvs() -> None:
    """Against numbers worked out by hand: x = 0.5, y = 0 without and with each coefficient alone."""
    point, camera = np.array([[1.0, 0.0, 2.0]]), Camera(torch.eye(3).double())
    for place, expected in enumerate([[0.625, 0], [0.53125, 0], [0.5, 0.025], [0.575, 0], [0.5 * (1 + 0.5**6), 0]]):
        value = [1.0, 1.0, 0.1, 0.1, 1.0][place]
        assert np.allclose(distorted(point, camera, np.eye(5)[place] * value), expected)


def test_wrong_downloads_are_refused(download: Any) -> None:
    root, _, _ = download
    with pytest.raises(DatasetError, match=f"expected 160226_mafia1, 160422_mafia2, found {NAME}"):
        CmuPanoptic(root, "test", "mafia")
    with pytest.raises(DatasetError, match="expected one of haggling, mafia, ultimatum, pizza, got 'dance'"):
        CmuPanoptic(root, "test", "dance")
    with pytest.raises(DatasetError, match="expected the HD camera 00_30, it is not there"):
        CmuPanoptic(root, "test", "pizza", cameras=(30,))
    (root / NAME / "hdPose3d_stage1_coco19" / "body3DScene_00000000.json").write_text("{}")
    with pytest.raises(DatasetError, match=r"body3DScene_00000000.json: expected an entry 'bodies'"):
        CmuPanoptic(root, "test", "pizza", cameras=(16,))[0]


def test_training_reads_no_sequence_and_no_camera_of_the_test(download: Any) -> None:
    root, _, _ = download
    with pytest.raises(DatasetError, match=f"expected sequences to train on, found only those of the test .{NAME}"):
        CmuPanoptic(root, "train")
    with pytest.raises(DatasetError, match=r"expected training sequences, got pizza, which is measured on"):
        CmuPanoptic(root, "train", activity="pizza")
    other = "160906_band1"
    shutil.copytree(root / NAME, root / other)
    (root / other / f"calibration_{NAME}.json").rename(root / other / f"calibration_{other}.json")
    dataset = CmuPanoptic(root, "train", cameras=(16,))
    assert {dataset[i].sequence for i in range(len(dataset))} == {f"{other}/00_16"}
    with pytest.raises(DatasetError, match="expected the HD camera 00_03, it is not there"):
        CmuPanoptic(root, "train")
