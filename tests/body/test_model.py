"""The skinned body against a plain twin, algebra and finite differences."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from humesh.body.files import BodyData
from humesh.body.joints import COCO17, H36M17, JOTR30, LSP14, OPENPOSE25, SMPL24, JointSet
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.geometry.rotations import rotation_from_axis_angle

seeds = st.integers(0, 10**6)


def made_up_body(seed: int = 0, vertices: int = 60, correctives: bool = True) -> BodyData:
    """Random arrays in SMPL's format."""
    generator = np.random.default_rng(seed)
    regressor = generator.random((24, vertices))
    weights = generator.random((vertices, 24)) ** 8
    return BodyData(
        name="made up",
        template=generator.normal(size=(vertices, 3)),
        shape_directions=0.1 * generator.normal(size=(vertices, 3, 10)),
        joint_regressor=regressor / regressor.sum(1, keepdims=True),
        weights=weights / weights.sum(1, keepdims=True),
        faces=generator.integers(0, vertices, (80, 3)),
        pose_directions=0.01 * generator.normal(size=(vertices, 3, 207)) if correctives else None,
    )


def _pose(seed: int, *group: int, dtype: torch.dtype = torch.float64) -> BodyPose:
    generator = torch.Generator().manual_seed(seed)
    rotations = rotation_from_axis_angle(torch.randn(*group, 24, 3, generator=generator, dtype=dtype))
    shape = torch.randn(*group, 10, generator=generator, dtype=dtype)
    return BodyPose(rotations, shape, torch.randn(*group, 3, generator=generator, dtype=dtype))


def _skin_twin(data: BodyData, pose: BodyPose) -> tuple[np.ndarray, np.ndarray]:
    """SMPL's equations, vertex by vertex, for one body in NumPy (Loper et al. 2015, eq. 2-10)."""
    rotations, shape, translation = pose.rotations.numpy(), pose.shape.numpy(), pose.translation.numpy()
    rest = data.template + data.shape_directions @ shape
    joints = data.joint_regressor @ rest
    if data.pose_directions is not None:
        rest = rest + data.pose_directions @ (rotations[1:] - np.eye(3)).ravel()
    world: list[np.ndarray] = []
    for joint, parent in enumerate(SMPL24.parents):
        local = np.eye(4)
        local[:3, :3] = rotations[joint]
        local[:3, 3] = joints[joint] - (joints[parent] if parent >= 0 else 0)
        world.append(world[parent] @ local if parent >= 0 else local)
    vertices = np.zeros_like(rest)
    for v, point in enumerate(rest):
        for joint, matrix in enumerate(world):
            moved = matrix[:3, :3] @ (point - joints[joint]) + matrix[:3, 3]
            vertices[v] += data.weights[v, joint] * moved
    return vertices + translation, np.stack([m[:3, 3] for m in world]) + translation


@given(seeds, st.booleans())
def test_skinning_equals_the_plain_twin(seed: int, correctives: bool) -> None:
    data = made_up_body(seed, correctives=correctives)
    pose = _pose(seed, 2)
    bodies = BodyModel(data).double()(pose)
    for i in range(2):
        vertices, joints = _skin_twin(data, pose.map(lambda t: t[i]))  # noqa: B023
        # 1e-5: the buffers are stored in float32
        assert np.allclose(bodies.vertices[i].numpy(), vertices, atol=1e-5)
        assert np.allclose(bodies.joints[i].numpy(), joints, atol=1e-5)


