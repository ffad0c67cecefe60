"""Weights: one safetensors file with its configuration in the header; the authors' checkpoints through key maps."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pickle
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from humesh.body.model import BodyModel
from humesh.errors import HumeshError
from humesh.methods import METHODS

if TYPE_CHECKING:
    from humesh.methods.base import Method

_SHIPPED = Path(__file__).parents[1] / "weights"
_WRAPPERS = ("state_dict", "network", "model")  # under which training programs put the weights: INT, JOTR, Multi-RoI
# What numpy's numbers in a checkpoint are made of; they carry no code.
_SCALAR = np.float64(0).__reduce__()[0]
_HARMLESS: list[Any] = [
    np.dtype,
    *((_SCALAR, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    *(type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8")),
]


class WeightsError(HumeshError, ValueError):
    """Weights that cannot be used; the sentence says what was expected, what was found and what to do."""


@dataclass(frozen=True)
class KeyMap:
    """From the names in an authors' state dict to ours.

    Keys go through every rename (regular expression, replacement) in turn. Keys that match a pattern of `dropped` are
    left out, for the reason given beside it; whatever else does not fit is an error. `config` sizes the network from
    the file. `part`: the submodule that the authors' files hold, "" for all of it. `companion`: what must come from a
    second file that the user gives, as (regular expression, replacement), and `companion_is`: that file in words.
    """

    renames: tuple[tuple[str, str], ...]
    dropped: Mapping[str, str]
    config: Callable[[Mapping[str, Tensor]], Any]
    part: str = ""
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


@dataclass(frozen=True)
class Header:
    """What a weights file says of itself."""

    method: str
    config: dict[str, Any]
    body: str = "open"  # whose shape space and pose the weights speak: "open" or "smpl"
    part: str = ""
    notes: dict[str, str] = field(default_factory=dict)  # source, licence, scores, in words
    rest: dict[str, str] = field(default_factory=dict)  # shipped weights that hold the other tensors: name, SHA-256
    without: list[str] = field(default_factory=list)  # submodules that the file lacks: read, they are untrained


def save_weights(
    path: str | Path,
    name: str,
    method: Method,
    body: str = "open",
    notes: Mapping[str, str] | None = None,
    half: bool = False,
    rest: str = "",
    without: Sequence[str] = (),
) -> None:
    """Writes a method's weights and configuration; the file appears only when it is whole.

    `half`: numbers are kept in 16 bits, half as large a file; they are widened when they are read. `rest`: shipped
    weights whose tensors are left out where the method has equal ones of all of them; reading fetches them from there.
    `without`: submodules that are left out (`loss_parts`); whoever loads the file gets untrained ones.
    """
    header = Header(name, dataclasses.asdict(method.config), body, "", dict(notes or {}), without=list(without))
    left_out = _of_parts(method, without)
    state = {key: value for key, value in method.state_dict().items() if key not in left_out}
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
    part = path.with_name(path.name + ".part")
    tensors = {key: value.detach().cpu().contiguous().clone() for key, value in state.items()}
    words = {key: value for key, value in dataclasses.asdict(header).items() if value or key not in ("rest", "without")}
    try:
        save_file(tensors, part, metadata={"humesh": json.dumps(words)})
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read_weights(path: str | Path) -> tuple[Header, dict[str, Tensor]]:
    """The header and tensors of a weights file; raises WeightsError."""
    path = Path(path)
    if not path.is_file():
        raise WeightsError(
            f"weights {path}: expected a .safetensors file that humesh wrote, or one of {', '.join(shipped())} "
            "(shipped), found no such file."
        )
    try:
        with safe_open(path, framework="pt") as file:
            words = (file.metadata() or {}).get("humesh")
            state = {key: _widened(file.get_tensor(key)) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"weights {path}: expected a whole .safetensors file, got a damaged one or another kind ({error}); "
            "convert authors' checkpoints with `humesh convert` first."
        ) from None
    try:
        header = Header(**json.loads(words or ""))
    except (TypeError, ValueError):
        raise WeightsError(
            f"weights {path}: expected humesh's header in the file, found none; make it with `humesh convert`."
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
    known = {field.name for field in dataclasses.fields(kind.config_type)}
    strange = sorted(set(config or {}) - known)
    if strange:
        raise WeightsError(
            f"method {name!r}: unknown settings {', '.join(strange)}; it has {', '.join(sorted(known))}."
        )
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in (config or {}).items()}
    return kind(kind.config_type(**values), body or BodyModel.load("open"))


def _digest(state: Mapping[str, Tensor]) -> str:
    """The SHA-256 of tensors as they are read, with their names, types and shapes."""
    total = hashlib.sha256()
    for key, value in sorted(state.items()):
        total.update(f"{key} {value.dtype} {tuple(value.shape)} ".encode() + value.numpy().tobytes())
    return total.hexdigest()


def _of_parts(method: Method, parts: Sequence[str]) -> dict[str, Tensor]:
    """The tensors of some submodules, under the names that they have in the whole."""
    return {f"{part}.{key}": value for part in parts for key, value in method.get_submodule(part).state_dict().items()}


def _widened(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype == torch.float16 else tensor


def load_method(path: str | Path, body: BodyModel | None = None) -> tuple[Header, Method]:
    """The method of a weights file, or of the shipped one of that name, ready to predict; raises WeightsError."""
    path = shipped().get(str(path), path)
    header, state = read_weights(path)
    if header.part:
        raise WeightsError(
            f"weights {path}: expected a whole method, this file holds only the {header.part} of {header.method!r}; "
            "start a training from it."
        )
    try:
        config = {key: False if key == "pretrained" else value for key, value in header.config.items()}
        method = build(header.method, config, body)
        untrained = _of_parts(method, header.without)
    except (WeightsError, AttributeError) as error:
        raise WeightsError(f"weights {path}: {error}") from None
    _load_strictly(method, {**untrained, **state}, f"weights {path}")
    return header, method.eval()


def read_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """The tensors of somebody's PyTorch checkpoint by name, unwrapped; nothing in the file is executed.

    Raises WeightsError for a file that is missing, damaged, holds code, or has no tensors in the known places.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"checkpoint {path}: expected a PyTorch checkpoint, found no such file.")
    try:
        with torch.serialization.safe_globals(_HARMLESS), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about old pickle protocols; what cannot be read is told below
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        if named:
            raise WeightsError(
                f"checkpoint {path}: expected tensors only, found code ({named[1]}); it is not run: save "
                "its state dict alone with torch.save and convert that."
            ) from None
        raise WeightsError(
            f"checkpoint {path}: expected a PyTorch checkpoint, it is damaged or another kind."
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError, IndexError, TypeError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(
            f"checkpoint {path}: expected a whole PyTorch checkpoint, it is damaged ({first})."
        ) from None
    for wrapper in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    tensors = (
        {key: value for key, value in content.items() if isinstance(value, Tensor)} if isinstance(content, dict) else {}
    )
    if not tensors or len(tensors) < len(content):
        raise WeightsError(
            f"checkpoint {path}: expected tensors by name, at the top or under {', '.join(_WRAPPERS)}, found "
            f"{'something else among them' if tensors else 'none'}."
        )
    return {key.removeprefix("module."): value for key, value in tensors.items()}


def convert(
    path: str | Path, name: str, out: str | Path, companion: str | Path | None = None
) -> tuple[Header, dict[str, list[str]]]:
    """Writes an authors' checkpoint as humesh's weights; says what was left out, by reason. Raises WeightsError.

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
    except (KeyError, IndexError, ValueError) as error:
        raise WeightsError(
            f"checkpoint {path}: expected one of {name!r}, but {error} is not in it; name its own method."
        ) from None
    method = METHODS[name].network()(config, BodyModel.load("open"))
    target = method.get_submodule(keys.part)
    _load_strictly(target, ours, f"checkpoint {path} as {name!r}")
    header = Header(
        name, dataclasses.asdict(config), "smpl", keys.part, {"source": f"converted from {Path(path).name}"}
    )
    _write(out, header, target.state_dict())
    return header, left


def load_fitting(network: torch.nn.Module, state: Mapping[str, Tensor]) -> int:
    """Loads the tensors that have a place of their name and shape in the network; says how many did."""
    own = network.state_dict()
    fitting = {key: value for key, value in state.items() if key in own and own[key].shape == value.shape}
    network.load_state_dict({**own, **fitting})
    return len(fitting)


def _load_strictly(network: torch.nn.Module, state: Mapping[str, Tensor], what: str) -> None:
    """Loads every tensor into its place; raises WeightsError where one is missing, left over or of another shape."""
    wanted = network.state_dict()
    missing, extra = sorted(wanted.keys() - state.keys()), sorted(state.keys() - wanted.keys())
    wrong = [key for key in sorted(wanted.keys() & state.keys()) if wanted[key].shape != state[key].shape]
    for problem, found in (("lacks", missing), ("has unknown", extra), ("has other shapes of", wrong)):
        if found:
            names = ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
            raise WeightsError(
                f"{what}: expected {len(wanted)} tensors of this method, it {problem} {len(found)} ({names}); it is of "
                "another method or another configuration."
            )
    network.load_state_dict(dict(state), strict=True)
