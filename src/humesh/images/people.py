"""Find the people of a photo: MediaPipe on tiles of every scale (the default), or rtmlib's models (optional extra)."""

from __future__ import annotations

import importlib
import math
import os
import re
import sys
import tempfile
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

from humesh.body.joints import COCO17, LIMBS12, MEDIAPIPE33, JointSet
from humesh.images.given import complete
from humesh.images.photo import Person, Photo

_DETECTOR_SIDE, _LANDMARK_SIDE = 224, 256  # px, what the two models take
_ROI_MARGIN = 1.25  # mediapipe/modules/pose_landmark/pose_detection_to_roi.pbtxt
_SMALLEST_PHOTO, _SMALLEST_TILE = 24, 48  # px; the detector sees nobody in less
_SAME_HEAD = 0.5  # intersection over union of two detections of one head
_FLAT = 4.0  # grey levels; a tile that varies less is sky, snow or wall
_LIMBS = MEDIAPIPE33.indices(*LIMBS12.names)
_MIRROR = [*MEDIAPIPE33.mirror, 33, 34]  # and the two points of the next region of interest


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

    @property
    def photo_from_unit(self) -> Float[np.ndarray, "2 3"]:
        """Takes the unit square (0..1, y down) of the crop to photo pixels."""
        cos, sin = self.side * math.cos(self.angle), self.side * math.sin(self.angle)
        return np.array([[cos, -sin, self.x - (cos - sin) / 2], [sin, cos, self.y - (sin + cos) / 2]])

    def to_photo(self, points: Float[np.ndarray, "K 2"]) -> Float[np.ndarray, "K 2"]:
        """Points of the unit square in photo pixels."""
        matrix = self.photo_from_unit
        return points @ matrix[:, :2].T + matrix[:, 2]

    def is_near(self, other: Roi) -> bool:
        """Whether the landmark model would see the same in both."""
        apart = math.hypot(self.x - other.x, self.y - other.y) / other.side
        turned = abs(math.remainder(self.angle - other.angle, 2 * math.pi))
        return apart < 0.06 and abs(math.log(self.side / other.side)) < 0.12 and turned < 0.2


@dataclass(frozen=True)
class Pose:
    """What the landmark model sees in one region of interest."""

    points: Float[np.ndarray, "33 3"]  # x, y px in the photo; visibility times presence
    landmarks3d: Float[np.ndarray, "33 3"]  # metres, camera axes, from the hips
    score: float  # the model's own, 0..1; of a settled pose the rating of the whole find
    next_roi: Roi  # where the model would look next

    @property
    def size(self) -> float:
        """Diameter in px of the circle that holds the body when it stands straight."""
        return self.next_roi.side / _ROI_MARGIN


def tile_batches(width: int, height: int, always: int, crowd: int) -> list[Float[np.ndarray, "T 3"]]:
    """Overlapping squares (x0, y0, side px) that cover the photo at each of many scales, 1.5 apart.

    The first batch is the whole photo and all scales that fit into `always` tiles, then one batch for each finer scale
    while all of these together have at most `crowd` tiles.
    """
    batches, side, count = (
        [
            np.array(
                [((width - max(width, height)) / 2, (height - max(width, height)) / 2, max(width, height))], dtype=float
            )
        ],
        max(width, height) / 1.5,
        1,
    )
    while side >= _SMALLEST_TILE:
        level = np.array([(x, y, side) for y in _starts(height, side) for x in _starts(width, side)])
        count += len(level)
        if count > always + crowd:
            break
        if count <= always:
            batches[0] = np.concatenate([batches[0], level])
        else:
            batches.append(level)
        side /= 1.5
    return batches


def _starts(length: int, side: float, overlap: float = 0.25) -> list[float]:
    """Where the tiles of one axis begin so that neighbours overlap by at least `overlap` of a side."""
    if length <= side:
        return [(length - side) / 2]
    return list(np.linspace(0, length - side, 1 + math.ceil((length - side) / (side * (1 - overlap)) - 1e-9)))


