"""The two records of a body: how it is posed and where its surface and joints are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from humesh.body.joints import SMPL24
from humesh.errors import HumeshError
from humesh.geometry.rotations import rotation_from_axis_angle


class PoseError(HumeshError, ValueError):
    """A pose whose parts do not belong together, or to the body; the sentence says the shapes."""


@dataclass(frozen=True, eq=False)
class BodyPose:
    """Parent-relative joint rotations (the root's in the camera frame), shape coefficients, translation in metres.

    As in SMPL the root turns about the rest pelvis, so the posed pelvis is the rest pelvis plus the translation.
    Raises PoseError for anything but tensors of these shapes; J is 24, `humesh.body.joints.SMPL24`.
    """

    rotations: Float[Tensor, "*g J 3 3"]
    shape: Float[Tensor, "*g S"]
    translation: Float[Tensor, "*g 3"]

    def __post_init__(self) -> None:
        for part in (self.rotations, self.shape, self.translation):
            if not isinstance(part, Tensor):
                raise PoseError(f"pose: expected tensors, got {type(part).__name__}; make one with torch.as_tensor.")
        group = self.translation.shape[:-1]
        if self.rotations.shape != (*group, len(SMPL24), 3, 3) or self.translation.shape[-1:] != (3,):
            expected, part = "rotations of 24 x 3 x 3 for each translation of 3", self.rotations
        elif self.shape.shape[:-1] != group or not self.shape.ndim:
            expected, part = "shape coefficients for each translation of 3", self.shape
        else:
            return
        shapes = " and ".join(" x ".join(map(str, p.shape)) or "one number" for p in (part, self.translation))
        raise PoseError(f"pose: expected {expected}, got {shapes}.")

    @classmethod
    def rest(cls, *group: int, shapes: int = 10, dtype: torch.dtype = torch.float32) -> BodyPose:
        """The T-pose of the mean body at the origin."""
        rotations = torch.eye(3, dtype=dtype).expand(*group, len(SMPL24), 3, 3)
        return cls(rotations, torch.zeros(*group, shapes, dtype=dtype), torch.zeros(*group, 3, dtype=dtype))

    @classmethod
    def of(cls, pose: Tensor, betas: Tensor, translation: Tensor | None = None) -> BodyPose:
        """From SMPL's parameters: `pose` `*g 72` or `*g 24 3` (axis-angle, radians) or `*g 24 3 3`."""
        if pose.shape[-1:] == (3 * len(SMPL24),):
            pose = pose.unflatten(-1, (len(SMPL24), 3))
        rotations = rotation_from_axis_angle(pose) if pose.shape[-2:] == (len(SMPL24), 3) else pose
        return cls(rotations, betas, betas.new_zeros(*betas.shape[:-1], 3) if translation is None else translation)

    @classmethod
    def joined(cls, poses: Sequence[BodyPose], dim: int = 0) -> BodyPose:
        """Groups of poses as one, one after the other along one of their dimensions."""
        parts = zip(*((pose.rotations, pose.shape, pose.translation) for pose in poses), strict=True)
        return cls(*(torch.cat(part, dim) for part in parts))

    @classmethod
    def stacked(cls, poses: Sequence[BodyPose]) -> BodyPose:
        """Poses as a group with a new first dimension."""
        return cls.joined([pose.map(lambda part: part[None]) for pose in poses])

    def map(self, function: Callable[[Tensor], Tensor]) -> BodyPose:
        """The pose with a function applied to each of its tensors (indexing, detaching, moving)."""
        return BodyPose(function(self.rotations), function(self.shape), function(self.translation))

    def mirrored(self) -> BodyPose:
        """The pose seen in a mirror across x = 0: left and right joints swapped, every rotation reflected."""
        flip = torch.tensor([-1.0, 1.0, 1.0]).to(self.rotations)
        rotations = self.rotations[..., list(SMPL24.mirror), :, :] * flip[:, None] * flip
        return BodyPose(rotations, self.shape, self.translation * flip)


@dataclass(frozen=True, eq=False)
class Bodies:
    """Posed bodies in metres, camera frame; all share their triangles."""

    vertices: Float[Tensor, "*g V 3"]
    joints: Float[Tensor, "*g J 3"]
    faces: Int[np.ndarray, "F 3"]

    def cpu(self) -> Bodies:
        """The same bodies in the CPU's memory."""
        return Bodies(self.vertices.cpu(), self.joints.cpu(), self.faces)
