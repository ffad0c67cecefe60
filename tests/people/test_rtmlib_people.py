"""rtmlib's people, of made-up models."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest

from humesh.body.joints import COCO17
from humesh.media.photo import Photo
from humesh.people.finder import RtmlibPeople


class _FakeBodyWithFeet:
    """Two people, the second one surer; refuses to be asked for the pose of nobody, as rtmlib would invent one."""

    def __init__(self, **settings: object) -> None:
        self.settings = settings

    def det_model(self, bgr: np.ndarray) -> np.ndarray:
        return np.array([[0, 0, 10, 20], [30, 0, 50, 40]], np.float32) if bgr[0, 0, 0] == 3 else np.array([])

    def pose_model(self, bgr: np.ndarray, bboxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        assert len(bboxes) == 2
        points = np.arange(2 * 26 * 2, dtype=np.float64).reshape(2, 26, 2)
        return points, np.stack([np.full(26, 0.4), np.full(26, 1.2)]).astype(np.float32)


def test_rtmlib_people(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("rtmlib")
    module.BodyWithFeet = _FakeBodyWithFeet  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "rtmlib", module)
    rtmlib = RtmlibPeople(mode="lightweight")
    pixels = np.full((60, 60, 3), [1, 2, 3], np.uint8)  # rtmlib wants BGR
    sure, other = rtmlib(Photo.of(pixels))
    assert (sure.score, other.score) == pytest.approx((1, 0.4))
    np.testing.assert_array_equal(sure.box, [30, 0, 50, 40])
    assert sure.keypoint_set.names[:17] == COCO17.names
    np.testing.assert_array_equal(sure.keypoints[sure.keypoint_set.index("left_heel")], [100, 101, 1])
    assert sure.landmarks3d is None
    assert rtmlib(Photo.of(np.zeros((60, 60, 3), np.uint8))) == []


def test_missing_rtmlib_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rtmlib", None)
    with pytest.raises(ImportError, match=r'pip install "humesh\[rtmlib\]"'):
        RtmlibPeople()