class _Pyramid:
    """A photo and its halvings, to cut small crops from large photos quickly and without aliasing."""

    def __init__(self, pixels: UInt8[np.ndarray, "H W 3"]) -> None:
        self.height, self.width = pixels.shape[:2]
        self.levels = [Image.fromarray(np.ascontiguousarray(pixels))]
        while min(self.levels[-1].size) >= 2 * _DETECTOR_SIDE:
            self.levels.append(self.levels[-1].reduce(2))

    def cut(self, roi: Roi, size: int) -> UInt8[np.ndarray, "S S 3"]:
        level = min(max(math.floor(math.log2(roi.side / size) + 0.3), 0), len(self.levels) - 1)
        image = self.levels[level]
        zoom = np.array([[image.width / self.width], [image.height / self.height]])
        affine = (roi.photo_from_unit * zoom / [[size, size, 1]]).ravel()
        return np.asarray(image.transform((size, size), Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR))


class MediaPipePeople:
    """Finds people with MediaPipe's detector on tiles of many scales and its landmark model; CPU, models in the wheel.

    `min_score`: finds rated lower are left out, 0..1. `tiles`: this many tiles at most are always looked at, coarse
    scales first; `crowd_tiles`: this many more, of finer scales, while there are small people. `workers`: threads.
    The graphs are made once and reused; one finder may serve several threads.
    """

    def __init__(
        self, *, min_score: float = 0.5, tiles: int = 40, crowd_tiles: int = 160, workers: int | None = None
    ) -> None:
        self.min_score, self.tiles, self.crowd_tiles = min_score, tiles, crowd_tiles
        count = workers or min(4, os.cpu_count() or 1)
        with _quiet():
            solution = _mediapipe()
            self._detectors = _Graphs(lambda: solution(graph_config=_DETECTOR_GRAPH), count, _DETECTOR_SIDE)
            self._landmarkers = _Graphs(lambda: solution(graph_config=_LANDMARK_GRAPH), count, _LANDMARK_SIDE)
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="people")

    def close(self) -> None:
        """Frees the threads and graphs; the finder cannot be used any more."""
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
        if min(height, width) < _SMALLEST_PHOTO:
            return []
        pyramid = _Pyramid(photo.pixels)
        found: list[Pose] = []
        for i, tiles in enumerate(tile_batches(width, height, self.tiles, self.crowd_tiles)):
            if i and not any(pose.size < 2.5 * tiles[0, 2] for pose in found):
                break
            found = self._search(pyramid, tiles, found)
        return [_person(pose, width, height) for pose in found]

    def landmarks(self, photo: Photo, boxes: Float[np.ndarray, "N 4"]) -> list[Person]:
        """One person per given box (x0 y0 x1 y1 px), same order; confidences are 0 where the model sees nobody."""
        pyramid = _Pyramid(photo.pixels)
        return [self._in_box(pyramid, box) for box in np.asarray(boxes, dtype=np.float64).reshape(-1, 4)]

    def _in_box(self, pyramid: _Pyramid, box: Float[np.ndarray, "4"]) -> Person:
        centre, side = (box[:2] + box[2:]) / 2, max(float(np.max(box[2:] - box[:2])), 1.0)
        rois = [Roi(centre[0], centre[1], side * _ROI_MARGIN)]
        rois += self._candidates(
            pyramid, np.array([[*(centre - half * side), 2 * half * side] for half in (0.5, 0.65)])
        )
        poses = self._poses(pyramid, rois)
        for _ in range(2):
            poses += self._poses(pyramid, [pose.next_roi for pose in poses[-len(rois) :]])

        def fit(pose: Pose) -> float:
            return pose.score * _overlap(_box_around(pose.points, pyramid.width, pyramid.height), box)

        best = max(poses, key=fit)
        settled = self._settled(pyramid, [best])[0]
        person = replace(_person(settled, pyramid.width, pyramid.height), box=box.copy())
        if best.score < 0.5 or fit(best) < 0.15:  # nobody, or somebody else nearby
            person = replace(person, keypoints=person.keypoints * [1, 1, 0])
        return person

    def _search(self, pyramid: _Pyramid, tiles: Float[np.ndarray, "T 3"], found: list[Pose]) -> list[Pose]:
        """The people found before and those of these tiles, without duplicates, best first."""
        rois = self._candidates(pyramid, tiles)
        for least in (
            0.05,
            0.1,
        ):  # two looks settle the region of interest, as MediaPipe's tracker does from frame to frame
            poses = [pose for pose in self._poses(pyramid, rois) if pose.score >= least]
            rois = _apart([pose.next_roi for pose in poses])
        near = {id(pose.next_roi): pose for pose in poses}
        poses = self._settled(pyramid, [near[id(roi)] for roi in rois])
        return distinct([*found, *(pose for pose in poses if pose.score >= self.min_score)])

    def _candidates(self, pyramid: _Pyramid, tiles: Float[np.ndarray, "T 3"]) -> list[Roi]:
        """The detector's regions of interest in these tiles, best first, the same head only once."""

        def detect(tile: Float[np.ndarray, "3"]) -> list[Roi]:
            square = Roi(tile[0] + tile[2] / 2, tile[1] + tile[2] / 2, tile[2])
            pixels = pyramid.cut(square, _DETECTOR_SIDE)
            if np.std(pixels[::4, ::4].mean(-1)) < _FLAT:
                return []
            return [_candidate(square, found) for found in self._detectors.process(pixels).detections or []]

        kept: list[Roi] = []
        rois = [roi for found in self._pool.map(detect, tiles) for roi in found]
        for roi in sorted(rois, key=lambda roi: -roi.score):
            if all(_overlap(roi.head, other.head) < _SAME_HEAD for other in kept):
                kept.append(roi)
        return kept

    def _poses(self, pyramid: _Pyramid, rois: Sequence[Roi], mirrored: bool = False) -> list[Pose]:
        """What the landmark model sees in each region, or in its mirror image (told for the region itself)."""

        def look(roi: Roi) -> Pose:
            pixels = pyramid.cut(roi, _LANDMARK_SIDE)
            seen = self._landmarkers.process(np.ascontiguousarray(pixels[:, ::-1]) if mirrored else pixels)
            flat = np.array([(p.x, p.y, p.visibility * p.presence) for p in seen.points.landmark[:35]])
            deep = np.array([(p.x, p.y, p.z) for p in seen.world.landmark[:33]])
            if mirrored:
                flat, deep = (flat * [-1, 1, 1] + [1, 0, 0])[_MIRROR], (deep * [-1, 1, 1])[_MIRROR[:33]]
            flat[:, :2] = roi.to_photo(flat[:, :2])
            deep[:, :2] = deep[:, :2] @ roi.photo_from_unit[:, :2].T / roi.side
            onward = Roi.around(flat[33, :2], flat[34, :2], score=roi.score)
            return Pose(flat[:33], deep, float(seen.score), onward)

        return list(self._pool.map(look, rois))

    def _settled(self, pyramid: _Pyramid, poses: Sequence[Pose]) -> list[Pose]:
        """A last look at each pose's next region and at its mirror image: their mean, rated by how well they agree."""
        rois = [pose.next_roi for pose in poses]
        plain, mirrored = self._poses(pyramid, rois), self._poses(pyramid, rois, mirrored=True)
        return [_agreed(*three) for three in zip(poses, plain, mirrored, strict=True)]


