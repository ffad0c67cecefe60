"""The files of a folder of shards: their names, what is in them, and readers that believe nothing unchecked.

A shard is two files: `people-00000.bin` with the compressed pixels one after the other (JPEG colours, then a PNG of
code and alpha), and `people-00000.npz` with their places in it and the labels, written last: a shard without it does
not count. `seen-00000.npz` holds what the detector saw in it; `synthetic.json` says how all were made.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from humesh.data.synthetic.layer import Layer
from humesh.errors import HumeshError
from humesh.files import Array, check_arrays, read_arrays, read_json

LABELS = {
    "rotations": Array(("P", 24, 3, 3)), "shape": Array(("P", "S")), "translation": Array(("P", 3)),
    "points3d": Array(("P", 30, 3)), "visible": Array(("P", 30)), "landmarks3d": Array(("P", 33, 3)),
    "landmarks_visible": Array(("P", 33)), "identity": Array(("P",), "integer"),
}  # fmt: skip
"""Of layers, a row a person."""

_SHARD = {
    **LABELS, "ends": Array(("L", 2), "integer"), "people": Array(("L",), "integer"), "camera": Array(("L", 3, 3)),
}  # fmt: skip
_SEEN = {
    "scene": Array(("P",), "integer"), "identity": Array(("P",), "integer"), "keypoints": Array(("P", 33, 3)),
    "score": Array(("P",)), "landmarks": Array(("P", 33, 3)), "rotations": Array(("P", 24, 3, 3)),
    "shape": Array(("P", "S")), "translation": Array(("P", 3)), "visible": Array(("P", 30)),
    "camera": Array(("P", 3, 3)), "size": Array(("P", 2), "integer"),
}  # fmt: skip
_AGAIN = "delete it and run `humesh synth` again"
_MOST = 1e6  # metres, pixels
_MOST_PEOPLE = 30  # of a layer, whose codes are bytes
_WIDEST = 4096  # px


class ShardError(HumeshError, ValueError):
    """A folder of shards that cannot be written or read; the sentence says why."""


def shard_names(folder: Path, shard: int) -> tuple[Path, Path]:
    """Where a shard's pixels and its labels are."""
    return folder / f"people-{shard:05d}.bin", folder / f"people-{shard:05d}.npz"


def seen_name(folder: Path, shard: int) -> Path:
    """Where the detector's answers about a shard are."""
    return folder / f"seen-{shard:05d}.npz"


def about_name(folder: Path) -> Path:
    """Where it is written how a folder's shards were made."""
    return folder / "synthetic.json"


def about_shards(folder: Path) -> dict[str, Any]:
    """How a folder's shards were made; `frames` of each video among it."""
    path = about_name(folder)
    about = read_json(path, what=f"how shards were made ({_AGAIN})", error=ShardError, most_bytes=10**6)
    frames = about.get("frames") if isinstance(about, dict) else None
    if type(frames) is not int or not 1 <= frames <= 10_000:
        raise _damaged(path, "it does not say how many `frames` a video has")
    return dict(about)


def seen_arrays(folder: Path) -> list[dict[str, np.ndarray]]:
    """What the detector saw in a folder's shards, of each in which it found somebody: names to rows of people."""
    found = list[dict[str, np.ndarray]]()
    for path in sorted(folder.glob("seen-*.npz")):
        what = f"what the finder saw of a shard ({_AGAIN} with --detect)"
        arrays = read_arrays(path, what=what, error=ShardError, only=_SEEN)
        if arrays:
            axes = {"S": found[0]["shape"].shape[1]} if found else None
            check_arrays(arrays, _SEEN, where=str(path), what=what, error=ShardError, axes=axes)
            _check_ranges(path, arrays, _SEEN)
            found.append(arrays)
    if not found:
        raise ShardError(
            f"{folder}: expected shards that the finder looked at, found none; run `humesh synth --detect`."
        )
    return found


