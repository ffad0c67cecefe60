"""Squares of a photo: where they lie, what a crop of them shows, and the way back."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from humesh.people.networks import Pyramid, Roi


@given(st.floats(-50, 50), st.floats(-50, 50), st.floats(1, 100), st.floats(-3.1, 3.1))
def test_roi_is_mediapipes(x: float, y: float, radius: float, angle: float) -> None:
    rim = np.array([x + radius * math.sin(angle), y - radius * math.cos(angle)])
    roi = Roi.around(np.array([x, y]), rim)
    dx, dy = rim - [x, y]
    assert roi.angle == pytest.approx(math.remainder(math.pi / 2 - math.atan2(-dy, dx), 2 * math.pi), abs=1e-9)
    assert roi.side == pytest.approx(2.5 * max(radius, 0.4), abs=1e-9)
    # the middle of the crop is the hips, 0.1 of a crop below its upper edge lies the rim
    np.testing.assert_allclose(roi.to_photo(np.array([[0.5, 0.5]])), [[x, y]], atol=1e-9)
    np.testing.assert_allclose(roi.to_photo(np.array([[0.5, 0.1]])), [rim], atol=1e-9)


def test_an_upright_square_about_a_box() -> None:
    assert Roi.about(np.array([10.0, 20, 30, 80]), 1.5) == Roi(20.0, 50.0, 90.0)
    assert Roi.about(np.array([5.0, 5, 5, 5]), 1.5).side == 1


@given(
    st.sampled_from([(400, 300), (449, 601)]), st.tuples(st.floats(0.2, 0.8), st.floats(0.2, 0.8)),
    st.floats(0.02, 1.2), st.floats(-3.1, 3.1), st.sampled_from([(64, 64), (96, 64), (32, 96)]),
)  # fmt: skip
def test_crops_show_what_lies_there(
    size: tuple[int, int], at: tuple[float, float], side: float, angle: float, cut: tuple[int, int]
) -> None:
    """A photo whose red grows to the right and whose green grows downwards; outside of it all is black.

    A pixel is rounded three times, so places are known to an 80th of the region.
    """
    width, height = size
    roi = Roi(width * at[0], height * at[1], side * min(size), angle)
    slope = 120 / roi.side
    x, y = (np.clip(128 + slope * (np.arange(n) + 0.5 - c), 1, 255) for n, c in ((width, roi.x), (height, roi.y)))
    pixels = np.stack([*np.meshgrid(x, y), np.full((height, width), 255)], axis=-1)
    crop = Pyramid(pixels.round().astype(np.uint8)).cut(roi, *cut).astype(float)
    wide, high = cut
    assert crop.shape == (high, wide, 3)
    longer = max(wide, high)
    columns, rows = np.meshgrid(np.arange(wide) + 0.5, np.arange(high) + 0.5)
    unit = np.stack([0.5 + (columns - wide / 2) / longer, 0.5 + (rows - high / 2) / longer], axis=-1)
    places = roi.to_photo(unit)
    rim = 2 * max(roi.side / longer, 1)  # near the photo's edge a pixel is mixed with black, or what was halved ends
    inside = np.all((places > rim) & (places < np.array(size) - rim), axis=-1)
    outside = np.any((places < -rim) | (places > np.array(size) + rim), axis=-1)
    assert not crop[outside].any()
    off = crop[inside][:, :2] - 128 - slope * (places[inside] - [roi.x, roi.y])
    assert np.abs(off).max(initial=0) < 1.6


def test_an_odd_column_more_moves_nothing() -> None:
    """901 px halved are 451 and 226, which are no halves of it; the wider photo repeats its last column."""
    pixels = np.random.default_rng(0).integers(0, 256, (896, 901, 3), np.uint8)
    wider = np.concatenate([pixels, pixels[:, -1:], pixels[:, -1:], pixels[:, -1:]], axis=1)
    roi = Roi(600.0, 400.0, 500.0, 0.3)
    np.testing.assert_array_equal(Pyramid(pixels).cut(roi, 96, 96), Pyramid(wider).cut(roi, 96, 96))
