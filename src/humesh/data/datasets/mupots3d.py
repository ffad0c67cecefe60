"""MuPoTS-3D (Mehta et al., 3DV 2018): 20 videos of two or three people, in studios and outdoors; a test set.

Reads `TS1` ... `TS20` (also below `MultiPersonTestSet/`): `annot.mat`, `occlusion.mat` and `img_000000.jpg`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from humesh.body.joints import MPI_INF_3DHP17
from humesh.data.datasets import DatasetError
from humesh.data.datasets.download import Download, Files
from humesh.data.datasets.labels import loaded, matlab, part, runs
from humesh.data.datasets.labels3d import calibrated_photo, fitted_camera, person_3d
from humesh.data.sample import Sample

DOWNLOAD = Download(
    page="https://vcai.mpi-inf.mpg.de/projects/SingleShotMultiPerson/",
    files=(
        Files("TS*/annot.mat|MultiPersonTestSet/TS*/annot.mat", 20, "mupots-3d-eval"),
        Files("TS*/occlusion.mat|MultiPersonTestSet/TS*/occlusion.mat", 20, "mupots-3d-eval"),
        Files("TS*/img_*.jpg|MultiPersonTestSet/TS*/img_*.jpg", 1, "MultiPersonTestSet"),
    ),
)

_FIELDS = ("annot2", "annot3", "univ_annot3", "isValidFrame")


class MuPoTS3D:
    """MuPoTS-3D's frames with at least one valid person, in the order of the files; its 17 joints, hidden ones marked.

    `universal`: points in 3D are `univ_annot3` (skeletons of one height, which the benchmark scores), else `annot3`
    (the measured ones, which also tell where people stand). The owner gives no intrinsics: each video's camera is
    fitted to its pairs of `annot3` and `annot2`. `sequences`: numbers of the videos.
    """

    def __init__(
        self, root: str | Path, universal: bool = True, sequences: Sequence[int] = tuple(range(1, 21))
    ) -> None:
        (first, *_) = part(Path(root), ["TS*/annot.mat", "MultiPersonTestSet/TS*/annot.mat"], DOWNLOAD)
        self.root, self.field = first.parent.parent, "univ_annot3" if universal else "annot3"
        self._sequences = {}
        for number in sequences:
            folder = self.root / f"TS{number}"
            said = loaded(part(folder, ["annot.mat"], DOWNLOAD)[0], _annotations, "MuPoTS-3D's annot.mat")
            hidden = loaded(part(folder, ["occlusion.mat"], DOWNLOAD)[0], _occlusions, "its occlusion.mat")
            if hidden.shape[:2] != said["annot2"].shape[:2]:
                raise DatasetError(
                    f"{folder}: expected occlusion.mat for the {said['annot2'].shape[:2]} frames and people of "
                    f"annot.mat, got {hidden.shape[:2]}; fetch both anew."
                )
            valid = said["isValidFrame"]
            camera = fitted_camera(said["annot3"][valid].reshape(-1, 3), said["annot2"][valid].reshape(-1, 2))
            self._sequences[number] = said | {"hidden": hidden, "camera": camera}
        self._frames = [
            (number, int(frame))
            for number, said in self._sequences.items()
            for frame in np.flatnonzero(said["isValidFrame"].any(1))
        ]
        self.tracks = runs(self._frames)

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> Sample:
        number, frame = self._frames[index]
        said = self._sequences[number]
        path = self.root / f"TS{number}" / f"img_{frame:06d}.jpg"
        photo = calibrated_photo(path, said["camera"], "fitted to the dataset's 3D and 2D labels")
        pixels, points, hidden = (said[field][frame] for field in ("annot2", self.field, "hidden"))
        people = tuple(
            person_3d(10 * number + i, MPI_INF_3DHP17, photo.size, pixels[i], points[i], hidden=hidden[i])
            for i in np.flatnonzero(said["isValidFrame"][frame]).tolist()
        )
        return Sample(photo, people, f"TS{number}/{frame:06d}", f"TS{number}", frame)


def _annotations(path: Path) -> dict[str, Any]:
    """A video's labels, frames x people x 17: pixels, metres (in the file millimetres) and which are valid."""
    cells = matlab(path).loadmat(path)["annotations"]
    said: dict[str, Any] = {
        name: np.stack([np.stack([np.asarray(cell[name][0, 0], dtype=np.float64) for cell in row]) for row in cells])
        for name in _FIELDS
    }
    said = {name: np.swapaxes(values, -1, -2) for name, values in said.items()}  # stored as 2 x 17 and 3 x 17
    for name in ("annot3", "univ_annot3"):
        said[name] = said[name] / 1000
    said["isValidFrame"] = said["isValidFrame"].reshape(cells.shape) > 0
    return said


def _occlusions(path: Path) -> np.ndarray:
    """Frames x people x 17, 1 where a joint is hidden."""
    cells = matlab(path).loadmat(path)["occlusion_labels"]
    return np.stack([np.stack([np.asarray(cell, dtype=np.float64).ravel() > 0 for cell in row]) for row in cells]) * 1.0
