"""EFT, NeuralAnnot and CLIFF as side files: the right person gets the right body, in the photo's camera."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from humesh.data import Reader
from humesh.data.datasets.labels import person_2d
from humesh.data.datasets.reader import DatasetError
from humesh.data.drawn import DrawnPeople
from humesh.data.sample import Sample
from humesh.data.views import turned_towards, with_fits
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_from_axis_angle
from humesh.media.photo import Photo

VECTORS = 0.3 * np.random.default_rng(5).standard_normal((2, 24, 3))
TURNS = rotation_from_axis_angle(torch.from_numpy(VECTORS)).float()
SHAPES = np.random.default_rng(6).standard_normal((2, 10))
MIDDLES = np.array([[40.0, 60.0], [120.0, 50.0]])
NAME = "000000000009.jpg"


class Labelled2D:
    """The drawn photos, as COCO has them: people 41 and 52 with boxes of 40 x 80 px about MIDDLES, no bodies."""

    tracks: tuple[range, ...] = ()
    annotation_ids = True

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Sample:
        sample = DrawnPeople(1)[0]
        points = np.ones((30, 3))
        people = tuple(
            person_2d(np.array([x - 20, y - 40, x + 20, y + 40]), points, sample.people[0].joint_set, identity)
            for (x, y), identity in zip(MIDDLES, (41, 52), strict=True)
        )
        return replace(sample, people=people, name=NAME, photo=Photo.of(sample.photo.pixels))


def eft(path: Path, ids: tuple[object, object] = (52, 41), photo: str = "COCO_train2014_000000000009.jpg") -> Path:
    """Rows in another order than the people: the first is of person 52."""
    rows = [
        {
            "parm_pose": TURNS[i].tolist(), "parm_shape": SHAPES[i].tolist(), "parm_cam": [1, 0, 0], "annotId": ids[i],
            "bbox_scale": 0.4, "bbox_center": (MIDDLES[1 - i] + 3).tolist(), "imageName": photo, "smpltype": "smpl",
        }
        for i in (0, 1)
    ]  # fmt: skip
    path.write_text(json.dumps({"ver": 1.0, "data": rows}))
    return path


def neuralannot(path: Path) -> Path:
    fits = {
        str(identity): {
            "smpl_param": {"pose": VECTORS[i].ravel().tolist(), "shape": SHAPES[i].tolist(), "trans": [0, 0, 30.0]},
            "cam_param": {"focal": [5000, 5000], "princpt": MIDDLES[1 - i].tolist()},
        }
        for i, identity in enumerate((52, 41))
    }
    path.write_text(json.dumps(fits))
    return path


def cliff(path: Path, focal: float = float(np.hypot(160, 128))) -> Path:
    np.savez(
        path, imgname=np.array(["train2014/COCO_train2014_000000000009.jpg"] * 2), center=MIDDLES[::-1] + 2,
        scale=np.full(2, 0.5), part=np.zeros((2, 24, 3)), pose=VECTORS.reshape(2, 72), shape=SHAPES,
        global_t=np.array([[0.2, 0.1, 3.0], [0.4, 0.5, 6.0]]), focal_l=np.full(2, focal),
    )  # fmt: skip
    return path


@pytest.mark.parametrize("write", [eft, neuralannot])
def test_crops_fits_are_turned_to_where_the_person_stands(write: Callable[[Path], Path], tmp_path: Path) -> None:
    sample = with_fits(Labelled2D(), write(tmp_path / "fits.json"))[0]
    for person, middle, row in zip(sample.people, MIDDLES, (1, 0), strict=True):
        torch.testing.assert_close(person.pose.rotations[1:], TURNS[row, 1:], rtol=0, atol=1e-5)
        torch.testing.assert_close(person.pose.shape, torch.from_numpy(SHAPES[row]).float())
        turn = person.pose.rotations[0] @ TURNS[row, 0].T
        away = turn[:, 2] / turn[2, 2]  # the optical axis, turned, meets the photo in the middle of the box
        pixel = sample.photo.camera.project(away[None].double())[0]
        np.testing.assert_allclose(pixel.numpy(), middle, atol=1e-2)
        assert torch.linalg.det(turn).allclose(torch.ones(()))
        assert (person.pose_weight == 1).all()
        assert person.shape_weight == 1
        assert person.translation_weight == 0
        assert person.body == "smpl-neutral"


def test_cliffs_fits_stand_in_the_photo(tmp_path: Path) -> None:
    sample = with_fits(Labelled2D(), [cliff(tmp_path / "cliff.npz")])[0]
    torch.testing.assert_close(sample.people[0].pose.rotations, TURNS[1], rtol=0, atol=1e-5)
    assert sample.people[0].pose.translation.numpy() == pytest.approx([0.4, 0.5, 6.0])
    assert sample.people[0].translation_weight == 1
    assert sample.photo.camera.focal_px == pytest.approx(math.hypot(*sample.photo.size))  # CLIFF's own guess
    other = with_fits(Labelled2D(), cliff(tmp_path / "cliff.npz", focal=1000.0))[0]  # of a photo of another size
    assert other.people[0].translation_weight == 0


def test_fits_of_others_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = with_fits(Labelled2D(), eft(tmp_path / "a.json", photo="COCO_train2014_000000000010.jpg"))[0]
    assert not any(person.pose_weight.any() for person in elsewhere.people)
    # Ids of another dataset's: the nearest fit of the photo is taken.
    near = with_fits(Labelled2D(), eft(tmp_path / "b.json", ids=("x_1", "")))[0]
    torch.testing.assert_close(near.people[0].pose.shape, torch.from_numpy(SHAPES[1]).float())
    # Somebody without a fit of their own does not get their neighbour's.
    rows = json.loads(eft(tmp_path / "d.json").read_text())["data"]
    (tmp_path / "one.json").write_text(json.dumps({"data": rows[:1]}))
    monkeypatch.setitem(globals(), "MIDDLES", MIDDLES[1] + np.array([[-6.0, 0.0], [0.0, 0.0]]))
    close = with_fits(Labelled2D(), tmp_path / "one.json")[0]
    assert [bool(person.pose_weight.any()) for person in close.people] == [False, True]
    own = DrawnPeople(1)
    assert with_fits(own, eft(tmp_path / "c.json"))[0].people[0].body == "open"


def test_turning_in_place_is_nothing() -> None:
    camera = Camera.guess((100, 80))
    torch.testing.assert_close(turned_towards(torch.tensor([50.0, 40.0]), camera), torch.eye(3))


def test_what_is_wrong_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DatasetError, match=r"fits of EFT, NeuralAnnot .* found nothing \(no such file"):
        with_fits(Labelled2D(), tmp_path / "none.json")
    (tmp_path / "bad.json").write_text('{"data": [{"parm_shape": 1}]}')
    with pytest.raises(DatasetError, match=r"bad.json, data\[0\]: expected an entry 'parm_pose', got"):
        with_fits(Labelled2D(), tmp_path / "bad.json")
    # NeuralAnnot's fits are known by annotation id alone: elsewhere they would be given to anybody.
    with pytest.raises(DatasetError, match="expected fits for a dataset whose people have annotation ids"):
        with_fits(DrawnPeople(1), neuralannot(tmp_path / "n.json"))
    # Any reader takes them as an option.
    monkeypatch.setattr("humesh.data.datasets.matlab_2d.Lsp", Labelled2D)
    dataset = Reader("matlab_2d.Lsp")(pseudo=str(neuralannot(tmp_path / "n.json")))
    assert dataset[0].people[0].shape_weight == 1
