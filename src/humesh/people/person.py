"""One person of a photo, as a detector finds them."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

from humesh.body.joints import JointSet
from humesh.errors import HumeshError

MASK_SIDE = 128


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
