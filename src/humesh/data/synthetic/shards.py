"""Folders of rendered layers: written once by many processes, read by number in less than a millisecond.

A shard is two files: `people-00000.bin` with the compressed pixels one after the other (JPEG colours, then a PNG of
code and alpha), and `people-00000.npz` with their places in it and the labels, written last: a shard without it does
not count. `synthetic.json` says how all were made.
"""

from __future__ import annotations

import errno
import io
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import default_rng
from PIL import Image

from humesh.body.joints import MEDIAPIPE33
from humesh.data.sample import Sample
from humesh.data.synthetic.backgrounds import Backgrounds
from humesh.data.synthetic.layer import Layer
from humesh.data.synthetic.motion import Motion
from humesh.data.synthetic.scenes import Stage
from humesh.data.synthetic.variations import vary
from humesh.data.whole import write_whole
from humesh.errors import HumeshError
from humesh.images.photo import Person
from humesh.people.same_body import box_around_points

PER_SHARD = 256
_LABELS = (
    "rotations",
    "shape",
    "translation",
    "points3d",
    "visible",
    "landmarks3d",
    "landmarks_visible",
    "identity",
)  # of a layer, a row a person


class ShardError(HumeshError, ValueError):
    """A folder of shards that cannot be written or read; the sentence says why."""


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

    Raises ShardError where the folder holds something else, the disk is full or a worker dies; what is there stays.
    """
    folder = Path(folder)
    Motion.read(plan.motion)  # wrong files are told before anything is written
    about = json.dumps({**asdict(plan), "motion": [Path(m).name for m in plan.motion]}, sort_keys=True)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        head = folder / "synthetic.json"
        if head.exists() and json.loads(head.read_text()) != json.loads(about):
            raise ShardError(f"{folder}: holds shards made in another way ({head.read_text()}); give another folder.")
        write_whole(head, about.encode())
    except OSError as error:
        raise _full(folder, error) from None
    missing = [s for s in range(len(plan.shards)) if not _names(folder, s)[1].exists()]
    ready = plan.count - sum(len(plan.shards[s]) for s in missing)
    yield ready
    if workers <= 1:
        for shard in missing:
            _write_shard(folder, plan, shard)
            ready += len(plan.shards[shard])
            yield ready
        return
    for shard in in_workers(folder, partial(_write_shard, folder, plan), missing, workers):
        ready += len(plan.shards[shard])
        yield ready


def in_workers(folder: Path, work: Callable[[int], object], shards: Sequence[int], workers: int) -> Iterator[int]:
    """Does work for shards of a folder in processes; yields each shard that is done. ShardError where one dies."""
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        jobs = {pool.submit(work, shard): shard for shard in shards}
        left = len(jobs)
        try:
            for job in as_completed(jobs):
                job.result()
                left -= 1
                yield jobs[job]
        except BrokenProcessPool:
            raise ShardError(
                f"{folder}: a worker died (out of memory?); the same command goes on where it stopped, {left} of "
                f"{len(jobs)} shards are left."
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


@lru_cache(maxsize=1)
def _stage(plan: Plan) -> Stage:
    return Stage(Motion.read(plan.motion), people=plan.people, size=plan.size, seed=plan.seed)


def _write_shard(folder: Path, plan: Plan, shard: int) -> None:
    stage, numbers = _stage(plan), plan.shards[shard]
    layers = [
        stage.photo(n) if plan.frames == 1 else stage.video(n // plan.frames, n % plan.frames, plan.frames)
        for n in numbers
    ]
    packed = [part for layer in layers for part in pack(layer)]
    arrays: dict[str, Any] = {
        "ends": np.cumsum([len(part) for part in packed]).reshape(-1, 2),
        "people": np.array([len(layer.identity) for layer in layers]),
        **{name: np.concatenate([getattr(layer, name) for layer in layers]) for name in _LABELS},
        "camera": np.stack([layer.camera for layer in layers]),
    }
    labels = io.BytesIO()
    for name, array in arrays.items():
        if name != "camera" and array.dtype == np.float64:
            arrays[name] = array.astype(np.float32)
    np.savez(labels, **arrays)
    pixels, index = _names(folder, shard)
    try:
        write_whole(pixels, b"".join(packed))
        write_whole(index, labels.getvalue())
    except OSError as error:
        raise _full(folder, error) from None


def _names(folder: Path, shard: int) -> tuple[Path, Path]:
    return folder / f"people-{shard:05d}.bin", folder / f"people-{shard:05d}.npz"


def seen_name(folder: Path, shard: int) -> Path:
    """Where the detector's answers about a shard are."""
    return folder / f"seen-{shard:05d}.npz"


def seen_arrays(folder: Path) -> list[dict[str, np.ndarray]]:
    """What the detector said of a folder's shards, of each in which it found somebody: names to rows of people."""
    told = []
    for path in sorted(folder.glob("seen-*.npz")):
        with np.load(path, allow_pickle=False) as file:
            told += [{name: file[name] for name in file.files}] if file.files else []
    if not told:
        raise ShardError(
            f"{folder}: expected shards that the finder looked at, found none; run `humesh synth --detect`."
        )
    return told


