"""A photo's path through the library: read, find people, estimate poses, fit the bodies to the keypoints."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cached_property, partial
from operator import itemgetter
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from humesh.body.files import SHIPPED
from humesh.body.joints import MEDIAPIPE33, SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.body.pose_prior import PosePrior
from humesh.crops.crops import Crops, group_people, landmarks_of
from humesh.errors import ArgumentError, HumeshError
from humesh.fitting.fit import NEAR_NETWORK, FitSettings, fit
from humesh.fitting.landmark_ik import LandmarkIK, believed, confidence_of_joints
from humesh.fitting.outline import shapes_by_outline
from humesh.fitting.windows import Windows
from humesh.geometry.camera import Camera
from humesh.media.photo import Photo
from humesh.media.video import Video
from humesh.methods.base import ClipMethod, Method, Prediction, SkeletonPrediction
from humesh.people.finder import PeopleFinder
from humesh.people.given import GivenPeople, complete
from humesh.people.person import Person
from humesh.scene.result import VISIBLE_ABOVE, Result
from humesh.threads import ahead

PersonFinder = Callable[[Photo], list[Person]]
Progress = Callable[[str, int, int | None], None]
"""Gets what is being done, how many frames are done, and of how many (None: unknown)."""

LANDMARKS, DEFAULT, IN_VIDEOS = "landmarks", "lifter", "lifter_video"
"""What `weights` may be besides a file: no network at all, or a network that is shipped; the defaults."""
FINDERS = ("accurate", "fast")
_GROUPS_AT_ONCE = 8  # groups of crops that a network gets together; more would only take memory
_PEOPLE_AT_ONCE = 32  # of a video: networks and fits are several times as fast as one by one
_PHOTOS_AT_ONCE = 4


class DeviceError(HumeshError, ValueError):
    """A device that is not there."""


class Estimator(Protocol):
    """What poses people: first estimates in a photo or through a video, which are then fitted to the keypoints."""

    method: str
    notes: tuple[str, ...]
    of_hidden: str
    """What becomes of hidden joints, in words."""
    device: torch.device

    def has_evidence(self, person: Person) -> bool:
        """Whether a person has what the estimate starts from, visible or not."""

    def first(self, photo: Photo, people: list[Person]) -> Prediction | None:
        """First estimates for people of a photo; None where `finish` needs none."""

    def first_in_video(
        self, video: Video, people: list[list[Person]], camera: Camera, interval: int, progress: Progress
    ) -> Iterator[tuple[int, Person, BodyPose | None]]:
        """Frame, person and first estimate of everybody; `interval`: frames between those of a clip."""

    def finish(
        self, pose: BodyPose | None, people: list[Person], camera: Camera, size: tuple[int, int]
    ) -> SkeletonPrediction:
        """The fitted bodies of people in photos of one camera and (width, height), and what is known of each joint."""


class NetworkEstimator:
    """A method's network with its weights."""

    of_hidden = "guessed by the network"

    def __init__(self, body: BodyModel, weights: str | Path, device: torch.device, refine: bool) -> None:
        from humesh.methods.weights import load_method, shipped  # costly to import; landmarks need no network
        from humesh.networks.encoders import fold

        header, network = load_method(weights, body)
        fold(network)
        self.body, self.device, self._refine = body, device, refine
        self.method, self.network = header.method, network.to(device)
        self.notes: tuple[str, ...] = ()
        ours = body.name in SHIPPED
        # Nothing that comes with humesh sees pixels, so of shapes the mask knows more; other weights may.
        self._outline = ours and str(weights) in shipped()
        self._other_body = (header.body == "smpl") == ours
        if self._other_body:
            theirs, advice = ("SMPL's", "; give your SMPL file as the body") if ours else ("humesh's open", "")
            self.notes = (
                f"the weights are of {theirs} body, but the body is {body.name!r}: poses are taken over, shapes are "
                f"not (every body is the mean one){advice}.",
            )

    def has_evidence(self, person: Person) -> bool:
        """Whether there are keypoints, of any joint set."""
        return person.keypoints is not None

    @torch.no_grad()
    def crops(self, photo: Photo, people: list[Person]) -> Crops:
        """What the network sees of people of a photo."""
        return group_people(self.network.spec, photo, people)

    def predict(self, crops: Crops) -> Prediction:
        """The network's own predictions for the wanted crops, one after the other, on the CPU."""
        return predicted(self.network, crops, self.device)

    def first(self, photo: Photo, people: list[Person]) -> Prediction:
        """The network's predictions."""
        return self.predict(self.crops(photo, people))

    def first_in_video(
        self, video: Video, people: list[list[Person]], camera: Camera, interval: int, progress: Progress
    ) -> Iterator[tuple[int, Person, BodyPose | None]]:
        """Batches over people, of methods for clips windows through each track."""
        spec, windows = self.network.spec, None
        if isinstance(self.network, ClipMethod):
            windows = Windows(self.network, spec.count or 16, interval, self.device)
        waiting: list[tuple[int, Person]] = []
        batch: list[Crops] = []

        def predicted() -> Iterator[tuple[int, Person, BodyPose]]:
            if waiting:
                pose = self.predict(Crops.joined(batch)).pose
                yield from ((*which, pose.map(itemgetter(row))) for row, which in enumerate(waiting))
                waiting.clear()
                batch.clear()

        def of_track(poses: dict[tuple[int, int], BodyPose]) -> Iterator[tuple[int, Person, BodyPose]]:
            for (number, track), pose in poses.items():
                yield from ((number, person, pose) for person in people[number] if person.track == track)

        for frame in video:
            here = people[frame.number] if frame.number < len(people) else []
            if here:
                crops = self.crops(Photo.of(frame.pixels, camera), here)
                if windows is not None:
                    windows.add(frame.number, frame.time_s, [person.track or 0 for person in here], crops)
                    yield from of_track(windows.ready())
                else:
                    waiting += [(frame.number, person) for person in here]
                    batch.append(crops)
            if len(waiting) >= _PEOPLE_AT_ONCE or spec.group == "people":  # groups of people differ in their number
                yield from predicted()
            progress("poses", frame.number + 1, len(people))
        yield from predicted() if windows is None else of_track(windows.poses())

    def finish(
        self, pose: BodyPose | None, people: list[Person], camera: Camera, size: tuple[int, int]
    ) -> SkeletonPrediction:
        """A network's poses in shapes of the body, fitted to the keypoints."""
        assert pose is not None
        if self._other_body:
            pose = replace(pose, shape=torch.zeros(len(people), self.body.shapes))
        if all(person.keypoint_set == MEDIAPIPE33 for person in people):
            confidence = confidence_of_joints(_keypoints(people), size)
        else:  # of other joint sets it is not known which of SMPL's joints they show
            confidence = torch.ones(len(people), len(SMPL24))
        settings = NEAR_NETWORK if self._refine else None
        pose = _fitted(self.body, pose, people, camera, size, settings, self._outline)
        return SkeletonPrediction(pose, confidence, confidence >= VISIBLE_ABOVE)


