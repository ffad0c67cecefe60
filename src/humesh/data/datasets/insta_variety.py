"""InstaVariety: short videos with OpenPose's keypoints as labels, in TFRecords (Kanazawa et al., CVPR 2019).

The owner's description (doc/tfrecord.md of human_dynamics) and writer: a record is a `tf.train.Example` of one video;
`image/encoded` are N JPEGs, already cropped around the person; per frame `image/xys` has 14 x, then 14 y, px in that
JPEG; `image/visibilities` 14 flags; `image/face_pts` 5 x, 5 y, 5 flags. Toes are there too, but description and writer
differ in their order, so they are not read.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from humesh.body.joints import LSP14_FACE
from humesh.data.datasets.labels import box_of, person_2d, usable
from humesh.data.datasets.reader import DatasetError, Entry, Files, PhotoDataset, loaded, runs, stored_photo
from humesh.data.sample import Sample


class InstaVariety(PhotoDataset):
    """`{split}/*.tfrecord` below root, a video a record; cameras are guessed for the cropped frames.

    Frames in which nothing was found, or too little of the body for a box, are left out of clips.
    """

    name, splits = "InstaVariety", ("train", "test")
    page = "https://github.com/akanazawa/human_dynamics/blob/master/doc/insta_variety.md"
    parts = (
        Files("train/*.tfrecord|*/train/*.tfrecord", 1, "pre-processed tfrecords"),
        Files("test/*.tfrecord|*/test/*.tfrecord", 1, "pre-processed tfrecords", needed=False),
    )

    def __init__(self, root: str | Path, split: str) -> None:
        super().__init__(root, split)
        rows, points, video = list[tuple[Path, int, int, int]](), list[np.ndarray](), -1
        for path in self.files(f"{split}/*.tfrecord", f"*/{split}/*.tfrecord"):
            for offset, labels in loaded(path, lambda file: list(_videos(file)), "InstaVariety's TFRecord"):
                known = np.flatnonzero([usable(box_of(frame)) for frame in labels])
                video += bool(len(known))
                rows += [(path, offset, frame, video) for frame in known.tolist()]
                points.append(labels[known])
        if not rows:
            raise DatasetError(f"{root}: expected videos in {split}/*.tfrecord, found none; fetch them anew.")
        self.rows, self._points = rows, np.concatenate(points)
        self.tracks = runs([(video, frame) for _, _, frame, video in rows])

    def __getitem__(self, index: int) -> Sample:
        path, offset, frame, video = self.rows[index]
        encoded = loaded(path, lambda file: _jpegs(file, offset)[frame], "a JPEG of a frame")
        photo = stored_photo(io.BytesIO(encoded), name=f"{path}, frame {frame} at byte {offset}")
        points, sequence = self._points[index], f"{path.stem}/{offset}"
        person = person_2d(box_of(points), points, LSP14_FACE, video, size=photo.size)
        return Sample(photo, (person,), f"{sequence}/{frame}", sequence, frame)


def _videos(path: Path) -> Iterator[tuple[int, np.ndarray]]:
    """Of every video where its record starts, and points N 19 3 as x, y px and weight."""
    for offset, record in records(np.memmap(path, np.uint8, "r").data):
        values = features(record, ("meta/N", "image/xys", "image/visibilities", "image/face_pts"))
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
        record = memoryview(stream.read(int.from_bytes(stream.read(8), "little") + 4))[4:]
    return features(record, ("image/encoded",))["image/encoded"]


def records(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The records of a TFRecord file, each with its offset.

    A record is its length (8 bytes, little endian), a checksum (4), the content, a checksum (4).
    """
    offset = 0
    while offset < len(data):
        end = offset + 12 + int.from_bytes(data[offset : offset + 8], "little")
        if end + 4 > len(data):
            raise ValueError(f"the record at byte {offset} is cut short")
        yield offset, data[offset + 12 : end]
        offset = end + 4


def features(example: memoryview, wanted: Collection[str]) -> dict[str, list]:
    """The values of some features of a `tf.train.Example`; ValueError names missing ones.

    Protocol buffers: Example.features = 1, Features.feature = 1 (a map: key 1, value 2), Feature.bytes_list = 1,
    float_list = 2, int64_list = 3, of each the values = 1; numbers are packed or single.
    """
    found: dict[str, list] = {}
    for entry in (entry for _, entries in _message(example) for _, entry in _message(entries)):
        parts = dict(_message(entry))
        key = bytes(parts[1]).decode()
        if key in wanted and 2 in parts:
            found[key] = [
                v for kind, values in _message(parts[2]) for _, v in _message(values) for v in _plain(kind, v)
            ]
    if missing := [key for key in wanted if key not in found]:
        raise ValueError(f"the record has no {', '.join(missing)}")
    return found


def _plain(kind: int, value: Any) -> Iterator[bytes | float | int]:
    """The values of a field of a bytes list (1), a list of floats (2) or of integers (3)."""
    if kind == 1:
        yield bytes(value)
    elif kind == 2:
        yield from np.frombuffer(value, "<f4").tolist()
    else:
        at, numbers = 0, [value] if isinstance(value, int) else []
        while not isinstance(value, int) and at < len(value):
            number, at = _varint(value, at)
            numbers.append(number)
        yield from (number - (1 << 64) if number >> 63 else number for number in numbers)


def _message(data: memoryview) -> Iterator[tuple[int, Any]]:
    """The fields of a message by their numbers: integers, or the bytes of everything else."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        value, size = None, {1: 8, 5: 4}.get(kind, 0)
        if kind in (0, 2):
            value, at = _varint(data, at)
            size = value if kind == 2 else 0
        elif not size:
            raise ValueError(f"no protocol buffer at byte {at}")
        if at + size > len(data):
            raise ValueError(f"a field at byte {at} is cut short")
        yield tag >> 3, value if kind == 0 else data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A number of 7 bits a byte, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        value |= (data[at + shift // 7] & 127) << shift
        if data[at + shift // 7] < 128:
            return value, at + shift // 7 + 1
    raise ValueError(f"a number at byte {at} has no end")
