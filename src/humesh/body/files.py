"""Reading body models from files in SMPL's format, safely: nothing that a file names is ever executed."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from humesh.body.joints import COCO17, COCO_FEET, H36M17, JOINT_SETS, LSP14, SMPL24, SPIN9, SPIN24, SURFACE12, JointSet
from humesh.body.pickles import PickleError, read_pickle
from humesh.errors import HumeshError
from humesh.files import Array, check_arrays, read_arrays

SHIPPED = {"open": "open_body.npz", "open-low": "open_body_low.npz"}
"""The bodies that humesh brings along: the open body and a low-poly level of the same body."""

H36M_FILES = ("J_regressor_h36m_correct.npy", "J_regressor_h36m.npy")
"""Human3.6M's 17 joints from SMPL's vertices, under the names that the papers' code has for the file."""

_BESIDE = {SPIN9.name: ("J_regressor_extra.npy",), H36M17.name: H36M_FILES}  # a point of both is SPIN's, as in JOTR
_WHAT = "an SMPL .pkl or .npz"
_REGRESSOR = "regressor_"  # and the name of a joint set
_LAYOUT = {
    "v_template": Array(("V", 3)),
    "shapedirs": Array(("V", 3, "S")),
    "J_regressor": Array((len(SMPL24), "V")),
    "weights": Array(("V", len(SMPL24))),
    "f": Array(("F", 3)),
    "kintree_table": Array((2, "joints")),
    "posedirs": Array(("V", 3, 9 * (len(SMPL24) - 1)), optional=True),
    **{_REGRESSOR + name: Array((len(points), "V"), optional=True) for name, points in JOINT_SETS.items()},
}
_SMPL_VERTICES = 6890
# Face: JOTR's; head top and big toes: HybrIK's; small toes and heels: those of SPIN's line of work, from memory.
_SMPL_NUMBERS = {
    "nose": 331, "left_eye": 2802, "right_eye": 6262, "left_ear": 3489, "right_ear": 3990, "head_top": 411,
    "left_big_toe": 3216, "left_small_toe": 3226, "left_heel": 3387, "right_big_toe": 6617, "right_small_toe": 6624,
    "right_heel": 6787,
}  # fmt: skip


class BodyFileError(HumeshError, ValueError):
    """A body file that cannot be used; the sentence says what was expected and what to do."""


class PointsError(HumeshError, ValueError):
    """Points that a body file has no regressor for; the sentence says what it has."""


@dataclass(frozen=True, eq=False)
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

    def regressor_of(self, name: str, joint_set: JointSet) -> JointSet | None:
        """The joint set whose regressor gives a point of another joint set; None: it is the skeleton's, or unknown.

        A set that the file has a regressor for is regressed as one; of another one SMPL's 24 joints are the skeleton's,
        but for SPIN's nine of SPIN's 24, and the rest come from the first regressor that has the name.
        """
        if joint_set.name in self.keypoint_regressors:
            return joint_set
        if joint_set.name == SPIN24.name and SPIN9.name in self.keypoint_regressors and name in SPIN9.names:
            return SPIN9
        sources = (JOINT_SETS[source] for source in self.keypoint_regressors)
        return None if name in SMPL24.names else next((source for source in sources if name in source.names), None)

    def check_has(self, joint_set: JointSet) -> None:
        """PointsError where the body lacks a point of a joint set."""
        for name in joint_set.names:
            if name not in SMPL24.names and self.regressor_of(name, joint_set) is None:
                sources = [SMPL24, *(JOINT_SETS[source] for source in self.keypoint_regressors)]
                known = ", ".join(sorted({point for source in sources for point in source.names}))
                raise PointsError(f"body {self.name!r} has no point {name!r} of {joint_set.name!r}; it has: {known}.")


def read_body(body: str | Path = "open", shapes: int = 10) -> BodyData:
    """The arrays of a shipped body ("open", "open-low") or of an SMPL-format .pkl or .npz, with `shapes` betas.

    A user's file gets the points of SURFACE12, and the regressors of Human3.6M's joints (`J_regressor_h36m.npy`) and of
    SPIN's (`J_regressor_extra.npy`) that lie beside it. Raises BodyFileError for a file that is missing, damaged, of
    another kind, or that names anything but plain arrays.
    """
    if str(body) in SHIPPED:
        with as_file(files("humesh.body") / "assets" / SHIPPED[str(body)]) as path:
            return _body_data(str(body), read_arrays(path, what=_WHAT, error=BodyFileError, only=_LAYOUT), shapes)
    path = Path(body)
    if not path.is_file():
        known = ", ".join(SHIPPED)
        raise BodyFileError(f"body {str(body)!r}: expected {known} or an SMPL .pkl or .npz file, found no such file.")
    try:
        if zipfile.is_zipfile(path):
            arrays = read_arrays(path, what=_WHAT, error=BodyFileError, only=_LAYOUT)
        else:
            arrays = read_pickle(path, only=_LAYOUT)
    except PickleError as error:
        raise BodyFileError(f"body file {path}: {error}") from None
    except OSError as error:
        raise BodyFileError(f"body file {path}: expected {_WHAT}, could not read it ({error.strerror}).") from None
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise BodyFileError(f"body file {path}: expected numbers in {name!r}, got {type(array).__name__}.")
    return _with_surface_points(_body_data(path.stem, {**_beside(path, arrays), **arrays}, shapes))


