"""Find the people of a photo: a tiled MediaPipe finder (default) and rtmlib's stronger detector (optional extra)."""

from __future__ import annotations

import logging
import math
import os
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from humesh.body.joints import LIMBS12, MEDIAPIPE33
from humesh.images.photo import Person, Photo

DETECTOR_SIDE = 224  # px, the input of pose_detection.tflite
LANDMARK_SIDE = 256  # px, the input of pose_landmark_full.tflite
ROI_MARGIN = 1.25  # mediapipe/modules/pose_landmark/pose_detection_to_roi.pbtxt

_LIMBS = MEDIAPIPE33.indices(*LIMBS12.names)
_MIRROR = np.array(MEDIAPIPE33.mirror)


@dataclass(frozen=True)
class Roi:
    """The square that the landmark model looks at: centre and side in photo pixels, `angle` radians (y down)."""

    x: float
    y: float
    side: float
    angle: float = 0.0
    score: float = 1.0
    head: tuple[float, float, float, float] | None = None  # x0 y0 x1 y1 px, the detector's own box

    @property
    def photo_from_unit(self) -> Float[np.ndarray, "2 3"]:
        """Takes the unit square (0..1, y down) of the crop to photo pixels."""
        cos, sin = self.side * math.cos(self.angle), self.side * math.sin(self.angle)
        return np.array([[cos, -sin, self.x - (cos - sin) / 2], [sin, cos, self.y - (sin + cos) / 2]])

    def to_photo(self, points: Float[np.ndarray, "K 2"]) -> Float[np.ndarray, "K 2"]:
        """Points of the unit square (0..1) in photo pixels."""
        matrix = self.photo_from_unit
        return points @ matrix[:, :2].T + matrix[:, 2]


def roi_from_points(centre: Float[np.ndarray, "2"], rim: Float[np.ndarray, "2"], **more: Any) -> Roi:
    """MediaPipe's region of interest: a circle around the hips through `rim` (above the head), made a turned square."""
    dx, dy = rim - centre
    side = 2 * ROI_MARGIN * math.hypot(dx, dy)
    return Roi(float(centre[0]), float(centre[1]), side, math.pi / 2 - math.atan2(-dy, dx), **more)


def tile_squares(width: int, height: int, smallest: float, budget: int) -> Float[np.ndarray, "T 3"]:
    """Overlapping squares (x0, y0, side px) at every scale: the whole photo, then ever smaller tiles within a budget."""
    longest = max(width, height)
    squares = [((width - longest) / 2, (height - longest) / 2, float(longest))]
    side = longest / 1.6
    while side >= smallest:
        xs, ys = _starts(width, side), _starts(height, side)
        if len(squares) + len(xs) * len(ys) > budget:
            break
        squares += [(x, y, side) for y in ys for x in xs]
        side /= 1.6
    return np.array(squares)


def _starts(length: int, side: float, overlap: float = 0.33) -> list[float]:
    """Where tiles of one axis begin so that neighbours overlap by at least `overlap` of a side."""
    if length <= side:
        return [(length - side) / 2]
    count = 1 + math.ceil((length - side) / (side * (1 - overlap)) - 1e-9)
    return list(np.linspace(0, length - side, count))


class _Pyramid:
    """A photo and its halvings, to cut small crops from large photos quickly and without aliasing."""

    def __init__(self, pixels: UInt8[np.ndarray, "H W 3"]) -> None:
        self.levels = [Image.fromarray(np.ascontiguousarray(pixels))]
        self.height, self.width = pixels.shape[:2]
        while min(self.levels[-1].size) >= 2 * DETECTOR_SIDE:
            self.levels.append(self.levels[-1].reduce(2))

    def cut(self, roi: Roi, size: int) -> UInt8[np.ndarray, "S S 3"]:
        level = min(max(int(math.floor(math.log2(max(roi.side / size, 1e-6)) + 0.3)), 0), len(self.levels) - 1)
        image = self.levels[level]
        scale_x, scale_y = image.width / self.width, image.height / self.height
        matrix = roi.photo_from_unit * np.array([[1 / size, 1 / size, 1.0]]) * np.array([[scale_x], [scale_y]])
        return np.asarray(image.transform((size, size), Image.Transform.AFFINE, matrix.ravel(), Image.Resampling.BILINEAR))


@dataclass(frozen=True)
class _Pose:
    """What the landmark model says about one region of interest; points in photo pixels, landmarks in metres."""

    points: Float[np.ndarray, "33 3"]
    landmarks3d: Float[np.ndarray, "33 3"]
    score: float
    roi: Roi
    next_roi: Roi


