"""BVH written and read back, by our reader and by another one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from humesh.body.bvh import BvhError, read_bvh
from humesh.body.joints import SMPL24
from humesh.body.kinematics import forward_kinematics
from humesh.scene.mocap import bvh_text, write_bvh
from humesh.scene.result import Result

Y_UP = np.array([1.0, -1.0, -1.0])
REST = np.random.default_rng(5).normal(size=(24, 3)) * 0.3

HAND_MADE = """HIERARCHY
ROOT Hips
{
  OFFSET 1 2 3
  CHANNELS 6 Xposition Yposition Zposition Yrotation Xrotation Zrotation
  JOINT Left Arm {
    OFFSET 0 10 0
    CHANNELS 3 Xrotation Zrotation Yrotation
    End Site
    {
      OFFSET 0 5 0
    }
  }
  JOINT Free
  {
    OFFSET 1 0 0
    CHANNELS 2 Zposition Yrotation
    End Site { OFFSET 0 0 1 }
  }
}
MOTION
Frames: 2
Frame Time: 0.04
0 0 0 0 0 0  0 0 0  0 0
7 8 9 10 20 30  40 50 60  4 90
"""


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


def test_any_hierarchy_and_channel_order(tmp_path: Path) -> None:
    (tmp_path / "hand.bvh").write_text(HAND_MADE)
    clip = read_bvh(tmp_path / "hand.bvh")
    assert clip.names == ("Hips", "Left Arm", "Free")
    assert clip.parents == (-1, 0, 0)
    assert clip.end_sites[1].tolist() == [0, 5, 0]
    assert clip.frame_time == 0.04
    turn = Rotation.from_euler("YXZ", [10, 20, 30], degrees=True)
    np.testing.assert_allclose(clip.rotations[1, 0], turn.as_matrix(), atol=1e-12)
    arm = Rotation.from_euler("XZY", [40, 50, 60], degrees=True).as_matrix()
    np.testing.assert_allclose(clip.rotations[1, 1], arm, atol=1e-12)
    np.testing.assert_allclose(clip.joints()[1, 1], turn.apply([0, 10, 0]) + np.array([7, 8, 9]), atol=1e-12)
    np.testing.assert_allclose(clip.positions[1, 2], [1, 0, 4])  # the channel stands in place of the offset's z


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("HIERARCHY", "HIERARCHIE", "line 1: expected 'HIERARCHY', got 'HIERARCHIE'"),
        ("OFFSET 1 2 3", "OFFSET 1 two 3", r"line 4: expected an offset \(a number\), got 'two'"),
        ("Xposition", "Xscale", "line 5: expected a channel, one of Xposition.*got 'Xscale'"),
        ("CHANNELS 2 Z", "CHANELS 2 Z", "line 17: expected JOINT, CHANNELS, End Site or }, got 'CHANELS'"),
        ("7 8 9", "7 8", "expected 2 frames of 11 finite numbers each, got 21 numbers"),
        ("7 8 9", "7 eight 9", "line 25: expected numbers in the motion, got 'eight'"),
        ("7 8 9", "7 nan 9", "expected 2 frames of 11 finite numbers"),
        ("7 8 9", "7 1e300 9", "expected 2 frames of 11 finite numbers"),
        ("MOTION", "", "expected 'MOTION', got 'Frames:'"),
        ("OFFSET 1 2 3", "OFFSET 1 inf 3", r"line 4: expected an offset \(a number\), got 'inf'"),
        ("CHANNELS 2 Z", "CHANNELS inf Z", r"line 17: expected the number of channels \(a number\), got 'inf'"),
        ("CHANNELS 2 Z", "CHANNELS 1e9 Z", "expected a channel, one of"),
        ("CHANNELS 2 Z", "CHANNELS -2 Z", r"expected the number of channels \(a whole number\), got '-2'"),
        ("Frames: 2", "Frames: nan", r"expected the number of frames \(a number\), got 'nan'"),
        ("Frames: 2", "Frames: 1.5", r"expected the number of frames \(a whole number\), got '1.5'"),
        ("Frames: 2", "Frames: -1", r"expected the number of frames \(a whole number\), got '-1'"),
        ("Frames: 2", "Frames: 1000000000", "expected 1000000000 frames of 11 finite numbers each, got 22"),
        ("Time: 0.04", "Time: -1", "expected seconds a frame, 0 at least, got '-1'"),
        ("ROOT Hips", "ROOT\nHips", "line 3: expected a joint's name on line 2, got 'Hips'"),
        ("ROOT Hips", "ROOT", "line 3: expected a joint's name on line 2, got '{'"),
        (HAND_MADE[200:], "", "the file ends after line"),
        (HAND_MADE, "", "expected 'HIERARCHY', the file ends after line 0"),
    ],
)
def test_errors_tell_the_line(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    (tmp_path / "bad.bvh").write_text(HAND_MADE.replace(old, new, 1))
    with pytest.raises(BvhError, match=sentence):
        read_bvh(tmp_path / "bad.bvh")


def test_bytes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.bvh").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(BvhError, match="expected a BVH text file"):
        read_bvh(tmp_path / "bad.bvh")


def test_frames_without_channels_take_no_memory(tmp_path: Path) -> None:
    text = "HIERARCHY\nROOT Hips\n{\nOFFSET 0 0 0\n}\nMOTION\nFrames: 300000\nFrame Time: 1\n"
    (tmp_path / "bad.bvh").write_text(text)
    with pytest.raises(BvhError, match="channels that move its 1 joints through 300000 frames, got 0"):
        read_bvh(tmp_path / "bad.bvh")


def test_thousands_of_joints_within_each_other_are_read(tmp_path: Path) -> None:
    joint, many = "JOINT a {\nOFFSET 0 1 0\n", 5000
    text = f"HIERARCHY\nROOT a b\n{{ OFFSET 0 0 0\n{joint * many}{'}' + chr(10) + ('}' + chr(10)) * many}MOTION\n"
    (tmp_path / "deep.bvh").write_text(f"{text}Frames: 1\nFrame Time: 1\n")
    clip = read_bvh(tmp_path / "deep.bvh")
    assert clip.names[:2] == ("a b", "a")
    assert clip.joints()[0, -1].tolist() == [0, many, 0]