def _agreed(before: Pose, plain: Pose, mirrored: Pose) -> Pose:
    """One pose of three looks; where a joint's two last looks differ the plain one holds, with less confidence."""
    size = before.size
    apart = np.linalg.norm(plain.points[:, :2] - mirrored.points[:, :2], axis=1) / size
    moved = np.linalg.norm(plain.points[:, :2] - before.points[:, :2], axis=1) / size
    share = np.where(apart < 0.05, 0.5, 0.0)[:, None]
    points = plain.points * (1 - share) + mirrored.points * share
    points[:, 2] *= np.exp(-0.5 * (apart / 0.1) ** 2)
    landmarks3d = plain.landmarks3d * (1 - share) + mirrored.landmarks3d * share
    evidence = [
        1.0,
        _logit(plain.score),
        _logit(mirrored.score),
        math.log(np.median(apart[_LIMBS]) + 0.003),
        math.log(np.median(moved[_LIMBS]) + 0.003),
        plain.points[_LIMBS, 2].mean(),
        before.next_roi.score,
    ]
    return Pose(points, landmarks3d, 1 / (1 + math.exp(-float(np.dot(_RATING, evidence)))), plain.next_roi)


_RATING = (-9.16, 0.12, 0.12, -0.78, -0.63, 2.42, 2.33)
"""Logistic regression of whether a find is a body on: 1, both scores' logits, log of the two disagreements, the limbs'
visibility, the detector's score. Fitted on photos without people and on collages of 300 cut-out people."""


