"""What poses people: a network with its weights, or inverse kinematics of landmarks; both are fitted to keypoints."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import Protocol

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
from humesh.fitting.fit import NEAR_NETWORK, FitSettings, fit
from humesh.fitting.landmark_ik import LandmarkIK, believed, confidence_of_joints
from humesh.fitting.outline import shapes_by_outline
from humesh.fitting.windows import Windows
from humesh.geometry.camera import Camera
from humesh.media.photo import Photo
from humesh.media.video import Video
from humesh.methods.base import ClipMethod, Prediction, SkeletonPrediction
from humesh.people.person import Person
from humesh.scene.result import VISIBLE_ABOVE
from humesh.threads import ahead_of_time

Progress = Callable[[str, int, int | None], None]
"""Gets what is being done, how many frames are done, and of how many (None: unknown)."""

Estimate = tuple[int, Person, BodyPose | None]
"""The number of a video's frame, a person in it, and a first estimate of the pose."""

Size = tuple[int, int]


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


class Estimator(Protocol):
    """What poses people: in a photo, or through a video in first estimates that `finish` fits to the keypoints."""

    method: str
    notes: tuple[str, ...]
    of_hidden: str  # what becomes of hidden joints, in words
    batching: Batching

    def has_evidence(self, person: Person) -> bool:
        """Whether a person has what the estimate starts from, visible or not."""

    def estimate(self, photo: Photo, people: list[Person]) -> SkeletonPrediction:
        """The bodies of people of a photo."""

    def first_in_video(
        self, video: Video, people: list[list[Person]], camera: Camera, interval: int, progress: Progress
    ) -> Iterator[Estimate]:
        """First estimates of everybody; `interval`: frames between those of a clip."""

    def finish(self, pose: BodyPose | None, people: list[Person], camera: Camera, size: Size) -> SkeletonPrediction:
        """The fitted bodies of people in photos of one camera and (width, height), and what is known of each joint."""


class NetworkEstimator:
    """A method's network with its weights."""

    of_hidden = "guessed by the network"

    def __init__(self, body: BodyModel, weights: str | Path, device: torch.device, refine: bool) -> None:
        from humesh.methods.weights import load_method, shipped  # costly to import; landmarks need no network

        header, network = load_method(weights, body.on(device))
        self.body, self.device, self._refine, self.batching = body, device, refine, Batching.on(device)
        self._fit = _Fit(body, device)
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

    def estimate(self, photo: Photo, people: list[Person]) -> SkeletonPrediction:
        """The network's predictions, fitted."""
        prediction = self.predict(self.crops(photo, people))
        finished = self.finish(prediction.pose, people, photo.camera, photo.size)
        return replace(finished, expected_error_m=prediction.expected_error_m)

    def first_in_video(
        self, video: Video, people: list[list[Person]], camera: Camera, interval: int, progress: Progress
    ) -> Iterator[Estimate]:
        """Frame by frame, of methods for clips in windows through each track."""
        windows = None
        if isinstance(self.network, ClipMethod):
            length = self.network.spec.count or 16
            windows = Windows(self.network, length, interval, self.device, self.batching.windows)

        def of_tracks(poses: dict[tuple[int, int], BodyPose]) -> Iterator[Estimate]:
            for (number, track), pose in poses.items():
                yield from ((number, person, pose) for person in people[number] if person.track == track)

        for frames, crops in self._gathered(video, people, camera, progress):
            if windows is None:
                pose, here = self.predict(crops).pose, [(n, person) for n, _ in frames for person in people[n]]
                yield from ((n, person, pose.map(itemgetter(row))) for row, (n, person) in enumerate(here))
            else:
                windows.add_frames(
                    [(n, when, [person.track or 0 for person in people[n]]) for n, when in frames], crops
                )
                yield from of_tracks(windows.ready())
        if windows is not None:
            yield from of_tracks(windows.poses())

    def _gathered(
        self, video: Video, people: list[list[Person]], camera: Camera, progress: Progress
    ) -> Iterator[tuple[list[tuple[int, float]], Crops]]:
        """Numbers and times of some frames with people, and the crops of all of these."""
        # Groups of everyone in a photo differ in size.
        most = 1 if self.network.spec.group == "people" else self.batching.crops
        frames, parts = list[tuple[int, float]](), list[Crops]()
        for frame in ahead_of_time(video):
            if here := people[frame.number] if frame.number < len(people) else []:
                frames.append((frame.number, frame.time_s))
                parts.append(self.crops(Photo.of(frame.pixels, camera), here))
            if sum(len(part.present) for part in parts) >= most:
                yield frames, Crops.joined(parts)
                frames, parts = [], []
            progress("poses", frame.number + 1, len(people))
        if parts:
            yield frames, Crops.joined(parts)

    def finish(self, pose: BodyPose | None, people: list[Person], camera: Camera, size: Size) -> SkeletonPrediction:
        """A network's poses in shapes of the body, fitted to the keypoints."""
        assert pose is not None
        if self._other_body:
            pose = replace(pose, shape=torch.zeros(len(people), self.body.shapes))
        confidence = torch.ones(len(people), len(SMPL24))
        if all(person.keypoint_set == MEDIAPIPE33 for person in people):  # of others it is not known which they show
            confidence = confidence_of_joints(_keypoints(people), size)
        settings = NEAR_NETWORK if self._refine else None
        pose = self._fit(pose, people, camera, size, settings, self._outline)
        return SkeletonPrediction(pose, confidence, confidence >= VISIBLE_ABOVE)


