"""Folders of rendered layers: written once by many processes, read by number in a millisecond.

A shard is one file of NumPy arrays, `people-00000.npz`, with the labels of up to 256 layers; beside the arrays lie the
pixels of each: `0.jpg` the colours, `0.png` code and alpha. `synthetic.json` says how all were made.
"""

from __future__ import annotations

import errno
import io
import json
import os
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from humesh.data.synthetic.layer import Layer
from humesh.data.synthetic.motion import Files, Motion
from humesh.data.synthetic.scenes import SceneSampler
from humesh.data.synthetic.variations import VariedLayers
from humesh.data.synthetic.workers import ShardError, in_processes
from humesh.files import Array, locked, read_arrays, read_json, write_text, writing

PER_SHARD = 256
_LARGEST = 1e6  # metres, pixels
_WIDEST, _MOST_BYTES = 4096, 2**26  # px, and of a layer's colours or masks
_AGAIN = "delete it and run `humesh synth` again"
_PEOPLE = {
    "rotations": Array(("P", 24, 3, 3)), "shape": Array(("P", "S")), "translation": Array(("P", 3)),
    "points": Array(("P", 63, 3)), "visible": Array(("P", 63)), "identity": Array(("P",), "integer"),
}  # fmt: skip
_SHARD = {**_PEOPLE, "people": Array(("L",), "integer"), "camera": Array(("L", 3, 3))}


@dataclass(frozen=True)
class Plan:
    """How shards are made: `count` layers."""

    motion: tuple[str, ...]
    count: int
    people: tuple[int, int] = (1, 1)
    size: int = 256
    seed: int = 0

    @property
    def shards(self) -> list[range]:
        """The layers of each shard."""
        return [range(start, min(start + PER_SHARD, self.count)) for start in range(0, self.count, PER_SHARD)]


def write_shards(folder: str | Path, plan: Plan, workers: int = 1) -> Iterator[int]:
    """Renders what the folder does not hold yet; yields the number of layers that are ready, time and again.

    Raises ShardError where the folder holds something else, somebody else writes into it, the disk is full or a worker
    dies; what is there stays.
    """
    folder = Path(folder)
    Motion.read(plan.motion)  # wrong files are refused before anything is written
    about = {**asdict(plan), "motion": [Path(m).name for m in plan.motion], "people": list(plan.people)}
    try:
        with locked(folder, "writing shards", ShardError):
            head = folder / "synthetic.json"
            what = f"how shards were made ({_AGAIN})"
            found = read_json(head, what=what, error=ShardError, most_bytes=10**6) if head.exists() else about
            if found != about:
                raise ShardError(f"{folder}: holds shards made in another way ({found!s:.200}); give another folder.")
            write_text(head, json.dumps(about, sort_keys=True))
            missing = [number for number in range(len(plan.shards)) if not _path(folder, number).exists()]
            ready = plan.count - sum(len(plan.shards[number]) for number in missing)
            yield ready
            for number in in_processes(partial(_write_shard, folder, plan), missing, workers):
                ready += len(plan.shards[number])
                yield ready
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        why = "the disk is full; make room" if full else f"cannot be written ({error.strerror}); mend that"
        raise ShardError(f"{folder}: {why}, then the same command goes on where it stopped.") from None


@lru_cache(maxsize=1)
def _scenes(plan: Plan) -> SceneSampler:
    return SceneSampler(Motion.read(plan.motion), people=plan.people, size=plan.size, seed=plan.seed)


def _path(folder: Path, shard: int) -> Path:
    return folder / f"people-{shard:05d}.npz"


def _write_shard(folder: Path, plan: Plan, shard: int) -> int:
    """Renders and writes one shard, its number is returned."""
    layers = list(map(_scenes(plan).layer, plan.shards[shard]))
    arrays: dict[str, Any] = {name: np.concatenate([getattr(layer, name) for layer in layers]) for name in _PEOPLE}
    arrays = {name: a.astype(np.float32) if a.dtype == np.float64 else a for name, a in arrays.items()}
    arrays["people"] = np.array([len(layer.identity) for layer in layers])
    arrays["camera"] = np.stack([layer.camera for layer in layers])
    with writing(_path(folder, shard)) as draft:
        packed = io.BytesIO()
        np.savez(packed, **arrays)
        with zipfile.ZipFile(packed, "a") as archive:
            for number, layer in enumerate(layers):
                for ending, data in _packed(layer).items():
                    archive.writestr(zipfile.ZipInfo(f"{number}.{ending}"), data)  # without the time of day
        draft.write_bytes(packed.getvalue())
    return shard


