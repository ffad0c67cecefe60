"""The methods, one file each, and the zoo that lists them."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from humesh.methods.base import Method


@dataclass(frozen=True)
class MethodCard:
    """A method of the zoo: its paper, and the module below humesh.methods with its network's class."""

    paper: str
    module: str
    class_name: str

    def network(self) -> type[Method]:
        """The class of the method's network, imported on demand: torch takes its time."""
        kind: type[Method] = getattr(import_module(f"humesh.methods.{self.module}"), self.class_name)
        return kind


METHODS = {
    "jotr": MethodCard(
        "Li et al., JOTR: 3D Joint Contrastive Learning with Transformers for Occluded Human Mesh Recovery, ICCV 2023",
        "jotr", "Jotr",
    ),
    "multi_roi": MethodCard(
        "Nie et al., Multi-RoI Human Mesh Recovery with Camera Consistency and Contrastive Losses, ECCV 2024",
        "multi_roi", "MultiRoi",
    ),
    "multi_roi_authors": MethodCard(
        "Multi-RoI in the form that its authors' code has: a mesh for each region", "multi_roi", "MultiRoiAuthors"
    ),
    "int": MethodCard(
        "Yang et al., Capturing the Motion of Every Joint: 3D Human Pose and Shape Estimation with Independent Tokens, "
        "ICLR 2023",
        "int_tokens", "IntTokens",
    ),
    "ik_refine": MethodCard(
        "Cha et al., Multi-Person 3D Pose and Shape Estimation via Inverse Kinematics and Refinement, ECCV 2022",
        "ik_refine", "IkRefine",
    ),
    "lifter": MethodCard(
        "ours, after Martinez et al., ICCV 2017: a perceptron on the detector's points, the baseline without a picture",
        "lifter", "LifterMethod",
    ),
    "lifter_video": MethodCard(
        "ours: the lifter on the frames of a video together, with INT's idea of a path through time for each joint",
        "lifter_video", "LifterVideo",
    ),
}  # fmt: skip
