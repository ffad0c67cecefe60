"""Pickles read as data: plain values and the arrays of NumPy, SciPy and chumpy, whose libraries are not asked."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from humesh.body.unpickling import ORDERED, Call, Name, PickleError, Table, Unpickler, Values
from humesh.files import MOST_BYTES, reason

_MOST_SPARSE = 2 * 10**7  # numbers in a sparse matrix that is filled up
_NDARRAY = Name("numpy", "ndarray")


def _array(call: Call, values: Values) -> np.ndarray:
    """An array from the state that the file sets: version, shape, dtype, Fortran order, bytes or list of objects."""
    if call.args[:1] != (_NDARRAY,):
        raise PickleError("expected plain NumPy arrays, got a class of its own.")
    _, shape, dtype, fortran, content = call.state
    return values.array(content, dtype, shape, "F" if fortran else "C")


def _buffer(call: Call, values: Values) -> np.ndarray:
    """An array of protocol 5: bytes, dtype, shape, order, and where that is "K" the order of the axes."""
    data, dtype, shape, order, *axes = call.args
    array = values.array(data, dtype, shape, "C" if order == "K" else order)
    return array.transpose(values.value(axes[0])) if order == "K" else array


def _dtype(call: Call, values: Values) -> np.dtype[Any]:
    code, (_, order, *fields) = call.args[0], call.state[:5] if call.state else (3, "=")
    if type(code) is not str or any(part is not None for part in fields):
        kind = "records" if fields else f"dtype {type(code).__name__}"
        raise PickleError(f"expected arrays of numbers, got {kind}; save plain NumPy arrays.")
    return np.dtype(code).newbyteorder(order)  # type: ignore[arg-type]


def _encoded(call: Call, values: Values) -> bytes:
    """The bytes of Python 2 and of old protocols, kept as text in latin1."""
    text, *encoding = call.args
    if encoding not in ([], ["latin1"], ["latin-1"]):
        raise PickleError("expected latin1 bytes, got another encoding.")
    values.spend(len(text))
    encoded: bytes = text.encode("latin1")
    return encoded


def _ordered(call: Call, values: Values) -> OrderedDict[Any, Any]:
    """A dictionary of items set afterwards, or of a list of pairs as Python 2 keeps it."""
    table = Table.of([*(call.args[0] if call.args else ()), *call.items])
    return OrderedDict((key, values.value(value)) for key, value in table.items())


def _instance(call: Call, values: Values) -> Any:
    """What `copyreg` makes of a class, its base and the base's state."""
    if type(call.args[0]) is not Name:
        raise PickleError("refused to make an object of another kind.")
    return values.built(Call(call.args[0], (), call.state))


def _chumpy(call: Call, values: Values) -> np.ndarray:
    """The numbers of a chumpy array: `x` of a plain one (Ch), or the entries `idxs` of another one (Select)."""
    state = values.known(call.state, ("x", "a", "idxs", "preferred_shape"))
    if isinstance(state.get("x"), np.ndarray):
        return state["x"]
    source, chosen = state.get("a"), state.get("idxs")
    if not isinstance(source, np.ndarray) or not isinstance(chosen, np.ndarray) or chosen.min(initial=0) < 0:
        found = ", ".join(sorted(state)) or "nothing"
        raise PickleError(f"expected a plain chumpy array, got one of {found}; save its values as NumPy arrays.")
    shape = state.get("preferred_shape") or chosen.shape
    if math.prod(shape[:32]) != chosen.size:
        raise PickleError(f"expected {chosen.size} entries of a chumpy array, its shape is another.")
    return source.ravel()[chosen].reshape(shape)


def _sparse(call: Call, values: Values) -> np.ndarray:
    """The full array of a sparse matrix of SciPy."""
    from scipy import sparse

    names = ("_shape", "shape", "data", "indices", "indptr", "row", "col", "coords")
    state, layout = values.known(call.state, names), call.name.name
    shape = state["_shape"] if "_shape" in state else state["shape"]
    if len(shape) != 2 or not 0 <= math.prod(shape) <= _MOST_SPARSE:
        raise PickleError("expected a sparse matrix of a body's size; the file is damaged.")
    places = state.get("coords") or [state[name] for name in ("row", "col", "indices", "indptr") if name in state]
    if any(part.dtype.kind not in "iu" for part in places):
        raise PickleError("expected the places of a sparse matrix's entries by number; the file is damaged.")
    if layout == "coo":
        return sparse.coo_array((state["data"], tuple(places)), shape=shape).toarray()
    matrix = getattr(sparse, f"{layout}_array")((state["data"], *places), shape=shape)
    matrix.check_format(full_check=True)  # or filling it up could write beyond it
    return matrix.toarray()


BUILDERS: dict[Name, Any] = {
    Name("numpy.core.multiarray", "_reconstruct"): _array,
    Name("numpy.core.multiarray", "scalar"): lambda call, values: values.array(call.args[1], call.args[0], ())[()],
    Name("numpy.core.numeric", "_frombuffer"): _buffer,
    _NDARRAY: None,
    Name("numpy", "dtype"): _dtype,
    Name("_codecs", "encode"): _encoded,
    Name("copyreg", "_reconstructor"): _instance,
    Name("builtins", "object"): None,
    Name("builtins", "bytes"): lambda call, values: bytes(call.args),  # empty ones in old protocols
    Name("builtins", "set"): lambda call, values: values.value(call.args[0]),
    ORDERED: _ordered,
    Name("chumpy", "Ch"): _chumpy,
    **{Name("scipy.sparse", layout): _sparse for layout in ("csc", "csr", "coo")},
}


def read_pickle(
    source: Path | bytes, also: Mapping[Name, Any] = MappingProxyType({}), only: Iterable[str] | None = None
) -> Any:
    """What a pickle of any protocol holds: plain values and arrays, chumpy's and sparse ones too; Python 2's as latin1.

    `also`: further builders, as `Values.builders`; `only`: of a dictionary's keys these. Raises PickleError for a file
    that names anything else, is damaged, nested deep, holds itself or would take more memory than a few times its size;
    and OSError.
    """
    if isinstance(source, Path) and source.stat().st_size > MOST_BYTES:
        raise PickleError(f"expected a file of at most {MOST_BYTES >> 30} GiB, it is larger.")
    data, builders = source if isinstance(source, bytes) else source.read_bytes(), {**BUILDERS, **also}
    try:
        root, values = Unpickler(BytesIO(data), builders).load(), Values(builders, len(data))
        return values.value(root) if only is None else values.known(root, only)
    except PickleError:
        raise
    except Exception as problem:  # of a foreign file's every byte: pickle, codecs, NumPy, SciPy have no common base
        raise PickleError(f"expected a pickle, it is damaged ({reason(problem)}).") from None
