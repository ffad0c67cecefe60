"""What a network starts from: weights of an earlier training (--init), and what its paper starts from (--pretrained).

Encoders start from a file of their authors, whose names are timm's and torchvision's too, or from timm's download;
iterative regressors from SPIN's mean parameters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import inf
from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from humesh.files import Array, parse_json, read_arrays
from humesh.losses.terms import LearnedWeights
from humesh.methods.weights import load_fitting, read_checkpoint, read_weights
from humesh.networks.encoders import HYBRID, PLAIN, Encoder, HrNet
from humesh.training.recipe import TrainingError

_MEANS = {"pose": Array((144,), "float"), "shape": Array((10,), "float"), "cam": Array((3,), "float")}
_START = re.compile(r"(^|\.)init_(pose|shape|cam)$")
_VIT = re.compile(r"(patch_embed|blocks|norm|cls_token|pos_embed)\b")
# Pose networks (Sun et al., CVPR 2019) end in their finest branch: the last fusion into the others is not trained.
_UNTRAINED = re.compile(r"stage4\.2\.fuse_layers\.[123]\.")


def start_from(method: nn.Module, path: Path) -> str:
    """Loads the tensors of a weights file that fit by name and shape; a sentence with how many did."""
    _, state = read_weights(path)
    fitting = load_fitting(method, state)
    if not fitting:
        raise TrainingError(f"--init {path}: none of its {len(state)} tensors fits this method; give its own weights.")
    return f"started from {path}: {fitting} of {len(method.state_dict())} tensors."


def start_learned(learned: LearnedWeights, path: Path) -> str:
    """Gives learned weights of losses those of the training that wrote a weights file (JOTR's second stage)."""
    try:
        values = {name: float(s) for name, s in parse_json(read_weights(path)[0].notes.get("learned", "{}")).items()}
        if not all(0 < s < inf for s in values.values()):
            raise ValueError("not all positive")
    except (AttributeError, TypeError, ValueError) as error:
        raise TrainingError(
            f"--init {path}: expected the learned weights of losses as names and positive numbers ({error}); give "
            "weights that `humesh train` wrote."
        ) from None
    found = [name for name in learned.names if name in values]
    with torch.no_grad():
        for name in found:
            learned.scales[learned.names.index(name)] = values[name]
    return f"learned weights of losses from {path}: {', '.join(found) or 'none, all start at 1'}."


def start_pretrained(method: nn.Module, given: str) -> str:
    """Loads what one --pretrained names: "timm", an encoder's file or mean parameters (.npz); a sentence about it.

    Every tensor of the encoder must be in the file with its shape, else TrainingError.
    """
    if Path(given).suffix == ".npz":
        return _start_means(method, Path(given))
    name, encoder, own = _encoder(method)
    state = _of_timm(name) if given == "timm" else read_checkpoint(given)
    keys = [key for key in own if not key.endswith("num_batches_tracked")]
    prefix = _prefix(keys, state)
    found = {key: state[prefix + key] for key in keys if prefix + key in state}
    optional = {key for key in keys if isinstance(encoder, HrNet) and _UNTRAINED.match(key)}
    problems = [f"it has no {key!r}" for key in keys if key not in found and key not in optional]
    problems += [f"its {key!r} has another shape" for key, value in found.items() if value.shape != own[key].shape]
    if problems:
        raise TrainingError(
            f"--pretrained {given}: expected the {len(keys)} tensors of {name}, {problems[0]}; give weights of it."
        )
    with torch.no_grad():
        for key, value in found.items():
            own[key].copy_(value.to(own[key]))
    rest = sorted({key.removeprefix(prefix).partition(".")[0] for key in state.keys() - {prefix + k for k in own}})
    left_out = f"; left out of the file: {', '.join(rest)}" if rest else ""
    lacking = len(keys) - len(found)
    lacks = f"; {lacking} of the last fusion start anew, as pose networks have none of these" if lacking else ""
    return f"the encoder {name} starts from {given}: all of {len(found)} tensors{lacks}{left_out}."


def _encoder(method: nn.Module) -> tuple[str, nn.Module, Mapping[str, Tensor]]:
    """The timm name of a method's encoder, the module, and its tensors under timm's names."""
    name = str(getattr(getattr(method, "config", None), "encoder", ""))
    if name in (HYBRID, PLAIN):
        return name, method, {key: value for key, value in method.state_dict().items() if _VIT.match(key)}
    for module in method.modules():
        if isinstance(module, HrNet | Encoder):
            return name, module, (module.net if isinstance(module, HrNet) else module).state_dict()
    raise TrainingError("--pretrained: this method has no encoder of pictures; leave it out.")


def _of_timm(name: str) -> Mapping[str, Tensor]:
    try:
        options = {"features_only": True, "feature_location": ""} if name.startswith("hrnet_") else {"num_classes": 0}
        return timm.create_model(name, pretrained=True, **options).state_dict()
    except Exception as error:  # of the hub's client, which has no base for its errors
        why = " ".join(str(error).split())[:200]
        raise TrainingError(f"--pretrained timm: cannot fetch the weights of {name} ({why}); give a file.") from None


def _prefix(keys: list[str], state: Mapping[str, Tensor]) -> str:
    """What stands before most of an encoder's names in a file's."""
    found = {name.removesuffix(keys[-1]) for name in state if name == keys[-1] or name.endswith("." + keys[-1])}
    return max(sorted(found, key=len), key=lambda prefix: sum(prefix + key in state for key in keys), default="")


def _start_means(method: nn.Module, path: Path) -> str:
    """Gives regressors SPIN's mean parameters: pose (6D), shape and camera."""
    means = read_arrays(path, _MEANS, what="mean parameters (pose, shape, cam)", error=TrainingError, only=_MEANS)
    places = {name: buffer for name, buffer in method.named_buffers() if _START.search(name)}
    if not places:
        raise TrainingError(f"--pretrained {path}: this method has no mean parameters to start from; leave it out.")
    for name, buffer in places.items():
        value = torch.from_numpy(means[name.rpartition("_")[2]]).to(buffer)
        if value.numel() != buffer.numel():
            raise TrainingError(f"--pretrained {path}: expected {buffer.numel()} numbers for {name}, got {len(value)}.")
        buffer.copy_(value.reshape(buffer.shape))
    return f"the regressor starts from {path}: {', '.join(places)}."
