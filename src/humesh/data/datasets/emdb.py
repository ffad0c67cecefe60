"""EMDB (Kaufmann et al., ICCV 2023): videos of one person each with SMPL bodies from electromagnetic sensors.

Reads `P0` ... `P9`, each with folders `<sequence>/images/00000.jpg` and `<sequence>/P0_<sequence>_data.pkl`, as the
owner's `dataset.md` describes them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from humesh.body.joints import SMPL24
from humesh.body.pickles import read_pickle
from humesh.data.datasets import DatasetError
from humesh.data.datasets.download import Download, Files
from humesh.data.datasets.labels import checked, loaded, part, runs
from humesh.data.datasets.labels3d import Bodies, calibrated_photo, person_3d, smpl_label, with_smpl
from humesh.data.sample import LabelledPerson, Sample

DOWNLOAD = Download(
    page="https://eth-ait.github.io/emdb/",
    files=(
        Files("P*/*/*_data.pkl", 1, "EMDB"),
        Files("P*/*/images/*.jpg", 1, "EMDB"),
    ),
)

SPLITS = ("emdb1", "emdb2", "all")
_KEYS = ("name", "gender", "emdb1", "emdb2", "n_frames", "good_frames_mask", "camera", "smpl", "kp2d", "bboxes")


class Emdb:
    """The frames that the owner calls good (the person is in view) of EMDB 1, of EMDB 2 or of all sequences.

    Points: SMPL's 24 joints in the photo (`kp2d`); the owner gives none in 3D, so they (and the translation) are
    labelled only where the gendered body is passed in `bodies` ("smpl-male", "smpl-female", "smpl-neutral"). Seen: the
    same 2D joints and the annotated box.
    """

    def __init__(self, root: str | Path, split: str = "emdb1", bodies: Bodies | None = None) -> None:
        if split not in SPLITS:
            raise DatasetError(f"EMDB: expected a split of {', '.join(SPLITS)}, got {split!r}.")
        self.root, self.bodies = Path(root), dict(bodies or {})
        paths = part(self.root, ["P*/*/*_data.pkl"], DOWNLOAD)
        sequences = [loaded(path, _read, "a sequence of EMDB") for path in paths]
        self._sequences = [sequence for sequence in sequences if split == "all" or sequence[split]]
        if not self._sequences:
            raise DatasetError(f"{self.root}: expected sequences of {split}, the {len(paths)} there are none of it.")
        good = [np.asarray(sequence["good_frames_mask"], dtype=bool) for sequence in self._sequences]
        self._frames = [(s, int(f)) for s, flags in enumerate(good) for f in np.flatnonzero(flags)]
        self.tracks = runs(self._frames)

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> Sample:
        number, frame = self._frames[index]
        sequence = self._sequences[number]
        path = sequence["folder"] / "images" / f"{frame:05d}.jpg"
        photo = calibrated_photo(path, sequence["camera"]["intrinsics"])
        person = self._person(sequence, frame, photo.size)
        return Sample(photo, (person,), f"{sequence['name']}/{frame:05d}", sequence["name"], frame)

    def _person(self, sequence: dict[str, Any], frame: int, size: tuple[int, int]) -> LabelledPerson:
        smpl, body = sequence["smpl"], f"smpl-{sequence['gender']}"
        model = self.bodies.get(body)
        given = np.asarray(sequence["bboxes"]["bboxes"][frame], dtype=np.float64)
        box = given if (given[2:] > given[:2]).all() else None
        vectors = np.concatenate([smpl["poses_root"][frame], smpl["poses_body"][frame]])
        extrinsics = np.asarray(sequence["camera"]["extrinsics"][frame], dtype=np.float64)
        label = smpl_label(vectors, np.ravel(smpl["betas"]), smpl["trans"][frame], extrinsics, model)
        points = None if model is None else model.joints(label[0]).double().numpy()
        pixels = np.asarray(sequence["kp2d"][frame], dtype=np.float64)
        return with_smpl(person_3d(sequence["identity"], SMPL24, size, pixels, points, box=box), label, body)


def _read(path: Path) -> dict[str, Any]:
    """A sequence's file, with its folder and its person: participants P0 to P9 are in several sequences."""
    participant = path.parent.parent.name.removeprefix("P")
    identity = int(participant) if participant.isdecimal() else 0
    stored = checked(path, read_pickle(path), _KEYS, "a sequence of EMDB")
    return stored | {"folder": path.parent, "identity": identity}
