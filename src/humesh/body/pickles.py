"""Reading pickles as data: plain values and arrays come out, nothing that a file names is ever imported or called.

`opcodes` follows the file to a graph of nodes; here each node becomes a value, if the table of builders has one of its
name: functions of this module (or of a caller, for another library's classes), which make arrays of the bytes that are
there and check every size first.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from humesh.body.opcodes import Call, Name, Opcodes, PickleError, Raw, RefusedError, Table
from humesh.body.stored_arrays import Chumpy, Sparse, is_shape
from humesh.files import MOST_BYTES

_MOST_OPCODES = 500_000
_DEEPEST = 64  # levels of containers
_MOST_TUPLE_KEYS, _LARGEST_KEY = 1_000, 2**60  # other keys can be chosen to collide
_ROOM = 2**28  # bytes that any file may make; a larger one four times its own size


class Values:
    """The values of nodes, each made once. `table`: by name a builder, a constant, or None for what is only named.

    All that comes of a file, counted again wherever it is used again, is less than `most` bytes: lists of lists of the
    same lists end here.
    """

    def __init__(self, table: Mapping[Name, Any], most: int) -> None:
        self.table, self.left, self.depth = table, most, 0
        self.done: dict[int, tuple[Any, int]] = {}  # by node: its value and bytes; nodes live as long as the graph
        self.tuple_keys = 0

    def spend(self, size: int) -> None:
        """Counts bytes before they are taken."""
        self.left -= size
        if self.left < 0:
            raise PickleError("expected a file of arrays, what it holds would take too much memory.")

    def value(self, node: Any) -> Any:
        """What a node stands for; PickleError, or ValueError, TypeError and others for a damaged file."""
        kind = type(node)
        if kind in _PLAIN:
            self.spend(8 + len(node) if kind is str else 8)
            return node
        number = id(node)
        if number in self.done:
            value, size = self.done[number]
            self.spend(size)
            return value
        if self.depth > _DEEPEST:
            raise PickleError("expected plain data, got something that is nested too deep or holds itself.")
        before = self.left
        self.depth += 1
        value = self._made(node, kind)
        self.depth -= 1
        self.done[number] = value, before - self.left
        return value

    def _made(self, node: Any, kind: type) -> Any:
        self.spend(64)
        if kind is list or kind is tuple:
            return kind([self.value(item) for item in node])
        if kind is Raw:
            self.spend(len(node.view))
            return str(node.view, node.encoding, "surrogatepass") if node.kind is str else node.kind(node.view)
        if kind is Table:
            return self.mapping(node.items) if node.kind is dict else node.kind(map(self.key, node.items))
        if kind is Call:
            build = self.table[node.name]
            if not callable(build) or (node.items and node.name != _ORDERED):
                raise RefusedError(".".join(node.name))
            return build(node, self)
        if self.table[node] is None or callable(self.table[node]):  # a name, where a value should be
            raise RefusedError(".".join(node))
        return self.table[node]

    def mapping(self, items: list[Any]) -> dict[Any, Any]:
        """A dictionary of keys and values by turns."""
        return {self.key(key): self.value(value) for key, value in zip(items[::2], items[1::2], strict=True)}

    def key(self, node: Any) -> Any:
        """A value that can be a key: plain, or a tuple of such."""
        value = self.value(node)
        if type(value) is tuple:
            self.tuple_keys += 1
        for part in value if type(value) is tuple else (value,):
            if type(part) not in _KEYS or (type(part) is int and abs(part) >= _LARGEST_KEY):
                raise PickleError("expected plain keys in a pickled dictionary; the file is damaged.")
        if self.tuple_keys > _MOST_TUPLE_KEYS:
            raise PickleError("expected texts as keys in a pickled dictionary, got tuples.")
        return value

    def known(self, node: Any, names: Iterable[str]) -> dict[str, Any]:
        """The values of a pickled object's state that go by these names; others are not looked at."""
        if type(node) is not Table or node.kind is not dict:
            kind = node.kind if type(node) is Table else type(node)
            raise PickleError(f"expected a pickled dictionary of arrays, got {kind.__name__}.")
        keys = map(self.value, node.items[::2])
        return {key: self.value(part) for key, part in zip(keys, node.items[1::2], strict=True) if key in names}

    def bytes_of(self, node: Any) -> Any:
        """The bytes of a node, not copied where they lie in the file."""
        if type(node) is Raw and node.encoding == "latin1":
            return node.view
        value = self.value(node)
        return value.encode("latin1") if type(value) is str else value

    def array(self, data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
        """A writable array of bytes, "C" or "F" in order; ValueError where they are not just as many as it needs."""
        if not isinstance(dtype, np.dtype) or not is_shape(shape) or order not in ("C", "F"):
            raise ValueError("an array has no type or shape")
        if math.prod(shape) * dtype.itemsize != len(data):
            raise ValueError(f"an array of {dtype} has other bytes than its shape needs")
        self.spend(len(data))
        raw = np.frombuffer(data, np.uint8).copy()
        if dtype.kind == "b" and raw.max(initial=0) > 1:
            raise ValueError("a truth value is neither true nor false")
        if dtype.kind == "U" and raw.view(f"{dtype.str[0]}u4").max(initial=0) > 0x10FFFF:
            raise ValueError("a text holds something that is no character")
        return raw.view(dtype).reshape(shape, order=order)


_PLAIN = (type(None), bool, int, float, str)
_KEYS = {*_PLAIN, bytes}
_ORDERED = Name("collections", "OrderedDict")
_NDARRAY = Name("numpy", "ndarray")
_DTYPE = re.compile(r"b1|[iu][1248]|f[248]|[SU][1-9]\d{0,8}")


def _chumpy(call: Call, values: Values) -> Chumpy:
    return Chumpy(values.known(call.state, ("x", "a", "idxs", "preferred_shape")))


def _sparse(call: Call, values: Values) -> Sparse:
    names = ("_shape", "shape", "data", "indices", "indptr", "row", "col", "coords")
    return Sparse(call.name.name, values.known(call.state, names))


def _dtype(call: Call, values: Values) -> np.dtype[Any]:
    """A dtype of numbers or text; `O`, of objects, is for tables that have a builder of such arrays."""
    code: Any = values.value(call.args[0])
    order: Any = "="
    if call.state is not None:
        _, order, *within = map(values.value, call.state[:5])
        if any(part is not None for part in within):
            raise PickleError("expected arrays of numbers, got records; save plain NumPy arrays.")
    if code in ("O", "O8") and OBJECTS in values.table:
        return np.dtype(object)
    if type(code) is not str or not _DTYPE.fullmatch(code) or order not in ("<", ">", "=", "|"):
        kind = code[:20] if type(code) is str else type(code).__name__
        raise PickleError(f"expected arrays of numbers, got dtype {kind}; save plain NumPy arrays.")
    return np.dtype(code).newbyteorder(order)


def _array(call: Call, values: Values) -> np.ndarray:
    """An array from the state that the file sets, (version, shape, dtype, Fortran order, bytes or list of objects)."""
    if call.args[:1] != (_NDARRAY,):
        raise PickleError("expected plain NumPy arrays, got a class of its own.")
    _, shape, dtype, fortran, content = call.state
    shape, dtype = values.value(shape), values.value(dtype)
    order = "F" if fortran else "C"
    if dtype.kind != "O":
        array = values.array(values.bytes_of(content), dtype, shape, order)
        return array.astype(dtype.newbyteorder("="), copy=False)  # as NumPy does here, though not for protocol 5
    objects = values.value(content)
    if type(objects) is not list or not is_shape(shape) or math.prod(shape) != len(objects):
        raise ValueError("an array of objects has others than its shape needs")
    array = np.empty(len(objects), object)
    for i, one in enumerate(objects):  # one by one: NumPy would look into lists
        array[i] = one
    return array.reshape(shape, order=order)  # type: ignore[call-overload]


def _buffer(call: Call, values: Values) -> np.ndarray:
    """An array of protocol 5: (bytes, dtype, shape, order, and where that is "K" the order of the axes)."""
    data, dtype, shape, order, *axes = call.args
    dtype, shape, order = values.value(dtype), values.value(shape), values.value(order)
    array = values.array(values.bytes_of(data), dtype, shape, "C" if order == "K" and axes else order)
    return array.transpose(values.value(axes[0])) if order == "K" else array


def _scalar(call: Call, values: Values) -> Any:
    dtype, raw = call.args
    return values.array(values.bytes_of(raw), values.value(dtype), (), "C")[()]


def _encoded(call: Call, values: Values) -> bytes:
    """The bytes of Python 2 and of old protocols, kept as text in latin1."""
    text, *encoding = map(values.value, call.args)
    if encoding not in ([], ["latin1"], ["latin-1"]):
        raise PickleError("expected latin1 bytes, got another encoding.")
    values.spend(len(text))
    encoded: bytes = text.encode("latin1")
    return encoded


def _collection(kind: type) -> Callable[[Call, Values], Any]:
    def build(call: Call, values: Values) -> Any:
        (items,) = call.args or ((),)
        if type(items) not in (list, tuple):
            raise TypeError("a set is made of something that is no list")
        return kind(map(values.key, items))

    return build


def _ordered(call: Call, values: Values) -> OrderedDict[Any, Any]:
    pairs = call.args[0] if call.args else []  # as Python 2 keeps it
    if not all(type(pair) in (list, tuple) and len(pair) == 2 for pair in pairs):
        raise TypeError("a dictionary is made of something that is no pairs")
    return OrderedDict(values.mapping([part for pair in pairs for part in pair] + call.items))


def _nothing(call: Call, values: Values) -> bytes:
    """Python 3's empty bytes in old protocols."""
    if call.args:
        raise RefusedError(".".join(call.name))
    return b""


def _instance(call: Call, values: Values) -> Any:
    """What `copyreg` makes of a class: (class, its base, the base's state)."""
    kind = call.args[0]
    if type(kind) is not Name or not callable(values.table.get(kind)):
        raise PickleError("refused to make an object of another kind.")
    return values.table[kind](Call(kind, (), call.state), values)


_BUILDERS: dict[Name, Any] = {
    Name("numpy.core.multiarray", "_reconstruct"): _array,
    Name("numpy.core.multiarray", "scalar"): _scalar,
    Name("numpy.core.numeric", "_frombuffer"): _buffer,
    _NDARRAY: None,
    Name("numpy", "dtype"): _dtype,
    Name("_codecs", "encode"): _encoded,
    Name("copyreg", "_reconstructor"): _instance,
    Name("builtins", "object"): None,
    Name("builtins", "bytes"): _nothing,
    Name("builtins", "set"): _collection(set),
    Name("builtins", "frozenset"): _collection(frozenset),
    _ORDERED: _ordered,
    Name("chumpy", "Ch"): _chumpy,
    **{Name("scipy.sparse", layout): _sparse for layout in ("csc", "csr", "coo")},
}

OBJECTS = Name("", "objects")
"""In a table for `also` of `read_pickle`: arrays of objects are read too, the objects being data like all the rest."""

_PYTHON_2 = {"__builtin__": "builtins", "copy_reg": "copyreg"}  # old names in pickles of protocols 0 to 2


def _found(module: str, name: str, table: Mapping[Name, Any]) -> Name:
    """The name under which a table has what a file names; RefusedError where it has none."""
    module = _PYTHON_2.get(module, module).replace("numpy._core", "numpy.core")
    layout = re.fullmatch("(csc|csr|coo)_(matrix|array)", name)
    found = Name(module, name)
    if module.startswith("scipy.sparse") and layout:
        found = Name("scipy.sparse", layout[1])
    elif (module == "chumpy" or module.startswith("chumpy.")) and name.isidentifier():
        found = Name("chumpy", "Ch")
    if found not in table:
        raise RefusedError(f"{module}.{name}")
    return found


def opcodes(data: bytes, table: Mapping[Name, Any], most: int = _MOST_OPCODES) -> Opcodes:
    """The pickles of some bytes, which may name what the table has."""
    return Opcodes(data, lambda module, name: _found(module, name, table), most)


def table_of(also: Mapping[Name, Any] | None = None) -> dict[Name, Any]:
    """The builders of arrays and plain values, and further ones."""
    return {**_BUILDERS, **(also or {})}


def unpickled(
    data: bytes, also: Mapping[Name, Any] | None = None, most: int = _MOST_OPCODES, only: Iterable[str] | None = None
) -> Any:
    """What the bytes of a pickle hold; see `read_pickle`."""
    table = table_of(also)
    try:
        root, values = opcodes(data, table, most).next(), Values(table, max(_ROOM, 4 * len(data)))
        return values.value(root) if only is None else values.known(root, only)
    except PickleError:
        raise
    except Exception as problem:  # of a foreign file's every byte: lookups, struct, codecs, NumPy have no common base
        reason = " ".join(str(problem).split())[:200]
        raise PickleError(f"expected a pickle, it is damaged ({reason or type(problem).__name__}).") from None


def read_pickle(
    path: Path, also: Mapping[Name, Any] | None = None, most: int = _MOST_OPCODES, only: Iterable[str] | None = None
) -> Any:
    """What a pickle of any protocol holds, Python 2's text as latin1; arrays, `Chumpy`, `Sparse` and plain values.

    `also`: further names, as `Values.table`; `most`: opcodes in all; `only`: of a dictionary's keys these, the rest
    takes no memory. Raises PickleError for a file that names anything else, is damaged, nested deep, holds itself or
    would take more memory than a few times its size; and OSError.
    """
    if path.stat().st_size > MOST_BYTES:
        raise PickleError(f"expected a file of at most {MOST_BYTES >> 30} GiB, it is larger.")
    return unpickled(path.read_bytes(), also, most, only)
