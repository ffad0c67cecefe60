"""torch's tensors out of pickles and checkpoints, as data: torch's own reader of pickles is never asked.

Both formats of `torch.save`: a zip file of a pickle and raw numbers (torch 1.6 and later), and before that pickles one
after another with the raw numbers behind them.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from humesh.body.opcodes import STORED, Call, Name, PickleError
from humesh.body.pickles import Values, opcodes, table_of
from humesh.body.stored_arrays import is_shape
from humesh.files import MOST_BYTES

_MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of the old format
_LONGEST = 2**28  # bytes of a checkpoint's pickle
_ROOM = 2**26  # bytes of small values that any checkpoint may hold, beside its tensors


class _Storage:
    """The numbers that tensors are views of."""

    def __init__(self, raw: bytearray, dtype: torch.dtype) -> None:
        if len(raw) % dtype.itemsize or (dtype == torch.bool and raw.strip(b"\0\1")):
            raise ValueError("a tensor's numbers are damaged")
        self.flat = torch.frombuffer(raw, dtype=dtype) if raw else torch.empty(0, dtype=dtype)


def _tensor(call: Call, values: Values) -> Tensor:
    """A view of a storage: (storage, offset, size, stride, and what is of no use here)."""
    storage, offset, size, stride = map(values.value, call.args[:4])
    if not isinstance(storage, _Storage) or not is_shape((offset,)) or not is_shape(size) or not is_shape(stride):
        raise TypeError("a tensor has no storage or shape")
    if len(size) != len(stride):
        raise ValueError("a tensor's shape is damaged")
    count = math.prod(size)
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if count and last >= len(storage.flat):
        raise ValueError("a tensor has fewer numbers than its shape needs")
    values.spend(count * storage.flat.itemsize)  # a view can say the same number over and over
    return (
        torch.as_strided(storage.flat, size, stride, offset) if count else torch.empty(size, dtype=storage.flat.dtype)
    )


def _first(call: Call, values: Values) -> Any:
    return values.value(call.args[0])


def _nested(call: Call, values: Values) -> Any:
    """What a tensor pickled by itself has for a storage: the bytes of a whole checkpoint in the old format."""
    raw = bytes(values.bytes_of(call.args[0]))
    values.spend(64 * len(raw))  # its opcodes are followed again for each one
    return _legacy(raw)


_DTYPES = {
    "Double": torch.float64, "Float": torch.float32, "Half": torch.float16, "BFloat16": torch.bfloat16,
    "Long": torch.int64, "Int": torch.int32, "Short": torch.int16, "Char": torch.int8, "Byte": torch.uint8,
    "Bool": torch.bool,
}  # fmt: skip

_REBUILD = "torch._utils"
_TORCH: dict[Name, Any] = {
    Name(_REBUILD, "_rebuild_tensor"): _tensor,
    Name(_REBUILD, "_rebuild_tensor_v2"): _tensor,
    Name(_REBUILD, "_rebuild_parameter"): _first,
    Name(_REBUILD, "_rebuild_parameter_with_state"): _first,
    Name("torch", "Size"): _first,
    Name("torch", "device"): _first,
    **{Name("torch", f"{name}Storage"): None for name in _DTYPES},
    **{Name("torch", str(dtype).removeprefix("torch.")): dtype for dtype in _DTYPES.values()},
}

TENSORS: dict[Name, Any] = {**_TORCH, Name("torch.storage", "_load_from_bytes"): _nested}
"""For `also` of `read_pickle`: torch's tensors come out as such, on the CPU and without gradients."""


