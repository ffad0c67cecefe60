"""Every evaluated person's errors as arrays: what is kept of a finished part, put together, and summed up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from humesh.errors import HumeshError
from humesh.files import Array, check_arrays, read_arrays, write_arrays

_METRIC = "metric/"


@dataclass(frozen=True)
class Records:
    """P evaluated people, missed ones included (their errors are NaN), of F photos.

    `sample` and `person` find somebody again in the data set; `hidden`: the share of labelled points that cannot be
    seen. `metrics`: by name, unreduced. `extra`: of each photo the answers that belong to nobody.
    """

    sequence: Shaped[np.ndarray, " P"]
    sample: Int[np.ndarray, " P"]
    person: Int[np.ndarray, " P"]
    frame: Int[np.ndarray, " P"]
    identity: Int[np.ndarray, " P"]
    missed: Bool[np.ndarray, " P"]
    hidden: Float[np.ndarray, " P"]
    joints_mm: Float[np.ndarray, "P K"]
    photo_sequence: Shaped[np.ndarray, " F"]
    photo: Int[np.ndarray, " F"]
    extra: Int[np.ndarray, " F"]
    metrics: dict[str, Float[np.ndarray, " P"]]

    def __len__(self) -> int:
        return len(self.sample)

    @classmethod
    def joined(cls, parts: Sequence[Records]) -> Records:
        """All parts in the order of their samples."""
        names = {name: None for part in parts for name in part.metrics if len(part)}
        arrays = {f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls) if f.name in _PLAIN}
        metrics = {
            name: np.concatenate([part.metrics.get(name, np.full(len(part), np.nan)) for part in parts])
            for name in names
        }
        order, photos = np.lexsort((arrays["person"], arrays["sample"])), np.argsort(arrays["photo"], kind="stable")
        arrays = {k: a[photos if k in ("photo_sequence", "photo", "extra") else order] for k, a in arrays.items()}
        return cls(**arrays, metrics={name: values[order] for name, values in metrics.items()})

    def save(self, path: Path) -> None:
        """Writes a file that is there whole or not at all."""
        arrays = {name: getattr(self, name) for name in _PLAIN}
        arrays |= {_METRIC + name: values for name, values in self.metrics.items()}
        write_arrays(path, arrays)

    @classmethod
    def load(cls, path: Path, joints: int | None = None) -> Records | None:
        """What was saved (of `joints` joints); None where there is nothing that can be read: it is then made anew."""
        try:
            arrays = read_arrays(path, what="the records of a benchmark", error=HumeshError)
            metrics = {name: Array(("people",), "float") for name in arrays if name.startswith(_METRIC)}
            axes = None if joints is None else {"joints": joints}
            check_arrays(arrays, _LAYOUT | metrics, where=str(path), what="records", error=HumeshError, axes=axes)
        except HumeshError:
            return None
        named = {name.removeprefix(_METRIC): arrays[name] for name in metrics}
        return cls(**{name: arrays[name] for name in _PLAIN}, metrics=named)


_PLAIN = tuple(field.name for field in fields(Records) if field.name != "metrics")
_LAYOUT = {
    "sequence": Array(("people",), "text"),
    "missed": Array(("people",), "truth"),
    "hidden": Array(("people",), "float"),
    "joints_mm": Array(("people", "joints"), "float"),
    "photo_sequence": Array(("photos",), "text"),
    **{name: Array(("people",), "integer") for name in ("sample", "person", "frame", "identity")},
    **{name: Array(("photos",), "integer") for name in ("photo", "extra")},
}
