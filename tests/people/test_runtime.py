"""The networks' files: what is said of those that lack, and that only what is asked for is computed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from humesh.people import runtime
from humesh.people.finder import PeopleFinder
from humesh.people.runtime import NETWORKS, MissingNetworkError, missing_networks, network


@pytest.fixture
def nothing_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr(runtime, "ASSETS", tmp_path)
    network.cache_clear()
    yield
    network.cache_clear()


@pytest.mark.usefixtures("nothing_built")
def test_a_lacking_network_is_told_in_a_sentence(tmp_path: Path) -> None:
    assert missing_networks() == list(NETWORKS)
    told = r"pose_landmark_(full|heavy).onnx: expected a network that finds people; .* Install humesh again"
    for fast in (True, False):
        with pytest.raises(MissingNetworkError, match=told):
            PeopleFinder(fast=fast)
    (tmp_path / "movenet_multipose.onnx").touch()
    assert missing_networks() == [name for name in NETWORKS if name != "movenet_multipose"]


def test_the_networks_take_batches_and_give_what_is_asked_for(networks: None) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 256, 256, 3), np.uint8)
    both = network("pose_landmark_full")(pixels, "score", "points")
    assert [part.shape for part in both] == [(2, 1), (2, 195)]
    (points,) = network("pose_landmark_full")(pixels[1:], "points")
    np.testing.assert_allclose(points[0], both[1][1], atol=1e-3)
    assert network("pose_landmark_full") is network("pose_landmark_full")
