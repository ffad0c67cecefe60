"""A photo's path through the library, on one page: read, find people, pose bodies, put them into the camera."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import torch

from humesh.body.joints import MEDIAPIPE33, SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.images.given import complete
from humesh.images.people import MediaPipePeople
from humesh.images.photo import Person, Photo
from humesh.methods.base import SkeletonPrediction
from humesh.methods.ik_refine import LandmarkIK
from humesh.scene.recovery import Recovery

PersonFinder = Callable[[Photo], list[Person]]


class Recoverer:
    """Photos to posed bodies; holds what is costly to load, so make one and call it often.

    `body`: "open", an SMPL file or a BodyModel. `finder`: finds people; default MediaPipe. `device`: where bodies are
    skinned. Raises BodyFileError (a ValueError) for a body that cannot be read, ValueError for a missing device.
    """

    def __init__(
        self, body: str | Path | BodyModel = "open", finder: PersonFinder | None = None, device: str = "cpu"
    ) -> None:
        self.device = _device(device)
        self.body = body if isinstance(body, BodyModel) else BodyModel.load(body)
        self.finder = finder or self._mediapipe
        self.method = "ik_refine"
        self._pose_people = LandmarkIK(self.body)
        self._skin = self.body if self.device.type == "cpu" else BodyModel(self.body.data).to(self.device)

    @cached_property
    def _mediapipe(self) -> MediaPipePeople:
        return MediaPipePeople()

    def __call__(self, photo: Photo | str | Path, people: list[Person] | None = None) -> Recovery:
        """The bodies of everyone in a photo, or of the people given; raises PhotoError for a file that is no photo."""
        photo = photo if isinstance(photo, Photo) else Photo.read(photo)
        people = self.finder(photo) if people is None else people
        if any(person.landmarks3d is None for person in people):
            people = complete(people, photo, self._mediapipe.landmarks)
        notes = list(photo.notes)
        usable = [person for person in people if person.keypoints is not None and person.keypoints[:, 2].any()]
        if len(usable) < len(people):
            notes.append(f"{len(people) - len(usable)} of {len(people)} people left out: no body seen in their boxes.")
        with torch.no_grad():
            prediction = self._predict(photo, usable)
            pose = prediction.pose.map(lambda tensor: tensor.float())
            bodies = self._skin(pose.map(lambda tensor: tensor.to(self.device))).cpu()
        for number, seen in enumerate(prediction.seen.tolist()):
            hidden = [name for name, is_seen in zip(SMPL24.names, seen, strict=True) if not is_seen]
            if hidden:
                notes.append(f"person {number}: not seen and put into a rest-like pose: {', '.join(hidden)}.")
        return Recovery(
            photo=photo,
            people=usable,
            pose=pose,
            bodies=bodies,
            confidence=prediction.confidence.float(),
            seen=prediction.seen,
            body=self.body,
            method=self.method,
            notes=tuple(notes),
        )

    def _predict(self, photo: Photo, people: list[Person]) -> SkeletonPrediction:
        if not people:
            nobody = torch.zeros(0, len(SMPL24))
            return SkeletonPrediction(BodyPose.rest(0, shapes=self.body.shapes), nobody, nobody.bool())
        assert all(person.keypoint_set == MEDIAPIPE33 for person in people)
        keypoints = torch.stack([torch.as_tensor(person.keypoints) for person in people])
        landmarks = torch.stack([torch.as_tensor(person.landmarks3d) for person in people])
        return self._pose_people(keypoints, landmarks, photo.camera, photo.size)


def recover(photo: Photo | str | Path, body: str | Path | BodyModel = "open") -> Recovery:
    """The bodies of everyone in one photo; for many photos make one Recoverer and call that."""
    return Recoverer(body)(photo)


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"device {name!r}: expected cpu, or cuda with a GPU present ({str(error).splitlines()[0]})."
        ) from None
    return device