def _packed(layer: Layer) -> dict[str, bytes]:
    colours, masks, rgb, covered = io.BytesIO(), io.BytesIO(), layer.rgb, layer.alpha > 0
    if covered.any():  # a calm surrounding makes the JPEG small and its outlines clean
        rgb = np.where(covered[..., None], rgb, rgb[covered].mean(0).astype(np.uint8))
    Image.fromarray(rgb).save(colours, format="JPEG", quality=93, subsampling=0)
    Image.fromarray(np.dstack([layer.code, layer.alpha])).save(masks, format="PNG", compress_level=6)
    return {"jpg": colours.getvalue(), "png": masks.getvalue()}


def _damaged(path: Path, why: str) -> ShardError:
    return ShardError(f"{path}: damaged ({why}); {_AGAIN}.")


class Shard:
    """One shard, its pixels read when asked for; ShardError where it is damaged."""

    def __init__(self, path: Path) -> None:
        self.path, what = path, f"a shard as this version writes it ({_AGAIN})"
        self.arrays = read_arrays(path, _SHARD, what=what, error=ShardError, only=_SHARD)
        self._first = np.cumsum([0, *self.arrays["people"].astype(np.int64)])
        camera, numbers = self.arrays["camera"], [a for a in self.arrays.values() if a.dtype.kind == "f"]
        faults = {
            "its people are not those of its layers": not len(camera)
            or (np.diff(self._first) < 0).any()
            or self._first[-1] != len(self.arrays["identity"]),
            "its numbers are too large": any(np.abs(a).max(initial=0) > _LARGEST for a in numbers),
            "its rotations are none": np.abs(self.arrays["rotations"]).max(initial=0) > 1.01,
            "its cameras are none": (camera[:, [0, 1], [0, 1]] < 1).any() or (camera[:, 2] != [0, 0, 1]).any(),
        }
        for fault, is_there in faults.items():
            if is_there:
                raise _damaged(path, fault)

    def __len__(self) -> int:
        return len(self.arrays["people"])

    def layer(self, number: int) -> Layer:
        """The layer of that number in the shard."""
        try:
            archive = _archive(self.path, os.getpid())
            rgb, masks = (
                _decoded(archive.open(f"{number}.{ending}").read(_MOST_BYTES), kind, mode)
                for ending, kind, mode in (("jpg", "JPEG", "RGB"), ("png", "PNG", "LA"))
            )
            if rgb.shape[:2] != masks.shape[:2]:
                raise ValueError("colours and masks of two sizes")
        except Exception as error:  # readers of zip files and pictures raise anything on damaged bytes
            raise _damaged(self.path, " ".join(str(error).split()) or type(error).__name__) from None
        rows = slice(self._first[number], self._first[number + 1])
        people = {name: self.arrays[name][rows] for name in _PEOPLE}
        people = {name: a if _PEOPLE[name].kind == "integer" else a.astype(np.float64) for name, a in people.items()}
        return Layer(rgb, masks[..., 1], masks[..., 0], self.arrays["camera"][number].astype(np.float64), **people)


@lru_cache(maxsize=128)
def _archive(path: Path, _process: int) -> zipfile.ZipFile:
    """An open shard; each process has its own, as forks would share its place in the file."""
    return zipfile.ZipFile(path)


def _decoded(data: bytes, kind: str, mode: str) -> np.ndarray:
    with Image.open(io.BytesIO(data), formats=(kind,)) as image:
        if image.mode != mode or max(image.size) > _WIDEST:
            raise ValueError(f"expected pixels of kind {mode} and up to {_WIDEST} px, got {image.mode} {image.size}")
        return np.asarray(image)


class ShardedPeople(VariedLayers):
    """Endless photos from folders of shards, each time in another variation."""

    def __init__(self, folders: Files, *, backgrounds: str | Path | None = None, variations: int = 1) -> None:
        self.shards = list[Shard]()
        for folder in map(Path, [folders] if isinstance(folders, str | Path) else folders):
            paths = sorted(path for path in folder.glob("people-*.npz") if path.stem[7:].isdecimal())
            if not paths:
                raise ShardError(
                    f"{folder}: expected shards of synthetic people, found none; run `humesh synth -o {folder}`."
                )
            self.shards += map(Shard, paths)
        self._starts = np.cumsum([0, *map(len, self.shards)])
        stored = int(self._starts[-1])
        super().__init__(self._stored_layer, stored, backgrounds=backgrounds, seed=0, variations=variations)

    def _stored_layer(self, number: int) -> Layer:
        shard = int(np.searchsorted(self._starts, number, side="right")) - 1
        return self.shards[shard].layer(number - int(self._starts[shard]))
