"""MPI-INF-3DHP: cells of frames x 84 by camera, 28 joints, calibration as text; a test set in HDF5."""

import shutil
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from humesh.body.joints import MPI_INF_3DHP17, MUCO21
from humesh.data.datasets.mpi_inf import MpiInf3dhp
from humesh.data.datasets.reader import DatasetError

savemat = pytest.importorskip("scipy.io").savemat

# Where the owner's `mpii_get_joint_sets('relevant')` finds the 17 of the test set among the 28 (counted from 0).
RELEVANT = [7, 5, 14, 15, 16, 9, 10, 11, 23, 24, 25, 18, 19, 20, 4, 3, 6]
HANDS_AND_TOES = [17, 12, 27, 22]


@pytest.fixture
def training(tmp_path: Path, figures: Callable[..., list[Any]], write_photo: Any, matrix: np.ndarray) -> Any:
    """S2/Seq1 with five labelled frames; images of cameras 0 and 8, whose calibrations differ."""
    people = [figures(1, seed=frame)[0] for frame in range(5)]
    folder = tmp_path / "S2" / "Seq1"
    points = np.zeros((5, 28, 3))
    points[..., 2] = 1
    points[:, RELEVANT + HANDS_AND_TOES] = np.stack([p.of(MUCO21, p.points) for p in people])
    text = "Skeletool Camera Calibration File V1.0\n"
    cells = {name: np.empty((14, 1), dtype=object) for name in ("annot2", "annot3", "univ_annot3")}
    for camera in range(14):
        own = np.eye(4)
        own[:3, :3] = matrix + np.diag([camera, camera, 0])
        flat = points @ own[:3, :3].T
        cells["annot2"][camera, 0] = (flat[..., :2] / flat[..., 2:]).reshape(5, 56)
        cells["annot3"][camera, 0] = 1000 * points.reshape(5, 84)
        cells["univ_annot3"][camera, 0] = 1100 * points.reshape(5, 84)
        numbers = " ".join(map(str, own.ravel()))
        text += f"name          {camera}\n  sensor        10 10\n  size          160 128\n  animated      0\n"
        text += f"  intrinsic     {numbers} \n  extrinsic     {numbers} \n  radial        0\n"
    folder.mkdir(parents=True)
    (folder / "camera.calibration").write_text(text)
    savemat(str(folder / "annot.mat"), cells)
    for camera in (0, 8):
        for frame in range(5):
            write_photo(folder / "imageFrames" / f"video_{camera}" / f"frame_{frame + 1:06d}.jpg")
    return tmp_path, people


def test_training_labels_come_back(training: Any, matrix: np.ndarray) -> None:
    root, people = training
    dataset = MpiInf3dhp(root, "train")
    assert len(dataset) == 10
    assert dataset.tracks == (range(0, 5), range(5, 10))
    for index, camera, frame in ((3, 0, 3), (9, 8, 4)):
        sample = dataset[index]
        (person,) = sample.people
        assert (sample.sequence, sample.frame, person.identity) == (f"S2/Seq1/video_{camera}", frame, 2)
        assert np.allclose(sample.photo.camera.matrix, matrix + np.diag([camera, camera, 0]))
        assert person.joint_set == MUCO21
        assert np.allclose(person.points3d, people[frame].of(MUCO21, people[frame].points), atol=1e-5)
        pixels = sample.photo.camera.project(person.points3d.double())
        assert np.allclose(person.points2d, pixels, atol=1e-3)
    assert person.metric
    sparse = MpiInf3dhp(root, "train", every=2)
    assert [sparse[i].frame for i in range(len(sparse))] == [0, 2, 4] * 2
    assert sparse.tracks == (range(0, 3), range(3, 6))


class _Array(np.ndarray):
    """Stands in for `h5py.Dataset`."""

    external, is_virtual = None, False


class _HardLink:
    """Stands in for `h5py.HardLink`."""


