"""From a recipe to a training that can start: its data, its network, and what that starts from.

Networks start from weights of an earlier training (--init), or from what their papers start from (--pretrained):
encoders from a file of their authors, whose names are timm's and torchvision's too, or from timm's download; iterative
regressors from SPIN's mean parameters.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from humesh.body.label_bodies import BodyFiles
from humesh.body.model import BodyModel
from humesh.data.batch import Groups, split
from humesh.data.views import on_trained_body
from humesh.errors import HumeshError
from humesh.files import Array, parse_json, read_arrays
from humesh.losses import LearnedWeights
from humesh.methods.base import Method
from humesh.methods.rois import roi_copies
from humesh.methods.weights import build, load_fitting, read_checkpoint, read_weights
from humesh.networks.encoders import HYBRID, PLAIN, Encoder, HrNet
from humesh.training.data import Given, sources
from humesh.training.loop import Place, Training
from humesh.training.recipe import SMPL, Recipe, TrainingError

_MOST_WEIGHTS = 4e9  # bytes; training takes four times as much
_NOTHING = Given()
_MEANS = {"pose": Array((144,), "float"), "shape": Array((10,), "float"), "cam": Array((3,), "float")}
_START = re.compile(r"(^|\.)init_(pose|shape|cam)$")
_VIT = re.compile(r"(patch_embed|blocks|norm|cls_token|pos_embed)\b")
# Pose networks (Sun et al., CVPR 2019) end in their finest branch: the last fusion into the others is not trained.
_UNTRAINED = re.compile(r"stage4\.2\.fuse_layers\.[123]\.")


def prepare(name: str, recipe: Recipe, place: Place, given: Given = _NOTHING) -> Training:
    """A training ready to run. Raises TrainingError, WeightsError, DatasetError."""
    bodies, init = bodies_of(recipe), given.init
    body = bodies.predicted
    planned(recipe, body)
    datasets = [on_trained_body(dataset, bodies) for dataset in sources(recipe, given, bodies.smpl)]
    torch.manual_seed(recipe.seed)  # the network's first weights
    method = build(recipe.method, recipe.config, body)
    for source in given.pretrained:
        place.say(start_pretrained(method, source))
    if recipe.pretrained and not given.pretrained and init is None:
        wanted = " and ".join(recipe.pretrained)
        place.say(f"WARNING: {name} starts from nothing; its paper starts from {wanted}: give it with --pretrained.")
    if init is not None:  # which may be of a part of the network only
        place.say(start_from(method, init))
    has_vposer = getattr(method.config, "pose_decoder", "") == "vposer"
    if has_vposer and not (init and any(key.startswith("vposer.") for key in read_weights(init)[1])):
        raise TrainingError(
            "pose_decoder=vposer: expected VPoser's own weights, which stay as they are, got none, so they would be "
            "random; give --init a file that has them (`humesh convert CHECKPOINT --method jotr --vposer FILE`)."
        )
    train, held_out = zip(*(split(d, recipe.held_out if i == 0 else 0) for i, d in enumerate(datasets)), strict=True)
    strides = [recipe.stride if source.stride is None else source.stride for source in recipe.data]
    settings: dict[str, Any] = {
        "seed": recipe.seed, "people": getattr(method.config, "people", 1), "joints_from_fits": recipe.joints_from_fits,
        "for_skeleton": [index for index, source in enumerate(recipe.data) if source.for_skeleton],
    }  # fmt: skip
    is_random = getattr(method.config, "boxes", "") == "random"
    copies = partial(roi_copies, "random", method.config.rois) if is_random else None
    names, shares = [source.name for source in recipe.data], [source.share for source in recipe.data]
    groups = Groups(
        method.spec, train, body, shares, recipe.augment, copies=copies, stride=strides, names=names, **settings
    )
    check = Groups(method.spec, held_out[:1], body, stride=strides[:1], names=[f"{names[0]}, held out"], **settings)
    training = Training(name, recipe, method, body, groups, check, place)
    if init is not None and training.learner.learned is not None:
        place.say(start_learned(training.learner.learned, init))
    return training


def bodies_of(recipe: Recipe) -> BodyFiles:
    """The body that a recipe trains, and the user's others that labels are for; TrainingError without SMPL's file."""
    if recipe.body == SMPL:
        raise TrainingError(
            "this recipe trains SMPL's body: expected your file of it, got none; give --body SMPL_NEUTRAL.pkl, or the "
            "folder with SMPL_NEUTRAL, SMPL_MALE and SMPL_FEMALE where labels are of these (smpl.is.tue.mpg.de)."
        )
    return BodyFiles(recipe.body)


def planned(recipe: Recipe, body: BodyModel) -> Method:
    """The network without memory for its numbers; TrainingError for settings that none can have, or an enormous one."""
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about layers without a number in them
            plan = build(recipe.method, recipe.config, body)
    except HumeshError:
        raise
    except Exception as error:  # whatever a network's parts make of strange numbers
        raise TrainingError(f"--set: {recipe.method} cannot have these settings ({error}).") from None
    size = sum(tensor.nbytes for tensor in plan.state_dict().values())
    if size > _MOST_WEIGHTS:
        raise TrainingError(f"--set: expected a network of up to {_MOST_WEIGHTS:.0e} bytes, this one has {size:.1e}.")
    return plan


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