class MediaPipePeople:
    """Finds people with MediaPipe's detector on tiles of many scales and its landmark model; CPU, models in the wheel.

    `min_score`: landmark model's pose score below which nobody is there. `min_detection`: the detector's score that
    makes a candidate. `smallest_tile`: side in px of the smallest tile. `tiles`: at most this many tiles.
    `people`: at most this many people. `workers`: threads. Calls from several threads are served one crop at a time.
    """

    def __init__(
        self,
        *,
        min_score: float = 0.5,
        min_detection: float = 0.4,
        smallest_tile: float = 112,
        tiles: int = 60,
        people: int = 100,
        workers: int | None = None,
    ) -> None:
        self.min_score, self.min_detection, self.smallest_tile = min_score, min_detection, smallest_tile
        self.tiles, self.people = tiles, people
        workers = workers or min(4, os.cpu_count() or 1)
        solution = _mediapipe()
        self._detectors = _Graphs(lambda: solution(graph_config=_DETECTOR_GRAPH % min_detection), workers)
        self._landmarkers = _Graphs(lambda: solution(graph_config=_LANDMARK_GRAPH), workers)
        self._pool = ThreadPoolExecutor(workers)

    def close(self) -> None:
        """Frees the threads and graphs."""
        self._pool.shutdown()
        self._detectors.close()
        self._landmarkers.close()

    def __enter__(self) -> MediaPipePeople:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __call__(self, photo: Photo) -> list[Person]:
        """The people of a photo, best score first."""
        height, width = photo.pixels.shape[:2]
        if min(height, width) < 16:
            return []
        pyramid = _Pyramid(photo.pixels)
        rois = self._candidates(pyramid, tile_squares(width, height, self.smallest_tile, self.tiles))
        poses = self._poses(pyramid, rois)
        poses = [pose for pose in poses if pose.score >= self.min_score / 2]
        poses = distinct(self._poses(pyramid, [pose.next_roi for pose in poses]))
        poses = [pose for pose in poses if pose.score >= self.min_score]
        return [_person(pose, width, height) for pose in poses[: self.people]]

    def landmarks(self, photo: Photo, boxes: Float[np.ndarray, "N 4"]) -> list[Person]:
        """One person per given box (x0 y0 x1 y1 px), same order; confidences are 0 where the model sees nobody."""
        pyramid = _Pyramid(photo.pixels)
        people = []
        for box in np.asarray(boxes, dtype=np.float64).reshape(-1, 4):
            centre, side = (box[:2] + box[2:]) / 2, float(np.max(box[2:] - box[:2]))
            rois = [Roi(*centre, side * ROI_MARGIN)]
            rois += self._candidates(pyramid, np.array([[*(centre - 0.6 * side), 1.2 * side]]))
            poses = self._poses(pyramid, rois)
            poses += self._poses(pyramid, [pose.next_roi for pose in poses])
            best = max(poses, key=lambda pose: pose.score * _fit(pose, box))
            person = _person(best, pyramid.width, pyramid.height)
            if best.score < self.min_score:
                person.keypoints[:, 2] = 0
            people.append(replace(person, box=box))
        return people

    def _candidates(self, pyramid: _Pyramid, squares: Float[np.ndarray, "T 3"]) -> list[Roi]:
        def detect(square: Float[np.ndarray, "3"]) -> list[Roi]:
            tile = Roi(square[0] + square[2] / 2, square[1] + square[2] / 2, square[2])
            with self._detectors.one() as graph:
                found = graph.process(pyramid.cut(tile, DETECTOR_SIDE)).detections or []
            return [_candidate(tile, detection) for detection in found]

        rois = [roi for found in self._pool.map(detect, squares) for roi in found]
        rois.sort(key=lambda roi: -roi.score)
        kept: list[Roi] = []
        for roi in rois:
            if all(_overlap(roi.head, other.head) < 0.4 for other in kept):
                kept.append(roi)
        return kept

    def _poses(self, pyramid: _Pyramid, rois: Sequence[Roi]) -> list[_Pose]:
        def look(roi: Roi) -> _Pose:
            with self._landmarkers.one() as graph:
                seen = graph.process(pyramid.cut(roi, LANDMARK_SIDE))
            raw = np.array([(p.x, p.y, p.visibility, p.presence) for p in seen.points.landmark])
            world = np.array([(p.x, p.y, p.z) for p in seen.world.landmark[:33]])
            cos, sin = math.cos(roi.angle), math.sin(roi.angle)
            world = world @ np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]).T
            xy = roi.to_photo(raw[:, :2])
            points = np.concatenate([xy[:33], (raw[:33, 2] * raw[:33, 3])[:, None]], axis=1)
            following = roi_from_points(xy[33], xy[34], score=roi.score)
            return _Pose(points, world, float(seen.score), roi, following)

        return list(self._pool.map(look, rois))


