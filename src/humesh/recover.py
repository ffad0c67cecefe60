"""A photo's path through the library: read, find people, estimate poses, fit the bodies to the keypoints."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

import torch

from humesh.body.joints import SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.errors import ArgumentError, HumeshError
from humesh.estimators import Estimator, LandmarkEstimator, NetworkEstimator
from humesh.geometry.camera import Camera
from humesh.media.photo import Photo
from humesh.methods.base import Method, SkeletonPrediction
from humesh.people.finder import PeopleFinder
from humesh.people.given import GivenPeople, complete
from humesh.people.person import Person
from humesh.scene.result import Result
from humesh.threads import ahead

PersonFinder = Callable[[Photo], list[Person]]
Body = str | Path | BodyModel
Given = list[Person] | GivenPeople | str | Path | None

LANDMARKS, DEFAULT, IN_VIDEOS = "landmarks", "lifter", "lifter_video"
"""What `weights` may be besides a file: no network at all, or a network that is shipped; the defaults."""
FINDERS = ("accurate", "fast")
_PHOTOS_AT_ONCE = 4


class DeviceError(HumeshError, ValueError):
    """A device that is not there."""


class Recoverer:
    """Photos to posed bodies; holds what is costly to load, so make one and call it often.

    `body`: "open", an SMPL file or a BodyModel. `finder`: finds people; "accurate" (the default) and "fast" are
    `PeopleFinder`'s two ways. `device`: where networks run; "auto" takes a GPU where there is one. `weights`: a trained
    method's file, or the name of a method whose weights are shipped; "landmarks": none, the detector's landmarks are
    posed. `refine`: bodies are then fitted to the 2D keypoints, held by a pose prior. Raises BodyFileError and
    WeightsError (ValueErrors) for files that cannot be read, DeviceError for a missing device, ArgumentError (a
    TypeError) for arguments of other types.
    """

    def __init__(
        self,
        body: Body = "open",
        finder: PersonFinder | Literal["accurate", "fast"] | None = None,
        device: str = "auto",
        weights: str | Path = DEFAULT,
        refine: bool = True,
    ) -> None:
        if not isinstance(body, str | Path | BodyModel):
            raise ArgumentError(f'body: expected "open", an SMPL file or a BodyModel, got {type(body).__name__}.')
        if not isinstance(weights, str | Path):
            raise ArgumentError(
                f'weights: expected a file or a name, got {type(weights).__name__}; "{LANDMARKS}" uses no network.'
            )
        if not (finder is None or callable(finder) or (isinstance(finder, str) and finder in FINDERS)):
            raise ArgumentError(
                f"finder: expected {' or '.join(FINDERS)}, or a function from a Photo to a list of Person, got "
                f"{finder!r}; give one of these."
            )
        where = device_named(device)
        self.body = body if isinstance(body, BodyModel) else BodyModel.load(body)
        self._finder = finder if callable(finder) else None
        self._fast, self._device = finder == "fast", str(where)
        self.estimator: Estimator = (
            LandmarkEstimator(self.body, where, refine)
            if str(weights) == LANDMARKS
            else NetworkEstimator(self.body, weights, where, refine)
        )

    @property
    def finder(self) -> PersonFinder:
        """What finds people; the default is made, and its networks loaded, when it is first asked for."""
        return self._finder or self._own_finder

    @cached_property
    def _own_finder(self) -> PeopleFinder:
        return PeopleFinder(fast=self._fast, device=self._device)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is odd about all results, in sentences: of the weights, and of the finder once it is loaded."""
        finder = self._finder or vars(self).get("_own_finder")
        return (*self.estimator.notes, *(finder.notes if isinstance(finder, PeopleFinder) else ()))

    def __call__(self, photo: object, people: Given = None, focal_px: float | None = None) -> Result:
        """The bodies of everyone in a photo (whatever `Photo.of` takes), or of the people given.

        `people`: a list, or a file of detections (COCO, OpenPose, boxes). `focal_px`: the focal length in pixels, where
        it is known better than EXIF's. Raises PhotoError for what is no photo, DetectionsError, ArgumentError.
        """
        photo = Photo.of(photo)
        photo = Photo.of(photo, camera_with(focal_px, photo.size))
        people, photo = self._people(photo, people)
        usable = self.usable(people)
        notes = [*photo.notes, *self.notes]
        if len(usable) < len(people):
            notes.append(f"{len(people) - len(usable)} of {len(people)} people left out: no body seen in their boxes.")
        nobody = torch.zeros(0, len(SMPL24))
        prediction = SkeletonPrediction(BodyPose.rest(0, shapes=self.body.shapes), nobody, nobody.bool())
        if usable:
            prediction = self.estimator.estimate(photo, usable)
        for number, visible in enumerate(prediction.seen.tolist()):
            hidden = [name for name, is_visible in zip(SMPL24.names, visible, strict=True) if not is_visible]
            if hidden:
                notes.append(f"person {number}: not seen and {self.estimator.of_hidden}: {', '.join(hidden)}.")
        return Result(
            photo=photo,
            people=usable,
            pose=prediction.pose,
            confidence=prediction.confidence.float(),
            visible=prediction.seen,
            body=self.body,
            method=self.estimator.method,
            notes=tuple(notes),
            expected_error_m=prediction.expected_error_m,
        )

    def _people(self, photo: Photo, people: Given) -> tuple[list[Person], Photo]:
        """The people found or given, with what the estimator starts from, and the photo with notes on them."""
        if people is None:
            people = self.finder(photo)
        elif isinstance(people, str | Path | GivenPeople):
            given = people if isinstance(people, GivenPeople) else GivenPeople(people)
            people, photo = given.on(photo, photo.path)
        strange = [p for p in people if not isinstance(p, Person)] if isinstance(people, list | tuple) else [people]
        if strange:
            raise ArgumentError(
                f"people: expected a list of Person, got {type(strange[0]).__name__}; make each with "
                "Person(box, score)."
            )
        if not all(map(self.estimator.has_evidence, people)):
            people = complete(people, photo, self._own_finder.landmarks)
        return people, photo

    @property
    def network(self) -> Method | None:
        """The method's network; None where landmarks are posed without one."""
        return self.estimator.network if isinstance(self.estimator, NetworkEstimator) else None

    def usable(self, people: list[Person]) -> list[Person]:
        """Those who can be posed: some joint is visible, and there is what the estimator starts from."""
        visible = [person for person in people if person.keypoints is not None and person.keypoints[:, 2].any()]
        return [person for person in visible if self.estimator.has_evidence(person)]


