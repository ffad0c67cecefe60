"""Results: the people of a photo and their bodies, the people of a video through time, and how both are saved."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from numbers import Real
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image
from torch import Tensor

from humesh.body.joints import RIGS, SMPL24
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

Y_TO_Z = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
"""Turns what is y up into what is z up: somebody who faced +z faces -y, towards Blender's front view."""

_NEAREST_M = 1e-3  # points nearer than this, or behind, are projected from there so that pixels stay finite
_AT_ONCE = 64  # bodies posed together
_UNITS = {"m": 1.0, "cm": 100.0}  # of which make a metre
_FASTEST = 1000  # frames a second
_FORMATS_OF = {
    "units": ("bvh", "obj", "ply"),
    "floor": ("glb", "bvh", "obj", "ply", "amass", "usd"),
    "pad": ("bvh", "amass"),
    "rig": ("glb", "bvh"),
    "root_motion": ("glb", "bvh", "amass", "usd"),
    "fps": ("glb", "bvh", "amass", "usd"),
    "up": ("bvh", "obj", "ply"),
}  # that an option is for
_OF_MOTION = ("pad", "root_motion", "fps")  # options of videos
_REASONS = {
    "units": "GLB, USD and AMASS files are in metres by definition",
    "up": "glTF is y up and AMASS z up by definition, USD is written y up",
    "rig": "USD and AMASS have their own names",
}


class ResultError(HumeshError, ValueError):
    """A result whose parts belong to different people, or a file of results that cannot be read."""


class OptionsError(HumeshError, ValueError):
    """A choice for files that does not exist, or that changes none of them."""


@dataclass(frozen=True)
class FileOptions:
    """The layout of files for other programs; records (JSON, NPZ) are always in metres in the camera frame."""

    units: str = "m"
    """Of BVH, OBJ and PLY, "m" or "cm"; GLB, USD and AMASS files are in metres by their definition."""
    floor: bool = False
    """The lowest point of a file's bodies, over all its frames, is at height 0; else the camera is at the origin."""
    pad: bool = False
    """BVH, AMASS and rigged GLB files of a video hold the first and last pose, to be as long as the video."""
    rig: str = "smpl"
    """Of GLB and BVH, the bones' names: "smpl", "mixamo" or "unity". The last two make a GLB a file for each person,
    which rests in a T-pose on the floor, y up, without a camera."""
    root_motion: bool = True
    """False: the people of a video stay above the place where they begin; they still go up and down."""
    fps: int | float | None = None
    """The constant rate at which GLB, BVH, AMASS and USD files sample a video's motion; None: the video's."""
    up: str = "y"
    """The axis of BVH, OBJ and PLY that points up, "y" or "z"; of GLB and USD it is y, of AMASS z."""

    def __post_init__(self) -> None:
        for name, known in (("units", _UNITS), ("rig", RIGS), ("up", ("y", "z"))):
            if getattr(self, name) not in known:
                *others, last = known
                raise OptionsError(f"{name}: expected {', '.join(others)} or {last}, got {getattr(self, name)!r}.")
        if self.fps is not None and not (isinstance(self.fps, Real) and 1 <= self.fps <= _FASTEST):
            raise OptionsError(f"fps: expected from 1 to {_FASTEST} frames a second, got {self.fps}.")

    def formats_of(self, name: str) -> tuple[str, ...]:
        """The formats that an option is for."""
        return _FORMATS_OF[name] + (("glb",) if name == "pad" and self.rig != PLAIN.rig else ())

    def changed(self) -> dict[str, object]:
        """The options that differ from the default, by name."""
        return {name: value for name, value in vars(self).items() if value != getattr(PLAIN, name)}

    def check(self, photo: Collection[str], video: Collection[str]) -> None:
        """Raises OptionsError for an option that is for none of the formats of a photo and of a video."""
        for name in self.changed():
            formats = [*video] if name in _OF_MOTION else [*photo, *video]
            if name in _OF_MOTION and photo and not video:
                raise OptionsError(f"{name}: expected a video, whose motion it is for, got a photo.")
            if not set(self.formats_of(name)) & set(formats):
                usable, got = ", ".join(self.formats_of(name)), ", ".join(formats) or "none"
                reason = f"; {_REASONS[name]}" if name in _REASONS else ""
                raise OptionsError(f"{name}: expected one of the formats it is for, {usable}, got {got}{reason}.")

    @property
    def scale(self) -> float:
        """Units in a metre."""
        return _UNITS[self.units]

    def lift(self, body: BodyModel, *poses: BodyPose) -> float:
        """How far up, in metres, bodies [F] of the camera frame are moved so that they stand on the floor."""
        parts = (
            pose.map(lambda tensor: tensor.detach().cpu()[start : start + _AT_ONCE])  # noqa: B023
            for pose in (poses if self.floor else ())
            for start in range(0, len(pose.translation), _AT_ONCE)
        )
        return max((float(body(part).vertices[..., 1].max()) for part in parts), default=0.0)  # y is down


PLAIN = FileOptions()


class _Saved:
    """What a photo's and a video's results have in common."""

    def save(
        self,
        path: str | Path,
        formats: str | Iterable[str] | None = None,
        *,
        units: str = "m",
        floor: bool = False,
        pad: bool = False,
        rig: str = "smpl",
        root_motion: bool = True,
        fps: int | float | None = None,
        up: str = "y",
    ) -> list[Path]:
        """Writes the file that a path's ending names, or path + ending for each format.

        See `scene.export.save`, and `scene.result.FileOptions` on the layout of files.
        """
        from humesh.scene.export import save

        options = FileOptions(units, floor, pad, rig, root_motion, fps, up)
        return save(self, path, formats, options)  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class Result(_Saved):
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
        scene = trimesh.Scene()
        for number, surface in enumerate(surfaces):
            mesh = trimesh.Trimesh(surface, self.bodies.faces, process=False)
            scene.add_geometry(mesh, node_name=f"person{number}", geom_name=f"person{number}")
        return scene

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
class VideoResult(_Saved):
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
            pose, confidence = BodyPose.rest(0, shapes=self.body.shapes), torch.zeros(0, len(SMPL24))
            if there:
                pose = BodyPose.stacked([motion.pose.map(itemgetter(row)) for motion, row in there])
                confidence = torch.stack([motion.confidence[row] for motion, row in there])
            people = [Person(np.zeros(4), motion.score, track=motion.track) for motion, _ in there]
            facts = confidence, confidence >= VISIBLE_ABOVE, self.body, self.method
            result = Result(photo, people, pose, *facts, time_s=frame.time_s)
            for row, person in enumerate(people):  # their boxes are those of their surfaces
                pixels = pixels_of(photo.camera, result.bodies.vertices[row].double())
                people[row] = replace(person, box=torch.cat([pixels.amin(0), pixels.amax(0)]).numpy())
            yield result


def exact(tensor: Tensor) -> Tensor:
    """The tensor's numbers as float64 on the CPU, as the files are made from."""
    return tensor.detach().cpu().double()


def pixels_of(camera: Camera, points: Float[Tensor, "*g K 3"]) -> Float[Tensor, "*g K 2"]:
    """Finite pixels of points in metres, those in or behind the camera's plane included."""
    return camera.project(torch.cat([points[..., :2], points[..., 2:].clamp(min=_NEAREST_M)], dim=-1))
