"""What every method gives back."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor

from humesh.body.pose import BodyPose


@dataclass(frozen=True)
class Prediction:
    """Posed bodies in the photo's camera frame; a method that needs more subclasses it."""

    pose: BodyPose


@dataclass(frozen=True)
class SkeletonPrediction(Prediction):
    """Bodies fitted to skeletons, with what is known of each of their joints."""

    confidence: Float[Tensor, "*g J"]
    seen: Bool[Tensor, "*g J"]  # False: the joint's place is a rest-like guess
