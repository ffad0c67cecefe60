"""Find the people of a photo: MediaPipe and MoveNet on tiles of many scales."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.special import expit, logit

from humesh.images.landmark_models import LandmarkModel, Pose, PoseModels, Pyramid, Roi, best_landmark_model
from humesh.images.movenet import MoveNet, movenet_is_there
from humesh.images.photo import Person, Photo
from humesh.images.same_body import (
    LIMBS,
    box_around_points,
    distinct,
    outside,
    overlap,
    person_of,
    similarity,
    unlike,
)
from humesh.images.tiles import tile_batches

_SMALLEST_PHOTO = 24  # px; the detector sees nobody in less
_MOVENET_TILES, _SMALL = 10, 0.35  # always looked at; finer ones while somebody is smaller than this much of a tile
_MOVENET_TILE = 128.0  # px; in smaller tiles it sees nobody more
_SUSPECT = 0.7  # a detection's score that MoveNet's finds get: the rating hardly asks for it
_SAME_BODY = 0.3  # similarity; MoveNet and MediaPipe, or a moment ago and now, tell of one body
_TOLD_RATING = (3.78, 0.34, 2.08, 2.36)
"""As `_RATING`, of MoveNet's finds, on `told_evidence`: `tools/fit_rating.py movenet` on 153 bodies and 56 others; at
0.35 it keeps 99 % and 10."""
_NEAR = (0.07, 0.86)
"""Logistic regression of whether a joint lies within a tenth of the person, on the logit of MoveNet's confidence: of
1,382 rendered people whom MediaPipe did not make out."""
_SAME_HEAD = 0.5  # intersection over union of two detections of one head
_RATING: dict[LandmarkModel, tuple[float, ...]] = {
    "full": (-12.23, 0.21, 0.18, -1.20, -0.53, 2.98, 3.60),
    "heavy": (-7.72, 0.28, 0.18, -1.46, -0.06, 0.87, -0.55),
}
"""Logistic regression of whether a find is a body, on `evidence`. Full: fitted on 3,280 candidates of 29 photos without
people, 22 collages and 9 photos of people; at 0.3 it keeps 4 of the 1,555 where nobody is. Heavy: `tools/fit_rating.py`
on 178 bodies and 288 others in 150 rendered scenes and 30 photos without people; at 0.35 it keeps 81 % and 20."""
_FOLLOWED_RATING = {"full": (-5.17, 0.55, -0.52, 0.98), "heavy": (-6.06, 0.47, -0.53, 1.93)}
"""As `_RATING`, from one look at somebody who was found before, on `followed_evidence`; the same tool, --followed. At
0.21, which is asked of them, they keep 80 and 89 % of the bodies, and 72 of 379 and 67 of 287 others."""


class MediaPipePeople:
    """Finds people with MediaPipe's detector and MoveNet on tiles of many scales; CPU, no downloads.

    MediaPipe's landmark model looks at everyone. Whom it does not make out is told by MoveNet's 17 points alone: such
    a person has no 3D landmarks.

    `min_score`: finds rated lower are left out, 0..1. `tiles`: this many tiles at most are always looked at, coarse
    scales first; `crowd_tiles`: this many more, of finer scales, while there are small people. `workers`: threads.
    `model`: MediaPipe's "heavy" landmark model or its "full" one, which is three times as fast and sees less; None:
    the heavy one where it was installed. `movenet`: whether MoveNet helps; None: where it was installed. The models
    are loaded once and reused; one finder may serve several threads.
    """

    def __init__(
        self,
        *,
        min_score: float = 0.35,
        tiles: int = 40,
        crowd_tiles: int = 160,
        workers: int | None = None,
        model: LandmarkModel | None = None,
        movenet: bool | None = None,
    ) -> None:
        self.min_score, self.tiles, self.crowd_tiles = min_score, tiles, crowd_tiles
        self.model = model or best_landmark_model()
        count = workers or min(4, os.cpu_count() or 1)
        self._models = PoseModels(count, self.model)
        self._movenet = MoveNet() if (movenet_is_there() if movenet is None else movenet) else None
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
            rois = self._candidates(pyramid, _squares(tiles))
            rois = [roi for roi in rois if not any(roi.is_near(pose.next_roi, 2.0) for pose in known)]
            found = distinct([*found, *self._looked_at(pyramid, rois)])
        unseen = _others(self._suspects(pyramid, beside=bool(known)), found)
        found += self._looked_at(pyramid, [replace(pose.next_roi, score=_SUSPECT) for pose in unseen])
        unseen = _others(unseen, found)
        told = self._told_all(pyramid, unseen, unseen)
        return distinct([*found, *(pose for pose in told if pose.score >= self.min_score)])

    def follow(
        self, photo: Photo, poses: Sequence[Pose], min_score: float | None = None, quick: bool = False
    ) -> list[Pose]:
        """The people of poses guessed from the frame before, without a search: two looks a person, best score first.

        Those rated below `min_score` (None: the finder's own) are left out, and who turned out to be somebody else.
        `quick`: one look a person, none at the mirror image; no joint is further off, but what is no body stays longer.
        """
        least, pyramid = self.min_score if min_score is None else min_score, Pyramid(photo.pixels)
        if quick:
            looks = self._looks(pyramid, [pose.next_roi for pose in poses])
            followed = [self._followed(pair, photo.size) for pair in zip(poses, looks, strict=True)]
        else:
            followed = self._settled(pyramid, poses)
        lost = [pose for pose, now in zip(poses, followed, strict=True) if now.score < least]
        told = [pose for pose in self._told_all(pyramid, lost) if any(similarity(pose, p) > _SAME_BODY for p in lost)]
        return distinct([pose for pose in [*followed, *told] if pose.score >= least])

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
            (pose,) = self._looks(pyramid, [Roi.about(box, 1.25)])
            if pose.score >= 0.5:
                (pose,) = self._looks(pyramid, [pose.next_roi])
            told = self._settled(pyramid, [pose]) if pose.score >= 0.5 else self._believed(pyramid, box)
            near = [pose for pose in told if overlap(_box_of(pose, pyramid), box) >= 0.15]  # else it is somebody else
            found.append(person_of(near[0], pyramid.width, pyramid.height) if near else None)
        return found

    def _in_box(self, pyramid: Pyramid, box: Float[np.ndarray, "4"]) -> Person:
        candidates = self._candidates(pyramid, [Roi.about(box, 1.0), Roi.about(box, 1.3)])
        looks = self._looks(pyramid, [Roi.about(box, 1.25), *candidates])
        tried = list(looks)
        for _ in range(2):
            looks = self._looks(pyramid, [pose.next_roi for pose in looks])
            tried += looks

        def fit(pose: Pose) -> float:
            return pose.score * overlap(_box_of(pose, pyramid), box)

        best = max(tried, key=fit)
        (settled,) = self._settled(pyramid, [best])
        if best.score < 0.5 or fit(best) < 0.15:  # nobody, or somebody else nearby
            told = self._believed(pyramid, box)
            settled = told[0] if told else replace(settled, points=settled.points * [1, 1, 0])
        return replace(person_of(settled, pyramid.width, pyramid.height), box=box.copy())

    def _suspects(self, pyramid: Pyramid, beside: bool) -> list[Pose]:
        """Whom MoveNet sees, each once, on coarse tiles; if some are small and nobody is known, also on finer ones."""
        if self._movenet is None:
            return []
        found: list[Pose] = []
        size, crowd = (pyramid.width, pyramid.height), self.crowd_tiles // 2
        for tiles in tile_batches(*size, _MOVENET_TILES, crowd, smallest=_MOVENET_TILE):
            found += chain.from_iterable(self._pool.map(partial(self._movenet.find, pyramid), _squares(tiles)))
            small = any(pose.size < _SMALL * tiles[:, 2].min() and pose.score > 0.2 for pose in found)
            if beside or not small:
                break
        return distinct(found)

    def _told_all(self, pyramid: Pyramid, poses: Sequence[Pose], otherwise: Sequence[Pose] = ()) -> list[Pose]:
        boxes = [_box_of(pose, pyramid) for pose in poses]
        again = self._pool.map(partial(self._told, pyramid), boxes, otherwise or [None] * len(boxes))
        return list(chain.from_iterable(again))

    def _told(self, pyramid: Pyramid, box: Float[np.ndarray, "4"], otherwise: Pose | None = None) -> list[Pose]:
        """MoveNet's closer look at a box, rated by how sure its two networks are, and agree; nobody: an empty list.

        `otherwise`: what its first network found from afar, where from near by it sees somebody else.
        """
        if self._movenet is None:
            return []
        seen = self._movenet.find(pyramid, Roi.about(box, 1.5), 0.0)
        near = [pose for pose in seen if overlap(_box_of(pose, pyramid), box) >= 0.3]
        first = max(near, key=lambda pose: overlap(_box_of(pose, pyramid), box), default=otherwise)
        if first is None:
            return []
        look = self._movenet.look(pyramid, _box_of(first, pyramid))
        return [self._rated(first, look)]

    def _rated(self, first: Pose, look: Pose) -> Pose:
        """The closer look, or what was seen before where that one saw somebody else; rated, in our confidences."""
        kept = look if similarity(first, look) > _SAME_BODY else first
        points = kept.points.copy()
        points[:, 2] = _near(points[:, 2])
        return replace(kept, points=points, score=_rating(_TOLD_RATING, told_evidence(first, look)))

    def _believed(self, pyramid: Pyramid, box: Float[np.ndarray, "4"]) -> list[Pose]:
        """The one whom MoveNet sees in a box, if it is a body."""
        return [pose for pose in self._told(pyramid, box) if pose.score >= self.min_score]

    def _looked_at(self, pyramid: Pyramid, rois: list[Roi]) -> list[Pose]:
        """Whom the landmark model sees in regions, each settled."""
        for quick in (True, False):  # two looks settle the region, as MediaPipe's tracker does from frame to frame
            looks = self._looks(pyramid, rois, quick=quick)
            poses = unlike([pose for pose in looks if _is_promising(pose, (pyramid.width, pyramid.height))])
            rois = [pose.next_roi for pose in poses]
        return [pose for pose in self._settled(pyramid, poses) if pose.score >= self.min_score]

    def _candidates(self, pyramid: Pyramid, tiles: list[Roi]) -> list[Roi]:
        """The detector's regions of interest in these tiles, best first, the same head only once."""
        rois = chain.from_iterable(self._pool.map(partial(self._models.detect, pyramid), tiles))
        kept: list[Roi] = []
        for roi in sorted(rois, key=lambda roi: -roi.score):
            if all(overlap(roi.head, other.head) < _SAME_HEAD for other in kept):
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

    def _followed(self, looks: tuple[Pose, Pose], photo_size: Sequence[int]) -> Pose:
        return replace(looks[1], score=_rating(_FOLLOWED_RATING[self.model], followed_evidence(looks, photo_size)))


def agreed(looks: tuple[Pose, Pose, Pose], photo_size: Sequence[int], weights: Sequence[float]) -> Pose:
    """One pose of three looks, rated; where a joint's two last looks differ the plain one holds, less confident."""
    before, plain, mirrored = looks
    apart = _apart_by(plain, mirrored, before)
    share = np.where(apart < 0.05, 0.5, 0.0)[:, None]
    points = plain.points * (1 - share) + mirrored.points * share
    points[:, 2] *= np.exp(-0.5 * (apart / 0.1) ** 2)  # 0.1 of the body: a joint that far off is wrong
    assert plain.landmarks3d is not None
    assert mirrored.landmarks3d is not None
    landmarks3d = (plain.landmarks3d + mirrored.landmarks3d) / 2  # 2 % nearer to the truth of rendered people
    return Pose(points, landmarks3d, _rating(weights, evidence(looks, photo_size)), plain.next_roi)


def _squares(tiles: Float[np.ndarray, "T 3"]) -> list[Roi]:
    """Tiles (x0, y0, side px) as regions to look at."""
    return [Roi(x + side / 2, y + side / 2, side) for x, y, side in tiles.tolist()]


def _others(poses: Sequence[Pose], known: Sequence[Pose]) -> list[Pose]:
    """Those who are none of the known ones."""
    return [pose for pose in poses if all(similarity(pose, other) < _SAME_BODY for other in known)]


def _rating(weights: Sequence[float], given: Sequence[float]) -> float:
    return float(expit(np.dot(weights, given)))


def told_evidence(first: Pose, look: Pose) -> tuple[float, ...]:
    """What tells a body from something else where only MoveNet sees one: how sure both networks are, and agree."""
    return (1.0, _logit(first.score), _logit(look.score), similarity(first, look))


def _near(confidence: Float[np.ndarray, "K"]) -> Float[np.ndarray, "K"]:
    """MoveNet's confidence as the probability that a point is right; 0 stays 0."""
    return np.where(confidence > 0, expit(_NEAR[0] + _NEAR[1] * _logit(confidence)), 0.0)


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


def followed_evidence(looks: tuple[Pose, Pose], photo_size: Sequence[int]) -> tuple[float, ...]:
    """What tells that somebody is still there: how sure the model is, and how well it agrees with what was expected."""
    before, now = looks
    inside = _limbs_inside(now.points, photo_size)
    return (
        1.0,
        _logit(now.score),
        math.log(np.median(_apart_by(now, before, before)[inside]) + 0.003),
        float(now.points[inside, 2].mean()),
    )


def _apart_by(one: Pose, other: Pose, measure: Pose) -> Float[np.ndarray, "33"]:
    """How far two looks put each point apart, in sizes of the body."""
    return np.linalg.norm(one.points[:, :2] - other.points[:, :2], axis=1) / measure.size


def _is_promising(pose: Pose, photo_size: Sequence[int]) -> bool:
    """Whether a first look deserves more of them; keeps 98.5 % of the bodies and a third of the rest (as `_RATING`)."""
    visible = float(pose.points[_limbs_inside(pose.points, photo_size), 2].mean())
    return bool(0.35 * _logit(pose.score) + 4.72 * visible + 6.3 * pose.next_roi.score > 5.4)


def _limbs_inside(points: Float[np.ndarray, "33 3"], photo_size: Sequence[int]) -> list[int]:
    """The limb joints that lie inside the photo; all of them if none does."""
    beyond = outside(points, photo_size)
    return [limb for limb in LIMBS if not beyond[limb]] or LIMBS


def _logit(p: Any) -> Any:
    """The logarithm of the odds of a probability or an array of them, 7 at most."""
    return logit(np.clip(p, 1e-3, 1 - 1e-3))


def _box_of(pose: Pose, pyramid: Pyramid) -> Float[np.ndarray, "4"]:
    return box_around_points(pose.points, pyramid.width, pyramid.height)
