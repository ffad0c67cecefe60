"""Where a person is in a photo: the landmark model's segmentation, packed."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

SIDE = 128


@dataclass(frozen=True, eq=False)
class Mask:
    """A person's pixels in a square region of a photo, `SIDE` x `SIDE` of them, packed into some 0.3 kB."""

    packed: bytes
    photo_from_unit: Float[np.ndarray, "2 3"]  # takes the region's unit square (x right, y down) to photo pixels

    @classmethod
    def of(cls, region: Bool[np.ndarray, "S S"], photo_from_unit: Float[np.ndarray, "2 3"]) -> Mask:
        """The mask of a region, of any size that is a multiple of `SIDE`."""
        step = len(region) // SIDE
        return cls(zlib.compress(np.packbits(region[step // 2 :: step, step // 2 :: step]).tobytes()), photo_from_unit)

    @property
    def region(self) -> Bool[np.ndarray, "128 128"]:
        """The mask in the region's own pixels."""
        bits = np.frombuffer(zlib.decompress(self.packed), np.uint8)
        return np.unpackbits(bits).reshape(SIDE, SIDE).astype(bool)

    def pixels(self, width: int, height: int) -> Bool[np.ndarray, "H W"]:
        """The mask in the pixels of the photo, of that size; nobody is outside the region."""
        turn, shift = self.photo_from_unit[:, :2], self.photo_from_unit[:, 2]
        unit_from_photo = np.linalg.inv(turn)
        affine = SIDE * np.concatenate([unit_from_photo, (-unit_from_photo @ shift)[:, None]], axis=1)
        region = Image.fromarray(self.region.astype(np.uint8) * 255)
        whole = region.transform(
            (width, height), Image.Transform.AFFINE, affine.ravel().tolist(), Image.Resampling.BILINEAR
        )
        return np.asarray(whole) > 127
