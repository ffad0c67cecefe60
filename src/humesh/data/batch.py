"""From samples to what a method trains on: groups of crops with their labels, by number."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from functools import lru_cache, partial
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from humesh.body.joints import JOTR30
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.crops.crops import Crops, CropSpec, group_people
from humesh.data.augment import Augment, Change, mirrored, rolled_pose
from humesh.data.detector_errors import with_detector_errors
from humesh.data.sample import Dataset, LabelledPerson, Sample, as_joint_set, joints_of_fit, stored
from humesh.errors import HumeshError
from humesh.geometry.boxes import affine_apply
from humesh.geometry.rotations import rotation_about_z
from humesh.losses import Targets

Copies = tuple[tuple[float, float, float], ...]
_LABELS = tuple(field.name for field in fields(Targets) if field.name not in ("pose", "joint_set"))
_WEIGHTS = ("pose_weight", "shape_weight", "translation_weight", "points3d_weight", "points2d_weight")
_SHUFFLED_UP_TO = 10**7  # samples; of longer data sets, which are made on the fly, every number is as good as another


class DataError(HumeshError, ValueError):
    """Data that cannot be read or used; the sentence says which sample, what was found and what to do."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Crops with the labels of the people in them."""

    crops: Crops
    targets: Targets

    def map(self, function: Callable[[Tensor], Tensor]) -> Batch:
        """The batch with a function applied to each of its tensors (indexing, moving)."""
        labels: dict[str, Any] = {name: function(getattr(self.targets, name)) for name in _LABELS}
        return Batch(self.crops.map(function), replace(self.targets, pose=self.targets.pose.map(function), **labels))

    def pin_memory(self) -> Batch:
        """The batch where a GPU can fetch it from by itself; called by torch's DataLoader."""
        return self.map(Tensor.pin_memory)

    def to(self, device: torch.device) -> Batch:
        """The batch on a device."""
        return self.map(lambda tensor: tensor.to(device, non_blocking=True))


def joined(batches: Sequence[Batch], dim: int = 0) -> Batch:
    """Groups one after the other (dim 0), or crops of one group (dim 1); the collate function of training."""
    targets = [batch.targets for batch in batches]
    labels = {name: torch.cat([getattr(part, name) for part in targets], dim) for name in _LABELS}
    pose = BodyPose.joined([part.pose for part in targets], dim)
    crops = type(batches[0].crops).joined([batch.crops for batch in batches], dim)
    return Batch(crops, Targets(pose=pose, joint_set=targets[0].joint_set, **labels))


def padded(batch: Batch, count: int) -> Batch:
    """A group with absent crops after it, `count` in all."""
    missing = count - batch.crops.present.shape[1]
    if missing <= 0:
        return batch
    first = batch.map(lambda tensor: tensor[:, :1])
    return joined([batch, *[_absent(first)] * missing], dim=1)


def _absent(batch: Batch) -> Batch:
    """The same shapes with nobody there: every weight 0, no identity."""
    crops, nobody = batch.crops, torch.zeros_like(batch.crops.present)
    labels: dict[str, Any] = {name: torch.zeros_like(getattr(batch.targets, name)) for name in _LABELS}
    labels["identity"] -= 1
    return Batch(
        replace(crops, pixels=torch.zeros_like(crops.pixels), present=nobody, wanted=nobody),
        replace(batch.targets, **labels),
    )


@runtime_checkable
class BatchMaker(Protocol):
    """A data set that makes batches of one person a group (not of "people" or "rois") faster than one by one."""

    def batch(self, numbers: Sequence[int], spec: CropSpec, augment: Augment, g: np.random.Generator) -> Batch:
        """The people of some numbers; what is random is drawn from `g`."""
        ...


class Part:
    """Consecutive samples of a data set, as one of their own; clips that reach beyond them are left out.

    Of a data set that has variations of its `stored` samples, `inside` are stored ones, and `taken` varies them.
    """

    def __init__(self, dataset: Dataset, inside: range) -> None:
        self.dataset, self.stored, self.inside = dataset, stored(dataset), inside
        tracks = (track for track in dataset.tracks if track.start >= inside.start and track.stop <= inside.stop)
        self.tracks = tuple(range(track.start - inside.start, track.stop - inside.start) for track in tracks)

    def __len__(self) -> int:
        return len(self.inside)

    def __getitem__(self, index: int) -> Sample:
        return self.taken(index, 0)

    def taken(self, index: int, time: int) -> Sample:
        """A sample as it is when it is taken for that time, counted from 0."""
        return self.dataset[(self.inside[index] + time * self.stored) % len(self.dataset)]


def split(dataset: Dataset, held_out: int) -> tuple[Part, Part]:
    """A data set without its last samples, and these; neither a clip nor a sample's variations are in both."""
    count = stored(dataset)
    cut = max(count - held_out, 0)
    cut = min([cut, *(track.start for track in dataset.tracks if cut < track.stop <= count)])
    return Part(dataset, range(cut)), Part(dataset, range(cut, count))


