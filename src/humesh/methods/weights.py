"""Weights: one safetensors file with its configuration in the header; the authors' checkpoints through key maps."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
import types
import warnings
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from humesh.body.model import BodyModel
from humesh.body.pickles import PickleError, RefusedError, read_tensors
from humesh.errors import HumeshError
from humesh.files import parse_json, writing
from humesh.methods import METHODS

if TYPE_CHECKING:
    from humesh.methods.base import Method

_SHIPPED = Path(__file__).parents[1] / "weights"
_WRAPPERS = ("state_dict", "network", "model")  # under which training programs put the weights: INT, JOTR, Multi-RoI
_LARGEST = 8192  # no width, depth or crop of a network is larger


class WeightsError(HumeshError, ValueError):
    """Weights that cannot be used; the sentence says what was expected, what was found and what to do."""


@dataclass(frozen=True)
class Header:
    """The header of a weights file."""

    method: str
    config: dict[str, Any]
    body: str = "open"  # whose shape space and pose the weights speak: "open" or "smpl"
    notes: dict[str, str] = field(default_factory=dict)  # source, licence, scores, in words
    rest: dict[str, str] = field(default_factory=dict)  # shipped weights that hold the other tensors: name, SHA-256


def save_weights(
    path: str | Path,
    name: str,
    method: Method,
    body: str = "open",
    notes: Mapping[str, str] | None = None,
    half: bool = False,
    rest: str = "",
) -> None:
    """Writes a method's weights and configuration; the file appears only when it is whole.

    `half`: numbers are kept in 16 bits, half as large a file; they are widened when they are read. `rest`: shipped
    weights whose tensors are left out where the method has equal ones of all of them; reading fetches them from there.
    """
    header = Header(name, dataclasses.asdict(method.config), body, dict(notes or {}))
    state: dict[str, Tensor] = method.state_dict()
    if half:
        state = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    if rest:
        others = read_weights(shipped()[rest])[1]
        same = (key in state and torch.equal(_widened(state[key]).cpu(), value) for key, value in others.items())
        if len(others) < len(state) and all(same):
            header.rest[rest] = _digest(others)
            state = {key: value for key, value in state.items() if key not in others}
    _write(path, header, state)


def _write(path: str | Path, header: Header, state: Mapping[str, Tensor]) -> None:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {key: value.detach().cpu().contiguous().clone() for key, value in state.items()}
    words = {key: value for key, value in dataclasses.asdict(header).items() if value or key != "rest"}
    with writing(path) as draft:
        save_file(tensors, draft, metadata={"humesh": json.dumps(words)})


def read_weights(path: str | Path) -> tuple[Header, dict[str, Tensor]]:
    """The header and tensors of a weights file; raises WeightsError."""
    path = Path(path)
    if not path.is_file():
        ours = f"one of {', '.join(shipped())} (shipped)"
        if str(path) in METHODS:
            raise WeightsError(
                f"weights {path}: expected a .safetensors file or {ours}, no trained weights of this method come with "
                "humesh; give a file that `humesh train` or, from its authors' checkpoint, `humesh convert` wrote."
            )
        raise WeightsError(
            f"weights {path}: expected a .safetensors file that humesh wrote, or {ours}, found no such file."
        )
    try:
        with safe_open(path, framework="pt") as file:
            words = (file.metadata() or {}).get("humesh")
            state = {key: _widened(file.get_tensor(key)) for key in file.keys()}  # noqa: SIM118
    except Exception as error:  # of a foreign file's every byte: safetensors' and torch's errors have no common base
        raise WeightsError(
            f"weights {path}: expected a whole .safetensors file, got a damaged one or another kind ({error}); "
            "convert authors' checkpoints with `humesh convert` first."
        ) from None
    try:
        values = parse_json(words or "")
        values = {key: value for key, value in values.items() if key != "part"} if isinstance(values, dict) else {}
        header = from_values(Header, values)  # files of 0.2 and before have a part
        names = (header.method, header.body, *header.rest)
        if not all(name.isprintable() for name in names):
            raise ValueError("names that cannot be printed")
    except (TypeError, ValueError) as error:
        reason = f"one with {error}" if words else "none"
        raise WeightsError(
            f"weights {path}: expected humesh's header in the file, found {reason}; make it with `humesh convert`."
        ) from None
    for name, wanted in header.rest.items():
        others = read_weights(shipped()[name])[1] if name in shipped() else {}
        if _digest(others) != wanted:
            raise WeightsError(
                f"weights {path}: expected the rest of its tensors (SHA-256 {wanted[:12]}...) in humesh's own weights "
                f"{name!r}, found {'others there' if others else 'no such file'}; use the humesh that it came with."
            )
        state.update(others)
    return header, state


def shipped() -> dict[str, Path]:
    """The weights that come with humesh, by the name of their method."""
    return {path.stem: path for path in sorted(_SHIPPED.glob("*.safetensors"))}


def build(name: str, config: Mapping[str, Any] | None = None, body: BodyModel | None = None) -> Method:
    """A method of the zoo with untrained weights; `config` overrides fields of its configuration."""
    if name not in METHODS:
        raise WeightsError(f"method {name!r}: expected one of {', '.join(METHODS)}.")
    kind = METHODS[name].network()
    try:
        settings = from_values(kind.config_type, config or {})
    except ValueError as error:
        raise WeightsError(f"method {name!r}: {error}.") from None
    return kind(settings, body or BodyModel.load("open"))


def _digest(state: Mapping[str, Tensor]) -> str:
    """The SHA-256 of tensors as they are read, with their names, types and shapes."""
    total = hashlib.sha256()
    for key, value in sorted(state.items()):
        total.update(f"{key} {value.dtype} {tuple(value.shape)} ".encode() + value.numpy().tobytes())
    return total.hexdigest()


def _widened(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype == torch.float16 else tensor


def load_method(path: str | Path, body: BodyModel | None = None) -> tuple[Header, Method]:
    """The method of a weights file, or of the shipped one of that name, ready to predict; raises WeightsError."""
    path = shipped().get(str(path), path)
    header, state = read_weights(path)
    config = {key: value for key, value in header.config.items() if key != "pretrained"}  # files of 0.1 have it
    body = body or BodyModel.load("open")
    what = f"weights {path}"
    for key, value in config.items():  # each block has tensors of its own: before thousands of them are drawn up
        if re.search("depth|blocks|layers", key) and isinstance(value, int) and value > len(state):
            raise WeightsError(f"{what}: expected {key} of at most its {len(state)} tensors, got {value}.")
    method = _loaded(lambda: build(header.method, config, body), state, what)
    return header, method.eval()


def _loaded(make: Callable[[], Method], state: Mapping[str, Tensor], what: str) -> Method:
    """A method with these tensors; raises WeightsError where they do not fit.

    It is built without memory first: a header costs nothing until the file's tensors bear it out.
    """
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about layers without a number; errors below name what is wrong
            plan = make()
    except Exception as error:  # whatever a network's parts make of foreign numbers
        reason = str(error).removeprefix(what).strip() or type(error).__name__
        raise WeightsError(f"{what}: {reason}") from None
    _check(plan.state_dict(), state, what)
    method = make()
    method.load_state_dict(state, strict=True)
    return method


def read_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """The tensors of somebody's PyTorch checkpoint by name, unwrapped; nothing in the file is executed.

    Raises WeightsError for a file that is missing, damaged, holds code, or has no tensors in the known places.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"checkpoint {path}: expected a PyTorch checkpoint, found no such file.")
    try:
        content = read_tensors(path)
    except RefusedError as error:
        raise WeightsError(
            f"checkpoint {path}: expected tensors only, found code ({error.name}); it is not run: save its state dict "
            "alone with torch.save and convert that."
        ) from None
    except (PickleError, OSError) as error:
        raise WeightsError(f"checkpoint {path}: {error}") from None
    for wrapper in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    pairs = content.items() if isinstance(content, dict) else ()
    tensors = {key: value for key, value in pairs if isinstance(key, str) and isinstance(value, Tensor)}
    if not tensors or len(tensors) < len(content):
        raise WeightsError(
            f"checkpoint {path}: expected tensors by name, at the top or under {', '.join(_WRAPPERS)}, found "
            f"{'something else among them' if tensors else 'none'}."
        )
    return {key.removeprefix("module."): value for key, value in tensors.items()}


