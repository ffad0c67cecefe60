"""3DOH50K: lengths in the calibration's units, boxes as two corners, joints that objects hide."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from humesh.body.joints import LSP14, SMPL24
from humesh.body.model import BodyModel
from humesh.data import DATASETS
from humesh.data.datasets.reader import DatasetError
from humesh.data.datasets.smpl_fits import ThreeDOH

SCALE = 7.1


@pytest.fixture
def download(tmp_path: Path, figures: Callable[..., list[Any]], write_photo: Any, matrix: np.ndarray) -> Any:
    people = [figures(1, seed=i)[0] for i in range(2)]
    said = {}
    for i, person in enumerate(people):
        extrinsics = person.extrinsics.copy()
        extrinsics[:3, 3] *= SCALE
        seen = np.ones((24, 1))
        seen[5] = 0
        said[f"{i:05d}"] = {
            "pose": [person.vectors.tolist()],
            "betas": [person.betas.tolist()],
            "trans": [(person.translation * SCALE).tolist()],
            "scale": [SCALE],
            "intri": matrix.tolist(),
            "extri": extrinsics.tolist(),
            "bbox": [[10.0, 20.0], [90.0, 120.0]],
            "smpl_joints_2d": np.concatenate([person.pixels, seen], axis=1).tolist(),
            "smpl_joints_3d": (person.points * SCALE).tolist(),
            "lsp_joints_2d": np.concatenate([person.of(LSP14, person.pixels), np.ones((14, 1))], axis=1).tolist(),
            "lsp_joints_3d": (person.of(LSP14, person.points) * SCALE).tolist(),
        }
        write_photo(tmp_path / "testset" / "images" / f"{i:05d}.jpg")
    (tmp_path / "testset" / "annots.json").write_text(json.dumps(said))
    return tmp_path, people


def test_the_truth_comes_back_in_metres(download: Any, open_body: BodyModel) -> None:
    root, people = download
    dataset = ThreeDOH(root, "test", bodies={"smpl-neutral": open_body})
    assert len(dataset) == 2
    for i in range(2):
        sample, true = dataset[i], people[i]
        (person,) = sample.people
        assert np.allclose(person.points3d, true.points, atol=1e-5)
        assert np.allclose(sample.photo.camera.project(person.points3d.double()), true.pixels, atol=1e-3)
        assert np.allclose(person.points2d, true.pixels, atol=1e-4)
        assert np.allclose(open_body.joints(person.pose), true.points, atol=1e-5)
        assert np.array_equal(person.seen.box, [10, 20, 90, 120])
        assert not person.visible[SMPL24.index("right_knee")]
        assert person.points2d_weight.all()


def test_the_training_split_is_read_from_its_own_folder(download: Any) -> None:
    root, people = download
    (root / "trainset").mkdir()
    labels = json.loads((root / "testset" / "annots.json").read_text())
    (root / "trainset" / "annots.json").write_text(json.dumps({"00001": labels["00001"]}))
    (root / "testset" / "images").rename(root / "trainset" / "images")
    dataset = DATASETS["threedoh"](root=root, split="train")
    assert len(dataset) == 1
    (person,) = dataset[0].people
    assert np.allclose(person.points3d, people[1].points, atol=1e-5)
    assert person.pose_weight.all()


def test_wrong_downloads_are_refused(download: Any) -> None:
    root, _ = download
    with pytest.raises(DatasetError, match=r"expected testset/annots.json, found annots.json, images"):
        ThreeDOH(root / "testset", "test")
    with pytest.raises(DatasetError, match=r"expected trainset/annots.json, found testset"):
        ThreeDOH(root, "train")
    with pytest.raises(DatasetError, match="expected the split train or test, got 'val'"):
        ThreeDOH(root, "val")
    path = root / "testset" / "annots.json"
    path.write_text('{"00000": {"pose": []}}')
    with pytest.raises(DatasetError, match=r"annots.json, 00000: expected .* it has no betas, trans, scale"):
        ThreeDOH(root, "test")
    path.write_text('{"00000": ')
    with pytest.raises(DatasetError, match=r"annots.json: expected 3DOH50K's annots.json, it cannot be read as JSON"):
        ThreeDOH(root, "test")
