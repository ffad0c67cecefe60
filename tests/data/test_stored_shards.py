"""Damaged folders of shards end in one sentence, whichever file and whatever in it is wrong."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from humesh.data.synthetic.shards import Plan, ShardedPeople, ShardError, write_shards
from humesh.data.synthetic.stored import seen_arrays


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photos of one person each, and what a finder may have seen in them."""
    folder = tmp_path_factory.mktemp("shards")
    np.savez(folder / "poses.npz", poses=np.random.default_rng(0).normal(0, 0.15, (50, 24, 3)))
    out = folder / "out"
    list(write_shards(out, Plan((str(folder / "poses.npz"),), 2, (1, 1), 48, 1)))
    labels = ShardedPeople(out).shards[0].arrays
    np.savez(
        out / "seen-00000.npz", scene=np.arange(2), keypoints=np.ones((2, 33, 3)), score=np.ones(2),
        landmarks=np.zeros((2, 33, 3)), size=np.full((2, 2), 48),
        **{name: labels[name] for name in ("identity", "rotations", "shape", "translation", "visible", "camera")},
    )  # fmt: skip
    return out


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    shutil.copytree(whole, tmp_path / "s")
    return tmp_path / "s"


def read(folder: Path) -> None:
    people = ShardedPeople(folder)
    for number in range(len(people)):
        people[number]
    seen_arrays(folder)


def test_a_whole_folder_is_read(folder: Path) -> None:
    read(folder)


@pytest.mark.parametrize(
    "text", ["{}", "[]", "3", "{", "[" * 100_000, '{"frames": 0}', '{"frames": "1"}', '{"frames": 1e99}']
)
def test_how_they_were_made_is_checked(folder: Path, text: str) -> None:
    (folder / "synthetic.json").write_text(text)
    with pytest.raises(ShardError, match=r"synthetic.json: .*delete it and run `humesh synth` again"):
        read(folder)


def test_without_it_they_are_not_read(folder: Path) -> None:
    (folder / "synthetic.json").unlink()
    with pytest.raises(ShardError, match=r"synthetic.json: expected .*run `humesh synth` again.*no such file"):
        read(folder)


def test_frames_of_videos_are_whole_videos(folder: Path) -> None:
    (folder / "synthetic.json").write_text(json.dumps({"frames": 3}))
    with pytest.raises(ShardError, match="expected videos of 3 frames, got 2 in all"):
        read(folder)


def test_other_shards_are_told_before_anything_is_written(folder: Path, whole: Path) -> None:
    (folder / "synthetic.json").write_text("[]")
    with pytest.raises(ShardError, match=r"synthetic.json: damaged"):
        list(write_shards(folder, Plan((str(whole.parent / "poses.npz"),), 2, (1, 1), 48, 1)))
    assert (folder / "synthetic.json").read_text() == "[]"


@pytest.mark.parametrize("name", ["people-00000.npz", "seen-00000.npz"])
@pytest.mark.parametrize("harm", [lambda data: data[:-30], lambda data: data[:200], lambda _: b"", lambda _: b"x" * 99])
def test_cut_files_are_told(folder: Path, name: str, harm: Callable[[bytes], bytes]) -> None:
    (folder / name).write_bytes(harm((folder / name).read_bytes()))
    with pytest.raises(ShardError, match=f"{name}: expected .* again"):
        read(folder)


def changed(name: str, change: Callable[[np.ndarray], Any]) -> Callable[[dict[str, np.ndarray]], None]:
    def harm(arrays: dict[str, np.ndarray]) -> None:
        arrays[name] = np.asarray(change(arrays[name]))

    return harm


