"""Random numbers for the frames of clips, each much like those of the frames before: a detector's errors last."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from numpy.random import Generator

_LASTING = ((0.2, 0.4), (2.0, 0.6))
"""Seconds after which what lasts is a share 1 / e of what it was, and the variances' shares."""
_FRESH = (0.03, 0.4)
"""The share of the variance that is each frame's own, in one clip less than in another."""


class SteadyNoise(Generator):
    """A generator of numbers whose rows are the frames of n clips, one clip after the other.

    Every number is normally (or uniformly) distributed as another generator's, but correlated in time as the errors of
    `PeopleFinder` on rendered videos are: 0.84 from one frame at 30 a second to the next, 0.6 after 8, 0.4 after 20.
    """

    def __init__(self, g: Generator, seconds: Float[np.ndarray, "n T"]) -> None:
        super().__init__(g.bit_generator)
        self.shape = seconds.shape
        self.steps = np.diff(seconds, axis=1)
        self.fresh = np.exp(g.uniform(np.log(_FRESH[0]), np.log(_FRESH[1]), len(seconds)))

    def standard_normal(  # type: ignore[override]
        self, size: int | tuple[int, ...]
    ) -> Float[np.ndarray, "..."]:
        """Normal numbers; one axis of `size` is that of the n T frames."""
        size, (n, frames) = (size,) if isinstance(size, int) else size, self.shape
        axis = size.index(n * frames)
        rest = size[:axis] + size[axis + 1 :]
        ones, draw = (1,) * len(rest), super().standard_normal
        found = np.sqrt(self.fresh).reshape(-1, 1, *ones) * draw((n, frames, *rest))
        for lasts_s, share in _LASTING:
            keep = np.exp(-self.steps / lasts_s).reshape(n, frames - 1, *ones)
            noise = draw((n, frames, *rest))
            for frame in range(1, frames):
                like = keep[:, frame - 1]
                noise[:, frame] = like * noise[:, frame - 1] + np.sqrt(1 - like**2) * noise[:, frame]
            found += np.sqrt(share * (1 - self.fresh)).reshape(-1, 1, *ones) * noise
        return np.moveaxis(found.reshape(n * frames, *rest), 0, axis)

    def random(self, size: int | tuple[int, ...]) -> Float[np.ndarray, "..."]:  # type: ignore[override]
        """Uniform numbers from 0 to 1: the normal ones' places in their distribution."""
        return torch.special.ndtr(torch.from_numpy(self.standard_normal(size))).numpy()
