"""Rotations, cameras, boxes and alignment: pure functions of tensors with any leading dimensions."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

_COMPILER = "torch._dynamo"


class _Later(types.ModuleType):
    """Stands in for torch's compiler while roma is imported, which wants one function of it for compiled code only."""

    @staticmethod
    def disable(function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, to be run uncompiled: told to the real compiler once it is called."""

        def uncompiled(*given: Any) -> Any:
            import torch._dynamo

            return torch._dynamo.disable(function)(*given)

        return uncompiled


def _import_roma() -> None:
    """Imports roma (1.7 and later) without torch's compiler: 1.6 s and 0.15 GB that nobody here needs."""
    if _COMPILER in sys.modules or "roma" in sys.modules:
        return
    import torch  # noqa: F401  before the stand-in, as it may look for its own parts

    sys.modules[_COMPILER] = _Later(_COMPILER)
    try:
        import roma  # noqa: F401
    finally:
        del sys.modules[_COMPILER]


_import_roma()