LABELS = {
    "an array is missing": lambda arrays: arrays.pop("people"),
    "another shape": changed("rotations", lambda a: a[:, :23]),
    "another length": changed("translation", lambda a: a[:1]),
    "texts": changed("shape", lambda a: np.full(a.shape, "x")),
    "not a number": changed("points3d", lambda a: a * np.nan),
    "infinite": changed("landmarks3d", lambda a: a / 0.0 * np.inf),
    "too far": changed("translation", lambda a: a + 1e30),
    "no rotations": changed("rotations", lambda a: a * 9),
    "people of other layers": changed("people", lambda a: a + np.array([1, -2])),
    "fewer people than labels": changed("people", lambda a: a - [1, 0]),
    "more people than codes": changed("people", lambda a: a + 100),
    "no layers": changed("people", lambda a: a[:0]),
    "broken numbers of people": changed("people", lambda a: a * 0.5),
    "pixels that end before they begin": changed("ends", lambda a: a[::-1]),
    "pixels before the file": changed("ends", lambda a: a - [[10**6, 0], [0, 0]]),
    "pixels behind the file": changed("ends", lambda a: a + np.array([[0, 0], [0, 7]])),
    "pixels by huge numbers": changed("ends", lambda a: a.astype(np.uint64) + np.uint64(2**63)),
    "cameras behind themselves": changed("camera", lambda a: -a),
    "flat cameras": changed("camera", lambda a: a * [[0], [1], [1]]),
}  # fmt: skip


@pytest.mark.parametrize("name", LABELS)
def test_labels_are_held_against_each_other(folder: Path, name: str) -> None:
    path = folder / "people-00000.npz"
    with np.load(path) as stored, np.errstate(all="ignore"):
        arrays = dict(stored)
        LABELS[name](arrays)
    np.savez(path, **arrays)
    with pytest.raises(ShardError, match=r"people-00000.npz: "):
        read(folder)


@pytest.mark.parametrize(
    "harm",
    [
        changed("scene", lambda a: a * 0.5), changed("keypoints", lambda a: a[:, :17]),
        changed("score", lambda a: a * np.nan), changed("keypoints", lambda a: a * 1e20),
        changed("camera", lambda a: a * 0), changed("size", lambda a: a[:, 0]),
    ],
)  # fmt: skip
def test_what_was_seen_is_checked(folder: Path, harm: Callable[[dict[str, np.ndarray]], None]) -> None:
    path = folder / "seen-00000.npz"
    with np.load(path) as stored:
        arrays = dict(stored)
    harm(arrays)
    np.savez(path, **arrays)
    with pytest.raises(ShardError, match=r"seen-00000.npz: "):
        read(folder)


def test_shards_of_bodies_with_other_shapes_are_not_mixed(folder: Path) -> None:
    with np.load(folder / "seen-00000.npz") as stored:
        np.savez(folder / "seen-00001.npz", **{**stored, "shape": np.zeros((2, 3))})
    with pytest.raises(ShardError, match=r"seen-00001.npz: expected 'shape' of shape"):
        seen_arrays(folder)


def png(size: tuple[int, int], mode: str) -> bytes:
    data = io.BytesIO()
    Image.new(mode, size).save(data, format="PNG")
    return data.getvalue()


@pytest.mark.parametrize(
    "masks", [b"\x89PNG\r\n\x1a\n", png((48, 48), "RGB"), png((24, 48), "LA"), png((5000, 9), "LA")]
)
def test_pixels_are_checked_when_they_are_read(folder: Path, masks: bytes) -> None:
    path = folder / "people-00000.npz"
    with np.load(path) as stored:
        arrays = dict(stored)
    pixels = (folder / "people-00000.bin").read_bytes()
    middle, end = arrays["ends"][1]
    (folder / "people-00000.bin").write_bytes(pixels[:middle] + masks)
    arrays["ends"][1, 1] = middle + len(masks)
    assert end == len(pixels)
    np.savez(path, **arrays)
    people = ShardedPeople(folder)
    people[0]
    with pytest.raises(ShardError, match=r"people-00000.bin: damaged \(.+\); delete it and run `humesh synth` again"):
        people[1]


def test_files_of_other_names_do_not_count(folder: Path) -> None:
    (folder / "people-copy.npz").write_bytes(b"x")
    assert len(ShardedPeople(folder)) == 2
