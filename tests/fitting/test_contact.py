"""Feet that rest: found, kept still, and the ground under them; of a made-up gait whose contacts are known."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage, sparse
from torch import Tensor

from humesh.body.joints import COCO_FEET, SMPL24
from humesh.body.kinematics import forward_kinematics
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.fitting import motion as contacts
from humesh.fitting.motion import FootContact, foot_contact, ground_plane, grounded, sliding
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_from_axis_angle
from humesh.recover_video import _on_ground
from humesh.scene.result import Motion

_STEP_S = 0.5
_CAMERA = Camera.guess((1280, 720))
_ANKLES = SMPL24.indices("left_ankle", "right_ankle")


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load("open-low")


def _turn(*vector: float) -> Tensor:
    return rotation_from_axis_angle(torch.tensor([vector]).double())[0]


def _gait(body: BodyModel, seconds: float, fps: float = 30.0) -> tuple[BodyPose, np.ndarray, Tensor]:
    """Somebody who walks along +z, y up, on stiff stance legs with flat feet; times; which foot stands (F x 2).

    The body moves as the standing foot's leg turns, so that this foot does not move at all.
    """
    times = np.arange(round(seconds * fps)) / fps
    phase = torch.from_numpy(times / _STEP_S)
    stands = torch.stack([phase.long() % 2 == 0, phase.long() % 2 == 1], dim=-1)
    share = phase.frac()[:, None]
    hip = torch.where(stands, 2 * share - 1, 1 - 2 * share) * 0.35  # leg ahead: negative
    lifted = torch.where(stands, 0.0, (math.pi * share).sin().square())
    rotations = torch.eye(3).double().repeat(len(times), 24, 1, 1)
    for side, name in enumerate(("left", "right")):
        for joint, angle in (("hip", hip - 0.5 * lifted), ("knee", 1.0 * lifted), ("ankle", -hip - 0.5 * lifted)):
            vectors = torch.nn.functional.pad(angle[:, side, None], (0, 2))
            rotations[:, SMPL24.index(f"{name}_{joint}")] = rotation_from_axis_angle(vectors)
    shape = torch.zeros(len(times), body.shapes).double()
    _, joints = forward_kinematics(rotations, body.rest_joints(shape))
    feet = joints[:, _ANKLES]
    leg = stands.int().argmax(1)
    rows = torch.arange(len(times) - 1)
    back = feet[rows, leg[:-1]] - feet[rows + 1, leg[:-1]]  # the foot that stood stays for one more frame
    place = torch.cat([torch.zeros(1, 3).double(), back.cumsum(0)]) - feet[:1, 0]
    return BodyPose(rotations, shape, place), times, stands


def _filmed(pose: BodyPose, body: BodyModel, heading: float, down: float = 0.1, away: float = 6.0) -> BodyPose:
    """A world with y up, turned by a heading, before a camera 1.5 m high that looks down by some radians."""
    pelvis = body.rest_joints(pose.shape)[:, 0]
    camera, turned = _turn(math.pi + down, 0.0, 0.0), _turn(0.0, heading, 0.0)
    walked = (pose.translation + pelvis) @ turned.T
    middle = torch.tensor([1.0, 0.0, 1.0]) * walked.mean(0)
    place = walked - middle + torch.tensor([0.0, -1.5, -away])
    rotations = torch.cat([(camera @ turned) @ pose.rotations[:, :1], pose.rotations[:, 1:]], dim=1)
    return BodyPose(rotations, pose.shape, place @ camera.T - pelvis)


def _misplaced(pose: BodyPose, body: BodyModel, times: np.ndarray) -> BodyPose:
    """With errors of depth of 2 % that come and go within half a second."""
    pelvis = body.rest_joints(pose.shape)[:, 0]
    when = torch.from_numpy(times)[:, None]
    share = 0.02 * (2 * math.pi * 1.7 * when).sin() + 0.015 * (2 * math.pi * 2.9 * when + 1).sin()
    return replace(pose, translation=(pose.translation + pelvis) * (1 + share) - pelvis)


def _walker(
    body: BodyModel, heading: float = 0.8, seconds: float = 4.0, fps: float = 30.0
) -> tuple[BodyPose, np.ndarray]:
    pose, times, _ = _gait(body, seconds, fps)
    return _filmed(pose, body, heading), times


def test_the_gait_is_one(body: BodyModel) -> None:
    pose, times, stands = _gait(body, 3.0)
    ankles = body.joints(pose)[:, _ANKLES]
    speed = ankles.diff(dim=0).norm(dim=-1) * 30
    assert speed[stands[1:] & stands[:-1]].max() < 1e-9
    assert 0.9 < float(pose.translation[-1, 2] - pose.translation[0, 2]) / times[-1] < 1.4
    assert abs(float(ankles[:, :, 1].min())) < 0.02  # on one level


@pytest.mark.parametrize("heading", [0.0, 0.8, math.pi / 2])
@pytest.mark.parametrize("misplaced", [False, True])
def test_contacts_are_found(body: BodyModel, heading: float, misplaced: bool) -> None:
    pose, times, stands = _gait(body, 6.0)
    pose = _filmed(pose, body, heading)
    found = foot_contact(_misplaced(pose, body, times) if misplaced else pose, times, body).feet > 0.5
    swings = ~stands & (torch.from_numpy(times / _STEP_S).frac() - 0.5).abs().lt(0.3)[:, None]
    assert found[stands].double().mean() > 0.9
    assert found[swings].double().mean() < 0.05


@pytest.mark.parametrize("heading", [0.0, 0.8, math.pi / 2])
def test_resting_feet_stay_and_the_picture_nearly_too(body: BodyModel, heading: float) -> None:
    true, times = _walker(body, heading)
    pose = _misplaced(true, body, times)
    contact = foot_contact(pose, times, body)
    held = grounded(pose, times, contact)
    moved = held.translation - pose.translation
    assert torch.equal(held.rotations, pose.rotations)
    assert sliding(contact.moved(moved), times) < 0.35 * sliding(contact, times)
    before, after = (_CAMERA.project(body.joints(some)) for some in (pose, held))
    assert (after - before).norm(dim=-1).mean() < 4  # pixels, of somebody who is 400 px tall
    assert (after - before).norm(dim=-1).max() < 20
    ray = torch.nn.functional.normalize(body.joints(pose).mean(1), dim=-1)
    along = (moved * ray).sum(-1, keepdim=True)
    assert (moved - along * ray).norm(dim=-1).mean() < 0.15 * along.abs().mean()
    errors = [(some.translation - true.translation).diff(dim=0).norm(dim=-1).mean() for some in (pose, held)]
    assert errors[1] < 0.5 * errors[0]


@pytest.mark.parametrize("count", [3, 4, 5, 40, 41])
def test_the_correction_is_that_of_the_sparse_matrix(body: BodyModel, count: int) -> None:
    """Written down as the least squares that it is: speeds and changes of speed by matrices of differences."""
    pose, _ = _walker(body)
    pose = pose.map(lambda tensor: tensor[:count])
    times = np.cumsum(np.random.default_rng(count).uniform(0.01, 0.06, count))
    joints, ends = torch.randn(count, 24, 3).double() + pose.translation[:, None], torch.randn(count, 4, 3).double()
    contact = FootContact(joints, ends, torch.rand(count, 4).double(), torch.zeros(3))
    step, place = np.diff(times), joints.mean(1).numpy()
    rests = np.minimum(*(contact.touch.numpy()[rows] for rows in (slice(1, None), slice(-1))))
    differ, again = (sparse.diags([-1.0, 1.0], [0, 1], shape=(n - 1, n)) for n in (count, count - 1))
    still = sparse.diags(1 / step / contacts._STILL_SD_M_S**2)
    pushed = again @ sparse.diags(1 / step) @ differ
    push = sparse.diags(2 / (step[1:] + step[:-1]) / contacts._PUSH_SD_M_S2**2)
    bend = differ.T @ still @ sparse.diags(rests.sum(1)) @ differ + pushed.T @ push @ pushed
    held, square = [], (place**2).sum(1)
    for frame, seconds in enumerate(np.gradient(times)):
        along = np.outer(place[frame], place[frame]) / square[frame]
        across = (np.eye(3) - along) / contacts._ACROSS_SD_M**2
        held.append(seconds * (across + along / contacts._DEPTH_SD**2 / square[frame]))
    whole = sparse.kron(bend, sparse.identity(3)) + sparse.block_diag(held)
    slid = still @ (rests[..., None] * ends.diff(dim=0).numpy()).sum(1)
    wanted = np.linalg.solve(whole.toarray(), -(differ.T @ slid).ravel()).reshape(count, 3)
    moved = grounded(pose, times, contact).translation - pose.translation
    assert np.abs(wanted).max() > 0.01
    assert np.allclose(moved, wanted, atol=1e-9)


def test_stretches_are_scipys() -> None:
    rng = np.random.default_rng(0)
    true = rng.random((50, 4)) < np.array([0.3, 0.7, 0.0, 1.0])
    wanted = [(end, run[0]) for end in range(4) for run in ndimage.find_objects(ndimage.label(true[:, end])[0])]
    assert list(contacts._runs(torch.from_numpy(true))) == wanted


def test_who_walks_rightly_is_left_alone(body: BodyModel) -> None:
    pose, times = _walker(body)
    contact = foot_contact(pose, times, body)
    assert sliding(contact, times) < 0.1
    assert (grounded(pose, times, contact).translation - pose.translation).norm(dim=-1).max() < 0.03


def test_the_frame_rate_makes_no_difference(body: BodyModel) -> None:
    shifts = []
    for fps in (30.0, 90.0):
        true, times = _walker(body, fps=fps)
        pose = _misplaced(true, body, times)
        shifts.append(grounded(pose, times, foot_contact(pose, times, body)).translation - pose.translation)
    often = shifts[1][::3][: len(shifts[0])]
    # What is left is when exactly a foot is set down.
    assert (shifts[0] - often).norm(dim=-1).mean() < 0.25 * often.norm(dim=-1).mean()


def test_who_does_not_touch_the_ground_is_not_moved(body: BodyModel) -> None:
    pose, times, _ = _gait(body, 2.0)
    when = torch.from_numpy(times)
    flight = torch.stack([2.5 * when, 1 + 3 * when - 4.9 * when.square() / 4, 0 * when], dim=-1)
    pose = _filmed(replace(pose, translation=flight), body, 0.0)
    contact = foot_contact(pose, times, body)
    assert not contact.touch.any()
    assert grounded(pose, times, contact) is pose
    assert sliding(contact, times) == 0


def test_a_foot_held_still_above_the_ground_does_not_touch_it(body: BodyModel) -> None:
    """15 cm up: half as high again as what is as likely resting as not."""
    times = np.arange(60) / 30
    pose = replace(BodyPose.rest(60), translation=torch.zeros(60, 3)).map(torch.Tensor.double)
    rest = body.joints(pose)[0]
    thigh, shin = (float(rest[SMPL24.index(a), 1] - rest[SMPL24.index(b), 1]) for a, b in (
        ("right_hip", "right_knee"), ("right_knee", "right_ankle")))  # fmt: skip
    bend = math.acos(1 - 0.15 / (thigh + shin))
    for joint, angle in (("hip", -bend), ("knee", 2 * bend), ("ankle", -bend)):
        pose.rotations[:, SMPL24.index(f"right_{joint}")] = _turn(angle, 0.0, 0.0)
    raised = body.joints(pose)[0, _ANKLES, 1]
    assert float(raised[1] - raised[0]) == pytest.approx(0.15, abs=0.02)
    found = foot_contact(_filmed(pose, body, 0.8), times, body).feet
    assert (found[:, 0] > 0.5).all()
    assert (found[:, 1] == 0).all()


def test_feet_out_of_sight_do_not_touch(body: BodyModel) -> None:
    pose, times = _walker(body)
    trust = torch.ones(len(times), 24)
    trust[:, SMPL24.index("left_ankle")] = 0.1
    feet = foot_contact(pose, times, body, trust).feet
    assert not feet[:, 0].any()
    assert feet[:, 1].any()


@pytest.mark.parametrize("frames", [0, 1, 2])
def test_too_few_frames(body: BodyModel, frames: int) -> None:
    pose, times = _walker(body)
    pose, times = pose.map(lambda tensor: tensor[:frames]), times[:frames]
    contact = foot_contact(pose, times, body)
    assert contact.feet.shape == (frames, 2)
    assert grounded(pose, times, contact) is pose
    assert sliding(contact, times) == 0


def test_a_body_without_heels_and_toes_has_ankles_and_feet(body: BodyModel) -> None:
    plain = BodyModel(replace(body.data, keypoint_regressors={}))
    pose, times = _walker(body)
    same = foot_contact(pose, times, plain).feet > 0.5
    assert (same == (foot_contact(pose, times, body).feet > 0.5)).double().mean() > 0.9


def _contacts(body: BodyModel, headings: list[float], down: float) -> list[FootContact]:
    walk, times, _ = _gait(body, 4.0)
    poses = [_filmed(walk, body, heading, down, away=5.0 + number) for number, heading in enumerate(headings)]
    return [foot_contact(_misplaced(pose, body, times), times, body) for pose in poses]


@pytest.mark.parametrize("degrees", [0.0, 12.0, 30.0])
def test_the_ground_before_a_tilted_camera(body: BodyModel, degrees: float) -> None:
    plane = ground_plane(_contacts(body, [0.0, 1.5, 2.5], math.radians(degrees)))
    assert plane is not None
    up = _turn(math.pi + math.radians(degrees), 0.0, 0.0) @ torch.tensor([0.0, 1.0, 0.0]).double()
    assert math.degrees(math.acos(min(float(plane.normal @ up), 1.0))) < 1
    rest = body(BodyPose.rest(1))
    ends = body.points(rest, COCO_FEET)[0, :, 1].mean() - rest.joints[0, _ANKLES, 1].mean()
    assert abs(plane.level - (-1.5 + float(ends))) < 0.02  # ankles walk 1.5 m below the camera, heels and toes deeper


def test_too_little_is_known_of_the_ground(body: BodyModel) -> None:
    assert ground_plane([]) is None
    still = BodyPose.rest(90, dtype=torch.float64)
    standing = _filmed(still, body, 0.0)
    times = np.arange(90) / 30
    contact = foot_contact(standing, times, body)
    assert (contact.feet > 0.9).all()
    assert ground_plane([contact]) is None
    assert ground_plane([foot_contact(standing, times, body, torch.zeros(90, 24))]) is None


def test_ten_minutes_are_held_at_once(body: BodyModel) -> None:
    walk, times = _walker(body, seconds=10.0)
    pose = _misplaced(walk, body, times)
    contact = foot_contact(pose, times, body)
    count = 60  # ten seconds so many times, there and back
    turns = [slice(None), torch.arange(len(times) - 1, -1, -1)]

    def long(tensor: Tensor) -> Tensor:
        return torch.cat([tensor[turns[number % 2]] for number in range(count)])

    contact = FootContact(long(contact.joints), long(contact.ends), long(contact.touch), contact.up)
    held = grounded(pose.map(long), np.arange(18_000) / 30, contact)  # a full matrix: 23 GB
    assert held.translation.isfinite().all()


def test_motions_of_a_video_are_grounded_piece_by_piece(body: BodyModel) -> None:
    true, when = _walker(body)
    pose = _misplaced(true, body, when)
    frames = np.array([*range(60), *range(100, 160)])
    motion = Motion(3, frames, pose, np.ones(120, bool), 1.0, torch.ones(120, 24))
    (moved,), notes = _on_ground([motion], np.arange(200) / 30, body)
    assert len(moved.pose.shape) == 120
    assert notes[0].startswith("person 3: feet in contact slid ")
    before, after = (float(word) for word in re.findall(r"([\d.]+) m/s", notes[0]))
    assert after < 0.5 * before
    assert _on_ground([], np.zeros(0), body) == ([], [])
