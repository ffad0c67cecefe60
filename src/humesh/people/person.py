"""The people of a photo as a detector finds them, and those of a video in a file, from which a stopped run goes on."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

from humesh.body.joints import JOINT_SETS, JointSet
from humesh.errors import HumeshError
from humesh.files import Array, read_arrays, write_arrays

MASK_SIDE = 128

_POINTS = max(map(len, JOINT_SETS.values()))
_MASK_BYTES = MASK_SIDE * MASK_SIDE // 8
_COLUMNS: dict[str, tuple[tuple[int, ...], str, str]] = {  # of each person: shape, dtype, kind of array
    "frame": ((), "i8", "integer"),
    "track": ((), "i8", "integer"),
    "score": ((), "f8", "number"),
    "box": ((4,), "f8", "number"),
    "set": ((), "U32", "text"),
    "keypoints": ((_POINTS, 3), "f8", "float"),  # NaN: none
    "landmarks3d": ((_POINTS, 3), "f8", "float"),
    "mask": ((_MASK_BYTES,), "u1", "integer"),
    "mask_place": ((2, 3), "f8", "number"),  # zeros: no mask
}
_LAYOUT = {name: Array(("people", *shape), kind) for name, (shape, _, kind) in _COLUMNS.items()} | {
    "of": Array((), "text"),
    "times_s": Array(("frames",)),
}


class PersonError(HumeshError, ValueError):
    """A person that no photo can show."""


@dataclass(frozen=True, eq=False)
class Mask:
    """A person's pixels in a square region of a photo, `MASK_SIDE` in each direction, compressed to some 0.3 kB."""

    packed: bytes
    photo_from_unit: Float[np.ndarray, "2 3"]  # takes the region's unit square (x right, y down) to photo pixels

    @classmethod
    def of(cls, region: Bool[np.ndarray, "S S"], photo_from_unit: Float[np.ndarray, "2 3"]) -> Mask:
        """The mask of a region whose side is a multiple of `MASK_SIDE`."""
        step = len(region) // MASK_SIDE
        return cls(zlib.compress(np.packbits(region[step // 2 :: step, step // 2 :: step]).tobytes()), photo_from_unit)

    @property
    def region(self) -> Bool[np.ndarray, "128 128"]:
        """The mask in the region's own pixels."""
        bits = np.frombuffer(zlib.decompress(self.packed), np.uint8)
        return np.unpackbits(bits).reshape(MASK_SIDE, MASK_SIDE).astype(bool)

    def pixels(self, width: int, height: int) -> Bool[np.ndarray, "H W"]:
        """The mask in the pixels of the photo, False outside the region."""
        turn, shift = self.photo_from_unit[:, :2], self.photo_from_unit[:, 2]
        unit_from_photo = np.linalg.inv(turn)
        affine = MASK_SIDE * np.concatenate([unit_from_photo, (-unit_from_photo @ shift)[:, None]], axis=1)
        region = Image.fromarray(self.region.astype(np.uint8) * 255)
        method, bilinear = Image.Transform.AFFINE, Image.Resampling.BILINEAR
        return np.asarray(region.transform((width, height), method, affine.ravel().tolist(), bilinear)) > 127


@dataclass(frozen=True, eq=False)
class Person:
    """One person of a photo, in the photo's pixels; what a detector does not give is None.

    Raises PersonError for a box that is not four finite numbers.
    """

    box: Float[np.ndarray, "4"]  # x0 y0 x1 y1 px
    score: float
    keypoints: Float[np.ndarray, "K 3"] | None = None  # x, y px, confidence in [0, 1]
    keypoint_set: JointSet | None = None
    landmarks3d: Float[np.ndarray, "K 3"] | None = None  # metres, camera axes, any origin; same joint set
    track: int | None = None
    mask: Mask | None = None

    def __post_init__(self) -> None:
        box = np.asarray(self.box, dtype=np.float64)
        if box.shape != (4,) or not np.isfinite(box).all():
            raise PersonError(
                f"person: expected a box of four finite numbers, x0 y0 x1 y1 in pixels, got {box.tolist()}; leave out "
                "people without a box."
            )


def box_around_keypoints(points: Float[np.ndarray, "K 3"], width: int, height: int) -> Float[np.ndarray, "4"]:
    """The box (x0 y0 x1 y1 px, in the photo) of a body by its confident keypoints, with room for skull and soles."""
    trusted = points[points[:, 2] > 0.3, :2]
    trusted = trusted if len(trusted) >= 4 else points[:, :2]
    low, high = trusted.min(0), trusted.max(0)
    room = 0.07 * float(np.max(high - low))  # the skull ends about so far above the eyes, the soles below the heels
    return np.clip([*(low - room), *(high + room)], 0, [width, height, width, height])


@dataclass
class VideoDetections:
    """The frames processed so far: their times in seconds, and the people in them, with tracks."""

    times: list[float] = field(default_factory=list)
    people: list[list[Person]] = field(default_factory=list)

    def save(self, path: Path, of: str) -> None:
        """Writes them as arrays; `of` names what they are detections of. The file appears only when complete."""
        rows = [(number, person) for number, some in enumerate(self.people) for person in some]
        arrays = {name: np.zeros((len(rows), *shape), dtype) for name, (shape, dtype, _) in _COLUMNS.items()}
        arrays["keypoints"][:] = arrays["landmarks3d"][:] = np.nan
        for row, (number, person) in enumerate(rows):
            arrays["frame"][row], arrays["track"][row], arrays["score"][row] = number, person.track or 0, person.score
            arrays["box"][row] = person.box
            arrays["set"][row] = person.keypoint_set.name if person.keypoint_set else ""
            for name in ("keypoints", "landmarks3d"):
                if (points := getattr(person, name)) is not None:
                    arrays[name][row, : len(points)] = points
            if person.mask is not None:
                arrays["mask"][row] = np.frombuffer(zlib.decompress(person.mask.packed), np.uint8)
                arrays["mask_place"][row] = person.mask.photo_from_unit
        arrays |= {"of": np.array(of), "times_s": np.array(self.times, dtype=np.float64)}
        write_arrays(path, arrays, compressed=False)

    @classmethod
    def load(cls, path: Path, of: str) -> VideoDetections:
        """Those of a file, or none where it is not there, is damaged or is of something else."""
        try:
            data = read_arrays(path, _LAYOUT, what="the people of a video", error=HumeshError)
            times, frames = data["times_s"].tolist(), data["frame"]
            if str(data["of"]) != of or not ((frames >= 0) & (frames < len(times))).all():
                return cls()
            people: list[list[Person]] = [[] for _ in times]
            for row, number in enumerate(frames.tolist()):
                people[number].append(_person(data, row))
        except HumeshError:
            return cls()
        return cls(times, people)


def _person(data: dict[str, np.ndarray], row: int) -> Person:
    joint_set, place = JOINT_SETS.get(str(data["set"][row])), data["mask_place"][row]
    points: dict[str, np.ndarray | None] = {"keypoints": None, "landmarks3d": None}
    for name in points if joint_set else ():
        own = data[name][row, : len(joint_set or ())]
        if not np.isnan(own[0]).any():
            points[name] = own.copy()
            if not np.isfinite(own).all():
                raise HumeshError("points: expected finite numbers")
    mask = None
    if np.linalg.det(place[:, :2]):
        mask = Mask(zlib.compress(data["mask"][row].astype(np.uint8).tobytes()), place)
    score, track = float(data["score"][row]), int(data["track"][row])
    return Person(data["box"][row], score, keypoint_set=joint_set, track=track, mask=mask, **points)
