"""What every method is: groups of crops in, posed bodies out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, get_args, get_origin, get_type_hints

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.crops.crops import Crops, CropSpec
from humesh.losses import Targets, Term, body_losses, reduced
from humesh.methods.weights import WeightsError


@dataclass(frozen=True, eq=False)
class Prediction:
    """Posed bodies in the photo's camera frame; a method that needs more subclasses it."""

    pose: BodyPose
    expected_error_m: Float[Tensor, "*g J"] | None = field(default=None, kw_only=True)
    """Of each joint once the body is aligned as a whole, metres; None: not estimated."""


@dataclass(frozen=True)
class KeyMap:
    """From the names in an authors' state dict to ours.

    Keys go through every rename (regular expression, replacement) in turn. Keys that match a pattern of `dropped` are
    left out, for the reason given beside it; whatever else does not fit is an error. `config` sizes the network from
    the file. `companion`: what must come from a second file that the user gives, as (regular expression, replacement),
    and `companion_is`: that file in words.
    """

    renames: tuple[tuple[str, str], ...]
    dropped: Mapping[str, str]
    config: Callable[[Mapping[str, Tensor]], Any]
    companion: tuple[tuple[str, str], ...] = ()
    companion_is: str = ""

    def apply(self, state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, list[str]]]:
        """The state dict under our names, and the keys left out, by reason."""
        ours: dict[str, Tensor] = {}
        left: dict[str, list[str]] = {}
        for key, value in state.items():
            reason = next((why for pattern, why in self.dropped.items() if re.search(pattern, key)), None)
            if reason is not None:
                left.setdefault(reason, []).append(key)
                continue
            name = key
            for pattern, replacement in self.renames:
                name = re.sub(pattern, replacement, name)
            if name in ours:
                raise WeightsError(f"two of the checkpoint's keys would become {name!r}; it is of another method.")
            ours[name] = value
        return ours, left

    def from_companion(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the second file gives, under our names."""
        found = {}
        for key, value in state.items():
            for pattern, replacement in self.companion:
                if re.search(pattern, key):
                    found[re.sub(pattern, replacement, key)] = value
        return found


class Method(nn.Module):
    """A network with its crops. `config_type` builds it; the body gives skeletons and is never saved with it.

    ValueError where a setting that is a Literal has another value.
    """

    config_type: ClassVar[type]
    authors_keys: ClassVar[KeyMap | None] = None  # None: no checkpoint of the authors' exists
    config: Any
    spec: CropSpec

    def __init__(self, config: Any, body: BodyModel) -> None:
        super().__init__()
        for name, kind in get_type_hints(type(config)).items():
            if get_origin(kind) is Literal and (value := getattr(config, name)) not in get_args(kind):
                raise ValueError(f"{name}: expected one of {', '.join(get_args(kind))}, got {value!r}.")
        self.config = config
        self.bodies = (body,)  # in a tuple it is no submodule: neither moved nor exported with the network

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

    def objective(self, crops: Crops, prediction: Any, targets: Targets) -> dict[str, Float[Tensor, ""]]:
        """The losses that training weighs and adds up, by name: a paper's method has its paper's.

        Ours have the errors of their bodies (`body_losses`) and the means of their `own_terms`.
        """
        pose = prediction.pose.map(Tensor.float)
        losses = body_losses(self.bodies[0], pose, crops.camera, crops.size, targets)
        return losses | {name: reduced(term) for name, term in self.own_terms(crops, prediction, targets).items()}

    def own_terms(self, crops: Crops, prediction: Any, targets: Targets) -> dict[str, Term]:
        """The unreduced loss terms that one of our methods has beside the errors of its bodies, by name."""
        return {}


class ClipMethod(Method):
    """A method for the frames of one person: a pass over each frame, then one over the clip of what these gave."""

    def forward(self, crops: Crops) -> Prediction:
        """The bodies of all frames of each clip."""
        return self.through_time(self.frame_features(crops), crops)

    def frame_features(self, crops: Crops) -> Float[Tensor, "B N ..."]:
        """The features of each frame, which depend on nothing but its crop."""
        raise NotImplementedError

    def through_time(self, features: Float[Tensor, "B N ..."], crops: Crops) -> Prediction:
        """The bodies of all frames from their features; the crops' pixels are not used."""
        raise NotImplementedError


def of_present(
    encode: Callable[[Tensor], Tensor], pixels: Float[Tensor, "B N 3 H W"], present: Bool[Tensor, "B N"]
) -> Tensor:
    """What an encoder makes of the crops that are present, `B N ...`; of the others, which it never gets, a stand-in.

    All are encoded where a graph is traced, which must not depend on data.
    """
    if torch.compiler.is_compiling() or bool(present.all()) or not bool(present.any()):
        return encode(pixels.flatten(0, 1)).unflatten(0, present.shape)
    found = encode(pixels[present])
    # No zeros: of people all whose joints are in one place no body can be made.
    every = found[:1].detach().repeat(present.numel(), *[1] * (found.ndim - 1))
    return every.index_put((present.flatten(),), found).unflatten(0, present.shape)