def read_regressor(path: Path, joints: int, vertices: int, error: type[HumeshError]) -> Float[np.ndarray, "K V"]:
    """The rows of a regressor's .npy file; raises `error` where it is for another body."""
    return read_arrays(path, {"": Array((joints, vertices))}, what="a regressor for this body", error=error)[""]


def _beside(path: Path, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    found = {}
    for joint_set, names in _BESIDE.items():
        file = next((path.parent / name for name in names if (path.parent / name).is_file()), None)
        if file is not None and "v_template" in arrays:
            rows, vertices = len(JOINT_SETS[joint_set]), len(np.atleast_1d(arrays["v_template"]))
            found[_REGRESSOR + joint_set] = read_regressor(file, rows, vertices, BodyFileError)
    return found


def _body_data(name: str, arrays: Mapping[str, np.ndarray], shapes: int) -> BodyData:
    axes = check_arrays(arrays, _LAYOUT, where=f"body {name!r}", what="a body", error=BodyFileError)
    parents = arrays["kintree_table"][0].astype(np.int64) & 0xFFFFFFFF
    parents = np.where(parents == 0xFFFFFFFF, -1, parents)  # SMPL stores -1 as an unsigned number
    if not np.array_equal(parents, SMPL24.parents):
        raise BodyFileError(
            f"body {name!r}: expected SMPL's tree of 24 joints, got {len(parents)} others; use an SMPL file."
        )
    faces = arrays["f"].astype(np.int64)
    if not faces.size or faces.min() < 0 or faces.max() >= axes["V"]:
        raise BodyFileError(f"body {name!r}: expected faces of vertices 0 to {axes['V'] - 1}, got others or none.")
    regressors = {key.removeprefix(_REGRESSOR): arrays[key] for key in arrays if key.startswith(_REGRESSOR)}
    if H36M17.name in regressors:  # the 14 evaluated joints are a choice of these 17
        regressors[LSP14.name] = regressors[H36M17.name][H36M17.indices(*LSP14.names)]
    template, joints, weights = (arrays[key].astype(np.float64) for key in ("v_template", "J_regressor", "weights"))
    directions, posedirs = arrays["shapedirs"][:, :, :shapes].astype(np.float64), arrays.get("posedirs")
    bends = None if posedirs is None or not posedirs.any() else posedirs.astype(np.float64)
    return BodyData(name, template, directions, joints, weights, faces, bends, regressors)


def _with_surface_points(data: BodyData) -> BodyData:
    """A body with the points of SURFACE12, each a vertex, where it has none of these by itself.

    A mesh with as many vertices as SMPL's, of which each numbered one hangs on the right part, is SMPL's. On others the
    open body's points are moved with the box around the head or foot, and the part's nearest vertices are taken. A body
    that lacks such a part stays as it is.
    """
    own = {name for joint_set in data.keypoint_regressors for name in JOINT_SETS[joint_set].names}
    parts = [_part(name, data.weights) for name in SURFACE12.names]
    if own >= set(SURFACE12.names) or not all(map(len, parts)):
        return data
    vertices = [_SMPL_NUMBERS[name] for name in SURFACE12.names]
    smpls = len(data.template) == _SMPL_VERTICES and all(n in part for n, part in zip(vertices, parts, strict=True))
    if not smpls:
        points, template, weights = _open_points()
        for row, (name, part) in enumerate(zip(SURFACE12.names, parts, strict=True)):
            place = _moved(points[row], template[_part(name, weights)], data.template[part], _is_foot(name))
            vertices[row] = int(part[np.linalg.norm(data.template[part] - place, axis=-1).argmin()])
    rows = np.zeros((len(vertices), len(data.template)))
    rows[range(len(vertices)), vertices] = 1.0
    return replace(data, keypoint_regressors=data.keypoint_regressors | {SURFACE12.name: rows})


@cache
def _open_points() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The open body's points of SURFACE12, its T-pose and its skinning weights."""
    body = read_body("open")
    sources = [next(s for s in (COCO17, H36M17, COCO_FEET) if name in s.names) for name in SURFACE12.names]
    pairs = zip(SURFACE12.names, sources, strict=True)
    rows = np.stack([body.keypoint_regressors[source.name][source.index(name)] for name, source in pairs])
    return rows @ body.template, body.template, body.weights


def _is_foot(name: str) -> bool:
    return name.endswith(("toe", "heel"))


def _part(name: str, weights: Float[np.ndarray, "V 24"]) -> Int[np.ndarray, " N"]:
    """The vertices that hang mostly on the joints of a point's part: the head, or a foot with its ankle."""
    side = name.partition("_")[0]
    joints = SMPL24.indices(*((f"{side}_ankle", f"{side}_foot") if _is_foot(name) else ("head",)))
    return np.flatnonzero(np.isin(weights.argmax(-1), joints))


def _moved(
    point: Float[np.ndarray, "3"], old: Float[np.ndarray, "U 3"], new: Float[np.ndarray, "N 3"], foot: bool
) -> Float[np.ndarray, "3"]:
    """A point of an old part on a new one: widths and depths fit, heights count from the sole or the head's top."""
    (low_old, high_old), (low, high) = ((part.min(0), part.max(0)) for part in (old, new))
    scale = (high - low) / np.maximum(high_old - low_old, 1e-9)
    scale[1] = (scale[0] + scale[2]) / 2  # bodies differ in where neck or shin begin
    there, here = (low_old + high_old) / 2, (low + high) / 2
    there[1], here[1] = (low_old[1], low[1]) if foot else (high_old[1], high[1])
    moved: np.ndarray = here + scale * (point - there)
    return moved