def _logit(p: float) -> float:
    p = min(max(p, 1e-3), 1 - 1e-3)
    return math.log(p / (1 - p))


def _apart(rois: Sequence[Roi]) -> list[Roi]:
    """Best detection first, without those in which the landmark model would see the same again."""
    kept: list[Roi] = []
    for roi in sorted(rois, key=lambda roi: -roi.score):
        if not any(roi.is_near(other) for other in kept):
            kept.append(roi)
    return kept


def distinct(poses: Sequence[Pose]) -> list[Pose]:
    """Best rated first, without those that are nearly a better one or only a part of a larger better one."""
    kept: list[Pose] = []
    for pose in sorted(poses, key=lambda pose: -pose.score):
        if not any(similarity(pose, other) > 0.4 or _is_part(pose, other) for other in kept):
            kept.append(pose)
    return kept


def similarity(one: Pose, other: Pose) -> float:
    """How much two poses are one body, 0..1: COCO's OKS of the limbs with a tenth of the body as every joint's sigma."""
    squared = np.sum((one.points[_LIMBS, :2] - other.points[_LIMBS, :2]) ** 2, axis=1)
    weight = np.maximum(one.points[_LIMBS, 2], other.points[_LIMBS, 2]) + 1e-6
    sigma = 0.1 * max(one.size, other.size)
    return float(np.sum(weight * np.exp(-squared / (2 * sigma**2))) / np.sum(weight))


def _is_part(pose: Pose, other: Pose) -> bool:
    """Whether a pose is a limb or head of another that the model mistook for a body: much smaller and inside of it."""
    if pose.size > 0.6 * other.size or pose.score > 0.9:
        return False
    inner, outer = (_box_around(p.points, 10**6, 10**6) for p in (pose, other))
    shared = np.prod(np.maximum(np.minimum(inner[2:], outer[2:]) - np.maximum(inner[:2], outer[:2]), 0))
    return bool(shared > 0.7 * np.prod(inner[2:] - inner[:2]))


def _box_around(points: Float[np.ndarray, "33 3"], width: float, height: float) -> Float[np.ndarray, "4"]:
    """The box (x0 y0 x1 y1 px, inside the photo) of a body by its trusted points, with room for skull and soles."""
    trusted = points[points[:, 2] > 0.3, :2]
    trusted = trusted if len(trusted) >= 4 else points[:, :2]
    low, high = trusted.min(0), trusted.max(0)
    room = 0.07 * float(np.max(high - low))  # the skull ends about so far above the eyes, the soles below the heels
    return np.clip([*(low - room), *(high + room)], 0, [width, height, width, height])