def pack(layer: Layer) -> tuple[bytes, bytes]:
    """The layer's pixels, compressed: colours as JPEG, code and alpha as PNG."""
    colours, masks = io.BytesIO(), io.BytesIO()
    rgb = layer.rgb
    if (layer.alpha > 0).any():  # a calm surrounding makes the JPEG small and its outlines clean
        rgb = np.where(layer.alpha[..., None] > 0, rgb, rgb[layer.alpha > 0].mean(0).astype(np.uint8))
    Image.fromarray(rgb).save(colours, format="JPEG", quality=93, subsampling=0)
    Image.fromarray(np.dstack([layer.code, layer.alpha])).save(masks, format="PNG", compress_level=6)
    return colours.getvalue(), masks.getvalue()


class Shard:
    """One shard, its pixels read when asked for; ShardError where it is damaged."""

    def __init__(self, folder: Path, shard: int) -> None:
        self.number, (self.pixels, self._index) = shard, shard_names(folder, shard)
        what = f"the labels of a shard ({_AGAIN})"
        self.arrays = read_arrays(self._index, _SHARD, what=what, error=ShardError, only=_SHARD)
        _check_ranges(self._index, self.arrays, _SHARD)
        ends, people = self.arrays["ends"].astype(np.int64).ravel(), self.arrays["people"].astype(np.int64)
        if not len(people) or not ((people >= 0) & (people <= _MOST_PEOPLE)).all():
            raise _damaged(self._index, "its layers have no people, or too many")
        self.first_person = np.cumsum([0, *people])
        if self.first_person[-1] != len(self.arrays["identity"]) or (np.diff(ends, prepend=0) <= 0).any():
            raise _damaged(self._index, "its people or its pixels do not follow each other")
        if not self.pixels.is_file() or self.pixels.stat().st_size != ends[-1]:
            raise _damaged(self._index, "its pixels are cut short")
        self._starts = [0, *ends.tolist()]

    def __len__(self) -> int:
        return len(self.arrays["people"])

    def layer(self, number: int) -> Layer:
        """The layer of that number in the shard."""
        start, middle, end = self._starts[2 * number : 2 * number + 3]
        try:
            with self.pixels.open("rb") as stream:
                stream.seek(start)
                rgb = _decoded(stream.read(middle - start), "JPEG", "RGB")
                masks = _decoded(stream.read(end - middle), "PNG", "LA")
            if rgb.shape[:2] != masks.shape[:2]:
                raise ValueError("colours and masks of two sizes")
        except Exception as error:  # Pillow's readers raise anything on damaged pixels
            raise _damaged(self.pixels, " ".join(str(error).split()) or type(error).__name__) from None
        rows = slice(self.first_person[number], self.first_person[number + 1])
        people = {name: self.arrays[name][rows] for name in LABELS}
        people = {k: a if LABELS[k].kind == "integer" else a.astype(np.float64) for k, a in people.items()}
        return Layer(rgb, masks[..., 1], masks[..., 0], self.arrays["camera"][number].astype(np.float64), **people)


def _decoded(data: bytes, kind: str, mode: str) -> np.ndarray:
    with Image.open(io.BytesIO(data), formats=(kind,)) as image:
        if image.mode != mode or max(image.size) > _WIDEST:
            raise ValueError(f"expected pixels of kind {mode} and up to {_WIDEST} px, got {image.mode} {image.size}")
        return np.asarray(image)


def _check_ranges(path: Path, arrays: dict[str, np.ndarray], layout: dict[str, Array]) -> None:
    numbers = (array.astype(np.float64) for name, array in arrays.items() if layout[name].kind == "number")
    if (
        max(np.abs(array).max(initial=0) for array in numbers) > _MOST
        or np.abs(arrays["rotations"]).max(initial=0) > 1.01
    ):
        raise _damaged(path, "its numbers are too large")
    cameras = arrays["camera"]
    if (cameras[:, [0, 1], [0, 1]] < 1).any() or not np.allclose(cameras[:, 2], [0, 0, 1]):
        raise _damaged(path, "its cameras are none")


def _damaged(path: Path, why: str) -> ShardError:
    return ShardError(f"{path}: damaged ({why}); {_AGAIN}.")
