"""A pickle's opcodes followed as data: a graph of plain nodes comes out; nothing is imported, made or called.

An interpreter of its own, because Python's lets a file call what its names stand for. The opcodes are those that the
standard module `pickletools` documents, of protocols 0 to 5, less those that plain data never has.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from humesh.errors import HumeshError

_SHORT = 1_000  # bytes of a text that is one at once
_LONGEST_NUMBER = 1_000  # characters or bytes of one number


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
    """Something of a module that the file names."""

    module: str
    name: str


class Raw(NamedTuple):
    """Bytes in the file: a value of `kind` (bytes, bytearray or str) once somebody needs it, a text's in `encoding`."""

    view: memoryview
    kind: type
    encoding: str = "latin1"  # of Python 2


@dataclass(eq=False, slots=True)
class Table:
    """A dictionary (keys and values by turns) or a set (keys alone, `kind` set or frozenset)."""

    items: list[Any]
    kind: type = dict


@dataclass(eq=False, slots=True)
class Call:
    """What the file wants made: by a name, of arguments, with a state and items set afterwards."""

    name: Name
    args: tuple[Any, ...]
    state: Any = None
    items: list[Any] = field(default_factory=list)


STORED = Name("", "stored")
"""The name of the calls that stand for persistent ids: what the file keeps elsewhere."""


class Opcodes:
    """The pickles of some bytes, one after another; `at`: where the next one begins; `stored`: persistent ids met.

    `find` gives a name, or raises RefusedError for one that may not be in the file. `most`: opcodes in all.
    """

    def __init__(self, data: bytes, find: Callable[[str, str], Name], most: int) -> None:
        self.data, self.view, self.at, self.find, self.left = data, memoryview(data), 0, find, most
        self.stored: list[Call] = []
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def next(self) -> Any:
        """The graph of the next pickle: None, truth values, numbers, texts, lists, tuples, and this module's nodes.

        PickleError for opcodes that plain data never has or too many; LookupError, ValueError, TypeError and others for
        damaged bytes. Lists may contain themselves.
        """
        self.stack, self.marks, self.memo = [], [], {}
        while self.left > 0:
            self.left -= 1
            code = self.data[self.at]
            self.at += 1
            if code == 0x2E:  # STOP
                return self.pop()
            act = _ACTS.get(code)
            if act is None:
                raise PickleError(f"expected plain data, got the pickle opcode 0x{code:02x}; the file is damaged.")
            act(self)
        raise PickleError("expected a file of arrays, it has too many small parts.")

    def take(self, count: int) -> memoryview:
        """The next bytes."""
        if count > len(self.data) - self.at:
            raise EOFError("it is cut off")
        self.at += count
        return self.view[self.at - count : self.at]

    def sized(self, width: int) -> memoryview:
        """The bytes whose count, a number of `width` bytes, goes before them."""
        return self.take(int.from_bytes(self.take(width), "little"))

    def line(self) -> bytes:
        """The next line, without its end."""
        end = self.data.index(b"\n", self.at)
        self.at, start = end + 1, self.at
        return self.data[start:end]

    def number(self) -> bytes:
        """A line short enough for a number."""
        line = self.line()
        if len(line) > _LONGEST_NUMBER:
            raise ValueError("a number is too long")
        return line

    def push(self, node: Any) -> None:
        """Puts a node on the stack."""
        self.stack.append(node)

    def pop(self) -> Any:
        """The top of the stack, which lies above the last mark."""
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise IndexError("the stack is empty")
        return self.stack.pop()

    def popped(self) -> list[Any]:
        """Everything above the last mark."""
        start = self.marks.pop()
        nodes = self.stack[start:]
        del self.stack[start:]
        return nodes

    def top(self, *kinds: type) -> Any:
        """The top of the stack, of one of these kinds, stays there."""
        node = self.pop()
        if type(node) not in kinds:
            raise TypeError("an opcode goes with another kind of value")
        self.push(node)
        return node

    def keep(self, index: int) -> None:
        """Puts the top of the stack into the memo as well."""
        node = self.pop()
        self.memo[index] = node
        self.push(node)

    def append(self, nodes: list[Any]) -> None:
        """Adds nodes to the list on top."""
        self.top(list).extend(nodes)

    def set_items(self, nodes: list[Any], kinds: tuple[type, ...] = (dict,)) -> None:
        """Adds keys and values by turns, or members, to the table or call on top."""
        target = self.top(Table, Call)
        if (type(target) is Table and target.kind not in kinds) or (dict in kinds and len(nodes) % 2):
            raise TypeError("an opcode goes with another kind of value")
        target.items.extend(nodes)

    def call(self, name: Any, args: Any) -> None:
        """Puts what a name would make of arguments on the stack."""
        if type(args) is not tuple or type(name) is not Name:
            raise TypeError("it calls something that is no name")
        self.push(Call(name, args))

    def build(self, state: Any) -> None:
        """Gives the call on top its state."""
        target = self.top(Call)
        if target.state is not None:
            raise TypeError("it sets a state twice")
        target.state = state

    def persistent(self, identity: Any) -> None:
        """Puts what the file keeps elsewhere on the stack."""
        self.stored.append(Call(self.find(*STORED), (identity,)))
        self.push(self.stored[-1])

    def named(self, module: Any, name: Any) -> None:
        """Puts a name on the stack."""
        if type(module) is not str or type(name) is not str:
            raise TypeError("it names something that is no text")
        self.push(self.find(module, name))


