"""Crops: the input of every network. A crop is a camera, so nothing about where it was cut is ever lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn.functional import grid_sample

from humesh.body.joints import JointSet
from humesh.geometry.boxes import affine_apply, affine_inverse
from humesh.geometry.camera import Camera
from humesh.people.person import Person

Box = Float[np.ndarray, "4"]  # x0 y0 x1 y1 px
_Crops = TypeVar("_Crops", bound="Crops")  # crops of a kind stay of that kind


@dataclass(frozen=True)
class Crops:
    """B groups of N crops. Pixels are RGB in [0, 1]; keypoints are (x, y, confidence) in pixels of the crop.

    `present`: False for padding, which changes nothing; `wanted`: the crops whose bodies the method predicts.
    `landmarks`: the detector's prediction of MEDIAPIPE33 in 3D, (x, y, z, confidence) in metres from the middle of the
    hips, in the axes of a camera that looks straight at the person, rolled as the crop is; confidence 0: unknown.
    """

    pixels: Float[Tensor, "B N 3 H W"]
    crop_from_photo: Float[Tensor, "B N 2 3"]
    photo_camera: Camera  # matrix B N 3 3
    keypoints: Float[Tensor, "B N K 3"]  # K = 0 where the method wants none
    present: Bool[Tensor, "B N"]
    wanted: Bool[Tensor, "B N"]
    landmarks: Float[Tensor, "B N L 4"]  # L = 0 where the method wants none

    @classmethod
    def joined(cls: type[_Crops], parts: Sequence[_Crops], dim: int = 0) -> _Crops:
        """Groups one after the other (dim 0), or crops of one group (dim 1)."""
        names = [field.name for field in fields(cls) if field.name != "photo_camera"]
        matrix = torch.cat([part.photo_camera.matrix for part in parts], dim)
        tensors = {name: torch.cat([getattr(part, name) for part in parts], dim) for name in names}
        return cls(photo_camera=Camera(matrix), **tensors)

    @property
    def camera(self) -> Camera:
        """The cameras of the crops: the same bodies in the same metres, in crop pixels."""
        return self.photo_camera.cropped(self.crop_from_photo)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the crops in pixels."""
        return self.pixels.shape[-2], self.pixels.shape[-1]

    def map(self: _Crops, function: Callable[[Tensor], Tensor]) -> _Crops:
        """The crops with a function applied to each of their tensors (indexing, moving)."""
        names = [field.name for field in fields(self) if field.name != "photo_camera"]
        camera = Camera(function(self.photo_camera.matrix))
        return replace(self, photo_camera=camera, **{name: function(getattr(self, name)) for name in names})


@dataclass(frozen=True)
class ClipCrops(Crops):
    """Crops of one person's frames, with their times in seconds from any moment on."""

    seconds: Float[Tensor, "B N"]


def seconds_of(crops: Crops) -> Float[Tensor, "B N"]:
    """The frames' times; crops without times count as those of a video of 30 frames a second."""
    if isinstance(crops, ClipCrops):
        return crops.seconds
    return (torch.arange(crops.present.shape[1]).to(crops.keypoints) / 30).expand(crops.present.shape)


def longer_side(person: Person, size: tuple[int, int]) -> Box:
    """The person's box as it was detected; the crop is the square around it."""
    return np.asarray(person.box, dtype=np.float64)


@dataclass(frozen=True)
class CropSpec:
    """The crops that a method wants.

    `size`: (height, width) of a crop, px. `group`: "single" (one person), "rois" (several boxes of one person),
    "frames" (one person through time), "people" (everyone in a photo). `count`: the most crops of a group; None: any
    number. `keypoints`: the joint set of 2D keypoints to add, `landmarks`: whether to add 3D landmarks. `box`: gives
    the box (x0 y0 x1 y1) of a person in a photo of (width, height), `margin`: the crop's side in units of the box's.
    `copies`: the boxes of "rois" as (shift x, shift y, scale) in units of the first one's side.
    """

    size: tuple[int, int]
    group: Literal["single", "rois", "frames", "people"] = "single"
    count: int | None = 1
    keypoints: JointSet | None = None
    landmarks: bool = False
    box: Callable[[Person, tuple[int, int]], Box] = longer_side
    margin: float = 1.0
    copies: tuple[tuple[float, float, float], ...] = ((0.0, 0.0, 1.0),)

    @property
    def temporal(self) -> bool:
        """Whether the method processes several frames of a person together."""
        return self.group == "frames" and self.count != 1


def cut(
    photo: UInt8[np.ndarray, "H W 3"], crop_from_photo: Float[Tensor, "n 2 3"], size: tuple[int, int]
) -> Float[Tensor, "n 3 h w"]:
    """Crops of (height, width) pixels, RGB in [0, 1], bilinear, black outside of the photo."""
    height, width = size
    columns, rows = (torch.arange(length, dtype=torch.float64) + 0.5 for length in (width, height))
    corners = torch.tensor([(x, y) for x in (0.5, width - 0.5) for y in (0.5, height - 0.5)], dtype=torch.float64)
    crops = []
    for back in affine_inverse(crop_from_photo.double()):
        # Only the part of the photo that the crop sees is made floating point; one pixel around it for the edges.
        ends = affine_apply(back, corners)
        low = (ends.amin(0).floor() - 1).clamp(min=0).long().tolist()
        high = (ends.amax(0).ceil() + 1).long().tolist()
        part = np.array(photo[low[1] : max(high[1], low[1]), low[0] : max(high[0], low[0])])
        if not part.size:
            crops.append(torch.zeros(3, height, width))
            continue
        pixels = torch.from_numpy(part).permute(2, 0, 1)[None].float() / 255
        # The map is a sum of what a column and what a row adds, which saves most of the arithmetic.
        unit = 2 / torch.tensor([part.shape[1], part.shape[0]])
        of_columns = (columns[:, None] * back[:, 0] + back[:, 2] - torch.tensor(low)) * unit - 1
        grid = of_columns.float() + (rows[:, None, None] * back[:, 1] * unit).float()
        crops.append(grid_sample(pixels, grid[None], mode="bilinear", padding_mode="zeros", align_corners=False)[0])
    return torch.stack(crops) if crops else torch.zeros(0, 3, height, width)
