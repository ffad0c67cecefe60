"""A photo's path through the library: read, find people, predict their bodies, fit these to the keypoints."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from operator import itemgetter
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from humesh.body.files import SHIPPED
from humesh.body.joints import MEDIAPIPE33, SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.body.pose_prior import PosePrior
from humesh.crops.crops import Crops, believed, confidence_of_joints, group_people, keypoints_of, landmarks_of
from humesh.errors import ArgumentError, HumeshError
from humesh.fitting.fit import fit
from humesh.fitting.outline import shapes_by_outline
from humesh.geometry.camera import Camera
from humesh.media.photo import Photo
from humesh.methods.base import Prediction
from humesh.methods.weights import load_method, shipped
from humesh.people.finder import PeopleFinder
from humesh.people.given import GivenPeople, complete
from humesh.people.person import Person
from humesh.scene.result import VISIBLE_ABOVE, Result
from humesh.threads import ahead

PersonFinder = Callable[[Photo], list[Person]]
Body = str | Path | BodyModel
Given = list[Person] | GivenPeople | str | Path | None

DEFAULT, IN_VIDEOS = "lifter", "lifter_video"
"""The shipped weights that are used by default, of photos and of videos."""
FINDERS = ("accurate", "fast")
_PHOTOS_AT_ONCE = 4


class DeviceError(HumeshError, ValueError):
    """A device that is not there."""


@dataclass(frozen=True)
class Batching:
    """How much a device works on together: `crops` are gathered over frames before a network gets them.

    A CPU gains nothing from more than a frame; a GPU takes hardly longer for many people than for one.
    """

    crops: int  # at least, unless the video ends
    groups: int  # of crops that a network gets together; more would only take memory
    windows: int  # of clips
    people: int  # that are fitted together

    @classmethod
    def on(cls, device: torch.device) -> Batching:
        """What suits a device."""
        return cls(1, 8, 1, 32) if device.type == "cpu" else cls(128, 64, 64, 256)


class Recoverer:
    """Photos to posed bodies; holds what is costly to load, so make one and call it often.

    `body`: "open", an SMPL file or a BodyModel. `finder`: finds people; "accurate" (the default) and "fast" are
    `PeopleFinder`'s two ways. `device`: where networks run; "auto" takes a GPU where there is one. `weights`: a trained
    method's file, or the name of a method whose weights are shipped. `refine`: bodies are then fitted to the 2D
    keypoints, held by a pose prior. Raises BodyFileError and WeightsError (ValueErrors) for files that cannot be read,
    DeviceError for a missing device, ArgumentError (a TypeError) for arguments of other types.
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
                f"weights: expected a file or a name, got {type(weights).__name__}; shipped are {', '.join(shipped())}."
            )
        if not (finder is None or callable(finder) or (isinstance(finder, str) and finder in FINDERS)):
            raise ArgumentError(
                f"finder: expected {' or '.join(FINDERS)}, or a function from a Photo to a list of Person, got "
                f"{finder!r}; give one of these."
            )
        self.device = device_named(device)
        self.body = body if isinstance(body, BodyModel) else BodyModel.load(body)
        self._finder, self._fast, self._refine = finder if callable(finder) else None, finder == "fast", refine
        self.batching = Batching.on(self.device)
        header, network = load_method(weights, self.body.on(self.device))
        self.method, self.network = header.method, network.to(self.device)
        # Fits need float64, which Apple's GPUs lack.
        self._fit_device = torch.device("cpu") if self.device.type == "mps" else self.device
        self._fit_body = self.body.on(self._fit_device)
        is_ours = self.body.name in SHIPPED
        # Nothing that comes with humesh sees pixels, so of shapes the mask knows more; other weights may.
        self._outline = is_ours and str(weights) in shipped()
        self._is_other_body, self._notes = (header.body == "smpl") == is_ours, tuple[str, ...]()
        if self._is_other_body:
            theirs, advice = ("SMPL's", "; give your SMPL file as the body") if is_ours else ("humesh's open", "")
            self._notes = (
                f"the weights are of {theirs} body, but the body is {self.body.name!r}: poses are taken over, shapes "
                f"are not (every body is the mean one){advice}.",
            )

    @property
    def finder(self) -> PersonFinder:
        """What finds people; the default is made, and its networks loaded, when it is first asked for."""
        return self._finder or self._own_finder

    @cached_property
    def _own_finder(self) -> PeopleFinder:
        return PeopleFinder(fast=self._fast, device=str(self.device))

    @property
    def notes(self) -> tuple[str, ...]:
        """What is odd about all results, in sentences: of the weights, and of the finder once it is loaded."""
        finder = self._finder or vars(self).get("_own_finder")
        return (*self._notes, *(finder.notes if isinstance(finder, PeopleFinder) else ()))

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
        prediction = Prediction(BodyPose.rest(0, shapes=self.body.shapes))
        if usable:
            prediction = self.predict(self.crops(photo, usable))
        confidence = confidence_of_joints(usable, photo.size)
        visible = confidence >= VISIBLE_ABOVE
        for number, row in enumerate(visible.tolist()):
            hidden = [name for name, is_visible in zip(SMPL24.names, row, strict=True) if not is_visible]
            if hidden:
                notes.append(f"person {number}: not seen and guessed by the network: {', '.join(hidden)}.")
        return Result(
            photo=photo,
            people=usable,
            pose=self.fitted(prediction.pose, usable, photo.camera, photo.size),
            confidence=confidence.float(),
            visible=visible,
            body=self.body,
            method=self.method,
            notes=tuple(notes),
            expected_error_m=prediction.expected_error_m,
        )

    def _people(self, photo: Photo, people: Given) -> tuple[list[Person], Photo]:
        """The people found or given, with keypoints, and the photo with notes on them."""
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
        if any(person.keypoints is None for person in people):
            people = complete(people, photo, self._own_finder.landmarks)
        return people, photo

    def usable(self, people: list[Person]) -> list[Person]:
        """Those of whom some keypoint is visible."""
        return [person for person in people if person.keypoints is not None and person.keypoints[:, 2].any()]

    @torch.no_grad()
    def crops(self, photo: Photo, people: list[Person]) -> Crops:
        """What the network sees of people of a photo."""
        return group_people(self.network.spec, photo, people)

    @torch.no_grad()
    def predict(self, crops: Crops) -> Prediction:
        """The network's own predictions for the wanted crops, one after the other, on the CPU."""
        there, size = crops.map(lambda tensor: tensor.to(self.device)), self.batching.groups
        slices = [slice(start, start + size) for start in range(0, len(crops.present), size)]
        predictions = [self.network(there.map(itemgetter(rows))) for rows in slices]
        pose = BodyPose.joined([prediction.pose for prediction in predictions])
        found = [p.expected_error_m for p in predictions if p.expected_error_m is not None]
        errors = torch.cat(found).cpu()[crops.wanted] if found else None
        return Prediction(pose.map(lambda tensor: tensor.cpu()[crops.wanted]), expected_error_m=errors)

    @torch.no_grad()
    def fitted(self, pose: BodyPose, people: list[Person], camera: Camera, size: tuple[int, int]) -> BodyPose:
        """Predicted poses in shapes of the body, fitted (where `refine` is set) to the keypoints, on the CPU.

        `camera` and `size` (width, height) are of the people's photos.
        """
        if self._is_other_body:
            pose = replace(pose, shape=torch.zeros(len(people), self.body.shapes))
        if not self._refine or not people:
            return pose.map(Tensor.float)
        if self._outline:
            pose = replace(pose, shape=shapes_by_outline(pose, people, camera, size))
        prior, landmarks = PosePrior.load(), torch.from_numpy(np.stack([landmarks_of(person) for person in people]))
        pose = pose.map(lambda tensor: tensor.to(self._fit_device))
        sets = [person.keypoint_set for person in people if person.keypoint_set is not None]
        for joint_set in {joint_set.name: joint_set for joint_set in sets}.values():
            rows = torch.tensor([person.keypoint_set == joint_set for person in people])
            keypoints = torch.zeros(len(people), len(joint_set), 3).double()  # of nobody else is anything visible
            keypoints[rows] = keypoints_of([p for p in people if p.keypoint_set == joint_set]).double()
            if joint_set == MEDIAPIPE33:
                keypoints[..., 2] = believed(keypoints, size)
            pose = fit(self._fit_body, prior, pose, keypoints, joint_set, camera, landmarks=landmarks)
        return pose.map(lambda tensor: tensor.float().cpu())


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
