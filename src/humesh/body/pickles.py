"""Pickles read as data: nothing that a file names is imported or called.

Python's own unpickler reads the file, but every name in it becomes a `Name` and every call a `Call`, which only keep
what the file holds; builders make arrays and plain values of them. It is the unpickler written in Python: the one in C
takes gigabytes of memory for a memo index in a 20-byte file. Checkpoints go through PyTorch's own safe loader.
"""

from __future__ import annotations

import math
import pickle
import re
import warnings
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy._core import multiarray
from scipy import sparse
from torch import Tensor

from humesh.errors import HumeshError
from humesh.files import array_of_bytes, reason

_MOST_SPARSE = 2 * 10**7  # numbers in a sparse matrix that is filled up
_WIDTHS = "bool int8 uint8 int16 uint16 int32 uint32 int64 uint64 float16 float32 float64"
_NUMPYS: list[Any] = [multiarray.scalar, multiarray._reconstruct, np.ndarray, np.dtype]
_NUMPYS += [type(np.dtype(name)) for name in _WIDTHS.split()]
"""What a checkpoint may name besides what PyTorch allows: learning rates and scores are often NumPy's numbers."""


class PickleError(HumeshError, ValueError):
    """A pickle that holds more than data, or is damaged or too large; the sentence says which."""


class RefusedError(PickleError):
    """A pickle that names something else than data (`name`: module and name)."""

    def __init__(self, name: str) -> None:
        self.name = name if name.isprintable() and len(name) < 100 else ascii(name[:60])  # it can be any bytes
        super().__init__(
            f"refused, it names {self.name}; only plain values and the arrays of known libraries are read from such a "
            "file. Nothing was executed; use the file from its owner."
        )


class Name(NamedTuple):
    """Stands for something of a module that the file names."""

    module: str
    name: str

    def __call__(self, *args: Any) -> Call:
        return Call(self, args)


@dataclass(eq=False, slots=True)
class Call:
    """Stands for an object of the file: made by a name, of arguments, with a state and items set afterwards."""

    name: Name
    args: tuple[Any, ...]
    state: Any = None
    items: list[tuple[Any, Any]] = field(default_factory=list)

    def __setstate__(self, state: Any) -> None:
        if self.state is not None:
            raise TypeError("it sets a state twice")
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items.append((key, value))


class Unpickler(pickle._Unpickler):
    """The pickle of a stream; `builders`: what it may name."""

    def __init__(self, stream: BytesIO, builders: Mapping[Name, Any]) -> None:
        super().__init__(stream, encoding="latin1")  # of Python 2's strings, which hold the bytes of arrays too
        self.builders = builders
        self.dispatch = _OPCODES  # type: ignore[misc]

    def find_class(self, module: str, name: str) -> Name:
        """The name under which the builders have what a file names; RefusedError where they have none."""
        module = {"__builtin__": "builtins", "copy_reg": "copyreg"}.get(module, module)  # Python 2's
        module = module.replace("numpy._core", "numpy.core")
        found = Name(module, name)
        if module.startswith("scipy.sparse") and re.fullmatch("(csc|csr|coo)_(matrix|array)", name):
            found = Name("scipy.sparse", name[:3])
        elif module.partition(".")[0] == "chumpy" and name.isidentifier():
            found = Name("chumpy", "Ch")
        if found not in self.builders:
            raise RefusedError(f"{module}.{name}")
        return found


_PYTHONS: Mapping[int, Any] = pickle._Unpickler.dispatch
_OPCODES: dict[int, Any] = {
    **_PYTHONS,
    pickle.EMPTY_SET[0]: _PYTHONS[pickle.EMPTY_LIST[0]],  # sets come out as lists
    pickle.ADDITEMS[0]: _PYTHONS[pickle.APPENDS[0]],
    pickle.NEWOBJ[0]: _PYTHONS[pickle.REDUCE[0]],
}
for _code in pickle.INST + pickle.OBJ + pickle.NEWOBJ_EX + pickle.EXT1 + pickle.EXT2 + pickle.EXT4 + pickle.FROZENSET:
    del _OPCODES[_code]  # plain data has none of them


class Values:
    """The values of what an Unpickler gives, each made once.

    `builders`: by name a function of a Call and these Values, a constant, or None for what is only named.
    """

    def __init__(self, builders: Mapping[Name, Any]) -> None:
        self.builders = builders
        self._done: dict[int, Any] = {}  # by node, which lives as long as the graph

    def value(self, node: Any) -> Any:
        """What a node stands for; PickleError, or ValueError, TypeError and others for a damaged file."""
        if isinstance(node, Call | list | tuple | dict) and type(node) is not Name:
            if id(node) not in self._done:
                self._done[id(node)] = self._made(node)
            return self._done[id(node)]
        if type(node) is Name:
            if self.builders[node] is None or callable(self.builders[node]):  # a name, where a value should be
                raise RefusedError(".".join(node))
            return self.builders[node]
        if type(node) is int and node.bit_length() > 1000:
            raise PickleError("expected numbers of a usual size in a pickle; the file is damaged.")
        return node

    def _made(self, node: Any) -> Any:
        if isinstance(node, Call):
            return self.built(node)
        if isinstance(node, dict):
            return {self.value(key): self.value(item) for key, item in node.items()}
        return type(node)([self.value(item) for item in node])

    def built(self, call: Call) -> Any:
        """What a call would make."""
        build = self.builders[call.name]
        if not callable(build) or (call.items and call.name != _ORDERED):
            raise RefusedError(".".join(call.name))
        return build(call, self)

    def known(self, node: Any, names: Iterable[str]) -> dict[str, Any]:
        """The values of a dictionary that go by these names; others are not looked at."""
        if not isinstance(node, dict):
            raise PickleError(f"expected a pickled dictionary of arrays, got {type(node).__name__}.")
        return {name: self.value(node[name]) for name in names if name in node}

    def array(self, content: Any, dtype: Any, shape: Any, order: str = "C") -> np.ndarray:
        """An array of bytes, text in latin1 or, for objects, a list; ValueError where it needs more or less of them."""
        content, dtype, shape = self.value(content), self.value(dtype), self.value(shape)
        if dtype.kind == "O":
            if type(content) is not list:
                raise ValueError("an array of objects is not made of a list")
            return np.fromiter(content, object, len(content)).reshape(shape, order=order)  # type: ignore[call-overload]
        data = content.encode("latin1") if type(content) is str else content
        return array_of_bytes(data, dtype, shape, order)


