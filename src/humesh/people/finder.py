"""Find the people of a photo: MoveNet gives candidates, several networks predict each, and these are fused."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.special import expit, logit

from humesh.body.joints import HALPE26, LIMBS12, MEDIAPIPE33
from humesh.errors import MissingPackageError
from humesh.geometry.boxes import box_iou
from humesh.media.photo import Photo
from humesh.people import networks
from humesh.people.networks import NETWORK_PX, PARENTS, LandmarkModel, Pose, Pyramid, Roi, network
from humesh.people.person import Person, box_around_keypoints

_Done = TypeVar("_Done")

_SMALLEST_PHOTO = 24  # px; nobody is found in less
_COARSE, _FINE, _FINEST = 256, 512, 1024  # px that the photo is scaled to; the last where nobody is found otherwise
_TURNED, LEAST_TURNED = 0.3, 0.5  # in turned photos: MultiPose's score of a candidate, and a person's rating
_SMALL, _ZOOM = 0.22, 2.5  # of a tile: around smaller people tiles of _ZOOM times their size are searched
_MOST_TILES = 40
_MARGIN = 1.1  # Thunder's square, in longer sides of the body's box
_SAME_BODY = 0.4  # similarity of two candidates
_NOBODY = 0.1  # in a given box: the landmark model's score; whoever gives a box has seen somebody there
_IN_BOX = 0.15  # intersection over union of a given box and of the person in it; less is somebody else
_KNEES, _ANKLES, _HEELS, _TOES = (
    MEDIAPIPE33.indices(f"left_{joint}", f"right_{joint}") for joint in ("knee", "ankle", "heel", "foot_index")
)
LIMBS = MEDIAPIPE33.indices(*LIMBS12.names)
ONE_BODY = 0.6
"""The similarity from which two poses are one body; two people who overlap are less alike."""
CURVES = {"heavy": (1.86, 0.24), "full": (1.13, 0.15), "thunder": (2.87, 1.69), "multipose": (2.66, 1.39)}
"""Of each network's confidences: logistic regression of whether a limb joint lies within a tenth of the person."""
_NEAR = 0.05  # of the person: predictions that far apart agree by exp(-1/2)
_AFAR = 0.7  # weight of MultiPose, which sees the person from afar, beside closer predictions
_SOMEBODY = 0.5  # the landmark model's score
_CALIBRATION = (0.03, 2.03)
"""Logistic regression of whether a fused limb joint lies within a tenth of the person, on the logit of its backing, as
`CURVES` on the labelled photographs that may be calibrated on (`tools/calibrate_points.py`)."""


