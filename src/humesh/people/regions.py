"""Where networks look: square regions of a photo, and what they see there."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from humesh.people.masks import Mask

_ROI_MARGIN = 1.25  # mediapipe/modules/pose_landmark/pose_detection_to_roi.pbtxt
_LEAST_PX = 224  # photos are halved until the shorter side would be smaller


@dataclass(frozen=True)
class Roi:
    """A square that a network looks at: centre and side in photo pixels, `angle` in radians (from x towards y)."""

    x: float
    y: float
    side: float
    angle: float = 0.0

    @classmethod
    def around(cls, centre: Float[np.ndarray, "2"], rim: Float[np.ndarray, "2"]) -> Roi:
        """MediaPipe's square: about the circle around the hips through `rim`, a point above the head; it points up."""
        dx, dy = rim - centre
        side = max(2 * _ROI_MARGIN * math.hypot(dx, dy), 1.0)
        return cls(float(centre[0]), float(centre[1]), side, math.atan2(dx, -dy))

    @classmethod
    def about(cls, box: Float[np.ndarray, "4"], times: float) -> Roi:
        """The upright square about a box (x0 y0 x1 y1 px): so many times its longer side, 1 px at least."""
        x, y = ((box[:2] + box[2:]) / 2).tolist()
        return cls(x, y, max(times * float(np.max(box[2:] - box[:2])), 1.0))

    @property
    def photo_from_unit(self) -> Float[np.ndarray, "2 3"]:
        """Takes the unit square (0..1, y down) of the crop to photo pixels."""
        cos, sin = self.side * math.cos(self.angle), self.side * math.sin(self.angle)
        return np.array([[cos, -sin, self.x - (cos - sin) / 2], [sin, cos, self.y - (sin + cos) / 2]])

    def to_photo(self, points: Float[np.ndarray, "*g 2"]) -> Float[np.ndarray, "*g 2"]:
        """Points of the unit square in photo pixels."""
        matrix = self.photo_from_unit
        return points @ matrix[:, :2].T + matrix[:, 2]


@dataclass(frozen=True, eq=False)
class Pose:
    """A body as one network sees it in one region."""

    points: Float[np.ndarray, "33 3"]  # x, y px in the photo; confidence
    landmarks3d: Float[np.ndarray, "33 3"] | None  # metres, camera axes, from the hips; None: the network gives none
    score: float  # the network's own, 0..1; of a finished find the rating of the whole
    next_roi: Roi  # where the landmark model would look next
    network: str = "thunder"  # whose look it is: a key of `fusion.CURVES`
    mask: Mask | None = None

    @property
    def size(self) -> float:
        """Diameter in px of the circle that holds the body when it stands straight."""
        return self.next_roi.side / _ROI_MARGIN


class Pyramid:
    """A photo and its halvings, to cut small crops from large photos quickly and without aliasing."""

    def __init__(self, pixels: UInt8[np.ndarray, "H W 3"]) -> None:
        self.height, self.width = pixels.shape[:2]
        self.levels = [Image.fromarray(np.ascontiguousarray(pixels))]
        while min(self.levels[-1].size) >= 2 * _LEAST_PX:
            self.levels.append(self.levels[-1].reduce(2))

    def cut(self, roi: Roi, width: int, height: int | None = None) -> UInt8[np.ndarray, "h w 3"]:
        """The region as so many pixels, black outside the photo; a height: as much of it as has that shape."""
        height = width if height is None else height
        size = max(width, height)
        level = min(max(math.floor(math.log2(roi.side / size) + 0.3), 0), len(self.levels) - 1)
        image = self.levels[level]
        affine = roi.photo_from_unit / 2**level / [[size, size, 1]]
        affine[:, 2] += affine[:, :2] @ [(size - width) / 2, (size - height) / 2]
        crop = image.transform((width, height), Image.Transform.AFFINE, affine.ravel(), Image.Resampling.BILINEAR)
        return np.asarray(crop)
