"""Values from files against the types that the fields of a dataclass have."""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

_LARGEST = 8192
"""No width, depth or crop of a network is larger."""


def from_values(kind: Any, values: Mapping[str, Any]) -> Any:
    """The dataclass with these fields, lists made tuples where it has such.

    ValueError for names that it has not, values of other types, numbers that are not finite, and integers that are
    negative or above 8192.
    """
    hints = get_type_hints(kind)
    strange = sorted(set(values) - hints.keys())
    if strange:
        raise ValueError(f"unknown settings {', '.join(strange)}; it has {', '.join(sorted(hints))}")
    needed = {one.name for one in fields(kind) if one.default is MISSING and one.default_factory is MISSING}
    if missing := sorted(needed - set(values)):
        raise ValueError(f"no {', '.join(missing)}")
    return kind(**{name: _typed(hints[name], value, name) for name, value in values.items()})


def _typed(kind: Any, value: Any, name: str) -> Any:
    inner, whole = get_args(kind), get_origin(kind) or kind
    if whole is Literal:
        fits = type(value) is str and value in inner
    elif whole in (Union, types.UnionType):
        (one,) = (option for option in inner if option is not type(None))
        return None if value is None else _typed(one, value, name)
    elif whole is tuple:
        if type(value) not in (list, tuple) or (inner[-1] is not Ellipsis and len(value) != len(inner)):
            raise ValueError(_sentence(name, kind, value))
        return tuple(_typed(inner[0], part, name) for part in value)
    elif whole in (list, dict):
        fits = type(value) is whole and all(type(part) in (str, inner[-1]) or inner[-1] is Any for part in value)
        fits = fits and (whole is list or inner[-1] is Any or all(type(part) is inner[-1] for part in value.values()))
    elif whole is float:
        fits = type(value) in (int, float) and math.isfinite(value)
    elif whole is int:
        fits = type(value) is int and 0 <= value <= _LARGEST
    else:
        fits = type(value) is whole
    if not fits:
        raise ValueError(_sentence(name, kind, value))
    return value


def _sentence(name: str, kind: Any, value: Any) -> str:
    plain = isinstance(kind, type) or get_origin(kind) in (dict, list)
    named = kind.__name__ if plain else str(kind).removeprefix("typing.")
    wanted = f"a whole number from 0 to {_LARGEST}" if kind is int else named
    got = repr(value)
    return f"expected {name} to be {wanted}, got {got if len(got) < 80 else got[:80] + ' ...'}"