class PeopleFinder:
    """Finds people with MoveNet and MediaPipe's pose networks; no downloads.

    `min_score`: people rated lower are left out, 0..1. `fast`: one pass of MediaPipe's full landmark model a person
    instead of three of the heavy one. `workers`: threads, by default one a processor core up to four; results do not
    depend on it. `device`: "cpu", "cuda" or "cuda:N", where the networks run if ONNX Runtime can; `notes` say so if it
    cannot. One finder may serve several threads. Raises MissingNetworkError.
    """

    def __init__(
        self, *, min_score: float = 0.3, fast: bool = False, workers: int | None = None, device: str = "cpu"
    ) -> None:
        self.min_score, self.fast, self.device = min_score, fast, device if device.startswith("cuda") else "cpu"
        self.notes: tuple[str, ...] = ()
        if self.device != "cpu" and not networks.runtime_has_cuda():
            self.notes = ("people are found on the CPU: ONNX Runtime has no CUDA here; install onnxruntime-gpu.",)
            self.device = "cpu"
        self.model: LandmarkModel = "full" if fast else "heavy"
        for name in (f"pose_landmark_{self.model}", "movenet_thunder", "movenet_multipose"):
            network(name, self.device)  # the largest first: the others fit into what loading it leaves behind
        self.workers = workers or min(4, os.cpu_count() or 1)

    def __call__(self, photo: Photo) -> list[Person]:
        """The people of a photo, best score first."""
        return [person_of(pose, *photo.size) for pose in self.search(photo)]

    def search(self, photo: Photo, known: Sequence[Pose] = ()) -> list[Pose]:
        """The `known` people (poses in this photo) and all others in a photo, best score first."""
        if min(photo.size) < _SMALLEST_PHOTO:
            return []
        pyramid = Pyramid(photo.pixels)
        candidates = nms(self._candidates(pyramid), _SAME_BODY, known)
        found = self._separated(pyramid, candidates, known, self.min_score)
        return found or self._separated(pyramid, self._turned(pyramid), [], max(self.min_score, LEAST_TURNED))

    def follow(self, photo: Photo, poses: Sequence[Pose], quick: bool = False) -> list[Pose]:
        """The people of poses expected in a photo, without a search, best score first.

        `quick`: one pass of each family a person.
        """
        predictions = self._predictions(Pyramid(photo.pixels), poses, quick or self.fast)
        rated = [_rated(some, photo.size) for some in predictions]
        return nms(pose for pose in rated if pose.score >= self.min_score)

    def landmarks(self, photo: Photo, boxes: Float[np.ndarray, "N 4"]) -> list[Person]:
        """One person per given box (x0 y0 x1 y1 px), same order; confidences are 0 where nobody is seen."""
        pyramid, all_boxes = Pyramid(photo.pixels), np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
        starts = self._map(partial(self._in_box, pyramid), all_boxes)
        people = []
        for box, start, some in zip(all_boxes, starts, self._predictions(pyramid, starts, self.fast), strict=True):
            pose = fused([start, *some])
            if pose.score < _NOBODY or _iou(_box_of(pose, pyramid), box) < _IN_BOX:
                pose = replace(pose, points=pose.points * [1, 1, 0])  # nobody, or somebody else nearby
            pose = replace(pose, score=float(pose.points[LIMBS, 2].mean()))
            people.append(replace(person_of(pose, *photo.size), box=box.copy()))
        return people

    def _in_box(self, pyramid: Pyramid, box: Float[np.ndarray, "4"]) -> Pose:
        """The candidate in a box: MultiPose's that fits it best or, without one, Thunder's."""
        found = self._multipose(pyramid, Roi.about(box, 1.5), least=0.0)
        fitting = [(pose, iou) for pose in found if (iou := _iou(_box_of(pose, pyramid), box)) >= _IN_BOX]
        if fitting:
            return max(fitting, key=lambda pair: pair[0].score * pair[1])[0]
        return networks.thunder(pyramid, Roi.about(box, _MARGIN), self.device)

    def _candidates(self, pyramid: Pyramid) -> list[Pose]:
        """MultiPose's people: of the whole photo at two sizes, and of finer tiles around those who are small there."""
        width, height = pyramid.width, pyramid.height
        photo = _around_photo(pyramid)
        shapes = [_shape(width, height, side) for side in (_COARSE, _FINE)]
        found: list[Pose] = [
            *chain.from_iterable(self._map(lambda shape: self._multipose(pyramid, photo, *shape), shapes))
        ]
        if not found and max(width, height) > _FINE:
            found = self._multipose(pyramid, photo, *_shape(width, height, _FINEST))
        searched = [photo]
        for _ in range(4):
            tiles = list[Roi]()
            for pose in sorted(found, key=lambda pose: -pose.score):
                tile = Roi(pose.next_roi.x, pose.next_roi.y, _ZOOM * pose.size)
                if pose.size < _SMALL * photo.side and not any(_covers(t, tile) for t in [*searched, *tiles]):
                    tiles.append(tile)
            tiles = tiles[: _MOST_TILES - len(searched)]
            if not tiles:
                break
            searched += tiles
            found += chain.from_iterable(self._map(partial(self._multipose, pyramid), tiles))
        return found

    def _turned(self, pyramid: Pyramid) -> list[Pose]:
        """MultiPose's people in the photo turned by quarters: people upside down or lying."""
        turns = [replace(_around_photo(pyramid), angle=quarter * math.pi / 2) for quarter in (1, 2, 3)]
        found: list[list[Pose]] = self._map(partial(self._multipose, pyramid, least=_TURNED), turns)
        return nms(chain.from_iterable(found), _SAME_BODY)

    def _separated(self, pyramid: Pyramid, starts: Sequence[Pose], known: Sequence[Pose], least: float) -> list[Pose]:
        """The known bodies and those of the candidates `starts`, each once, best score first.

        Where people overlap a closer prediction may show the neighbour: a candidate that came out as somebody better
        rated is fused from those predictions alone that are more like the candidate.
        """
        size, found = (pyramid.width, pyramid.height), sorted(known, key=lambda pose: -pose.score)
        predictions = self._predictions(pyramid, starts, self.fast)
        every = [[start, *some] for start, some in zip(starts, predictions, strict=True)]
        rated = [(_rated(some, size), some) for some in every]
        for pose, some in sorted(rated, key=lambda pair: -pair[0].score):
            rival = next((other for other in found if similarity(pose, other) >= ONE_BODY), None)
            if rival is not None:
                own = [each for each in some[1:] if similarity(each, some[0]) > similarity(each, rival)]
                pose = _rated([some[0], *own], size)
            if pose.score >= least and all(similarity(pose, other) < ONE_BODY for other in found):
                found.append(pose)
        return sorted(found, key=lambda pose: -pose.score)

    def _predictions(self, pyramid: Pyramid, starts: Sequence[Pose], quick: bool) -> list[list[Pose]]:
        """Of each body Thunder's prediction and those of the landmark model: one if `quick`, else three.

        The landmark model's confidence tells little of whether a point is right, but its agreement with itself does: it
        runs twice more where its first prediction points to, once on the mirror image. Everybody's passes of one round
        run in parallel.
        """

        def landmarks(roi: Roi, mirrored: bool = False) -> Callable[[], Pose]:
            return partial(networks.blazepose, pyramid, roi, self.model, mirrored, self.device)

        near = [
            partial(networks.thunder, pyramid, Roi.about(_box_of(start, pyramid), _MARGIN), self.device)
            for start in starts
        ]
        first = self._map(operator.call, [*near, *(landmarks(start.next_roi) for start in starts)])
        predictions = [list(pair) for pair in zip(first[: len(starts)], first[len(starts) :], strict=True)]
        if not quick:
            passes = [landmarks(some[1].next_roi, mirrored) for some in predictions for mirrored in (True, False)]
            second = self._map(operator.call, passes)
            for number, some in enumerate(predictions):
                some += second[2 * number : 2 * number + 2]
        return predictions

    def _multipose(self, pyramid: Pyramid, tile: Roi, *size: int, least: float = 0.1) -> list[Pose]:
        width, height = size or (NETWORK_PX, NETWORK_PX)
        return networks.multipose(pyramid, tile, width, height, least, self.device)

    def _map(self, function: Callable[..., _Done], items: Iterable[Any]) -> list[_Done]:
        """The results in order; threads of their own, as a forked process has none of its parent's."""
        with ThreadPoolExecutor(self.workers, "people") as pool:
            return list(pool.map(function, items))