def _full(folder: Path, error: OSError) -> ShardError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ShardError(f"{folder}: the disk is full; make room, then the same command goes on where it stopped.")
    return ShardError(f"{folder}: cannot be written ({error.strerror}); give another folder.")


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
    """One shard, its pixels read when asked for."""

    def __init__(self, folder: Path, shard: int) -> None:
        self.number, (self.pixels, index) = shard, _names(folder, shard)
        try:
            with np.load(index, allow_pickle=False) as file:
                self.arrays = {name: file[name] for name in file.files}
            if self.pixels.stat().st_size != self.arrays["ends"][-1, -1]:
                raise ValueError("its pixels are cut short")
        except (OSError, ValueError, KeyError) as error:
            raise ShardError(f"{index}: damaged ({error}); delete it and run `humesh synth` again.") from None
        self.first_person = np.cumsum([0, *self.arrays["people"]])
        self._file: int | None = None

    def __len__(self) -> int:
        return len(self.arrays["people"])

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_file": None}

    def layer(self, number: int) -> Layer:
        """The layer of that number in the shard."""
        if self._file is None:
            self._file = os.open(self.pixels, os.O_RDONLY)
        ends = self.arrays["ends"]
        start, middle, end = int(ends[number - 1, 1]) if number else 0, *map(int, ends[number])
        data = os.pread(self._file, end - start, start)
        rgb = np.asarray(Image.open(io.BytesIO(data[: middle - start])))
        masks = np.asarray(Image.open(io.BytesIO(data[middle - start :])))
        rows = slice(self.first_person[number], self.first_person[number + 1])
        people = {name: self.arrays[name][rows] for name in _LABELS}
        people = {k: a.astype(np.float64) if a.dtype == np.float32 else a for k, a in people.items()}
        return Layer(rgb, masks[..., 1], masks[..., 0], self.arrays["camera"][number], **people)


class ShardedPeople:
    """Endless photos from folders of shards: sample i is scene i % stored in its variation i // stored.

    `variations`: how many of them the length counts. `backgrounds`: a folder of photos to stand before, in addition
    to drawn ones. `crowding`: how often people of another scene are pasted in front. Of videos all frames of a track
    share what is varied. `detected`: only the first variation, its people told as MediaPipe told them (`humesh synth
    --detect`) where it found them.
    """

    def __init__(
        self, folders: str | Path | Sequence[str | Path], *, backgrounds: str | Path | None = None,
        variations: int = 1, seed: int = 0, crowding: float = 0.1, detected: bool = False,
    ) -> None:  # fmt: skip
        paths = [folders] if isinstance(folders, str | Path) else list(folders)
        self.seen: dict[tuple[int, int], tuple[np.ndarray, np.ndarray | None, float]] | None = None
        if detected and (backgrounds is not None or seed):
            raise ShardError("detected people: expected seed 0 and no photos as backgrounds.")
        self.seed, self.crowding = seed, crowding
        self.backgrounds = Backgrounds(backgrounds)
        self.shards: list[Shard] = []
        lengths, frames, of_folders = [], [], []
        for path in map(Path, paths):
            of_folders.append(len(self.shards))
            found = sorted(int(p.stem.split("-")[1]) for p in path.glob("people-*.npz"))
            if not found:
                raise ShardError(
                    f"{path}: expected shards of synthetic people, found none; run `humesh synth -o {path}`."
                )
            about = json.loads((path / "synthetic.json").read_text())
            for shard in found:
                self.shards.append(Shard(path, shard))
                lengths.append(len(self.shards[-1]))
                frames.append(int(about["frames"]))
        self.starts = np.cumsum([0, *lengths])
        self._frames = np.repeat(frames, lengths)
        self.stored = int(self.starts[-1])
        # A folder's scenes are drawn alike whatever other folders are there: MediaPipe saw them alone.
        self._folders = np.array([*self.starts[of_folders], self.stored])
        if detected:
            variations = 1
            told = (_seen(Path(path), int(start)) for path, start in zip(paths, self._folders[:-1], strict=True))
            self.seen = {key: value for folder in told for key, value in folder.items()}
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
        sample = self.simulated(index)
        if self.seen is None:
            return sample
        people = []
        for person in sample.people:
            told = self.seen.get((index, person.identity))
            if told is not None:
                box = box_around_points(told[0], *sample.photo.size)
                person = replace(person, seen=Person(box, told[2], told[0], MEDIAPIPE33, told[1]))
            people.append(person)
        return replace(sample, people=tuple(people))

    def simulated(self, index: int) -> Sample:
        """The sample with simulated detections."""
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


def _seen(folder: Path, start: int) -> dict[tuple[int, int], tuple[np.ndarray, np.ndarray | None, float]]:
    """Keypoints, landmarks and score by scene (counted from `start`) and identity."""
    found = {}
    for arrays in seen_arrays(folder):
        rows = zip(*(arrays[n] for n in ("scene", "identity", "keypoints", "landmarks", "score")), strict=True)
        for scene, identity, keypoints, landmarks, score in rows:
            deep = landmarks.astype(float) if landmarks.any() else None  # zeros: told by MoveNet, not by MediaPipe
            found[start + int(scene), int(identity)] = keypoints.astype(float), deep, float(score)
    return found
