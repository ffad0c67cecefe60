"""Folders of rendered layers: written once by many processes, read by number in a millisecond (`stored.py`: how)."""

from __future__ import annotations

import errno
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import default_rng

from humesh.data.sample import Sample
from humesh.data.synthetic.backgrounds import Backgrounds
from humesh.data.synthetic.layer import Layer
from humesh.data.synthetic.motion import Motion
from humesh.data.synthetic.scenes import Stage
from humesh.data.synthetic.stored import LABELS, Shard, about_name, about_shards, pack, shard_names
from humesh.data.synthetic.stored import ShardError as ShardError
from humesh.data.synthetic.variations import vary
from humesh.data.synthetic.workers import WorkerDiedError, in_workers
from humesh.files import locked, write_bytes, write_text

PER_SHARD = 256


@dataclass(frozen=True)
class Plan:
    """How shards are made: `count` layers; `frames`: of each video, 1 for photos."""

    motion: tuple[str, ...]
    count: int
    people: tuple[int, int] = (1, 1)
    size: int = 256
    seed: int = 0
    frames: int = 1

    @property
    def per_shard(self) -> int:
        """Layers in a shard: whole videos."""
        return max(1, PER_SHARD // self.frames) * self.frames

    @property
    def shards(self) -> list[range]:
        """The layers of each shard."""
        return [range(s, min(s + self.per_shard, self.count)) for s in range(0, self.count, self.per_shard)]


def write_shards(folder: str | Path, plan: Plan, workers: int = 1) -> Iterator[int]:
    """Renders what the folder does not hold yet; yields the number of layers that are ready, time and again.

    Raises ShardError where the folder holds something else, somebody else writes into it, the disk is full or a worker
    dies; what is there stays.
    """
    folder = Path(folder)
    Motion.read(plan.motion)  # wrong files are refused before anything is written
    about = {**asdict(plan), "motion": [Path(m).name for m in plan.motion]}
    with filling(folder):
        head = about_name(folder)
        if head.exists() and (found := about_shards(folder)) != json.loads(json.dumps(about)):
            raise ShardError(f"{folder}: holds shards made in another way ({found}); give another folder.")
        write_text(head, json.dumps(about, sort_keys=True))
        missing = [s for s in range(len(plan.shards)) if not shard_names(folder, s)[1].exists()]
        ready = plan.count - sum(len(plan.shards[s]) for s in missing)
        yield ready
        work = partial(_rendered, plan)
        rendered = ((s, work(s)) for s in missing) if workers <= 1 else in_workers(work, missing, workers)
        for shard, (pixels, labels) in rendered:
            for path, data in zip(shard_names(folder, shard), (pixels, labels), strict=True):
                write_bytes(path, data)
            ready += len(plan.shards[shard])
            yield ready


@contextmanager
def filling(folder: Path) -> Iterator[None]:
    """Holds a folder of shards while it is written; whatever stops the writing becomes a ShardError."""
    try:
        with locked(folder, "writing shards", ShardError):
            yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ShardError(
                f"{folder}: the disk is full; make room, then the same command goes on where it stopped."
            ) from None
        raise ShardError(f"{folder}: cannot be written ({error.strerror}); give another folder.") from None
    except WorkerDiedError as error:
        raise ShardError(
            f"{folder}: a worker died (out of memory?); the same command goes on where it stopped, {error.left} shards "
            "are left."
        ) from None


@lru_cache(maxsize=1)
def _stage(plan: Plan) -> Stage:
    return Stage(Motion.read(plan.motion), people=plan.people, size=plan.size, seed=plan.seed)


def _rendered(plan: Plan, shard: int) -> tuple[bytes, bytes]:
    """A shard's pixels and labels, as the bytes of its two files."""
    stage, numbers = _stage(plan), plan.shards[shard]
    layers = [
        stage.photo(n) if plan.frames == 1 else stage.video(n // plan.frames, n % plan.frames, plan.frames)
        for n in numbers
    ]
    packed = [part for layer in layers for part in pack(layer)]
    arrays: dict[str, Any] = {
        "ends": np.cumsum([len(part) for part in packed]).reshape(-1, 2),
        "people": np.array([len(layer.identity) for layer in layers]),
        **{name: np.concatenate([getattr(layer, name) for layer in layers]) for name in LABELS},
        "camera": np.stack([layer.camera for layer in layers]),
    }
    labels = io.BytesIO()
    for name, array in arrays.items():
        if name != "camera" and array.dtype == np.float64:
            arrays[name] = array.astype(np.float32)
    np.savez(labels, **arrays)
    return b"".join(packed), labels.getvalue()


class ShardedPeople:
    """Endless photos from folders of shards: sample i is scene i % stored in its variation i // stored.

    `variations`: how many of them the length counts. `backgrounds`: a folder of photos to stand before, in addition
    to drawn ones. `crowding`: how often people of another scene are pasted in front. Of videos all frames of a track
    share what is varied.
    """

    def __init__(
        self, folders: str | Path | Sequence[str | Path], *, backgrounds: str | Path | None = None,
        variations: int = 1, seed: int = 0, crowding: float = 0.1,
    ) -> None:  # fmt: skip
        paths = [folders] if isinstance(folders, str | Path) else list(folders)
        self.seed, self.crowding = seed, crowding
        self.backgrounds = Backgrounds(backgrounds)
        self.shards: list[Shard] = []
        lengths, frames, of_folders = [], [], []
        for path in map(Path, paths):
            of_folders.append(len(self.shards))
            numbers = (p.stem.removeprefix("people-") for p in path.glob("people-*.npz"))
            found = sorted(int(number) for number in numbers if number.isdecimal())
            if not found:
                raise ShardError(
                    f"{path}: expected shards of synthetic people, found none; run `humesh synth -o {path}`."
                )
            of_each = about_shards(path)["frames"]
            for shard in found:
                self.shards.append(Shard(path, shard))
                lengths.append(len(self.shards[-1]))
                frames.append(of_each)
                if lengths[-1] % of_each:
                    raise ShardError(f"{path}: expected videos of {of_each} frames, got {lengths[-1]} in all.")
        self.starts = np.cumsum([0, *lengths])
        self._frames = np.repeat(frames, lengths)
        self.stored = int(self.starts[-1])
        # A folder's scenes are drawn alike whatever other folders are there: the finder saw them alone.
        self._folders = np.array([*self.starts[of_folders], self.stored])
        self._length = self.stored * variations
        self.tracks = tuple(
            range(v * self.stored + s, v * self.stored + s + f)
            for v in range(variations)
            for start, length, f in zip(self.starts[:-1].tolist(), lengths, frames, strict=True)
            if f > 1
            for s in range(start, start + length, f)
        )

    def __len__(self) -> int:
        return self._length

    def layer(self, number: int) -> Layer:
        """The stored layer of that number."""
        shard = int(np.searchsorted(self.starts, number, side="right")) - 1
        return self.shards[shard].layer(number - int(self.starts[shard]))

    def __getitem__(self, index: int) -> Sample:
        if index < 0:
            raise IndexError(f"sample {index}: expected a number from 0 on.")
        variation, number = divmod(index, self.stored)
        frames = int(self._frames[number])
        shard = int(np.searchsorted(self.starts, number, side="right")) - 1
        video = number - (number - int(self.starts[shard])) % frames
        folder = int(np.searchsorted(self._folders, number, side="right")) - 1
        start, end = map(int, self._folders[folder : folder + 2])
        scene = default_rng([self.seed, variation, video - start])
        frame = default_rng([self.seed, variation, number - start, 1])
        layer = self.layer(number)
        others = [self.layer(start + int(scene.integers(end - start)))] if scene.random() < self.crowding else []
        others = [other for other in others if other.code.shape == layer.code.shape]
        first = self.layer(video) if frames > 1 else None
        return vary(layer, self.backgrounds, scene, frame, f"scene {number}, variation {variation}", others, first)
