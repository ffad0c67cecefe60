"""AGORA: pictures of rendered scans, whose labels are pandas' DataFrames in pickles."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from humesh.body.joints import SMPL24
from humesh.body.pickles import TENSORS, Call, Name, PickleError, Values, read_pickle
from humesh.data.datasets.labels import only_2d, person_3d, smpl_label, with_smpl
from humesh.data.datasets.reader import Bodies, DatasetError, Entry, Files, PhotoDataset, loaded, stored_photo
from humesh.data.sample import LabelledPerson, Sample
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_from_axis_angle
from humesh.media.photo import Photo

_COLUMNS = ("imgPath", "X", "Y", "Z", "Yaw", "camX", "camY", "camZ", "camYaw", "kid", "isValid", "gt_path_smpl")
_SMPLX_SHARED = 22  # SMPL-X's first joints, pelvis to wrists, are SMPL's
_SENSOR_MM = 36.0  # width
_ROOMS = {  # cameras of the 3D scenes: position (Unreal's axes, cm) and yaw, degrees
    "cam00": ([400.0, -275.0, 265.0], 135.0),
    "cam01": ([400.0, 225.0, 265.0], -135.0),
    "cam02": ([-490.0, 170.0, 265.0], -45.0),
    "cam03": ([-490.0, -275.0, 265.0], 45.0),
}
_Row = Mapping[str, Entry]


class Agora(PhotoDataset):
    """AGORA (Patel et al., CVPR 2021): scans of 5 to 15 people a picture, those that are valid (at most 90 % hidden).

    Reads the camera frames, pickled DataFrames `train_0.pkl` or, with joints, `validation_0_withjv.pkl` (columns: the
    owner's `agora_evaluation/docs/gt_dataframe.md`; cameras: their `project_joints`), the SMPL fits that they name, and
    pictures of 3840 x 2160 or 1280 x 720 px. Points: SMPL's joints (of SMPL-X frames the 22 that both bodies have), or
    those of the fits if `bodies` has "smpl-neutral". Fits are neutral; children's, whose bodies are mixed with another
    template, are called "smpl-neutral-kid". In the validation split people who are not valid have 2D labels alone,
    because the benchmark forgives predictions for them. The test split has no labels.
    """

    name, splits = "AGORA", ("train", "validation")
    page = "https://agora.is.tue.mpg.de/download.php"
    parts = (
        Files("**/validation_*.pkl", 1, "Camera dataframe (with SMPL joints and vertices)"),
        Files("**/ag_*.png", 1, "Images"),
        Files("smpl_gt/**/*.pkl", 1, "SMPL fits"),
        Files("**/train_*.pkl", 1, "Camera dataframe (with SMPL joints and vertices)", needed=False),
    )

    def __init__(self, root: str | Path, split: str, bodies: Bodies | None = None) -> None:
        super().__init__(root, split, bodies)
        paths = self.files(f"**/{split}_*_withjv.pkl", f"**/{split}_*.pkl")
        folders = sorted({path.parent.relative_to(self.root).as_posix() for path in paths})
        if len(folders) > 1:
            found = ", ".join(folders)
            raise DatasetError(f"{self.root}: expected camera frames in one folder, found {found}; keep SMPL's alone.")
        self.rows = [row for path in paths for row in loaded(path, _rows, "a camera frame of AGORA")]
        scans = sorted({scan.path() for row in self.rows for scan in row["gt_path_smpl"]})
        self._identities = {scan: number for number, scan in enumerate(scans)}
        names = ("", split, f"{split}_*", "images", f"images/{split}", f"images/{split}_*")
        self._folders = [folder for name in names for folder in sorted(self.root.glob(name) if name else [self.root])]

    def __getitem__(self, index: int) -> Sample:
        row = self.rows[index]
        name = row["imgPath"].path()
        files = (folder / n for folder in self._folders for n in (name, name.replace(".png", "_1280x720.png")))
        photo = stored_photo(next((path for path in files if path.is_file()), self.root / name))
        focal_mm, rotation, eye = _camera(row)
        camera = Camera.virtual(focal_mm / _SENSOR_MM * photo.size[0], photo.size)  # all are 16:9
        photo = Photo.of(photo, camera)
        people = []
        for i, flag in enumerate(row["isValid"]):
            valid = flag.integer(0, 1)
            if valid or self.split == "validation":
                person = self._person(row, i, _extrinsics(row, i, rotation, eye), photo)
                people.append(person if valid else only_2d(person))
        return Sample(photo, tuple(people), name, "", index)

    def _person(self, row: _Row, i: int, extrinsics: Float[np.ndarray, "3 4"], photo: Photo) -> LabelledPerson:
        scan, kid = row["gt_path_smpl"][i].path(), row["kid"][i].integer(0, 1)
        model, path = None if kid else self.bodies.get("smpl-neutral"), (self.root / scan).with_suffix(".pkl")
        if not path.is_file():
            raise DatasetError(f"{path}: expected an SMPL fit, found nothing; fetch the SMPL fits from {self.page}.")
        label, shared = smpl_label(*loaded(path, _fit, "an SMPL fit"), extrinsics, model), len(SMPL24)
        if "gt_joints_3d" in row:
            points = row["gt_joints_3d"][i].first(3 * len(SMPL24)).reshape(-1, 3)
            shared = _SMPLX_SHARED if np.size(row["gt_joints_3d"][i].value) >= 3 * 55 else shared
        elif model is not None:
            points = model.joints(label[0]).double().numpy()
        else:
            raise DatasetError(
                f"{self.root}: expected frames with joints (..._withjv.pkl), or the SMPL body for those without in "
                "`bodies`; got neither."
            )
        weight = (np.arange(len(SMPL24)) < shared).astype(np.float64)
        person = person_3d(self._identities[scan], SMPL24, photo, None, points, weight)
        return with_smpl(person, label, "smpl-neutral-kid" if kid else "smpl-neutral")


def _rows(path: Path) -> list[dict[str, Entry]]:
    """The pictures of a camera frame: column to value, of people to a list; surfaces (`gt_verts`) are left out."""
    columns = Entry(read_frame(path), path).has(*_COLUMNS, what="a camera frame of AGORA")
    held = {name: list(columns[name]) for name in (*_COLUMNS, "gt_joints_3d") if name in columns.value}
    if len({len(column) for column in held.values()}) != 1:
        raise columns.wrong("columns of one length")
    return [dict(zip(held, row, strict=True)) for row in zip(*held.values(), strict=True)]


def _fit(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pose vectors 72, betas and translation (metres, the scan's frame) of an SMPL fit; tensors or arrays."""
    entry = Entry(read_pickle(path, TENSORS), path).has("body_pose", "betas", what="an SMPL fit")
    root, moved = ("root_pose", "translation") if "root_pose" in entry.value else ("global_orient", "transl")
    vectors = np.concatenate([entry[root].numbers(3), entry["body_pose"].numbers(69)])
    return vectors, entry["betas"].first(10), entry[moved].numbers(3)


def _camera(row: _Row) -> tuple[float, Float[np.ndarray, "3 3"], Float[np.ndarray, "3"]]:
    """Focal length in mm, rotation of the world into the camera's axes, and its position, by the picture's name."""
    name, pitch, ground = row["imgPath"].text(), 0.0, 0.0
    room = next((room for room in _ROOMS if room in name), None)
    if "hdri" in name:
        focal, place, yaw = 50.0, [0.0, 0.0, 170.0], 0.0
    elif room is not None:
        focal, (place, yaw), pitch = 18.0, _ROOMS[room], 30.0
    elif "ag2" in name:
        focal, place, yaw, pitch = 28.0, [0.0, 0.0, 170.0], 0.0, 15.0
    else:
        x, y, z, yaw = (row[name].number() for name in ("camX", "camY", "camZ", "camYaw"))
        focal, place, ground = 28.0, [x, y, z], -1.7
    return focal, _rotation("x", pitch) @ _rotation("y", -yaw), _opencv(place) + np.array([0, ground, 0])


def _extrinsics(row: _Row, i: int, rotation: np.ndarray, eye: np.ndarray) -> Float[np.ndarray, "3 4"]:
    """From a scan's frame (y up) into the camera's: scans look sideways, which is turned back by 90 degrees."""
    upright = _rotation("y", row["Yaw"][i].number() - 90) @ np.diag([1.0, -1.0, -1.0])
    place = _opencv([row[axis][i].number() for axis in "XYZ"])
    return np.concatenate([rotation @ upright, (rotation @ (place - eye))[:, None]], axis=1)


def _rotation(axis: str, degrees: float) -> Float[np.ndarray, "3 3"]:
    vector = torch.eye(3, dtype=torch.float64)["xyz".index(axis)] * np.pi / 180 * degrees
    return rotation_from_axis_angle(vector).numpy()


def _opencv(place_cm: list[float]) -> Float[np.ndarray, "3"]:
    """A place in Unreal's axes (x forward, y right, z up; cm) in OpenCV's, metres."""
    return np.asarray(place_cm)[[1, 2, 0]] * [1, -1, 1] / 100


# DataFrames out of pickles, without pandas: a frame is a state with a block manager, which has blocks of columns, each
# with the places of its columns, and two axes (pandas 1.0 and later, from memory of its sources).


class _Frame(dict[str, np.ndarray]):
    """The columns of a DataFrame by name."""


def _frame(call: Call, values: Values) -> _Frame:
    state = values.known(call.state, ("_mgr", "_data"))
    manager = state.get("_mgr", state.get("_data"))
    if not isinstance(manager, _Frame):
        raise PickleError("expected the columns of a DataFrame, found none; save it with pandas 1 or 2.")
    return manager


def _manager(call: Call, values: Values) -> _Frame:
    """Blocks and axes as arguments (pandas 1.3 and later) or in the state (before)."""
    if call.args:
        blocks, (names, _) = map(values.value, call.args[:2])
    else:
        newest = values.value(call.state[3])["0.14.1"]
        blocks, (names, _) = [(block["values"], block["mgr_locs"]) for block in newest["blocks"]], newest["axes"]
    if not isinstance(names, np.ndarray) or not all(isinstance(name, str) for name in names):
        raise PickleError("expected columns that have names, got something else.")
    frame = _Frame()
    for columns, places in blocks:
        if not isinstance(columns, np.ndarray) or columns.ndim != 2:
            raise PickleError("expected the columns of a DataFrame, got another number of axes.")
        frame.update(zip(names[places], columns, strict=True))
    return frame


def _block(call: Call, values: Values) -> tuple[Any, Any]:
    columns, places, *_ = map(values.value, call.args)
    return columns, places


def _slice(call: Call, values: Values) -> slice:
    if any(type(part) not in (int, type(None)) for part in call.args):
        raise PickleError("expected the places of columns by number.")
    return slice(*call.args)


def _index(call: Call, values: Values) -> Any:
    """An index as the array that it holds; None for the numbers of rows."""
    return values.known(call.args[1], ("data",)).get("data")


_INDICES = {"base": "Index", "range": "RangeIndex", "numeric": "Int64Index UInt64Index Float64Index NumericIndex"}
_FRAMES: dict[Name, Any] = {
    Name("pandas.core.frame", "DataFrame"): _frame,
    Name("pandas.core.internals.managers", "BlockManager"): _manager,
    Name("pandas.core.internals", "BlockManager"): _manager,
    Name("pandas._libs.internals", "_unpickle_block"): _block,
    Name("pandas.core.internals.blocks", "new_block"): _block,
    Name("pandas.core.indexes.base", "_new_Index"): _index,
    Name("builtins", "slice"): _slice,
    **{
        Name(f"pandas.core.indexes.{module}", kind): None
        for module, kinds in _INDICES.items()
        for kind in kinds.split()
    },
}


def read_frame(path: Path) -> dict[str, np.ndarray]:
    """The columns of a pickled pandas DataFrame, by name; PickleError where the file holds something else."""
    frame = read_pickle(path, _FRAMES)
    if not isinstance(frame, _Frame):
        raise PickleError(f"expected a pandas DataFrame, got {type(frame).__name__}.")
    return frame
