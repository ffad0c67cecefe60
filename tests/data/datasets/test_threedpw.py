"""3DPW: pickles of Python 2's kind, the world's frame, two people, one not always valid."""

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from humesh.body.joints import JOTR30, OPENPOSE18, SMPL24
from humesh.body.model import BodyModel
from humesh.crops.crops import CropSpec
from humesh.data.batch import Groups
from humesh.data.datasets.reader import DatasetError
from humesh.data.datasets.smpl_fits import ThreeDPW
from humesh.geometry.boxes import affine_apply
from humesh.geometry.camera import Camera


class _Python2(pickle._Pickler):  # type: ignore[name-defined]
    """Pickles as Python 2 did, in which 3DPW was made: its byte strings, an array's bytes among them, are str here."""

    dispatch = pickle._Pickler.dispatch.copy()  # type: ignore[attr-defined]

    def save_string(self, value: bytes | str) -> None:
        raw = value.encode("latin1") if isinstance(value, str) else value
        self.write(pickle.BINSTRING + len(raw).to_bytes(4, "little") + raw)

    dispatch[bytes] = dispatch[str] = save_string


def python2(content: Any) -> bytes:
    stream = io.BytesIO()
    _Python2(stream, protocol=2).dump(content)
    assert b"_codecs" not in stream.getvalue()
    return stream.getvalue()


@pytest.fixture
def download(tmp_path: Path, figures: Callable[..., list[Any]], write_photo: Any, matrix: np.ndarray) -> Any:
    """Four frames; in the second nobody is valid, in the third the second person is not."""
    people = [figures(2, seed=frame) for frame in range(4)]
    valid = np.array([[1, 0, 1, 1], [1, 0, 0, 1]])
    detected = np.random.default_rng(0).uniform(1, 99, (2, 4, 3, 18))
    detected[:, :, 2] = 0.7
    detected[1, 3] = 0  # fewer than six joints were found

    def over_frames(key: str) -> list[np.ndarray]:
        return [np.stack([getattr(frame[i], key).ravel() for frame in people]) for i in range(2)]

    content = {
        "sequence": "walk_00",
        "betas": [np.concatenate([people[0][i].betas, np.zeros(290)]) for i in range(2)],  # 300 of them
        "poses": over_frames("vectors"),
        "trans": over_frames("translation"),
        "jointPositions": over_frames("world"),
        "genders": ["m", "f"],
        "poses2d": list(detected),
        "cam_poses": np.stack([frame[0].extrinsics for frame in people]),
        "campose_valid": list(valid.astype(bool)),
        "cam_intrinsics": matrix,
        "img_frame_ids": np.arange(4),
        "texture_maps": [],
        "v_template_clothed": [np.zeros((6, 3))] * 2,
    }
    for split in ("train", "validation", "test"):
        folder = tmp_path / "sequenceFiles" / split
        folder.mkdir(parents=True)
        (folder / "walk_00.pkl").write_bytes(python2(content))
    for frame in range(4):
        write_photo(tmp_path / "imageFiles" / "walk_00" / f"image_{frame:05d}.jpg")
    return tmp_path, people, detected


def test_the_truth_comes_back(download: Any, open_body: BodyModel) -> None:
    root, people, detected = download
    dataset = ThreeDPW(root, "validation", {"smpl-male": open_body})
    assert [dataset[i].frame for i in range(len(dataset))] == [0, 2, 3]
    assert dataset.tracks == (range(1, 3),)
    assert [len(dataset[i].people) for i in range(3)] == [2, 1, 2]
    sample = dataset[2]
    assert (sample.sequence, sample.name) == ("walk_00", "walk_00/00003")
    for i, (person, true) in enumerate(zip(sample.people, people[3], strict=True)):
        assert person.joint_set == SMPL24
        assert person.body == ("smpl-male", "smpl-female")[i]
        assert np.allclose(person.points3d, true.points, atol=1e-5)
        assert np.allclose(person.points2d, true.pixels, atol=1e-3)
        projected = sample.photo.camera.project(person.points3d.double())
        assert np.allclose(projected, true.pixels, atol=1e-3)
        assert np.allclose(person.pose.rotations, true.pose.rotations, atol=1e-5)
        assert person.seen.keypoint_set == OPENPOSE18
        assert np.allclose(person.seen.keypoints, detected[i, 3].T)
        assert person.identity == dataset[0].people[i].identity
    assert dataset[0].people[0].identity != dataset[0].people[1].identity


def test_translations_are_exact_with_the_body_of_the_labels_and_weigh_nothing_without(
    download: Any, open_body: BodyModel
) -> None:
    root, people, _ = download
    first, second = ThreeDPW(root, "test", bodies={"smpl-male": open_body})[0].people
    assert (float(first.translation_weight), float(second.translation_weight)) == (1, 0)
    assert torch.allclose(first.pose.translation, people[0][0].pose.translation, atol=1e-5)
    assert torch.allclose(open_body.joints(first.pose), first.points3d, atol=1e-5)


def test_samples_become_training_groups(download: Any, open_body: BodyModel) -> None:
    spec = CropSpec(size=(64, 64), group="frames", count=2, keypoints=JOTR30)
    dataset = ThreeDPW(download[0], "test", bodies={"smpl-male": open_body, "smpl-female": open_body})
    batch = Groups(spec, [dataset], open_body)[0]
    assert batch.crops.present.all()
    here = Camera(batch.crops.photo_camera.matrix).project(batch.targets.points3d)
    there = affine_apply(batch.crops.crop_from_photo, here)
    known = batch.targets.points2d_weight > 0
    assert int(known.sum()) == 2 * len(SMPL24)
    assert torch.allclose(there[known], batch.targets.points2d[known], atol=1e-2)


def test_wrong_downloads_are_refused(download: Any) -> None:
    root, _, _ = download
    with pytest.raises(DatasetError, match="expected the split train or validation or test, got 'val'"):
        ThreeDPW(root, "val")
    with pytest.raises(DatasetError, match=r"expected sequenceFiles/test/\*.pkl, found .*3DPW"):
        ThreeDPW(root / "imageFiles", "test")
    dataset = ThreeDPW(root, "test")
    (root / "imageFiles" / "walk_00" / "image_00000.jpg").unlink()
    with pytest.raises(DatasetError, match=r"image_00000.jpg: expected an image"):
        dataset[0]
    path = root / "sequenceFiles" / "test" / "walk_00.pkl"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DatasetError, match=r"walk_00.pkl: expected a sequence of 3DPW, could not read it"):
        ThreeDPW(root, "test")
    path.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(DatasetError, match=r"refused, it names os.system"):
        ThreeDPW(root, "test")
    path.write_bytes(pickle.dumps({"poses": []}))
    with pytest.raises(DatasetError, match="it has no betas, trans"):
        ThreeDPW(root, "test")
