"""Penn Action: frames with points, in tracks, with boxes also where the owner gives none."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from humesh.body.joints import PENN13
from humesh.data.datasets.matlab_2d import PennAction
from humesh.data.datasets.reader import DatasetError
from humesh.data.drawn import DrawnPeople

POINTS = np.random.default_rng(2).uniform(10, 100, (5, 13, 2))


def write(root: Path, video: str, train: int, seen: np.ndarray, boxes: int) -> None:
    """A video of 5 frames in Matlab's pixels; points out of sight are at (1, 1)."""
    (root / "labels").mkdir(parents=True, exist_ok=True)
    x, y = (np.where(seen > 0, POINTS[..., i] + 0.5, 1.0) for i in (0, 1))
    box = np.tile([[10.5, 20.5, 90.5, 100.5]], (boxes, 1))
    savemat(root / f"labels/{video}.mat", {
        "action": "bowl", "pose": "left", "x": x, "y": y, "visibility": seen, "train": train, "bbox": box,
        "dimensions": [[128, 160, 5]], "nframes": 5,
    })  # fmt: skip
    for frame in range(5):
        path = root / f"frames/{video}/{frame + 1:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(DrawnPeople(1)[0].photo.pixels).save(path)


def test_frames_points_and_tracks(tmp_path: Path) -> None:
    seen = np.ones((5, 13), dtype=np.uint8)
    seen[1, PENN13.index("left_knee")] = 0
    seen[3] = 0  # nothing can be seen: the clip falls into two parts
    write(tmp_path, "0001", 1, seen, boxes=2)
    write(tmp_path, "0002", -1, np.ones((5, 13), dtype=np.uint8), boxes=5)
    dataset = PennAction(tmp_path, "train")
    assert len(dataset) == 4
    assert dataset.tracks == (range(3),)
    sample = dataset[1]
    (person,) = sample.people
    assert (sample.sequence, sample.frame) == ("0001", 2)
    known = seen[1] > 0
    assert person.points2d_weight.tolist() == known.tolist()
    torch.testing.assert_close(person.points2d[known].double(), torch.from_numpy(POINTS[1][known]), rtol=0, atol=1e-4)
    np.testing.assert_allclose(person.seen.box, [10, 20, 90, 100])
    box = dataset[2].people[0].seen.box  # has no box of its own
    assert (box[:2] < POINTS[2].min(0)).all()
    assert (box[2:] > POINTS[2].max(0)).all()
    assert len(PennAction(tmp_path, "test")) == 5
    assert len(PennAction(tmp_path, "all").tracks) == 2


def test_what_is_wrong_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"expected labels/\*.mat"):
        PennAction(tmp_path, "train")
    write(tmp_path, "0001", 1, np.ones((5, 13), dtype=np.uint8), boxes=5)
    with pytest.raises(DatasetError, match="videos of the split 'test', found none"):
        PennAction(tmp_path, "test")
    savemat(
        tmp_path / "labels/0001.mat", {"x": np.ones((5, 12)), "y": np.ones((5, 13)), "visibility": np.ones((5, 13))}
    )
    with pytest.raises(DatasetError, match=r"expected x, y, visibility of F x 13, got \(5, 12\)"):
        PennAction(tmp_path, "train")
