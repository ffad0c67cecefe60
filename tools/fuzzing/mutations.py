"""Seeded damage to the bytes of a file: of any kind of file, and of the kinds whose structure is known."""

from __future__ import annotations

import io
import json
import pickletools
import re
import struct
import zipfile
from collections.abc import Callable
from random import Random
from typing import Any

Mutation = Callable[[Random, bytes], bytes]

_WORDS = [b"1e308", b"-1e308", b"nan", b"inf", b"-1", b"0", b"9" * 5000, b"1" + b"0" * 400, b"2147483648", b"x",
          b"9223372036854775808", b"", b"1_000", b"0x10", b"\x1b[31m", b"\xff\xfe", "\u0663".encode()]  # fmt: skip
_INTEGERS = [0, 1, -1, 127, 255, 2**15, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1]
_HUGE = "a number of 5,000 digits, which json does not write"
_VALUES: list[Any] = [None, True, "", "x", "../../../etc/passwd", "\x1b]0;x\x07", "\ud800", -1, 0, 0.5, 1e308,
                      -1e308, 2**31, 2**63, 10**30, _HUGE, float("nan"), float("inf"), [], {}, [[]], [None],
                      {"x": 1}]  # fmt: skip


def mutated(random: Random, data: bytes, other: bytes) -> bytes:
    """The file damaged in one to three ways; `other`: another valid file of the reader, to be spliced in."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        data = random.choice([_inside, _blind])(random, data)
    if random.random() < 0.04:
        cut = random.random()
        data = data[: int(cut * len(data))] + other[int(random.choice((cut, random.random())) * len(other)) :]
    return data


def _inside(random: Random, data: bytes) -> bytes:
    """Damage that keeps the structure of the file, where it is of a known kind."""
    for looks, mutation in _KINDS:
        if looks(data):
            try:
                return mutation(random, data)
            except Exception:  # already damaged, so that its structure cannot be followed: any damage will do
                break
    return _blind(random, data)


def _blind(random: Random, data: bytes) -> bytes:
    return random.choice(_BLIND)(random, data)


def _place(random: Random, data: bytes) -> int:
    """Anywhere, more often near the beginning, where headers are."""
    return int(len(data) * random.random() ** random.choice((1, 1, 4)))


def _flipped(random: Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 8, 32)) if data else 0):
        changed[_place(random, data)] ^= 1 << random.randrange(8)
    return bytes(changed)


def _overwritten(random: Random, data: bytes) -> bytes:
    at, count = _place(random, data), random.choice((1, 2, 4, 16, 100))
    run = random.choice((bytes(count), b"\xff" * count, random.randbytes(count)))
    return data[:at] + run + data[at + count :]


def _cut(random: Random, data: bytes) -> bytes:
    return data[: random.choice((0, 1, _place(random, data), max(0, len(data) - random.randrange(1, 20))))]


def _removed(random: Random, data: bytes) -> bytes:
    at = _place(random, data)
    return data[:at] + data[at + random.choice((1, 2, 4, 50, 1000)) :]


def _doubled(random: Random, data: bytes) -> bytes:
    at, count = _place(random, data), random.choice((1, 4, 50, 1000))
    return data[:at] + data[at : at + count] * random.choice((2, 3, 20)) + data[at + count :]


def _integer(random: Random, data: bytes) -> bytes:
    """A number of 1, 2, 4 or 8 bytes in place of whatever is there."""
    width, at = random.choice((1, 2, 4, 4, 8)), _place(random, data)
    value = random.choice(_INTEGERS) & (256**width - 1)
    return data[:at] + value.to_bytes(width, random.choice(("little", "big"))) + data[at + width :]


def _word(random: Random, data: bytes) -> bytes:
    """Another word in place of a number or word of a text."""
    kind = random.choice((rb"-?\d+\.?\d*", rb"-?\d+\.?\d*", rb"\w+"))
    found = list(re.finditer(kind, data[:200_000]))
    if not found:
        return _integer(random, data)
    where = random.choice(found)
    return data[: where.start()] + random.choice(_WORDS) + data[where.end() :]


def _lines(random: Random, data: bytes) -> bytes:
    lines = data.split(b"\n")
    at = random.randrange(len(lines))
    lines[at : at + 1] = random.choice(([], lines[at : at + 1] * 2, lines[at : at + 1] * 50, [random.choice(lines)]))
    return b"\n".join(lines)


def _nested(random: Random, data: bytes) -> bytes:
    at, depth = _place(random, data), random.choice((500, 20_000))
    opening, closing = random.choice(((b"[", b"]"), (b'{"a":', b"}"), (b"(", b")"), (b"{", b"}")))
    return data[:at] + opening * depth + random.choice((b"", closing * depth)) + data[at:]


_BLIND: list[Mutation] = [_flipped, _flipped, _overwritten, _cut, _removed, _doubled, _integer, _integer, _word, _word,
                          _lines, _nested]  # fmt: skip


def _json(random: Random, data: bytes) -> bytes:
    """One value of a JSON text becomes another, goes, comes twice or gets another name."""
    return _written(_changed(random, json.loads(data)))


def _written(tree: Any) -> bytes:
    return json.dumps(tree).replace(json.dumps(_HUGE), "7" * 5000).encode()


def _changed(random: Random, tree: Any) -> Any:
    """The tree with a place in it changed; where that is a text that holds JSON, a place in that."""
    if isinstance(tree, str) and tree.startswith("{"):
        return _written(_changed(random, json.loads(tree))).decode()
    if not isinstance(tree, (dict, list)) or not tree or random.random() < 0.1:
        return random.choice(_VALUES)
    tree = tree.copy()
    key = random.choice(list(tree)) if isinstance(tree, dict) else random.randrange(len(tree))
    deeper = random.random()
    if deeper < 0.75:
        tree[key] = _changed(random, tree[key])
    elif deeper < 0.85:
        del tree[key]
    elif isinstance(tree, list):
        tree.insert(key, random.choice([tree[key], random.choice(_VALUES)]))
    else:
        tree[random.choice(["", "x", "\x1b[2J", f"{key}x", "1" * 400])] = tree.pop(key)
    return tree


def _safetensors(random: Random, data: bytes) -> bytes:
    length = int.from_bytes(data[:8], "little")
    header = _json(random, data[8 : 8 + length])
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


def _zip(random: Random, data: bytes) -> bytes:
    """A member changed, renamed, left out or put in twice; checksums and lengths are right again."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    at = random.randrange(len(members))
    name, content = members[at]
    match random.randrange(10):
        case 0:
            del members[at]
        case 1:
            members[at] = (random.choice([name + "x", "", "../x.npy", "\x1b[2J.npy", members[0][0]]), content)
        case 2:
            members[at] = (name, random.choice(members)[1])
        case 3:
            members.append((name, random.choice([b"", b"raw bytes", content])))
        case _:
            members[at] = (name, _inside(random, content))
    small = len(data) < 100_000  # LZMA takes a second for a megabyte
    how = random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA if small else zipfile.ZIP_STORED))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", how) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, compress_type=how)
    return out.getvalue()


