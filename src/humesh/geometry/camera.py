"""The pinhole camera. OpenCV axes: x right, y down, z forward; a crop is a camera too."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from humesh.geometry.boxes import affine_3x3
from humesh.geometry.rotations import rotation_about_z

_USUAL_SHARE = 28 / 43.27  # of the diagonal; that of the 36 x 24 mm frame of film is 43.27 mm
GUESSED = "guessed: as of a 28 mm lens on film"
"""The source of a focal length that a photo does not give."""


@dataclass(frozen=True, eq=False)
class Camera:
    """Intrinsics in pixels; the pixel in the top-left corner covers [0, 1) x [0, 1), its centre is (0.5, 0.5)."""

    matrix: Float[Tensor, "*g 3 3"]

    @classmethod
    def virtual(cls, focal_px: float, size: tuple[int, int]) -> Camera:
        """A camera of that focal length whose optical axis meets the centre of an image of (width, height)."""
        width, height = size
        matrix = [[focal_px, 0.0, width / 2], [0.0, focal_px, height / 2], [0.0, 0.0, 1.0]]
        return cls(torch.tensor(matrix, dtype=torch.float64))

    @classmethod
    def guess(cls, size: tuple[int, int]) -> Camera:
        """The camera assumed when nothing is known: of a lens of 28 mm on film, as phones and webcams have (75°)."""
        width, height = size
        return cls.virtual(_USUAL_SHARE * (width**2 + height**2) ** 0.5, size)

    @property
    def focal_px(self) -> Float[Tensor, "*g"]:
        """Focal length in pixels (the geometric mean over x and y)."""
        return (self.matrix[..., 0, :2].norm(dim=-1) * self.matrix[..., 1, :2].norm(dim=-1)).sqrt()

    @property
    def principal_point_px(self) -> Float[Tensor, "*g 2"]:
        """Where the optical axis meets the image, in pixels."""
        return self.matrix[..., :2, 2]

    def project(self, points: Float[Tensor, "*g K 3"]) -> Float[Tensor, "*g K 2"]:
        """Pixels of points in metres; points in or behind the camera's plane give numbers without meaning."""
        homogeneous = points @ self.matrix.to(points).mT
        return homogeneous[..., :2] / homogeneous[..., 2:]

    def rays(self, pixels: Float[Tensor, "*g K 2"]) -> Float[Tensor, "*g K 3"]:
        """Directions (x, y, 1) in the camera's frame on which the pixels lie."""
        homogeneous = torch.cat([pixels, torch.ones_like(pixels[..., :1])], dim=-1)
        a, b, c = self.matrix.to(pixels).unbind(-2)
        # The inverse times the determinant, which the division below takes out again: columns b x c, c x a, a x b.
        columns = torch.stack([torch.linalg.cross(b, c), torch.linalg.cross(c, a), torch.linalg.cross(a, b)], dim=-2)
        rays = homogeneous @ columns
        return rays / rays[..., 2:]

    def cropped(self, crop_from_photo: Float[Tensor, "*g 2 3"]) -> Camera:
        """The camera `A K` of an affine crop: the same bodies in the same metres, in the crop's pixels."""
        return Camera(affine_3x3(crop_from_photo) @ self.matrix.to(crop_from_photo))

    def rolled(self, angle: Float[Tensor, "*g"]) -> Camera:
        """The camera `K Rz(-angle)` that sees a scene turned by Rz(angle) as this one saw it before; radians."""
        return Camera(self.matrix.to(angle) @ rotation_about_z(-angle))

    def translation_from_weak(self, weak: Float[Tensor, "*g 3"], size: tuple[int, int] | int) -> Float[Tensor, "*g 3"]:
        """Where a body of a weak-perspective camera (s, tx, ty) stands before this camera of a crop, metres.

        At the body's depth s is half the crop's height per metre and (tx, ty) metres from the crop's centre. With the
        camera `A K` of a crop this is CLIFF's crop-to-full conversion (Li et al., ECCV 2022), with a virtual camera
        (f = 5000 px, centred) SPIN's: (tx, ty, 2 f / (s h)). `size`: the crop's (height, width) px, or its side.
        """
        height, width = (size, size) if isinstance(size, int) else size
        scale, matrix = weak[..., 0] * (height / 2) + 1e-9, self.matrix.to(weak)  # 1e-9: the authors'
        depth = matrix[..., 0, 0] / scale
        centre = torch.tensor([width / 2, height / 2]).to(weak)
        shift = depth[..., None] * (centre - matrix[..., :2, 2]) / matrix[..., 0, 0, None]
        return torch.cat([weak[..., 1:] + shift, depth[..., None]], dim=-1)
