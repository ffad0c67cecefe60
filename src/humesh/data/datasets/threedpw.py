"""3DPW (von Marcard et al., ECCV 2018): phone videos of one or two people with SMPL bodies from IMUs.

Reads `sequenceFiles/<split>/*.pkl` and `imageFiles/<sequence>/image_00000.jpg` as they are unpacked.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from humesh.body.joints import OPENPOSE18, SMPL24
from humesh.body.pickles import read_pickle
from humesh.data.datasets import DatasetError
from humesh.data.datasets.download import Download, Files
from humesh.data.datasets.entries import Entry
from humesh.data.datasets.labels import known_split, loaded, part, runs
from humesh.data.datasets.labels3d import Bodies, calibrated_photo, person_3d, projected, smpl_label, with_smpl
from humesh.data.sample import LabelledPerson, Sample
from humesh.media.photo import Photo

DOWNLOAD = Download(
    page="https://virtualhumans.mpi-inf.mpg.de/3DPW/",
    files=(
        Files("sequenceFiles/train/*.pkl", 24, "sequenceFiles.zip"),
        Files("sequenceFiles/validation/*.pkl", 12, "sequenceFiles.zip"),
        Files("sequenceFiles/test/*.pkl", 24, "sequenceFiles.zip"),
        Files("imageFiles/*/image_*.jpg", 1, "imageFiles.zip"),
    ),
)

SPLITS = ("train", "validation", "test")
_GENDERS = {"m": "smpl-male", "f": "smpl-female"}
_KEYS = ("poses", "betas", "trans", "genders", "jointPositions", "poses2d", "cam_poses", "cam_intrinsics")


class ThreeDPW:
    """3DPW's frames in which at least one person's camera is valid (`campose_valid`); others' labels are left out.

    Points: SMPL's 24 joints (`jointPositions`). Seen: the owner's OpenPose keypoints (all zero where fewer than six
    were found) and the box of the projected joints. Bodies are gendered SMPL; pass `bodies` ("smpl-male",
    "smpl-female") for labelled translations (see `smpl_label`). `sequences`: only these, by name.
    """

    def __init__(
        self,
        root: str | Path,
        split: str,
        bodies: Bodies | None = None,
        sequences: tuple[str, ...] | None = None,
    ) -> None:
        known_split("3DPW", split, SPLITS)
        self.root, self.bodies = Path(root), dict(bodies or {})
        paths = part(self.root, [f"sequenceFiles/{split}/*.pkl"], DOWNLOAD)
        if sequences is not None:
            missing = sorted(set(sequences) - {path.stem for path in paths})
            if missing:
                raise DatasetError(f"{self.root}: expected the sequences {', '.join(missing)} in {split!r}, not there.")
            paths = [path for path in paths if path.stem in sequences]
        self._names = [path.stem for path in paths]
        self._sequences = [loaded(path, _read, "a sequence of 3DPW") for path in paths]
        self._valid = [_valid(sequence) for sequence in self._sequences]
        self._frames = [(s, int(f)) for s, flags in enumerate(self._valid) for f in np.flatnonzero(flags.any(0))]
        self.tracks = runs(self._frames)
        self.people_per_photo = [int(self._valid[s][:, f].sum()) for s, f in self._frames]

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> Sample:
        number, frame = self._frames[index]
        sequence = self._sequences[number]
        name = self._names[number]
        path = self.root / "imageFiles" / name / f"image_{frame:05d}.jpg"
        photo = calibrated_photo(path, sequence["cam_intrinsics"].intrinsics())
        valid = np.flatnonzero(self._valid[number][:, frame]).tolist()
        # The people of a sequence keep their places in it; that the same actors are in several is not said.
        people = tuple(self._person(sequence, i, frame, 100 * number + i, photo) for i in valid)
        return Sample(photo, people, f"{name}/{frame:05d}", name, frame)

    def _person(self, sequence: Entry, i: int, frame: int, identity: int, photo: Photo) -> LabelledPerson:
        extrinsics = sequence["cam_poses"][frame].extrinsics()
        world = sequence["jointPositions"][i][frame].numbers(len(SMPL24), 3)
        points = world @ extrinsics[:, :3].T + extrinsics[:, 3]
        pixels = projected(photo.camera, points)
        detected = sequence["poses2d"][i][frame].numbers(3, len(OPENPOSE18)).T
        person = person_3d(identity, SMPL24, photo.size, pixels, points, seen=(detected, OPENPOSE18))
        body = _GENDERS.get(sequence["genders"][i].text(), "")
        if not body:
            raise sequence["genders"][i].wrong("the gender m or f")
        pose, translation = sequence["poses"][i][frame].numbers(72), sequence["trans"][i][frame].numbers(3)
        label = smpl_label(pose, sequence["betas"][i].first(10), translation, extrinsics, self.bodies.get(body))
        return with_smpl(person, label, body)


def _valid(sequence: Entry) -> np.ndarray:
    """People x frames: where the camera is known."""
    flags = sequence["campose_valid"]
    return flags.numbers(len(flags), -1) > 0


def _read(path: Path) -> Entry:
    """A sequence's file."""
    return Entry(read_pickle(path), path).has(*_KEYS, "campose_valid", what="a sequence of 3DPW")