def recover(
    photo: object,
    body: Body = "open",
    *,
    focal_px: float | None = None,
    detections: Given = None,
    device: str = "auto",
    weights: str | Path = DEFAULT,
) -> Result:
    """The bodies of everyone in one photo: a path, an array, a tensor, a PIL image, an open file, a Photo.

    Options: see `Recoverer` and its call. For several photos: `recover_batch`, or one Recoverer called in a loop.
    """
    photo = Photo.of(photo)  # before anything is loaded
    return Recoverer(body, device=device, weights=weights)(photo, detections, focal_px)


def recover_batch(
    photos: Iterable[object],
    body: Body = "open",
    *,
    focal_px: float | None = None,
    detections: Given = None,
    device: str = "auto",
    weights: str | Path = DEFAULT,
) -> list[Result]:
    """The bodies of everyone in each of several photos, in order; `detections`: a file that gives people for all."""
    recoverer = Recoverer(body, device=device, weights=weights)
    given = GivenPeople(detections) if isinstance(detections, str | Path) else detections
    results = ahead(partial(recoverer, people=given, focal_px=focal_px), photos, _PHOTOS_AT_ONCE)
    return [result.result() for result in results]


def camera_with(focal_px: float | None, size: tuple[int, int]) -> Camera | None:
    """The camera of a focal length in pixels; None where it is not known."""
    if focal_px is None:
        return None
    if not 0 < focal_px < math.inf:
        raise ArgumentError(f"focal_px: expected pixels above 0, got {focal_px}; leave it out where it is not known.")
    return Camera.virtual(focal_px, size)


def device_named(name: str) -> torch.device:
    """The device of that name, tried out; "auto" takes CUDA's or Apple's where there is one. Raises DeviceError."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        if not re.fullmatch(r"(cuda|mps)(:\d+)?", name):
            raise DeviceError(f"device: expected auto, cpu, cuda[:N] or mps, got {name!r}.") from None
        raise DeviceError(
            f"device {name!r}: expected auto, cpu, or a GPU that is present ({str(error).splitlines()[0]})."
        ) from None
    return device