def convert(
    path: str | Path, name: str, out: str | Path, companion: str | Path | None = None
) -> tuple[Header, dict[str, list[str]]]:
    """Writes an authors' checkpoint as humesh's weights; gives what was left out, by reason. Raises WeightsError.

    `companion`: the second file that some methods need (JOTR: VPoser's decoder, under a licence of its own).
    """
    if name not in METHODS:
        raise WeightsError(f"method {name!r}: expected one of {', '.join(METHODS)}.")
    keys = METHODS[name].network().authors_keys
    if keys is None:
        having = ", ".join(n for n, card in METHODS.items() if card.network().authors_keys is not None)
        raise WeightsError(f"method {name!r} has no checkpoints of its authors' to convert; these have: {having}.")
    state = read_checkpoint(path)
    ours, left = keys.apply(state)
    if keys.companion and companion is None:
        raise WeightsError(f"checkpoint {path}: {name!r} also needs {keys.companion_is}; give it as the second file.")
    if companion is not None:
        ours.update(keys.from_companion(read_checkpoint(companion)))
    try:
        config = keys.config(state)
    except (LookupError, ValueError, TypeError, ArithmeticError) as error:  # tensors that lack, or have no length
        raise WeightsError(
            f"checkpoint {path}: expected one of {name!r}, but {error} is not in it; name its own method."
        ) from None
    values, body = dataclasses.asdict(config), BodyModel.load("open")
    method = _loaded(lambda: build(name, values, body), ours, f"checkpoint {path} as {name!r}")
    header = Header(name, values, "smpl", {"source": f"converted from {Path(path).name}"})
    _write(out, header, method.state_dict())
    return header, left


