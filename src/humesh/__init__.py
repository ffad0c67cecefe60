"""humesh turns photos and videos of people into posed body meshes.

The stub `__init__.pyi` says where each public name is defined; it is imported, and torch with it, on first use.
"""

from __future__ import annotations

import ast
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any


def _homes() -> dict[str, str]:
    """Public names and their modules, from the stub's imports."""
    stub = ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: node.module or "" for node in imports for alias in node.names}


_HOMES = _homes()
__all__ = sorted(_HOMES)


class _Package(ModuleType):
    """The package itself: `humesh.recover` is the function, also once its module of the same name is imported."""

    def __getattribute__(self, name: str) -> Any:
        homes = ModuleType.__getattribute__(self, "__dict__").get("_HOMES", {})
        if name in homes:
            return getattr(import_module(homes[name]), name)
        return ModuleType.__getattribute__(self, name)

    def __dir__(self) -> list[str]:
        return [*__all__, "__version__"]

    def __getattr__(self, name: str) -> Any:
        if name == "__version__":
            return import_module("humesh.scene.record").humesh_version()
        raise AttributeError(f"module 'humesh' has no attribute {name!r}")


sys.modules[__name__].__class__ = _Package
