"""Contrastive losses against loops in NumPy and PyTorch's own sampling; the authors' numbers are in test_jotr."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import grid_sample, normalize

from humesh.losses import contrast
from humesh.losses.total import reduced
from humesh.networks.volumes import interpolation

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
    assert np.allclose(contrast.info_nce(query, positive, negatives).numpy(), expected)
    assert torch.allclose(
        contrast.info_nce(query, positive, negatives[0]),
        contrast.info_nce(query, positive, negatives[:1].expand(4, -1, -1)),
    )


def test_joint_to_joint_compares_what_was_drawn() -> None:
    volume, predicted, true = _volume(3), _points(3), _points(3, seed=2)
    valid = torch.rand(3, 6, generator=_generator(3)) > 0.4
    valid[:, 2] = False  # nobody's third joint: its anchors are left out
    draw = contrast.draw_joint_to_joint(valid, _generator(4), anchors=12, positives=4, negatives=5)
    term = contrast.joint_to_joint(volume, predicted, true, CELLS, draw), draw.weight
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
    assert np.isclose(float(reduced(term)), np.mean(losses))


def test_joint_to_non_joint_compares_what_was_drawn() -> None:
    volume, predicted = _volume(2), _points(2)
    pool = contrast.non_joint_voxels(predicted, CELLS, corrected=True)
    draw = contrast.draw_joint_to_non_joint(6, pool, _generator(5), anchors=7, positives=4, negatives=9)
    term = contrast.joint_to_non_joint(volume, predicted, CELLS, draw), draw.weight
    features = contrast.features_at(volume, predicted, CELLS).numpy()
    voxels = [volume.flatten(0, 1)[n].numpy() for n in draw.negatives.tolist()]
    assert pool.flatten()[draw.negatives].all()
    losses = []
    for anchor, positives in zip(draw.anchors.tolist(), draw.positives.tolist(), strict=True):
        assert anchor not in positives
        losses += [_by_loop(features[anchor], features[p], voxels) for p in positives]
    assert np.isclose(float(reduced(term)), np.mean(losses))


@pytest.mark.parametrize("samples", [1, 8])
def test_what_suffices_is_drawn_once_and_what_does_not_again_and_again(samples: int) -> None:
    valid = torch.ones(samples, 15, dtype=torch.bool)
    draw = contrast.draw_joint_to_joint(valid, _generator(0))
    assert draw.anchors.shape == (100,)
    assert draw.positives.shape == (100, 128)
    assert draw.negatives.shape == (100, 256)
    assert (len(draw.anchors.unique()) == 100) == (samples == 8)
    few = contrast.draw_joint_to_joint(valid, _generator(0), anchors=5, positives=samples, negatives=14 * samples)
    for row in range(5):
        assert len(few.positives[row].unique()) == samples
        assert len(few.negatives[row].unique()) == 14 * samples
    assert draw.kept.all()
    assert torch.equal(draw.anchors, contrast.draw_joint_to_joint(valid, _generator(0)).anchors)
    assert not torch.equal(draw.negatives, contrast.draw_joint_to_joint(valid, _generator(1)).negatives)


def test_every_candidate_is_drawn_as_often() -> None:
    valid = torch.zeros(10, 15, dtype=torch.bool)
    valid[2:7] = True
    draw = contrast.draw_joint_to_joint(valid, _generator(0), anchors=150, positives=2, negatives=256)
    counts = draw.positives.flatten().bincount(minlength=10)
    assert counts[:2].sum() == counts[7:].sum() == 0
    assert (counts[2:7] - 60).abs().max() < 30  # 300 draws of 5, more than four deviations


def test_corrected_voxels_are_those_that_joints_are_made_of() -> None:
    points = _points(2, 3)
    pool = contrast.non_joint_voxels(points, CELLS, corrected=True).unflatten(1, CELLS)
    for sample in range(2):
        used = np.zeros(CELLS, dtype=bool)
        for x, y, z in points[sample].numpy() * (np.array(CELLS[::-1]) - 1):
            for corner in np.ndindex(2, 2, 2):
                used[tuple(np.floor([z, y, x]).astype(int) + corner)] = True
        assert np.array_equal(~used, pool[sample].numpy())


def test_the_coded_voxels_have_x_and_z_changed() -> None:
    point = torch.tensor([[[0.9, 0.5, 0.1]]])  # of 8 voxels: between 7 and 8 -> 7; 4; 0 and 1
    pool = contrast.non_joint_voxels(point, (8, 8, 8)).unflatten(1, (8, 8, 8))
    assert (~pool)[0].nonzero().tolist() == [[7, 4, 0], [7, 4, 1]]


def test_nobody_valid_counts_nothing() -> None:
    volume, points = _volume(2).requires_grad_(), _points(2)
    terms = contrast.joint_contrasts(
        ("joint_to_joint",), volume, points, points, torch.zeros(2, 6, dtype=torch.bool), CELLS
    )
    loss = reduced(terms["joint_to_joint"])
    loss.backward()
    assert loss == 0
    assert not volume.grad.any()
    empty = contrast.joint_contrasts(
        ("joint_to_joint", "joint_to_non_joint"), volume[:0], points[:0], points[:0], torch.ones(0, 6).bool(), CELLS
    )
    assert [float(reduced(term)) for term in empty.values()] == [0, 0]


def test_gradients_reach_volume_and_joints() -> None:
    volume, points = _volume(2).requires_grad_(), _points(2).requires_grad_()
    terms = contrast.joint_contrasts(
        ("joint_to_joint", "joint_to_non_joint"), volume, points, _points(2, seed=9), torch.ones(2, 6).bool(), CELLS
    )
    for term in terms.values():
        for tensor, grad in zip((volume, points), torch.autograd.grad(reduced(term), (volume, points)), strict=True):
            assert grad.any(), tensor.shape
            assert torch.isfinite(grad).all()
