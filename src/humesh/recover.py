"""A photo's path through the library, on one page: read, find people, pose bodies, put them into the camera."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from humesh.body.joints import MEDIAPIPE33, SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.images.people import MediaPipePeople
from humesh.images.photo import Person, Photo
from humesh.methods.base import SkeletonPrediction
from humesh.methods.ik_refine import LandmarkIK
from humesh.scene.recovery import Recovery

PeopleOf = Callable[[Photo], list[Person]]


class Recoverer:
    """Photos to posed bodies; holds what is costly to load, so make one and call it often."""

    def __init__(self, body: str | Path | BodyModel = "open", find_people: PeopleOf | None = None) -> None:
        self.body = body if isinstance(body, BodyModel) else BodyModel.load(body)
        self.find_people = find_people or MediaPipePeople()
        self.method = LandmarkIK(self.body)
        self.method_name = "ik_refine"

    def __call__(self, photo: Photo | str | Path, people: list[Person] | None = None) -> Recovery:
        """The bodies of everyone in a photo; raises PhotoError for a file that cannot be read."""
        photo = photo if isinstance(photo, Photo) else Photo.read(photo)
        found = self.find_people(photo) if people is None else people
        usable = [p for p in found if p.keypoints is not None and p.landmarks3d is not None and p.keypoints[:, 2].any()]
        notes = list(photo.notes)
        if len(usable) < len(found):
            notes.append(f"{len(found) - len(usable)} of {len(found)} people were left out: no landmarks in their boxes.")
        prediction = self._predict(photo, usable)
        hidden = [
            f"person {i}: {', '.join(name for name, s in zip(SMPL24.names, row, strict=True) if not s)} not seen; "
            "a rest-like pose was put there."
            for i, row in enumerate(prediction.seen.tolist())
            if not all(row)
        ]
        with torch.no_grad():
            pose = prediction.pose.map(lambda tensor: tensor.float())
            bodies = self.body(pose)
        return Recovery(
            photo,
            usable,
            pose,
            bodies,
            prediction.confidence.float(),
            prediction.seen,
            self.body,
            self.method_name,
            tuple(notes + hidden),
        )

    def _predict(self, photo: Photo, people: list[Person]) -> SkeletonPrediction:
        if not people:
            pose = BodyPose.rest(0, shapes=self.body.shapes, dtype=torch.float64)
            return SkeletonPrediction(pose, torch.zeros(0, len(SMPL24)), torch.zeros(0, len(SMPL24), dtype=torch.bool))
        assert all(person.keypoint_set is MEDIAPIPE33 for person in people)
        keypoints = torch.stack([torch.as_tensor(person.keypoints) for person in people])
        landmarks = torch.stack([torch.as_tensor(person.landmarks3d) for person in people])
        return self.method(keypoints, landmarks, photo.camera, photo.size)


def recover(photo: Photo | str | Path, body: str | Path | BodyModel = "open") -> Recovery:
    """The bodies of everyone in one photo, in one line; for many photos make a Recoverer and call that."""
    return Recoverer(body)(photo)
