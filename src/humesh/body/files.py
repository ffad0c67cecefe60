"""Reading body models from files in SMPL's format, safely: nothing that a file names is ever executed."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from humesh.body.joints import H36M17, JOINT_SETS, LSP14, SMPL24

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


class BodyFileError(ValueError):
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
    if isinstance(value, _Chumpy):
        value = value.data()
    if isinstance(value, _Sparse):
        value = value.dense()
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise BodyFileError(f"body {name!r}: expected numbers in {key!r}, got {array.dtype}.")
    return array.astype(np.float64 if array.dtype.kind == "f" else np.int64)


def _read_npz(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files if archive[key].dtype.kind in "fiuU"}


def _read_pickle(path: Path) -> dict[str, Any]:
    content = _ArraysOnly(io.BytesIO(path.read_bytes()), encoding="latin1").load()
    if not isinstance(content, dict):
        raise BodyFileError(f"body file {path}: expected a pickled dictionary of arrays, got {type(content).__name__}.")
    return content


class _Chumpy:
    """Stands in for every chumpy class: keeps the pickled state, from which the values are read as data."""

    def __init__(self, *args: Any) -> None:
        self.state: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        self.state = state if isinstance(state, dict) else {}

    def data(self) -> np.ndarray:
        """The numbers: `x` of a plain array (Ch), or the entries `idxs` of another one (Select)."""
        if "x" in self.state:
            x = self.state["x"]
            return x.data() if isinstance(x, _Chumpy) else np.asarray(x)
        if "a" in self.state and "idxs" in self.state:
            source = self.state["a"]
            values = source.data() if isinstance(source, _Chumpy) else np.asarray(source)
            chosen = np.asarray(values).ravel()[np.asarray(self.state["idxs"], dtype=np.int64)]
            return chosen.reshape(self.state["preferred_shape"]) if "preferred_shape" in self.state else chosen
        raise BodyFileError(
            f"body file: expected a plain chumpy array, got {sorted(self.state)}; save its values as NumPy arrays."
        )


class _Sparse:
    """Stands in for SciPy's sparse matrices: keeps the arrays and adds the entries up itself."""

    layout = ""

    def __init__(self, *args: Any) -> None:
        self.state: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        self.state = state if isinstance(state, dict) else {}

    def dense(self) -> np.ndarray:
        """The full matrix; entries stored twice are added, as in SciPy."""
        shape = tuple(int(n) for n in self.state.get("_shape", self.state.get("shape", ())))
        data = np.asarray(self.state["data"])
        if self.layout == "coo":
            rows, columns = self.state["coords"] if "coords" in self.state else (self.state["row"], self.state["col"])
        else:
            starts = np.asarray(self.state["indptr"])
            major = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
            rows, columns = (major, self.state["indices"]) if self.layout == "csr" else (self.state["indices"], major)
        if len(shape) != 2 or shape[0] * shape[1] > 10**8:
            raise BodyFileError(f"body file: expected a sparse matrix of a body's size, got shape {shape}.")
        full = np.zeros(shape, dtype=data.dtype)
        np.add.at(full, (np.asarray(rows), np.asarray(columns)), data)
        return full


def _sparse_class(layout: str) -> type[_Sparse]:
    return type(f"_Sparse_{layout}", (_Sparse,), {"layout": layout})


_SPARSE = {layout: _sparse_class(layout) for layout in ("csc", "csr", "coo")}


def _latin1_bytes(text: str, encoding: str = "latin1") -> bytes:
    """What `_codecs.encode` does in pickles that carry Python 2's bytes; no other encoding."""
    if encoding not in ("latin1", "latin-1"):
        raise BodyFileError(f"body file: expected latin1 bytes, got encoding {encoding!r}.")
    return text.encode("latin1")


def _plain_dtype(code: str, *flags: Any) -> np.dtype[Any]:
    """A dtype of numbers or text; object dtypes, which hold arbitrary things, are refused."""
    dtype = np.dtype(str(code))
    if dtype.kind not in "biufSU":
        raise BodyFileError(f"body file: expected arrays of numbers, got dtype {dtype}; save plain NumPy arrays.")
    return dtype


def _empty_array(*_: Any) -> np.ndarray:
    """The array that the pickle's next instruction fills with shape, dtype and bytes."""
    return np.ndarray((0,), np.uint8)


def _scalar(dtype: np.dtype[Any], raw: bytes | str) -> Any:
    return np.frombuffer(raw.encode("latin1") if isinstance(raw, str) else raw, dtype)[0]


def _from_buffer(raw: bytes | bytearray, dtype: np.dtype[Any], shape: tuple[int, ...], order: str) -> np.ndarray:
    return np.frombuffer(raw, dtype).reshape(shape, order="F" if order == "F" else "C")


def _new_object(kind: type, base: type = object, state: Any = None) -> Any:
    """What `copyreg._reconstructor` does, for the stand-ins only."""
    if not issubclass(kind, _Chumpy | _Sparse):
        raise BodyFileError(f"body file: refused to make a {kind.__name__}.")
    return kind()


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _empty_array,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): _plain_dtype,
    ("_codecs", "encode"): _latin1_bytes,
    ("copyreg", "_reconstructor"): _new_object,
    ("builtins", "object"): object,
    ("builtins", "set"): set,
    ("collections", "OrderedDict"): OrderedDict,
}


_PYTHON_2 = {"__builtin__": "builtins", "copy_reg": "copyreg"}  # old names in pickles of protocols 0 to 2


class _ArraysOnly(pickle.Unpickler):
    """An unpickler that builds NumPy arrays, sparse matrices and chumpy arrays, and refuses every other name.

    As the Python manual advises ("Restricting globals"): whatever a pickle can call is looked up here, and what is
    found here are this module's own stand-ins.
    """

    def find_class(self, module: str, name: str) -> Any:
        module = _PYTHON_2.get(module, module).replace("numpy._core", "numpy.core")
        found = _ALLOWED.get((module, name))
        if found is not None:
            return found
        layout = name.removesuffix("_matrix").removesuffix("_array")
        if module.startswith("scipy.sparse") and layout in _SPARSE:
            return _SPARSE[layout]
        if module == "chumpy" or module.startswith("chumpy."):
            return _Chumpy
        raise BodyFileError(
            f"body file: refused, it names {module}.{name}; an SMPL file holds only NumPy, SciPy and chumpy arrays. "
            "Nothing was executed; use the file from the body model's owner."
        )
