"""pandas' DataFrames out of pickles, read as data: without pandas, and nothing is executed.

The layouts are those of pandas 1.0 and later (a frame is a state with a block manager: blocks of columns, each with
the places of its columns, and two axes), written from memory of its sources.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from humesh.body.pickles import Call, Name, PickleError, Values, read_pickle


class _Frame(dict[str, np.ndarray]):
    """The columns of a DataFrame by name."""


def _frame(call: Call, values: Values) -> _Frame:
    state = values.known(call.state, ("_mgr", "_data"))
    manager = state.get("_mgr", state.get("_data"))
    if not isinstance(manager, _Frame):
        raise PickleError("expected the columns of a DataFrame, found none; save it with pandas 1 or 2.")
    return manager


def _manager(call: Call, values: Values) -> _Frame:
    """Blocks and axes as arguments (pandas 1.3 and later) or in the state (before)."""
    if call.args:
        blocks, (names, _) = map(values.value, call.args[:2])
    else:
        newest = values.value(call.state[3])["0.14.1"]
        blocks, (names, _) = [(block["values"], block["mgr_locs"]) for block in newest["blocks"]], newest["axes"]
    if not isinstance(names, np.ndarray) or not all(isinstance(name, str) for name in names):
        raise PickleError("expected columns that have names, got something else.")
    frame = _Frame()
    for columns, places in blocks:
        if not isinstance(columns, np.ndarray) or columns.ndim != 2:
            raise PickleError("expected the columns of a DataFrame, got another number of axes.")
        frame.update(zip(names[places], columns, strict=True))
    return frame


def _block(call: Call, values: Values) -> tuple[Any, Any]:
    columns, places, *_ = map(values.value, call.args)
    return columns, places


def _slice(call: Call, values: Values) -> slice:
    if any(type(part) not in (int, type(None)) for part in call.args):
        raise PickleError("expected the places of columns by number.")
    return slice(*call.args)


def _index(call: Call, values: Values) -> Any:
    """An index as the array that it holds; None for the numbers of rows."""
    return values.known(call.args[1], ("data",)).get("data")


_INDICES = {
    "base": ("Index",),
    "range": ("RangeIndex",),
    "numeric": ("Int64Index", "UInt64Index", "Float64Index", "NumericIndex"),
}
_FRAMES: dict[Name, Any] = {
    Name("pandas.core.frame", "DataFrame"): _frame,
    Name("pandas.core.internals.managers", "BlockManager"): _manager,
    Name("pandas.core.internals", "BlockManager"): _manager,
    Name("pandas._libs.internals", "_unpickle_block"): _block,
    Name("pandas.core.internals.blocks", "new_block"): _block,
    Name("pandas.core.indexes.base", "_new_Index"): _index,
    Name("builtins", "slice"): _slice,
    **{Name(f"pandas.core.indexes.{module}", kind): None for module, kinds in _INDICES.items() for kind in kinds},
}


def read_frame(path: Path) -> dict[str, np.ndarray]:
    """The columns of a pickled pandas DataFrame, by name; PickleError where the file holds something else."""
    frame = read_pickle(path, _FRAMES)
    if not isinstance(frame, _Frame):
        raise PickleError(f"expected a pandas DataFrame, got {type(frame).__name__}.")
    return frame
