"""Leeds Sports Pose and its extended training set (Johnson and Everingham, BMVC 2010 and CVPR 2011)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from humesh.body.joints import LSP14
from humesh.data.datasets import DatasetError
from humesh.data.datasets.download import Download, Files
from humesh.data.datasets.labels import box_of, known_split, loaded, part, person_2d, stored_photo
from humesh.data.datasets.matlab import read_matlab
from humesh.data.sample import Sample

_PAGE = "https://github.com/axelcarlier/lsp (a copy; the owner's page at sam.johnson.io was closed)"
DOWNLOAD = Download(_PAGE, (Files("joints.mat", 1, "lsp_dataset"), Files("images/im*.jpg", 2_000, "lsp_dataset")))
LSPET_DOWNLOAD = Download(
    "https://github.com/axelcarlier/lsp (or HR-LSPET with larger photos, from the owners of UP-3D)",
    (Files("joints.mat", 1, "lspet_dataset"), Files("images/im*.jpg|images/im*.png", 10_000, "lspet_dataset")),
)


class Leeds:
    """Photos `images/im0001.jpg` and so on, each with one person's points N 14 3: x, y px from Matlab's 1, flag."""

    tracks: tuple[range, ...] = ()

    def __init__(
        self, root: Path, points: Float[np.ndarray, "N 14 3"], download: Download, split: Sequence[int]
    ) -> None:
        self._photos = part(root, ["images/im*.jpg", "images/im*.png"], download)
        if len(self._photos) != len(points):
            raise DatasetError(
                f"{root / 'images'}: expected {len(points)} photos, as many as joints.mat has, found "
                f"{len(self._photos)}; unpack the download whole (LSP and LSPET into folders of their own)."
            )
        self._points, self._split = points, split

    def __len__(self) -> int:
        return len(self._split)

    def __getitem__(self, index: int) -> Sample:
        number = self._split[index]
        points = self._points[number] - [0.5, 0.5, 0]
        labelled = np.concatenate([points[:, :2], (points[:, 2:] > 0).astype(np.float64)], axis=1)
        person = person_2d(box_of(labelled), labelled, LSP14, number, (points[:, 2] > 1).astype(np.float64))
        return Sample(stored_photo(self._photos[number]), (person,), self._photos[number].name)


class Lsp(Leeds):
    """LSP's 2,000 photos, the first half "train", the second "test", or "all".

    Its flag says that a point is hidden, though labelled (from memory; that of LSPET says the opposite).
    """

    def __init__(self, root: str | Path, split: str) -> None:
        root = Path(root)
        joints = _joints(root, DOWNLOAD, (3, 14)).transpose(2, 1, 0)
        half = len(joints) // 2
        halves = {"train": range(half), "test": range(half, len(joints)), "all": range(len(joints))}
        known_split("LSP", split, halves)
        flag = np.where(joints[..., 2:] > 0, 1, 2)  # 1: labelled, 2: visible too
        super().__init__(root, np.concatenate([joints[..., :2], flag], axis=-1), DOWNLOAD, halves[split])


class Lspet(Leeds):
    """LSPET's 10,000 training photos; a point whose flag is 0 is not labelled."""

    def __init__(self, root: str | Path, split: str) -> None:
        known_split("LSPET", split, ("train",))
        root = Path(root)
        joints = _joints(root, LSPET_DOWNLOAD, (14, 3)).transpose(2, 0, 1)
        known = np.flatnonzero((joints[..., 2] > 0).any(-1))
        flag = np.where(joints[..., 2:] > 0, 2, 0)
        points = np.concatenate([joints[..., :2], flag], axis=-1)
        super().__init__(root, points, LSPET_DOWNLOAD, known.tolist())


def _joints(root: Path, download: Download, shape: tuple[int, int]) -> np.ndarray:
    path = part(root, ["joints.mat"], download)[0]
    joints = loaded(path, read_matlab, "Leeds' joints")["joints"]
    found = np.shape(joints.value)
    if len(found) != 3 or found[:2] != shape:
        other = "LSPET" if shape == (3, 14) else "LSP"
        raise DatasetError(f"{path}: expected joints of {shape[0]} x {shape[1]} x N, got {found}; is it {other}'s?")
    return joints.numbers(*found)