class _File:
    """Stands in for `h5py.File` where h5py is not installed: arrays of an .npz under any name."""

    def __init__(self, path: Path, mode: str) -> None:
        assert mode == "r"
        with open(path, "rb") as stream:
            self.arrays = dict(np.load(stream))

    def __enter__(self) -> "_File":
        return self

    def get(self, name: str, getlink: bool) -> _HardLink:
        assert getlink
        return _HardLink()

    def __getitem__(self, name: str) -> _Array:
        return self.arrays[name].view(_Array)

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture(params=["npz", "h5py"])
def test_set(request: Any, tmp_path: Path, figures: Any, write_photo: Any, matrix: np.ndarray,
             monkeypatch: pytest.MonkeyPatch) -> Any:  # fmt: skip
    """TS1 of four frames, the second not valid."""
    people = [figures(1, seed=frame)[0] for frame in range(4)]
    points = np.stack([p.of(MPI_INF_3DHP17, p.points) for p in people])[:, None]  # frames 1 17 3
    flat = points @ matrix.T
    arrays = {
        "annot2": flat[..., :2] / flat[..., 2:],
        "annot3": 1000 * points,
        "univ_annot3": 1100 * points,
        "valid_frame": np.array([[1.0], [0.0], [1.0], [1.0]]),
    }
    folder = tmp_path / "mpi_inf_3dhp_test_set" / "TS1"
    for frame in range(4):
        write_photo(folder / "imageSequence" / f"img_{frame + 1:06d}.jpg")
    if request.param == "h5py":
        h5py = pytest.importorskip("h5py")
        with h5py.File(folder / "annot_data.mat", "w") as stored:
            for name, values in arrays.items():
                stored[name] = values
    else:
        with open(folder / "annot_data.mat", "wb") as stream:
            np.savez(stream, **arrays)
        module = types.ModuleType("h5py")
        module.File, module.HardLink = _File, _HardLink  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "h5py", module)
    return tmp_path, people


def test_test_labels_come_back(test_set: Any, matrix: np.ndarray) -> None:
    root, people = test_set
    dataset = MpiInf3dhp(root, "test")
    assert [dataset[i].frame for i in range(len(dataset))] == [0, 2, 3]
    assert dataset.tracks == (range(1, 3),)
    sample = dataset[1]
    (person,) = sample.people
    true = people[2].of(MPI_INF_3DHP17, people[2].points)
    assert (sample.sequence, person.identity, person.joint_set) == ("TS1", 101, MPI_INF_3DHP17)
    assert np.allclose(person.points3d, 1.1 * true, atol=1e-5)
    assert not person.metric
    assert np.allclose(sample.photo.camera.matrix, matrix, atol=1e-6)


@pytest.mark.parametrize("how", ["link", "path of links", "external", "virtual"])
@pytest.mark.parametrize("test_set", ["h5py"], indirect=True)
def test_files_that_name_other_files_are_refused(test_set: Any, how: str) -> None:
    root, _ = test_set
    h5py = pytest.importorskip("h5py")
    (path,) = root.glob("*/TS1/annot_data.mat")
    with h5py.File(root / "other.h5", "w") as other:
        other["valid_frame"] = np.ones((4, 1))
    np.ones((4, 1)).tofile(root / "other.bin")
    with h5py.File(path, "r+") as stored:
        del stored["valid_frame"]
        if how == "link":
            stored["valid_frame"] = h5py.ExternalLink(str(root / "other.h5"), "valid_frame")
        elif how == "path of links":
            stored["there"] = h5py.ExternalLink(str(root / "other.h5"), "/")
            stored["valid_frame"] = h5py.SoftLink("/there/valid_frame")
        elif how == "external":
            place = [(str(root / "other.bin"), 0, 32)]
            stored.create_dataset("valid_frame", (4, 1), dtype="f8", external=place)
        else:
            layout = h5py.VirtualLayout((4, 1), dtype="f8")
            layout[...] = h5py.VirtualSource(str(root / "other.h5"), "valid_frame", shape=(4, 1))
            stored.create_virtual_dataset("valid_frame", layout)
    with pytest.raises(DatasetError, match=r"valid_frame (is a link|has its numbers in another file)"):
        MpiInf3dhp(root, "test")


def test_wrong_downloads_are_refused(training: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    root, _ = training
    with pytest.raises(DatasetError, match="expected the split train or test, got 'val'"):
        MpiInf3dhp(root, "val")
    with pytest.raises(DatasetError, match=r"expected TS\*/annot_data.mat or .*found S2"):
        MpiInf3dhp(root, "test")
    monkeypatch.setitem(sys.modules, "h5py", None)
    (root / "TS1").mkdir()
    (root / "TS1" / "annot_data.mat").write_bytes(b"HDF")
    with pytest.raises(DatasetError, match=r"needs h5py: pip install"):
        MpiInf3dhp(root, "test")
    (root / "S2" / "Seq1" / "camera.calibration").unlink()
    with pytest.raises(DatasetError, match=r"expected camera.calibration, found"):
        MpiInf3dhp(root, "train")[0]
    shutil.rmtree(root / "S2" / "Seq1" / "imageFrames")
    with pytest.raises(DatasetError, match="expected frames extracted as"):
        MpiInf3dhp(root, "train")
