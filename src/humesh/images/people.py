"""Find the people of a photo: MediaPipe on tiles of every scale."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float

from humesh.body.joints import LIMBS12, MEDIAPIPE33
from humesh.images.landmark_models import LandmarkModel, Pose, PoseModels, Pyramid, Roi, best_landmark_model
from humesh.images.photo import Person, Photo

_SMALLEST_PHOTO, _SMALLEST_TILE = 24, 48  # px; the detector sees nobody in less
_SAME_HEAD = 0.5  # intersection over union of two detections of one head
_LIMBS = MEDIAPIPE33.indices(*LIMBS12.names)
_HIPS, _SHOULDERS = (MEDIAPIPE33.indices(f"left_{joint}", f"right_{joint}") for joint in ("hip", "shoulder"))
_FACE = MEDIAPIPE33.indices("nose", "left_eye", "right_eye", "left_ear", "right_ear", "mouth_left", "mouth_right")
_RATING: dict[LandmarkModel, tuple[float, ...]] = {
    "full": (-12.23, 0.21, 0.18, -1.20, -0.53, 2.98, 3.60),
    "heavy": (-7.72, 0.28, 0.18, -1.46, -0.06, 0.87, -0.55),
}
"""Logistic regression of whether a find is a body, on `evidence`. Full: fitted on 3,280 candidates of 29 photos without
people, 22 collages and 9 photos of people; at 0.3 it keeps 4 of the 1,555 where nobody is. Heavy: `tools/fit_rating.py`
on 178 bodies and 288 others in 150 rendered scenes and 30 photos without people; at 0.35 it keeps 81 % and 20."""


class MediaPipePeople:
    """Finds people with MediaPipe's detector on tiles of many scales and its landmark model; CPU, no downloads.

    `min_score`: finds rated lower are left out, 0..1. `tiles`: this many tiles at most are always looked at, coarse
    scales first; `crowd_tiles`: this many more, of finer scales, while there are small people. `workers`: threads.
    `model`: MediaPipe's "heavy" landmark model or its "full" one, which is three times as fast and sees less; None:
    the heavy one where it was installed. The models are loaded once and reused; one finder may serve several threads.
    """

    def __init__(
        self,
        *,
        min_score: float = 0.35,
        tiles: int = 40,
        crowd_tiles: int = 160,
        workers: int | None = None,
        model: LandmarkModel | None = None,
    ) -> None:
        self.min_score, self.tiles, self.crowd_tiles = min_score, tiles, crowd_tiles
        self.model = model or best_landmark_model()
        count = workers or min(4, os.cpu_count() or 1)
        self._models = PoseModels(count, self.model)
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="people")

    def close(self) -> None:
        """Ends the threads; the finder cannot be used any more. The models stay for other finders."""
        self._pool.shutdown()

    def __enter__(self) -> MediaPipePeople:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __call__(self, photo: Photo) -> list[Person]:
        """The people of a photo, best score first."""
        return [person_of(pose, *photo.size) for pose in self.search(photo)]

    def search(self, photo: Photo, known: Sequence[Pose] = ()) -> list[Pose]:
        """Those of `known` (poses in this photo) and whoever else is in a photo, best score first."""
        width, height = photo.size
        if min(width, height) < _SMALLEST_PHOTO:
            return []
        pyramid = Pyramid(photo.pixels)
        found = list(known)
        for i, tiles in enumerate(tile_batches(width, height, self.tiles, self.crowd_tiles)):
            # People are found from 0.4 of a tile on; beside known ones only who is not much smaller is looked for.
            small = any(pose.size < (1 if known else 2.5) * tiles[0, 2] for pose in found)
            if i and not small and (found or i > 1):
                break
            found = self._search(pyramid, tiles, found, known)
        return found

    def follow(self, photo: Photo, poses: Sequence[Pose], min_score: float | None = None) -> list[Pose]:
        """The people of poses guessed from the frame before, without a search: two looks a person, best score first.

        Those rated below `min_score` (None: the finder's own) are left out, and who turned out to be somebody else.
        """
        least = self.min_score if min_score is None else min_score
        return distinct([pose for pose in self._settled(Pyramid(photo.pixels), poses) if pose.score >= least])

    def landmarks(self, photo: Photo, boxes: Float[np.ndarray, "N 4"]) -> list[Person]:
        """One person per given box (x0 y0 x1 y1 px), same order; confidences are 0 where the model sees nobody."""
        pyramid = Pyramid(photo.pixels)
        return [self._in_box(pyramid, box) for box in np.asarray(boxes, dtype=np.float64).reshape(-1, 4)]

    def settled(self, photo: Photo, boxes: Float[np.ndarray, "N 4"]) -> list[Person | None]:
        """What is seen in given boxes (x0 y0 x1 y1 px) without a search, same order; None where nobody is.

        Four looks a person, a fifth of the time of `landmarks`.
        """
        pyramid, found = Pyramid(photo.pixels), list[Person | None]()
        for box in np.asarray(boxes, dtype=np.float64).reshape(-1, 4):
            x, y = ((box[:2] + box[2:]) / 2).tolist()
            (pose,) = self._looks(pyramid, [Roi(x, y, 1.25 * max(float(np.max(box[2:] - box[:2])), 1.0))])
            if pose.score >= 0.5:
                (pose,) = self._looks(pyramid, [pose.next_roi])
            if pose.score < 0.5:
                found.append(None)
                continue
            (pose,) = self._settled(pyramid, [pose])
            near = _overlap(box_around_points(pose.points, pyramid.width, pyramid.height), box) >= 0.15
            found.append(person_of(pose, pyramid.width, pyramid.height) if near else None)  # else it is somebody else
        return found

    def _in_box(self, pyramid: Pyramid, box: Float[np.ndarray, "4"]) -> Person:
        centre, side = (box[:2] + box[2:]) / 2, max(float(np.max(box[2:] - box[:2])), 1.0)
        tiles = np.array([[*(centre - half * side), 2 * half * side] for half in (0.5, 0.65)])
        looks = self._looks(
            pyramid, [Roi(float(centre[0]), float(centre[1]), 1.25 * side), *self._candidates(pyramid, tiles)]
        )
        tried = list(looks)
        for _ in range(2):
            looks = self._looks(pyramid, [pose.next_roi for pose in looks])
            tried += looks

        def fit(pose: Pose) -> float:
            return pose.score * _overlap(box_around_points(pose.points, pyramid.width, pyramid.height), box)

        best = max(tried, key=fit)
        (settled,) = self._settled(pyramid, [best])
        if best.score < 0.5 or fit(best) < 0.15:  # nobody, or somebody else nearby
            settled = replace(settled, points=settled.points * [1, 1, 0])
        return replace(person_of(settled, pyramid.width, pyramid.height), box=box.copy())

    def _search(
        self, pyramid: Pyramid, tiles: Float[np.ndarray, "T 3"], found: list[Pose], known: Sequence[Pose]
    ) -> list[Pose]:
        """The people found before and those of these tiles, without duplicates, best first.

        Who is known is not looked at again.
        """
        rois, size = self._candidates(pyramid, tiles), (pyramid.width, pyramid.height)
        rois = [roi for roi in rois if not any(roi.is_near(pose.next_roi, 2.0) for pose in known)]
        for quick in (True, False):  # two looks settle the region, as MediaPipe's tracker does from frame to frame
            looks = self._looks(pyramid, rois, quick=quick)
            poses = _apart([pose for pose in looks if _is_promising(pose, size)])
            rois = [pose.next_roi for pose in poses]
        poses = [pose for pose in self._settled(pyramid, poses) if pose.score >= self.min_score]
        return distinct([*found, *poses])

    def _candidates(self, pyramid: Pyramid, tiles: Float[np.ndarray, "T 3"]) -> list[Roi]:
        """The detector's regions of interest in these tiles, best first, the same head only once."""
        squares = [Roi(x + side / 2, y + side / 2, side) for x, y, side in tiles.tolist()]
        rois = [
            roi for found in self._pool.map(lambda tile: self._models.detect(pyramid, tile), squares) for roi in found
        ]
        kept: list[Roi] = []
        for roi in sorted(rois, key=lambda roi: -roi.score):
            if all(_overlap(roi.head, other.head) < _SAME_HEAD for other in kept):
                kept.append(roi)
        return kept

    def _looks(self, pyramid: Pyramid, rois: Sequence[Roi], mirrored: bool = False, quick: bool = False) -> list[Pose]:
        return list(self._pool.map(lambda roi: self._models.look(pyramid, roi, mirrored, quick), rois))

    def _settled(self, pyramid: Pyramid, poses: Sequence[Pose]) -> list[Pose]:
        """A last look at each pose's next region and at its mirror image: their mean, rated by how well they agree."""
        rois = [pose.next_roi for pose in poses]
        plain, mirrored = self._looks(pyramid, rois), self._looks(pyramid, rois, mirrored=True)
        size = [pyramid.width, pyramid.height]
        return [self._agreed(looks, size) for looks in zip(poses, plain, mirrored, strict=True)]

    def _agreed(self, looks: tuple[Pose, Pose, Pose], photo_size: Sequence[int]) -> Pose:
        return agreed(looks, photo_size, _RATING[self.model])


def tile_batches(width: int, height: int, always: int, crowd: int) -> list[Float[np.ndarray, "T 3"]]:
    """Overlapping squares (x0, y0, side px) that cover the photo at each of many scales, 1.5 apart.

    The first batch is the whole photo and all scales that fit into `always` tiles, then comes one batch for each finer
    scale as long as there are at most `crowd` more tiles.
    """
    batches: list[Float[np.ndarray, "T 3"]] = []
    side, count = float(max(width, height)), 0
    while not batches or side >= _SMALLEST_TILE:
        level = np.array([(x, y, side) for y in _starts(height, side) for x in _starts(width, side)])
        count += len(level)
        if batches and count > always + crowd:
            break
        if batches and count <= always:
            batches[0] = np.concatenate([batches[0], level])
        else:
            batches.append(level)
        side /= 1.5
    return batches


def _starts(length: int, side: float, overlap: float = 0.25) -> list[float]:
    """Where the tiles of one axis begin so that neighbours overlap by at least `overlap` of a side."""
    if length <= side:
        return [(length - side) / 2]
    return np.linspace(0, length - side, 1 + math.ceil((length - side) / (side * (1 - overlap)) - 1e-9)).tolist()


def distinct(poses: Sequence[Pose]) -> list[Pose]:
    """Best rated first, without those that are nearly a better one, share its face or are only a part of it.

    Where two compete the more upright one has the advantage: what is not a body is seen in any direction.
    """
    kept: list[Pose] = []
    for pose in sorted(poses, key=lambda pose: -pose.score * (1 + _uprightness(pose))):
        same = (similarity(pose, other) > 0.4 or _share_face(pose, other) or _is_part(pose, other) for other in kept)
        if not any(same):
            kept.append(pose)
    return sorted(kept, key=lambda pose: -pose.score)


def _uprightness(pose: Pose) -> float:
    """The cosine of the trunk's angle to the photo's upward direction."""
    trunk = pose.points[_SHOULDERS, :2].mean(0) - pose.points[_HIPS, :2].mean(0)
    return float(-trunk[1] / max(np.linalg.norm(trunk), 1e-6))


def _share_face(one: Pose, other: Pose) -> bool:
    """Whether two poses have one face; those of two people are at least a head (a tenth of the body) apart."""
    faces = one.points[_FACE], other.points[_FACE]
    apart = np.linalg.norm(faces[0][:, :2].mean(0) - faces[1][:, :2].mean(0))
    return bool(apart < 0.05 * max(one.size, other.size) and min(face[:, 2].mean() for face in faces) > 0.5)


def similarity(one: Pose, other: Pose) -> float:
    """How much two poses are one body, 0..1: COCO's OKS of the limbs, every joint's sigma a tenth of the body."""
    squared = np.sum((one.points[_LIMBS, :2] - other.points[_LIMBS, :2]) ** 2, axis=1)
    weight = np.maximum(one.points[_LIMBS, 2], other.points[_LIMBS, 2]) + 1e-6
    sigma = 0.1 * max(one.size, other.size)
    return float(np.sum(weight * np.exp(-squared / (2 * sigma**2))) / np.sum(weight))


def _is_part(pose: Pose, other: Pose) -> bool:
    """Whether a pose only seems to be a body, made of parts of a better one: small inside it, or doubtful over it."""
    inner, outer = (box_around_points(each.points, 10**9, 10**9) for each in (pose, other))
    shared = np.prod(np.maximum(np.minimum(inner[2:], outer[2:]) - np.maximum(inner[:2], outer[:2]), 0))
    share = float(shared / np.prod(inner[2:] - inner[:2]))
    small = pose.size < 0.6 * other.size and pose.score < 0.9
    doubtful = pose.score < 0.6 * other.score
    return (small and share > 0.7) or (doubtful and (share > 0.5 or similarity(pose, other) > 0.2))


def _apart(poses: Sequence[Pose]) -> list[Pose]:
    """Best detection first, without those that are already the same body or would be after the next look."""
    kept: list[Pose] = []
    for pose in sorted(poses, key=lambda pose: -pose.next_roi.score):
        if not any(pose.next_roi.is_near(other.next_roi) or similarity(pose, other) > 0.8 for other in kept):
            kept.append(pose)
    return kept


def agreed(looks: tuple[Pose, Pose, Pose], photo_size: Sequence[int], weights: Sequence[float]) -> Pose:
    """One pose of three looks, rated; where a joint's two last looks differ the plain one holds, less confident."""
    before, plain, mirrored = looks
    apart = _apart_by(plain, mirrored, before)
    share = np.where(apart < 0.05, 0.5, 0.0)[:, None]
    points = plain.points * (1 - share) + mirrored.points * share
    points[:, 2] *= np.exp(-0.5 * (apart / 0.1) ** 2)  # 0.1 of the body: a joint that far off is wrong
    landmarks3d = (plain.landmarks3d + mirrored.landmarks3d) / 2  # 2 % nearer to the truth of rendered people
    rating = 1 / (1 + math.exp(-float(np.dot(weights, evidence(looks, photo_size)))))
    return Pose(points, landmarks3d, rating, plain.next_roi)


def evidence(looks: tuple[Pose, Pose, Pose], photo_size: Sequence[int]) -> tuple[float, ...]:
    """What tells a body from something else: how sure the models are in three looks, and how well these agree."""
    before, plain, mirrored = looks
    inside = _limbs_inside(plain.points, photo_size)
    return (
        1.0,
        _logit(plain.score),
        _logit(mirrored.score),
        math.log(np.median(_apart_by(plain, mirrored, before)[inside]) + 0.003),
        math.log(np.median(_apart_by(plain, before, before)[inside]) + 0.003),
        float(plain.points[inside, 2].mean()),
        before.next_roi.score,
    )


def _apart_by(one: Pose, other: Pose, measure: Pose) -> Float[np.ndarray, "33"]:
    """How far two looks put each point apart, in sizes of the body."""
    return np.linalg.norm(one.points[:, :2] - other.points[:, :2], axis=1) / measure.size


def _is_promising(pose: Pose, photo_size: Sequence[int]) -> bool:
    """Whether a first look deserves more of them; keeps 98.5 % of the bodies and a third of the rest (as `_RATING`)."""
    visible = float(pose.points[_limbs_inside(pose.points, photo_size), 2].mean())
    return 0.35 * _logit(pose.score) + 4.72 * visible + 6.3 * pose.next_roi.score > 5.4


def _limbs_inside(points: Float[np.ndarray, "33 3"], photo_size: Sequence[int]) -> list[int]:
    """The limb joints that lie inside the photo; all of them if none does."""
    outside = _outside(points, photo_size)
    return [limb for limb in _LIMBS if not outside[limb]] or _LIMBS


def _logit(p: float) -> float:
    p = min(max(p, 1e-3), 1 - 1e-3)
    return math.log(p / (1 - p))


def _outside(points: Float[np.ndarray, "33 3"], photo_size: Sequence[int]) -> Bool[np.ndarray, "33"]:
    return ((points[:, :2] < 0) | (points[:, :2] > photo_size)).any(1)


def box_around_points(points: Float[np.ndarray, "K 3"], width: int, height: int) -> Float[np.ndarray, "4"]:
    """The box (x0 y0 x1 y1 px, inside the photo) of a body by its trusted points, with room for skull and soles."""
    trusted = points[points[:, 2] > 0.3, :2]
    trusted = trusted if len(trusted) >= 4 else points[:, :2]
    low, high = trusted.min(0), trusted.max(0)
    room = 0.07 * float(np.max(high - low))  # the skull ends about so far above the eyes, the soles below the heels
    return np.clip([*(low - room), *(high + room)], 0, [width, height, width, height])


def person_of(pose: Pose, width: int, height: int) -> Person:
    """A find as a person of a photo of that size; joints outside of it have no confidence."""
    points = pose.points.copy()
    points[_outside(points, (width, height)), 2] = 0
    return Person(box_around_points(points, width, height), pose.score, points, MEDIAPIPE33, pose.landmarks3d)


def _overlap(one: Sequence[float] | np.ndarray, other: Sequence[float] | np.ndarray) -> float:
    """Intersection over union of two boxes."""
    wide, high = (min(one[i + 2], other[i + 2]) - max(one[i], other[i]) for i in (0, 1))
    shared = max(wide, 0) * max(high, 0)
    union = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)) - shared
    return float(shared / union) if union > 0 else 0.0
