"""Contrastive losses against loops in NumPy and PyTorch's own sampling; the authors' numbers are in test_jotr."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import grid_sample, normalize

from humesh.methods import jotr_loss as contrast
from humesh.networks.heads import interpolation

CELLS = (3, 4, 5)


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _volume(samples: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(samples, 60, 8, generator=_generator(seed), dtype=torch.float64)


def _points(samples: int, joints: int = 6, seed: int = 1) -> torch.Tensor:
    return torch.rand(samples, joints, 3, generator=_generator(seed), dtype=torch.float64)


def _by_loop(anchor: np.ndarray, positive: np.ndarray, negatives: list[np.ndarray]) -> float:
    def power(other: np.ndarray) -> float:
        cosine = anchor @ other / np.linalg.norm(anchor) / np.linalg.norm(other)
        return float(np.exp(cosine / 0.07))

    return -np.log(power(positive) / (power(positive) + sum(power(n) for n in negatives)))


@given(st.integers(0, 1000))
def test_interpolation_is_grid_sample_with_aligned_corners(seed: int) -> None:
    volume, points = _volume(2, seed), 1.6 * _points(2, 7, seed) - 0.3  # some outside
    grid = (2 * points - 1)[:, :, None, None]
    expected = grid_sample(volume.mT.unflatten(-1, CELLS), grid, align_corners=True, padding_mode="zeros")
    assert torch.allclose(interpolation(points, CELLS) @ volume, expected[..., 0, 0].mT, atol=1e-12)
    flat = volume[:, :20]
    expected = grid_sample(flat.mT.unflatten(-1, (4, 5)), (2 * points[:, :, None, :2] - 1), align_corners=True)
    assert torch.allclose(interpolation(points[..., :2], (4, 5)) @ flat, expected[..., 0].mT, atol=1e-12)


def test_info_nce_is_the_share_of_the_positive() -> None:
    query, positive, negatives = (torch.randn(*shape).double() for shape in ((4, 8), (4, 8), (4, 5, 8)))
    expected = [
        _by_loop(q.numpy(), p.numpy(), list(n.numpy())) for q, p, n in zip(query, positive, negatives, strict=True)
    ]
    query, positive, negatives = (normalize(rows, dim=-1) for rows in (query, positive, negatives))
    pull, push = (query * positive).sum(-1, keepdim=True) / 0.07, (negatives @ query[..., None])[..., 0] / 0.07
    assert np.allclose(contrast.info_nce(pull, push)[:, 0].numpy(), expected)


def test_joint_to_joint_compares_what_was_drawn() -> None:
    volume, predicted, true = _volume(3), _points(3), _points(3, seed=2)
    valid = torch.rand(3, 6, generator=_generator(3)) > 0.4
    valid[:, 2] = False  # nobody's third joint: its anchors are left out
    draw = contrast.draw_joint_to_joint(valid, _generator(4), counts=(12, 4, 5))
    features = [contrast.features_at(volume, points, CELLS) for points in (predicted, true)]
    loss = contrast.joint_to_joint(*features, draw)
    at_predicted, at_true = (
        normalize(interpolation(points, CELLS) @ volume, dim=-1).numpy() for points in (predicted, true)
    )
    losses = []
    for row, anchor in enumerate(draw.anchors.tolist()):
        sample, joint = divmod(anchor, 6)
        assert draw.kept[row] == bool(valid[:, joint].any())
        if not draw.kept[row]:
            continue
        negatives = [divmod(n, 6) for n in draw.negatives[row].tolist()]
        assert all(other != joint for _, other in negatives)
        for positive in draw.positives[row].tolist():
            assert valid[positive, joint]
            others = [at_predicted[n] for n in negatives]
            losses.append(_by_loop(at_predicted[sample, joint], at_true[positive, joint], others))
    assert 0 < len(losses) < 48
    assert np.isclose(float(loss), np.mean(losses))


def test_joint_to_non_joint_compares_what_was_drawn() -> None:
    volume, predicted = _volume(2), _points(2)
    pool = contrast.non_joint_voxels(predicted, CELLS)
    draw = contrast.draw_joint_to_non_joint(6, pool, _generator(5), counts=(7, 4, 9))
    found = contrast.features_at(volume, predicted, CELLS)
    loss, features = contrast.joint_to_non_joint(found, volume, draw), found.flatten(0, 1).numpy()
    voxels = [volume.flatten(0, 1)[n].numpy() for n in draw.negatives.tolist()]
    assert pool.flatten()[draw.negatives].all()
    losses = []
    for anchor, positives in zip(draw.anchors.tolist(), draw.positives.tolist(), strict=True):
        assert anchor not in positives
        losses += [_by_loop(features[anchor], features[p], voxels) for p in positives]
    assert np.isclose(float(loss), np.mean(losses))


@pytest.mark.parametrize("samples", [1, 8])
def test_what_suffices_is_drawn_once_and_what_does_not_again_and_again(samples: int) -> None:
    valid = torch.ones(samples, 15, dtype=torch.bool)
    draw = contrast.draw_joint_to_joint(valid, _generator(0))
    assert draw.anchors.shape == (100,)
    assert draw.positives.shape == (100, 128)
    assert draw.negatives.shape == (100, 256)
    assert (len(draw.anchors.unique()) == 100) == (samples == 8)
    few = contrast.draw_joint_to_joint(valid, _generator(0), counts=(5, samples, 14 * samples))
    for row in range(5):
        assert len(few.positives[row].unique()) == samples
        assert len(few.negatives[row].unique()) == 14 * samples
    assert draw.kept.all()
    assert torch.equal(draw.anchors, contrast.draw_joint_to_joint(valid, _generator(0)).anchors)
    assert not torch.equal(draw.negatives, contrast.draw_joint_to_joint(valid, _generator(1)).negatives)


def test_every_candidate_is_drawn_as_often() -> None:
    valid = torch.zeros(10, 15, dtype=torch.bool)
    valid[2:7] = True
    draw = contrast.draw_joint_to_joint(valid, _generator(0), counts=(150, 2, 256))
    counts = draw.positives.flatten().bincount(minlength=10)
    assert counts[:2].sum() == counts[7:].sum() == 0
    assert (counts[2:7] - 60).abs().max() < 30  # 300 draws of 5, more than four deviations


def test_the_coded_voxels_have_x_and_z_changed() -> None:
    point = torch.tensor([[[0.9, 0.5, 0.1]]])  # of 8 voxels: between 7 and 8 -> 7; 4; 0 and 1
    pool = contrast.non_joint_voxels(point, (8, 8, 8)).unflatten(1, (8, 8, 8))
    assert (~pool)[0].nonzero().tolist() == [[7, 4, 0], [7, 4, 1]]


BOTH = ("joint_to_joint", "joint_to_non_joint")


def test_nobody_valid_or_known_counts_nothing() -> None:
    volume, points, everyone = _volume(2).requires_grad_(), _points(2), torch.ones(2, dtype=torch.bool)
    nobody = torch.zeros(2, 6, dtype=torch.bool)
    loss = contrast.joint_contrasts(BOTH[:1], volume, points, points, nobody, everyone, CELLS)["joint_to_joint"]
    loss.backward()
    assert loss == 0
    assert not volume.grad.any()
    unknown = contrast.joint_contrasts(BOTH, volume, points, points, ~nobody, ~everyone, CELLS)
    assert all(loss == 0 for loss in unknown.values())
    sum(unknown.values()).backward()
    assert not volume.grad.any()


def test_only_people_known_in_3d_are_compared() -> None:
    volume, points, valid = _volume(3), _points(3), torch.ones(3, 6, dtype=torch.bool)
    known, wild = torch.tensor([True, False, True]), volume.clone()
    wild[1] += 100
    results = []
    for volumes in (volume, wild):
        torch.manual_seed(0)
        results.append(contrast.joint_contrasts(BOTH, volumes, points, points, valid, known, CELLS))
    assert results[0] == results[1]


def test_gradients_reach_volume_and_joints() -> None:
    volume, points = _volume(2).requires_grad_(), _points(2).requires_grad_()
    everyone, valid = torch.ones(2, dtype=torch.bool), torch.ones(2, 6, dtype=torch.bool)
    losses = contrast.joint_contrasts(BOTH, volume, points, _points(2, seed=9), valid, everyone, CELLS)
    for loss in losses.values():
        for grad in torch.autograd.grad(loss, (volume, points), retain_graph=True):
            assert grad.any(), grad.shape
            assert torch.isfinite(grad).all()


_PROGRAM = """
import sys, torch
from torch import distributed
from humesh.methods.jotr_loss import gathered
rank = int(sys.argv[1])
distributed.init_process_group("gloo", init_method="file://" + sys.argv[2], rank=rank, world_size=2)
own = torch.full((2, 3), float(rank + 1), requires_grad=True)
whole = gathered(own)
assert whole[:, 0].tolist() == [1, 1, 2, 2], whole
assert gathered(torch.tensor([rank == 0])).tolist() == [True, False]
(whole * torch.arange(4.0)[:, None]).sum().backward()
assert own.grad[:, 0].tolist() == [2 * rank, 2 * rank + 1], own.grad
distributed.barrier()  # neither leaves while the other still needs it
distributed.destroy_process_group()
"""


def test_people_of_all_processes_are_gathered_with_gradients_for_the_own(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _PROGRAM]
    processes = [subprocess.Popen([*command, str(rank), str(tmp_path / "meet")]) for rank in range(2)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
