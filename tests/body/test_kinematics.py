"""Inverse kinematics against the authors' function (parity data), algebra and properties."""

from pathlib import Path

import numpy as np
import pytest
import roma
import torch
from hypothesis import given
from hypothesis import strategies as st

from humesh.body.joints import SMPL24, SMPL29
from humesh.body.kinematics import (
    bone_children,
    forward_kinematics,
    inverse_kinematics,
    root_rotation,
    swing,
    twist_about,
    twist_of,
)
from humesh.geometry.rotations import rotation_from_axis_angle

DATA = Path(__file__).parents[1] / "data"
PARITY = np.load(DATA / "parity" / "ik_refine" / "ik_hybrik.npz")
UNITS = np.load(DATA / "parity" / "ik_refine" / "ik_units.npz")
CASES = ("exact", "lengths", "noise20", "noise60")
VARIANTS = {
    "naive": {"root": "two_step", "chain": "naive"},
    "adaptive": {},
    "adaptive_nofb": {"root": "two_step", "fallback_m": None},
    "svdroot_naive": {"chain": "naive"},
    "svdroot_nofb": {"fallback_m": None},
    "spine3svd": {"spine3": "svd"},
}
seeds = st.integers(0, 10**6)


def _solve(case: str, variant: str, points: int, through: torch.dtype, dtype: torch.dtype) -> torch.Tensor:
    """The variant's rotations from parity inputs that were rounded to `through` and computed in `dtype`."""

    def tensor(array: np.ndarray) -> torch.Tensor:
        return torch.tensor(array).to(through).to(dtype)

    given_rotations = torch.eye(3, dtype=dtype).expand(len(PARITY["rest29"]), 24, 3, 3).clone()
    given_rotations[:, PARITY["leaf_order24"]] = tensor(PARITY["leaf_R"])
    return inverse_kinematics(
        tensor(PARITY[f"{case}/target29"][:, :points]),
        tensor(PARITY["rest29"][:, :points]),
        tensor(PARITY[f"{case}/twist_cs"]),
        skeleton=SMPL24 if points == 24 else SMPL29,
        given_rotations=given_rotations if points == 24 else None,
        **VARIANTS[variant],
    )


@pytest.mark.parametrize("points", [24, 29])
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("case", CASES)
def test_rotations_equal_the_parity_data(case: str, variant: str, points: int) -> None:
    if f"{case}/R_{variant}{points}_clean" in PARITY:
        reference, tolerance = PARITY[f"{case}/R_{variant}{points}_clean"], 1e-9
    elif f"{case}/R_{variant}{points}" in PARITY:
        reference, tolerance = PARITY[f"{case}/R_{variant}{points}"], 1e-4  # with the reference's 1e-8 terms
    else:
        assert (variant, points) == ("spine3svd", 24)  # the one combination that has no array
        return
    ours = _solve(case, variant, points, torch.float64, torch.float64)
    assert np.abs(ours.numpy() - reference).max() < tolerance
    # float32: against float64 on the same rounded input, and against the array (rounding the input alone moves it 2e-5)
    single = _solve(case, variant, points, torch.float32, torch.float32).double()
    rounded = _solve(case, variant, points, torch.float32, torch.float64)
    assert (single - rounded).abs().max() < 1e-5
    assert np.abs(single.numpy() - reference).max() < max(tolerance, 3e-5)


@pytest.mark.parametrize("points", [24, 29])
@pytest.mark.parametrize("case", CASES)
def test_the_fall_back_fires_where_the_authors_does(case: str, points: int) -> None:
    """Where the rule fires on no joint above, solutions with and without it agree, and differ where it fires first."""
    fired = PARITY[f"{case}/fallback_adaptive{points}"]
    with_rule = _solve(case, "adaptive", points, torch.float64, torch.float64)
    without = _solve(case, "svdroot_nofb", points, torch.float64, torch.float64)
    same = ((with_rule - without).abs().amax((-2, -1)) < 1e-9).numpy()
    above = np.zeros_like(fired)
    for joint, parent in enumerate(SMPL24.parents):
        if parent >= 0:
            above[:, joint] = above[:, parent] | fired[:, parent]
    assert same[~fired & ~above].all()
    assert not same[fired & ~above].any()


