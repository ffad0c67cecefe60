"""humesh turns photos and videos of people into posed body meshes."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from humesh.body.model import BodyModel
    from humesh.body.pose import Bodies, BodyPose
    from humesh.errors import HumeshError
    from humesh.geometry.camera import Camera
    from humesh.media.photo import Photo
    from humesh.people.person import Person
    from humesh.recover import Recoverer, recover
    from humesh.recover_video import recover_video
    from humesh.scene.export import save
    from humesh.scene.export_video import save_video
    from humesh.scene.result import Motion, Result, VideoResult

_HOMES = {
    "Bodies": "body.pose",
    "BodyModel": "body.model",
    "BodyPose": "body.pose",
    "Camera": "geometry.camera",
    "HumeshError": "errors",
    "Person": "people.person",
    "Motion": "scene.result",
    "Photo": "media.photo",
    "Recoverer": "recover",
    "Result": "scene.result",
    "VideoResult": "scene.result",
    "recover": "recover",
    "recover_video": "recover_video",
    "save": "scene.export",
    "save_video": "scene.export_video",
}
"""Where each public name is at home; it is imported, and torch with it, when it is first used."""

__all__ = [
    "Bodies",
    "BodyModel",
    "BodyPose",
    "Camera",
    "HumeshError",
    "Motion",
    "Person",
    "Photo",
    "Recoverer",
    "Result",
    "VideoResult",
    "recover",
    "recover_video",
    "save",
    "save_video",
]


class _Package(ModuleType):
    """The package itself: `humesh.recover` is the function, also once its module of the same name is imported."""

    def __getattribute__(self, name: str) -> Any:
        homes = ModuleType.__getattribute__(self, "__dict__").get("_HOMES", {})
        if name in homes:
            return getattr(import_module(f"humesh.{homes[name]}"), name)
        return ModuleType.__getattribute__(self, name)

    def __getattr__(self, name: str) -> Any:
        if name == "__version__":
            return import_module("humesh.scene.record").humesh_version()
        raise AttributeError(f"module 'humesh' has no attribute {name!r}")


sys.modules[__name__].__class__ = _Package