def _person(pose: Pose, width: int, height: int) -> Person:
    points = pose.points.copy()
    points[((points[:, :2] < 0) | (points[:, :2] > [width, height])).any(1), 2] = 0
    return Person(_box_around(points, width, height), pose.score, points, MEDIAPIPE33, pose.landmarks3d)


def _candidate(tile: Roi, detection: Any) -> Roi:
    box = detection.location_data.relative_bounding_box
    corners = tile.to_photo(np.array([[box.xmin, box.ymin], [box.xmin + box.width, box.ymin + box.height]]))
    points = tile.to_photo(np.array([(p.x, p.y) for p in detection.location_data.relative_keypoints]))
    return Roi.around(points[0], points[1], score=float(detection.score[0]), head=tuple(corners.ravel().tolist()))


def _overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two boxes."""
    shared = max(min(one[2], other[2]) - max(one[0], other[0]), 0) * max(
        min(one[3], other[3]) - max(one[1], other[1]), 0
    )
    union = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)) - shared
    return float(shared / union) if union > 0 else 0.0


class _Graphs:
    """A few copies of one MediaPipe graph, each lent to one thread at a time."""

    def __init__(self, make: Callable[[], Any], count: int, side: int) -> None:
        self._all = [make() for _ in range(count)]
        self._free: SimpleQueue[Any] = SimpleQueue()
        for graph in self._all:
            graph.process(np.zeros((side, side, 3), np.uint8))  # the first run loads the model and is noisy
            self._free.put(graph)

    def process(self, pixels: UInt8[np.ndarray, "S S 3"]) -> Any:
        graph = self._free.get()
        try:
            return graph.process(pixels)
        finally:
            self._free.put(graph)

    def close(self) -> None:
        for graph in self._all:
            graph.close()


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


_HALPE26 = JointSet(
    "halpe26",
    (
        *COCO17.names,
        "head_top",
        "neck",
        "pelvis",
        "left_big_toe",
        "right_big_toe",
        "left_small_toe",
        "right_small_toe",
        "left_heel",
        "right_heel",
    ),
)


class RtmlibPeople:
    """Finds people with rtmlib's YOLOX and RTMPose (26 points, feet included), whose models download on first use.

    Crowded and small people are found better than by MediaPipe. `mode`: "lightweight", "balanced" or "performance";
    `device`: "cpu" or "cuda". `landmarks`: `MediaPipePeople.landmarks`, where 3D landmarks are wanted too.
    """

    def __init__(
        self,
        *,
        mode: str = "balanced",
        device: str = "cpu",
        landmarks: Callable[[Photo, np.ndarray], list[Person]] | None = None,
    ) -> None:
        try:
            from rtmlib import BodyWithFeet
        except ImportError as error:
            raise ImportError(
                f'the rtmlib finder cannot be imported ({error}): pip install "humesh[rtmlib]".'
            ) from error
        self._models, self._landmarks = BodyWithFeet(mode=mode, backend="onnxruntime", device=device), landmarks

    def __call__(self, photo: Photo) -> list[Person]:
        """The people of a photo, best score first; a score is the mean confidence of the points."""
        bgr = np.ascontiguousarray(photo.pixels[..., ::-1])
        boxes = np.asarray(self._models.det_model(bgr), dtype=np.float64).reshape(-1, 4)
        if not len(boxes):  # rtmlib's pose model would take the whole photo for a person
            return []
        points, scores = self._models.pose_model(bgr, bboxes=boxes)
        keypoints = np.concatenate([points, np.clip(scores, 0, 1)[..., None]], axis=-1).astype(np.float64)
        people = [Person(box, float(k[:, 2].mean()), k, _HALPE26) for box, k in zip(boxes, keypoints, strict=True)]
        people.sort(key=lambda person: -person.score)
        return complete(people, photo, self._landmarks) if self._landmarks else people


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
