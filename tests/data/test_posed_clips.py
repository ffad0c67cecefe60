"""Moving people without pictures: labels agree with the body and the motion file, errors are alike over time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import roma
import torch

from humesh.body.joints import JOTR30, SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.crops.crops import ClipCrops, CropSpec, jotr_box
from humesh.data.augment import Augment
from humesh.data.batch import Batch, Groups, joined
from humesh.data.synthetic.cameras import draw_camera_motion
from humesh.data.synthetic.motion import MotionError, rotations
from humesh.data.synthetic.posed import PosedClips
from humesh.data.synthetic.poses import ClipSampler

SPEC = CropSpec((32, 32), "frames", 16, keypoints=JOTR30, box=jotr_box, landmarks=True)
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
    return PosedClips([_file(tmp_path_factory.mktemp("motion") / "walk.npz", walk)], frames=(16, 16), seed=3)


@pytest.fixture(scope="module")
def batch(clips: PosedClips) -> Batch:
    return clips.batch(range(32), SPEC, Augment(), np.random.default_rng(0))


def test_labels_are_those_of_the_posed_body(batch: Batch) -> None:
    body, targets = BodyModel.load("open-low"), batch.targets
    points = body.points(body(targets.pose), JOTR30)
    assert torch.allclose(points, targets.points3d, atol=1e-4)
    miss = (batch.crops.camera.project(targets.points3d) - targets.points2d).norm(dim=-1)
    miss = torch.where(targets.points2d_weight > 0, miss, 0.0)
    assert miss[..., JOTR30.index("pelvis")].max() < 1e-2
    known = miss.amax((1, 2)) < 1e-2  # a focal length that is off fits the pelvis, and others up to their depth
    assert 0.2 < known.float().mean() < 0.7


def test_a_clip_is_one_person_who_moves_as_in_the_file(clips: PosedClips, batch: Batch) -> None:
    assert isinstance(batch.crops, ClipCrops)
    seconds = batch.crops.seconds.diff(dim=1)
    assert torch.allclose(seconds, seconds[:, :1].expand_as(seconds), atol=1e-5)
    assert 1 / 60 <= seconds.min() < 1 / 40
    assert 1 / 15 < seconds.max() <= 1 / 7.5 + 1e-6
    shape = batch.targets.pose.shape
    assert torch.equal(shape, shape[:, :1].expand_as(shape))
    assert len(batch.targets.identity[:, 0].unique()) == 32
    assert torch.equal(batch.targets.identity, batch.targets.identity[:, :1].expand(-1, 16))
    # Every joint turns as fast as in the file.
    turned = batch.targets.pose.rotations[:, :, 1:]
    speed = roma.rotmat_to_rotvec(turned[:, :-1].mT @ turned[:, 1:]).norm(dim=-1) / seconds[..., None]
    file = torch.from_numpy(rotations(clips.motion.poses[:, 1:]))
    most = 30 * roma.rotmat_to_rotvec(file[:-1].mT @ file[1:]).norm(dim=-1).max()
    assert speed.mean() > 0
    assert speed.max() <= 1.01 * most
    # Before a camera that stands still somebody walks half a metre a second, longer legs faster.
    walked = (batch.targets.pose.translation[:, 1:] - batch.targets.pose.translation[:, :-1]).norm(dim=-1) / seconds
    still = walked.std(1) < 1e-3
    assert still.sum() > 4
    assert walked[still].median() == pytest.approx(0.5 * clips.clips.stride, rel=0.02)


def test_a_camera_that_moves_does_not_bend_the_body(clips: PosedClips) -> None:
    """It turns the root and moves the person: by as much as a camera's turn and path say."""
    g, seconds = np.random.default_rng(0), torch.linspace(-0.5, 0.5, 5).expand(64, -1)
    turn, path = draw_camera_motion(seconds, g)
    assert torch.allclose(turn[:, 2], torch.eye(3).expand(64, -1, -1), atol=1e-6)
    assert not path[:, 2].any()
    moving = path.abs().amax((1, 2)) > 0
    assert 16 < moving.sum() < 48
    assert torch.allclose(path[:, 4], -path[:, 0])
    assert torch.allclose(turn[:, 4], turn[:, 0].mT, atol=1e-6)
    angle = roma.rotmat_to_rotvec(turn[moving][:, 4] @ turn[moving][:, 0].mT)
    assert angle.std(0).numpy() == pytest.approx([0.15, 0.25, 0.05], rel=0.4)


def test_held_out_numbers_play_sequences_of_their_own(tmp_path: Path) -> None:
    """Of twenty sequences, each of people bowed to a degree of its own, the last numbers alone play 9 and 19."""
    poses, spine = np.zeros((20, FRAMES, 24, 3)), SMPL24.index("spine1")
    poses[:, :, spine, 0] = 0.05 * np.arange(20)[:, None]
    sequence = np.repeat(np.arange(20), FRAMES)
    np.savez(
        tmp_path / "many.npz", poses=poses.reshape(-1, 24, 3), trans=np.zeros((20 * FRAMES, 3)), sequence_id=sequence,
        frame_index=np.tile(np.arange(FRAMES), 20), seq_fps=np.full(20, 30.0), seq_category=np.full(20, "walk"),
    )  # fmt: skip
    clips = PosedClips([tmp_path / "many.npz"], frames=(8, 8))

    def played(numbers: range) -> set[int]:
        people, _, _ = clips.people(numbers, np.random.default_rng(0))
        bowed = roma.rotmat_to_rotvec(people.pose.rotations[::8, spine]).norm(dim=-1)
        return set((20 * bowed).round().int().tolist())

    assert played(range(10**8 - 40, 10**8)) == {9, 19}
    assert played(range(300)) == set(range(20)) - {9, 19}


def test_clips_have_one_of_many_lengths(clips: PosedClips) -> None:
    other = PosedClips.__new__(PosedClips)
    vars(other).update(vars(clips) | {"frames": (4, 12)})
    lengths = {
        other.batch([number], SPEC, Augment(), np.random.default_rng(0)).crops.present.shape[1] for number in range(60)
    }
    assert lengths == set(range(4, 13))


def test_between_two_frames_of_the_file_rotations_are_between(clips: PosedClips) -> None:
    """With one joint that turns evenly, every step of a clip is the same turn."""
    even = np.zeros((FRAMES, 24, 3))
    even[:, 5, 0] = np.linspace(0, 1.5, FRAMES)
    motion = clips.motion.__class__(
        even, np.zeros((FRAMES, 3)), clips.motion.category, clips.motion.categories, clips.motion.clips
    )
    sampler = ClipSampler(motion, motion.clips, clips.body)
    poses, places, seconds = sampler.play(motion.clips * 8, 16, (7.5, 60.0), np.random.default_rng(0))
    angles = np.arccos((np.trace(poses[:, :-1].swapaxes(-1, -2) @ poses[:, 1:], axis1=-2, axis2=-1) - 1) / 2)
    assert ((angles.max(1) > 1e-6).sum(1) == 1).all()
    np.testing.assert_allclose(angles.max(-1), 1.5 * 30 / (FRAMES - 1) * np.diff(seconds), rtol=1e-6)
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
    with pytest.raises(MotionError, match="expected clips of at least 64 frames at 60 a second, found none"):
        PosedClips([tmp_path / "still.npz"])