class RtmlibPeople:
    """Finds people with rtmlib's YOLOX and RTMPose (26 points, feet included), whose models download on first use.

    `mode`: "lightweight", "balanced" or "performance"; `device`: "cpu" or "cuda". There are no 3D landmarks:
    `humesh.people.given.complete` adds those of `PeopleFinder.landmarks`.
    """

    def __init__(self, *, mode: str = "balanced", device: str = "cpu") -> None:
        try:
            from rtmlib import BodyWithFeet
        except ImportError as error:
            raise MissingPackageError(f'rtmlib cannot be imported ({error}): pip install "humesh[rtmlib]".') from error
        self._models = BodyWithFeet(mode=mode, backend="onnxruntime", device=device)

    def __call__(self, photo: Photo) -> list[Person]:
        """The people of a photo, best score first; a score is the mean confidence of the points."""
        bgr = np.ascontiguousarray(photo.pixels[..., ::-1])
        boxes = np.asarray(self._models.det_model(bgr), dtype=np.float64).reshape(-1, 4)
        if not len(boxes):  # rtmlib's pose model would take the whole photo for a person
            return []
        points, scores = self._models.pose_model(bgr, bboxes=boxes)
        keypoints = np.concatenate([points, np.clip(scores, 0, 1)[..., None]], axis=-1).astype(np.float64)
        people = [Person(box, float(k[:, 2].mean()), k, HALPE26) for box, k in zip(boxes, keypoints, strict=True)]
        return sorted(people, key=lambda person: -person.score)


def person_of(pose: Pose, width: int, height: int) -> Person:
    """A pose as a person of a photo of that size; joints outside of it have no confidence, nor have guessed legs.

    Of people cut off at the hips the networks put both legs somewhere inside the photo, with little confidence, and the
    body would squat in the air.
    """
    points = pose.points.copy()
    points[outside(points, (width, height)), 2] = 0
    box = box_around_keypoints(points, width, height)
    if (points[_KNEES, 2] < 0.1).all() and (points[_ANKLES, 2] < 0.35).all():
        points[[*_KNEES, *_ANKLES, *_HEELS, *_TOES], 2] = 0
    return Person(box, pose.score, points, MEDIAPIPE33, pose.landmarks3d, mask=pose.mask)


def _rated(predictions: Sequence[Pose], photo_size: tuple[int, int]) -> Pose:
    """Predictions of one body fused, with the rating as score."""
    pose = fused(predictions)
    return replace(pose, score=rating(pose, photo_size))


def _around_photo(pyramid: Pyramid) -> Roi:
    return Roi(pyramid.width / 2, pyramid.height / 2, float(max(pyramid.width, pyramid.height)))


def _shape(width: int, height: int, longer: int) -> tuple[int, int]:
    """Sides in px, multiples of 32, of a picture of that shape whose longer side is as given."""
    wide, high = (max(32, math.ceil(side * longer / max(width, height) / 32 - 1e-6) * 32) for side in (width, height))
    return wide, high


def _covers(tile: Roi, other: Roi) -> bool:
    """Whether a search of one tile finds what a search of another finds in its middle."""
    apart = max(abs(tile.x - other.x), abs(tile.y - other.y))
    return apart < tile.side / 4 and 0.5 < tile.side / other.side < 1.6


