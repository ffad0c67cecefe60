"""The published methods, one file each, and the zoo that lists them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MethodCard:
    """What `humesh info` says of a method."""

    paper: str
    needs: str
    licence: str  # of the weights that run by default


METHODS = {
    "ik_refine": MethodCard(
        paper="Cha et al., Multi-Person 3D Pose and Shape Estimation via Inverse Kinematics and Refinement, ECCV 2022",
        needs="nothing: the first form, landmarks and analytic inverse kinematics, has no weights of its own",
        licence="Apache-2.0 (MediaPipe's landmark models, inside its wheel)",
    ),
}
