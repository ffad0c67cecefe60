"""What MediaPipe says of shards: kept whole, read back, and given for the right people in mirrors and rolls too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from humesh.body.joints import JOTR30, MEDIAPIPE33
from humesh.body.model import BodyModel
from humesh.crops.crops import CropSpec
from humesh.crops.groups import jotr_box
from humesh.data.augment import Augment, mirrored
from humesh.data.batch import Groups
from humesh.data.synthetic.detected import DetectedPeople, detect
from humesh.data.synthetic.points import batch_of
from humesh.data.synthetic.shards import Plan, ShardedPeople, ShardError, write_shards
from humesh.geometry.camera import Camera
from humesh.losses.targets import body_pixels, normalised

SPEC = CropSpec((32, 32), keypoints=JOTR30, box=jotr_box, landmarks=True)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    np.savez(folder / "poses.npz", poses=np.random.default_rng(0).normal(0, 0.15, (50, 24, 3)))
    list(write_shards(folder / "s", Plan((str(folder / "poses.npz"),), 12, (1, 2), 256, 1, 1)))
    assert list(detect(folder / "s"))[-1] == (1, 1)
    return folder / "s"


@pytest.fixture(scope="module")
def people(shards: Path) -> DetectedPeople:
    return DetectedPeople(shards)


def test_it_is_done_once(shards: Path, people: DetectedPeople) -> None:
    before = (shards / "seen-00000.npz").stat().st_mtime_ns
    assert list(detect(shards)) == [(1, 1)]
    assert (shards / "seen-00000.npz").stat().st_mtime_ns == before
    assert not list(shards.glob(".*"))
    assert len(people) >= 4  # of 12 photos


def test_mediapipe_found_the_person_that_is_labelled(people: DetectedPeople) -> None:
    shoulders = ("left_shoulder", "right_shoulder")
    everyone = people.everyone
    true = everyone.pixels[:, JOTR30.indices(*shoulders)].mean(1)
    said = everyone.keypoints[:, MEDIAPIPE33.indices(*shoulders), :2].mean(1)
    size = torch.from_numpy(np.ptp(everyone.keypoints[..., :2].numpy(), axis=1).max(-1))
    off = (true - said).norm(dim=-1) / size
    assert float(off.median()) < 0.1


def test_labels_agree_with_cameras_in_whole_batches_however_they_are_changed(people: DetectedPeople) -> None:
    augment = Augment(centre=0.05, scale=0.1, mirror=0.5, roll=30.0, rolled=1.0)
    groups = Groups(SPEC, [people], people.body, augment=augment, seed=3)
    for start in (0, 8):
        (batch,) = groups.__getitems__(list(range(start, start + 8)))
        crops, targets = batch.crops, batch.targets
        near = targets.points2d_weight > 0
        pixels = crops.camera.project(targets.points3d)
        assert torch.allclose(pixels[near], targets.points2d[near], atol=0.02)
        points = people.body.points(people.body(targets.pose), JOTR30)
        assert torch.allclose(points, targets.points3d, atol=1e-4)
        made, true = (normalised(p, crops.size) for p in (body_pixels(points, crops.camera), targets.points2d))
        assert float(((made - true).abs() * targets.points2d_weight[..., None]).max()) < 0.01


def test_a_mirror_is_the_mirror_of_samples(people: DetectedPeople) -> None:
    sample = mirrored(people[0])
    everyone = people.everyone.rows(torch.tensor([0])).mirrored(torch.tensor([True]))
    (person,) = sample.people
    assert person.seen.keypoints is not None
    assert person.seen.landmarks3d is not None
    assert torch.allclose(everyone.points[0], person.points3d, atol=1e-6)
    assert torch.allclose(everyone.pose.rotations[0], person.pose.rotations, atol=1e-6)
    assert np.allclose(everyone.keypoints[0].numpy(), person.seen.keypoints, atol=1e-3)
    assert np.allclose(everyone.landmarks[0].numpy(), person.seen.landmarks3d, atol=1e-6)
    assert torch.allclose(everyone.camera[0], sample.photo.camera.matrix.float(), atol=1e-3)


def test_a_roll_turns_what_was_said_as_the_labels(people: DetectedPeople) -> None:
    body = BodyModel.load("open-low")
    row = people.everyone.rows(torch.tensor([0, 1]))
    rolled = row.rolled(torch.tensor([0.3, -0.4]), body)
    camera = Camera(rolled.camera)
    ahead = rolled.points[..., 2] > 0.2
    assert torch.allclose(camera.project(rolled.points)[ahead], rolled.pixels[ahead], atol=0.05)
    before, after = (p.keypoints[..., :2] - p.pixels[:, [JOTR30.index("pelvis")]] for p in (row, rolled))
    assert torch.allclose(before.norm(dim=-1), after.norm(dim=-1), rtol=1e-3)
    assert torch.allclose(row.landmarks.norm(dim=-1), rolled.landmarks.norm(dim=-1), atol=1e-5)
    assert torch.allclose(row.landmarks[..., 2], rolled.landmarks[..., 2], atol=1e-5)


def test_the_same_generator_gives_the_same_batch(people: DetectedPeople) -> None:
    augment = Augment(centre=0.05, scale=0.1, mirror=0.5, roll=30.0)
    one, two = (
        batch_of(people.everyone.rows(torch.arange(3)), range(3), SPEC, augment, people.body, np.random.default_rng(1))
        for _ in range(2)
    )
    assert torch.equal(one.crops.keypoints, two.crops.keypoints)
    assert torch.equal(one.targets.points2d, two.targets.points2d)


def test_several_folders_hold_everyone_as_they_do_alone(tmp_path: Path, shards: Path, people: DetectedPeople) -> None:
    list(write_shards(tmp_path / "t", Plan((str(shards.parent / "poses.npz"),), 6, (1, 2), 256, 2, 1)))
    assert list(detect(tmp_path / "t"))[-1] == (1, 1)
    alone, both = (ShardedPeople(folders) for folders in (tmp_path / "t", [shards, tmp_path / "t"]))
    assert len(both) == 18
    for scene in range(6):
        assert np.array_equal(alone[scene].photo.pixels, both[12 + scene].photo.pixels)
        for one, other in zip(alone[scene].people, both[12 + scene].people, strict=True):
            assert one.seen.keypoints is not None
            assert other.seen.keypoints is not None
            assert np.array_equal(one.seen.keypoints, other.seen.keypoints)
    assert len(DetectedPeople([shards, tmp_path / "t"])) == len(people) + len(DetectedPeople(tmp_path / "t"))


def test_shards_nobody_looked_at_are_told(tmp_path: Path, shards: Path) -> None:
    with pytest.raises(ShardError, match="synth --detect"):
        DetectedPeople(tmp_path)
