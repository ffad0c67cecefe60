"""BVH written and read back, by the tests' reader and by another one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from humesh.body.joints import SMPL24
from humesh.body.kinematics import forward_kinematics
from humesh.scene.mocap import bvh_text, write_bvh
from humesh.scene.result import Result

from .bvh import read_bvh

Y_UP = np.array([1.0, -1.0, -1.0])
REST = np.random.default_rng(5).normal(size=(24, 3)) * 0.3


@given(seed=st.integers(0, 2**32 - 1), frames=st.integers(1, 3), quarter_turns=st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_reading_back_gives_the_joints(tmp_path: Path, seed: int, frames: int, quarter_turns: bool) -> None:
    random = np.random.default_rng(seed)
    if quarter_turns:  # where the angles' order loses a degree of freedom
        turns = Rotation.from_euler("ZXY", random.integers(-2, 3, (frames * 24, 3)) * 90, degrees=True)
    else:
        turns = Rotation.random(frames * 24, random_state=seed)
    rotations = turns.as_matrix().reshape(frames, 24, 3, 3)
    translations = random.normal(size=(frames, 3)) * [1, 1, 20]
    path = tmp_path / "clip.bvh"
    path.write_text(bvh_text(REST, rotations, translations, frame_time=0.02))
    clip = read_bvh(path)
    _, joints = forward_kinematics(torch.tensor(rotations), torch.tensor(REST))
    wanted = (joints.numpy() + translations[:, None]) * Y_UP
    order = [clip.names.index(name) for name in SMPL24.names]
    np.testing.assert_allclose(clip.joints()[:, order], wanted, atol=1e-5)
    assert clip.frame_time == pytest.approx(0.02)


def test_a_person_of_a_photo(open_recovery: Result, tmp_path: Path) -> None:
    write_bvh(open_recovery, 0, tmp_path / "person.bvh")
    clip = read_bvh(tmp_path / "person.bvh")
    order = [clip.names.index(name) for name in SMPL24.names]
    wanted = open_recovery.bodies.joints[0].double().numpy() * Y_UP
    np.testing.assert_allclose(clip.joints()[0, order], wanted, atol=1e-5)
    ends = {clip.names[joint] for joint in clip.end_sites}
    assert ends == {"left_foot", "right_foot", "head", "left_hand", "right_hand"}


def test_another_reader_agrees(recovery: Result, tmp_path: Path) -> None:
    bvhio = pytest.importorskip("bvhio")
    write_bvh(recovery, 1, tmp_path / "person.bvh")
    skeleton = bvhio.readAsHierarchy(str(tmp_path / "person.bvh"))
    skeleton.loadPose(0)
    found = {joint.Name: np.array(joint.PositionWorld) for joint, _, _ in skeleton.layout()}
    wanted = recovery.bodies.joints[1].double().numpy() * Y_UP
    for name, place in zip(SMPL24.names, wanted, strict=True):
        np.testing.assert_allclose(found[name], place, atol=1e-5)
