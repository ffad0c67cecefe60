"""The shipped bodies: what body.md promises of them."""

import pytest
import torch
import trimesh

from humesh.body.joints import COCO17, JOINT_SETS, SMPL24
from humesh.body.model import BodyModel


@pytest.fixture(params=["open", "open-low"], scope="module")
def body(request: pytest.FixtureRequest) -> BodyModel:
    return BodyModel.load(request.param)


def test_weights_and_regressors_sum_to_one(body: BodyModel) -> None:
    assert torch.allclose(body.weights.sum(0), torch.ones(body.weights.shape[1]), atol=1e-5)
    assert (body.weights >= 0).all()
    assert (body.weights > 0).sum(0).max() <= 4, "four weights a vertex: what glTF and game engines take"
    for name in body.keypoint_names:
        assert torch.allclose(body.get_buffer(f"regressor_{name}").sum(1), torch.ones(len(JOINT_SETS[name])), atol=1e-4)


def test_it_stands_in_a_t_pose_of_human_size(body: BodyModel) -> None:
    joints = dict(zip(SMPL24.names, body.rest_joints(torch.zeros(10)), strict=True))
    vertices = body.rest_vertices(torch.zeros(10))
    assert 1.60 < float(vertices[:, 1].max() - vertices[:, 1].min()) < 1.80
    assert joints["pelvis"].abs().max() < 1e-3
    for side, sign in (("left", 1.0), ("right", -1.0)):
        along = torch.tensor([sign, 0.0, 0.0])
        for a, b in (("shoulder", "elbow"), ("elbow", "wrist")):
            bone = joints[f"{side}_{b}"] - joints[f"{side}_{a}"]
            assert torch.nn.functional.normalize(bone, dim=0) @ along > 0.999
        for a, b in (("hip", "knee"), ("knee", "ankle")):
            bone = joints[f"{side}_{b}"] - joints[f"{side}_{a}"]
            assert torch.nn.functional.normalize(bone, dim=0)[1] < -0.999
        assert joints[f"{side}_foot"][2] > joints[f"{side}_ankle"][2] + 0.05  # it faces +z


def test_the_first_shapes_are_taller_and_heavier(body: BodyModel) -> None:
    one = torch.eye(10)
    mean = trimesh.Trimesh(body.rest_vertices(torch.zeros(10)).numpy(), body.faces, process=False)
    taller = trimesh.Trimesh(body.rest_vertices(one[0]).numpy(), body.faces, process=False)
    heavier = trimesh.Trimesh(body.rest_vertices(one[1]).numpy(), body.faces, process=False)
    assert taller.extents[1] > mean.extents[1] + 0.04
    assert heavier.volume > mean.volume * 1.05
    assert mean.volume > 0.04  # faces point outwards


def test_both_levels_are_one_body() -> None:
    fine, coarse = BodyModel.load("open"), BodyModel.load("open-low")
    shapes = torch.randn(20, 10)
    distance = (fine.rest_joints(shapes) - coarse.rest_joints(shapes)).norm(dim=-1)
    assert distance.mean() < 0.003
    assert distance.max() < 0.012
    points = [body.keypoints(body.rest_vertices(shapes), COCO17) for body in (fine, coarse)]
    assert (points[0] - points[1]).norm(dim=-1).mean() < 0.006
