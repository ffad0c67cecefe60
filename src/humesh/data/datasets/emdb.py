"""EMDB (Kaufmann et al., ICCV 2023): videos of one person each with SMPL bodies from electromagnetic sensors.

Reads `P0` ... `P9`, each with folders `<sequence>/images/00000.jpg` and `<sequence>/P0_<sequence>_data.pkl`, as the
owner's `dataset.md` describes them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from humesh.body.joints import SMPL24
from humesh.body.pickles import read_pickle
from humesh.data.datasets import DatasetError
from humesh.data.datasets.download import Download, Files
from humesh.data.datasets.entries import Entry
from humesh.data.datasets.labels import known_split, loaded, part, runs
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

    def __init__(self, root: str | Path, split: str, bodies: Bodies | None = None) -> None:
        known_split("EMDB", split, SPLITS)
        self.root, self.bodies = Path(root), dict(bodies or {})
        paths = part(self.root, ["P*/*/*_data.pkl"], DOWNLOAD)
        sequences = [loaded(path, _read, "a sequence of EMDB") for path in paths]
        self._sequences = [sequence for sequence in sequences if split == "all" or sequence[split].integer(0, 1)]
        if not self._sequences:
            raise DatasetError(f"{self.root}: expected sequences of {split}, the {len(paths)} there are none of it.")
        good = [sequence["good_frames_mask"].numbers(-1) > 0 for sequence in self._sequences]
        self._frames = [(s, int(f)) for s, flags in enumerate(good) for f in np.flatnonzero(flags)]
        self.tracks = runs(self._frames)

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> Sample:
        number, frame = self._frames[index]
        sequence = self._sequences[number]
        name, path = sequence["name"].text(), sequence["folder"].value / "images" / f"{frame:05d}.jpg"
        photo = calibrated_photo(path, sequence["camera"]["intrinsics"].intrinsics())
        person = self._person(sequence, frame, photo.size)
        return Sample(photo, (person,), f"{name}/{frame:05d}", name, frame)

    def _person(self, sequence: Entry, frame: int, size: tuple[int, int]) -> LabelledPerson:
        smpl, body = sequence["smpl"], f"smpl-{sequence['gender'].text()}"
        model = self.bodies.get(body)
        given = sequence["bboxes"]["bboxes"][frame].numbers(4, nan=True, most=1e5)
        box = given if (given[2:] > given[:2]).all() else None
        vectors = np.concatenate([smpl["poses_root"][frame].numbers(3), smpl["poses_body"][frame].numbers(69)])
        extrinsics = sequence["camera"]["extrinsics"][frame].extrinsics()
        label = smpl_label(vectors, smpl["betas"].first(10), smpl["trans"][frame].numbers(3), extrinsics, model)
        points = None if model is None else model.joints(label[0]).double().numpy()
        pixels, identity = sequence["kp2d"][frame].numbers(len(SMPL24), 2), sequence["identity"].integer()
        return with_smpl(person_3d(identity, SMPL24, size, pixels, points, box=box), label, body)


def _read(path: Path) -> Entry:
    """A sequence's file, with its folder and its person: participants P0 to P9 are in several sequences."""
    participant = path.parent.parent.name.removeprefix("P")
    identity = int(participant) if participant.isdecimal() else 0
    stored = Entry(read_pickle(path), path).has(*_KEYS, what="a sequence of EMDB").value
    return Entry({**stored, "folder": path.parent, "identity": identity}, path)