def load_fitting(network: torch.nn.Module, state: Mapping[str, Tensor]) -> int:
    """Loads the tensors that have a place of their name and shape in the network; gives how many did."""
    own = network.state_dict()
    fitting = {key: value for key, value in state.items() if key in own and own[key].shape == value.shape}
    network.load_state_dict({**own, **fitting})
    return len(fitting)


def _check(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor], what: str) -> None:
    """Whether every tensor has a place; raises WeightsError where one is missing, left over or of another shape."""
    missing, extra = sorted(wanted.keys() - state.keys()), sorted(state.keys() - wanted.keys())
    wrong = [key for key in sorted(wanted.keys() & state.keys()) if wanted[key].shape != state[key].shape]
    for problem, found in (("lacks", missing), ("has unknown", extra), ("has other shapes of", wrong)):
        if found:
            names = ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
            raise WeightsError(
                f"{what}: expected {len(wanted)} tensors of this method, it {problem} {len(found)} ({names}); it is of "
                "another method or another configuration."
            )


def from_values(kind: Any, values: Mapping[str, Any]) -> Any:
    """The dataclass with these fields, lists made tuples where it has such.

    ValueError for names that it has not, values of other types, numbers that are not finite, and integers that are
    negative or above 8192.
    """
    hints = get_type_hints(kind)
    strange = sorted(set(values) - hints.keys())
    if strange:
        raise ValueError(f"unknown settings {', '.join(strange)}; it has {', '.join(sorted(hints))}")
    needed = {one.name for one in fields(kind) if one.default is MISSING and one.default_factory is MISSING}
    if missing := sorted(needed - set(values)):
        raise ValueError(f"no {', '.join(missing)}")
    return kind(**{name: _typed(hints[name], value, name) for name, value in values.items()})


def _typed(kind: Any, value: Any, name: str) -> Any:
    inner, whole = get_args(kind), get_origin(kind) or kind
    if whole is Literal:
        fits = type(value) is str and value in inner
    elif whole in (Union, types.UnionType):
        (one,) = (option for option in inner if option is not type(None))
        return None if value is None else _typed(one, value, name)
    elif whole is tuple:
        if type(value) not in (list, tuple) or (inner[-1] is not Ellipsis and len(value) != len(inner)):
            raise ValueError(_sentence(name, kind, value))
        return tuple(_typed(inner[0], part, name) for part in value)
    elif whole in (list, dict):
        fits = type(value) is whole and all(type(part) in (str, inner[-1]) or inner[-1] is Any for part in value)
        fits = fits and (whole is list or inner[-1] is Any or all(type(part) is inner[-1] for part in value.values()))
    elif whole is float:
        fits = type(value) in (int, float) and math.isfinite(value)
    elif whole is int:
        fits = type(value) is int and 0 <= value <= _LARGEST
    else:
        fits = type(value) is whole
    if not fits:
        raise ValueError(_sentence(name, kind, value))
    return value


def _sentence(name: str, kind: Any, value: Any) -> str:
    plain = isinstance(kind, type) or get_origin(kind) in (dict, list)
    named = kind.__name__ if plain else str(kind).removeprefix("typing.")
    wanted = f"a whole number from 0 to {_LARGEST}" if kind is int else named
    got = repr(value)
    return f"expected {name} to be {wanted}, got {got if len(got) < 80 else got[:80] + ' ...'}"