def distinct(poses: Sequence[_Pose], same: float = 0.5) -> list[_Pose]:
    """Best score first, without those whose keypoints are nearly those of a better one."""
    kept: list[_Pose] = []
    for pose in sorted(poses, key=lambda pose: -pose.score):
        if all(similarity(pose, other) < same for other in kept):
            kept.append(pose)
    return kept


def similarity(one: _Pose, other: _Pose) -> float:
    """How much two poses are the same body, 0..1: COCO's OKS with 0.1 of the body as every joint's sigma."""
    scale = 0.1 * min(one.roi.side, other.roi.side) / ROI_MARGIN
    squared = np.sum((one.points[_LIMBS, :2] - other.points[_LIMBS, :2]) ** 2, axis=1)
    weight = np.maximum(one.points[_LIMBS, 2], other.points[_LIMBS, 2]) + 1e-6
    return float(np.sum(weight * np.exp(-squared / (2 * scale**2))) / np.sum(weight))


def box_around(points: Float[np.ndarray, "33 3"], width: int, height: int) -> Float[np.ndarray, "4"]:
    """The box (x0 y0 x1 y1 px, inside the photo) of a body by its trusted keypoints, with room for skull and soles."""
    trusted = points[points[:, 2] > 0.3, :2]
    if len(trusted) < 4:
        trusted = points[:, :2]
    low, high = trusted.min(0), trusted.max(0)
    room = 0.08 * float(np.max(high - low))
    limits = np.array([width, height, width, height], dtype=np.float64)
    return np.clip(np.concatenate([low - room, high + room]), 0, limits)


def _person(pose: _Pose, width: int, height: int) -> Person:
    points = pose.points.copy()
    outside = (points[:, 0] < 0) | (points[:, 1] < 0) | (points[:, 0] > width) | (points[:, 1] > height)
    points[outside, 2] = 0
    return Person(box_around(points, width, height), pose.score, points, MEDIAPIPE33, pose.landmarks3d)


def _candidate(tile: Roi, detection: Any) -> Roi:
    box = detection.location_data.relative_bounding_box
    corners = np.array([[box.xmin, box.ymin], [box.xmin + box.width, box.ymin + box.height]])
    points = np.array([(p.x, p.y) for p in detection.location_data.relative_keypoints])
    centre, rim = tile.to_photo(points[:2])
    head = tuple(tile.to_photo(corners).ravel().tolist())
    return roi_from_points(centre, rim, score=detection.score[0], head=head)


def _overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two boxes."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    if wide <= 0 or high <= 0:
        return 0.0
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (one, other)]
    return wide * high / (sum(areas) - wide * high)


def _fit(pose: _Pose, box: Float[np.ndarray, "4"]) -> float:
    """How well a pose fills a box, 0..1: intersection over union of the box and the keypoints' own."""
    return 0.05 + _overlap(box_around(pose.points, 10**6, 10**6), box)


class _Graphs:
    """A few copies of one MediaPipe graph, each lent to one thread at a time."""

    def __init__(self, make: Callable[[], Any], count: int) -> None:
        self._all = [make() for _ in range(count)]
        self._free: SimpleQueue[Any] = SimpleQueue()
        for graph in self._all:
            self._free.put(graph)

    @contextmanager
    def one(self) -> Iterator[Any]:
        graph = self._free.get()
        try:
            yield graph
        finally:
            self._free.put(graph)

    def close(self) -> None:
        for graph in self._all:
            graph.close()


@contextmanager
def _stubbed(*names: str) -> Iterator[None]:
    """Empty stand-ins for modules that MediaPipe imports for its drawing helpers only (cv2 needs libGL, say)."""
    absent = [name for name in names if name not in sys.modules]
    for name in absent:
        sys.modules[name] = types.ModuleType(name)
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


def _mediapipe() -> Callable[..., Any]:
    """MediaPipe's SolutionBase class, imported quietly and without its drawing dependencies."""
    os.environ.setdefault("GLOG_minloglevel", "2")
    with _stubbed("cv2", "matplotlib", "matplotlib.pyplot"):
        from mediapipe.python.solution_base import SolutionBase
    return SolutionBase


