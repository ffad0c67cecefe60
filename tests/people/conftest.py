"""Our own rendering of three people, and a finder that several modules share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from humesh.people.finder import PeopleFinder
from humesh.people.networks import Pose, Roi, missing_networks

RENDERED = Path(__file__).parents[2] / "docs/pictures/rendered.jpg"


@pytest.fixture(scope="session")
def networks() -> None:
    """Skips where the networks lack."""
    if missing_networks():
        pytest.skip("humesh was built without a connection to the npm registry, see hatch_build.py")


@pytest.fixture(scope="session")
def finder(networks: None) -> PeopleFinder:
    return PeopleFinder(workers=2)


@pytest.fixture(scope="session")
def rendered() -> np.ndarray:
    """700 x 525 px: two people who stand and one who kneels, apart from each other."""
    return np.asarray(Image.open(RENDERED).convert("RGB"))


@pytest.fixture(scope="session")
def one_rendered(rendered: np.ndarray) -> np.ndarray:
    """The leftmost of them alone."""
    return np.ascontiguousarray(rendered[:, :240])


@pytest.fixture(scope="session")
def cameraman() -> np.ndarray:
    """The man at a camera of scikit-image (CC0), 512 x 512."""
    return np.repeat(pytest.importorskip("skimage.data").camera()[..., None], 3, axis=-1)


@pytest.fixture(scope="session")
def pose() -> Pose:
    """A body of made-up points, 100 px high, as the heavy landmark model would tell it."""
    g = np.random.default_rng(0)
    points = np.concatenate([g.uniform(0, 1, (33, 2)) * [40, 100] + 200, np.full((33, 1), 0.9)], axis=1)
    return Pose(points, g.normal(0, 0.3, (33, 3)), 0.8, Roi(220.0, 250.0, 125.0), "heavy")
