"""A folder of parity arrays, keeping account of which were used as inputs, compared, or left over."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass
class Comparison:
    """One array's largest error beside what is allowed."""

    name: str
    error: float
    allowed: float

    @property
    def holds(self) -> bool:
        """Whether the error is finite and within what is allowed."""
        return bool(np.isfinite(self.error)) and self.error <= self.allowed


@dataclass
class Arrays:
    """One npz file. `get` reads an input, `note` passes over what only informs, `compare` checks a result."""

    path: Path
    results: list[Comparison] = field(default_factory=list)

    def __post_init__(self) -> None:
        with np.load(self.path, allow_pickle=False) as archive:
            self.content = {name: archive[name] for name in archive.files}
        self.used: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self.content

    def names(self, prefix: str = "") -> list[str]:
        """The names of arrays that begin so."""
        return [name for name in self.content if name.startswith(prefix)]

    def get(self, name: str) -> np.ndarray:
        """An input of the comparison."""
        self.used.add(name)
        return self.content[name]

    def tensor(self, name: str, dtype: torch.dtype | None = None) -> Tensor:
        """An input as a tensor."""
        tensor = torch.from_numpy(np.array(self.get(name)))
        return tensor if dtype is None else tensor.to(dtype)

    def note(self, *names: str) -> None:
        """Arrays that are there for information only; each needs a reason where it is called."""
        missing = [name for name in names if name not in self.content]
        assert not missing, f"{self.path}: no arrays {missing}"
        self.used.update(names)

    def compare(
        self,
        name: str,
        result: Any,
        atol: float = 0.0,
        of_max: float = 0.0,
        of_std: float = 0.0,
        of_each: float = 0.0,
    ) -> None:
        """Checks a result against an array, or against NAME/sample with its shape and mean and deviation.

        Allowed: atol + of_max x largest reference value + of_std x the reference's deviation, for every entry;
        `of_each`: additionally that share of the entry itself (the error is then measured relative to that).
        """
        value = result.detach().double().cpu().numpy() if isinstance(result, Tensor) else np.asarray(result)
        sampled = f"{name}/sample" in self.content
        if sampled:
            reference, stride = self.get(f"{name}/sample"), int(self.get(f"{name}/stride"))
            shape, (mean, std) = tuple(self.get(f"{name}/shape")), self.get(f"{name}/meanstd")
            if value.shape != shape:
                self.results.append(Comparison(f"{name} has shape {value.shape}, not {shape}", np.inf, 0.0))
                return
            whole, value = value, value.reshape(-1)[::stride]
        else:
            reference = self.get(name)
            std = float(np.std(reference)) if reference.dtype.kind == "f" and reference.size else 0.0
        if value.shape != reference.shape:
            self.results.append(Comparison(f"{name} has shape {value.shape}, not {reference.shape}", np.inf, 0.0))
            return
        if reference.dtype.kind not in "f":
            self.results.append(Comparison(name, float((value != reference).sum()), 0.0))
            return
        largest = float(np.abs(reference).max(initial=0.0))
        allowed = atol + of_max * largest + of_std * float(std)
        difference = np.abs(value.astype(np.float64) - reference.astype(np.float64))
        error = float(np.max(difference - of_each * np.abs(reference), initial=0.0)) if difference.size else 0.0
        self.results.append(Comparison(name, error if np.isfinite(difference).all() else np.inf, allowed))
        if sampled:
            moments = np.abs(np.array([whole.mean() - mean, whole.std() - std])).max()
            self.results.append(Comparison(f"{name}/meanstd", float(moments), max(allowed, 1e-6 * largest)))

    def leftover(self) -> list[str]:
        """The arrays that nothing read."""
        return sorted(set(self.content) - self.used)


def made_up_array(key: str, shape: tuple[int, ...], salt: str) -> np.ndarray:
    """The standard normal draw of a key: the seed is the checksum of salt and key."""
    rng = np.random.default_rng(zlib.crc32((salt + key).encode()))
    return rng.standard_normal(shape).astype(np.float32)


def made_up_weight(key: str, shape: tuple[int, ...], salt: str) -> Tensor:
    """The value of a state dict's entry by the weight rule that all READMEs of the parity data give."""
    x = made_up_array(key, shape, salt)
    if key.endswith("running_var"):
        x = 1 + 0.1 * np.abs(x)
    elif key.endswith("running_mean"):
        x = 0.05 * x
    elif key.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    elif len(shape) >= 2:
        x = x / np.float32(np.sqrt(np.prod(shape[1:])))
    elif key.endswith("weight"):
        x = 1 + 0.1 * x
    else:
        x = 0.05 * x
    return torch.from_numpy(np.asarray(x, dtype=np.float32))


def key_list(folder: Path, name: str, keys: Path | None) -> dict[str, dict[str, Any]]:
    """The authors' state dict as key -> shape: from --keys, the folder itself, or this checkout's tests/data."""
    kept = Path(__file__).parents[2] / "tests" / "data" / "parity" / folder.name
    for place in (keys, folder, kept):
        if place is not None and (place / name).is_file():
            return json.loads((place / name).read_text())
    raise FileNotFoundError(f"{name}: found neither in {folder} nor with --keys; pass the folder that holds it.")


def made_up_state(shapes: dict[str, dict[str, Any]], salt: str) -> dict[str, Tensor]:
    """The authors' state dict with made-up weights."""
    return {key: made_up_weight(key, tuple(entry["shape"]), salt) for key, entry in shapes.items()}


class Taps:
    """Remembers the outputs of a network's modules by name, every call of them, while it runs."""

    def __init__(self, network: torch.nn.Module, *names: str) -> None:
        self.calls: dict[str, list[Any]] = {name: [] for name in names}
        self.inputs: dict[str, list[Any]] = {name: [] for name in names}
        for name in names:
            network.get_submodule(name).register_forward_hook(self._keep(name))

    def _keep(self, name: str) -> Any:
        def hook(module: torch.nn.Module, inputs: Any, output: Any) -> None:
            self.calls[name].append(output)
            self.inputs[name].append(inputs)

        return hook

    def __getitem__(self, name: str) -> Any:
        return self.calls[name][-1]
