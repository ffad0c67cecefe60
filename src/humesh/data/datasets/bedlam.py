"""BEDLAM: rendered people in scenes, many in a picture, with SMPL-X or SMPL labels (Black et al., CVPR 2023).

From the owner's processing script: a row of a scene's .npz is a person; `pose_cam` is in the camera's axes,
`trans_cam + cam_ext[:3, 3]` the translation, `gtkps` the projected SMPL-X (or SMPL) joints, `center` and `scale` the
box (200 px at scale 1). Labels of scenes called "closeup" are for the picture turned clockwise by 90 degrees.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from rich.progress import track

from humesh.body.joints import SMPL24, JointSet
from humesh.body.pose import BodyPose
from humesh.data.datasets import DatasetError
from humesh.data.datasets.download import Download, Files
from humesh.data.datasets.entries import Entry
from humesh.data.datasets.labels import known_split, part, person_2d, runs, stored_photo
from humesh.data.datasets.labels3d import calibrated, with_smpl
from humesh.data.sample import LabelledPerson, Sample
from humesh.files import Array, read_arrays
from humesh.geometry.rotations import rotation_from_axis_angle
from humesh.media.photo import Photo

DOWNLOAD = Download(
    page="https://bedlam.is.tue.mpg.de/download.php (registration)",
    files=(
        Files("training_labels/**/*.npz|all_npz_12*/*.npz|*.npz", 1, "ground truth labels (processed, npz)"),
        Files("training_images/*/png/*/*.png|*/png/*/*.png", 1, "images (png, by scene)"),
    ),
)

_LAYOUT = {
    "imgname": Array(("N",), "text"), "center": Array(("N", 2), "float"), "scale": Array(("N",), "float"),
    "pose_cam": Array(("N", "P"), "float"), "shape": Array(("N", "S"), "float"), "trans_cam": Array(("N", 3), "float"),
    "gtkps": Array(("N", "K", "A"), "float"), "cam_int": Array(("N", 3, 3), "float"),
    "cam_ext": Array(("N", 4, 4), "float"), "gender": Array(("N",), "text", optional=True),
}  # fmt: skip
_BODY22 = JointSet("smpl24_without_hands", SMPL24.names[:22])  # the joints that SMPL-X and SMPL share, in this order


class Bedlam:
    """Scenes `training_labels/*/SCENE.npz` with pictures `training_images/SCENE/png/SEQUENCE/SEQUENCE_0000.png`.

    `labels`: the folder of the labels below root, where there are several (SMPL-X, SMPL). `scenes`: only these. Bodies
    of SMPL-X have 22 joints in common with SMPL: the hands weigh nothing. A person is known again by their shape.
    """

    def __init__(self, root: str | Path, split: str, labels: str | None = None, scenes: tuple[str, ...] = ()) -> None:
        known_split("BEDLAM", split, ("train",))
        root = Path(root)
        usual = ("training_labels/all_npz_12_training", "training_labels", "all_npz_12_training", ".")
        files = part(root, [f"{folder}/*.npz" for folder in ((labels,) if labels else usual)], DOWNLOAD)
        self.images = root / "training_images" if (root / "training_images").is_dir() else root
        chosen = [path for path in files if not scenes or path.stem in scenes]
        if not chosen:
            there = ", ".join(path.stem for path in files[:6])
            raise DatasetError(f"BEDLAM: expected labels of the scenes {', '.join(scenes)}, found {there} ...")
        read = track(chosen, "BEDLAM", transient=True)
        self._scenes = {path.stem: _read(path) for path in read}
        shapes = {_person_key(rows, i) for rows in self._scenes.values() for i in range(len(rows["shape"].value))}
        self._identities = {shape: i for i, shape in enumerate(sorted(shapes))}
        self._photos, keys = list[tuple[str, str, np.ndarray]](), list[tuple[str, int]]()
        for scene, rows in self._scenes.items():
            step = 5 if "6fps" in scene else 1  # frames of 30 a second, as their names count them
            names, group = np.unique(rows["imgname"].value, return_inverse=True)
            order = np.argsort(group, kind="stable")
            people = np.split(order, np.flatnonzero(np.diff(group[order])) + 1)
            self._photos += [(scene, rows["imgname"][int(at[0])].path(), at) for at in people]
            keys += [(f"{scene}/{Path(name).parent}", _frame(name, rows["imgname"]) // step) for name in names]
        self.tracks = runs(keys)

    def __len__(self) -> int:
        return len(self._photos)

    def __getitem__(self, index: int) -> Sample:
        scene, name, people = self._photos[index]
        rows = self._scenes[scene]
        photo = stored_photo(
            self.images / scene / "png" / name, calibrated(rows["cam_int"][int(people[0])].intrinsics())
        )
        if "closeup" in scene:
            photo = replace(photo, pixels=np.ascontiguousarray(np.rot90(photo.pixels, -1)))
        sequence = f"{scene}/{Path(name).parent}"
        found = tuple(self._person(rows, int(row), photo) for row in people)
        return Sample(photo, found, f"{scene}/{name}", sequence, _frame(name, rows["imgname"]))

    def _person(self, rows: Entry, row: int, photo: Photo) -> LabelledPerson:
        points = np.concatenate([rows["gtkps"][row].numbers(22, 2), np.ones((22, 1))], axis=-1)
        centre, half = rows["center"][row].numbers(2), 100.0 * rows["scale"][row].number(0.0, 1e3)
        vectors = rows["pose_cam"][row].numbers(-1, 3)
        whole = len(vectors) == 24
        used = 24 if whole else 22
        rotations = torch.eye(3).repeat(24, 1, 1)
        rotations[:used] = rotation_from_axis_angle(torch.from_numpy(vectors[:used]).float())
        shape = torch.from_numpy(rows["shape"][row].first(10)).float()
        translation = rows["trans_cam"][row].numbers(3) + rows["cam_ext"][row].extrinsics()[:, 3]
        box, identity = np.concatenate([centre - half, centre + half]), self._identities[_person_key(rows, row)]
        person = person_2d(box, points, _BODY22, identity, size=photo.size)
        pose = BodyPose(rotations, shape, torch.from_numpy(translation).float())
        written = str(rows["gender"][row].value) if "gender" in rows.value else ""
        gender = written if written in ("male", "female") else "neutral"
        labelled = with_smpl(person, (pose, 1.0), f"{'smpl' if whole else 'smplx'}-{gender}")
        return replace(labelled, pose_weight=(torch.arange(24) < used).float())


def _person_key(rows: Entry, row: int) -> bytes:
    """The shape, by which a person is known again."""
    key: bytes = rows["shape"].value[row].tobytes()
    return key


def _frame(name: str, path: Entry) -> int:
    number = Path(name).stem.rpartition("_")[2]
    if not number.isdecimal():
        raise path.wrong("images like seq_000000/seq_000000_0000.png")
    return int(number)


def _read(path: Path) -> Entry:
    """The arrays of a scene that are used, a row a person."""
    rows = read_arrays(path, _LAYOUT, what="BEDLAM's labels", error=DatasetError, only=_LAYOUT)
    bones, betas, shape = rows["pose_cam"].shape[1], rows["shape"].shape[1], rows["gtkps"].shape
    if (bones != 72 and (bones < 66 or bones % 3)) or betas < 10 or shape[1] < 22 or shape[2] < 2:
        raise DatasetError(
            f"{path}: expected poses of 72 or of 66 and more numbers, 10 betas and 22 points in BEDLAM's labels, got "
            f"{bones}, {betas} and {shape[1:]}; fetch it anew."
        )
    rows["gtkps"] = rows["gtkps"][:, :22, :2]
    return Entry(rows, path)
