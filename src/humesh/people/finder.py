"""Find the people of a photo: MoveNet says where somebody may be, two families of networks look closer."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain

import numpy as np
from jaxtyping import Float

from humesh.media.photo import Photo
from humesh.people import blazepose, movenet
from humesh.people.blazepose import LandmarkModel
from humesh.people.fusion import fused, rating
from humesh.people.person import Person
from humesh.people.regions import Pose, Pyramid, Roi
from humesh.people.runtime import network
from humesh.people.same_body import LIMBS, ONE_BODY, box_around_points, distinct, overlap, person_of, similarity
from humesh.threads import Threads

_SMALLEST_PHOTO = 24  # px; nobody is seen in less
_COARSE, _FINE, _FINEST = 256, 512, 1024  # px that the whole photo is cut to; the last where nobody is seen else
_TURNED, LEAST_TURNED = 0.3, 0.5  # in turned photos: MultiPose's score of a candidate, and a find's rating
_SMALL, _ZOOM = 0.22, 2.5  # of a tile: around smaller people finer tiles are searched, so many times their size
_MOST_TILES = 40
_MARGIN = 1.1  # the square that Thunder looks at, in longer sides of the body's box
_SAME_BODY = 0.4  # similarity of two candidates
_NOBODY = 0.1  # in a given box: the landmark model's score; whoever gives a box has seen somebody there
_IN_BOX = 0.15  # intersection over union of a given box and of who is seen in it; less is somebody else


class PeopleFinder:
    """Finds people with MoveNet and MediaPipe's pose networks; CPU, no downloads.

    `min_score`: finds rated lower are left out, 0..1. `fast`: MediaPipe's full landmark model looks once a person, not
    its heavy one three times. `workers`: threads, by default one a processor core up to four; answers do not depend on
    it. The networks are loaded once in a process; one finder may serve several threads. MissingNetworkError where the
    installation lacks them.
    """

    def __init__(self, *, min_score: float = 0.3, fast: bool = False, workers: int | None = None) -> None:
        self.min_score, self.fast = min_score, fast
        self.model: LandmarkModel = "full" if fast else "heavy"
        for name in (f"pose_landmark_{self.model}", "movenet_thunder", "movenet_multipose"):
            network(name)  # the largest first: the others fit into what loading it leaves behind
        self._threads = Threads(workers or min(4, os.cpu_count() or 1), "people")

    def close(self) -> None:
        """Ends the threads; the finder cannot be used any more. The networks stay for other finders."""
        self._threads.close()

    def __enter__(self) -> PeopleFinder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __call__(self, photo: Photo) -> list[Person]:
        """The people of a photo, best score first."""
        return [person_of(pose, *photo.size) for pose in self.search(photo)]

    def search(self, photo: Photo, known: Sequence[Pose] = ()) -> list[Pose]:
        """Those of `known` (poses in this photo) and whoever else is in a photo, best score first."""
        if min(photo.size) < _SMALLEST_PHOTO:
            return []
        pyramid = Pyramid(photo.pixels)
        found = self._apart(pyramid, _unlike(self._candidates(pyramid), known), known, self.min_score)
        return found or self._apart(pyramid, self._turned(pyramid), [], max(self.min_score, LEAST_TURNED))

    def follow(
        self, photo: Photo, poses: Sequence[Pose], min_score: float | None = None, quick: bool = False
    ) -> list[Pose]:
        """The people of poses expected in a photo, without a search, best score first.

        Those rated below `min_score` (None: the finder's own) are left out. `quick`: one look of each family a person.
        """
        least = self.min_score if min_score is None else min_score
        seen = self._seen(Pyramid(photo.pixels), poses, expected=True, quick=quick)
        return distinct([pose for pose in seen if pose.score >= least])

    def landmarks(self, photo: Photo, boxes: Float[np.ndarray, "N 4"]) -> list[Person]:
        """One person per given box (x0 y0 x1 y1 px), same order; confidences are 0 where nobody is seen."""
        pyramid, all_boxes = Pyramid(photo.pixels), np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
        starts = self._threads.map(partial(self._in_box, pyramid), all_boxes)
        people = []
        for box, start, some in zip(all_boxes, starts, self._looks(pyramid, starts, self.fast), strict=True):
            pose = fused([start, *some])
            if pose.score < _NOBODY or overlap(_box_of(pose, pyramid), box) < _IN_BOX:
                pose = replace(pose, points=pose.points * [1, 1, 0])  # nobody, or somebody else nearby
            pose = replace(pose, score=float(pose.points[LIMBS, 2].mean()))
            people.append(replace(person_of(pose, *photo.size), box=box.copy()))
        return people

    def _in_box(self, pyramid: Pyramid, box: Float[np.ndarray, "4"]) -> Pose:
        """Whom to look at in a box: MultiPose's find there or, without one, what Thunder makes of it."""
        found = movenet.find(pyramid, Roi.about(box, 1.5), least=0.0)
        near = [pose for pose in found if overlap(_box_of(pose, pyramid), box) >= _IN_BOX]
        if near:
            return max(near, key=lambda pose: pose.score * overlap(_box_of(pose, pyramid), box))
        return movenet.look(pyramid, Roi.about(box, _MARGIN))

    def _candidates(self, pyramid: Pyramid) -> list[Pose]:
        """Whom MultiPose sees: in the whole photo twice, and in finer tiles around those who are small there."""
        width, height = pyramid.width, pyramid.height
        whole = _whole(pyramid)
        shapes = [_shape(width, height, side) for side in (_COARSE, _FINE)]
        found: list[Pose] = [
            *chain.from_iterable(self._threads.map(lambda shape: movenet.find(pyramid, whole, *shape), shapes))
        ]
        if not found and max(width, height) > _FINE:
            found = movenet.find(pyramid, whole, *_shape(width, height, _FINEST))
        searched = [whole]
        for _ in range(4):
            tiles = list[Roi]()
            for pose in sorted(found, key=lambda pose: -pose.score):
                tile = Roi(pose.next_roi.x, pose.next_roi.y, _ZOOM * pose.size)
                if pose.size < _SMALL * whole.side and not any(_covers(t, tile) for t in [*searched, *tiles]):
                    tiles.append(tile)
            tiles = tiles[: _MOST_TILES - len(searched)]
            if not tiles:
                break
            searched += tiles
            found += chain.from_iterable(self._threads.map(partial(movenet.find, pyramid), tiles))
        return found

    def _turned(self, pyramid: Pyramid) -> list[Pose]:
        """Whom MultiPose sees in the photo turned by quarters: people upside down or lying."""
        turns = [replace(_whole(pyramid), angle=quarter * math.pi / 2) for quarter in (1, 2, 3)]
        found: list[list[Pose]] = self._threads.map(partial(movenet.find, pyramid, least=_TURNED), turns)
        return _unlike([*chain.from_iterable(found)], [])

    def _apart(self, pyramid: Pyramid, starts: Sequence[Pose], known: Sequence[Pose], least: float) -> list[Pose]:
        """The known bodies and those of the starts, each once, best score first.

        Where people overlap a closer look may see the neighbour: who came out as somebody better rated is made of those
        looks alone that are more like the start.
        """
        photo_size = pyramid.width, pyramid.height
        looks = [[start, *some] for start, some in zip(starts, self._looks(pyramid, starts, self.fast), strict=True)]
        rated = [(_rated(some, photo_size), some) for some in looks]
        found = sorted(known, key=lambda pose: -pose.score)
        for pose, some in sorted(rated, key=lambda pair: -pair[0].score):
            rival = next((other for other in found if similarity(pose, other) >= ONE_BODY), None)
            if rival is not None:
                own = [look for look in some[1:] if similarity(look, some[0]) > similarity(look, rival)]
                pose = _rated([some[0], *own], photo_size)
            if pose.score >= least and all(similarity(pose, other) < ONE_BODY for other in found):
                found.append(pose)
        return sorted(found, key=lambda pose: -pose.score)

    def _seen(
        self, pyramid: Pyramid, starts: Sequence[Pose], expected: bool = False, quick: bool = False
    ) -> list[Pose]:
        """A closer look by both families at each body that one of them saw, or that is only `expected`; rated."""
        looks = self._looks(pyramid, starts, quick or self.fast)
        every = [some if expected else [start, *some] for start, some in zip(starts, looks, strict=True)]
        return [_rated(some, (pyramid.width, pyramid.height)) for some in every]

    def _looks(self, pyramid: Pyramid, starts: Sequence[Pose], quick: bool) -> list[list[Pose]]:
        """Thunder's look at each body and those of the landmark model: one if `quick`, else three.

        The landmark model's own confidence tells little of whether a point is right, but how well it agrees with itself
        a lot: it looks twice more where the first look pointed to, once at the mirror image. Everybody's looks of one
        round are taken side by side.
        """

        def deep(roi: Roi, mirrored: bool = False) -> Callable[[], Pose]:
            return partial(blazepose.look, pyramid, roi, self.model, mirrored)

        near = [partial(movenet.look, pyramid, Roi.about(_box_of(start, pyramid), _MARGIN)) for start in starts]
        first = self._done([*near, *(deep(start.next_roi) for start in starts)])
        looks = [[one, other] for one, other in zip(first[: len(starts)], first[len(starts) :], strict=True)]
        if not quick:
            second = self._done([deep(some[1].next_roi, way) for some in looks for way in (True, False)])
            for number, some in enumerate(looks):
                some += second[2 * number : 2 * number + 2]
        return looks

    def _done(self, works: Sequence[Callable[[], Pose]]) -> list[Pose]:
        return self._threads.map(operator.call, works)


def _rated(looks: Sequence[Pose], photo_size: tuple[int, int]) -> Pose:
    """What several looks at one body come to, with its rating as score."""
    pose = fused(looks)
    return replace(pose, score=rating(pose, photo_size))


def _whole(pyramid: Pyramid) -> Roi:
    """The square about a photo."""
    return Roi(pyramid.width / 2, pyramid.height / 2, float(max(pyramid.width, pyramid.height)))


def _shape(width: int, height: int, longer: int) -> tuple[int, int]:
    """Sides in px, multiples of 32, of a picture of that shape whose longer side is as given."""
    scale = longer / max(width, height)
    return tuple(max(32, math.ceil(side * scale / 32 - 1e-6) * 32) for side in (width, height))  # type: ignore[return-value]


def _covers(tile: Roi, other: Roi) -> bool:
    """Whether a search of one tile would find what a search of another finds in its middle."""
    apart = max(abs(tile.x - other.x), abs(tile.y - other.y))
    return apart < tile.side / 4 and 0.5 < tile.side / other.side < 1.6


def _unlike(candidates: Sequence[Pose], known: Sequence[Pose]) -> list[Pose]:
    """Best score first, each body once, none that is known."""
    kept = list[Pose]()
    for pose in sorted(candidates, key=lambda pose: -pose.score):
        if all(similarity(pose, other) < _SAME_BODY for other in [*known, *kept]):
            kept.append(pose)
    return kept


def _box_of(pose: Pose, pyramid: Pyramid) -> Float[np.ndarray, "4"]:
    return box_around_points(pose.points, pyramid.width, pyramid.height)