class LandmarkEstimator:
    """The detector's 3D landmarks, posed by `ik_refine`'s inverse kinematics without a network."""

    of_hidden, method, notes = "put into a rest-like pose", "ik_refine", tuple[str, ...]()

    def __init__(self, body: BodyModel, device: torch.device, refine: bool) -> None:
        self.body, self._solve, self._fit, self.batching = (
            body,
            LandmarkIK(body),
            _Fit(body, device),
            Batching.on(device),
        )
        self._settings, self._outline = FitSettings() if refine else None, body.name in SHIPPED

    def has_evidence(self, person: Person) -> bool:
        """Whether there are 3D landmarks."""
        return person.landmarks3d is not None

    def estimate(self, photo: Photo, people: list[Person]) -> SkeletonPrediction:
        """The landmarks' bodies; the picture is not needed."""
        return self.finish(None, people, photo.camera, photo.size)

    def first_in_video(
        self, video: Video, people: list[list[Person]], camera: Camera, interval: int, progress: Progress
    ) -> Iterator[Estimate]:
        """Everybody, without an estimate; the pictures are not needed."""
        return ((number, person, None) for number, here in enumerate(people) for person in here)

    def finish(self, pose: BodyPose | None, people: list[Person], camera: Camera, size: Size) -> SkeletonPrediction:
        """Landmarks to bodies, fitted to the keypoints."""
        assert all(person.keypoint_set == MEDIAPIPE33 for person in people)
        landmarks = torch.stack([torch.as_tensor(person.landmarks3d) for person in people])
        prediction = self._solve(_keypoints(people), landmarks, camera, size)
        pose = self._fit(prediction.pose, people, camera, size, self._settings, self._outline)
        return replace(prediction, pose=pose)


class _Fit:
    """The fit to everyone's 2D keypoints, on a device in float64; on the CPU where the device has none (Apple's)."""

    def __init__(self, body: BodyModel, device: torch.device) -> None:
        self._device = torch.device("cpu") if device.type == "mps" else device
        self._body = body.on(self._device)

    @torch.no_grad()
    def __call__(
        self,
        pose: BodyPose,
        people: list[Person],
        camera: Camera,
        size: Size,
        settings: FitSettings | None,
        outline: bool,
    ) -> BodyPose:
        """The bodies fitted, on the CPU, joint set by joint set; `outline`: the masks give the shapes."""
        if settings is None:
            return pose.map(lambda tensor: tensor.float())
        if outline:
            pose = replace(pose, shape=shapes_by_outline(pose, people, camera, size))
        prior, landmarks = PosePrior.load(), torch.from_numpy(np.stack([landmarks_of(person) for person in people]))
        pose = pose.map(lambda tensor: tensor.to(self._device))
        sets = [person.keypoint_set for person in people if person.keypoint_set is not None]
        for joint_set in {joint_set.name: joint_set for joint_set in sets}.values():
            rows = torch.tensor([person.keypoint_set == joint_set for person in people])
            keypoints = torch.zeros(len(people), len(joint_set), 3).double()  # of nobody else is anything visible
            keypoints[rows] = _keypoints([p for p in people if p.keypoint_set == joint_set]).double()
            if joint_set == MEDIAPIPE33:
                keypoints[..., 2] = believed(keypoints, size)
            pose = fit(self._body, prior, pose, keypoints, joint_set, camera, settings, landmarks)
        return pose.map(lambda tensor: tensor.float().cpu())


def _keypoints(people: list[Person]) -> Float[Tensor, "P K 3"]:
    return torch.stack([torch.as_tensor(person.keypoints) for person in people])
