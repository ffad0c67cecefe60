"""Moving people without pictures: labels agree with the body and the motion file, errors are alike over time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from humesh.body.joints import JOTR30
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.data.augment import Augment
from humesh.data.batch import Batch, Groups, joined
from humesh.data.synthetic.motion import MotionError, rotations
from humesh.data.synthetic.posed_clips import PosedClips
from humesh.images.crops import CropSpec
from humesh.images.seen_box import seen_box

SPEC = CropSpec((32, 32), "frames", 16, keypoints=JOTR30, box=seen_box, landmarks=True)
FRAMES = 90


def _file(path: Path, places: np.ndarray | None = None) -> Path:
    """Somebody who swings arms and legs, each joint a sine of its own, and walks along x."""
    g, when = np.random.default_rng(0), np.arange(FRAMES)[:, None, None] / 30
    swing = g.normal(0, 0.3, (1, 24, 3)) * np.sin(2 * np.pi * (0.7 * when + g.random((1, 24, 3))))
    swing[:, 0] = 0
    walk = np.zeros((FRAMES, 3)) if places is None else places
    np.savez(path, poses=swing, trans=walk, mocap_framerate=30.0)
    return path


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> PosedClips:
    walk = np.linspace([0, 0, 0], [1.5, 0, 0], FRAMES)
    return PosedClips([_file(tmp_path_factory.mktemp("motion") / "walk.npz", walk)], seed=3)


@pytest.fixture(scope="module")
def batch(clips: PosedClips) -> Batch:
    return clips.batch(range(32), SPEC, Augment(), np.random.default_rng(0))


def test_labels_are_those_of_the_posed_body(batch: Batch) -> None:
    body, targets = BodyModel.load("open-low"), batch.targets
    points = body.points(body(targets.pose), JOTR30)
    assert torch.allclose(points, targets.points3d, atol=1e-4)
    pixels = batch.crops.camera.project(targets.points3d)
    ahead = targets.points2d_weight > 0
    assert torch.allclose(pixels[ahead], targets.points2d[ahead], atol=1e-2)


def test_a_clip_is_one_person_who_moves_as_in_the_file(clips: PosedClips, batch: Batch) -> None:
    shape = batch.targets.pose.shape
    assert torch.equal(shape, shape[:, :1].expand_as(shape))
    assert len(batch.targets.identity[:, 0].unique()) == 32
    assert torch.equal(batch.targets.identity, batch.targets.identity[:, :1].expand(-1, 16))
    # At 12 to 30 frames a second every joint turns a little between frames, as in the file.
    turned = batch.targets.pose.rotations[:, :, 1:]
    step = (turned[:, :-1].mT @ turned[:, 1:] - torch.eye(3)).flatten(-2).norm(dim=-1)
    file = torch.from_numpy(rotations(clips.motion.poses[:, 1:]))
    most = (file[:-1].mT @ file[1:] - torch.eye(3)).flatten(-2).norm(dim=-1).max()
    assert step.mean() > 0
    assert step.max() <= 2.6 * most  # 30 / 12 frames of the file at most
    walked = (batch.targets.pose.translation[:, -1] - batch.targets.pose.translation[:, 0]).norm(dim=-1)
    assert (walked > 0.1).double().mean() > 0.5  # 0.5 m a second


def test_between_two_frames_of_the_file_rotations_are_between(clips: PosedClips) -> None:
    """With one joint that turns evenly, every step of a clip is the same turn."""
    even = np.zeros((FRAMES, 24, 3))
    even[:, 5, 0] = np.linspace(0, 1.5, FRAMES)
    motion = clips.motion.__class__(
        even, np.zeros((FRAMES, 3)), clips.motion.category, clips.motion.categories, clips.motion.clips
    )
    clips = object.__new__(PosedClips)
    vars(clips).update({
        "motion": motion, "clips": motion.clips, "weights": np.ones(1), "frames": 16, "stride": 1.0,
    })  # fmt: skip
    for seed in range(4):
        poses, places = clips._play(np.random.default_rng(seed))
        angles = np.arccos((np.trace(poses[:-1].transpose(0, 1, 3, 2) @ poses[1:], axis1=-2, axis2=-1) - 1) / 2)
        moving = angles.max(0) > 1e-6
        assert moving.sum() == 1
        np.testing.assert_allclose(angles[:, moving], angles[0, moving].mean(), rtol=1e-6)
        np.testing.assert_allclose(places, 0)


def test_errors_are_alike_from_frame_to_frame(batch: Batch) -> None:
    """Less apart between neighbours than between the clip's ends, and much less than between clips."""
    seen = batch.targets.points2d_weight > 0
    error = torch.where(seen[..., None], batch.crops.keypoints[..., :2] - batch.targets.points2d, 0.0)

    def apart(one: torch.Tensor, other: torch.Tensor) -> float:
        return float((one - other).norm(dim=-1).median())

    near, ends = apart(error[:, 1:], error[:, :-1]), apart(error[:, 8:], error[:, :8])
    assert near < 0.8 * ends
    assert near > 0


def test_absent_frames_weigh_nothing(batch: Batch) -> None:
    gone = ~batch.crops.present
    assert batch.crops.present.any(1).all()
    for name, weight in vars(batch.targets).items():
        if name.endswith("_weight"):
            assert not weight[gone].any(), name


def test_the_same_numbers_are_the_same_clips(clips: PosedClips) -> None:
    first, again = (joined(Groups(SPEC, [clips], clips.body).__getitems__(list(range(3)))) for _ in range(2))
    assert torch.equal(first.crops.keypoints, again.crops.keypoints)
    other = joined(Groups(SPEC, [clips], clips.body).__getitems__(list(range(3, 6))))
    assert not torch.equal(first.crops.keypoints, other.crops.keypoints)
    assert isinstance(first.targets.pose, BodyPose)
    sample = clips[5]
    assert len(sample.people) == 1
    assert torch.equal(sample.people[0].points3d, clips[5].people[0].points3d)


def test_a_file_without_clips_is_told(tmp_path: Path) -> None:
    np.savez(tmp_path / "still.npz", poses=np.zeros((4, 24, 3)))
    with pytest.raises(MotionError, match="expected clips of at least 16 frames at 30 a second, found none"):
        PosedClips([tmp_path / "still.npz"])
