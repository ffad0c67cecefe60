"""Fitting to 2D keypoints, on bodies whose pose, shape and place are known."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import humesh
from humesh.body.joints import COCO17, LIMBS12, MEDIAPIPE33, SMPL24, JointSet
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.body.pose_prior import PosePrior
from humesh.fitting.fit import _WIDE, FitSettings, Rig, _moved, _Problem, fit, posed
from humesh.geometry.align import procrustes
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_from_axis_angle

CAMERA = Camera.guess((1280, 960))
PRIOR = PosePrior.load()
FACING = torch.diag(torch.tensor([1.0, -1.0, -1.0])).double()  # a T-posed body upright in the camera's axes, facing it
LIMBS = SMPL24.indices(*LIMBS12.names)
PLAIN = FitSettings(pixel_sd_m=0.025, outlier_sd=3.0, together=5.0, prior=0.8, joint_sd_m=0.12, wide_steps=8, steps=16)
SEEN_WELL = replace(PLAIN, pixel_sd_m=0.002, prior=0.0, shape_sd=5.0, joint_sd_m=1.0, turn_sd=2.0, root_sd=2.0)
"""For exact keypoints: nothing but them is believed much."""


def _people(count: int, spread: float = 0.3) -> BodyPose:
    """Arms lowered, everything else turned at random, shapes and places too."""
    turns = spread * torch.randn(count, 24, 3).double()
    turns[:, SMPL24.index("left_shoulder"), 2] -= 1.0
    turns[:, SMPL24.index("right_shoulder"), 2] += 1.0
    for s, sign in (("left", -1), ("right", 1)):
        turns[:, SMPL24.index(f"{s}_knee")] = torch.tensor([0.5, 0.0, 0.0]).double()
        turns[:, SMPL24.index(f"{s}_elbow")] = sign * torch.tensor([0.0, 0.7, 0.0]).double()
    rotations = rotation_from_axis_angle(turns)
    rotations[:, 0] = FACING @ rotations[:, 0]
    place = torch.stack([torch.linspace(-1, 1, count), torch.zeros(count), torch.linspace(3, 5, count)], dim=-1)
    return BodyPose(rotations, 0.5 * torch.randn(count, 10).double(), place.double())


def _disturbed(truth: BodyPose, turn: float = 0.2) -> BodyPose:
    noise = rotation_from_axis_angle(turn * torch.randn(*truth.rotations.shape[:-1]).double())
    return BodyPose(truth.rotations @ noise, 0.5 * truth.shape, truth.translation * 1.1)


def _keypoints(body: BodyModel, pose: BodyPose, joint_set: JointSet = MEDIAPIPE33) -> torch.Tensor:
    pixels = CAMERA.project(body.points(body(pose), joint_set))
    return torch.cat([pixels, torch.ones_like(pixels[..., :1])], dim=-1)


def _miss(body: BodyModel, pose: BodyPose, keypoints: torch.Tensor) -> torch.Tensor:
    return (_keypoints(body, pose)[..., :2] - keypoints[..., :2]).norm(dim=-1).median(-1).values


def _pa(body: BodyModel, pose: BodyPose, truth: BodyPose) -> torch.Tensor:
    ours, theirs = body.joints(pose)[:, LIMBS], body.joints(truth)[:, LIMBS]
    return (procrustes(ours, theirs)(ours) - theirs).norm(dim=-1).mean(-1)


def _same(one: BodyPose, other: BodyPose, atol: float = 0.0) -> bool:
    pairs = zip(vars(one).values(), vars(other).values(), strict=True)
    return all(torch.allclose(a, b, rtol=0, atol=atol) for a, b in pairs)


@pytest.mark.parametrize("joint_set", [MEDIAPIPE33, COCO17, SMPL24])
def test_a_rig_needs_no_mesh(open_body: BodyModel, joint_set: JointSet) -> None:
    pose = _people(3)
    rig, kept = Rig.of(open_body, joint_set)
    assert kept == list(range(len(joint_set)))
    there = open_body.points(open_body(pose), joint_set)
    assert torch.allclose(posed(open_body, rig, pose).points, there, atol=1e-6)  # the body's buffers are float32
    assert torch.allclose(posed(open_body, rig, pose).joints, open_body.joints(pose), atol=1e-12)


def test_points_that_a_body_lacks_are_left_out(open_body: BodyModel) -> None:
    """A user's SMPL file has no regressors: the limb joints are found by name."""
    bare = BodyModel(replace(open_body.data, keypoint_regressors={}))
    _, kept = Rig.of(bare, MEDIAPIPE33)
    assert {MEDIAPIPE33.names[i] for i in kept} == set(LIMBS12.names)
    with pytest.raises(ValueError, match="expected some point of joint set 'nothing', it has none"):
        Rig.of(bare, JointSet("nothing", ("left_horn",)))
    truth = _people(2)
    start, keypoints = _disturbed(truth), _keypoints(open_body, truth)
    found = fit(bare, PRIOR, start, keypoints, MEDIAPIPE33, CAMERA)
    assert (_pa(bare, found, truth) < _pa(bare, start, truth)).all()