_DTYPES = ["<f8", "<f4", ">f8", "<f2", "<i8", "<u4", "|u1", "|b1", "|O", "<c16", "<U9", "|S3", "<M8[ns]", "|V8", "<f9",
           "x", "<U1000000000", "3f4"]  # fmt: skip


def _npy(random: Random, data: bytes) -> bytes:
    """Another type, shape or order in an array's header; or its numbers become NaN or huge."""
    length = int.from_bytes(data[8:10], "little")
    header, body = data[10 : 10 + length].decode("latin1"), data[10 + length :]
    match random.randrange(6):
        case 0:
            header = re.sub(r"'descr': '[^']*'", f"'descr': {random.choice(_DTYPES)!r}", header)
        case 1:
            shape = ["()", "(0,)", "(1,)", "(-1,)", "(3, 3)", "(2147483648, 3)", "(9223372036854775807,)", "(True,)",
                     "('x',)", "(1.0,)", "1", f"({'1,' * 40})", f"({len(body)},)", "None", "(0, 9223372036854775807)",
                     ]  # fmt: skip
            header = re.sub(r"'shape': \([^)]*\)", f"'shape': {random.choice(shape)}", header)
        case 2:  # the same numbers with the axes otherwise, or fewer or more of them
            numbers = [int(n) for n in re.findall(r"\d+", header.partition("'shape'")[2])]
            random.shuffle(numbers)
            header = re.sub(r"'shape': \([^)]*\)", f"'shape': {tuple(numbers)}", header)
        case 3:
            header = header.replace("False", random.choice(["True", "None", "[" * 3000, "x", "__import__('os')"]))
        case 4:  # all other axes stay, so that the sizes agree
            first = re.search(r"\((\d+)", header)
            rows, new = int(first[1]) if first else 1, random.choice((0, 1, 2))
            header = re.sub(r"\(\d+", f"({new}", header, count=1)
            body = (body[: len(body) // max(rows, 1)] or b"\0" * 8) * new
        case _:
            value = struct.pack("<d", random.choice((float("nan"), float("inf"), 1e308, -1.0, 0.0, 1e-308, 2.0**62)))
            at = random.randrange(max(1, len(body) // 8)) * 8
            body = random.choice((value * (len(body) // 8), body[:at] + value + body[at + 8 :]))[: len(body)]
    text = header.encode("latin1").rstrip()
    return data[:8] + (len(text) + 1).to_bytes(2, "little") + text + b"\n" + body


_OPCODES = [b"cposix\nsystem\n(S'true'\ntR", b"cbuiltins\neval\n(S'1'\ntR", b"(" * 3000, b"]" * 3000, b"\x94" * 100,
            *(bytes([code]) for code in b"Rb\x81\x92uea02.Nt\x85\x93"), b"(lp0\ng0\na", b"\x8f(e\x90",
            b"\x8e" + struct.pack("<Q", 2**40), b"X" + struct.pack("<I", 2**31), b"\x8b" + struct.pack("<i", -1),
            b"L" + b"9" * 5000 + b"L\n", b"I999999999999999999999\n", b"r\xff\xff\xff\x7f", b"F1e999\n", b"h\x63",
            b"\x8a\xff" + b"\xff" * 255, b"]q\x01" + b"".join(b"](" + b"h\x01" * 99 + b"eq\x01" for _ in range(9)),
            b"((" * 5000 + b"tt" * 4000, b"cnumpy\nndarray\n", b"cnumpy\ndtype\n(S'O'\ntR"]  # fmt: skip


def _pickle(random: Random, data: bytes) -> bytes:
    """Opcodes go, come twice, change places or are other ones."""
    places = [place for _, _, place in pickletools.genops(data) if place is not None]
    spans = [data[a:b] for a, b in zip(places, [*places[1:], len(data)], strict=True)]
    at = random.randrange(len(spans))
    end = at + random.choice((1, 1, 1, 3, 10))
    match random.randrange(6):
        case 0:
            del spans[at:end]
        case 1:
            spans[at:at] = spans[at:end] * random.choice((1, 50))
        case 2:
            spans[at] = random.choice(spans)
        case 3:
            spans[at:end] = [_blind(random, b"".join(spans[at:end]))]
        case _:
            spans.insert(at, random.choice(_OPCODES))
    return b"".join(spans)


def _exif(random: Random, data: bytes) -> bytes:
    """An entry of EXIF's tables, which are TIFF's (6.0, section 2), gets another type, count or value."""
    start = data.index(b"Exif\0\0") + 6 if b"Exif\0\0" in data[:5000] else 0
    order = ">" if data[start : start + 2] == b"MM" else "<"
    tables, entries = [struct.unpack_from(order + "I", data, start + 4)[0]], []
    for table in tables[:5]:
        for i in range(min(struct.unpack_from(order + "H", data, start + table)[0], 100)):
            entries.append(start + table + 2 + 12 * i)
            tag, _, _, value = struct.unpack_from(order + "HHII", data, entries[-1])
            tables += [value] if tag == 0x8769 else []
    at, what = random.choice(entries), random.randrange(3)
    offset, code = ((2, "H"), (4, "I"), (8, "I"))[what]
    value = random.choice((range(14), _INTEGERS, _INTEGERS)[what]) & (256 ** struct.calcsize(code) - 1)
    return data[: at + offset] + struct.pack(order + code, value) + data[at + offset + struct.calcsize(code) :]


def _is_safetensors(data: bytes) -> bool:
    return data[8:10] == b'{"' and int.from_bytes(data[:8], "little") < len(data)


_KINDS: list[tuple[Callable[[bytes], bool], Mutation]] = [
    (lambda data: data[:4] == b"PK\3\4", _zip),
    (lambda data: data[:6] == b"\x93NUMPY", _npy),
    (_is_safetensors, _safetensors),
    (lambda data: data[:1] in b"{[", _json),
    (lambda data: data[:1] in b"\x80(}]c" and data[-1:] == b".", _pickle),
    (lambda data: data[:4] in (b"II*\0", b"MM\0*") or b"Exif\0\0" in data[:5000], _exif),
]
