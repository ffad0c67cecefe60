"""What `--device cuda` copies between the CPU and a GPU, counted on a pretended GPU: batches, not people or frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from importlib import import_module
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from humesh.body.joints import MEDIAPIPE33
from humesh.body.model import BodyModel, Rig
from humesh.body.pose import BodyPose
from humesh.body.pose_prior import PosePrior
from humesh.fitting.fit import FitSettings, fit
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import nearest_rotation, rotation_from_axis_angle
from humesh.media.video import Video
from humesh.people.person import Person
from humesh.recover import Recoverer
from humesh.recover_video import _predicted

aten = torch.ops.aten
GPU = torch.device("meta:1")  # torch computes nothing there; no other test has tensors on it


class OnGpu(Tensor):
    """A tensor of the pretended GPU; its numbers are held in the CPU's memory, out of the code's sight."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> OnGpu:
        made = Tensor._make_wrapper_subclass(
            cls, held.shape, held.stride(), held.storage_offset(), dtype=held.dtype, device=GPU
        )
        made.held = held
        return made

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in (Tensor.__getitem__, Tensor.__setitem__):  # torch copies lists of places itself, unseen
            places = args[1] if isinstance(args[1], tuple) else (args[1],)
            places = tuple(torch.tensor(p).to(args[0].device) if isinstance(p, list) else p for p in places)
            args = (args[0], places, *args[2:])
        with torch._C.DisableTorchFunctionSubclass():
            return function(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        raise AssertionError(f"{func} outside of `PretendedGpu`")


class PretendedGpu(TorchDispatchMode):
    """Computes what is on the GPU, refuses to mix it with the CPU's tensors as CUDA does, and counts copies."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down, self.waits = 0, 0, 0

    @property
    def counts(self) -> tuple[int, int, int]:
        """Copies to the GPU and back, and decisions of the CPU that wait for the GPU's numbers."""
        return self.up, self.down, self.waits

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        here = any(isinstance(tensor, OnGpu) for tensor in tensors)
        if "device" in kwargs and kwargs["device"] is not None:
            there = torch.device(kwargs["device"]) == GPU
            kwargs["device"] = torch.device("cpu")
        else:
            there = here
        plain = tree_map_only(OnGpu, lambda tensor: tensor.held, (args, kwargs))
        if function in (aten._local_scalar_dense.default, aten.equal.default, aten.is_nonzero.default):
            self.waits += here
            return function(*plain[0], **plain[1])
        if function in (aten.copy_.default, aten._to_copy.default):
            if function == aten.copy_.default:
                there, here = (isinstance(tensor, OnGpu) for tensor in args[:2])
            self.up += there and not here
            self.down += here and not there
        else:
            mixed = [tensor for tensor in tensors if here and not isinstance(tensor, OnGpu) and tensor.ndim]
            assert not mixed, f"{function}: tensors of the CPU and of the GPU"
            self.waits += here and function in (aten.nonzero.default, aten.masked_select.default)
            if here and function == aten.index.Tensor:
                self.waits += any(index is not None and index.dtype == torch.bool for index in args[1])
        result = function(*plain[0], **plain[1])
        return tree_map_only(Tensor, OnGpu, result) if there else result


@pytest.fixture
def gpu() -> Iterator[PretendedGpu]:
    with PretendedGpu() as mode:
        nearest_rotation(torch.eye(3).to(GPU))  # roma copies a constant once in a process
        mode.up = 0
        yield mode


def test_the_pretended_gpu_counts_and_refuses(gpu: PretendedGpu) -> None:
    numbers = torch.arange(6.0).reshape(2, 3)
    there = numbers.to(GPU)
    assert there.device == GPU
    assert gpu.counts == (1, 0, 0)
    twice = there @ torch.eye(3, device=GPU) + there.new_ones(3) * 2
    assert gpu.counts == (1, 0, 0)
    assert torch.equal(twice.cpu(), numbers + 2)
    assert gpu.counts == (1, 1, 0)
    assert (twice > 2).any()
    assert gpu.counts == (1, 1, 1)
    assert there[:, [0, 2]].shape == (2, 2)
    assert gpu.counts == (2, 1, 1)
    with pytest.raises(AssertionError, match="CPU and of the GPU"):
        there + numbers


PRIOR, CAMERA = PosePrior.load(), Camera.virtual(900.0, (640, 480))


def _people(body: BodyModel, count: int) -> tuple[BodyPose, Tensor]:
    """Poses, and the keypoints of poses beside them."""
    generator = torch.Generator().manual_seed(count)
    turns = 0.3 * torch.randn(count, 24, 3, generator=generator, dtype=torch.float64)
    place = torch.tensor([0.0, 0.0, 4.0]) + 0.2 * torch.randn(count, 3, generator=generator, dtype=torch.float64)
    pose = BodyPose(rotation_from_axis_angle(turns), torch.zeros(count, body.shapes).double(), place)
    other = replace(pose, rotations=rotation_from_axis_angle(turns + 0.1))
    points, _ = Rig.of(body, MEDIAPIPE33)[0].points(body, other)
    return pose, torch.cat([CAMERA.project(points), torch.ones(count, 33, 1)], dim=-1)


@pytest.mark.parametrize("landmarks", [False, True])
def test_a_fit_copies_as_often_for_one_as_for_many(open_body: BodyModel, gpu: PretendedGpu, landmarks: bool) -> None:
    body, counts = open_body.on(GPU), []
    for people, steps in ((1, 1), (3, 2)):
        pose, keypoints = _people(open_body, people)
        deep = torch.ones(people, 33, 4) * torch.arange(33)[:, None, None][:, 0] / 33 if landmarks else None
        settings = FitSettings(wide_steps=steps, steps=steps)
        before = gpu.counts
        found = fit(
            body, PRIOR, pose.map(lambda tensor: tensor.to(GPU)), keypoints, MEDIAPIPE33, CAMERA, settings, deep
        )
        found = found.map(Tensor.cpu)
        counts.append(tuple(after - was for after, was in zip(gpu.counts, before, strict=True)))
        wanted = fit(open_body, PRIOR, pose, keypoints, MEDIAPIPE33, CAMERA, settings, deep)
        assert torch.allclose(found.rotations, wanted.rotations, atol=1e-9)
        assert (found.translation - wanted.translation).abs().max() < 1e-9
    assert len(set(counts)) == 1
    assert sum(counts[0]) < 40


def _person(track: int, camera: Camera, body: BodyModel) -> Person:
    """Somebody with keypoints and landmarks, as the finder gives them."""
    pose, keypoints = _people(body, track)
    points, _ = Rig.of(body, MEDIAPIPE33)[0].points(body, pose)
    box = np.array([*keypoints[-1, :, :2].amin(0), *keypoints[-1, :, :2].amax(0)])
    return Person(box, 1.0, keypoints[-1].numpy(), MEDIAPIPE33, points[-1].numpy(), track=track)


def _poses(recoverer: Recoverer, video: Video, people: list[list[Person]]) -> dict[tuple[int, int], BodyPose]:
    numbers, some, poses = zip(*_predicted(video, people, recoverer, 1, CAMERA, lambda *_: None), strict=True)
    done = recoverer.fitted(BodyPose.stacked(poses), list(some), CAMERA, (640, 480))
    return {
        (n, person.track or 0): done.map(itemgetter(i)) for i, (n, person) in enumerate(zip(numbers, some, strict=True))
    }


@pytest.mark.parametrize("weights", ["lifter", "lifter_video"])
def test_a_video_is_copied_batch_by_batch(
    open_body: BodyModel, gpu: PretendedGpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: str
) -> None:
    quick = FitSettings(wide_steps=1, steps=1)
    monkeypatch.setattr(import_module("humesh.recover"), "fit", partial(fit, settings=quick))
    for number in range(4):
        Image.new("RGB", (640, 480)).save(tmp_path / f"{number}.png")
    video, counts = Video(tmp_path), []
    on_gpu, on_cpu = (Recoverer(open_body, device=device, weights=weights) for device in (str(GPU), "cpu"))
    for frames, persons in ((2, 1), (4, 3)):
        here = [_person(track, CAMERA, open_body) for track in range(1, 1 + persons)]
        people = [here] * frames
        before = gpu.counts
        found = _poses(on_gpu, video, people)
        counts.append(tuple(after - was for after, was in zip(gpu.counts, before, strict=True)))
        wanted = _poses(on_cpu, video, people)
        assert set(found) == set(wanted)
        assert len(found) == frames * persons
        for key, pose in wanted.items():
            assert torch.allclose(found[key].rotations, pose.rotations, atol=1e-4)
            assert (found[key].translation - pose.translation).abs().max() < 5e-4  # half a millimetre
    assert len(set(counts)) == 1, counts
