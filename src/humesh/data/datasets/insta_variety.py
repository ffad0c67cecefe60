"""InstaVariety: short videos with OpenPose's keypoints as labels, in TFRecords (Kanazawa et al., CVPR 2019).

The owner's description (doc/tfrecord.md of human_dynamics) and writer: a record is a `tf.train.Example` of one video;
`image/encoded` are N JPEGs, already cut around the person; per frame `image/xys` has 14 x, then 14 y, px in that JPEG;
`image/visibilities` 14 flags; `image/face_pts` 5 x, 5 y, 5 flags. Toes are there too, but description and writer differ
in their order, so they are not read.
"""

from __future__ import annotations

import io
import mmap
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np

from humesh.body.joints import LSP14_FACE
from humesh.data.datasets import DatasetError
from humesh.data.datasets.download import Download, Files
from humesh.data.datasets.entries import Entry
from humesh.data.datasets.labels import box_of, known_split, loaded, part, person_2d, runs, stored_photo, usable
from humesh.data.datasets.tfrecord import features, records
from humesh.data.sample import Sample

DOWNLOAD = Download(
    page="https://github.com/akanazawa/human_dynamics/blob/master/doc/insta_variety.md",
    files=(
        Files("train/*.tfrecord|*/train/*.tfrecord", 1, "pre-processed tfrecords"),
        Files("test/*.tfrecord|*/test/*.tfrecord", 1, "pre-processed tfrecords", needed=False),
    ),
)


class InstaVariety:
    """`{split}/*.tfrecord` below root, a video a record. Frames in which nothing was found, or too little of the body
    for a box, are left out of clips.

    The cameras are guessed for the cut frames, as nothing tells where in the video they were cut.
    """

    def __init__(self, root: str | Path, split: str) -> None:
        known_split("InstaVariety", split, ("train", "test"))
        files = part(Path(root), [f"{split}/*.tfrecord", f"*/{split}/*.tfrecord"], DOWNLOAD)
        frames, points = list[tuple[Path, int, int]](), list[np.ndarray]()
        for path in files:
            for offset, labels in loaded(path, lambda file: list(_videos(file)), "InstaVariety's TFRecord"):
                known = np.flatnonzero([usable(box_of(frame)) for frame in labels])
                frames += [(path, offset, int(frame)) for frame in known]
                points.append(labels[known])
        if not frames:
            raise DatasetError(f"{root}: expected videos in {split}/*.tfrecord, found none; fetch them anew.")
        self._frames, self._points = frames, np.concatenate(points)
        self.tracks = runs([(f"{path}/{offset}", frame) for path, offset, frame in frames])
        self._identity = {video: i for i, video in enumerate(dict.fromkeys(frame[:2] for frame in frames))}

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> Sample:
        path, offset, frame = self._frames[index]
        encoded = loaded(path, lambda file: _jpegs(file, offset)[frame], "a JPEG of a frame")
        photo = stored_photo(io.BytesIO(encoded), name=f"{path}, frame {frame} at byte {offset}")
        points, sequence = self._points[index], f"{path.stem}/{offset}"
        person = person_2d(box_of(points), points, LSP14_FACE, self._identity[path, offset], size=photo.size)
        return Sample(photo, (person,), f"{sequence}/{frame}", sequence, frame)


def _videos(path: Path) -> Iterator[tuple[int, np.ndarray]]:
    """(where its record starts, points N 19 3 as x, y px and weight) of every video of a file."""
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for offset, start, end in records(data):
            values = features(data, start, end, ("meta/N", "image/xys", "image/visibilities", "image/face_pts"))
            count = int(values["meta/N"][0])
            body = np.asarray(values["image/xys"]).reshape(count, 2, 14)
            flags = np.asarray(values["image/visibilities"], dtype=np.float64).reshape(count, 1, 14)
            face = np.asarray(values["image/face_pts"]).reshape(count, 3, 5)
            points = np.concatenate([np.concatenate([body, flags], axis=1), face], axis=2).transpose(0, 2, 1)
            points = Entry(points, path, f"the video at byte {offset}").numbers(count, 19, 3)
            yield offset, np.concatenate([points[..., :2], points[..., 2:] > 0], axis=-1).astype(np.float64)


@lru_cache(maxsize=4)
def _jpegs(path: Path, offset: int) -> list[bytes]:
    with path.open("rb") as stream:
        stream.seek(offset)
        data = stream.read(int.from_bytes(stream.read(8), "little") + 4)[4:]
    return features(data, 0, len(data), ("image/encoded",))["image/encoded"]
