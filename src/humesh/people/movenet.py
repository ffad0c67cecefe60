"""MoveNet, Google's pose networks of COCO's 17 points: MultiPose finds people, Thunder looks at one closely."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from humesh.body.joints import COCO17, MEDIAPIPE33
from humesh.people.regions import Pose, Pyramid, Roi
from humesh.people.runtime import network as loaded

_SIDE = 256  # px that both networks take
_HERE, _THERE = COCO17.map_to(MEDIAPIPE33)


def neighbour(name: str) -> str:
    """The one of COCO's points that one of MediaPipe's hangs on: itself, a wrist for a finger, an ankle for a heel."""
    if name in COCO17.names:
        return name
    side = name.split("_")[0]
    if name.startswith("mouth"):
        return "nose"
    return f"{side}_eye" if "eye" in name else f"{side}_ankle" if "heel" in name or "foot" in name else f"{side}_wrist"


_NEAREST = COCO17.indices(*map(neighbour, MEDIAPIPE33.names))


def find(photo: Pyramid, tile: Roi, width: int = _SIDE, height: int = _SIDE, least: float = 0.1) -> list[Pose]:
    """At most six people of a tile whom MultiPose scores at least so high, best first.

    `width`, `height`: px, multiples of 32, that the tile is cut to: smaller people are seen in more of them.
    """
    (answer,) = loaded("movenet_multipose")(photo.cut(tile, width, height)[None], "people")
    rows = sorted((row for row in answer[0].astype(np.float64) if row[55] >= least), key=lambda row: -row[55])
    shape = np.array([width, height]) / max(width, height)
    return [pose_of(_in_photo(row[:51].reshape(17, 3), tile, shape), float(row[55]), "multipose") for row in rows]


def look(photo: Pyramid, roi: Roi, mirrored: bool = False) -> Pose:
    """The body that Thunder sees in a region, or in its mirror image (turned back); scored by its points' mean."""
    pixels = photo.cut(roi, _SIDE)
    pixels = np.ascontiguousarray(pixels[:, ::-1]) if mirrored else pixels
    (answer,) = loaded("movenet_thunder")(pixels[None], "people")
    points = answer[0, 0].astype(np.float64)
    if mirrored:
        points = (points * [1, -1, 1] + [0, 1, 0])[list(COCO17.mirror)]
    points = _in_photo(points, roi, np.ones(2))
    return pose_of(points, float(points[:, 2].mean()), "thunder")


def pose_of(points: Float[np.ndarray, "17 3"], score: float, network: str) -> Pose:
    """COCO's points as a pose of MediaPipe's points: those that COCO lacks lie on a neighbour, with confidence 0."""
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
    return Pose(all33, None, score, Roi.around(hips, hips + radius * up), network)


def _in_photo(points: Float[np.ndarray, "17 3"], roi: Roi, shape: Float[np.ndarray, "2"]) -> Float[np.ndarray, "17 3"]:
    """The network's (y, x, confidence), shares of a crop, as (x, y, confidence) in photo pixels."""
    unit = (points[:, [1, 0]] - 0.5) * shape + 0.5  # of the square about a crop that is no square
    return np.concatenate([roi.to_photo(unit), points[:, 2:]], axis=1)
