"""MPII and the two Leeds sets: Matlab files with their owners' quirks give the points back."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from humesh.body.joints import LSP14, MPII16
from humesh.data.datasets.matlab_2d import Lsp, Lspet, Mpii
from humesh.data.datasets.reader import DatasetError
from humesh.data.drawn import DrawnPeople

RNG = np.random.default_rng(1)
POINTS = RNG.uniform(10, 100, (4, 16, 2))  # px from the photo's corner
EMPTY = np.zeros((0, 0))


def pictures(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True)
    for name in names:
        Image.fromarray(DrawnPeople(1)[0].photo.pixels).save(folder / name)


def structs(*entries: dict[str, Any]) -> np.ndarray:
    """A Matlab struct array; fields that an entry lacks are empty in it, as Matlab has them."""
    fields = list(dict.fromkeys(key for entry in entries for key in entry))
    array = np.empty((1, len(entries)), dtype=[(field, object) for field in fields])
    for i, entry in enumerate(entries):
        array[0, i] = tuple(entry.get(field, EMPTY) for field in fields)
    return array


def mpii_person(points: np.ndarray, joints: list[int], hidden: int) -> dict[str, Any]:
    """Matlab's pixels; flags are numbers or letters, and those of the head's points empty."""
    labels = []
    for i, joint in enumerate(joints):
        flag: Any = EMPTY if joint in (8, 9) else ("1" if i % 2 else 1) if joint != hidden else ("0" if i % 2 else 0)
        labels.append({"x": points[joint, 0] + 0.5, "y": points[joint, 1] + 0.5, "id": joint, "is_visible": flag})
    place = structs({"x": 60.5, "y": 50.5})
    return {"x1": 1, "annopoints": structs({"point": structs(*labels)}), "scale": 0.4, "objpos": place}


def write_mpii(root: Path) -> None:
    people = [mpii_person(POINTS[0], list(range(16)), 0), mpii_person(POINTS[1], [3, 8, 9], 3)]
    photos = structs(
        {"image": structs({"name": "000000001.jpg"}), "annorect": structs(*people, {"x1": 3})},
        {"image": structs({"name": "000000002.jpg"}), "annorect": EMPTY},
        {"image": structs({"name": "000000003.jpg"}), "annorect": structs({"scale": 1.0, "objpos": EMPTY})},
        {"image": structs({"name": "000000004.jpg"}), "annorect": structs(people[0])},
        {"image": structs({"name": "000000005.jpg"}), "annorect": structs({**people[1], "scale": EMPTY})},
    )
    release = structs({"annolist": photos, "img_train": np.array([[1, 1, 1, 0, 1]]), "version": "12"})
    savemat(root / "mpii_human_pose_v1_u12_1.mat", {"RELEASE": release})
    pictures(root / "images", [f"00000000{i}.jpg" for i in (1, 2, 3, 4, 5)])


def test_mpii_reads_training_people_who_have_points(tmp_path: Path) -> None:
    write_mpii(tmp_path)
    dataset = Mpii(tmp_path, "train")
    assert [dataset[i].name for i in range(len(dataset))] == ["000000001.jpg", "000000005.jpg"]
    whole, partly = dataset[0].people
    torch.testing.assert_close(whole.points2d.double(), torch.from_numpy(POINTS[0]), rtol=0, atol=1e-4)
    assert whole.visible.tolist() == [0] + [1] * 15
    np.testing.assert_allclose(whole.seen.box, [20, 10, 100, 90])
    assert np.flatnonzero(partly.points2d_weight).tolist() == [3, 8, 9]
    assert np.flatnonzero(partly.visible).tolist() == [8, 9]
    assert partly.joint_set == MPII16
    (alone,) = dataset[1].people  # without scale: the box is around the points
    assert alone.seen.box[0] < POINTS[1, [3, 8, 9], 0].min() < POINTS[1, [3, 8, 9], 0].max() < alone.seen.box[2]
    assert len({whole.identity, partly.identity, alone.identity}) == 3


def test_mpii_tells_a_foreign_file(tmp_path: Path) -> None:
    write_mpii(tmp_path)
    savemat(tmp_path / "mpii_human_pose_v1_u12_1.mat", {"other": 1})
    with pytest.raises(DatasetError, match=r"u12_1.mat: expected an entry 'RELEASE', got a table of other"):
        Mpii(tmp_path, "train")
    (tmp_path / "mpii_human_pose_v1_u12_1.mat").write_bytes(b"x" * 500)
    with pytest.raises(DatasetError, match="could not read it"):
        Mpii(tmp_path, "train")


def write_lsp(root: Path) -> np.ndarray:
    """3 x 14 x N, Matlab's pixels, flag 1: hidden."""
    hidden = np.zeros((4, 14, 1))
    hidden[3, LSP14.index("left_wrist")] = 1
    root.mkdir(parents=True, exist_ok=True)
    joints = np.concatenate([POINTS[:, :14] + 0.5, hidden], axis=-1)
    savemat(root / "joints.mat", {"joints": joints.transpose(2, 1, 0)})
    pictures(root / "images", [f"im{i + 1:04d}.jpg" for i in range(4)])
    return POINTS[:, :14]


def test_lsp_labels_hidden_points_too(tmp_path: Path) -> None:
    points = write_lsp(tmp_path)
    assert len(Lsp(tmp_path, "train")) == len(Lsp(tmp_path, "test")) == 2
    sample = Lsp(tmp_path, "test")[1]
    (person,) = sample.people
    assert sample.name == "im0004.jpg"
    torch.testing.assert_close(person.points2d.double(), torch.from_numpy(points[3]), rtol=0, atol=1e-4)
    assert person.points2d_weight.all()
    assert np.flatnonzero(person.visible == 0).tolist() == [LSP14.index("left_wrist")]


def test_lspet_leaves_out_points_without_flag(tmp_path: Path) -> None:
    known = np.ones((4, 14, 1))
    known[2, LSP14.index("neck")] = known[1] = 0  # nobody in the second photo
    joints = np.concatenate([(POINTS[:, :14] + 0.5) * known, known], axis=-1)
    savemat(tmp_path / "joints.mat", {"joints": joints.transpose(1, 2, 0)})
    pictures(tmp_path / "images", [f"im{i + 1:05d}.jpg" for i in range(4)])
    dataset = Lspet(tmp_path, "train")
    assert [dataset[i].name for i in range(len(dataset))] == ["im00001.jpg", "im00003.jpg", "im00004.jpg"]
    (person,) = dataset[1].people
    assert np.flatnonzero(person.points2d_weight == 0).tolist() == [LSP14.index("neck")]
    ankle = LSP14.index("right_ankle")
    torch.testing.assert_close(person.points2d[ankle].double(), torch.from_numpy(POINTS[2, ankle]), rtol=0, atol=1e-4)


def test_leeds_sets_are_not_taken_for_each_other(tmp_path: Path) -> None:
    write_lsp(tmp_path)
    with pytest.raises(DatasetError, match=r"expected joints of 14 x 3 x N, got \(3, 14, 4\); is it LSP's"):
        Lspet(tmp_path, "train")
    with pytest.raises(DatasetError, match="expected the split train or test or all"):
        Lsp(tmp_path, "val")
    (tmp_path / "images/im0002.jpg").unlink()
    with pytest.raises(DatasetError, match=r"expected 4 photos, as many as joints\.mat has, found 3"):
        Lsp(tmp_path, "train")