def test_points_move_as_the_jacobian_says(open_body: BodyModel) -> None:
    rig, _ = Rig.of(open_body, MEDIAPIPE33)
    pose = _people(2)
    now = posed(open_body, rig, pose)
    for unknown in range(now.moves.shape[-1]):
        nudge = torch.zeros(2, now.moves.shape[-1]).double()
        nudge[:, unknown] = 1e-6
        up, down = (posed(open_body, rig, _moved(pose, s * nudge)) for s in (1, -1))
        assert torch.allclose((up.points - down.points) / 2e-6, now.moves[..., unknown], atol=1e-7)
        assert torch.allclose((up.joints - down.joints) / 2e-6, now.joint_moves[..., unknown], atol=1e-7)


@pytest.mark.parametrize("widen", [1.0, _WIDE])
def test_the_slope_is_that_of_the_energy(open_body: BodyModel, widen: float) -> None:
    truth = _people(3)
    rig, _ = Rig.of(open_body, MEDIAPIPE33)
    start = _disturbed(truth)
    joints = open_body.joints(start)
    anchor = joints - joints.mean(1, keepdim=True)
    seen, weights = _keypoints(open_body, truth)[..., :2], torch.rand(3, 33).double()
    problem = _Problem(open_body, rig, PRIOR, start, anchor, seen, weights, CAMERA, FitSettings())
    pose = _disturbed(start, 0.1)
    now = problem.at(pose, widen)
    assert torch.linalg.eigvalsh(now.bend).min() > 0
    for unknown in range(0, now.slope.shape[1], 3):
        nudge = torch.zeros_like(now.slope)
        nudge[:, unknown] = 1e-5
        up, down = (problem.at(_moved(pose, s * nudge), widen).energy for s in (1, -1))
        assert torch.allclose((up - down) / 2e-5, now.slope[:, unknown], rtol=1e-4, atol=1e-3)


def test_exact_keypoints_are_met(open_body: BodyModel) -> None:
    truth = _people(4)
    start, keypoints = _disturbed(truth), _keypoints(open_body, truth)
    found = fit(open_body, PRIOR, start, keypoints, MEDIAPIPE33, CAMERA, SEEN_WELL)
    assert (_miss(open_body, start, keypoints) > 15).all()
    assert (_miss(open_body, found, keypoints) < 1).all()  # px, of people some 500 high