@torch.no_grad()
def predicted(network: Method, crops: Crops, device: torch.device) -> Prediction:
    """A network's predictions for the wanted crops, one after the other, on the CPU."""
    poses, errors = [], []
    for rows in torch.arange(len(crops.present)).split(_GROUPS_AT_ONCE):
        part = crops.map(itemgetter(rows))
        prediction, wanted = network(part.map(lambda tensor: tensor.to(device))), part.wanted
        poses.append(prediction.pose.map(lambda tensor: tensor.cpu()[wanted]))  # noqa: B023
        if prediction.expected_error_m is not None:
            errors.append(prediction.expected_error_m.cpu()[wanted])
    return Prediction(BodyPose.joined(poses), expected_error_m=torch.cat(errors) if errors else None)


class LandmarkEstimator:
    """The detector's 3D landmarks, posed by `ik_refine`'s inverse kinematics without a network."""

    of_hidden, method = "put into a rest-like pose", "ik_refine"
    notes: tuple[str, ...] = ()
    device = torch.device("cpu")

    def __init__(self, body: BodyModel, refine: bool) -> None:
        self.body, self._refine, self._solve = body, refine, LandmarkIK(body)

    def has_evidence(self, person: Person) -> bool:
        """Whether there are 3D landmarks."""
        return person.landmarks3d is not None

    def first(self, photo: Photo, people: list[Person]) -> None:
        """None: the landmarks suffice."""

    def first_in_video(
        self, video: Video, people: list[list[Person]], camera: Camera, interval: int, progress: Progress
    ) -> Iterator[tuple[int, Person, BodyPose | None]]:
        """Everybody; the pictures are not needed."""
        return ((number, person, None) for number, here in enumerate(people) for person in here)

    def finish(
        self, pose: BodyPose | None, people: list[Person], camera: Camera, size: tuple[int, int]
    ) -> SkeletonPrediction:
        """Landmarks to bodies, fitted to the keypoints."""
        assert all(person.keypoint_set == MEDIAPIPE33 for person in people)
        landmarks = torch.stack([torch.as_tensor(person.landmarks3d) for person in people])
        prediction = self._solve(_keypoints(people), landmarks, camera, size)
        settings, outline = FitSettings() if self._refine else None, self.body.name in SHIPPED
        return replace(prediction, pose=_fitted(self.body, prediction.pose, people, camera, size, settings, outline))


