"""What every method is: groups of crops in, posed bodies out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from jaxtyping import Bool, Float
from torch import Tensor, nn

from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.images.crops import Crops, CropSpec
from humesh.losses.targets import Targets, Term
from humesh.methods.weights import KeyMap


@dataclass(frozen=True)
class Prediction:
    """Posed bodies in the photo's camera frame; a method that needs more subclasses it."""

    pose: BodyPose
    expected_error_m: Float[Tensor, "*g J"] | None = field(default=None, kw_only=True)
    """Of each joint once the body is aligned as a whole, metres; None: not estimated."""


@dataclass(frozen=True)
class SkeletonPrediction(Prediction):
    """Bodies fitted to skeletons, with what is known of each of their joints."""

    confidence: Float[Tensor, "*g J"]
    seen: Bool[Tensor, "*g J"]  # False: the joint's place is a rest-like guess


class Method(nn.Module):
    """A network with its crops. `config_type` builds it; the body gives skeletons and is never saved with it."""

    config_type: ClassVar[type]
    authors_keys: ClassVar[KeyMap | None] = None  # None: no checkpoint of the authors' exists
    config: Any
    spec: CropSpec

    def __init__(self, config: Any, body: BodyModel) -> None:
        super().__init__()
        self.config = config

    def forward(self, crops: Crops) -> Prediction:
        """The bodies of the wanted crops, `B N`; predictions for the other crops mean nothing."""
        raise NotImplementedError

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of intermediate results that can be evaluated in place of the last one, see `use_stage`."""
        return ()

    def use_stage(self, stage: str) -> None:
        """Makes later predictions those of one of `stages`, for the papers' tables."""
        raise NotImplementedError

    def as_detected(self, crops: Crops, targets: Targets) -> Crops:
        """A training batch's crops with detector errors that depend on the network itself; unchanged by default."""
        return crops

    def own_terms(self, crops: Crops, prediction: Any, targets: Targets) -> dict[str, Term]:
        """The loss terms that only this method has, unreduced, by name."""
        raise NotImplementedError


class ClipMethod(Method):
    """A method for the frames of one person: it looks at each by itself, then at what that gave of all together."""

    def forward(self, crops: Crops) -> Prediction:
        """The bodies of all frames of each clip."""
        return self.through_time(self.look(crops), crops)

    def look(self, crops: Crops) -> Float[Tensor, "B N ..."]:
        """What is needed of each frame: numbers that depend on nothing but its crop."""
        raise NotImplementedError

    def through_time(self, looked: Float[Tensor, "B N ..."], crops: Crops) -> Prediction:
        """The bodies of all frames from what `look` gave; the crops' pixels are not looked at."""
        raise NotImplementedError