def read_tensors(source: Path | bytes) -> Any:
    """What a checkpoint of torch holds, tensors on the CPU; nothing in it is executed.

    Raises PickleError for one that names anything but data, is damaged, or would unpack to more than its own size; and
    OSError.
    """
    if isinstance(source, Path) and source.stat().st_size > MOST_BYTES:
        raise PickleError(f"expected a checkpoint of at most {MOST_BYTES >> 30} GiB, it is larger.")
    try:
        with BytesIO(source) if isinstance(source, bytes) else source.open("rb") as stream:
            if stream.read(4) == b"PK\3\4":
                return _zipped(stream)
            stream.seek(0)
            return _legacy(stream.read())
    except (PickleError, OSError):
        raise
    except Exception as problem:  # of a foreign file's every byte: zipfile, zlib, struct, torch have no common base
        reason = " ".join(str(problem).split())[:200]
        raise PickleError(f"expected a checkpoint, it is damaged ({reason or type(problem).__name__}).") from None


def _zipped(stream: Any) -> Any:
    with zipfile.ZipFile(stream) as archive:
        members = {member.filename: member for member in archive.infolist()}
        whole = stream.seek(0, 2)
        # Also those that claim to be small: zipfile unpacks all of a member before it looks at its claim.
        if any(m.compress_type for m in members.values()) or sum(m.file_size for m in members.values()) > whole:
            raise PickleError("expected a checkpoint as torch writes it, uncompressed; load it and save it anew.")
        (pickled,) = (name for name in members if name.endswith("/data.pkl") and name.count("/") == 1)
        folder = pickled.removesuffix("data.pkl")
        if members[pickled].file_size > _LONGEST:
            raise PickleError("expected a checkpoint of tensors, its pickle is too large.")
        order = folder + "byteorder"
        if order in members and archive.read(order) != b"little":
            raise PickleError("expected a checkpoint of a little-endian machine.")

        def stored(key: str, _: torch.dtype) -> bytearray:
            raw = bytearray(members[f"{folder}data/{key}"].file_size)
            with archive.open(f"{folder}data/{key}") as member:
                inside: Any = member  # whose types leave out that it can read into a buffer
                if inside.readinto(raw) != len(raw):
                    raise EOFError("it is cut off")
            return raw

        table = _stored_in(stored)
        return Values(table, 4 * whole + _ROOM).value(opcodes(archive.read(pickled), table).next())


def _legacy(raw: bytes) -> Any:
    """Five pickles (a magic number, a version, the machine, what was saved, the storages' keys) and the numbers."""
    found: dict[str, bytearray] = {}
    table = _stored_in(lambda key, _: found[key])
    steps = opcodes(raw, table)
    if steps.next() != _MAGIC:
        raise PickleError("expected a checkpoint of torch, it is damaged or another kind of file.")
    _, _, content, keys = (steps.next() for _ in range(4))
    values = Values(table, 4 * len(raw) + _ROOM)
    sizes = {key: dtype.itemsize for key, dtype in (_about(call, values) for call in steps.stored)}
    for key in values.value(keys):
        count = int.from_bytes(steps.take(8), "little")
        found[key] = bytearray(steps.take(count * sizes[key]))
    return values.value(content)


def _about(call: Call, values: Values) -> tuple[str, torch.dtype]:
    """The key and type of a storage that a persistent id speaks of: ("storage", type, key, device, length, view)."""
    about, kind, key, _, _, *view = call.args[0]
    if values.value(about) != "storage" or type(kind) is not Name or view not in ([], [None]):
        raise PickleError("expected a checkpoint of tensors, it keeps something else; save its state dict alone.")
    return str(values.value(key)), _DTYPES[kind.name.removesuffix("Storage")]


def _stored_in(stored: Callable[[str, torch.dtype], bytearray]) -> dict[Name, Any]:
    """The table for a file whose numbers come from `stored`, by key; each storage is made once."""
    made: dict[str, _Storage] = {}

    def storage(call: Call, values: Values) -> _Storage:
        key, dtype = _about(call, values)
        if key not in made or made[key].flat.dtype != dtype:
            raw = stored(key, dtype)
            values.spend(len(raw))
            made[key] = _Storage(raw, dtype)
        return made[key]

    return table_of({**_TORCH, STORED: storage})
