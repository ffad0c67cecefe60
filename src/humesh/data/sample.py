"""One labelled photo, as every dataset gives it, and what a dataset is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from humesh.body.joints import JointSet
from humesh.body.pose import BodyPose
from humesh.media.photo import Photo
from humesh.people.person import Person


@dataclass(frozen=True)
class LabelledPerson:
    """A person of a photo as a detector sees them, and what is known of their body; weight 0: not known.

    3D is in metres in the photo's camera frame, 2D in the photo's pixels. `metric`: the 3D points stand where the
    person stood, in true size; False where only differences between them count (skeletons of one height, guessed
    cameras). `visible`: 1 where a point can be seen, 0 where something (also the person's own body) or the photo's edge
    hides it. `identity` is the same number for the same person in all samples of a dataset. `body`: whose pose and
    shape the labels speak: "open", "smpl-neutral", "smpl-male", "smpl-female", "smplx-neutral" ...
    """

    seen: Person
    identity: int
    pose: BodyPose  # rotations 24 3 3, shape S, translation 3
    pose_weight: Float[Tensor, " J"]
    shape_weight: Float[Tensor, ""]
    translation_weight: Float[Tensor, ""]
    joint_set: JointSet
    points3d: Float[Tensor, "K 3"]
    points3d_weight: Float[Tensor, " K"]
    points2d: Float[Tensor, "K 2"]
    points2d_weight: Float[Tensor, " K"]
    visible: Float[Tensor, " K"]
    body: str = "open"
    metric: bool = True


@dataclass(frozen=True)
class Sample:
    """A photo with its labelled people; `name` finds it again in its dataset, `sequence` and `frame` in a benchmark.

    `time_s`: when a video's frame was taken, in seconds; None: not known.
    """

    photo: Photo
    people: tuple[LabelledPerson, ...]
    name: str = ""
    sequence: str = ""
    frame: int = 0
    time_s: float | None = None


@runtime_checkable
class Dataset(Protocol):
    """Labelled photos by number; the same number is always the same sample.

    `tracks`: ranges of samples that are consecutive frames of one video, for methods that look at frames; empty for
    photos.
    """

    tracks: tuple[range, ...]

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...