def _protocol(m: Opcodes) -> None:
    if m.take(1)[0] > 5:
        raise PickleError("expected a pickle of protocol 0 to 5, got a newer one or another kind of file.")


def _pop(m: Opcodes) -> None:
    if m.marks and m.marks[-1] == len(m.stack):
        m.marks.pop()
    else:
        m.pop()


def _pop_mark(m: Opcodes) -> None:
    m.popped()


def _pops(m: Opcodes, count: int) -> tuple[Any, ...]:
    return tuple(m.pop() for _ in range(count))[::-1]


def _twice(m: Opcodes) -> None:
    node = m.pop()
    m.stack += [node, node]


def _frame(m: Opcodes) -> None:
    m.take(8)  # how much to read ahead


def _dict(m: Opcodes) -> None:
    items = m.popped()
    m.push(Table([]))
    m.set_items(items)


def _int(m: Opcodes) -> None:
    line = m.number()
    m.push({b"00": False, b"01": True}[line] if line in (b"00", b"01") else int(line))


def _long(m: Opcodes, width: int) -> None:
    raw = m.sized(width)
    if len(raw) > _LONGEST_NUMBER:
        raise ValueError("a number is too long")
    m.push(int.from_bytes(raw, "little", signed=True))


def _string(m: Opcodes) -> None:
    line = m.line().strip()
    if len(line) < 2 or line[:1] not in b"\"'" or line[:1] != line[-1:]:
        raise ValueError("a text has no quotes")
    m.push(Raw(memoryview(codecs.escape_decode(line[1:-1])[0]), str))


def _unpacked(code: str, width: int) -> Callable[[Opcodes], None]:
    return lambda m: m.push(struct.unpack(code, m.take(width))[0])


def _raw(width: int, kind: type) -> Callable[[Opcodes], None]:
    return lambda m: m.push(Raw(m.sized(width), kind))


def _text(width: int) -> Callable[[Opcodes], None]:
    def push(m: Opcodes) -> None:
        view = m.sized(width)
        m.push(Raw(view, str, "utf-8") if len(view) > _SHORT else str(view, "utf-8", "surrogatepass"))

    return push


def _index(width: int) -> Callable[[Opcodes], int]:
    return lambda m: int.from_bytes(m.take(width), "little")


def _put(index: Callable[[Opcodes], int]) -> Callable[[Opcodes], None]:
    return lambda m: m.keep(index(m))


def _get(index: Callable[[Opcodes], int]) -> Callable[[Opcodes], None]:
    return lambda m: m.push(m.memo[index(m)])


def _constant(value: Any) -> Callable[[Opcodes], None]:
    return lambda m: m.push(value)


_ACTS: dict[int, Callable[[Opcodes], None]] = {
    ord(code): act
    for code, act in {
        "\x80": _protocol,
        "\x95": _frame,
        "(": lambda m: m.marks.append(len(m.stack)),
        "0": _pop,
        "1": _pop_mark,
        "2": _twice,
        "N": _constant(None),
        "\x88": _constant(True),
        "\x89": _constant(False),
        "I": _int,
        "J": _unpacked("<i", 4),
        "K": _unpacked("<B", 1),
        "M": _unpacked("<H", 2),
        "L": lambda m: m.push(int(m.number().removesuffix(b"L"))),
        "\x8a": lambda m: _long(m, 1),
        "\x8b": lambda m: _long(m, 4),
        "F": lambda m: m.push(float(m.number())),
        "G": _unpacked(">d", 8),
        "S": _string,
        "T": _raw(4, str),
        "U": _raw(1, str),
        "B": _raw(4, bytes),
        "C": _raw(1, bytes),
        "\x8e": _raw(8, bytes),
        "\x96": _raw(8, bytearray),
        "V": lambda m: m.push(str(m.line(), "raw-unicode-escape")),
        "X": _text(4),
        "\x8c": _text(1),
        "\x8d": _text(8),
        "]": lambda m: m.push([]),
        "}": lambda m: m.push(Table([])),
        ")": _constant(()),
        "\x8f": lambda m: m.push(Table([], set)),
        "l": lambda m: m.push(m.popped()),
        "d": _dict,
        "t": lambda m: m.push(tuple(m.popped())),
        "\x85": lambda m: m.push(_pops(m, 1)),
        "\x86": lambda m: m.push(_pops(m, 2)),
        "\x87": lambda m: m.push(_pops(m, 3)),
        "\x91": lambda m: m.push(Table(m.popped(), frozenset)),
        "a": lambda m: m.append([m.pop()]),
        "e": lambda m: m.append(m.popped()),
        "s": lambda m: m.set_items(list(_pops(m, 2))),
        "u": lambda m: m.set_items(m.popped()),
        "\x90": lambda m: m.set_items(m.popped(), (set,)),
        "p": _put(lambda m: int(m.number())),
        "q": _put(_index(1)),
        "r": _put(_index(4)),
        "\x94": _put(lambda m: len(m.memo)),
        "g": _get(lambda m: int(m.number())),
        "h": _get(_index(1)),
        "j": _get(_index(4)),
        "c": lambda m: m.named(str(m.line(), "utf-8"), str(m.line(), "utf-8")),
        "\x93": lambda m: m.named(*_pops(m, 2)),
        "R": lambda m: m.call(*_pops(m, 2)),
        "\x81": lambda m: m.call(*_pops(m, 2)),
        "b": lambda m: m.build(m.pop()),
        "P": lambda m: m.persistent(str(m.line(), "ascii")),
        "Q": lambda m: m.persistent(m.pop()),
    }.items()
}
