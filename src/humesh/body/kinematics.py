"""Forward kinematics and the analytic inverse: swing-twist rotations from a 3D skeleton, level by level of the tree.

After HybrIK (Li et al., CVPR 2021) as used by multi-person IK (Cha et al., ECCV 2022, section 3.2, eq. 1-4). A joint's
rotation R = swing * twist moves the bone to its one child: the swing brings the rest bone onto the wanted direction,
the twist turns about the bone. Deliberate differences: no 1e-8 in denominators, opposite bones get a half turn
instead of the identity, joints without a child are leaves (the right hand too), the root's determinant is fixed.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from humesh.body.joints import SMPL24, JointSet
from humesh.geometry.rotations import identity, nearest_rotation, rotation_about

_BRANCHES = {"pelvis": "spine1", "spine3": "neck"}  # of several children, the one that the bone points to


def bone_children(skeleton: JointSet) -> dict[str, str]:
    """The one child to which each of SMPL's 24 joints' bone points, by name; leaves are absent."""
    pairs = zip(skeleton.parent_names or (), skeleton.names, strict=True)
    return {parent: name for parent, name in pairs if parent is not None and _BRANCHES.get(parent, name) == name}


def forward_kinematics(
    rotations: Float[Tensor, "*g R 3 3"], rest: Float[Tensor, "*#g J 3"], skeleton: JointSet = SMPL24
) -> tuple[Float[Tensor, "*g J 3 3"], Float[Tensor, "*g J 3"]]:
    """Global rotations and joint positions (metres) of a posed skeleton; the root stays where it rests.

    Points beyond the R rotated joints (the ends of SMPL29) move with their parents and keep their frames.
    """
    parents, group, ends = skeleton.parents, rotations.shape[:-3], len(skeleton) - rotations.shape[-3]
    resting = rest.unbind(-2)  # lists of joints as indices would be copied to a GPU each time
    rotations = torch.cat([rotations, identity(rotations).expand(*group, ends, 3, 3)], dim=-3)
    local = rotations.unbind(-3)
    turn: dict[int, Tensor] = {0: local[0]}
    at: dict[int, Tensor] = {0: resting[0].expand(*group, 3)}
    for level in map(list, skeleton.depths[1:]):
        above = [parents[j] for j in level]
        frame = torch.stack([turn[j] for j in above], dim=-3)
        bones = torch.stack([resting[j] - resting[parent] for j, parent in zip(level, above, strict=True)], dim=-2)
        here = torch.stack([at[j] for j in above], dim=-2) + (frame @ bones[..., None])[..., 0]
        turn.update(zip(level, (frame @ torch.stack([local[j] for j in level], dim=-3)).unbind(-3), strict=True))
        at.update(zip(level, here.unbind(-2), strict=True))
    every = range(len(skeleton))
    return torch.stack([turn[j] for j in every], dim=-3), torch.stack([at[j] for j in every], dim=-2)


def swing(rest: Float[Tensor, "*g 3"], target: Float[Tensor, "*g 3"]) -> Float[Tensor, "*g 3 3"]:
    """The rotation of least angle that turns the direction of `rest` into that of `target` (eq. 1-2).

    Two half turns, about the rest direction u and the middle h of both, are orthonormal at every angle:
    (2 h h^T - I)(2 u u^T - I). Opposite directions get a half turn about some axis beside the bone, zeros the identity.
    """
    tiny = torch.finfo(rest.dtype).tiny ** 0.5
    rest_length, target_length = rest.norm(dim=-1, keepdim=True), target.norm(dim=-1, keepdim=True)
    lost = (rest_length <= tiny) | (target_length <= tiny)
    some = torch.tensor([1.0, 0.0, 0.0]).to(rest).expand_as(rest)
    u = torch.where(lost, some, rest) / torch.where(lost, torch.ones_like(rest_length), rest_length)
    p = torch.where(lost, u, target / torch.where(lost, torch.ones_like(target_length), target_length))
    middle = u + p
    length = middle.norm(dim=-1, keepdim=True)
    opposite = length < 1e-3 * torch.finfo(rest.dtype).eps ** 0.5
    h = torch.where(opposite, _beside(u), middle) / torch.where(opposite, torch.ones_like(length), length)
    eye = identity(rest)
    return (2 * h[..., :, None] * h[..., None, :] - eye) @ (2 * u[..., :, None] * u[..., None, :] - eye)


def _beside(unit: Tensor) -> Tensor:
    """Some unit vector at right angles to a unit vector: the coordinate axis it is least along, made orthogonal."""
    axis = torch.nn.functional.one_hot(unit.detach().abs().argmin(-1), 3).to(unit)
    beside = axis - (axis * unit).sum(-1, keepdim=True) * unit
    return beside / beside.norm(dim=-1, keepdim=True)


def twist_about(rest: Float[Tensor, "*g 3"], cos_sin: Float[Tensor, "*g 2"]) -> Float[Tensor, "*g 3 3"]:
    """The turn about a rest bone by the angle of (cos, sin), which need not have unit length (eq. 3)."""
    axis = torch.nn.functional.normalize(rest, dim=-1)
    cos, sin = torch.nn.functional.normalize(cos_sin, dim=-1).unbind(-1)
    return rotation_about(axis, cos, sin)


def twist_of(rotation: Float[Tensor, "*g 3 3"], rest: Float[Tensor, "*g 3"]) -> Float[Tensor, "*g 2"]:
    """(cos, sin) of the twist about the rest bone in R = swing * twist.

    With R's quaternion (w, v) and the bone's direction u the angle is 2 atan2(v.u, w), here in the matrix's entries:
    w^2 = (1 + tr R)/4, w v.u = k.u/4 with k the axial part of R - R^T, and u.R.u = w^2 + 2 (v.u)^2 - (1 - w^2).
    """
    u = torch.nn.functional.normalize(rest, dim=-1)
    trace = rotation.diagonal(dim1=-2, dim2=-1).sum(-1)
    along = (u[..., None, :] @ rotation @ u[..., :, None])[..., 0, 0]
    skew = rotation - rotation.mT
    axial = torch.stack([skew[..., 2, 1], skew[..., 0, 2], skew[..., 1, 0]], dim=-1)
    cos = (1 + trace) / 4 - (along + 1 - 2 * (1 + trace) / 4) / 2
    sin = (axial * u).sum(-1) / 2
    return torch.nn.functional.normalize(torch.stack([cos, sin], dim=-1), dim=-1)


def root_rotation(
    rest: Float[Tensor, "*g 3 3"], target: Float[Tensor, "*g 3 3"], how: Literal["svd", "two_step"] = "svd"
) -> Float[Tensor, "*g 3 3"]:
    """The pelvis from its three bones, rows: left hip, right hip, spine1.

    "svd": least squares over the three, det +1. "two_step" (HybrIK's training form): the spine is swung onto its
    target, then the mean hip bone is turned about it; fragile under noise.
    """
    if how == "svd":
        return nearest_rotation(target.mT @ rest)
    turned = swing(rest[..., 2, :], target[..., 2, :])
    axis = torch.nn.functional.normalize(target[..., 2, :], dim=-1)
    hips = (turned @ rest[..., :2, :].mean(-2)[..., None])[..., 0]
    return twist_about(axis, _turn_between(axis, hips, target[..., :2, :].mean(-2))) @ turned


def _turn_between(axis: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """(cos, sin), of any length, of the turn about a unit axis that brings `start` under `end`."""
    start = start - (start * axis).sum(-1, keepdim=True) * axis
    end = end - (end * axis).sum(-1, keepdim=True) * axis
    sin = (torch.linalg.cross(start, end) * axis).sum(-1)
    return torch.stack([(start * end).sum(-1), sin], dim=-1)


def inverse_kinematics(
    target: Float[Tensor, "*g K 3"],
    rest: Float[Tensor, "*#g K 3"],
    twist: Float[Tensor, "*g 23 2"] | None = None,
    *,
    skeleton: JointSet = SMPL24,
    given_rotations: Float[Tensor, "*#g 24 3 3"] | None = None,
    root: Literal["svd", "two_step"] = "svd",
    chain: Literal["adaptive", "naive"] = "adaptive",
    spine3: Literal["neck", "svd"] = "neck",
    fallback_m: float | None = 0.015,
) -> Float[Tensor, "*g 24 3 3"]:
    """Parent-relative rotations of SMPL's 24 joints that bring a rest skeleton onto target joints (metres).

    `skeleton` is SMPL24, or SMPL29 whose five end points give the leaves bones too. `twist` holds (cos, sin) of joints
    1..23 of any length (default: (1, 0)). Leaves take `given_rotations` (default: identity). `chain`: "naive" points
    each bone along the target's bone, "adaptive" from the posed parent to the target child, unless that point and the
    naive one are more than `fallback_m` apart (None: never). `spine3` "svd" fits neck and both collars together. The
    target's translation changes nothing. Wrong shapes raise ValueError.
    """
    if {target.shape[-2:], rest.shape[-2:]} != {(len(skeleton), 3)}:
        raise ValueError(
            f"inverse_kinematics: expected target and rest of {len(skeleton)} x 3 for skeleton {skeleton.name!r}, got "
            f"{tuple(target.shape)} and {tuple(rest.shape)}; pass skeleton=SMPL29 for 29 points."
        )
    group, count, eye = target.shape[:-2], len(SMPL24), identity(target)
    rest = rest.expand_as(target)
    target = target - target[..., :1, :] + rest[..., :1, :]
    parents = [max(parent, 0) for parent in skeleton.parents]
    rest_bone, target_bone = (points - points[..., parents, :] for points in (rest, target))  # from the parent
    if twist is None:
        twist = torch.tensor([1.0, 0.0]).to(target).expand(*group, count - 1, 2)
    twist = torch.nn.functional.normalize(twist, dim=-1)
    fixed = eye.expand(*group, count, 3, 3) if given_rotations is None else given_rotations.expand(*group, count, 3, 3)
    child_of = {skeleton.index(j): skeleton.index(c) for j, c in bone_children(skeleton).items()}
    spine3_joint, fan = skeleton.index("spine3"), skeleton.indices("neck", "left_collar", "right_collar")

    def settle(joint: int, frame: Tensor, solved: Tensor) -> None:
        local[joint], turn[joint] = solved, frame @ solved

    local: dict[int, Tensor] = {}
    turn: dict[int, Tensor] = {}
    hips_spine = skeleton.indices("left_hip", "right_hip", "spine1")
    settle(0, eye, root_rotation(rest_bone[..., hips_spine, :], target_bone[..., hips_spine, :], root))
    at: dict[int, Tensor] = {0: rest[..., 0, :]}  # where a joint comes to rest in the posed skeleton
    for level in skeleton.depths[1:]:
        for joint in level:
            at[joint] = at[parents[joint]] + (turn[parents[joint]] @ rest_bone[..., joint, :, None])[..., 0]
            if joint < count and joint not in child_of:
                settle(joint, turn[parents[joint]], fixed[..., joint, :, :])
        joints = [j for j in level if j in child_of]
        if not joints:
            continue
        children = [child_of[j] for j in joints]
        frame = torch.stack([turn[parents[j]] for j in joints], dim=-3)
        bone, wanted = rest_bone[..., children, :], target_bone[..., children, :]
        if chain == "adaptive":
            naive = torch.nn.functional.normalize(wanted, dim=-1) * bone.norm(dim=-1, keepdim=True)
            wanted = target[..., children, :] - torch.stack([at[j] for j in joints], dim=-2)
            if fallback_m is not None:
                far = (wanted - naive).norm(dim=-1, keepdim=True) > fallback_m
                wanted = torch.where(far, naive, wanted)
        swung = swing(bone, (frame.mT @ wanted[..., None])[..., 0])
        turned = twist[..., [j - 1 for j in joints], :]
        solved = dict(zip(joints, (swung @ twist_about(bone, turned)).unbind(-3), strict=True))
        if spine3 == "svd" and spine3_joint in solved:
            start = at[spine3_joint] if chain == "adaptive" else target[..., spine3_joint, :]
            targets = turn[parents[spine3_joint]].mT @ (target[..., fan, :] - start[..., None, :]).mT
            solved[spine3_joint] = nearest_rotation(targets @ rest_bone[..., fan, :])
        for joint in joints:
            settle(joint, turn[parents[joint]], solved[joint])
    return torch.stack([local[j] for j in range(count)], dim=-3)
