"""MuCo-3DHP: one COCO-like JSON, millimetres, focal lengths and principal points per image."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from humesh.body.joints import MUCO21
from humesh.body.model import BodyModel
from humesh.data.datasets.mpi_inf import MuCo
from humesh.data.datasets.reader import DatasetError


@pytest.fixture
def download(tmp_path: Path, figures: Callable[..., list[Any]], write_photo: Any, matrix: np.ndarray) -> Any:
    """Two photos, the first of two people (the second is farther away and has no fit), the second of nobody."""
    people = figures(2, moving=False)
    images = [
        {"id": 7, "file_name": "unaugmented_set/0001/000000.jpg", "width": 160, "height": 128},
        {"id": 9, "file_name": "augmented_set/0002/000000.jpg", "width": 160, "height": 128},
    ]
    for image in images:
        image |= {"f": [matrix[0, 0], matrix[1, 1]], "c": [matrix[0, 2], matrix[1, 2]]}
        write_photo(tmp_path / "data" / image["file_name"])
    annotations = []
    for i, person in enumerate(people):
        annotations.append(
            {
                "id": 70 + i,
                "image_id": 7,
                "bbox": [10.0, 20.0, 80.0, 100.0],
                "keypoints_img": person.of(MUCO21, person.pixels).tolist(),
                "keypoints_cam": (1000 * person.of(MUCO21, person.points)).tolist(),
                "keypoints_vis": [1] * 20 + [0],
            }
        )
    folder = tmp_path / "data"
    (folder / "MuCo-3DHP.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    fit = {
        "pose": people[0].vectors.tolist(),
        "shape": people[0].betas.tolist(),
        "trans": people[0].translation.tolist(),
    }
    (folder / "smpl_param.json").write_text(json.dumps({"70": fit}))
    return tmp_path, people


def test_the_truth_comes_back(download: Any, open_body: BodyModel) -> None:
    root, people = download
    dataset = MuCo(root, "train", fits=True, bodies={"smpl-neutral": open_body})
    assert len(dataset) == 1
    sample = dataset[0]
    for person, true in zip(sample.people, people, strict=True):
        assert np.allclose(person.points3d, true.of(MUCO21, true.points), atol=1e-5)
        assert np.allclose(person.points2d, true.of(MUCO21, true.pixels), atol=1e-4)
        named = [i for i, name in enumerate(MUCO21.names) if name in ("left_knee", "right_wrist", "pelvis")]
        pixels = sample.photo.camera.project(person.points3d.double())
        assert np.allclose(pixels[named], person.points2d[named], atol=1e-3)
        assert np.array_equal(person.seen.box, [10, 20, 90, 120])
        assert not person.visible[MUCO21.index("left_foot")]
    first, second = sample.people
    assert np.allclose(open_body.joints(first.pose), people[0].points, atol=1e-5)
    assert (first.body, float(first.translation_weight)) == ("smpl-neutral", 1)
    assert not second.pose_weight.any()
    assert first.identity != second.identity


def test_only_the_nearest_person(download: Any) -> None:
    people = MuCo(download[0], "train", nearest=True)[0].people
    assert [person.identity for person in people] == [70]


def test_wrong_downloads_are_refused(download: Any) -> None:
    root, _ = download
    with pytest.raises(DatasetError, match=r"expected MuCo-3DHP.json or data/MuCo-3DHP.json, found"):
        MuCo(root / "data" / "augmented_set", "train")
    (root / "data" / "smpl_param.json").unlink()
    assert len(MuCo(root, "train")) == 1
    with pytest.raises(DatasetError, match=r"expected smpl_param.json"):
        MuCo(root, "train", fits=True)
    (root / "data" / "MuCo-3DHP.json").write_text("{}")
    with pytest.raises(DatasetError, match="no images, annotations"):
        MuCo(root, "train")
