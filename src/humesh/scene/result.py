"""Results: the people of a photo and their bodies, and the people of a video through time."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image
from torch import Tensor

from humesh.body.joints import SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import Bodies, BodyPose
from humesh.errors import HumeshError, MissingPackageError
from humesh.geometry.camera import Camera
from humesh.media.photo import Photo
from humesh.media.video import Video
from humesh.people.person import Person

if TYPE_CHECKING:
    import trimesh

View = Literal["overlay", "front", "side", "top"]

VISIBLE_ABOVE = 0.3
"""Confidence from which a joint counts as visible."""

_NEAREST_M = 1e-3  # points nearer than this, or behind, are projected from there so that pixels stay finite


class ResultError(HumeshError, ValueError):
    """A result whose parts belong to different people, or a file of results that cannot be read."""


@dataclass(frozen=True, eq=False)
class Result:
    """P people of one photo, in the photo's camera frame (OpenCV axes, metres), best score first; P may be 0.

    Surfaces and joints follow from the pose, so that a result with another pose, as `dataclasses.replace` makes it,
    has those of that pose. Raises ResultError where the parts differ in P.
    """

    photo: Photo
    people: list[Person]
    pose: BodyPose  # [P]
    confidence: Float[Tensor, "P J"]  # of the body's joints, in [0, 1]
    visible: Bool[Tensor, "P J"]  # False: the joint is hidden or outside and its rotation is a rest-like guess
    body: BodyModel
    method: str
    notes: tuple[str, ...] = ()  # what was guessed or left out, in sentences
    time_s: float | None = None  # of a video's frame: seconds since its first picture
    expected_error_m: Float[Tensor, "P J"] | None = None  # of each joint once the body is aligned; None: not estimated

    def __post_init__(self) -> None:
        counts = len(self.people), len(self.pose.translation), len(self.confidence), len(self.visible)
        if len(set(counts)) > 1:
            got = "{} people, {} poses, {} rows of confidence and {} of visible".format(*counts)
            raise ResultError(f"result: expected as many of each, got {got}; replace them together.")

    @cached_property
    def bodies(self) -> Bodies:
        """The posed surfaces and joints [P], on the CPU."""
        with torch.no_grad():
            return self.body(self.pose).cpu()

    def save(
        self, path: str | Path, formats: str | Iterable[str] | None = None, *, units: str = "m", floor: bool = False
    ) -> list[Path]:
        """Writes the file that a path's ending names, or path + ending for each format; see `scene.export.save`."""
        from humesh.scene.export import save
        from humesh.scene.options import FileOptions

        return save(self, path, formats, FileOptions(units, floor))

    def render(self, view: View = "overlay") -> UInt8[np.ndarray, "H W 3"]:
        """The meshes over the photo, or on a floor seen from the front, the side or the top."""
        from humesh.scene.pictures import render

        return render(self, view)

    def to_trimesh(self) -> trimesh.Scene:
        """A trimesh.Scene with a mesh for each person (person0, ...), metres, y up; MissingPackageError without it."""
        try:
            import trimesh
        except ImportError:
            raise MissingPackageError("to_trimesh needs the package trimesh; run: pip install trimesh") from None
        surfaces = exact(self.bodies.vertices).numpy() * (1, -1, -1)
        meshes = [trimesh.Trimesh(surface, self.bodies.faces, process=False) for surface in surfaces]
        return trimesh.Scene({f"person{number}": mesh for number, mesh in enumerate(meshes)})

    def _repr_png_(self) -> bytes:
        """What a notebook shows: the overlay, the side and the top."""
        from humesh.scene.pictures import contact_sheet

        stream = io.BytesIO()
        Image.fromarray(contact_sheet(self)).save(stream, "PNG")
        return stream.getvalue()


@dataclass(frozen=True, eq=False)
class Motion:
    """One person of a video through the F frames of its track, in the camera frame, metres.

    `frames`: their places in the video's `times`, increasing; where two differ by more than 1 the person was gone. The
    shape is the same in all. `found`: False where nobody was detected and the pose was interpolated. `confidence`: of
    the joints, in [0, 1], as far as it is known.
    """

    track: int
    frames: Int[np.ndarray, " F"]
    pose: BodyPose  # [F]
    found: Bool[np.ndarray, " F"]
    score: float  # mean of the detections
    confidence: Float[Tensor, "F J"] = field(default_factory=lambda: torch.zeros(0, len(SMPL24)))


@dataclass(frozen=True, eq=False)
class VideoResult:
    """The people of a video, in the order of their tracks."""

    times: Float[np.ndarray, " T"]  # seconds, of all frames that were read
    size: tuple[int, int]  # (width, height) px
    camera: Camera
    camera_source: str
    tracks: list[Motion]
    body: BodyModel
    method: str
    notes: tuple[str, ...] = ()
    path: str = ""  # of the video, as files name it
    video: Video | None = None  # to read its pictures again

    @property
    def fps(self) -> float:
        """Frames a second, by the median distance of frames; 30 where there are not two."""
        return 1 / float(np.median(np.diff(self.times))) if len(self.times) > 1 else 30.0

    @property
    def frames(self) -> Iterator[Result]:
        """Each frame with everybody in it; the video is read again. Raises ResultError without it, and VideoError."""
        if self.video is None:
            raise ResultError("frames: expected a result with its video, got none; give it to humesh.load as source.")
        rows = [{int(frame): row for row, frame in enumerate(motion.frames)} for motion in self.tracks]
        for frame in self.video:
            if frame.number >= len(self.times):
                break
            there = [(m, row[frame.number]) for m, row in zip(self.tracks, rows, strict=True) if frame.number in row]
            photo = replace(Photo.of(frame.pixels, self.camera), camera_source=self.camera_source)
            yield self._frame(photo, there, frame.time_s)

    def _frame(self, photo: Photo, there: list[tuple[Motion, int]], time_s: float) -> Result:
        pose, confidence = BodyPose.rest(0, shapes=self.body.shapes), torch.zeros(0, len(SMPL24))
        if there:
            pose = BodyPose.stacked([motion.pose.map(itemgetter(row)) for motion, row in there])
            confidence = torch.stack([motion.confidence[row] for motion, row in there])
        people = [Person(np.zeros(4), motion.score, track=motion.track) for motion, _ in there]
        visible = confidence >= VISIBLE_ABOVE
        frame = Result(photo, people, pose, confidence, visible, self.body, self.method, time_s=time_s)
        for row, person in enumerate(people):  # their boxes are those of their surfaces
            pixels = pixels_of(photo.camera, frame.bodies.vertices[row].double())
            people[row] = replace(person, box=torch.cat([pixels.amin(0), pixels.amax(0)]).numpy())
        return frame

    def save(
        self, path: str | Path, formats: str | Iterable[str] | None = None, *, units: str = "m", floor: bool = False,
        pad: bool = False,
    ) -> list[Path]:  # fmt: skip
        """Writes the file that a path's ending names, or path + ending for each format; see `scene.export.save`."""
        from humesh.scene.export import save
        from humesh.scene.options import FileOptions

        return save(self, path, formats, FileOptions(units, floor, pad))


def exact(tensor: Tensor) -> Tensor:
    """The tensor's numbers as float64 on the CPU, as the files are made from."""
    return tensor.detach().cpu().double()


def pixels_of(camera: Camera, points: Float[Tensor, "*g K 3"]) -> Float[Tensor, "*g K 2"]:
    """Finite pixels of points in metres, those in or behind the camera's plane included."""
    return camera.project(torch.cat([points[..., :2], points[..., 2:].clamp(min=_NEAREST_M)], dim=-1))