@pytest.mark.parametrize("group", [(), (3,), (2, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_any_leading_dimensions_in_the_dtype_of_the_pose(
    open_body: BodyModel, group: tuple[int, ...], dtype: torch.dtype
) -> None:
    bodies = open_body(_pose(1, *group, dtype=dtype))
    vertices = len(open_body.template) // 3
    assert bodies.vertices.shape == (*group, vertices, 3)
    assert bodies.joints.shape == (*group, 24, 3)
    assert bodies.vertices.dtype == bodies.joints.dtype == dtype
    assert torch.allclose(open_body.joints(_pose(1, *group, dtype=dtype)), bodies.joints, atol=1e-6)


def test_float32_agrees_with_float64(open_body: BodyModel) -> None:
    pose = _pose(3, 4)
    single = open_body(pose.map(lambda tensor: tensor.float())).vertices
    assert torch.allclose(single.double(), open_body(pose).vertices, atol=2e-6)


def test_nobody_at_all_is_no_error(open_body: BodyModel) -> None:
    assert open_body(BodyPose.rest(0)).vertices.shape[0] == 0


def test_at_rest_the_body_is_its_template(open_body: BodyModel) -> None:
    bodies = open_body(BodyPose.rest())
    assert torch.allclose(bodies.vertices, open_body.rest_vertices(torch.zeros(10)), atol=1e-6)
    assert torch.allclose(bodies.joints, open_body.rest_joints(torch.zeros(10)), atol=1e-6)


def test_turning_the_root_turns_the_whole_body_about_the_rest_pelvis(open_body: BodyModel) -> None:
    pose = _pose(4)
    turn = rotation_from_axis_angle(torch.tensor([0.3, -1.0, 0.5]).double())
    turned = BodyPose(torch.cat([turn @ pose.rotations[:1], pose.rotations[1:]]), pose.shape, pose.translation)
    pelvis = open_body(pose).joints[0]
    assert torch.allclose(open_body(turned).vertices, (open_body(pose).vertices - pelvis) @ turn.mT + pelvis, atol=1e-6)


def test_gradients_equal_finite_differences() -> None:
    model = BodyModel(made_up_body(vertices=9)).double()
    pose = _pose(2)
    inputs = [t.requires_grad_() for t in (pose.rotations, pose.shape, pose.translation)]

    def vertices(*parts: torch.Tensor) -> torch.Tensor:
        bodies = model(BodyPose(*parts))
        return torch.cat([bodies.vertices, bodies.joints])

    assert torch.autograd.gradcheck(vertices, inputs)


def test_a_mirrored_pose_gives_the_mirrored_joints(open_body: BodyModel) -> None:
    pose = _pose(6)
    pose = BodyPose(pose.rotations, torch.zeros(10).double(), pose.translation)
    flip = torch.tensor([-1.0, 1, 1]).double()
    mirrored = open_body(pose.mirrored()).joints
    assert torch.allclose(
        mirrored, open_body(pose).joints[list(SMPL24.mirror)] * flip, atol=1e-3
    )  # the body is nearly symmetric
    again = pose.mirrored().mirrored()
    assert torch.equal(again.rotations, pose.rotations)


def test_wrong_inputs_are_refused(open_body: BodyModel) -> None:
    with pytest.raises(ValueError, match="expected 10 shape coefficients, got 11"):
        open_body.rest_joints(torch.zeros(11))
    with pytest.raises(ValueError, match="no regressor for joint set 'openpose25'; it has: coco17"):
        open_body.keypoints(torch.zeros(len(open_body.template) // 3, 3), OPENPOSE25)


def test_the_14_evaluated_joints_are_a_choice_of_human36ms(open_body: BodyModel) -> None:
    vertices = open_body.rest_vertices(torch.zeros(10))
    all17 = dict(zip(H36M17.names, open_body.keypoints(vertices, H36M17), strict=True))
    for name, point in zip(LSP14.names, open_body.keypoints(vertices, LSP14), strict=True):
        assert torch.equal(point, all17[name])


def test_keypoints_are_regressed(open_body: BodyModel) -> None:
    points = open_body.keypoints(open_body.rest_vertices(torch.zeros(2, 10)), COCO17)
    assert points.shape == (2, 17, 3)
    by_name = dict(zip(COCO17.names, points[0], strict=True))
    assert by_name["left_wrist"][0] > 0.5  # T-pose: the subject's left is +x
    assert by_name["nose"][2] > by_name["left_ear"][2]  # it faces +z


def test_points_of_any_set_are_put_together_by_name(open_body: BodyModel) -> None:
    bodies = open_body(BodyPose.rest(2))
    points = dict(zip(JOTR30.names, open_body.points(bodies, JOTR30).unbind(-2), strict=True))
    assert torch.equal(points["left_knee"], bodies.joints[:, SMPL24.index("left_knee")])
    coco = open_body.keypoints(bodies.vertices, COCO17)
    assert torch.allclose(points["nose"], coco[:, COCO17.index("nose")])
    assert torch.equal(open_body.points(bodies, COCO17), coco)
    assert (points["head_top"][:, 1] > points["nose"][:, 1]).all()
    with pytest.raises(ValueError, match="has no point 'tail' of 'cat2'"):
        open_body.points(bodies, JointSet("cat2", ("nose", "tail")))
