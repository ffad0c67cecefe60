"""Reading pickles as data: plain values and arrays come out, nothing that a file names is ever executed.

As the Python manual advises ("Restricting globals"): whatever a pickle can call is looked up in one table, and what is
found there are stand-ins of this module (or of a caller, for another library's classes), never the things named.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from humesh.errors import HumeshError


class PickleError(HumeshError, ValueError):
    """A pickle that holds more than data; the sentence says what it names."""


class Chumpy:
    """Stands in for every chumpy class: keeps the pickled state, from which the values are read as data."""

    def __init__(self, *args: Any) -> None:
        self.state: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        self.state = state if isinstance(state, dict) else {}

    def values(self) -> np.ndarray:
        """The numbers: `x` of a plain array (Ch), or the entries `idxs` of another one (Select)."""
        if "x" in self.state:
            x = self.state["x"]
            return x.values() if isinstance(x, Chumpy) else np.asarray(x)
        if "a" in self.state and "idxs" in self.state:
            source = self.state["a"]
            values = source.values() if isinstance(source, Chumpy) else np.asarray(source)
            chosen = np.asarray(values).ravel()[np.asarray(self.state["idxs"], dtype=np.int64)]
            return chosen.reshape(self.state["preferred_shape"]) if "preferred_shape" in self.state else chosen
        raise PickleError(f"expected a plain chumpy array, got {sorted(self.state)}; save its values as NumPy arrays.")


class Sparse:
    """Stands in for SciPy's sparse matrices: keeps the arrays and adds the entries up itself."""

    layout = ""

    def __init__(self, *args: Any) -> None:
        self.state: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        self.state = state if isinstance(state, dict) else {}

    def values(self) -> np.ndarray:
        """The full matrix; entries stored twice are added, as in SciPy."""
        shape = tuple(int(n) for n in self.state.get("_shape", self.state.get("shape", ())))
        data = np.asarray(self.state["data"])
        if self.layout == "coo":
            rows, columns = self.state["coords"] if "coords" in self.state else (self.state["row"], self.state["col"])
        else:
            starts = np.asarray(self.state["indptr"])
            major = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
            rows, columns = (major, self.state["indices"]) if self.layout == "csr" else (self.state["indices"], major)
        if len(shape) != 2 or shape[0] * shape[1] > 10**8:
            raise PickleError(f"expected a sparse matrix of a body's size, got shape {shape}.")
        full = np.zeros(shape, dtype=data.dtype)
        np.add.at(full, (np.asarray(rows), np.asarray(columns)), data)
        return full


def _sparse_class(layout: str) -> type[Sparse]:
    return type(f"Sparse_{layout}", (Sparse,), {"layout": layout})


_SPARSE = {layout: _sparse_class(layout) for layout in ("csc", "csr", "coo")}


def _latin1_bytes(text: str, encoding: str = "latin1") -> bytes:
    """What `_codecs.encode` does in pickles that carry Python 2's bytes; no other encoding."""
    if encoding not in ("latin1", "latin-1"):
        raise PickleError(f"expected latin1 bytes, got encoding {encoding!r}.")
    return text.encode("latin1")


def _plain_dtype(code: str, *flags: Any) -> np.dtype[Any]:
    """A dtype of numbers or text; object dtypes, which hold arbitrary things, are refused."""
    dtype = np.dtype(str(code))
    if dtype.kind not in "biufSU":
        raise PickleError(f"expected arrays of numbers, got dtype {dtype}; save plain NumPy arrays.")
    return dtype


def _any_dtype(code: str, *flags: Any) -> np.dtype[Any]:
    """A dtype of numbers, text or objects: the objects of an array come from this same restricted unpickler."""
    return np.dtype(object) if str(code).startswith("O") else _plain_dtype(code, *flags)


def _empty_array(*_: Any) -> np.ndarray:
    """The array that the pickle's next instruction fills with shape, dtype and bytes."""
    return np.ndarray((0,), np.uint8)


def _scalar(dtype: np.dtype[Any], raw: bytes | str) -> Any:
    return np.frombuffer(raw.encode("latin1") if isinstance(raw, str) else raw, dtype)[0]


def _from_buffer(raw: bytes | bytearray, dtype: np.dtype[Any], shape: tuple[int, ...], order: str) -> np.ndarray:
    return np.frombuffer(raw, dtype).reshape(shape, order="F" if order == "F" else "C")


def _new_object(kind: type, base: type = object, state: Any = None) -> Any:
    """What `copyreg._reconstructor` does, for the stand-ins only."""
    if not issubclass(kind, Chumpy | Sparse):
        raise PickleError(f"refused to make a {kind.__name__}.")
    return kind()


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _empty_array,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): _plain_dtype,
    ("_codecs", "encode"): _latin1_bytes,
    ("copyreg", "_reconstructor"): _new_object,
    ("builtins", "object"): object,
    ("builtins", "set"): set,
    ("collections", "OrderedDict"): OrderedDict,
}

OBJECT_ARRAYS: dict[tuple[str, str], Any] = {("numpy", "dtype"): _any_dtype}
"""For `also` of `read_pickle`: arrays of objects are read too."""

_PYTHON_2 = {"__builtin__": "builtins", "copy_reg": "copyreg"}  # old names in pickles of protocols 0 to 2


class _ArraysOnly(pickle.Unpickler):
    """An unpickler that builds NumPy arrays, sparse matrices and chumpy arrays, and refuses every other name."""

    allowed: Mapping[tuple[str, str], Any] = _ALLOWED

    def find_class(self, module: str, name: str) -> Any:
        module = _PYTHON_2.get(module, module).replace("numpy._core", "numpy.core")
        found = self.allowed.get((module, name))
        if found is not None:
            return found
        layout = name.removesuffix("_matrix").removesuffix("_array")
        if module.startswith("scipy.sparse") and layout in _SPARSE:
            return _SPARSE[layout]
        if module == "chumpy" or module.startswith("chumpy."):
            return Chumpy
        raise PickleError(
            f"refused, it names {module}.{name}; only NumPy, SciPy and chumpy arrays are read from such a file. "
            "Nothing was executed; use the file from its owner."
        )


def read_pickle(path: Path, also: Mapping[tuple[str, str], Any] | None = None) -> Any:
    """What a pickle of any protocol holds, Python 2's text as latin1; arrays, `Chumpy`, `Sparse` and plain values.

    `also`: stand-ins for further names, by (module, name). Raises PickleError for a file that names anything else, and
    whatever `pickle` raises for a damaged one.
    """
    unpickler = _ArraysOnly(io.BytesIO(path.read_bytes()), encoding="latin1")
    unpickler.allowed = {**_ALLOWED, **(also or {})}
    return unpickler.load()
