"""Chains of equations, against the same matrix as a whole."""

from __future__ import annotations

import numpy as np
import pytest

from humesh.geometry.chains import solved_chain


@pytest.mark.parametrize("count", [*range(1, 10), 33, 100])
def test_it_is_the_whole_matrixs_answer(count: int) -> None:
    rng, k = np.random.default_rng(count), 3
    apart = np.subtract.outer(np.arange(count), np.arange(count))
    root = rng.normal(0, 1, (count, k, count, k)) * ((apart == 0) | (apart == 1))[:, None, :, None]
    flat = root.reshape(count * k, -1)
    square = flat @ flat.T + np.eye(len(flat))  # of a lower bidiagonal one, so that it is a chain
    whole, at = square.reshape(root.shape), np.arange(count)
    right = rng.normal(0, 1, (count, k, 2))
    ours = solved_chain(whole[at, :, at], whole[at[:-1], :, at[1:]], right)
    wanted = np.linalg.solve(square, right.reshape(-1, 2)).reshape(right.shape)
    assert np.allclose(ours, wanted, rtol=1e-10, atol=1e-12)
