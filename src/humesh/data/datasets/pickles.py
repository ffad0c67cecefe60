"""pandas' DataFrames out of pickles, read as data: without pandas, and nothing is executed.

The layouts are those of pandas 1.0 and later (a frame is a state with a block manager: blocks of columns, each with
the places of its columns, and two axes), written from memory of its sources.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from humesh.body.opcodes import Call, Name, PickleError
from humesh.body.pickles import OBJECTS, Values, read_pickle

_MOST_OPCODES = 8_000_000  # a camera frame of AGORA has 1.6 million and more
_MOST_ROWS = 10**7


@dataclass(frozen=True)
class _Frame:
    """A DataFrame's columns: blocks (arrays of columns x rows, and the columns' places), and their names."""

    blocks: list[tuple[np.ndarray, Any]]
    names: list[str]


def _frame(call: Call, values: Values) -> _Frame:
    state = values.known(call.state, ("_mgr", "_data"))
    manager = state.get("_mgr", state.get("_data"))
    if not isinstance(manager, _Frame):
        raise PickleError("expected the columns of a DataFrame, found none; save it with pandas 1 or 2.")
    return manager


def _manager(call: Call, values: Values) -> _Frame:
    """Blocks and axes as arguments (pandas 1.3 and later) or in the state (before)."""
    if call.args:
        blocks, axes = map(values.value, call.args[:2])
    else:
        newest = values.value(call.state[3])["0.14.1"]
        blocks, axes = [(block["values"], block["mgr_locs"]) for block in newest["blocks"]], newest["axes"]
    if len(axes) != 2 or not all(isinstance(columns, np.ndarray) and columns.ndim == 2 for columns, _ in blocks):
        raise PickleError("expected the columns of a DataFrame, got another number of axes.")
    if not all(type(name) in (str, int) for name in axes[0]):
        raise PickleError("expected columns that have names, got something else.")
    return _Frame(list(blocks), [str(name) for name in axes[0]])


def _block(call: Call, values: Values) -> tuple[Any, Any]:
    columns, places, *_ = map(values.value, call.args)
    return columns, places


def _slice(call: Call, values: Values) -> slice:
    parts = [values.value(part) for part in call.args]
    if any(type(part) not in (int, type(None)) for part in parts):
        raise PickleError("expected the places of columns by number.")
    return slice(*parts)


def _new_index(call: Call, values: Values) -> Any:
    """An index as an array: what it holds, or the numbers of a range."""
    said = values.known(call.args[1], ("data", "start", "stop", "step"))
    if "data" in said:
        if not isinstance(said["data"], np.ndarray):
            raise PickleError("expected an index of an array; the file is damaged.")
        return said["data"]
    numbers = range(said.get("start") or 0, said["stop"], said.get("step") or 1)
    if len(numbers) > _MOST_ROWS:
        raise PickleError(f"expected a DataFrame of at most {_MOST_ROWS} rows, got {len(numbers)}.")
    values.spend(8 * len(numbers))
    return np.arange(numbers.start, numbers.stop, numbers.step)


_KINDS = {
    "base": ("Index",),
    "range": ("RangeIndex",),
    "numeric": ("Int64Index", "UInt64Index", "Float64Index", "NumericIndex"),
}
_FRAMES: dict[Name, Any] = {
    OBJECTS: None,
    Name("pandas.core.frame", "DataFrame"): _frame,
    Name("pandas.core.internals.managers", "BlockManager"): _manager,
    Name("pandas.core.internals", "BlockManager"): _manager,
    Name("pandas._libs.internals", "_unpickle_block"): _block,
    Name("pandas.core.internals.blocks", "new_block"): _block,
    Name("pandas.core.indexes.base", "_new_Index"): _new_index,
    Name("builtins", "slice"): _slice,
    **{Name(f"pandas.core.indexes.{module}", kind): None for module, kinds in _KINDS.items() for kind in kinds},
}


def read_frame(path: Path) -> dict[str, np.ndarray]:
    """The columns of a pickled pandas DataFrame, by name; PickleError where the file holds something else."""
    frame = read_pickle(path, _FRAMES, _MOST_OPCODES)
    if not isinstance(frame, _Frame):
        raise PickleError(f"expected a pandas DataFrame, got {type(frame).__name__}.")
    names = np.array(frame.names, dtype=object)
    columns: dict[str, np.ndarray] = {}
    for values, places in frame.blocks:
        if not isinstance(places, slice | np.ndarray) or len(names[places]) != len(values):
            raise PickleError("expected the places of a DataFrame's columns within it; the file is damaged.")
        columns.update(zip(names[places], values, strict=True))
    return columns
