"""torch's tensors out of pickles and checkpoints, read as data (`humesh.body.pickles`).

`torch.load(weights_only=True)` does not do: older versions of it read beyond storages that are shorter than the file
claims, and views of one number a billion times over come out of it.
Both formats of `torch.save`: a zip file of a pickle and raw numbers (torch 1.6 and later), and before that pickles one
after another with the raw numbers behind them.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from humesh.body.pickles import BUILDERS, STORED, Call, Name, PickleError, Unpickler, Values
from humesh.files import MOST_BYTES, reason

_MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of the old format
_DTYPES = {
    "Double": torch.float64, "Float": torch.float32, "Half": torch.float16, "BFloat16": torch.bfloat16,
    "Long": torch.int64, "Int": torch.int32, "Short": torch.int16, "Char": torch.int8, "Byte": torch.uint8,
    "Bool": torch.bool,
}  # fmt: skip


def _view(call: Call, values: Values) -> Tensor:
    """A view of a storage: of its numbers, offset, size, stride, and what is of no use here."""
    storage, offset, size, stride = map(values.value, call.args[:4])
    view = torch.as_strided(storage, size, stride, offset)
    values.spend(view.numel() * view.element_size())  # it can show the same number over and over
    return view


def _first(call: Call, values: Values) -> Any:
    return values.value(call.args[0])


def _nested(call: Call, values: Values) -> Any:
    """The storage of a tensor that was pickled by itself: the bytes of a whole checkpoint in the old format."""
    raw = values.value(call.args[0])
    values.spend(64 * len(raw))  # its opcodes are followed again for each one
    return _legacy(raw)


_TORCH: dict[Name, Any] = {
    **BUILDERS,
    Name("torch._utils", "_rebuild_tensor"): _view,
    Name("torch._utils", "_rebuild_tensor_v2"): _view,
    Name("torch._utils", "_rebuild_parameter"): _first,
    Name("torch._utils", "_rebuild_parameter_with_state"): _first,
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
    raw = source if isinstance(source, bytes) else source.read_bytes()
    try:
        return _zipped(raw) if raw[:4] == b"PK\3\4" else _legacy(raw)
    except PickleError:
        raise
    except Exception as problem:  # of a foreign file's every byte: zipfile, pickle, torch have no common base
        raise PickleError(f"expected a checkpoint, it is damaged ({reason(problem)}).") from None


def _zipped(raw: bytes) -> Any:
    with zipfile.ZipFile(BytesIO(raw)) as archive:
        members = {member.filename: member for member in archive.infolist()}
        # Also those that claim to be small: zipfile unpacks all of a member before it looks at its claim.
        if any(m.compress_type for m in members.values()) or sum(m.file_size for m in members.values()) > len(raw):
            raise PickleError("expected a checkpoint as torch writes it, uncompressed; load it and save it anew.")
        (pickled,) = (name for name in members if name.endswith("/data.pkl") and name.count("/") == 1)
        folder = pickled.removesuffix("data.pkl")
        if folder + "byteorder" in members and archive.read(folder + "byteorder") != b"little":
            raise PickleError("expected a checkpoint of a little-endian machine.")
        builders = _stored_in(lambda key: archive.read(f"{folder}data/{key}"))
        root = Unpickler(BytesIO(archive.read(pickled)), builders).load()
        return Values(builders, len(raw)).value(root)


def _legacy(raw: bytes) -> Any:
    """Five pickles (a magic number, a version, the machine, what was saved, the storages' keys) and the numbers."""
    stream, found = BytesIO(raw), dict[str, bytes]()
    builders = _stored_in(found.__getitem__)
    unpickler = Unpickler(stream, builders)
    if unpickler.load() != _MAGIC:
        raise PickleError("expected a checkpoint of torch, it is damaged or another kind of file.")
    _, _, content, keys = (unpickler.load() for _ in range(4))
    dtypes = dict(_key_and_dtype(call) for call in unpickler.stored)
    for key in keys:
        count = int.from_bytes(stream.read(8), "little")
        found[key] = stream.read(count * dtypes[key].itemsize)
        if len(found[key]) < count * dtypes[key].itemsize:
            raise EOFError("it is cut off")
    return Values(builders, len(raw)).value(content)


def _key_and_dtype(call: Call) -> tuple[str, torch.dtype]:
    """Of a storage that a persistent id speaks of: ("storage", type, key, device, length, view)."""
    about, kind, key, _, _, *view = call.args[0]
    if about != "storage" or type(kind) is not Name or view not in ([], [None]):
        raise PickleError("expected a checkpoint of tensors, it keeps something else; save its state dict alone.")
    return str(key), _DTYPES[kind.name.removesuffix("Storage")]


def _stored_in(stored: Callable[[str], bytes]) -> dict[Name, Any]:
    """The builders for a file whose numbers come from `stored`, by key; each storage is made once."""
    made: dict[str, Tensor] = {}

    def storage(call: Call, values: Values) -> Tensor:
        key, dtype = _key_and_dtype(call)
        if key not in made:
            raw = bytearray(stored(key))
            values.spend(len(raw))
            made[key] = torch.frombuffer(raw, dtype=torch.uint8) if raw else torch.empty(0, dtype=torch.uint8)
        if dtype == torch.bool and (made[key] > 1).any():
            raise ValueError("a truth value is neither true nor false")
        return made[key].view(dtype)

    return {**_TORCH, STORED: storage}