@torch.no_grad()
def _fitted(
    body: BodyModel,
    pose: BodyPose,
    people: list[Person],
    camera: Camera,
    size: tuple[int, int],
    settings: FitSettings | None,
    outline: bool,
) -> BodyPose:
    """The bodies fitted to everyone's 2D keypoints, joint set by joint set; `outline`: the masks give the shapes."""
    if settings is None:
        return pose.map(lambda tensor: tensor.float())
    if outline:
        pose = replace(pose, shape=shapes_by_outline(pose, people, camera, size))
    prior, landmarks = PosePrior.load(), torch.from_numpy(np.stack([landmarks_of(person) for person in people]))
    sets = [person.keypoint_set for person in people if person.keypoint_set is not None]
    for joint_set in {joint_set.name: joint_set for joint_set in sets}.values():
        rows = torch.tensor([person.keypoint_set == joint_set for person in people])
        keypoints = torch.zeros(len(people), len(joint_set), 3).double()  # of nobody else is anything visible
        keypoints[rows] = _keypoints([p for p in people if p.keypoint_set == joint_set]).double()
        if joint_set == MEDIAPIPE33:
            keypoints[..., 2] = believed(keypoints, size)
        pose = fit(body, prior, pose, keypoints, joint_set, camera, settings, landmarks)
    return pose.map(lambda tensor: tensor.float())


def _keypoints(people: list[Person]) -> Float[Tensor, "P K 3"]:
    return torch.stack([torch.as_tensor(person.keypoints) for person in people])


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
        body: str | Path | BodyModel = "open",
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
        self._fast = finder == "fast"
        self.estimator: Estimator = (
            LandmarkEstimator(self.body, refine)
            if str(weights) == LANDMARKS
            else NetworkEstimator(self.body, weights, where, refine)
        )
        self.network: Method | None = getattr(self.estimator, "network", None)

    @property
    def finder(self) -> PersonFinder:
        """What finds people; the default is made, and its networks loaded, when it is first asked for."""
        return self._finder or self._own_finder

    @cached_property
    def _own_finder(self) -> PeopleFinder:
        return PeopleFinder(fast=self._fast)

    def __call__(
        self,
        photo: object,
        people: list[Person] | GivenPeople | str | Path | None = None,
        focal_px: float | None = None,
    ) -> Result:
        """The bodies of everyone in a photo (whatever `Photo.of` takes), or of the people given.

        `people`: a list, or a file of detections (COCO, OpenPose, boxes). `focal_px`: the focal length in pixels, where
        it is known better than EXIF's. Raises PhotoError for what is no photo, DetectionsError, ArgumentError.
        """
        photo = Photo.of(photo)
        photo = Photo.of(photo, camera_with(focal_px, photo.size))
        people, photo = self._people(photo, people)
        usable = self.usable(people)
        notes = [*photo.notes, *self.estimator.notes]
        if len(usable) < len(people):
            notes.append(f"{len(people) - len(usable)} of {len(people)} people left out: no body seen in their boxes.")
        first = self.estimator.first(photo, usable) if usable else None
        if usable:
            prediction = self.estimator.finish(first.pose if first else None, usable, photo.camera, photo.size)
        else:
            nobody = torch.zeros(0, len(SMPL24))
            prediction = SkeletonPrediction(BodyPose.rest(0, shapes=self.body.shapes), nobody, nobody.bool())
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
            expected_error_m=first.expected_error_m if first else None,
        )

    def _people(
        self, photo: Photo, people: list[Person] | GivenPeople | str | Path | None
    ) -> tuple[list[Person], Photo]:
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
    def method(self) -> str:
        """The method's name."""
        return self.estimator.method

    def usable(self, people: list[Person]) -> list[Person]:
        """Those who can be posed: some joint is visible, and there is what the estimator starts from."""
        visible = [person for person in people if person.keypoints is not None and person.keypoints[:, 2].any()]
        return [person for person in visible if self.estimator.has_evidence(person)]


def recover(
    photo: object,
    body: str | Path | BodyModel = "open",
    *,
    focal_px: float | None = None,
    detections: list[Person] | str | Path | None = None,
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
    body: str | Path | BodyModel = "open",
    *,
    focal_px: float | None = None,
    detections: str | Path | None = None,
    device: str = "auto",
    weights: str | Path = DEFAULT,
) -> list[Result]:
    """The bodies of everyone in each of several photos, in order; `detections`: a file that gives people for all."""
    recoverer, given = Recoverer(body, device=device, weights=weights), detections and GivenPeople(detections)
    results = ahead(partial(recoverer, people=given or None, focal_px=focal_px), photos, _PHOTOS_AT_ONCE)
    return [result.result() for result in results]


def camera_with(focal_px: float | None, size: tuple[int, int]) -> Camera | None:
    """The camera of a focal length in pixels; None where it is not known."""
    if focal_px is None:
        return None
    if not 0 < focal_px < math.inf:
        raise ArgumentError(f"focal_px: expected pixels above 0, got {focal_px}; leave it out where it is not known.")
    return Camera.virtual(focal_px, size)


def device_named(name: str) -> torch.device:
    """The device of that name, tried out ("auto": CUDA's or Apple's where there is one); DeviceError where it lacks."""
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
