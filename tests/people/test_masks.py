"""Masks in a photo's pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest

from humesh.people.networks import Roi
from humesh.people.person import MASK_SIDE, Mask


@pytest.mark.parametrize("times", [1, 2])
def test_a_region_comes_back(times: int) -> None:
    region = np.random.default_rng(0).random((MASK_SIDE, MASK_SIDE)) > 0.5
    mask = Mask.of(np.kron(region, np.ones((times, times), bool)), Roi(5.0, 5.0, 10.0).photo_from_unit)
    np.testing.assert_array_equal(mask.region, region)


@pytest.mark.parametrize("angle", [0.0, 0.5, -2.0])
def test_it_lies_where_the_region_is_in_the_photo(angle: float) -> None:
    roi = Roi(70.0, 45.0, 60.0, angle)
    y, x = (np.mgrid[:MASK_SIDE, :MASK_SIDE] + 0.5) / MASK_SIDE
    disc = np.hypot(x - 0.7, y - 0.4) < 0.2  # off the middle, so that turns and mirrors show
    seen = Mask.of(disc, roi.photo_from_unit).pixels(120, 90)
    centre = roi.to_photo(np.array([0.7, 0.4]))
    rows, columns = np.mgrid[:90, :120] + 0.5
    assert (seen == (np.hypot(columns - centre[0], rows - centre[1]) < 0.2 * 60)).mean() > 0.995
    assert seen.sum() == pytest.approx(math.pi * 12**2, rel=0.05)


def test_nobody_is_outside_the_region() -> None:
    seen = Mask.of(np.ones((MASK_SIDE, MASK_SIDE), bool), Roi(30.0, 30.0, 20.0).photo_from_unit).pixels(60, 60)
    assert seen[20:40, 20:40].mean() > 0.9
    assert seen.sum() < 21**2


def test_masks_are_small() -> None:
    y, x = np.mgrid[:MASK_SIDE, :MASK_SIDE]
    assert len(Mask.of(np.hypot(x - 60, (y - 60) / 2) < 25, np.zeros((2, 3))).packed) < 400