class Mix:
    """Numbers to samples of several data sets: each gets its share of every range of numbers, not only on average.

    A number stands for one data set and one of its units (photos, or windows of clips) for ever; a data set is gone
    through in a new order, drawn from the seed, each time.
    """

    def __init__(self, sizes: Sequence[int], shares: Sequence[float], seed: int) -> None:
        self.sizes, self.seed = tuple(sizes), seed
        self.shares = [Fraction(share / sum(shares)).limit_denominator(10**6) for share in shares]

    def __call__(self, number: int) -> tuple[int, int, int]:
        """The data set of a number, the unit of it, and how often that was taken before."""
        left, place = Fraction(1), number
        for index, share in enumerate(self.shares):
            part = share / left if left and index + 1 < len(self.shares) else Fraction(1)
            before, after = place * part // 1, (place + 1) * part // 1
            if after > before:
                return index, *self._shuffled(index, int(before))
            place, left = place - int(before), left - share
        raise AssertionError("the last data set takes all that is left")

    def _shuffled(self, index: int, place: int) -> tuple[int, int]:
        time, place = divmod(place, self.sizes[index])
        if self.sizes[index] > _SHUFFLED_UP_TO:
            return place, time
        return int(_order(self.sizes[index], self.seed, index, time)[place]), time


@lru_cache(maxsize=8)
def _order(size: int, seed: int, index: int, epoch: int) -> np.ndarray:
    return np.random.default_rng((seed, index, epoch, 1)).permutation(size)


