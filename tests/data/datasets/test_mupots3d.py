"""MuPoTS-3D: Matlab cells of structs, frames x people, joints as columns, no camera."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from humesh.body.joints import MPI_INF_3DHP17
from humesh.data.datasets.mpi_inf import MuPoTS3D
from humesh.data.datasets.reader import DatasetError

savemat = pytest.importorskip("scipy.io").savemat


@pytest.fixture
def download(
    tmp_path: Path, figures: Callable[..., list[Any]], write_photo: Any, matrix: np.ndarray
) -> tuple[Path, list[Any]]:
    """TS1 of three frames and two people: nobody valid in frame 1, only the second in frame 2. TS2 of one person."""
    people = [figures(2, seed=frame) for frame in range(3)]
    for name, count in (("TS1", 2), ("TS2", 1)):
        cells, hidden = np.empty((3, count), dtype=object), np.empty((3, count), dtype=object)
        for frame in range(3):
            for i in range(count):
                points = people[frame][i].of(MPI_INF_3DHP17, people[frame][i].points)
                flat = points @ matrix.T
                cells[frame, i] = {
                    "annot2": (flat[:, :2] / flat[:, 2:]).T,
                    "annot3": 1000 * points.T,
                    "univ_annot3": 1100 * points.T,
                    "isValidFrame": np.array([[float(name == "TS2" or frame == 0 or (frame == 2 and i == 1))]]),
                }
                hidden[frame, i] = np.eye(17)[:1] * (i == 1)
            write_photo(tmp_path / "MultiPersonTestSet" / name / f"img_{frame:06d}.jpg")
        savemat(str(tmp_path / "MultiPersonTestSet" / name / "annot.mat"), {"annotations": cells})
        savemat(str(tmp_path / "MultiPersonTestSet" / name / "occlusion.mat"), {"occlusion_labels": hidden})
    return tmp_path, people


def test_the_truth_comes_back(download: Any, matrix: np.ndarray) -> None:
    root, people = download
    dataset = MuPoTS3D(root, "test", sequences=(1, 2))
    assert [(s.sequence, s.frame, len(s.people)) for s in map(dataset.__getitem__, range(5))] == [
        ("TS1", 0, 2), ("TS1", 2, 1), ("TS2", 0, 1), ("TS2", 1, 1), ("TS2", 2, 1)]  # fmt: skip
    assert dataset.tracks == (range(2, 5),)
    for index, frame, who in ((0, 0, (0, 1)), (1, 2, (1,))):
        sample = dataset[index]
        assert np.allclose(sample.photo.camera.matrix, matrix, atol=1e-6)
        for person, i in zip(sample.people, who, strict=True):
            true = people[frame][i].of(MPI_INF_3DHP17, people[frame][i].points)
            assert np.allclose(person.points3d, true * 1.1, atol=1e-5)
            pixels = sample.photo.camera.project(person.points3d.double())
            assert np.allclose(person.points2d, pixels, atol=1e-3)
            assert float(person.visible[0]) == (i != 1)
            assert person.identity == dataset[0].people[i].identity


def test_wrong_downloads_are_refused(download: Any) -> None:
    root, _ = download
    with pytest.raises(DatasetError, match=r"TS3: expected annot.mat, found no such folder"):
        MuPoTS3D(root, "test")
    with pytest.raises(DatasetError, match=r"expected TS\*/annot.mat or MultiPersonTestSet/TS\*/annot.mat, found"):
        MuPoTS3D(root / "MultiPersonTestSet" / "TS1", "test")
    folder = root / "MultiPersonTestSet"
    (folder / "TS2" / "occlusion.mat").write_bytes((folder / "TS1" / "occlusion.mat").read_bytes())
    with pytest.raises(DatasetError, match=r"expected occlusion.mat for the \(3, 1\) frames and people .*got \(3, 2\)"):
        MuPoTS3D(root, "test", sequences=(2,))
    (folder / "TS1" / "annot.mat").write_bytes(b"no Matlab file")
    with pytest.raises(DatasetError, match=r"annot.mat: expected MuPoTS-3D's annot.mat, could not read it"):
        MuPoTS3D(root, "test", sequences=(1,))
