"""The answers: who is in a photo, how they are posed and where their surfaces are; and how people of a video move."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from humesh.body.joints import SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import Bodies, BodyPose
from humesh.errors import HumeshError
from humesh.geometry.camera import Camera
from humesh.media.photo import Photo
from humesh.people.person import Person


class ResultError(HumeshError, ValueError):
    """A result whose parts belong to other people than the rest, or a file of results that cannot be read."""


@dataclass(frozen=True)
class Result:
    """P people of one photo, in the photo's camera frame (OpenCV axes, metres), best score first; P may be 0.

    Surfaces and joints follow from the pose, so that one with another pose, as `dataclasses.replace` makes it, has
    those of that pose. Raises ResultError where the parts differ in P.
    """

    photo: Photo
    people: list[Person]
    pose: BodyPose  # [P]
    confidence: Float[Tensor, "P J"]  # of the body's joints, in [0, 1]
    visible: Bool[Tensor, "P J"]  # False: the joint was hidden or outside and its rotation is a rest-like guess
    body: BodyModel
    method: str
    notes: tuple[str, ...] = ()  # what the program guessed, in sentences
    time_s: float | None = None  # of a video's frame: seconds since its first picture
    expected_error_m: Float[Tensor, "P J"] | None = None  # of each joint once the body is aligned; None: not estimated

    def __post_init__(self) -> None:
        counts = len(self.people), len(self.pose.translation), len(self.confidence), len(self.visible)
        if len(set(counts)) > 1:
            told = "{} people, {} poses, {} rows of confidence and {} of visible".format(*counts)
            raise ResultError(f"recovery: expected as many of each, got {told}; replace them together.")

    @cached_property
    def bodies(self) -> Bodies:
        """The posed surfaces and joints [P], on the CPU."""
        with torch.no_grad():
            return self.body(self.pose).cpu()


@dataclass(frozen=True)
class Motion:
    """One person of a video through the F frames of its motion, in the camera's frame, metres.

    `frames`: their places in the video's `times`, increasing; where two differ by more than 1 the person was gone. The
    shape is the same in all. `found`: False where nobody saw the person and the pose was put in between. `confidence`:
    of the joints, in [0, 1], as far as it is known.
    """

    track: int
    frames: Int[np.ndarray, " F"]
    pose: BodyPose  # [F]
    found: Bool[np.ndarray, " F"]
    score: float  # mean of the finds
    confidence: Float[Tensor, "F J"] = field(default_factory=lambda: torch.zeros(0, len(SMPL24)))


@dataclass(frozen=True)
class VideoResult:
    """The people of a video, in the order of their tracks."""

    times: Float[np.ndarray, " T"]  # seconds, of all frames that were looked at
    size: tuple[int, int]  # (width, height) px
    camera: Camera
    camera_source: str
    tracks: list[Motion]
    body: BodyModel
    method: str
    notes: tuple[str, ...] = ()

    @property
    def fps(self) -> float:
        """Frames a second, by the median distance of frames; 30 where there are not two."""
        return 1 / float(np.median(np.diff(self.times))) if len(self.times) > 1 else 30.0
