"""BEDLAM: rendered people in scenes, many in a picture, with SMPL-X or SMPL labels (Black et al., CVPR 2023).

From the owner's processing script: a row of a scene's .npz is a person; `pose_cam` is in the camera's axes,
`trans_cam + cam_ext[:3, 3]` the translation, `gtkps` the projected SMPL-X (or SMPL) joints, `center` and `scale` the
box (200 px at scale 1). Labels of scenes called "closeup" are for the picture turned clockwise by 90 degrees.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track

from humesh.body.joints import SMPL24, JointSet
from humesh.body.pose import BodyPose
from humesh.data.datasets import DatasetError
from humesh.data.datasets.download import Download, Files
from humesh.data.datasets.labels import checked, loaded, part, person_2d, runs, stored_photo
from humesh.data.datasets.labels3d import with_smpl
from humesh.data.sample import LabelledPerson, Sample
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_from_axis_angle
from humesh.images.photo import Photo

DOWNLOAD = Download(
    page="https://bedlam.is.tue.mpg.de/download.php (registration)",
    files=(
        Files("training_labels/**/*.npz|all_npz_12*/*.npz|*.npz", 1, "ground truth labels (processed, npz)"),
        Files("training_images/*/png/*/*.png|*/png/*/*.png", 1, "images (png, by scene)"),
    ),
)

_KEYS = ("imgname", "center", "scale", "pose_cam", "shape", "trans_cam", "gtkps", "cam_int", "cam_ext")
_BODY22 = JointSet("smpl24_without_hands", SMPL24.names[:22])  # the joints that SMPL-X and SMPL share, in this order


class Bedlam:
    """Scenes `training_labels/*/SCENE.npz` with pictures `training_images/SCENE/png/SEQUENCE/SEQUENCE_0000.png`.

    `labels`: the folder of the labels below root, where there are several (SMPL-X, SMPL). `scenes`: only these. Bodies
    of SMPL-X have 22 joints in common with SMPL: the hands weigh nothing. A person is known again by their shape.
    """

    def __init__(self, root: str | Path, labels: str | None = None, scenes: tuple[str, ...] = ()) -> None:
        root = Path(root)
        usual = ("training_labels/all_npz_12_training", "training_labels", "all_npz_12_training", ".")
        files = part(root, [f"{folder}/*.npz" for folder in ((labels,) if labels else usual)], DOWNLOAD)
        self.images = root / "training_images" if (root / "training_images").is_dir() else root
        chosen = [path for path in files if not scenes or path.stem in scenes]
        if not chosen:
            there = ", ".join(path.stem for path in files[:6])
            raise DatasetError(f"BEDLAM: expected labels of the scenes {', '.join(scenes)}, found {there} ...")
        read = track(chosen, "BEDLAM", transient=True)
        self._scenes = {path.stem: loaded(path, _read, "BEDLAM's labels") for path in read}
        shapes = {row.tobytes() for scene in self._scenes.values() for row in scene["shape"]}
        self._identities = {shape: i for i, shape in enumerate(sorted(shapes))}
        self._photos, keys = list[tuple[str, str, np.ndarray]](), list[tuple[str, int]]()
        for scene, rows in self._scenes.items():
            step = 5 if "6fps" in scene else 1  # frames of 30 a second, as their names count them
            names, group = np.unique(rows["imgname"], return_inverse=True)
            order = np.argsort(group, kind="stable")
            people = np.split(order, np.flatnonzero(np.diff(group[order])) + 1)
            self._photos += [(scene, str(name), at) for name, at in zip(names, people, strict=True)]
            keys += [(f"{scene}/{Path(name).parent}", _frame(name) // step) for name in names]
        self.tracks = runs(keys)

    def __len__(self) -> int:
        return len(self._photos)

    def __getitem__(self, index: int) -> Sample:
        scene, name, people = self._photos[index]
        rows = self._scenes[scene]
        photo = stored_photo(self.images / scene / "png" / name, Camera(torch.from_numpy(rows["cam_int"][people[0]])))
        if "closeup" in scene:
            photo = replace(photo, pixels=np.ascontiguousarray(np.rot90(photo.pixels, -1)))
        sequence = f"{scene}/{Path(name).parent}"
        found = tuple(self._person(rows, int(row), photo) for row in people)
        return Sample(photo, found, f"{scene}/{name}", sequence, _frame(name))

    def _person(self, rows: dict[str, Any], row: int, photo: Photo) -> LabelledPerson:
        points = np.concatenate([rows["gtkps"][row], np.ones((22, 1))], axis=-1)
        half = 100.0 * rows["scale"][row]
        box = np.concatenate([rows["center"][row] - half, rows["center"][row] + half])
        vectors = torch.from_numpy(rows["pose_cam"][row]).float().reshape(-1, 3)
        whole = len(vectors) == 24
        used = 24 if whole else 22
        rotations = torch.eye(3).repeat(24, 1, 1)
        rotations[:used] = rotation_from_axis_angle(vectors[:used])
        shape = torch.from_numpy(rows["shape"][row, :10]).float()
        person = person_2d(box, points, _BODY22, self._identities[rows["shape"][row].tobytes()], size=photo.size)
        pose = BodyPose(rotations, shape, torch.from_numpy(rows["translation"][row]).float())
        labelled = with_smpl(person, (pose, 1.0), f"{'smpl' if whole else 'smplx'}-{rows['gender'][row]}")
        return replace(labelled, pose_weight=(torch.arange(24) < used).float())


def _frame(name: str) -> int:
    return int(Path(name).stem.rpartition("_")[2])


def _read(path: Path) -> dict[str, Any]:
    """The arrays of a scene that are used, a row a person."""
    with np.load(path, allow_pickle=False) as archive:
        rows = checked(path, archive, _KEYS, "BEDLAM's arrays")
        gender = archive["gender"] if "gender" in archive.files else np.full(len(rows["scale"]), "neutral")
    rows["gender"] = np.where(np.isin(gender, ("male", "female")), gender, "neutral")
    rows["translation"] = rows.pop("trans_cam") + rows.pop("cam_ext")[:, :3, 3]
    rows["gtkps"] = rows["gtkps"][:, :22, :2].astype(np.float64)
    rows["cam_int"] = rows["cam_int"].astype(np.float64)
    return rows