_ORDERED = Name("collections", "OrderedDict")
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
    if not 0 <= np.dtype(code).itemsize <= 2**16:
        raise PickleError("expected numbers and short texts, got items of more than 64 kB.")
    return np.dtype(code).newbyteorder(order)  # type: ignore[arg-type]


def _encoded(call: Call, values: Values) -> bytes:
    """The bytes of Python 2 and of old protocols, kept as text in latin1."""
    text, *encoding = call.args
    if encoding not in ([], ["latin1"], ["latin-1"]):
        raise PickleError("expected latin1 bytes, got another encoding.")
    return bytes(text, "latin1")


def _ordered(call: Call, values: Values) -> OrderedDict[Any, Any]:
    """A dictionary of items set afterwards, or of a list of pairs as Python 2 keeps it."""
    pairs = [*(call.args[0] if call.args else ()), *call.items]
    return OrderedDict((values.value(key), values.value(value)) for key, value in pairs)


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
    Name("copyreg", "_reconstructor"): lambda call, values: values.built(Call(call.args[0], (), call.state)),
    Name("builtins", "object"): None,
    Name("builtins", "bytes"): lambda call, values: bytes(call.args),  # empty ones in old protocols
    Name("builtins", "set"): lambda call, values: values.value(call.args[0]),
    _ORDERED: _ordered,
    Name("chumpy", "Ch"): _chumpy,
    **{Name("scipy.sparse", layout): _sparse for layout in ("csc", "csr", "coo")},
}


def read_pickle(
    source: Path | bytes, also: Mapping[Name, Any] = MappingProxyType({}), only: Iterable[str] | None = None
) -> Any:
    """What a pickle of any protocol holds: plain values and arrays, chumpy's and sparse ones too; Python 2's as latin1.

    `also`: further builders; `only`: of a dictionary's keys these. Raises OSError, and PickleError for a file that
    names anything else, is damaged, nested deep or holds itself.
    """
    data, builders = source if isinstance(source, bytes) else source.read_bytes(), {**BUILDERS, **also}
    try:
        root, values = Unpickler(BytesIO(data), builders).load(), Values(builders)
        return values.value(root) if only is None else values.known(root, only)
    except PickleError:
        raise
    except Exception as problem:  # of a foreign file's every byte: pickle, codecs, NumPy, SciPy have no common base
        raise PickleError(f"expected a pickle, it is damaged ({reason(problem)}).") from None


def _view(call: Call, values: Values) -> Tensor:
    return torch._utils._rebuild_tensor(*map(values.value, call.args[:4]))  # storage, offset, size, stride


def _storage(call: Call, values: Values) -> Any:
    return torch.load(BytesIO(values.value(call.args[0])), map_location="cpu", weights_only=True)


TENSORS: dict[Name, Any] = {
    Name("torch._utils", "_rebuild_tensor"): _view,
    Name("torch._utils", "_rebuild_tensor_v2"): _view,
    Name("torch._utils", "_rebuild_parameter"): lambda call, values: values.value(call.args[0]),
    Name("torch.storage", "_load_from_bytes"): _storage,
}
"""For `also` of `read_pickle`: torch's tensors come out as such, on the CPU and without gradients."""


def read_tensors(path: Path) -> Any:
    """What a checkpoint of torch holds, tensors on the CPU; PickleError where it is damaged or names anything else."""
    old = [(value, f"numpy.core.multiarray.{value.__name__}") for value in _NUMPYS[:2]]  # before NumPy 2
    with path.open("rb") as stream, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the sentence below says what is wrong
        try:
            with torch.serialization.safe_globals([*_NUMPYS, *old]):
                return torch.load(stream, map_location="cpu", weights_only=True)
        except Exception as problem:  # of a foreign file's every byte: zip's, pickle's and torch's errors
            if named := re.search(r"GLOBAL (\S+) (was not|whose)", str(problem)):
                raise RefusedError(named[1]) from None
            why = " ".join(str(problem).rpartition("WeightsUnpickler error:")[2].split())[:120] or "it is cut off"
            raise PickleError(f"expected a checkpoint of tensors as torch writes it, it is damaged ({why}).") from None
