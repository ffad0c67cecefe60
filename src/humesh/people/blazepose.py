"""MediaPipe's landmark models (BlazePose, Bazarevsky et al. 2020; GHUM Holistic, Grishchenko et al. 2022)."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from jaxtyping import Float

from humesh.body.joints import MEDIAPIPE33
from humesh.people.masks import Mask
from humesh.people.odds import expit
from humesh.people.regions import Pose, Pyramid, Roi
from humesh.people.runtime import network

LANDMARK_PX = 256  # the side of what the networks take
LandmarkModel = Literal["heavy", "full"]

_KERNEL, _LEAST_HEAT = 9, 0.5  # of a heatmap: the window's side that refines a landmark, the least peak in it
_POINTS = 39  # 33 landmarks, two points of the next region, four more that nobody uses
_MIRROR = [*MEDIAPIPE33.mirror, 33, 34]


def refined(points: Float[np.ndarray, "K 2"], heatmaps: Float[np.ndarray, "h w K"]) -> Float[np.ndarray, "K 2"]:
    """Landmarks (0..1) moved to the mean of their heatmaps (logits) around them, where those have a peak there."""
    height, width, count = heatmaps.shape
    reach = _KERNEL // 2
    column, row = (points * [width, height]).astype(int).T
    steps = np.arange(-reach, reach + 1)
    rows, columns = row[:, None] + steps, column[:, None] + steps
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None]
    heat = expit(
        heatmaps[
            np.clip(rows, 0, height - 1)[:, :, None],
            np.clip(columns, 0, width - 1)[:, None],
            np.arange(count)[:, None, None],
        ].astype(np.float64)
    )
    heat = np.where(inside, heat, 0)
    total = np.maximum(heat.sum((1, 2)), 1e-12)
    mean = np.stack([(heat.sum(1) * columns).sum(1) / width, (heat.sum(2) * rows).sum(1) / height], 1) / total[:, None]
    here = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    sure = here & (heat.max((1, 2)) >= _LEAST_HEAT)
    return np.where(sure[:, None], mean, points)


def look(photo: Pyramid, roi: Roi, model: LandmarkModel = "heavy", mirrored: bool = False) -> Pose:
    """What a landmark model sees in a region, or in its mirror image (turned back)."""
    pixels = photo.cut(roi, LANDMARK_PX)
    pixels = np.ascontiguousarray(pixels[:, ::-1]) if mirrored else pixels
    outputs = ("points", "score", "heatmap", "world", "mask")
    flat, score, heat, deep, mask = network(f"pose_landmark_{model}")(pixels[None], *outputs)
    pose = pose_of(flat[0], float(score[0, 0]), heat[0], deep[0], roi, mirrored)
    inside = mask[0, :, ::-1, 0] > 0 if mirrored else mask[0, ..., 0] > 0  # logits
    return replace(pose, network=model, mask=Mask.of(inside, roi.photo_from_unit))


def pose_of(
    flat: Float[np.ndarray, "195"],
    score: float,
    heatmaps: Float[np.ndarray, "64 64 39"],
    deep: Float[np.ndarray, "117"],
    roi: Roi,
    mirrored: bool = False,
) -> Pose:
    """A landmark model's raw answer about a region as a pose; a point's confidence is visibility times presence."""
    rows = flat.astype(np.float64).reshape(_POINTS, 5)
    places = refined(rows[:, :2] / LANDMARK_PX, heatmaps)[:35]
    points = np.concatenate([places, np.prod(expit(rows[:35, 3:]), axis=1, keepdims=True)], axis=1)
    landmarks = deep.astype(np.float64).reshape(_POINTS, 3)[:33]
    if mirrored:
        points = (points * [-1, 1, 1] + [1, 0, 0])[_MIRROR]
        landmarks = (landmarks * [-1, 1, 1])[_MIRROR[:33]]
    points[:, :2] = roi.to_photo(points[:, :2])
    landmarks[:, :2] = landmarks[:, :2] @ roi.photo_from_unit[:, :2].T / roi.side
    return Pose(points[:33], landmarks, score, Roi.around(points[33, :2], points[34, :2]))