_DETECTOR_GRAPH = """
input_stream: "image"
output_stream: "detections"
node { calculator: "ImageToTensorCalculator" input_stream: "IMAGE:image" output_stream: "TENSORS:in" options {
  [mediapipe.ImageToTensorCalculatorOptions.ext] { output_tensor_width: 224 output_tensor_height: 224
    keep_aspect_ratio: true output_tensor_float_range { min: -1 max: 1 } border_mode: BORDER_ZERO } } }
node { calculator: "SsdAnchorsCalculator" output_side_packet: "anchors" options {
  [mediapipe.SsdAnchorsCalculatorOptions.ext] { input_size_width: 224 input_size_height: 224 min_scale: 0.1484375
    max_scale: 0.75 anchor_offset_x: 0.5 anchor_offset_y: 0.5 num_layers: 5 strides: 8 strides: 16 strides: 32
    strides: 32 strides: 32 aspect_ratios: 1 fixed_anchor_size: true } } }
node { calculator: "InferenceCalculatorCpu" input_stream: "TENSORS:in" output_stream: "TENSORS:out" options {
  [mediapipe.InferenceCalculatorOptions.ext] { delegate { xnnpack { num_threads: 1 } }
    model_path: "mediapipe/modules/pose_detection/pose_detection.tflite" } } }
node { calculator: "TensorsToDetectionsCalculator" input_stream: "TENSORS:out" output_stream: "DETECTIONS:raw"
  input_side_packet: "ANCHORS:anchors" options { [mediapipe.TensorsToDetectionsCalculatorOptions.ext] {
    num_classes: 1 num_boxes: 2254 num_coords: 12 keypoint_coord_offset: 4 num_keypoints: 4
    num_values_per_keypoint: 2 box_coord_offset: 0 x_scale: 224 y_scale: 224 w_scale: 224 h_scale: 224
    reverse_output_order: true sigmoid_score: true score_clipping_thresh: 100 min_score_thresh: %f } } }
node { calculator: "NonMaxSuppressionCalculator" input_stream: "raw" output_stream: "detections" options {
  [mediapipe.NonMaxSuppressionCalculatorOptions.ext] { min_suppression_threshold: 0.3
    overlap_type: INTERSECTION_OVER_UNION algorithm: WEIGHTED } } }
"""
"""MediaPipe's PoseDetectionCpu with its score threshold left open."""

_LANDMARK_GRAPH = """
input_stream: "image"
output_stream: "score"
output_stream: "points"
output_stream: "world"
node { calculator: "ImageToTensorCalculator" input_stream: "IMAGE:image" output_stream: "TENSORS:in" options {
  [mediapipe.ImageToTensorCalculatorOptions.ext] { output_tensor_width: 256 output_tensor_height: 256
    keep_aspect_ratio: true output_tensor_float_range { min: 0 max: 1 } } } }
node { calculator: "InferenceCalculatorCpu" input_stream: "TENSORS:in" output_stream: "TENSORS:out" options {
  [mediapipe.InferenceCalculatorOptions.ext] { delegate { xnnpack { num_threads: 1 } }
    model_path: "mediapipe/modules/pose_landmark/pose_landmark_full.tflite" } } }
node { calculator: "SplitTensorVectorCalculator" input_stream: "out" output_stream: "landmark_tensor"
  output_stream: "score_tensor" output_stream: "heatmap_tensor" output_stream: "world_tensor" options {
  [mediapipe.SplitVectorCalculatorOptions.ext] { ranges { begin: 0 end: 1 } ranges { begin: 1 end: 2 }
    ranges { begin: 3 end: 4 } ranges { begin: 4 end: 5 } } } }
node { calculator: "TensorsToFloatsCalculator" input_stream: "TENSORS:score_tensor" output_stream: "FLOAT:score" }
node { calculator: "TensorsToLandmarksCalculator" input_stream: "TENSORS:landmark_tensor"
  output_stream: "NORM_LANDMARKS:coarse" options { [mediapipe.TensorsToLandmarksCalculatorOptions.ext] {
    num_landmarks: 39 input_image_width: 256 input_image_height: 256
    visibility_activation: SIGMOID presence_activation: SIGMOID } } }
node { calculator: "RefineLandmarksFromHeatmapCalculator" input_stream: "NORM_LANDMARKS:coarse"
  input_stream: "TENSORS:heatmap_tensor" output_stream: "NORM_LANDMARKS:points" }
node { calculator: "TensorsToLandmarksCalculator" input_stream: "TENSORS:world_tensor"
  output_stream: "LANDMARKS:world" options { [mediapipe.TensorsToLandmarksCalculatorOptions.ext] {
    num_landmarks: 39 } } }
"""
"""MediaPipe's PoseLandmarkByRoiCpu on a finished 256 px crop: no gate on the score, all 39 points."""
