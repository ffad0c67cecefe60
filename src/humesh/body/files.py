"""Reading body models from files in SMPL's format, safely: nothing that a file names is ever executed."""

from __future__ import annotations

import pickle
import zipfile
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from humesh.body.joints import H36M17, JOINT_SETS, LSP14, SMPL24
from humesh.body.pickles import Chumpy, PickleError, Sparse, read_pickle
from humesh.errors import HumeshError

SHIPPED = {"open": "open_body.npz", "open-low": "open_body_low.npz"}
"""The bodies that humesh brings along: the open body and a low-poly level of the same body."""


_UNREADABLE = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    EOFError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    OSError,
)  # what reading a damaged or foreign file can raise


class BodyFileError(HumeshError, ValueError):
    """A body file that cannot be used; the sentence says what was expected and what to do."""


@dataclass(frozen=True)
class BodyData:
    """The arrays of an SMPL-format body: metres, T-pose, y up, facing +z, the subject's left at +x."""

    name: str
    template: Float[np.ndarray, "V 3"]
    shape_directions: Float[np.ndarray, "V 3 S"]
    joint_regressor: Float[np.ndarray, "J V"]
    weights: Float[np.ndarray, "V J"]
    faces: Int[np.ndarray, "F 3"]
    pose_directions: Float[np.ndarray, "V 3 P"] | None = None  # P = 9 (J - 1); None: no correctives
    keypoint_regressors: dict[str, Float[np.ndarray, "K V"]] = field(default_factory=dict)  # by joint set


def read_body(body: str | Path = "open", shapes: int = 10) -> BodyData:
    """The arrays of a shipped body ("open", "open-low") or of an SMPL-format .pkl or .npz, with `shapes` betas.

    Raises BodyFileError for a file that is missing, damaged, of another kind, or that names anything but plain arrays.
    """
    if str(body) in SHIPPED:
        with (files("humesh.body") / "assets" / SHIPPED[str(body)]).open("rb") as stream:
            return _body_data(str(body), dict(np.load(stream, allow_pickle=False)), shapes)
    path = Path(body)
    if not path.is_file():
        known = ", ".join(SHIPPED)
        raise BodyFileError(f"body {str(body)!r}: expected {known} or an SMPL .pkl or .npz file, found no such file.")
    try:
        arrays = _read_npz(path) if zipfile.is_zipfile(path) else _read_pickle(path)
    except BodyFileError:
        raise
    except _UNREADABLE as error:
        reason = f"{type(error).__name__}: {error}"
        raise BodyFileError(
            f"body file {path}: expected an SMPL .pkl or .npz, could not read it ({reason})."
        ) from error
    return _body_data(path.stem, arrays, shapes)


def _body_data(name: str, arrays: dict[str, Any], shapes: int) -> BodyData:
    """Checks the arrays against each other and puts them into one layout."""
    wanted = ("v_template", "shapedirs", "J_regressor", "weights", "f", "kintree_table")
    missing = [key for key in wanted if key not in arrays]
    if missing:
        found = ", ".join(sorted(map(str, arrays))[:12]) or "nothing"
        raise BodyFileError(
            f"body {name!r}: expected the arrays {', '.join(wanted)}; missing {missing}, found {found}."
        )
    present = [*wanted, *(key for key in ("posedirs",) if key in arrays)]
    numbers = {key: _dense(name, key, arrays[key]) for key in present}
    parents = numbers["kintree_table"][0].astype(np.int64) & 0xFFFFFFFF
    parents = np.where(parents == 0xFFFFFFFF, -1, parents)  # SMPL stores -1 as an unsigned number
    if not np.array_equal(parents, SMPL24.parents):
        raise BodyFileError(
            f"body {name!r}: expected SMPL's tree of 24 joints, got {len(parents)} others; use an SMPL file."
        )
    vertices = len(numbers["v_template"])
    shapes_of = {"v_template": (vertices, 3), "weights": (vertices, 24), "J_regressor": (24, vertices)}
    for key, expected in shapes_of.items():
        if numbers[key].shape != expected:
            raise BodyFileError(f"body {name!r}: expected {key} of shape {expected}, got {numbers[key].shape}.")
    for key in ("shapedirs", "posedirs"):
        if key in numbers and (numbers[key].ndim != 3 or numbers[key].shape[:2] != (vertices, 3)):
            raise BodyFileError(f"body {name!r}: expected {key} of shape ({vertices}, 3, n), got {numbers[key].shape}.")
    if any(not np.isfinite(numbers[key]).all() for key in numbers):
        raise BodyFileError(f"body {name!r}: expected finite numbers, got NaN or infinity; the file is damaged.")
    posedirs = numbers.get("posedirs")
    prefix = "regressor_"
    regressors = {key.removeprefix(prefix): arrays[key] for key in arrays if str(key).startswith(prefix)}
    if H36M17.name in regressors:  # the 14 evaluated joints are a choice of these 17
        regressors[LSP14.name] = regressors[H36M17.name][H36M17.indices(*LSP14.names)]
    return BodyData(
        name=name,
        template=numbers["v_template"],
        shape_directions=numbers["shapedirs"][:, :, :shapes],
        joint_regressor=numbers["J_regressor"],
        weights=numbers["weights"],
        faces=numbers["f"].astype(np.int64),
        pose_directions=None if posedirs is None or not posedirs.any() else posedirs,
        keypoint_regressors={key: value for key, value in regressors.items() if key in JOINT_SETS},
    )


def _dense(name: str, key: str, value: Any) -> np.ndarray:
    """A numeric array of whatever a body file stores: an array, a sparse matrix, a chumpy array."""
    try:
        value = value.values() if isinstance(value, Chumpy | Sparse) else value
    except PickleError as error:
        raise BodyFileError(f"body {name!r}: {error}") from error
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise BodyFileError(f"body {name!r}: expected numbers in {key!r}, got {array.dtype}.")
    return array.astype(np.float64 if array.dtype.kind == "f" else np.int64)


def _read_npz(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files if archive[key].dtype.kind in "fiuU"}


def _read_pickle(path: Path) -> dict[str, Any]:
    try:
        content = read_pickle(path)
    except PickleError as error:
        raise BodyFileError(f"body file {path}: {error}") from error
    if not isinstance(content, dict):
        raise BodyFileError(f"body file {path}: expected a pickled dictionary of arrays, got {type(content).__name__}.")
    return content
