"""InstaVariety: short videos with OpenPose's keypoints as labels, in TFRecords (Kanazawa et al., CVPR 2019).

The owner's description (doc/tfrecord.md of human_dynamics) and writer: a record is a `tf.train.Example` of one video;
`image/encoded` are N JPEGs, already cropped around the person; per frame `image/xys` has 14 x, then 14 y, px in that
JPEG; `image/visibilities` 14 flags; `image/face_pts` 5 x, 5 y, 5 flags. Toes are there too, but description and writer
differ in their order, so they are not read.
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
from humesh.data.datasets.entries import Entry
from humesh.data.datasets.labels import box_of, person_2d, usable
from humesh.data.datasets.reader import Download, Files, PhotoDataset, loaded, runs, stored_photo
from humesh.data.sample import Sample

_Bytes = bytes | mmap.mmap


class InstaVariety(PhotoDataset):
    """`{split}/*.tfrecord` below root, a video a record; cameras are guessed for the cropped frames.

    Frames in which nothing was found, or too little of the body for a box, are left out of clips.
    """

    name, splits = "InstaVariety", ("train", "test")
    download = Download(
        page="https://github.com/akanazawa/human_dynamics/blob/master/doc/insta_variety.md",
        files=(
            Files("train/*.tfrecord|*/train/*.tfrecord", 1, "pre-processed tfrecords"),
            Files("test/*.tfrecord|*/test/*.tfrecord", 1, "pre-processed tfrecords", needed=False),
        ),
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


def records(data: _Bytes) -> Iterator[tuple[int, int, int]]:
    """(offset, start, end) of the records of a TFRecord file; start and end are those of the record's content.

    A record is its length (8 bytes, little endian), a checksum (4), the content, a checksum (4).
    """
    offset = 0
    while offset < len(data):
        end = offset + 12 + int.from_bytes(data[offset : offset + 8], "little")
        if end + 4 > len(data):
            raise ValueError(f"the record at byte {offset} is cut short")
        yield offset, offset + 12, end
        offset = end + 4


def features(data: _Bytes, start: int, end: int, wanted: tuple[str, ...]) -> dict[str, list]:
    """The values of some features of a `tf.train.Example` between two places; ValueError names missing ones.

    Protocol buffers: Example.features = 1, Features.feature = 1 (a map: key 1, value 2), Feature.bytes_list = 1,
    float_list = 2, int64_list = 3, of each the values = 1; numbers are packed or single.
    """
    found: dict[str, list] = {}
    for _, _, first, last in _fields(data, start, end):
        for _, _, entry, entry_end in _fields(data, first, last):
            parts = {number: (a, b) for number, _, a, b in _fields(data, entry, entry_end)}
            key = bytes(data[slice(*parts[1])]).decode()
            if key in wanted and 2 in parts:
                found[key] = [v for kind, _, a, b in _fields(data, *parts[2]) for v in _values(data, kind, a, b)]
    if missing := [key for key in wanted if key not in found]:
        raise ValueError(f"the record has no {', '.join(missing)}")
    return found


def _values(data: _Bytes, kind: int, start: int, end: int) -> Iterator[bytes | float | int]:
    for _, _, a, b in _fields(data, start, end):
        if kind == 1:
            yield bytes(data[a:b])
        elif kind == 2:
            yield from np.frombuffer(data[a:b], "<f4").tolist()
        else:  # packed integers fill the field, a single one is the field
            while a < b:
                value, a = _varint(data, a)
                yield value - (1 << 64) if value >> 63 else value


def _fields(data: _Bytes, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """(number, wire type, start, end) of the fields of a message."""
    while at < end:
        tag, at = _varint(data, at)
        wire = tag & 7
        if wire == 2:
            size, at = _varint(data, at)
        elif wire == 0:
            size = _varint(data, at)[1] - at
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"no protocol buffer at byte {at}")
        if at + size > end:
            raise ValueError(f"a field at byte {at} is cut short")
        yield tag >> 3, wire, at, at + size
        at += size


def _varint(data: _Bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if shift > 63:
            raise ValueError(f"a number at byte {at} has no end")
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
