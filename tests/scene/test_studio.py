"""The floor's shadows: their blur and what lies between the cells, as SciPy has both."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import map_coordinates, uniform_filter

from humesh.scene.studio import _between, _mean


@pytest.mark.parametrize("radius", [1, 3, 8])
@pytest.mark.parametrize("shape", [(2, 5), (30, 17), (64, 90)])
def test_means_of_neighbouring_cells(shape: tuple[int, int], radius: int) -> None:
    cells = np.random.default_rng(0).random(shape)
    assert np.allclose(_mean(cells, radius), uniform_filter(cells, 2 * radius + 1, mode="constant"), atol=1e-14)


@pytest.mark.parametrize("shape", [(2, 2), (5, 9), (60, 40)])
def test_spots_between_cells(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    cells = rng.random(shape)
    corners = np.array([[0, 0], [shape[0] - 1, 0], [shape[0] - 1, shape[1] - 1], [shape[0] - 1, 0.5], [1, 1]])
    spots = np.concatenate([rng.uniform(-3, np.array(shape) + 2.0, (2000, 2)), corners])
    wanted = map_coordinates(cells, spots.T, order=1)
    assert (wanted == 0).any()
    assert np.allclose(_between(cells, spots), wanted, atol=1e-14)
