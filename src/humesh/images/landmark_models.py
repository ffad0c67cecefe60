"""MediaPipe's two pose models, run quietly on regions of a photo: the detector and the landmark model."""

from __future__ import annotations

import importlib
import math
import os
import re
import sys
import tempfile
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from humesh.body.joints import MEDIAPIPE33

_DETECTOR_PX, _LANDMARK_PX = 224, 256  # the sides of what the two models take
_ROI_MARGIN = 1.25  # mediapipe/modules/pose_landmark/pose_detection_to_roi.pbtxt
_HEAVY = Path(__file__).parent / "assets/pose_landmark_heavy.tflite"
_FULL = "mediapipe/modules/pose_landmark/pose_landmark_full.tflite"
_FLAT = 4.0  # grey levels; a tile that varies less is sky, snow or wall
_MIRROR = [*MEDIAPIPE33.mirror, 33, 34]  # and the two points of the next region


@dataclass(frozen=True)
class Roi:
    """A square that a model looks at: centre and side in photo pixels, `angle` in radians (from x towards y)."""

    x: float
    y: float
    side: float
    angle: float = 0.0
    score: float = 0.5  # the detector's
    head: tuple[float, ...] = ()  # x0 y0 x1 y1 px, the detector's own box

    @classmethod
    def around(cls, centre: Float[np.ndarray, "2"], rim: Float[np.ndarray, "2"], **more: Any) -> Roi:
        """MediaPipe's square: about the circle around the hips through `rim`, a point above the head; it points up."""
        dx, dy = rim - centre
        side = max(2 * _ROI_MARGIN * math.hypot(dx, dy), 1.0)
        return cls(float(centre[0]), float(centre[1]), side, math.atan2(dx, -dy), **more)

    @classmethod
    def about(cls, box: Float[np.ndarray, "4"], times: float) -> Roi:
        """The upright square about a box (x0 y0 x1 y1 px): so many times its longer side, 1 px at least."""
        x, y = ((box[:2] + box[2:]) / 2).tolist()
        return cls(x, y, max(times * float(np.max(box[2:] - box[:2])), 1.0))

    @property
    def photo_from_unit(self) -> Float[np.ndarray, "2 3"]:
        """Takes the unit square (0..1, y down) of the crop to photo pixels."""
        cos, sin = self.side * math.cos(self.angle), self.side * math.sin(self.angle)
        return np.array([[cos, -sin, self.x - (cos - sin) / 2], [sin, cos, self.y - (sin + cos) / 2]])

    def to_photo(self, points: Float[np.ndarray, "K 2"]) -> Float[np.ndarray, "K 2"]:
        """Points of the unit square in photo pixels."""
        matrix = self.photo_from_unit
        return points @ matrix[:, :2].T + matrix[:, 2]

    def is_near(self, other: Roi, within: float = 1.0) -> bool:
        """Whether the landmark model would see the same in both; `within`: so many times that far apart."""
        apart = math.hypot(self.x - other.x, self.y - other.y) / other.side
        turned = abs(math.remainder(self.angle - other.angle, 2 * math.pi))
        return apart < 0.06 * within and abs(math.log(self.side / other.side)) < 0.12 * within and turned < 0.2 * within


@dataclass(frozen=True)
class Pose:
    """What the landmark model sees in one region of interest."""

    points: Float[np.ndarray, "33 3"]  # x, y px in the photo; visibility times presence
    landmarks3d: Float[np.ndarray, "33 3"] | None  # metres, camera axes, from the hips; None: not told
    score: float  # the model's own, 0..1; of a settled pose the rating of the whole find
    next_roi: Roi  # where the model would look next

    @property
    def size(self) -> float:
        """Diameter in px of the circle that holds the body when it stands straight."""
        return self.next_roi.side / _ROI_MARGIN


class Pyramid:
    """A photo and its halvings, to cut small crops from large photos quickly and without aliasing."""

    def __init__(self, pixels: UInt8[np.ndarray, "H W 3"]) -> None:
        self.height, self.width = pixels.shape[:2]
        self.levels = [Image.fromarray(np.ascontiguousarray(pixels))]
        while min(self.levels[-1].size) >= 2 * _DETECTOR_PX:
            self.levels.append(self.levels[-1].reduce(2))

    def cut(self, roi: Roi, size: int) -> UInt8[np.ndarray, "S S 3"]:
        """The region as size x size pixels, black outside the photo."""
        level = min(max(math.floor(math.log2(roi.side / size) + 0.3), 0), len(self.levels) - 1)
        image = self.levels[level]
        zoom = np.array([[image.width / self.width], [image.height / self.height]])
        affine = (roi.photo_from_unit * zoom / [[size, size, 1]]).ravel()
        return np.asarray(image.transform((size, size), Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR))


LandmarkModel = Literal["heavy", "full"]


def best_landmark_model() -> LandmarkModel:
    """ "heavy" where this installation has it (`hatch_build.py` puts it into the wheel), else "full", MediaPipe's own.

    The heavy one errs a quarter less in the photo and sees a quarter more of the people that objects and others hide,
    at three times the cost (`docs/results.md`).
    """
    return "heavy" if _HEAVY.is_file() else "full"


