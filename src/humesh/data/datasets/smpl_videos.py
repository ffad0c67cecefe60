"""3DPW and EMDB: videos with SMPL bodies from sensors on the people, in pickles, and a moving calibrated camera."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from humesh.body.joints import OPENPOSE18, SMPL24
from humesh.body.pickles import read_pickle
from humesh.data.datasets import DatasetError
from humesh.data.datasets.entries import Entry
from humesh.data.datasets.labels import Bodies, calibrated, person_3d, projected, smpl_label, with_smpl
from humesh.data.datasets.reader import Download, Files, PhotoDataset, loaded, runs, stored_photo
from humesh.data.sample import LabelledPerson, Sample
from humesh.media.photo import Photo

_GENDERS = {"m": "smpl-male", "f": "smpl-female"}
_3DPW = (
    "poses", "betas", "trans", "genders", "jointPositions", "poses2d", "cam_poses", "cam_intrinsics", "campose_valid",
)  # fmt: skip
_EMDB = ("name", "gender", "emdb1", "emdb2", "n_frames", "good_frames_mask", "camera", "smpl", "kp2d", "bboxes")


class ThreeDPW(PhotoDataset):
    """3DPW (von Marcard et al., ECCV 2018): frames in which at least one person's camera is valid (`campose_valid`).

    `sequenceFiles/<split>/*.pkl` and `imageFiles/<sequence>/image_00000.jpg`. Labels of people whose camera is not
    valid are left out. Points: SMPL's 24 joints (`jointPositions`). Detected: the owner's OpenPose keypoints (all zero
    where fewer than six were found) and the box of the projected joints. Bodies are gendered SMPL; `bodies`
    ("smpl-male", "smpl-female") give labelled translations (see `smpl_label`).
    """

    name, splits = "3DPW", ("train", "validation", "test")
    download = Download(
        page="https://virtualhumans.mpi-inf.mpg.de/3DPW/",
        files=(
            Files("sequenceFiles/train/*.pkl", 24, "sequenceFiles.zip"),
            Files("sequenceFiles/validation/*.pkl", 12, "sequenceFiles.zip"),
            Files("sequenceFiles/test/*.pkl", 24, "sequenceFiles.zip"),
            Files("imageFiles/*/image_*.jpg", 1, "imageFiles.zip"),
        ),
    )

    def __init__(self, root: str | Path, split: str, bodies: Bodies | None = None) -> None:
        super().__init__(root, split)
        self.bodies = bodies or {}
        paths = self.files(f"sequenceFiles/{split}/*.pkl")
        self._names = [path.stem for path in paths]
        self._sequences = [loaded(path, _read_3dpw, "a sequence of 3DPW") for path in paths]
        flags = [sequence["campose_valid"] for sequence in self._sequences]
        self._valid = [people.numbers(len(list(people)), -1) > 0 for people in flags]
        rows = [(s, int(f)) for s, valid in enumerate(self._valid) for f in np.flatnonzero(valid.any(0))]
        self.rows, self.tracks = rows, runs(rows)
        self.people_per_photo = [int(self._valid[s][:, f].sum()) for s, f in rows]

    def __getitem__(self, index: int) -> Sample:
        number, frame = self.rows[index]
        sequence, name = self._sequences[number], self._names[number]
        path = self.root / "imageFiles" / name / f"image_{frame:05d}.jpg"
        photo = stored_photo(path, calibrated(sequence["cam_intrinsics"].intrinsics()))
        valid = np.flatnonzero(self._valid[number][:, frame]).tolist()
        # The people of a sequence keep their places in it; the files do not say which actors are in several.
        people = tuple(self._person(sequence, i, frame, 100 * number + i, photo) for i in valid)
        return Sample(photo, people, f"{name}/{frame:05d}", name, frame)

    def _person(self, sequence: Entry, i: int, frame: int, identity: int, photo: Photo) -> LabelledPerson:
        extrinsics = sequence["cam_poses"][frame].extrinsics()
        world = sequence["jointPositions"][i][frame].numbers(len(SMPL24), 3)
        points = world @ extrinsics[:, :3].T + extrinsics[:, 3]
        detected = sequence["poses2d"][i][frame].numbers(3, len(OPENPOSE18)).T
        pixels = projected(photo.camera, points)
        person = person_3d(identity, SMPL24, photo.size, pixels, points, detected=(detected, OPENPOSE18))
        body = _GENDERS.get(sequence["genders"][i].text(), "")
        if not body:
            raise sequence["genders"][i].wrong("the gender m or f")
        pose, translation = sequence["poses"][i][frame].numbers(72), sequence["trans"][i][frame].numbers(3)
        label = smpl_label(pose, sequence["betas"][i].first(10), translation, extrinsics, self.bodies.get(body))
        return with_smpl(person, label, body)


def _read_3dpw(path: Path) -> Entry:
    return Entry(read_pickle(path), path).has(*_3DPW, what="a sequence of 3DPW")


class Emdb(PhotoDataset):
    """EMDB (Kaufmann et al., ICCV 2023): the frames that the owner calls good (the person is in view), of one person.

    `P0/<sequence>/images/00000.jpg` and `P0/<sequence>/P0_<sequence>_data.pkl`, as the owner's `dataset.md` describes
    them, of EMDB 1, of EMDB 2 or of all sequences. Points: SMPL's 24 joints in the photo (`kp2d`); the owner gives none
    in 3D, so they (and the translation) are labelled only where the gendered body is in `bodies` ("smpl-male",
    "smpl-female", "smpl-neutral"). Detected: the same 2D joints and the annotated box.
    """

    name, splits = "EMDB", ("emdb1", "emdb2", "all")
    download = Download(
        page="https://eth-ait.github.io/emdb/",
        files=(Files("P*/*/*_data.pkl", 1, "EMDB"), Files("P*/*/images/*.jpg", 1, "EMDB")),
    )

    def __init__(self, root: str | Path, split: str, bodies: Bodies | None = None) -> None:
        super().__init__(root, split)
        self.bodies = bodies or {}
        paths = self.files("P*/*/*_data.pkl")
        sequences = [(path, loaded(path, _read_emdb, "a sequence of EMDB")) for path in paths]
        self._sequences = [(path, s) for path, s in sequences if split == "all" or s[split].integer(0, 1)]
        if not self._sequences:
            raise DatasetError(f"{self.root}: expected sequences of {split}, the {len(paths)} there are none of it.")
        good = [sequence["good_frames_mask"].numbers(-1) > 0 for _, sequence in self._sequences]
        rows = [(s, int(f)) for s, flags in enumerate(good) for f in np.flatnonzero(flags)]
        self.rows, self.tracks = rows, runs(rows)

    def __getitem__(self, index: int) -> Sample:
        number, frame = self.rows[index]
        path, sequence = self._sequences[number]
        camera, smpl, name = sequence["camera"], sequence["smpl"], sequence["name"].text()
        image = path.parent / "images" / f"{frame:05d}.jpg"
        photo = stored_photo(image, calibrated(camera["intrinsics"].intrinsics()))
        body = f"smpl-{sequence['gender'].text()}"
        model = self.bodies.get(body)
        vectors = np.concatenate([smpl["poses_root"][frame].numbers(3), smpl["poses_body"][frame].numbers(69)])
        extrinsics = camera["extrinsics"][frame].extrinsics()
        label = smpl_label(vectors, smpl["betas"].first(10), smpl["trans"][frame].numbers(3), extrinsics, model)
        points = None if model is None else model.joints(label[0]).double().numpy()
        pixels = sequence["kp2d"][frame].numbers(len(SMPL24), 2)
        given = sequence["bboxes"]["bboxes"][frame].numbers(4, nan=True, most=1e5)
        box = given if (given[2:] > given[:2]).all() else None
        participant = path.parent.parent.name.removeprefix("P")  # P0 to P9 are in several sequences
        identity = int(participant) if participant.isdecimal() else 0
        person = with_smpl(person_3d(identity, SMPL24, photo.size, pixels, points, box=box), label, body)
        return Sample(photo, (person,), f"{name}/{frame:05d}", name, frame)


def _read_emdb(path: Path) -> Entry:
    return Entry(read_pickle(path), path).has(*_EMDB, what="a sequence of EMDB")
