"""The pose prior: its energy's derivatives, its density, what it says of poses, and the tool that trains it."""

import math

import numpy as np
import pytest
import roma
import torch
import train_pose_prior
from hypothesis import given
from hypothesis import strategies as st

from humesh.body.joints import SMPL24
from humesh.body.pose_prior import _AT, PRIOR_JOINTS, PosePrior
from humesh.geometry.rotations import axis_angle_rate, rotation_from_axis_angle, rotation_to_axis_angle


def _posed(**vectors: tuple[float, float, float]) -> torch.Tensor:
    turns = torch.zeros(24, 3, dtype=torch.float64)
    for joint, vector in {"left_shoulder": (0, 0, -1.2), "right_shoulder": (0, 0, 1.2), **vectors}.items():
        turns[SMPL24.index(joint)] = torch.tensor(vector)
    return rotation_from_axis_angle(turns)


def _some(count: int, spread: float = 0.5) -> torch.Tensor:
    return rotation_from_axis_angle(spread * torch.randn(count, 24, 3, dtype=torch.float64))


@given(st.integers(0, 10_000))
def test_a_vector_moves_as_its_rate_says(seed: int) -> None:
    torch.manual_seed(seed)
    vector = torch.randn(5, 3).double() * torch.tensor([1e-6, 1e-3, 0.1, 1.0, 1.5]).double()[:, None]
    vector = vector * (3.0 / vector.norm(dim=-1, keepdim=True).clamp(min=3.0))
    nudge = 1e-6 * torch.randn(5, 3).double()
    ends = [
        rotation_to_axis_angle(rotation_from_axis_angle(vector) @ rotation_from_axis_angle(s * nudge)) for s in (1, -1)
    ]
    moved = (axis_angle_rate(vector) @ nudge[..., None])[..., 0]
    assert torch.allclose((ends[0] - ends[1]) / 2, moved, atol=1e-11)


