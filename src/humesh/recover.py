"""A photo's path through the library, on one page: read, find people, pose bodies, put them into the camera."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from humesh.body.files import SHIPPED
from humesh.body.joints import MEDIAPIPE33, SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.crops.crops import Crops
from humesh.crops.groups import group_people, landmarks_of
from humesh.errors import ArgumentError, HumeshError
from humesh.fitting.landmark_ik import LandmarkIK, believed, confidence_of_joints
from humesh.geometry.camera import Camera
from humesh.media.photo import Photo
from humesh.methods.base import Method, Prediction, SkeletonPrediction
from humesh.people.finder import PeopleFinder
from humesh.people.given import complete
from humesh.people.person import Person
from humesh.scene.result import Result

PersonFinder = Callable[[Photo], list[Person]]

LANDMARKS, DEFAULT, IN_VIDEOS = "landmarks", "lifter", "lifter_video"
"""What `weights` may be besides a file: no network at all, or a network that is shipped; the defaults."""
FINDERS = ("accurate", "fast")
"""What `finder` may be besides a function."""
_GROUPS_AT_ONCE = 8  # groups of crops that a network sees together; more would only take memory


class DeviceError(HumeshError, ValueError):
    """A device that is not there."""


class Recoverer:
    """Photos to posed bodies; holds what is costly to load, so make one and call it often.

    `body`: "open", an SMPL file or a BodyModel. `finder`: finds people; "accurate" (the default) and "fast" are
    `PeopleFinder`'s two ways. `device`: where networks run. `weights`: a trained method's file, or the name of a method
    whose weights are shipped; "landmarks": none, the detector's landmarks are posed by `ik_refine`'s inverse
    kinematics. `refine`: bodies are then fitted to the 2D keypoints, held by a pose prior. Raises BodyFileError and
    WeightsError (ValueErrors) for files that cannot be read, DeviceError for a missing device, ArgumentError (a
    TypeError) for arguments of other types.
    """

    def __init__(
        self,
        body: str | Path | BodyModel = "open",
        finder: PersonFinder | Literal["accurate", "fast"] | None = None,
        device: str = "cpu",
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
        self.device = device_named(device)
        self.body = body if isinstance(body, BodyModel) else BodyModel.load(body)
        self._finder = finder if callable(finder) else None
        self._fast = finder == "fast"
        self.refine = refine
        self.method, self.notes = "ik_refine", tuple[str, ...]()
        self.network: Method | None = None
        self._landmark_ik = LandmarkIK(self.body)
        # Nothing that comes with humesh looks at pixels, so of shapes the mask knows more; weights of others may.
        self._shape_by_outline = self.body.name in SHIPPED
        if str(weights) != LANDMARKS:
            self._load(weights)

    def _load(self, weights: str | Path) -> None:
        from humesh.methods.weights import load_method, shipped  # networks are costly to import; landmarks need none
        from humesh.networks.folding import fold

        header, network = load_method(weights, self.body)
        fold(network)
        self.method, self.network = header.method, network.to(self.device)
        ours = self.body.name in SHIPPED
        self._shape_by_outline = ours and str(weights) in shipped()
        self._foreign_shape = (header.body == "smpl") == ours
        if self._foreign_shape:
            theirs, advice = ("SMPL's", "; give your SMPL file as the body") if ours else ("humesh's open", "")
            self.notes = (
                f"the weights speak of {theirs} body, but the body is {self.body.name!r}: poses are taken over, shapes "
                f"are not (every body is the mean one){advice}.",
            )

    @property
    def finder(self) -> PersonFinder:
        """What finds people; the default is made, and its networks loaded, when it is first asked for."""
        return self._finder or self._own_finder

    @cached_property
    def _own_finder(self) -> PeopleFinder:
        return PeopleFinder(fast=self._fast)

    def __call__(self, photo: object, people: list[Person] | None = None) -> Result:
        """The bodies of everyone in a photo, or of the people given; `photo`: whatever `Photo.of` takes.

        Raises PhotoError for what is no photo, ArgumentError for people who are no `Person`.
        """
        photo = Photo.of(photo)
        people = self.finder(photo) if people is None else people
        _check_people(people)
        if any(self._incomplete(person) for person in people):
            people = complete(people, photo, self._own_finder.landmarks)
        notes = [*photo.notes, *self.notes]
        usable = self.usable(people)
        if len(usable) < len(people):
            notes.append(f"{len(people) - len(usable)} of {len(people)} people left out: no body seen in their boxes.")
        prediction = self.pose(self.cut(photo, usable), usable, photo.camera, photo.size)
        guess = "put into a rest-like pose" if self.network is None else "guessed by the network"
        for number, seen in enumerate(prediction.seen.tolist()):
            hidden = [name for name, is_seen in zip(SMPL24.names, seen, strict=True) if not is_seen]
            if hidden:
                notes.append(f"person {number}: not seen and {guess}: {', '.join(hidden)}.")
        return Result(
            photo=photo,
            people=usable,
            pose=prediction.pose,
            confidence=prediction.confidence.float(),
            visible=prediction.seen,
            body=self.body,
            method=self.method,
            notes=tuple(notes),
            expected_error_m=prediction.expected_error_m,
        )

    def usable(self, people: list[Person]) -> list[Person]:
        """Those whom the method can pose: some joint is seen and, without a network, MediaPipe's landmarks are told."""
        seen = [person for person in people if person.keypoints is not None and person.keypoints[:, 2].any()]
        return [person for person in seen if self.network is not None or person.landmarks3d is not None]

    def _incomplete(self, person: Person) -> bool:
        """Whether a person lacks what the method starts from: landmarks, or for networks keypoints of any joint set."""
        return person.landmarks3d is None if self.network is None else person.keypoints is None

    @torch.no_grad()
    def cut(self, photo: Photo, people: list[Person]) -> Crops | None:
        """What the method looks at of some people of a photo; None where it looks at no picture."""
        return None if self.network is None or not people else group_people(self.network.spec, photo, people)

    def pose(
        self, crops: Crops | None, people: list[Person], camera: Camera, size: tuple[int, int]
    ) -> SkeletonPrediction:
        """The poses of people in photos of one camera and (width, height), of their `cut` crops in the same order."""
        if not people:
            nobody = torch.zeros(0, len(SMPL24))
            return SkeletonPrediction(BodyPose.rest(0, shapes=self.body.shapes), nobody, nobody.bool())
        if self.network is not None and crops is not None:
            prediction = self.predictions(crops)
            finished = self.finished(prediction.pose, people, camera, size)
            return replace(finished, expected_error_m=prediction.expected_error_m)
        assert all(person.keypoint_set == MEDIAPIPE33 for person in people)
        landmarks = torch.stack([torch.as_tensor(person.landmarks3d) for person in people])
        prediction = self._landmark_ik(_keypoints(people), landmarks, camera, size)
        return replace(prediction, pose=self._refined(prediction.pose, people, camera, size))

    def answers(self, crops: Crops) -> BodyPose:
        """The network's own poses of the wanted crops, one after the other."""
        return self.predictions(crops).pose

    @torch.no_grad()
    def predictions(self, crops: Crops) -> Prediction:
        """The network's own predictions for the wanted crops, one after the other, on the CPU."""
        groups = torch.arange(len(crops.present)).split(_GROUPS_AT_ONCE)
        parts = [self._predicted(crops.map(itemgetter(rows))) for rows in groups]
        errors = [part.expected_error_m for part in parts if part.expected_error_m is not None]
        pose = BodyPose.joined([part.pose for part in parts])
        return Prediction(pose, expected_error_m=torch.cat(errors) if errors else None)

    def _predicted(self, crops: Crops) -> Prediction:
        assert self.network is not None
        prediction = self.network(crops.map(lambda tensor: tensor.to(self.device)))
        pose, error = prediction.pose.map(lambda tensor: tensor.cpu()[crops.wanted]), prediction.expected_error_m
        return Prediction(pose, expected_error_m=None if error is None else error.cpu()[crops.wanted])

    def finished(
        self, pose: BodyPose, people: list[Person], camera: Camera, size: tuple[int, int]
    ) -> SkeletonPrediction:
        """A network's answers in shapes of the body, fitted to the keypoints, with what was seen of each joint."""
        if self._foreign_shape:
            pose = replace(pose, shape=torch.zeros(len(people), self.body.shapes))
        if all(person.keypoint_set == MEDIAPIPE33 for person in people):
            confidence = confidence_of_joints(_keypoints(people), size)
        else:  # of other joint sets we do not know which of SMPL's joints they show
            confidence = torch.ones(len(people), len(SMPL24))
        pose = self._refined(pose, people, camera, size)
        return SkeletonPrediction(pose, confidence, confidence >= self._landmark_ik.seen_above)

    @torch.no_grad()
    def _refined(self, pose: BodyPose, people: list[Person], camera: Camera, size: tuple[int, int]) -> BodyPose:
        """The bodies fitted to everyone's 2D keypoints, set by set, if that is asked for."""
        if not self.refine:
            return pose.map(lambda tensor: tensor.float())
        from humesh.body.pose_prior import PosePrior
        from humesh.fitting.fit import NEAR_NETWORK, FitSettings, fit
        from humesh.fitting.outline import shapes_by_outline

        if self._shape_by_outline:
            pose = replace(pose, shape=shapes_by_outline(pose, people, camera, size))
        settings = FitSettings() if self.network is None else NEAR_NETWORK
        prior, landmarks = PosePrior.load(), torch.from_numpy(np.stack([landmarks_of(person) for person in people]))
        sets = [person.keypoint_set for person in people if person.keypoint_set is not None]
        for joint_set in {joint_set.name: joint_set for joint_set in sets}.values():
            mine = torch.tensor([person.keypoint_set == joint_set for person in people])
            keypoints = torch.zeros(len(people), len(joint_set), 3).double()  # of nobody else is anything seen
            keypoints[mine] = _keypoints([p for p in people if p.keypoint_set == joint_set]).double()
            if joint_set == MEDIAPIPE33:
                keypoints[..., 2] = believed(keypoints, size)
            pose = fit(self.body, prior, pose, keypoints, joint_set, camera, settings, landmarks)
        return pose.map(lambda tensor: tensor.float())


