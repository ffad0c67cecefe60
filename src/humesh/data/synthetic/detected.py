"""What MediaPipe and MoveNet say of the people of shards, kept beside them: for training without simulated errors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.random import Generator

from humesh.body.joints import JOTR30
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.body.rig import Rig
from humesh.crops.crops import CropSpec
from humesh.data.augment import Augment
from humesh.data.batch import Batch
from humesh.data.sample import Sample
from humesh.data.synthetic.points import Points, batch_of, sample_of
from humesh.data.synthetic.shards import ShardedPeople, filling
from humesh.data.synthetic.stored import seen_arrays, seen_name
from humesh.data.synthetic.workers import in_workers
from humesh.files import write_arrays
from humesh.geometry.camera import Camera


def detect(folder: str | Path, workers: int = 1) -> Iterator[tuple[int, int]]:
    """Lets the finder look at the first variation of every scene of a folder of shards, shard by shard.

    Yields (shards done, of how many). What is there already is not done again. Raises ShardError where a worker dies.
    """
    folder = Path(folder)
    shards = [shard.number for shard in ShardedPeople(folder).shards]
    with filling(folder):
        missing = [number for number in shards if not seen_name(folder, number).exists()]
        done = len(shards) - len(missing)
        yield done, len(shards)
        for number, arrays in in_workers(partial(_detect, str(folder)), missing, workers):
            write_arrays(seen_name(folder, number), arrays, compressed=False)
            done += 1
            yield done, len(shards)


def _detect(folder: str, number: int) -> dict[str, np.ndarray]:
    """What the finder sees of one shard, a row a person."""
    from humesh.people.finder import PeopleFinder

    torch.set_num_threads(1)
    people, found = _people(folder), list[dict[str, Any]]()
    place = [shard.number for shard in people.shards].index(number)
    with PeopleFinder(workers=1) as finder:
        for scene in range(int(people.starts[place]), int(people.starts[place + 1])):
            sample = people[scene]
            boxes = np.array([person.seen.box for person in sample.people]).reshape(-1, 4)
            for person, seen in zip(sample.people, finder.landmarks(sample.photo, boxes), strict=True):
                if seen.keypoints is not None and seen.keypoints[:, 2].any():
                    found.append({
                        "scene": scene, "identity": person.identity,
                        "keypoints": seen.keypoints, "score": seen.score,
                        "landmarks": np.zeros((33, 3)) if seen.landmarks3d is None else seen.landmarks3d,
                        "rotations": person.pose.rotations.numpy(), "shape": person.pose.shape.numpy(),
                        "translation": person.pose.translation.numpy(), "visible": person.visible.numpy(),
                        "camera": sample.photo.camera.matrix.numpy(), "size": np.array(sample.photo.size),
                    })  # fmt: skip
    arrays = {key: np.array([each[key] for each in found]) for key in found[0]} if found else {}
    return {key: a.astype(np.float32) if a.dtype == np.float64 else a for key, a in arrays.items()}


@lru_cache(maxsize=1)
def _people(folder: str) -> ShardedPeople:
    return ShardedPeople(folder)


class DetectedPeople:
    """The people of folders of shards that the finder found, by its points alone, in black photos."""

    def __init__(self, folders: str | Path | Sequence[str | Path], *, body: BodyModel | None = None) -> None:
        paths = [folders] if isinstance(folders, str | Path) else folders
        parts = [part for path in paths for part in seen_arrays(Path(path))]
        self.tracks: tuple[range, ...] = ()
        self.body = body or BodyModel.load("open-low")
        rig, _ = Rig.of(self.body, JOTR30)
        arrays = {key: torch.from_numpy(np.concatenate([part[key] for part in parts])) for key in parts[0]}
        pose = BodyPose(arrays["rotations"], arrays["shape"], arrays["translation"])
        points, _ = rig.points(self.body, pose)
        pixels = Camera(arrays["camera"]).project(torch.cat([points[..., :2], points[..., 2:].clamp(min=1e-3)], dim=-1))
        self.everyone = Points(
            pose, points, pixels, arrays["visible"] > 0, arrays["keypoints"], arrays["landmarks"], arrays["camera"],
            arrays["size"].float(),
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.everyone.points)

    def __getitem__(self, index: int) -> Sample:
        return sample_of(self.everyone.rows(torch.tensor([index])), index, f"detected {index}")

    def batch(self, numbers: Sequence[int], spec: CropSpec, augment: Augment, g: Generator) -> Batch:
        """The people of some numbers at once, mirrored, rolled and in other boxes as the augmentation says."""
        return batch_of(self.everyone.rows(torch.tensor(numbers)), numbers, spec, augment, self.body, g)
