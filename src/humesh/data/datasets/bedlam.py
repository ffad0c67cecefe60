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
from humesh.data.datasets.entries import Entry
from humesh.data.datasets.labels import box_about, calibrated, person_2d, with_smpl
from humesh.data.datasets.reader import Download, Files, PhotoDataset, runs, stored_photo
from humesh.data.sample import LabelledPerson, Sample
from humesh.files import Array, read_arrays
from humesh.geometry.rotations import rotation_from_axis_angle

_LAYOUT = {
    "imgname": Array(("N",), "text"), "center": Array(("N", 2), "float"), "scale": Array(("N",), "float"),
    "pose_cam": Array(("N", "P"), "float"), "shape": Array(("N", "S"), "float"), "trans_cam": Array(("N", 3), "float"),
    "gtkps": Array(("N", "K", "A"), "float"), "cam_int": Array(("N", 3, 3), "float"),
    "cam_ext": Array(("N", 4, 4), "float"), "gender": Array(("N",), "text", optional=True),
}  # fmt: skip
_BODY22 = JointSet("smpl24_without_hands", SMPL24.names[:22])  # the joints that SMPL-X and SMPL share, in this order


class Bedlam(PhotoDataset):
    """Scenes `training_labels/*/SCENE.npz` with pictures `training_images/SCENE/png/SEQUENCE/SEQUENCE_0000.png`.

    `labels`: the folder of the labels below root, where there are several (SMPL-X, SMPL). Bodies of SMPL-X have 22
    joints in common with SMPL: the hands' weight is 0. Equal shapes are the same person.
    """

    name, splits = "BEDLAM", ("train",)
    download = Download(
        page="https://bedlam.is.tue.mpg.de/download.php (registration)",
        files=(
            Files("training_labels/**/*.npz|all_npz_12*/*.npz|*.npz", 1, "ground truth labels (processed, npz)"),
            Files("training_images/*/png/*/*.png|*/png/*/*.png", 1, "images (png, by scene)"),
        ),
    )

    def __init__(self, root: str | Path, split: str, labels: str | None = None) -> None:
        super().__init__(root, split)
        usual = ("training_labels/all_npz_12_training", "training_labels", "all_npz_12_training", ".")
        files = self.files(*[f"{folder}/*.npz" for folder in ((labels,) if labels else usual)])
        images = self.root / "training_images"
        self.images = images if images.is_dir() else self.root
        self._scenes = {path.stem: _read(path) for path in track(files, "BEDLAM", transient=True)}
        shapes = {shape.tobytes() for scene in self._scenes.values() for shape in scene["shape"].value}
        self._identities = {shape: i for i, shape in enumerate(sorted(shapes))}
        rows, keys = list[tuple[str, str, int, np.ndarray]](), list[tuple[str, int]]()  # scene, photo, frame, people
        for scene, labelled in self._scenes.items():
            step = 5 if "6fps" in scene else 1  # frames of 30 a second, as their names count them
            group = np.unique(labelled["imgname"].value, return_inverse=True)[1]
            order = np.argsort(group, kind="stable")
            for people in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
                photo = labelled["imgname"][int(people[0])]
                number = Path(photo.path()).stem.rpartition("_")[2]
                if not number.isdecimal():
                    raise photo.wrong("images like seq_000000/seq_000000_0000.png")
                rows.append((scene, photo.path(), int(number), people))
                keys.append((f"{scene}/{Path(photo.path()).parent}", int(number) // step))
        self.rows, self.tracks = rows, runs(keys)

    def __getitem__(self, index: int) -> Sample:
        scene, name, frame, people = self.rows[index]
        labels = self._scenes[scene]
        camera = calibrated(labels["cam_int"][int(people[0])].intrinsics())
        photo = stored_photo(self.images / scene / "png" / name, camera)
        if "closeup" in scene:
            photo = replace(photo, pixels=np.ascontiguousarray(np.rot90(photo.pixels, -1)))
        found = tuple(self._person(labels, row, photo.size) for row in people.tolist())
        return Sample(photo, found, f"{scene}/{name}", f"{scene}/{Path(name).parent}", frame)

    def _person(self, labels: Entry, row: int, size: tuple[int, int]) -> LabelledPerson:
        entry = {key: labels[key][row] for key in labels.value}
        points = np.concatenate([entry["gtkps"].numbers(22, 2), np.ones((22, 1))], axis=-1)
        box = box_about(entry["center"].numbers(2), entry["scale"].number(0.0, 1e3))
        vectors = entry["pose_cam"].numbers(-1, 3)
        of_smpl = len(vectors) == len(SMPL24)
        used = 24 if of_smpl else 22
        rotations = torch.eye(3).repeat(24, 1, 1)
        rotations[:used] = rotation_from_axis_angle(torch.from_numpy(vectors[:used]).float())
        shape = torch.from_numpy(entry["shape"].first(10)).float()
        translation = entry["trans_cam"].numbers(3) + entry["cam_ext"].extrinsics()[:, 3]
        identity = self._identities[labels["shape"].value[row].tobytes()]
        person = person_2d(box, points, _BODY22, identity, size=size)
        pose = BodyPose(rotations, shape, torch.from_numpy(translation).float())
        given = str(entry["gender"].value) if "gender" in entry else ""
        gender = given if given in ("male", "female") else "neutral"
        labelled = with_smpl(person, (pose, 1.0), f"{'smpl' if of_smpl else 'smplx'}-{gender}")
        return replace(labelled, pose_weight=(torch.arange(24) < used).float())


def _read(path: Path) -> Entry:
    """The arrays of a scene that are used, a row a person."""
    arrays = read_arrays(path, _LAYOUT, what="BEDLAM's labels", error=DatasetError, only=_LAYOUT)
    numbers, betas, shape = arrays["pose_cam"].shape[1], arrays["shape"].shape[1], arrays["gtkps"].shape
    if (numbers != 72 and (numbers < 66 or numbers % 3)) or betas < 10 or shape[1] < 22 or shape[2] < 2:
        raise DatasetError(
            f"{path}: expected poses of 72 or of 66 and more numbers, 10 betas and 22 points in BEDLAM's labels, got "
            f"{numbers}, {betas} and {shape[1:]}; fetch it anew."
        )
    arrays["gtkps"] = arrays["gtkps"][:, :22, :2]
    return Entry(arrays, path)