def test_the_gradient_is_that_of_the_energy() -> None:
    prior, rotations = PosePrior.load(), _some(4, 0.7)  # far enough out that limits act
    energy, slope, bend = prior.quadratic(rotations)
    assert torch.allclose(energy, prior.energy(rotations))
    for number in range(0, slope.shape[1], 5):
        nudge = torch.zeros(24, 3).double()
        nudge[_AT][number // 3, number % 3] = 1e-6
        up, down = (prior.energy(rotations @ rotation_from_axis_angle(s * nudge)) for s in (1, -1))
        assert torch.allclose((up - down) / 2e-6, slope[:, number], rtol=1e-5, atol=1e-4)
    assert torch.linalg.eigvalsh(bend).min() > 0


def test_autograd_agrees() -> None:
    prior = PosePrior.load()
    turns = (0.5 * torch.randn(3, 24, 3).double()).requires_grad_()
    rotations = rotation_from_axis_angle(turns)
    (by_turn,) = torch.autograd.grad(prior.energy(rotations).sum(), turns)
    slope = prior.quadratic(rotations.detach())[1].unflatten(-1, (-1, 3))
    # dE/dv = rate(v)^-T dE/dd: the vector's rate is dv = rate d
    expected = torch.linalg.solve(axis_angle_rate(turns.detach()[:, _AT]).mT, slope[..., None])[..., 0]
    assert torch.allclose(by_turn[:, _AT], expected, rtol=1e-6, atol=1e-6)
    assert not by_turn[:, SMPL24.indices("pelvis", "left_hand", "right_hand")].any()


def test_the_energy_is_that_of_a_density() -> None:
    """Inside the limits, against torch's own multivariate normal in a chi-square scale mixture: t by its definition."""
    prior = PosePrior.load()
    inside = prior.centre.expand(1, -1, -1, -1)
    rotations = torch.eye(3).double().expand(1, 24, 3, 3).clone()
    rotations[:, _AT] = inside  # every vector is zero
    dims, tail, total = len(prior.low), prior.tail, torch.zeros(()).double()
    assert (prior.low < 0).all()
    assert (prior.high > 0).all()
    for weight, mean, whiten in zip(prior.weight, prior.mean, prior.whiten, strict=True):
        precision = whiten.T @ whiten
        square = mean @ precision @ mean
        log_t = math.lgamma((tail + dims) / 2) - math.lgamma(tail / 2) - dims / 2 * math.log(tail * math.pi)
        log_t += 0.5 * float(torch.logdet(precision)) - (tail + dims) / 2 * math.log1p(float(square) / tail)
        total += weight * math.exp(log_t)
    assert torch.allclose(prior.energy(rotations)[0], -total.log(), rtol=1e-9)


def test_people_bend_the_way_people_do() -> None:
    energy = PosePrior.load().energy
    standing, wild = energy(_posed()), energy(roma.random_rotmat(24 * 20).double().unflatten(0, (20, 24))).min()
    squat = energy(_posed(left_hip=(-1.5, 0, 0.2), right_hip=(-1.5, 0, -0.2), left_knee=(1.7, 0, 0),
                          right_knee=(1.7, 0, 0)))  # fmt: skip
    assert standing < squat < wild
    for joint, right, wrong in (
        ("left_knee", (0.8, 0, 0), (-0.8, 0, 0)),
        ("right_elbow", (0, 0.8, 0), (0, -0.8, 0)),
        ("left_elbow", (0, -0.8, 0), (0, 0.8, 0)),
        ("spine1", (0.3, 0, 0), (-0.8, 0, 0)),
    ):
        assert energy(_posed(**{joint: right})) + 10 < energy(_posed(**{joint: wrong})), joint


def test_a_mirrored_pose_is_about_as_likely() -> None:
    prior = PosePrior.load()
    left, right = _posed(left_elbow=(0, -1.0, 0)), _posed(right_elbow=(0, 1.0, 0))
    assert abs(prior.energy(left) - prior.energy(right)) < 3  # half of the training poses are mirrored


def test_no_pull_grows_without_bound() -> None:
    """Heavy tails: far from everything the components' force falls, as (tail + D) / distance."""
    prior = PosePrior.load()
    inside = (prior.low + prior.high) / 2  # limits do not act
    force = [
        torch.autograd.functional.jacobian(
            lambda v: prior._energy(v)[0], inside * 0 + scale * prior.high.clamp(max=2.0)
        )
        for scale in (0.5, 0.99)
    ]
    assert force[1].norm() < 3 * force[0].norm()


def test_the_asset_says_what_it_is() -> None:
    about = PosePrior.load().about
    assert "mocap.cs.cmu.edu" in about["acknowledgement"]
    assert about["licence"] == "free for any use"
    assert tuple(about["joints"]) == PRIOR_JOINTS


@pytest.fixture
def motion(tmp_path):
    random = np.random.default_rng(0)
    poses = 0.3 * random.standard_normal((300, 24, 3)).astype(np.float16)
    path = tmp_path / "motion.npz"
    sequence, category = np.repeat([0, 1], [280, 20]), np.array(["walk", "sit"])
    np.savez(path, poses=poses, sequence_id=sequence, seq_category=category)
    return path


def test_the_same_seed_trains_the_same_prior(motion) -> None:
    once, again, other = (train_pose_prior.train(motion, 200, 2, 3, seed) for seed in (0, 0, 1))
    assert once.keys() == again.keys()
    assert all(np.array_equal(once[name], again[name]) for name in once)
    assert not np.array_equal(once["mean"], other["mean"])


def test_rare_categories_count_like_others_as_far_as_they_go(motion) -> None:
    with np.load(motion) as arrays:
        poses = arrays["poses"].astype(np.float64).copy()
        poses[:280, 1] = 0  # the left hip: still when walking
        poses[:280, 2] = 0
        poses[280:, 1:3] = 0.5
        np.savez(motion, **{**arrays, "poses": poses.astype(np.float16)})
    drawn = train_pose_prior.balanced(motion, 200, np.random.default_rng(0))
    sitting = rotation_to_axis_angle(drawn[:, 1]).norm(dim=-1) > 0.1
    assert int(sitting.sum()) == 100
    drawn = train_pose_prior.balanced(motion, 1000, np.random.default_rng(0))
    assert int((rotation_to_axis_angle(drawn[:, 1]).norm(dim=-1) > 0.1).sum()) == 20 * train_pose_prior.REPEATS


def test_motion_that_is_no_rotation_vectors_is_refused(motion) -> None:
    with np.load(motion) as arrays:
        np.savez(motion, **{**arrays, "poses": 90 * np.ones((300, 24, 3), np.float16)})
    with pytest.raises(SystemExit, match="expected rotation vectors in radians below 2 pi"):
        train_pose_prior.balanced(motion, 100, np.random.default_rng(0))
