"""The published methods, one file each, and the zoo that lists them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from humesh.methods.base import Method


@dataclass(frozen=True)
class MethodCard:
    """A method of the zoo: what `humesh info` says of it, and its network's class (imported when it is asked for)."""

    paper: str
    needs: str
    licence: str  # of the weights that run by default, where none of ours are shipped
    network: Callable[[], type[Method]]


def _jotr() -> type[Method]:
    from humesh.methods.jotr import Jotr

    return Jotr


def _multi_roi() -> type[Method]:
    from humesh.methods.multi_roi import MultiRoi

    return MultiRoi


def _multi_roi_authors() -> type[Method]:
    from humesh.methods.multi_roi import MultiRoiAuthors

    return MultiRoiAuthors


def _int() -> type[Method]:
    from humesh.methods.int_tokens import IntTokens

    return IntTokens


def _ik_refine() -> type[Method]:
    from humesh.methods.ik_refine import IkRefine

    return IkRefine


def _lifter() -> type[Method]:
    from humesh.methods.lifter import LifterMethod

    return LifterMethod


def _lifter_video() -> type[Method]:
    from humesh.methods.lifter_video import LifterVideo

    return LifterVideo


_NEEDS = "weights: converted from the authors' with `humesh convert`, or trained by you"
_NONE = "none shipped yet"

METHODS = {
    "jotr": MethodCard(
        "Li et al., JOTR: 3D Joint Contrastive Learning with Transformers for Occluded Human Mesh Recovery, ICCV 2023",
        _NEEDS,
        _NONE,
        _jotr,
    ),
    "multi_roi": MethodCard(
        "Nie et al., Multi-RoI Human Mesh Recovery with Camera Consistency and Contrastive Losses, ECCV 2024",
        _NEEDS,
        _NONE,
        _multi_roi,
    ),
    "multi_roi_authors": MethodCard(
        "Multi-RoI in the form that its authors' code has: a mesh for each region", _NEEDS, _NONE, _multi_roi_authors
    ),
    "int": MethodCard(
        "Yang et al., Capturing the Motion of Every Joint: 3D Human Pose and Shape Estimation with Independent Tokens, "
        "ICLR 2023",
        _NEEDS,
        _NONE,
        _int,
    ),
    "ik_refine": MethodCard(
        "Cha et al., Multi-Person 3D Pose and Shape Estimation via Inverse Kinematics and Refinement, ECCV 2022",
        "nothing: without weights, the detector's landmarks are the skeleton for its inverse kinematics",
        "Apache-2.0 (Google's networks, in humesh's wheel)",
        _ik_refine,
    ),
    "lifter": MethodCard(
        "ours, after Martinez et al., ICCV 2017: a perceptron on the detector's points, the baseline without a picture",
        "nothing",
        _NONE,
        _lifter,
    ),
    "lifter_video": MethodCard(
        "ours: the lifter on the frames of a video together, with INT's idea of a path through time for each joint",
        "nothing",
        _NONE,
        _lifter_video,
    ),
}
