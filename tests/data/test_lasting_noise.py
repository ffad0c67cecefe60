"""Random numbers that last: their distribution, and how fast they forget."""

from __future__ import annotations

import numpy as np
import pytest

from humesh.data.detector_errors import LastingNoise

FRAMES = 40


def _noise(clips: int, step_s: float, fresh: float) -> LastingNoise:
    noise = LastingNoise(np.random.default_rng(0), np.tile(step_s * np.arange(FRAMES), (clips, 1)))
    noise.fresh[:] = fresh
    return noise


@pytest.mark.parametrize("step_s", [1 / 30, 0.1])
@pytest.mark.parametrize("fresh", [0.1, 0.5])
def test_what_is_alike_after_some_time_is_what_the_two_decays_leave(step_s: float, fresh: float) -> None:
    values = _noise(4000, step_s, fresh).standard_normal((4000 * FRAMES, 3)).reshape(4000, FRAMES, 3)
    assert values.mean() == pytest.approx(0, abs=0.02)
    assert values[:, 0].std() == pytest.approx(1, abs=0.02)
    assert values[:, -1].std() == pytest.approx(1, abs=0.02)
    for lag in (1, 4, 20):
        wanted = (1 - fresh) * (0.4 * np.exp(-lag * step_s / 0.2) + 0.6 * np.exp(-lag * step_s / 2.0))
        assert (values[:, lag:] * values[:, :-lag]).mean() == pytest.approx(wanted, abs=0.02)
    assert (values[1:] * values[:-1]).mean() == pytest.approx(0, abs=0.02)  # clips know nothing of each other
    assert (values[..., 1:] * values[..., :-1]).mean() == pytest.approx(0, abs=0.02)


def test_the_axis_of_frames_is_found_and_uniform_numbers_are_uniform() -> None:
    noise = _noise(500, 1 / 30, 0.1)
    values = noise.standard_normal((2, 500 * FRAMES, 5))
    assert values.shape == (2, 500 * FRAMES, 5)
    along = values.reshape(2, 500, FRAMES, 5)
    assert (along[:, :, 1:] * along[:, :, :-1]).mean() > 0.7
    uniform = noise.random(500 * FRAMES)
    assert np.histogram(uniform, bins=4, range=(0, 1))[0] == pytest.approx(500 * FRAMES / 4, rel=0.1)