class Groups:
    """Groups of crops with labels, by number, for a method's spec: what a DataLoader reads.

    `people`: how many crops a group of "people" has, absent ones included. `copies`: draws the boxes of "rois" anew for
    each sample. `stride`: how many frames apart those of a clip are taken, for all data sets or for each. `body`: in
    whose shape space the labels are; their points are JOTR30's. `joints_from_fits`: see `joints_of_fit`.
    `for_skeleton`: the data sets whose people have `body_weight` 0. The same number is the same group, bit for bit,
    in every process.
    """

    def __init__(
        self, spec: CropSpec, datasets: Sequence[Dataset], body: BodyModel, shares: Sequence[float] = (1.0,),
        augment: Augment | None = None, seed: int = 0, people: int = 1,
        copies: Callable[[torch.Generator], Copies] | None = None, stride: int | Sequence[int] = 1,
        names: Sequence[str] = (), joints_from_fits: bool = False, for_skeleton: Container[int] = (),
    ) -> None:  # fmt: skip
        self.datasets = [dataset if isinstance(dataset, Part) else split(dataset, 0)[0] for dataset in datasets]
        self.spec, self.augment, self.seed = spec, augment or Augment(), seed
        self.body, self.people, self.copies = body, people, copies
        self.strides = [stride] * len(datasets) if isinstance(stride, int) else list(stride)
        self.joints_from_fits, self.for_skeleton = joints_from_fits, for_skeleton
        self.names = tuple(names) or tuple(map(str, range(len(datasets))))
        for dataset, name in zip(self.datasets, self.names, strict=True):
            if not len(dataset):
                raise DataError(f"data {name!r}: expected samples to train on, it is empty.")
        self.windows = [self._windows(*each) for each in zip(self.datasets, self.strides, strict=True)]
        sizes = [len(windows) or len(part) for part, windows in zip(self.datasets, self.windows, strict=True)]
        self.mix = Mix(sizes, shares, seed)

    def _windows(self, dataset: Part, stride: int) -> list[tuple[range, int]]:
        """(track, first possible start) of the windows of a data set's clips; empty for photos."""
        if self.spec.group != "frames":
            return []
        length = (self.spec.count or 1) * stride
        return [(t, start) for t in dataset.tracks for start in range(t.start, t.stop, length)]

    def __len__(self) -> int:
        return 2**62  # numbers never end

    def __getitems__(self, numbers: list[int]) -> list[Batch]:
        """For a DataLoader: groups one by one, or at once where all data sets make batches."""
        makers = all(isinstance(part.dataset, BatchMaker) for part in self.datasets)
        if not makers or self.spec.group in ("people", "rois"):
            return [self[number] for number in numbers]
        rng, batches = np.random.default_rng((self.seed, *numbers[:1], len(numbers))), []
        drawn = [self.mix(number) for number in numbers]
        for index, part in enumerate(self.datasets):
            units = [part.inside[unit] for which, unit, _ in drawn if which == index]
            if units and isinstance(part.dataset, BatchMaker):
                batches.append(part.dataset.batch(units, self.spec, self.augment, rng))
        return batches

    def __getitem__(self, number: int) -> Batch:
        which, unit, time = self.mix(number)
        try:
            return self._group(which, unit, time, np.random.default_rng((self.seed, number)))
        except Exception as error:  # whatever goes wrong, the user must learn at which sample
            reason = str(error) if isinstance(error, HumeshError) else f"{type(error).__name__}: {error}"
            raise DataError(f"data {self.names[which]!r}, sample {unit} (number {number}): {reason}") from error

    def _group(self, which: int, unit: int, time: int, rng: np.random.Generator) -> Batch:
        change = self.augment.draw(rng)
        spec = replace(self.spec, box=change.of_box(self.spec.box))
        if self.copies is not None:
            spec = replace(spec, copies=self.copies(torch.Generator().manual_seed(int(rng.integers(2**62)))))
        if spec.group == "frames":
            batch = self._clip(spec, which, unit, time, change, rng)
        else:
            sample = self._sample(which, unit, time, change)
            if not sample.people:
                raise DataError(f"photo {sample.name!r}: expected labelled people, found nobody; leave it out.")
            wanted = min(self.people if spec.group == "people" else 1, len(sample.people))
            chosen = rng.permutation(len(sample.people))[:wanted]
            batch = self._labelled(spec, sample, [sample.people[i] for i in chosen], change)
            batch = padded(batch, self.people) if spec.group == "people" else batch
        crops, present = batch.crops, batch.crops.present
        crops = replace(crops, pixels=torch.where(present[..., None, None, None], change.of_pixels(crops.pixels[0]), 0))
        if change.keypoint_errors and spec.keypoints is not None:
            exact = crops.keypoints[0].double().numpy()
            moved = with_detector_errors(exact, spec.keypoints, change.keypoint_errors, rng)
            crops = replace(crops, keypoints=torch.from_numpy(moved[None]).to(crops.keypoints))
        # No two data sets have the same people.
        identity = torch.where(batch.targets.identity >= 0, batch.targets.identity + (which << 40), -1)
        body = batch.targets.body_weight * (which not in self.for_skeleton)
        return Batch(crops, replace(batch.targets, identity=identity, body_weight=body))

    def _clip(
        self, spec: CropSpec, which: int, unit: int, time: int, change: Change, rng: np.random.Generator
    ) -> Batch:
        """One person in `spec.count` frames; frames without them, and those after a clip's end, are absent."""
        windows, stride, count, numbers = self.windows[which], self.strides[which], spec.count or 1, [unit]
        if windows:
            track, start = windows[unit]
            last = max(track.stop - 1 - (count - 1) * stride, track.start)
            start = min(start + int(rng.integers(count * stride)), last)
            numbers = [n for n in range(start, start + count * stride, stride) if n < track.stop]
        samples = [self._sample(which, n, time, change) for n in numbers]
        if not (first := next((sample for sample in samples if sample.people), None)):
            raise DataError("expected a person in the clip, found nobody; leave it out.")
        identity = first.people[int(rng.integers(len(first.people)))].identity
        frames: list[Batch | None] = []
        for sample in samples:
            person = next((p for p in sample.people if p.identity == identity), None)
            frames.append(None if person is None else self._labelled(spec, sample, [person], change))
        nobody = _absent(next(frame for frame in frames if frame is not None))
        return padded(joined([frame or nobody for frame in frames], dim=1), count)

    def _sample(self, which: int, number: int, time: int, change: Change) -> Sample:
        sample = as_joint_set(self.datasets[which].taken(number, time), JOTR30)
        if self.joints_from_fits:
            sample = sample.map(partial(joints_of_fit, body=self.body, camera=sample.photo.camera))
        return mirrored(sample) if change.mirrored else sample

    def _labelled(self, spec: CropSpec, sample: Sample, people: list[LabelledPerson], change: Change) -> Batch:
        """One group: of the people, or of one person's copies."""
        crops = group_people(spec, sample.photo, [person.seen for person in people], change.roll)
        count = crops.present.shape[1]
        if spec.group == "rois":
            people = people * count
        pose = BodyPose.stacked([person.pose for person in people]).map(Tensor.float)
        if change.roll:
            pose = rolled_pose(pose, change.roll, self.body)

        def stacked(name: str) -> Tensor:
            return torch.stack([getattr(person, name) for person in people])[None].float()

        pixels = torch.stack([person.points2d for person in people]).double()
        targets = Targets(
            pose=pose.map(lambda tensor: tensor[None]),
            joint_set=people[0].joint_set,
            points3d=stacked("points3d") @ rotation_about_z(torch.tensor(change.roll)).mT,
            points2d=affine_apply(crops.crop_from_photo[0].double(), pixels).float()[None],
            identity=torch.tensor([[person.identity for person in people]]),
            metric_weight=torch.tensor([[float(person.metric) for person in people]]),
            body_weight=torch.ones(1, len(people)),
            **{name: stacked(name) for name in _WEIGHTS},
        )
        return Batch(crops, targets)
