"""MuPoTS-3D (Mehta et al., 3DV 2018): 20 videos of two or three people, in studios and outdoors; a test set.

Reads `TS1` ... `TS20` (also below `MultiPersonTestSet/`): `annot.mat`, `occlusion.mat` and `img_000000.jpg`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from humesh.body.joints import MPI_INF_3DHP17
from humesh.data.datasets import DatasetError
from humesh.data.datasets.download import Download, Files
from humesh.data.datasets.entries import Entry
from humesh.data.datasets.labels import known_split, loaded, part, runs
from humesh.data.datasets.labels3d import calibrated_photo, fitted_camera, person_3d
from humesh.data.datasets.matlab import cells, read_matlab, struct
from humesh.data.sample import Sample

DOWNLOAD = Download(
    page="https://vcai.mpi-inf.mpg.de/projects/SingleShotMultiPerson/",
    files=(
        Files("TS*/annot.mat|MultiPersonTestSet/TS*/annot.mat", 20, "mupots-3d-eval"),
        Files("TS*/occlusion.mat|MultiPersonTestSet/TS*/occlusion.mat", 20, "mupots-3d-eval"),
        Files("TS*/img_*.jpg|MultiPersonTestSet/TS*/img_*.jpg", 1, "MultiPersonTestSet"),
    ),
)


class MuPoTS3D:
    """MuPoTS-3D's frames with at least one valid person, in the order of the files; its 17 joints, hidden ones marked.

    `universal`: points in 3D are `univ_annot3` (skeletons of one height, which the benchmark scores), else `annot3`
    (the measured ones, which also tell where people stand). The owner gives no intrinsics: each video's camera is
    fitted to its pairs of `annot3` and `annot2`. `sequences`: numbers of the videos.
    """

    def __init__(
        self, root: str | Path, split: str, universal: bool = True, sequences: Sequence[int] = tuple(range(1, 21))
    ) -> None:
        known_split("MuPoTS-3D", split, ("test",))
        (first, *_) = part(Path(root), ["TS*/annot.mat", "MultiPersonTestSet/TS*/annot.mat"], DOWNLOAD)
        self.root, self.field = first.parent.parent, "univ_annot3" if universal else "annot3"
        self._sequences = {}
        for number in sequences:
            folder = self.root / f"TS{number}"
            path = part(folder, ["annot.mat"], DOWNLOAD)[0]
            truth = _annotations(loaded(path, read_matlab, "MuPoTS-3D's annot.mat")["annotations"])
            occlusions = loaded(part(folder, ["occlusion.mat"], DOWNLOAD)[0], read_matlab, "its occlusion.mat")
            hidden = _occlusions(occlusions["occlusion_labels"])
            if hidden.shape[:2] != truth["annot2"].shape[:2]:
                raise DatasetError(
                    f"{folder}: expected occlusion.mat for the {truth['annot2'].shape[:2]} frames and people of "
                    f"annot.mat, got {hidden.shape[:2]}; fetch both anew."
                )
            valid = truth["isValidFrame"]
            camera = fitted_camera(truth["annot3"][valid].reshape(-1, 3), truth["annot2"][valid].reshape(-1, 2), path)
            self._sequences[number] = truth | {"hidden": hidden, "camera": camera}
        self._frames = [
            (number, int(frame))
            for number, truth in self._sequences.items()
            for frame in np.flatnonzero(truth["isValidFrame"].any(1))
        ]
        self.tracks = runs(self._frames)

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> Sample:
        number, frame = self._frames[index]
        truth = self._sequences[number]
        path = self.root / f"TS{number}" / f"img_{frame:06d}.jpg"
        photo = calibrated_photo(path, truth["camera"], "fitted to the dataset's 3D and 2D labels")
        pixels, points, hidden = (truth[field][frame] for field in ("annot2", self.field, "hidden"))
        people = tuple(
            person_3d(10 * number + i, MPI_INF_3DHP17, photo.size, pixels[i], points[i], hidden=hidden[i])
            for i in np.flatnonzero(truth["isValidFrame"][frame]).tolist()
        )
        people = tuple(replace(person, metric=self.field == "annot3") for person in people)
        return Sample(photo, people, f"TS{number}/{frame:06d}", f"TS{number}", frame)


def _annotations(entry: Entry) -> dict[str, Any]:
    """A video's labels, frames x people x 17: pixels, metres (in the file millimetres) and which are valid."""
    people = [[struct(cell) for cell in row] for row in _rows(entry)]

    def numbers(name: str, *shape: int) -> np.ndarray:
        found = [[person[name].numbers(*shape, nan=True) for person in row] for row in people]
        return np.swapaxes(np.array(found), -1, -2)  # stored as 2 x 17 and 3 x 17

    valid = numbers("isValidFrame", 1, 1)[..., 0, 0] > 0
    truth = {"annot2": numbers("annot2", 2, 17)}
    truth |= {name: numbers(name, 3, 17) / 1000 for name in ("annot3", "univ_annot3")}
    if not all(np.isfinite(values[valid]).all() for values in truth.values()):
        raise entry.wrong("finite points of the people who are valid")
    return truth | {"isValidFrame": valid}


def _occlusions(entry: Entry) -> np.ndarray:
    """Frames x people x 17, 1 where a joint is hidden."""
    return np.array([[cell.numbers(17) > 0 for cell in row] for row in _rows(entry)]) * 1.0


def _rows(entry: Entry) -> list[list[Entry]]:
    """The cells of a cell array of frames x people, row by row."""
    listed = cells(entry)
    if not listed or entry.value.ndim != 2:
        raise entry.wrong("cells of frames x people")
    frames = len(entry.value)
    return [listed[frame::frames] for frame in range(frames)]