def test_units_equal_the_parity_data() -> None:
    units = {name: torch.tensor(UNITS[name]) for name in UNITS.files if UNITS[name].dtype.kind == "f"}
    assert torch.allclose(swing(units["swing/rest"], units["swing/target"]), units["swing/R"], atol=1e-4)
    rest = units["decomp/rest"]
    assert torch.allclose(twist_of(units["decomp/R"], rest), units["decomp/twist_cs"], atol=1e-8)
    twist = twist_about(rest, twist_of(units["decomp/R"], rest))
    assert torch.allclose(twist, units["decomp/R_twist"], atol=1e-4)
    assert torch.allclose(units["decomp/R"] @ twist.mT, units["decomp/R_swing"], atol=1e-4)
    assert torch.allclose(root_rotation(units["root/rest"], units["root/target"]), units["root/R_svd"], atol=1e-8)
    two_step = root_rotation(units["root/rest"], units["root/target"], "two_step")
    assert torch.allclose(two_step, units["root/R_two_step"], atol=1e-3)


def test_hard_swings_are_rotations_onto_the_target_with_finite_gradients() -> None:
    rest = torch.tensor(UNITS["hard/rest"], requires_grad=True)
    target = torch.tensor(UNITS["hard/target"], requires_grad=True)
    rotation = swing(rest, target)
    assert torch.allclose(rotation @ rotation.mT, torch.eye(3).double().expand_as(rotation), atol=1e-9)
    assert torch.allclose(torch.linalg.det(rotation), torch.ones(len(rest)).double(), atol=1e-9)
    turned = torch.nn.functional.normalize((rotation @ rest[..., None])[..., 0], dim=-1)
    there = UNITS["hard/kind"] != "zero"
    there = torch.tensor(there & (target.detach().norm(dim=-1) > 0).numpy())
    assert there.sum() >= 6
    assert torch.allclose(turned[there], torch.nn.functional.normalize(target, dim=-1)[there], atol=1e-7)
    (rotation * torch.randn_like(rotation)).sum().backward()
    assert rest.grad is not None
    assert target.grad is not None
    assert rest.grad.isfinite().all()
    assert target.grad.isfinite().all()