def test_noisy_keypoints_make_bodies_better(open_body: BodyModel) -> None:
    truth = _people(12)
    start, keypoints = _disturbed(truth), _keypoints(open_body, truth)
    keypoints[..., :2] += 6 * torch.randn_like(keypoints[..., :2])
    wrong = torch.rand(12, 33) < 0.05
    keypoints[wrong] += torch.tensor([100.0, -80.0, 0.0]).double()
    found = fit(open_body, PRIOR, start, keypoints, MEDIAPIPE33, CAMERA)
    assert _pa(open_body, found, truth).mean() < 0.7 * _pa(open_body, start, truth).mean()
    rotations = found.rotations
    assert torch.allclose(rotations @ rotations.mT, torch.eye(3).double().expand_as(rotations), atol=1e-9)


def test_truth_stays(open_body: BodyModel) -> None:
    truth = replace(_people(4), shape=torch.zeros(4, 10).double())
    keypoints = _keypoints(open_body, truth)
    nothing_else = replace(FitSettings(), prior=0.0)
    found = fit(open_body, PRIOR, truth, keypoints, MEDIAPIPE33, CAMERA, nothing_else)
    assert _same(found, truth, atol=1e-5)  # the rig's float64 against the mesh's float32
    likely = replace(_people(4, spread=0.1), shape=truth.shape)  # the prior does not pull poses like anybody's far
    found = fit(open_body, PRIOR, likely, _keypoints(open_body, likely), MEDIAPIPE33, CAMERA)
    assert (_pa(open_body, found, likely) < 0.03).all()


def test_larger_photos_give_the_same_bodies(open_body: BodyModel) -> None:
    truth = _people(3)
    start, keypoints = _disturbed(truth), _keypoints(open_body, truth)
    keypoints[..., :2] += 5 * torch.randn_like(keypoints[..., :2])
    scale = torch.diag(torch.tensor([3.0, 3.0, 1.0])).double()
    once = fit(open_body, PRIOR, start, keypoints, MEDIAPIPE33, CAMERA)
    again = fit(open_body, PRIOR, start, keypoints @ scale, MEDIAPIPE33, Camera(scale @ CAMERA.matrix))
    assert _same(once, again, atol=1e-6)


def test_nobody_changes_anybody_else(open_body: BodyModel) -> None:
    truth = _people(3)
    start, keypoints = _disturbed(truth), _keypoints(open_body, truth)
    alone = fit(open_body, PRIOR, start.map(lambda t: t[1:2]), keypoints[1:2], MEDIAPIPE33, CAMERA)
    together = fit(open_body, PRIOR, start, keypoints, MEDIAPIPE33, CAMERA)
    assert _same(alone, together.map(lambda t: t[1:2]), atol=1e-7)


def test_who_is_not_seen_stays(open_body: BodyModel) -> None:
    truth = _people(3)
    start, keypoints = _disturbed(truth).map(lambda t: t.float()), _keypoints(open_body, truth)
    keypoints[0, :, 2] = 0
    keypoints[1] = torch.nan
    found = fit(open_body, PRIOR, start, keypoints, MEDIAPIPE33, CAMERA)
    assert _same(found.map(lambda t: t[:2]), start.map(lambda t: t[:2]))
    assert not torch.equal(found.rotations[2], start.rotations[2])
    assert found.rotations.dtype == torch.float32
    unseen = fit(open_body, PRIOR, start, 0 * truth.shape.new_ones(3, 33, 3), MEDIAPIPE33, CAMERA)
    assert _same(unseen, start)


def test_landmarks_bring_depth(open_body: BodyModel) -> None:
    """Of a start that is wrong in depth, keypoints tell less than landmarks that are right, at any size and place."""
    truth = _people(3)
    start, keypoints = _disturbed(truth), _keypoints(open_body, truth)
    points = open_body.keypoints(open_body(truth).vertices, MEDIAPIPE33)
    landmarks = torch.cat([1.3 * points + 2.0, torch.ones(3, 33, 1).double()], dim=-1)
    alone = fit(open_body, PRIOR, start, keypoints, MEDIAPIPE33, CAMERA)
    both = fit(open_body, PRIOR, start, keypoints, MEDIAPIPE33, CAMERA, landmarks=landmarks)
    assert _pa(open_body, both, truth).mean() < 0.9 * _pa(open_body, alone, truth).mean()
    for nothing in (0 * landmarks, landmarks * torch.tensor([1, 1, 1, 0]), torch.full_like(landmarks, torch.nan)):
        same = fit(open_body, PRIOR, start, keypoints, MEDIAPIPE33, CAMERA, landmarks=nothing)
        assert _same(same, alone, atol=1e-9)


