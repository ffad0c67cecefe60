"""Points without the mesh: the same as those of the skinned surface, for every joint set that the bodies have."""

from __future__ import annotations

import pytest
import roma
import torch

from humesh.body.joints import JOINT_SETS, JOTR30, JointSet
from humesh.body.model import BodyModel, Rig
from humesh.body.pose import BodyPose


@pytest.mark.parametrize("name", ["open", "open-low"])
@pytest.mark.parametrize("joint_set", JOINT_SETS.values(), ids=JOINT_SETS)
def test_points_are_those_of_the_surface(name: str, joint_set: JointSet) -> None:
    body = BodyModel.load(name)
    try:
        rig, kept = Rig.of(body, joint_set)
    except ValueError:
        pytest.skip("the body has no such points")
    generator = torch.Generator().manual_seed(0)
    turns, shape, place = (torch.randn(4, *size, generator=generator).double() for size in ((24, 3), (10,), (3,)))
    pose = BodyPose(roma.rotvec_to_rotmat(turns), shape, place)
    points, joints = rig.points(body, pose)
    bodies = body(pose)
    assert torch.allclose(joints, bodies.joints, atol=1e-6)
    if len(kept) == len(joint_set):
        assert torch.allclose(points, body.points(bodies, joint_set), atol=1e-6)


def test_gradients_flow_to_pose_and_shape() -> None:
    body = BodyModel.load("open-low")
    rig, _ = Rig.of(body, JOTR30)
    rest = BodyPose.rest(2)
    pose = BodyPose(rest.rotations.requires_grad_(), rest.shape.requires_grad_(), rest.translation)
    rig.points(body, pose)[0].square().sum().backward()
    assert pose.rotations.grad is not None
    assert pose.shape.grad is not None
    assert pose.rotations.grad.abs().sum() > 0
    assert pose.shape.grad.abs().sum() > 0