def _box_of(pose: Pose, pyramid: Pyramid) -> Float[np.ndarray, "4"]:
    return box_around_keypoints(pose.points, pyramid.width, pyramid.height)


def _iou(one: Float[np.ndarray, "4"], other: Float[np.ndarray, "4"]) -> float:
    return float(box_iou(torch.from_numpy(one), torch.from_numpy(other)))


def similarity(one: Pose, other: Pose) -> float:
    """How much two poses are one body, 0..1: COCO's OKS of the limbs, every joint's sigma a tenth of the body."""
    squared = np.sum((one.points[LIMBS, :2] - other.points[LIMBS, :2]) ** 2, axis=1)
    weight = np.maximum(one.points[LIMBS, 2], other.points[LIMBS, 2]) + 1e-6
    sigma = 0.1 * max(one.size, other.size)
    return float(np.sum(weight * np.exp(-squared / (2 * sigma**2))) / np.sum(weight))


def nms(poses: Iterable[Pose], threshold: float = ONE_BODY, known: Sequence[Pose] = ()) -> list[Pose]:
    """Best score first, each body once, none that is known."""
    kept: list[Pose] = []
    for pose in sorted(poses, key=lambda pose: -pose.score):
        if all(similarity(pose, other) < threshold for other in [*known, *kept]):
            kept.append(pose)
    return kept


def fused(poses: Sequence[Pose]) -> Pose:
    """One pose of several predictions of one body: each point where most of their belief lies close together.

    A point's confidence is the probability that it lies within a tenth of the person of where it is. 3D landmarks and
    the next region are those of the landmark model's predictions that lie nearest to the points.
    """
    points = np.stack([pose.points for pose in poses])
    weights = np.array([[_AFAR if pose.network == "multipose" else 1.0] for pose in poses])
    belief = weights * np.stack([_probability(pose.points[:, 2], CURVES[pose.network]) for pose in poses])
    size = max(1.2 * np.ptp(np.median(points[:, LIMBS, :2], axis=0), axis=0).max(), 1.0)
    apart = np.linalg.norm(points[:, None, :, :2] - points[None, :, :, :2], axis=-1) / size
    near = np.exp(-0.5 * (apart / _NEAR) ** 2)
    best = np.einsum("lk,lmk->mk", belief, near).argmax(0)[PARENTS]
    backing = belief * near[best, :, PARENTS].T + 1e-9
    weight = backing / backing.sum(0)
    places = np.einsum("lk,lkc->kc", weight, points[..., :2])
    offsets = points[..., :2] - points[:, PARENTS, :2]
    places = places[PARENTS] + np.einsum("lk,lkc->kc", weight, offsets)
    # How sure each prediction is by itself, times the share of them that backs the place.
    given = np.maximum((weights * (belief > 0)).sum(0), _AFAR)
    confidence = _probability(backing.sum(0) / given, _CALIBRATION, least=1e-6)  # 0 where no network gives the point
    fused_points = np.concatenate([places, confidence[:, None]], axis=1)
    deep = [pose for pose in poses if pose.landmarks3d is not None]
    if not deep:
        return replace(poses[0], points=fused_points)
    off = [float(np.linalg.norm(pose.points[LIMBS, :2] - places[LIMBS], axis=1).mean()) / size for pose in deep]
    nearest = [pose.landmarks3d for pose, o in zip(deep, off, strict=True) if o < min(off) + _NEAR / 2]
    return replace(
        deep[int(np.argmin(off))],
        points=fused_points,
        landmarks3d=np.mean(np.array(nearest), axis=0),
        score=max(pose.score for pose in deep),
    )


def rating(pose: Pose, photo_size: Sequence[int]) -> float:
    """The expected share of correct limb joints of a fused pose, of those inside the photo: whether it is a body.

    0 where the landmark model sees nobody.
    """
    inside = ~outside(pose.points, photo_size)[LIMBS]
    somebody = pose.landmarks3d is None or pose.score >= _SOMEBODY
    return float(pose.points[LIMBS, 2][inside].mean()) if somebody and inside.any() else 0.0


def outside(points: Float[np.ndarray, "33 3"], photo_size: Sequence[int]) -> Bool[np.ndarray, "33"]:
    """Which points lie outside of a photo of (width, height)."""
    return np.any((points[:, :2] < 0) | (points[:, :2] > photo_size), axis=1)


def log_odds(probability: np.ndarray) -> np.ndarray:
    """The logit of a probability, within 7 of 0."""
    return logit(np.clip(probability, 1e-3, 1 - 1e-3))


def _probability(confidence: Float[np.ndarray, "33"], curve: tuple[float, float], least: float = 0.0) -> np.ndarray:
    """The probability of being right by a logistic regression (start, slope); 0 for confidences up to `least`."""
    return np.where(confidence > least, expit(curve[0] + curve[1] * log_odds(confidence)), 0.0)