def test_a_hidden_joint_stays_near_the_start(open_body: BodyModel) -> None:
    truth = _people(2, spread=0.1)
    keypoints = _keypoints(open_body, truth)
    arm = [i for i, n in enumerate(MEDIAPIPE33.names) if n.startswith("left_") and n[5:] in
           ("elbow", "wrist", "pinky", "index", "thumb")]  # fmt: skip
    keypoints[:, arm] = torch.tensor([5000.0, -3000.0, 0.0]).double()
    found = fit(open_body, PRIOR, truth, keypoints, MEDIAPIPE33, CAMERA)
    wrist = SMPL24.index("left_wrist")
    assert (open_body.joints(found) - open_body.joints(truth))[:, wrist].norm(
        dim=-1
    ).max() < 0.15  # metres; the prior may lower it


def test_bodies_behind_the_camera_come_before_it(open_body: BodyModel) -> None:
    truth = _people(4)
    keypoints = _keypoints(open_body, truth)
    lost = torch.tensor([[0.0, 0.0, -3.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.3], [1e3, 0.0, 1e5]]).double()
    found = fit(open_body, PRIOR, replace(truth, translation=lost), keypoints, MEDIAPIPE33, CAMERA)
    assert all(tensor.isfinite().all() for tensor in vars(found).values())
    assert (open_body.joints(found)[:3, :, 2] > 0).all()
    assert (found.translation[:3] - truth.translation[:3]).norm(dim=-1).max() < 0.5
    broken = replace(truth, shape=truth.shape * torch.nan)
    assert torch.equal(fit(open_body, PRIOR, broken, keypoints, MEDIAPIPE33, CAMERA).rotations, truth.rotations)


def test_keypoints_of_others_are_refused(open_body: BodyModel) -> None:
    truth = _people(2)
    with pytest.raises(ValueError, match="expected keypoints of 2 people x 17 points of 'coco17' x 3, got"):
        fit(open_body, PRIOR, truth, _keypoints(open_body, truth), COCO17, CAMERA)
    with pytest.raises(ValueError, match="one row for each body"):
        fit(open_body, PRIOR, truth, _keypoints(open_body, truth)[:1], MEDIAPIPE33, CAMERA)


def test_a_recoverer_refines(open_body: BodyModel) -> None:
    """Two people given with keypoints and landmarks of which the second one's are of a wrong pose."""
    truth = _people(2, spread=0.15)
    points = open_body.points(open_body(truth), MEDIAPIPE33)
    keypoints = _keypoints(open_body, truth).numpy()
    landmarks = (points - points.mean(1, keepdim=True) + 0.06 * torch.randn_like(points)).numpy()
    box = np.array([0.0, 0, 1280, 960])
    people = [humesh.Person(box, 0.9, k, MEDIAPIPE33, m) for k, m in zip(keypoints, landmarks, strict=True)]
    photo = humesh.Photo.of(np.zeros((960, 1280, 3), np.uint8), CAMERA)
    plain, refined = (humesh.Recoverer(open_body, refine=on)(photo, people) for on in (False, True))
    miss = [_miss(open_body, r.pose.map(lambda t: t.double()), torch.as_tensor(keypoints)) for r in (plain, refined)]
    assert (miss[1] < miss[0]).all()
    assert torch.allclose(refined.body(refined.pose).joints, refined.bodies.joints, atol=1e-6)
