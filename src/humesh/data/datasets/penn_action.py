"""Penn Action: videos of sports with 13 joints in every frame (Zhang et al., ICCV 2013)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.progress import track

from humesh.body.joints import PENN13
from humesh.data.datasets import DatasetError
from humesh.data.datasets.download import Download, Files
from humesh.data.datasets.labels import box_of, known_split, loaded, part, person_2d, runs, stored_photo, usable
from humesh.data.datasets.matlab import read_matlab
from humesh.data.sample import Sample

DOWNLOAD = Download(
    page="https://dreamdragon.github.io/PennAction/",
    files=(
        Files("labels/*.mat", 2_326, "Penn_Action.tar.gz"),
        Files("frames/*", 2_326, "Penn_Action.tar.gz"),
        Files("frames/*/000001.jpg", 2_326, "Penn_Action.tar.gz"),
    ),
)


class PennAction:
    """`labels/0001.mat` and `frames/0001/000001.jpg` below root; split "train", "test" or "all".

    x, y and visibility are F x 13, bbox F x 4 (x0 y0 x1 y1), all in Matlab's pixels, whose centres count from 1. A
    point that is not visible has no place; frames without any point are left out. Some videos have boxes for fewer
    frames than they have: then the box is that of the points.
    """

    def __init__(self, root: str | Path, split: str) -> None:
        self.root = Path(root)
        splits = {"train": (1,), "test": (-1, 0), "all": (-1, 0, 1)}
        known_split("Penn Action", split, splits)
        points, boxes, self._frames = [], [], list[tuple[str, int]]()
        for path in track(part(self.root, ["labels/*.mat"], DOWNLOAD), "Penn Action", transient=True):
            training, here, around = _video(path)
            if training in splits[split]:
                known = np.flatnonzero(
                    [frame[:, 2].any() and usable(box) for frame, box in zip(here, around, strict=True)]
                )
                points.append(here[known])
                boxes.append(around[known])
                self._frames += [(path.stem, int(frame) + 1) for frame in known]
        if not self._frames:
            raise DatasetError(f"{self.root / 'labels'}: expected videos of the split {split!r}, found none.")
        self._points, self._boxes = np.concatenate(points), np.concatenate(boxes)
        self.tracks = runs(self._frames)

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> Sample:
        video, frame = self._frames[index]
        name = f"frames/{video}/{frame:06d}.jpg"
        person = person_2d(self._boxes[index], self._points[index], PENN13, int(video) if video.isdecimal() else 0)
        return Sample(stored_photo(self.root / name), (person,), name, video, frame)


def _video(path: Path) -> tuple[int, np.ndarray, np.ndarray]:
    """Whether it is for training (1 or -1), points F 13 3 and boxes F 4 of a video."""
    labels = loaded(path, read_matlab, "Penn Action's labels of a video")
    shapes = [np.shape(labels[name].value) for name in ("x", "y", "visibility")]
    if len(set(shapes)) > 1 or shapes[0][1:] != (len(PENN13),):
        raise DatasetError(f"{path}: expected x, y, visibility of F x 13, got {', '.join(map(str, shapes))}.")
    x, y, seen = (labels[name].numbers(-1, len(PENN13)) for name in ("x", "y", "visibility"))
    points = np.stack([x - 0.5, y - 0.5, (seen > 0).astype(np.float64)], axis=-1)
    boxed = labels.get("bbox")
    given = np.zeros((0, 4)) if boxed is None else boxed.numbers(-1, 4, most=1e5, nan=True) - 0.5
    boxes = [
        given[i] if i < len(given) and (given[i, 2:] > given[i, :2]).all() else box_of(frame)
        for i, frame in enumerate(points)
    ]
    return labels["train"].integer(-1, 1), points, np.array(boxes).reshape(-1, 4)
