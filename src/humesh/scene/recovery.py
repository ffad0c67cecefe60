"""The answer for one photo: who is in it, how they are posed, and where their surfaces are."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor

from humesh.body.model import BodyModel
from humesh.body.pose import Bodies, BodyPose
from humesh.images.photo import Person, Photo


@dataclass(frozen=True)
class Recovery:
    """P people of one photo, in the photo's camera frame (OpenCV axes, metres), best score first; P may be 0."""

    photo: Photo
    people: list[Person]
    pose: BodyPose  # [P]
    bodies: Bodies  # [P]
    confidence: Float[Tensor, "P J"]  # of the body's joints, in [0, 1]
    seen: Bool[Tensor, "P J"]  # False: the joint was hidden or outside and its rotation is a rest-like guess
    body: BodyModel
    method: str
    notes: tuple[str, ...] = ()  # what the program guessed, in sentences
