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


class PoseError(HumeshError, ValueError):
    """A pose whose parts do not belong together, or to the body; the sentence says the shapes."""


@dataclass(frozen=True)
class BodyPose:
    """Parent-relative joint rotations (the root's in the camera frame), shape coefficients, translation in metres.

    As in SMPL the root turns about the rest pelvis, so the posed pelvis is the rest pelvis plus the translation.
    Raises PoseError for anything but tensors of these shapes; J is 24, `humesh.body.joints.SMPL24`.
    """

    rotations: Float[Tensor, "*g J 3 3"]
    shape: Float[Tensor, "*g S"]
    translation: Float[Tensor, "*g 3"]

    def __post_init__(self) -> None:
        parts = self.rotations, self.shape, self.translation
        kinds = [type(part) for part in parts if not isinstance(part, Tensor)]
        if kinds:
            raise PoseError(f"pose: expected tensors, got {kinds[0].__name__}; make one with torch.as_tensor.")
        group = self.translation.shape[:-1]
        if self.rotations.shape != (*group, len(SMPL24), 3, 3) or self.translation.shape[-1:] != (3,):
            wrong = "rotations of 24 x 3 x 3 for each translation of 3", self.rotations, self.translation
        elif self.shape.shape[:-1] != group or not self.shape.ndim:
            wrong = "shape coefficients for each translation of 3", self.shape, self.translation
        else:
            return
        shapes = " and ".join(" x ".join(map(str, part.shape)) or "one number" for part in wrong[1:])
        raise PoseError(f"pose: expected {wrong[0]}, got {shapes}.")

    @classmethod
    def rest(cls, *group: int, shapes: int = 10, dtype: torch.dtype = torch.float32) -> BodyPose:
        """The T-pose of the mean body at the origin."""
        rotations = torch.eye(3, dtype=dtype).expand(*group, len(SMPL24), 3, 3)
        return cls(rotations, torch.zeros(*group, shapes, dtype=dtype), torch.zeros(*group, 3, dtype=dtype))

    @classmethod
    def joined(cls, poses: Sequence[BodyPose], dim: int = 0) -> BodyPose:
        """Groups of poses as one, one after the other along one of their dimensions."""
        return cls(*(torch.cat(parts, dim) for parts in zip(*map(_tensors, poses), strict=True)))

    @classmethod
    def stacked(cls, poses: Sequence[BodyPose]) -> BodyPose:
        """Poses as a group with a new first dimension."""
        return cls(*(torch.stack(parts) for parts in zip(*map(_tensors, poses), strict=True)))

    def map(self, function: Callable[[Tensor], Tensor]) -> BodyPose:
        """The pose with a function applied to each of its tensors (indexing, detaching, moving)."""
        return BodyPose(function(self.rotations), function(self.shape), function(self.translation))

    def mirrored(self) -> BodyPose:
        """The pose seen in a mirror across x = 0: left and right joints swapped, every rotation reflected."""
        flip = torch.tensor([-1.0, 1.0, 1.0]).to(self.rotations)
        rotations = self.rotations[..., list(SMPL24.mirror), :, :] * flip[:, None] * flip
        return BodyPose(rotations, self.shape, self.translation * flip)


def _tensors(pose: BodyPose) -> tuple[Tensor, Tensor, Tensor]:
    return pose.rotations, pose.shape, pose.translation


@dataclass(frozen=True)
class Bodies:
    """Posed bodies in metres, camera frame; all share their triangles."""

    vertices: Float[Tensor, "*g V 3"]
    joints: Float[Tensor, "*g J 3"]
    faces: Int[np.ndarray, "F 3"]

    def cpu(self) -> Bodies:
        """The same bodies in the CPU's memory."""
        return Bodies(self.vertices.cpu(), self.joints.cpu(), self.faces)
