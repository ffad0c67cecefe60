"""AGORA (Patel et al., CVPR 2021): rendered scans of 5 to 15 people a picture, with SMPL and SMPL-X fits.

Reads the camera frames, pandas DataFrames pickled as `train_0.pkl` or, with joints, `validation_0_withjv.pkl`: the
columns are taken out of the pickles as data, without pandas, and pickles that name anything else are refused. The SMPL
fits that they name (`smpl_gt/...`, .pkl) are read likewise. Pictures are those of 3840 x 2160 or of 1280 x 720 px. The
owner describes the columns in `agora_evaluation/docs/gt_dataframe.md`; cameras are as in their `project_joints`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from humesh.body.joints import SMPL24
from humesh.body.pickles import read_pickle
from humesh.body.tensors import TENSORS
from humesh.data.datasets import DatasetError
from humesh.data.datasets.entries import Entry
from humesh.data.datasets.labels import Bodies, only_2d, person_3d, projected, smpl_label, with_smpl
from humesh.data.datasets.pickles import read_frame
from humesh.data.datasets.reader import CALIBRATED, Download, Files, PhotoDataset, loaded, stored_photo
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
    """AGORA's pictures and the people in them that the owner calls valid (at most 90 % hidden).

    Points: SMPL's joints (of SMPL-X frames the 22 that both bodies have), where the frames hold joints; else those of
    the fits if `bodies` has "smpl-neutral". Pose and shape are the SMPL fits' (`fits`; all neutral; children's, whose
    bodies are mixed with another template, are called "smpl-neutral-kid"). Detected: the projected joints. `frames`:
    the folder below the root with the camera frames, where there are several (the owner offers them for SMPL and
    SMPL-X). In the validation split people who are not valid are there too, with 2D labels alone, because the benchmark
    forgives predictions for them. The test split has no labels.
    """

    name, splits = "AGORA", ("train", "validation")
    download = Download(
        page="https://agora.is.tue.mpg.de/download.php",
        files=(
            Files("**/validation_*.pkl", 1, "Camera dataframe (with SMPL joints and vertices)"),
            Files("**/ag_*.png", 1, "Images"),
            Files("smpl_gt/**/*.pkl", 1, "SMPL fits", needed=False),
            Files("**/train_*.pkl", 1, "Camera dataframe (with SMPL joints and vertices)", needed=False),
        ),
    )

    def __init__(
        self, root: str | Path, split: str, fits: bool = True, bodies: Bodies | None = None, frames: str = "**"
    ) -> None:
        super().__init__(root, split)
        self.fits, self.bodies = fits, bodies or {}
        paths = self.files(f"{frames}/{split}_*_withjv.pkl", f"{frames}/{split}_*.pkl")
        folders = sorted({path.parent.relative_to(self.root).as_posix() for path in paths})
        if len(folders) > 1:
            raise DatasetError(
                f"{self.root}: expected camera frames in one folder, found {', '.join(folders)}; choose with `frames`."
            )
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
        photo = replace(photo, camera=camera, camera_source=CALIBRATED)
        people = []
        for i, flag in enumerate(row["isValid"]):
            valid = flag.integer(0, 1)
            if valid or self.split == "validation":
                person = self._person(row, i, _extrinsics(row, i, rotation, eye), photo)
                people.append(person if valid else only_2d(person))
        return Sample(photo, tuple(people), name, "", index)

    def _person(self, row: _Row, i: int, extrinsics: Float[np.ndarray, "3 4"], photo: Photo) -> LabelledPerson:
        scan, kid, label, points = row["gt_path_smpl"][i].path(), row["kid"][i].integer(0, 1), None, None
        model = None if kid else self.bodies.get("smpl-neutral")
        if self.fits:
            path = (self.root / scan).with_suffix(".pkl")
            if not path.is_file():
                raise DatasetError(f"{path}: expected an SMPL fit, found nothing; fetch them or pass fits=False.")
            label = smpl_label(*loaded(path, _fit, "an SMPL fit"), extrinsics, model)
        weight = np.ones(len(SMPL24))
        if "gt_joints_3d" in row:
            given = row["gt_joints_3d"][i].numbers(-1, 3)
            if len(given) < len(SMPL24):
                raise row["gt_joints_3d"][i].wrong("the places of 24 joints or more")
            shared = len(SMPL24) if len(given) < 55 else _SMPLX_SHARED
            points, weight = given[: len(SMPL24)], weight * (np.arange(len(SMPL24)) < shared)
        elif label is not None and model is not None:
            points = model.joints(label[0]).double().numpy()
        if points is None:
            raise DatasetError(
                f"{self.root}: expected frames with joints (..._withjv.pkl), or the SMPL body for those without in "
                "`bodies`; got neither."
            )
        pixels = projected(photo.camera, points)
        person = person_3d(self._identities[scan], SMPL24, photo.size, pixels, points, weight)
        return person if label is None else with_smpl(person, label, "smpl-neutral-kid" if kid else "smpl-neutral")


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
    x, y, z = np.asarray(place_cm) / 100
    return np.array([y, -z, x])
