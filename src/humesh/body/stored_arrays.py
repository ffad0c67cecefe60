"""chumpy's arrays and SciPy's sparse matrices as they lie in pickles: as data, without either library."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from humesh.body.opcodes import PickleError

_MOST_SPARSE = 2 * 10**7  # numbers in a sparse matrix that is filled up
_MOST_AXES = 32
_MOST_CHUMPY = 4  # chumpy arrays of chumpy arrays


class Chumpy:
    """A chumpy array of any class, as data: the parts of its state from which the values are read."""

    def __init__(self, state: Mapping[str, Any]) -> None:
        self.state = state

    def values(self, depth: int = 1) -> np.ndarray:
        """The numbers: `x` of a plain array (Ch), or the entries `idxs` of another one (Select)."""
        source = self.state.get("x", self.state.get("a"))
        if isinstance(source, Chumpy) and depth < _MOST_CHUMPY:
            source = source.values(depth + 1)
        if not isinstance(source, np.ndarray) or ("x" not in self.state and "idxs" not in self.state):
            raise PickleError(
                f"expected a plain chumpy array, got one of {', '.join(sorted(self.state)) or 'nothing'}; save its "
                "values as NumPy arrays."
            )
        if "x" in self.state:
            return source
        chosen, shape = self.state["idxs"], self.state.get("preferred_shape")
        if not isinstance(chosen, np.ndarray) or chosen.dtype.kind not in "iu" or not _within(chosen, source.size):
            raise PickleError("expected the entries of a chumpy array by number, within the array that they are of.")
        chosen = source.ravel()[chosen.astype(np.int64)]
        if shape is None:
            return chosen
        if not is_shape(shape):
            raise PickleError("expected the shape of a chumpy array to be a tuple of lengths.")
        if math.prod(shape) != chosen.size:
            raise PickleError(f"expected {chosen.size} entries of a chumpy array, its shape is {shape}.")
        return chosen.reshape(shape)


@dataclass(frozen=True)
class Sparse:
    """One of SciPy's sparse matrices, as data: its arrays by SciPy's names. `layout`: csc, csr or coo."""

    layout: str
    state: Mapping[str, Any]

    def values(self) -> np.ndarray:
        """The full matrix; entries stored twice are added, as in SciPy."""
        shape = self.state.get("_shape", self.state.get("shape"))
        if not is_shape(shape) or len(shape) != 2:
            raise PickleError("expected a sparse matrix with two lengths; the file is damaged.")
        if math.prod(shape) > _MOST_SPARSE:
            raise PickleError(f"expected a sparse matrix of a body's size, got shape {shape}.")
        names = {"coo": ("row", "col")}.get(self.layout, ("indptr", "indices"))
        parts = [self.state.get("data"), *self.state.get("coords", map(self.state.get, names))]
        if len(parts) != 3 or not all(
            isinstance(p, np.ndarray) and p.ndim == 1 and p.dtype.kind in "iuf" for p in parts
        ):
            raise PickleError(f"expected a sparse matrix of {', '.join(('data', *names))}; the file is damaged.")
        data, first, second = parts
        if self.layout != "coo":
            steps = np.diff(first.astype(np.int64))
            major = shape[0] if self.layout == "csr" else shape[1]
            if len(first) != major + 1 or first[0] != 0 or (steps < 0).any() or steps.sum() != len(second):
                raise PickleError("expected a sparse matrix whose rows or columns follow each other.")
            first = np.repeat(np.arange(major), steps)
        rows, columns = (second, first) if self.layout == "csc" else (first, second)
        if not len(data) == len(rows) == len(columns) or not _within(rows, shape[0]) or not _within(columns, shape[1]):
            raise PickleError("expected the entries of a sparse matrix within its shape.")
        full = np.zeros(shape, dtype=data.dtype)
        np.add.at(full, (rows, columns), data)
        return full


def is_shape(shape: Any) -> bool:
    """Whether a value is a tuple of lengths, not more of them than an array may have axes."""
    return type(shape) is tuple and len(shape) <= _MOST_AXES and all(type(n) is int and n >= 0 for n in shape)


def _within(numbers: np.ndarray, length: int) -> bool:
    return numbers.dtype.kind in "iu" and bool(numbers.size == 0 or (numbers.min() >= 0 and numbers.max() < length))
