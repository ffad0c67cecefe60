"""Pickles followed as data: nothing that a file names is imported or called.

Python's own unpickler reads the file, but every name in it becomes a `Name` and every call a `Call`, which only keep
what the file says; `Values` makes values of them with builders, and counts what they take. It is the unpickler written
in Python: the one in C takes gigabytes of memory for a memo index in a 20-byte file.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np

from humesh.errors import HumeshError
from humesh.files import array_of_bytes

_MOST_OPCODES = 8_000_000  # a camera frame of AGORA has 1.6 million and more
_DEEPEST = 64  # levels of containers
_ROOM = 2**28  # bytes that the values of any file may take; those of a larger one four times its size
_MOST_BITS = 1000  # of an integer


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
        """Keeps a call of it."""
        return Call(self, args)


@dataclass(eq=False, slots=True)
class Call:
    """Stands for an object that the file wants made: by a name, of arguments, with a state and items set afterwards."""

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


class Table(dict[Any, Any]):
    """A dictionary with plain keys: hashing a tuple of tuples can exhaust the stack, large integers can collide."""

    __slots__ = ()

    @classmethod
    def of(cls, pairs: Iterable[Any]) -> Table:
        """A dictionary of keys and values."""
        table = cls()
        for key, value in pairs:
            table[key] = value
        return table

    def __setitem__(self, key: Any, value: Any) -> None:
        if type(key) not in (str, bytes, int, float, bool, type(None)) or (type(key) is int and abs(key) >= 2**60):
            raise PickleError("expected plain keys in a pickled dictionary; the file is damaged.")
        super().__setitem__(key, value)


class Unpickler(pickle._Unpickler):
    """The pickles of a stream in memory, one for each `load`, as plain values, `Name` and `Call`.

    `builders`: what may be named; `stored`: the persistent ids met.
    """

    def __init__(self, stream: BytesIO, builders: Mapping[Name, Any]) -> None:
        super().__init__(stream, encoding="latin1")  # of Python 2's strings, which hold the bytes of arrays too
        self.builders, self.stored = builders, list[Call]()
        self.dispatch = _Dispatch()  # type: ignore[misc]

    def load(self) -> Any:
        """The next pickle, whose memo is its own."""
        vars(self)["memo"] = {}
        return super().load()

    def find_class(self, module: str, name: str) -> Name:
        """The name under which the builders have what a file names; RefusedError where they have none."""
        module = {"__builtin__": "builtins", "copy_reg": "copyreg"}.get(module, module)  # Python 2's
        module = module.replace("numpy._core", "numpy.core")
        found, layout = Name(module, name), re.fullmatch("(csc|csr|coo)_(matrix|array)", name)
        if module.startswith("scipy.sparse") and layout:
            found = Name("scipy.sparse", layout[1])
        elif (module == "chumpy" or module.startswith("chumpy.")) and name.isidentifier():
            found = Name("chumpy", "Ch")
        if found not in self.builders:
            raise RefusedError(f"{module}.{name}")
        return found

    def persistent_load(self, pid: Any) -> Call:
        """Keeps a reference to what the file holds elsewhere."""
        self.stored.append(self.find_class(*STORED)(pid))
        return self.stored[-1]


ORDERED = Name("collections", "OrderedDict")
STORED = Name("persistent", "id")
"""The builder of persistent ids, in the files that may have them."""


class _Dispatch(dict[int, Any]):
    """The opcodes that plain data has; it counts those that a file uses."""

    def __init__(self) -> None:
        super().__init__(_OPCODES)
        self.left = _MOST_OPCODES

    def __getitem__(self, code: int) -> Any:
        self.left -= 1
        if self.left < 0:
            raise PickleError("expected a file of arrays, it has too many small parts.")
        return super().__getitem__(code)

    def __missing__(self, code: int) -> Any:
        raise PickleError(f"expected plain data, got the pickle opcode 0x{code:02x}; the file is damaged.")


def _read_dictionary(reader: Any) -> None:
    items = reader.pop_mark()
    reader.append(Table.of(zip(items[::2], items[1::2], strict=True)))


def _read_bytearray(reader: Any) -> None:
    """Bytes, of which Python would make room for as many as the file claims."""
    reader.append(bytearray(reader.read(int.from_bytes(reader.read(8), "little"))))


_PYTHONS: Mapping[int, Any] = pickle._Unpickler.dispatch
_OPCODES: dict[int, Any] = {
    **_PYTHONS,
    pickle.EMPTY_DICT[0]: lambda reader: reader.append(Table()),
    pickle.DICT[0]: _read_dictionary,
    pickle.BYTEARRAY8[0]: _read_bytearray,
    pickle.EMPTY_SET[0]: _PYTHONS[pickle.EMPTY_LIST[0]],  # sets come out as lists
    pickle.ADDITEMS[0]: _PYTHONS[pickle.APPENDS[0]],
    pickle.NEWOBJ[0]: _PYTHONS[pickle.REDUCE[0]],
}
for _code in pickle.INST + pickle.OBJ + pickle.NEWOBJ_EX + pickle.EXT1 + pickle.EXT2 + pickle.EXT4 + pickle.FROZENSET:
    del _OPCODES[_code]


class Values:
    """The values of what an Unpickler gives, each made once; what is used again is counted again.

    `builders`: by name a function of a Call and these Values, a constant, or None for what is only named; `left`: the
    bytes that the values may still take.
    """

    def __init__(self, builders: Mapping[Name, Any], size: int) -> None:
        self.builders, self.left, self.depth = builders, max(_ROOM, 4 * size), 0
        self.done: dict[int, tuple[Any, int]] = {}  # by node, which lives as long as the graph: value and bytes

    def spend(self, size: int) -> None:
        """Counts bytes before they are taken."""
        self.left -= size
        if self.left < 0:
            raise PickleError("expected a file of arrays, what it holds would take too much memory.")

    def value(self, node: Any) -> Any:
        """What a node stands for; PickleError, or ValueError, TypeError and others for a damaged file."""
        kind = type(node)
        if kind in (type(None), bool, int, float, str, bytes):
            self.spend(8 + (len(node) if kind in (str, bytes) else 0))
            if kind is int and node.bit_length() > _MOST_BITS:
                raise PickleError("expected numbers of a usual size in a pickle; the file is damaged.")
            return node
        if id(node) in self.done:
            self.spend(self.done[id(node)][1])
        else:
            if self.depth > _DEEPEST:
                raise PickleError("expected plain data, got something that is nested too deep or holds itself.")
            before, self.depth = self.left, self.depth + 1
            value = self._made(node)
            self.depth -= 1
            self.done[id(node)] = value, before - self.left
        return self.done[id(node)][0]

    def _made(self, node: Any) -> Any:
        self.spend(64)
        match node:
            case Call():
                return self.built(node)
            case Name():
                if self.builders[node] is None or callable(self.builders[node]):  # a name, where a value should be
                    raise RefusedError(".".join(node))
                return self.builders[node]
            case list() | tuple():
                return type(node)([self.value(item) for item in node])
            case dict():
                return {key: self.value(item) for key, item in node.items()}
        self.spend(len(node))
        return node  # a bytearray

    def built(self, call: Call) -> Any:
        """What a call would make."""
        build = self.builders[call.name]
        if not callable(build) or (call.items and call.name != ORDERED):
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
        self.spend(len(data))
        return array_of_bytes(data, dtype, shape, order)
