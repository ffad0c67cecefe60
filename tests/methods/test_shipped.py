"""The weights that come with humesh: small enough, with a card, and they know what a body looks like."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import humesh
from humesh.body.joints import JOTR30, LIMBS12, SMPL24
from humesh.body.model import BodyModel
from humesh.data.augment import Augment
from humesh.data.synthetic.posed import PosedClips, PosedPeople
from humesh.evaluation.metrics import acceleration_error, pa_mpjpe
from humesh.methods import METHODS
from humesh.methods.weights import build, load_method, read_weights, save_weights, shipped
from humesh.recover import DEFAULT

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", shipped())
def test_it_is_small_and_says_what_it_is(name: str) -> None:
    header, state = read_weights(shipped()[name])
    assert header.method == name
    assert name in METHODS
    assert {"recipe", "settings", "steps", "data", "test", "licence"} <= header.notes.keys()
    assert "use them for anything" in header.notes["licence"]
    assert all(tensor.isfinite().all() for tensor in state.values() if tensor.is_floating_point())
    assert shipped()[name].stat().st_size <= 50e6


def test_all_together_are_small_and_on_the_page() -> None:
    assert DEFAULT in shipped()
    assert sum(path.stat().st_size for path in shipped().values()) <= 40e6  # of the 100 MB that PyPI takes
    page = (ROOT / "docs" / "weights.md").read_text()
    for name, path in shipped().items():
        header, _ = read_weights(path)
        assert f"## {name}\n" in page
        for note in ("recipe", "data", "test"):
            assert header.notes[note] in page


def test_it_poses_people_from_a_detectors_points(tmp_path: Path) -> None:
    """People near the rest pose with arms down, seen with a detector's errors; a T-pose would be off by 150 mm."""
    rng = np.random.default_rng(0)
    poses = rng.normal(0, 0.15, (200, 24, 3))
    shoulders = SMPL24.indices("left_shoulder", "right_shoulder")
    poses[:, shoulders, 2] += np.array([-1.2, 1.2])
    np.savez(tmp_path / "poses.npz", poses=poses)
    body = BodyModel.load("open-low")
    _, method = load_method("lifter", body)
    people = PosedPeople([tmp_path / "poses.npz"], seed=1, body=body)
    batch = people.batch(range(64), method.spec, Augment(), rng)
    with torch.no_grad():
        pose = method(batch.crops).pose.map(lambda tensor: tensor[:, 0])
    here, there = SMPL24.indices(*LIMBS12.names), JOTR30.indices(*LIMBS12.names)
    errors = pa_mpjpe(body.joints(pose)[:, here], batch.targets.points3d[:, 0, there])
    assert float(errors.median()) < 0.1
    assert pose.translation[:, 2].min() > 0


def test_the_lifter_through_time_shakes_less_than_the_lifter_frame_by_frame(tmp_path: Path) -> None:
    """Arms and legs that swing, each joint a sine of its own, seen with a detector's errors."""
    rng, when = np.random.default_rng(0), np.arange(90)[:, None, None] / 30
    swing = rng.normal(0, 0.25, (1, 24, 3)) * np.sin(2 * np.pi * (0.7 * when + rng.random((1, 24, 3))))
    shoulders = SMPL24.indices("left_shoulder", "right_shoulder")
    swing[:, shoulders, 2] += np.array([-1.2, 1.2])
    swing[:, 0] = 0
    np.savez(tmp_path / "swing.npz", poses=swing, mocap_framerate=30.0)
    body = BodyModel.load("open-low")
    clips = PosedClips([tmp_path / "swing.npz"], frames=(16, 16), seed=1, body=body)
    here, there = SMPL24.indices(*LIMBS12.names), JOTR30.indices(*LIMBS12.names)
    shaking, errors = {}, {}
    for name in ("lifter", "lifter_video"):
        _, method = load_method(name, body)
        batch = clips.batch(range(24), method.spec, Augment(), np.random.default_rng(2))
        with torch.no_grad():
            joints = body.joints(method(batch.crops).pose)[:, :, here]
        true = batch.targets.points3d[:, :, there]
        inner, outer = (points - points.mean(2, keepdim=True) for points in (joints, true))
        shaking[name] = float(acceleration_error(inner, outer, 30.0).mean())
        errors[name] = float(pa_mpjpe(joints, true).mean())
    assert shaking["lifter_video"] < 0.67 * shaking["lifter"]
    assert errors["lifter_video"] < errors["lifter"]


def test_sixteen_bits_are_widened_when_read(tmp_path: Path) -> None:
    method = build("lifter", {"width": 16, "blocks": 1})
    for half in (True, False):
        save_weights(tmp_path / f"{half}.safetensors", "lifter", method, half=half)
    assert (tmp_path / "True.safetensors").stat().st_size < 0.7 * (tmp_path / "False.safetensors").stat().st_size
    _, state = read_weights(tmp_path / "True.safetensors")
    for key, value in method.state_dict().items():
        assert state[key].dtype == value.dtype
        assert torch.allclose(state[key], value, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", ["jotr", "multi_roi", "int", "ik_refine"])
def test_papers_methods_without_weights_are_refused(name: str) -> None:
    sentence = rf"weights {name}: expected .* file or one of .*lifter.* no trained weights .* `humesh train`"
    with pytest.raises(ValueError, match=sentence):
        humesh.Recoverer(weights=name)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ValueError, match=r"weights nothing: expected a \.safetensors file .* or one of .*lifter"):
        humesh.Recoverer(weights="nothing")
