"""Probabilities and their odds."""

from __future__ import annotations

import numpy as np


def expit(odds: np.ndarray) -> np.ndarray:
    """The probability of logarithmic odds; without overflow."""
    return np.exp(-np.logaddexp(0, -odds))


def logit(probability: np.ndarray) -> np.ndarray:
    """The logarithm of a probability's odds, within 7 of 0."""
    safe = np.clip(probability, 1e-3, 1 - 1e-3)
    return np.log(safe / (1 - safe))
