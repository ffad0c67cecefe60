"""3DPW (von Marcard et al., ECCV 2018): phone videos of one or two people with SMPL bodies from IMUs.

Reads `sequenceFiles/<split>/*.pkl` and `imageFiles/<sequence>/image_00000.jpg` as they are unpacked.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from humesh.body.joints import OPENPOSE18, SMPL24
from humesh.body.pickles import read_pickle
from humesh.data.datasets import DatasetError
from humesh.data.datasets.download import Download, Files
from humesh.data.datasets.labels import checked, loaded, part, runs
from humesh.data.datasets.labels3d import Bodies, calibrated_photo, person_3d, projected, smpl_label, with_smpl
from humesh.data.sample import LabelledPerson, Sample
from humesh.images.photo import Photo

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
        split: str = "test",
        bodies: Bodies | None = None,
        sequences: tuple[str, ...] | None = None,
    ) -> None:
        if split not in SPLITS:
            raise DatasetError(f"3DPW: expected a split of {', '.join(SPLITS)}, got {split!r}.")
        self.root, self.bodies = Path(root), dict(bodies or {})
        paths = part(self.root, [f"sequenceFiles/{split}/*.pkl"], DOWNLOAD)
        if sequences is not None:
            missing = sorted(set(sequences) - {path.stem for path in paths})
            if missing:
                raise DatasetError(f"{self.root}: expected the sequences {', '.join(missing)} in {split!r}, not there.")
            paths = [path for path in paths if path.stem in sequences]
        self._sequences = [loaded(path, _read, "a sequence of 3DPW") for path in paths]
        valid = [np.stack(sequence["campose_valid"]).astype(bool).any(0) for sequence in self._sequences]
        self._frames = [(s, int(f)) for s, flags in enumerate(valid) for f in np.flatnonzero(flags)]
        self.tracks = runs(self._frames)

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> Sample:
        number, frame = self._frames[index]
        sequence = self._sequences[number]
        path = self.root / "imageFiles" / sequence["name"] / f"image_{frame:05d}.jpg"
        photo = calibrated_photo(path, sequence["cam_intrinsics"])
        valid = [i for i, flags in enumerate(sequence["campose_valid"]) if flags[frame]]
        # The people of a sequence keep their places in it; that the same actors are in several is not said.
        people = tuple(self._person(sequence, i, frame, 100 * number + i, photo) for i in valid)
        return Sample(photo, people, f"{sequence['name']}/{frame:05d}", sequence["name"], frame)

    def _person(self, sequence: dict[str, Any], i: int, frame: int, identity: int, photo: Photo) -> LabelledPerson:
        extrinsics = np.asarray(sequence["cam_poses"][frame], dtype=np.float64)
        world = np.asarray(sequence["jointPositions"][i][frame], dtype=np.float64).reshape(len(SMPL24), 3)
        points = world @ extrinsics[:3, :3].T + extrinsics[:3, 3]
        pixels = projected(photo.camera, points)
        detected = np.asarray(sequence["poses2d"][i][frame], dtype=np.float64).T  # stored as 3 x 18
        person = person_3d(identity, SMPL24, photo.size, pixels, points, seen=(detected, OPENPOSE18))
        body = _GENDERS[str(sequence["genders"][i])]
        pose, betas, translation = (np.asarray(sequence[k][i], np.float64) for k in ("poses", "betas", "trans"))
        label = smpl_label(pose[frame], betas.ravel(), translation[frame], extrinsics, self.bodies.get(body))
        return with_smpl(person, label, body)


def _read(path: Path) -> dict[str, Any]:
    """What is used of a sequence's file (the clothed templates and textures are not), with its name."""
    return checked(path, read_pickle(path), (*_KEYS, "campose_valid"), "a sequence of 3DPW") | {"name": path.stem}
