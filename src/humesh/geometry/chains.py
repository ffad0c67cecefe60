"""Linear equations whose unknowns form a chain, each tied to its two neighbours alone: block tridiagonal ones."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def solved_chain(
    own: Float[np.ndarray, "N k k"], ties: Float[np.ndarray, "N-1 k k"], right: Float[np.ndarray, "N k m"]
) -> Float[np.ndarray, "N k m"]:
    """The x with own[i] x[i] + ties[i] x[i+1] + ties[i-1]ᵀ x[i-1] = right[i] for every i; N at least 1.

    The whole must be symmetric and positive definite, as that of least squares is. Cyclic reduction (Hockney 1965):
    every second unknown is eliminated, all of them at once, until one is left; time and memory grow with N alone.
    """
    if len(own) == 1:
        return np.linalg.solve(own, right)
    before, after = ties[::2], ties[1::2]  # between each eliminated unknown and its neighbours; the last may lack one
    first, last = len(before), len(after)
    given = np.linalg.solve(own[1::2], right[1::2])
    back, on = np.linalg.solve(own[1::2], before.swapaxes(1, 2)), np.linalg.solve(own[1::2][:last], after)
    left, total = own[::2].copy(), right[::2].copy()
    left[:first] -= before @ back
    left[1 : last + 1] -= after.swapaxes(1, 2) @ on
    total[:first] -= before @ given
    total[1 : last + 1] -= after.swapaxes(1, 2) @ given[:last]
    answer = np.empty_like(right)
    answer[::2] = solved_chain(left, -before[:last] @ on, total)
    answer[1::2] = given - back @ answer[::2][:first]
    answer[1::2][:last] -= on @ answer[2::2]
    return answer
