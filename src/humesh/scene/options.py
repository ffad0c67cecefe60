"""How files for other programs are laid out: units, the floor, and everybody as long as the clip."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from operator import itemgetter

from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.errors import HumeshError

UNITS = {"m": 1.0, "cm": 100.0}
"""How many of them are a metre."""

_FORMATS = {
    "units": ("bvh", "obj", "ply"),
    "floor": ("glb", "bvh", "obj", "ply", "amass", "usd"),
    "pad": ("bvh", "amass"),
}  # that an option is for
_AT_ONCE = 64  # bodies posed together


class OptionsError(HumeshError, ValueError):
    """A choice that does not exist, or that changes none of the files."""


@dataclass(frozen=True)
class FileOptions:
    """The layout of BVH, OBJ, PLY, GLB, USD and AMASS files; records (JSON, NPZ) are in metres in the camera frame."""

    units: str = "m"
    """Of BVH, OBJ and PLY; GLB, USD and AMASS files are in metres by their definition."""
    floor: bool = False
    """The lowest point of a file's bodies, over all its frames, is at height 0; else the camera is at the origin."""
    pad: bool = False
    """BVH and AMASS files of a video hold the first and last pose, so that all are as long as the video."""

    def __post_init__(self) -> None:
        if self.units not in UNITS:
            raise OptionsError(f"units: expected {' or '.join(UNITS)}, got {self.units!r}.")

    def check(self, formats: Collection[str]) -> None:
        """Raises OptionsError for an option that is for none of the formats."""
        for name, usable in _FORMATS.items():
            if getattr(self, name) != getattr(PLAIN, name) and not set(usable) & set(formats):
                got = ", ".join(formats) or "none"
                raise OptionsError(f"{name}: expected one of the formats it is for, {', '.join(usable)}, got {got}.")

    @property
    def scale(self) -> float:
        """Units in a metre."""
        return UNITS[self.units]

    def lift(self, body: BodyModel, *poses: BodyPose) -> float:
        """How far up, in metres, bodies [F] of the camera frame are moved so that they stand on the floor."""
        if not self.floor:
            return 0.0
        lowest = [
            float(body(pose.map(itemgetter(slice(start, start + _AT_ONCE)))).vertices[..., 1].max())
            for pose in (pose.map(lambda tensor: tensor.detach().cpu()) for pose in poses)
            for start in range(0, len(pose.translation), _AT_ONCE)
        ]
        return max(lowest, default=0.0)  # y is down


PLAIN = FileOptions()
