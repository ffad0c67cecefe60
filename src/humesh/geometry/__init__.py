"""Rotations, cameras, boxes and alignment: pure functions of tensors with any leading dimensions."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import torch

# roma 1.7 and later load torch's compiler, a second and 150 MB, for one function that only compiled code needs.
if "roma" not in sys.modules and "_dynamo" not in vars(torch):
    torch._dynamo = SimpleNamespace(disable=lambda function: function)  # type: ignore[assignment]
    try:
        import roma  # noqa: F401
    finally:
        del torch._dynamo
