"""InstaVariety: TFRecords written by hand here are read back; cut ones are refused."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from humesh.body.joints import LSP14_FACE
from humesh.data.datasets.insta_variety import InstaVariety, features, records
from humesh.data.datasets.reader import DatasetError
from humesh.data.drawn import DrawnPeople

Value = list[bytes] | list[float] | list[int]


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def example(values: dict[str, Value], packed: bool = True) -> bytes:
    """A `tf.train.Example`; TensorFlow packs numbers, others need not."""
    entries = b""
    for key, value in values.items():
        if value and isinstance(value[0], bytes):
            kind, content = 1, b"".join(field(1, item) for item in value)  # type: ignore[arg-type]
        elif value and isinstance(value[0], float):
            numbers = [struct.pack("<f", item) for item in value]  # type: ignore[arg-type]
            kind = 2
            content = field(1, b"".join(numbers)) if packed else b"".join(varint(1 << 3 | 5) + n for n in numbers)
        else:
            numbers = [varint(item) for item in value]  # type: ignore[arg-type]
            kind = 3
            content = field(1, b"".join(numbers)) if packed else b"".join(varint(1 << 3) + n for n in numbers)
        entries += field(1, field(1, key.encode()) + field(2, field(kind, content)))
    return field(1, entries)


def record(content: bytes) -> bytes:
    return struct.pack("<Q", len(content)) + b"crc1" + content + b"crc2"


@given(
    st.lists(st.integers(-(2**63), 2**63 - 1)),
    st.lists(st.floats(width=32, allow_nan=False), min_size=1),
    st.lists(st.binary(max_size=300), min_size=1),
    st.booleans(),
)
def test_examples_are_read_back(ints: list[int], floats: list[float], texts: list[bytes], packed: bool) -> None:
    content = example({"a": ints, "unwanted": [1], "b": floats, "c/d": texts}, packed)
    data = b"".join(record(c) for c in (b"", content))
    found = list(records(memoryview(data)))
    assert [offset for offset, _ in found] == [0, 16]
    assert features(found[1][1], ("a", "b", "c/d")) == {"a": ints, "b": floats, "c/d": texts}


def write(root: Path) -> np.ndarray:
    """Two videos of three and two frames; in the first one's second frame nothing was found."""
    points = np.random.default_rng(3).uniform(5, 120, (5, 19, 2)).astype(np.float32)
    flags = np.ones((5, 19))
    flags[1] = 0
    flags[2, LSP14_FACE.index("nose")] = flags[2, LSP14_FACE.index("neck")] = 0
    data = b""
    for chosen in (range(3), range(3, 5)):
        jpegs = []
        for frame in chosen:
            stream = io.BytesIO()
            Image.fromarray(np.full((128, 128, 3), 40 * frame, np.uint8)).save(stream, "JPEG")
            jpegs.append(stream.getvalue())
        xys = [float(v) for f in chosen for axis in (0, 1) for v in points[f, :14, axis]]
        face = [v for f in chosen for row in (points[f, 14:, 0], points[f, 14:, 1], flags[f, 14:]) for v in row]
        values: dict[str, Value] = {
            "image/encoded": jpegs, "meta/N": [len(chosen)], "image/xys": xys,
            "image/visibilities": [int(v) for f in chosen for v in flags[f, :14]],
            "image/face_pts": [float(v) for v in face], "image/heightwidths": [128, 128],
        }  # fmt: skip
        data += record(example(values))
    (root / "train").mkdir(parents=True)
    (root / "train/instavariety_00_0000.tfrecord").write_bytes(data)
    return points


def test_videos_are_clips_of_one_person(tmp_path: Path) -> None:
    points = write(tmp_path)
    dataset = InstaVariety(tmp_path, "train")
    assert len(dataset) == 4
    assert dataset.tracks == (range(2, 4),)
    samples = [dataset[i] for i in range(4)]
    assert [round(float(s.photo.pixels.mean()) / 40) for s in samples] == [0, 2, 3, 4]
    assert [s.frame for s in samples] == [0, 2, 0, 1]
    assert [s.people[0].identity for s in samples] == [0, 0, 1, 1]
    torch.testing.assert_close(samples[3].people[0].points2d, torch.from_numpy(points[4]))
    missing = np.flatnonzero(samples[1].people[0].points2d_weight == 0)
    assert {LSP14_FACE.names[i] for i in missing} == {"nose", "neck"}


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    write(tmp_path)
    file = tmp_path / "train/instavariety_00_0000.tfrecord"
    whole = file.read_bytes()
    file.write_bytes(whole[:-30])
    with pytest.raises(DatasetError, match="cut short"):
        InstaVariety(tmp_path, "train")
    file.write_bytes(record(example({"meta/N": [2]})))
    with pytest.raises(DatasetError, match="the record has no image/xys"):
        InstaVariety(tmp_path, "train")
    file.write_bytes(DrawnPeople(1)[0].photo.pixels.tobytes())
    with pytest.raises(DatasetError, match="InstaVariety's TFRecord"):
        InstaVariety(tmp_path, "train")
