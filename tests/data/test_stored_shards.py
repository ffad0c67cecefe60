"""Damaged folders of shards end in one sentence, whichever file and whatever in it is wrong."""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from humesh.data.synthetic.shards import Plan, ShardedPeople, write_shards
from humesh.data.synthetic.workers import ShardError


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photos of one person each."""
    folder = tmp_path_factory.mktemp("shards")
    np.savez(folder / "poses.npz", poses=np.random.default_rng(0).normal(0, 0.15, (50, 24, 3)))
    out = folder / "out"
    list(write_shards(out, Plan((str(folder / "poses.npz"),), 2, (1, 1), 48, 1)))
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


def test_a_whole_folder_is_read(folder: Path) -> None:
    read(folder)


def test_other_shards_are_refused_before_anything_is_written(folder: Path, whole: Path) -> None:
    (folder / "synthetic.json").write_text("[]")
    with pytest.raises(ShardError, match=r"holds shards made in another way \(\[\]\)"):
        list(write_shards(folder, Plan((str(whole.parent / "poses.npz"),), 2, (1, 1), 48, 1)))
    assert (folder / "synthetic.json").read_text() == "[]"


@pytest.mark.parametrize("harm", [lambda data: data[:-30], lambda data: data[:200], lambda _: b"", lambda _: b"x" * 99])
def test_cut_files_end_in_a_sentence(folder: Path, harm: Callable[[bytes], bytes]) -> None:
    path = folder / "people-00000.npz"
    path.write_bytes(harm(path.read_bytes()))
    with pytest.raises(ShardError, match=r"people-00000.npz: expected .* again"):
        read(folder)


def rewrite(path: Path, arrays: dict[str, np.ndarray] | None, members: dict[str, bytes | None]) -> None:
    """The shard with other arrays, or other pixels (None: none)."""
    with zipfile.ZipFile(path) as archive:
        kept = {name: archive.read(name) for name in archive.namelist()}
    if arrays is not None:
        kept = {name: data for name, data in kept.items() if not name.endswith(".npy")}
        packed = io.BytesIO()
        np.savez(packed, **arrays)
        with zipfile.ZipFile(packed) as archive:
            kept |= {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in (kept | members).items():
            if data is not None:
                archive.writestr(name, data)


def changed(name: str, change: Callable[[np.ndarray], Any]) -> Callable[[dict[str, np.ndarray]], None]:
    def harm(arrays: dict[str, np.ndarray]) -> None:
        arrays[name] = np.asarray(change(arrays[name]))

    return harm


LABELS = {
    "an array is missing": lambda arrays: arrays.pop("people"),
    "another shape": changed("rotations", lambda a: a[:, :23]),
    "another length": changed("translation", lambda a: a[:1]),
    "texts": changed("shape", lambda a: np.full(a.shape, "x")),
    "not a number": changed("points", lambda a: a * np.nan),
    "infinite": changed("points", lambda a: a / 0.0 * np.inf),
    "too far": changed("translation", lambda a: a + 1e30),
    "no rotations": changed("rotations", lambda a: a * 9),
    "people of other layers": changed("people", lambda a: a + np.array([1, -2])),
    "fewer people than labels": changed("people", lambda a: a - [1, 0]),
    "more people than codes": changed("people", lambda a: a + 100),
    "no layers": changed("people", lambda a: a[:0]),
    "broken numbers of people": changed("people", lambda a: a * 0.5),
    "cameras behind themselves": changed("camera", lambda a: -a),
    "flat cameras": changed("camera", lambda a: a * [[0], [1], [1]]),
}  # fmt: skip


@pytest.mark.parametrize("name", LABELS)
def test_labels_are_held_against_each_other(folder: Path, name: str) -> None:
    path = folder / "people-00000.npz"
    with np.load(path) as stored, np.errstate(all="ignore"):
        arrays = {name: stored[name] for name in stored.files if stored[name] is not None and "." not in name}
        LABELS[name](arrays)
    rewrite(path, arrays, {})
    with pytest.raises(ShardError, match=r"people-00000.npz: "):
        read(folder)


def png(size: tuple[int, int], mode: str) -> bytes:
    data = io.BytesIO()
    Image.new(mode, size).save(data, format="PNG")
    return data.getvalue()


@pytest.mark.parametrize(
    "masks", [b"\x89PNG\r\n\x1a\n", png((48, 48), "RGB"), png((24, 48), "LA"), png((5000, 9), "LA"), None]
)
def test_pixels_are_checked_when_they_are_read(folder: Path, masks: bytes | None) -> None:
    rewrite(folder / "people-00000.npz", None, {"1.png": masks})
    people = ShardedPeople(folder)
    people.layer(0)
    with pytest.raises(ShardError, match=r"people-00000.npz: damaged \(.+\); delete it and run `humesh synth` again"):
        people.layer(1)


def test_shards_of_an_older_version_are_refused(folder: Path) -> None:
    """They had the two sets of points in two arrays, and the pixels in a file of their own."""
    path = folder / "people-00000.npz"
    with np.load(path) as stored:
        points, visible = stored["points"], stored["visible"]
        old = {name: stored[name] for name in ("rotations", "shape", "translation", "identity", "people", "camera")}
    np.savez(path, points3d=points[:, :30], landmarks3d=points[:, 30:], visible=visible[:, :30], **old)
    with pytest.raises(ShardError, match=r"as this version writes it \(delete it .* with points, found"):
        read(folder)


def test_files_of_other_names_do_not_count(folder: Path) -> None:
    (folder / "people-copy.npz").write_bytes(b"x")
    assert len(ShardedPeople(folder)) == 2