class PoseModels:
    """MediaPipe's pose detector and a landmark model of its family (CPU), `copies` of each for threads.

    They are loaded once in a process and lent to whoever asks for as many copies.
    """

    def __init__(self, copies: int, landmarks: LandmarkModel) -> None:
        if landmarks == "heavy" and not _HEAVY.is_file():
            raise FileNotFoundError(
                f"{_HEAVY}: expected MediaPipe's heavy landmark model, which building humesh fetches from the npm "
                "registry; install humesh again with a connection to it, or take the full model."
            )
        with _quiet():
            _mediapipe()
            self._detectors = _graphs(_DETECTOR_GRAPH, copies, _DETECTOR_PX)
            self._quick = _graphs(_LANDMARK_GRAPH.replace("MODEL", _FULL), copies, _LANDMARK_PX)
            slow = _HEAVY.as_posix() if landmarks == "heavy" else _FULL  # one copy of many threads is no faster
            self._landmarkers = _graphs(_LANDMARK_GRAPH.replace("MODEL", slow), copies, _LANDMARK_PX)

    def detect(self, photo: Pyramid, tile: Roi) -> list[Roi]:
        """Where in a tile the landmark model should look for people."""
        pixels = photo.cut(tile, _DETECTOR_PX)
        if np.std(pixels[::4, ::4].mean(-1)) < _FLAT:
            return []
        return [_roi_of(tile, detection) for detection in self._detectors.process(pixels).detections or []]

    def look(self, photo: Pyramid, roi: Roi, mirrored: bool = False, quick: bool = False) -> Pose:
        """What the landmark model sees in a region, or in its mirror image (told for the region itself).

        `quick`: the full model looks also where the heavy one could.
        """
        pixels = photo.cut(roi, _LANDMARK_PX)
        models = self._quick if quick else self._landmarkers
        seen = models.process(np.ascontiguousarray(pixels[:, ::-1]) if mirrored else pixels)
        flat = np.array([(p.x, p.y, p.visibility * p.presence) for p in seen.points.landmark[:35]])
        deep = np.array([(p.x, p.y, p.z) for p in seen.world.landmark[:33]])
        if mirrored:
            flat, deep = (flat * [-1, 1, 1] + [1, 0, 0])[_MIRROR], (deep * [-1, 1, 1])[_MIRROR[:33]]
        flat[:, :2] = roi.to_photo(flat[:, :2])
        deep[:, :2] = deep[:, :2] @ roi.photo_from_unit[:, :2].T / roi.side
        return Pose(flat[:33], deep, float(seen.score), Roi.around(flat[33, :2], flat[34, :2], score=roi.score))


def _roi_of(tile: Roi, detection: Any) -> Roi:
    box = detection.location_data.relative_bounding_box
    corners = tile.to_photo(np.array([[box.xmin, box.ymin], [box.xmin + box.width, box.ymin + box.height]]))
    points = tile.to_photo(np.array([(p.x, p.y) for p in detection.location_data.relative_keypoints]))
    return Roi.around(points[0], points[1], score=float(detection.score[0]), head=tuple(corners.ravel().tolist()))


class _Graphs:
    """A few copies of one MediaPipe graph, each lent to one thread at a time."""

    def __init__(self, config: str, copies: int, side: int) -> None:
        self._free: SimpleQueue[Any] = SimpleQueue()
        solution = _mediapipe()
        for graph in [solution(graph_config=config) for _ in range(copies)]:
            graph.process(np.zeros((side, side, 3), np.uint8))  # the first run loads the model and is noisy
            self._free.put(graph)

    def process(self, pixels: UInt8[np.ndarray, "S S 3"]) -> Any:
        graph = self._free.get()
        try:
            return graph.process(pixels)
        finally:
            self._free.put(graph)


_graphs = cache(_Graphs)


class _Later(types.ModuleType):
    """Stands in for a module while MediaPipe is imported; used later it is the real one."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or sys.modules.get(self.__name__) is self:
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name)


def _mediapipe() -> Callable[..., Any]:
    """MediaPipe's SolutionBase, imported without what only its drawing helpers need (cv2 wants libGL; 0.3 s)."""
    os.environ.setdefault("GLOG_minloglevel", "2")
    absent = [name for name in ("cv2", "matplotlib", "matplotlib.pyplot") if name not in sys.modules]
    sys.modules.update({name: _Later(name) for name in absent})
    try:
        from mediapipe.python.solution_base import SolutionBase
    except ImportError as error:
        raise ImportError(
            f"finding people needs MediaPipe, which cannot be imported ({error}): with Python 3.12 or older and "
            'numpy below 2, pip install "mediapipe==0.10.21"; or give the people\'s boxes with --detections.'
        ) from error
    finally:
        for name in absent:
            sys.modules.pop(name, None)
    return SolutionBase


_NOISE = re.compile(rb"^([WI]\d{4} .*|INFO: Created TensorFlow.*|WARNING: All log messages before absl.*)\n?$")


@contextmanager
def _quiet() -> Iterator[None]:
    """Holds back what C++ writes to stderr (it knows no log level there) and passes on all but the known chatter."""
    try:
        stderr = os.dup(2)
    except OSError:  # no stderr at all
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            held.seek(0)
            for line in held:
                if not _NOISE.match(line):
                    os.write(2, line)


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
    reverse_output_order: true sigmoid_score: true score_clipping_thresh: 100 min_score_thresh: 0.3 } } }
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
    model_path: "MODEL" } } }
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
