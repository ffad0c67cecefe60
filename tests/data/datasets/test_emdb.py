"""EMDB: one person, a moving camera, frames marked as bad."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from humesh.body.joints import SMPL24
from humesh.body.model import BodyModel
from humesh.data.datasets.reader import DatasetError
from humesh.data.datasets.smpl_fits import Emdb


@pytest.fixture
def download(tmp_path: Path, figures: Callable[..., list[Any]], write_photo: Any, matrix: np.ndarray) -> Any:
    """Two sequences of four frames, one of EMDB 1; frame 1 is bad and frame 3 has an invalid box."""
    people = [figures(1, seed=frame)[0] for frame in range(4)]
    boxes = np.tile(np.array([10.0, 20.0, 90.0, 120.0]), (4, 1))
    boxes[3] = 0
    vectors = np.stack([p.vectors for p in people])
    for participant, name, first in (("P0", "00_walk", True), ("P7", "59_rom", False)):
        folder = tmp_path / participant / name
        content = {
            "gender": "female",
            "name": f"{participant}_{name}",
            "emdb1": np.bool_(first),
            "emdb2": not first,
            "n_frames": 4,
            "good_frames_mask": np.array([True, False, True, True]),
            "camera": {
                "intrinsics": matrix,
                "extrinsics": np.stack([p.extrinsics for p in people]),
                "width": 160,
                "height": 128,
            },
            "smpl": {
                "poses_root": vectors[:, :3],
                "poses_body": vectors[:, 3:],
                "trans": np.stack([p.translation for p in people]),
                "betas": people[0].betas,
            },
            "kp2d": np.stack([p.pixels for p in people]),
            "bboxes": {"bboxes": boxes, "invalid_idxs": np.array([1, 3])},
        }
        folder.mkdir(parents=True)
        (folder / f"{participant}_{name}_data.pkl").write_bytes(pickle.dumps(content))
        for frame in range(4):
            write_photo(folder / "images" / f"{frame:05d}.jpg")
    return tmp_path, people


def test_the_truth_comes_back(download: Any, open_body: BodyModel) -> None:
    root, people = download
    dataset = Emdb(root, "emdb1", bodies={"smpl-female": open_body})
    assert [dataset[i].frame for i in range(len(dataset))] == [0, 2, 3]
    assert dataset.tracks == (range(1, 3),)
    sample = dataset[0]
    (person,) = sample.people
    assert (sample.sequence, person.body, person.joint_set) == ("P0_00_walk", "smpl-female", SMPL24)
    assert np.allclose(person.points3d, people[0].points, atol=1e-5)
    assert np.allclose(sample.photo.camera.project(person.points3d.double()), people[0].pixels, atol=1e-3)
    assert np.allclose(person.points2d, people[0].pixels, atol=1e-4)
    assert np.allclose(person.pose.rotations, people[0].pose.rotations, atol=1e-5)
    assert np.allclose(person.pose.translation, people[0].pose.translation, atol=1e-5)
    assert np.array_equal(person.seen.box, [10, 20, 90, 120])
    widest = dataset[2].people[0].seen.box
    assert (widest[:2] < people[3].pixels.min(0)).all()
    assert (widest[2:] > people[3].pixels.max(0)).all()


def test_without_the_body_nothing_is_said_in_3d(download: Any) -> None:
    person = Emdb(download[0], "emdb1")[0].people[0]
    assert float(person.translation_weight) == 0
    assert not person.points3d_weight.any()
    assert person.pose_weight.all()


def test_subsets_and_wrong_downloads_are_refused(download: Any) -> None:
    root, _ = download
    assert {s.sequence for s in map(Emdb(root, "emdb2").__getitem__, range(3))} == {"P7_59_rom"}
    assert len(Emdb(root, "all")) == 6
    with pytest.raises(DatasetError, match="expected the split emdb1 or emdb2 or all, got 'test'"):
        Emdb(root, "test")
    with pytest.raises(DatasetError, match="found 00_walk"):
        Emdb(root / "P0", "emdb1")
    (root / "P0" / "00_walk" / "P0_00_walk_data.pkl").unlink()
    with pytest.raises(DatasetError, match="expected sequences of emdb1, the 1 there are none of it"):
        Emdb(root, "emdb1")
