"""What the tests of several commands start from."""

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def motion(tmp_path: Path) -> Path:
    """A motion file of made-up poses."""
    path = tmp_path / "poses.npz"
    np.savez(path, poses=np.random.default_rng(0).normal(0, 0.2, (30, 24, 3)))
    return path
