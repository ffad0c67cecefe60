"""The squares of a photo that are searched for people."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

_SMALLEST_TILE = 48.0  # px; the detector sees nobody in less


def tile_batches(
    width: int, height: int, always: int, crowd: int, smallest: float = _SMALLEST_TILE
) -> list[Float[np.ndarray, "T 3"]]:
    """Overlapping squares (x0, y0, side px) that cover the photo at each of many scales, 1.5 apart.

    The first batch is the whole photo and all scales that fit into `always` tiles, then comes one batch for each finer
    scale as long as there are at most `crowd` more tiles.
    """
    batches: list[Float[np.ndarray, "T 3"]] = []
    side, count = float(max(width, height)), 0
    while not batches or side >= smallest:
        level = np.array([(x, y, side) for y in _starts(height, side) for x in _starts(width, side)])
        count += len(level)
        if batches and count > always + crowd:
            break
        if batches and count <= always:
            batches[0] = np.concatenate([batches[0], level])
        else:
            batches.append(level)
        side /= 1.5
    return batches


def _starts(length: int, side: float) -> list[float]:
    """Where the tiles of one axis begin so that neighbours overlap by at least a quarter of a side."""
    if length <= side:
        return [(length - side) / 2]
    return np.linspace(0, length - side, 1 + math.ceil((length - side) / (0.75 * side) - 1e-9)).tolist()