def _check_people(people: object) -> None:
    """Raises ArgumentError for anything but a list of Person."""
    strange = [p for p in people if not isinstance(p, Person)] if isinstance(people, list | tuple) else [people]
    if strange:
        raise ArgumentError(
            f"people: expected a list of Person, got {type(strange[0]).__name__}; make each with Person(box, score)."
        )


def _keypoints(people: list[Person]) -> Float[Tensor, "P K 3"]:
    return torch.stack([torch.as_tensor(person.keypoints) for person in people])


def recover(photo: object, body: str | Path | BodyModel = "open") -> Result:
    """The bodies of everyone in one photo, whatever `Photo.of` takes: a path, an array, a PIL image, an open file.

    For many photos make one Recoverer and call that. Raises PhotoError (PhotoTypeError for a list, None, floats).
    """
    photo = Photo.of(photo)  # before anything is loaded
    return Recoverer(body)(photo)


def device_named(name: str) -> torch.device:
    """The device of that name, tried out; DeviceError if there is none."""
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        if not re.fullmatch(r"cuda(:\d+)?", name):
            raise DeviceError(f"device: expected cpu or cuda[:N], got {name!r}.") from None
        raise DeviceError(
            f"device {name!r}: expected cpu, or cuda with a GPU present ({str(error).splitlines()[0]})."
        ) from None
    return device
