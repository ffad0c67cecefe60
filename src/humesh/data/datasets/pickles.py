"""pandas' DataFrames and torch's tensors out of pickles, read as data: without pandas, and nothing is executed.

The layouts are those of pandas 1.0 and later (a frame is a state with a block manager: blocks of columns, each with
the places of its columns, and two axes), written from memory of its sources.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch

from humesh.body.pickles import OBJECT_ARRAYS, PickleError, read_pickle


class _Index:
    """Stands in for every kind of index as a name; what it holds comes through `_new_index`."""


class _Blocks:
    """Stands in for a block manager: blocks and axes as arguments (pandas 1.3 and later) or in its state (before)."""

    def __init__(self, blocks: Any = (), axes: Any = ()) -> None:
        self.blocks, self.axes = blocks, axes

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, tuple) and len(state) > 3 and isinstance(state[3], dict):
            newest = state[3]["0.14.1"]
            self.blocks = [(block["values"], block["mgr_locs"]) for block in newest["blocks"]]
            self.axes = newest["axes"]


class _Frame:
    """Stands in for a DataFrame: keeps the pickled state."""

    def __init__(self, *args: Any) -> None:
        self.state: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        self.state = state if isinstance(state, dict) else {}


def _block(values: Any, placement: Any, ndim: Any = None) -> tuple[Any, Any]:
    return values, placement


def _new_index(kind: type, said: dict[str, Any]) -> np.ndarray:
    if "data" in said:
        return np.asarray(said["data"])
    return np.arange(int(said.get("start") or 0), int(said["stop"]), int(said.get("step") or 1))


def _tensor(storage: Any, offset: int, size: Any, stride: Any, *_: Any) -> torch.Tensor:
    if not isinstance(storage, torch.storage.TypedStorage):
        raise PickleError(f"expected a tensor's storage, got {type(storage).__name__}.")
    empty = torch.empty(0, dtype=storage.dtype)
    return empty.set_(storage._untyped_storage, int(offset), torch.Size(size), tuple(map(int, stride)))


def _storage(raw: bytes) -> Any:
    return torch.load(io.BytesIO(raw), map_location="cpu", weights_only=True)


TENSORS: dict[tuple[str, str], Any] = {
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
    ("torch.storage", "_load_from_bytes"): _storage,
}
"""For `also` of `read_pickle`: torch's tensors come out as such, on the CPU and without gradients."""

_KINDS = {
    "base": ("Index",),
    "range": ("RangeIndex",),
    "numeric": ("Int64Index", "UInt64Index", "Float64Index", "NumericIndex"),
}
_FRAMES: dict[tuple[str, str], Any] = {
    **OBJECT_ARRAYS,
    ("pandas.core.frame", "DataFrame"): _Frame,
    ("pandas.core.internals.managers", "BlockManager"): _Blocks,
    ("pandas.core.internals", "BlockManager"): _Blocks,
    ("pandas._libs.internals", "_unpickle_block"): _block,
    ("pandas.core.internals.blocks", "new_block"): _block,
    ("pandas.core.indexes.base", "_new_Index"): _new_index,
    ("builtins", "slice"): slice,
    **{(f"pandas.core.indexes.{module}", kind): _Index for module, kinds in _KINDS.items() for kind in kinds},
}


def read_frame(path: Path) -> dict[str, np.ndarray]:
    """The columns of a pickled pandas DataFrame, by name; PickleError where the file holds something else."""
    frame = read_pickle(path, _FRAMES)
    if not isinstance(frame, _Frame):
        raise PickleError(f"expected a pandas DataFrame, got {type(frame).__name__}.")
    manager = frame.state.get("_mgr", frame.state.get("_data"))
    if not isinstance(manager, _Blocks) or len(manager.axes) != 2:
        raise PickleError(
            f"expected the columns of a DataFrame, got {sorted(frame.state)}; save it with pandas 1 or 2."
        )
    names, columns = [str(name) for name in manager.axes[0]], {}
    for values, places in manager.blocks:
        for name, column in zip(np.array(names, dtype=object)[places], values, strict=True):
            columns[name] = np.asarray(column)
    return columns