@given(seeds, st.sampled_from([torch.float32, torch.float64]))
def test_swing_takes_the_rest_direction_to_the_target_by_the_least_turn(seed: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(seed)
    rest, target = torch.randn(2, 20, 3, generator=generator, dtype=torch.float64).to(dtype)
    rotation = swing(rest, target)
    u, p = torch.nn.functional.normalize(rest, dim=-1), torch.nn.functional.normalize(target, dim=-1)
    tolerance = 1e-5 if dtype is torch.float32 else 1e-9
    assert torch.allclose((rotation @ u[..., None])[..., 0], p, atol=tolerance)
    angle = roma.rotmat_geodesic_distance(rotation.double(), torch.eye(3).double())
    assert torch.allclose(angle, torch.acos((u * p).sum(-1).clamp(-1, 1).double()), atol=1e-3)


def _random_skeleton(seed: int, points: int = 24) -> tuple[torch.Tensor, torch.Tensor]:
    """Rest joints of random bones 5 to 50 cm long, and random rotations of up to 3.1 rad; float64."""
    generator = torch.Generator().manual_seed(seed)
    skeleton = SMPL24 if points == 24 else SMPL29
    bones = torch.nn.functional.normalize(torch.randn(3, points, 3, generator=generator, dtype=torch.float64), dim=-1)
    bones = bones * (0.05 + 0.45 * torch.rand(3, points, 1, generator=generator, dtype=torch.float64))
    rest = torch.zeros_like(bones)
    for joint, parent in enumerate(skeleton.parents):
        rest[:, joint] = bones[:, joint] + (rest[:, parent] if parent >= 0 else 0)
    axis = torch.nn.functional.normalize(torch.randn(3, 24, 3, generator=generator, dtype=torch.float64), dim=-1)
    angle = 3.1 * torch.rand(3, 24, 1, generator=generator, dtype=torch.float64)
    return rest, rotation_from_axis_angle(axis * angle)


def _forward_twin(rotations: torch.Tensor, rest: torch.Tensor, parents: tuple[int, ...]) -> torch.Tensor:
    """Joint after joint with 4x4 matrices, one body at a time."""
    placed = []
    for body in range(len(rest)):
        world: list[np.ndarray] = []
        for joint, parent in enumerate(parents):
            local = np.eye(4)
            if joint < rotations.shape[1]:
                local[:3, :3] = rotations[body, joint].numpy()
            local[:3, 3] = (rest[body, joint] - (rest[body, parent] if parent >= 0 else 0)).numpy()
            world.append(world[parent] @ local if parent >= 0 else local)
        placed.append(np.stack([matrix[:3, 3] for matrix in world]))
    return torch.tensor(np.stack(placed))


@given(seeds, st.sampled_from([24, 29]))
def test_forward_kinematics_equals_the_plain_twin(seed: int, points: int) -> None:
    rest, rotations = _random_skeleton(seed, points)
    skeleton = SMPL24 if points == 24 else SMPL29
    _, joints = forward_kinematics(rotations, rest, skeleton)
    assert torch.allclose(joints, _forward_twin(rotations, rest, skeleton.parents), atol=1e-12)


def _own_twists(rotations: torch.Tensor, rest: torch.Tensor) -> torch.Tensor:
    child = bone_children(SMPL29 if rest.shape[1] == 29 else SMPL24)
    names = SMPL29.names
    twists = torch.tensor([1.0, 0.0]).double().repeat(len(rest), 23, 1)
    for joint, name in enumerate(SMPL24.names[1:], start=1):
        if name in child:
            bone = rest[:, names.index(child[name])] - rest[:, joint]
            twists[:, joint - 1] = twist_of(rotations[:, joint], bone)
    return twists


@given(seeds, st.sampled_from([24, 29]), st.sampled_from(["adaptive", "naive"]), st.floats(0.1, 5))
def test_a_pose_with_its_own_twists_comes_back(seed: int, points: int, chain: str, length: float) -> None:
    """FK then IK: the same joints to 1e-5 m and the same rotations to 1e-4 rad for every joint that has a child.

    Spine3's rotation follows from its neck bone and twist, as every other joint's does; twists of any length will do.
    """
    rest, rotations = _random_skeleton(seed, points)
    skeleton = SMPL24 if points == 24 else SMPL29
    _, joints = forward_kinematics(rotations, rest, skeleton)
    twists = length * _own_twists(rotations, rest)
    found = inverse_kinematics(joints + 7.0, rest, twists, skeleton=skeleton, chain=chain, given_rotations=rotations)
    moving = [SMPL24.index(name) for name in bone_children(skeleton)]
    assert roma.rotmat_geodesic_distance(found[:, moving], rotations[:, moving]).max() < 1e-4
    assert torch.allclose(forward_kinematics(found, rest, skeleton)[1], joints, atol=1e-5)


@given(seeds)
def test_any_leading_dimensions_and_any_targets_give_rotations(seed: int) -> None:
    rest, _ = _random_skeleton(seed)
    generator = torch.Generator().manual_seed(seed)
    target = torch.randn(2, 3, 24, 3, generator=generator, dtype=torch.float64)
    target[0, 0] = 0  # a person shrunk to a point
    target[0, 1] = -rest[1]  # every bone the other way round
    found = inverse_kinematics(target, rest.expand(2, 3, 24, 3))
    assert found.shape == (2, 3, 24, 3, 3)
    assert torch.allclose(found @ found.mT, torch.eye(3).double().expand_as(found), atol=1e-8)
    assert (torch.linalg.det(found) > 0).all()
    alone = inverse_kinematics(target[1, 2], rest[2])
    assert torch.allclose(found[1, 2], alone, atol=1e-10)


def test_gradients_equal_finite_differences() -> None:
    rest, rotations = _random_skeleton(5)
    rest = rest[:1]
    _, joints = forward_kinematics(rotations[:1], rest)
    target = (joints + 0.01 * torch.randn(1, 24, 3).double()).requires_grad_()
    twist = torch.randn(1, 23, 2).double().requires_grad_()

    def solve(target: torch.Tensor, twist: torch.Tensor) -> torch.Tensor:
        return inverse_kinematics(target, rest, twist, fallback_m=None)

    assert torch.autograd.gradcheck(solve, (target, twist), fast_mode=True, atol=1e-4)


def test_a_wrong_skeleton_is_refused() -> None:
    with pytest.raises(ValueError, match=r"24 x 3 for skeleton 'smpl24'.*pass skeleton=SMPL29 for 29 points"):
        inverse_kinematics(torch.zeros(29, 3), torch.zeros(29, 3))
