"""MPII Human Pose (Andriluka et al., CVPR 2014), from its owner's Matlab file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from humesh.body.joints import MPII16
from humesh.data.datasets import DatasetError
from humesh.data.datasets.download import Download, Files
from humesh.data.datasets.labels import box_of, loaded, matlab, part, person_2d, stored_photo
from humesh.data.sample import Sample

DOWNLOAD = Download(
    page="http://human-pose.mpi-inf.mpg.de/#download",
    files=(
        Files("mpii_human_pose_v1_u12_1.mat|*/mpii_human_pose_v1_u12_1.mat", 1, "Annotations"),
        Files("images/*.jpg", 24_900, "Images (12.9 GB)"),  # about 25,000, the owner says
    ),
)


class Mpii:
    """The training photos with everybody whose joints are labelled; those of the test set are not published.

    Matlab counts pixel centres from 1, so labels are moved by -0.5. The head's two points have no visibility flag.
    A person's box is the square of their height (200 px at scale 1) about the position that the owner gives.
    """

    tracks: tuple[range, ...] = ()

    def __init__(self, root: str | Path) -> None:
        root = Path(root)
        name = "mpii_human_pose_v1_u12_1.mat"
        path = part(root, [name, f"*/{name}"], DOWNLOAD)[0]
        self.folder = part(root, ["images"], DOWNLOAD)[0]
        for file in track([path], "MPII", transient=True):  # some 20 seconds
            self._photos = loaded(file, _labelled_photos, "MPII's annotations (the struct RELEASE)")
        if not self._photos:
            raise DatasetError(f"{path}: expected training photos with labelled joints, found none; fetch it anew.")

    def __len__(self) -> int:
        return len(self._photos)

    def __getitem__(self, index: int) -> Sample:
        name, people = self._photos[index]
        found = (person_2d(box, at[:, :3], MPII16, identity, at[:, 3]) for identity, at, box in people)
        return Sample(stored_photo(self.folder / name), tuple(found), name)


_Person = tuple[int, np.ndarray, np.ndarray]  # identity, points K 4 (x, y, labelled, visible), box 4


def _labelled_photos(path: Path) -> list[tuple[str, list[_Person]]]:
    release = matlab(path).loadmat(path, struct_as_record=False, squeeze_me=True)["RELEASE"]
    found = []
    for number, (photo, training) in enumerate(zip(_list(release.annolist), _list(release.img_train), strict=True)):
        people = list(_people(photo, number)) if training else []
        if people:
            found.append((str(photo.image.name), people))
    return found


def _people(photo: Any, number: int) -> Iterator[_Person]:
    for place, person in enumerate(_list(getattr(photo, "annorect", None))):
        points = np.zeros((len(MPII16), 4))
        for point in _list(getattr(getattr(person, "annopoints", None), "point", None)):
            flag = getattr(point, "is_visible", 1)
            shown = 1.0 if np.size(flag) == 0 else float(str(flag) != "0")
            points[int(point.id)] = (float(point.x) - 0.5, float(point.y) - 0.5, 1, shown)
        if not points[:, 2].any():
            continue
        box = box_of(points[:, :3])
        if hasattr(getattr(person, "objpos", None), "x") and np.size(getattr(person, "scale", ())) == 1:
            x, y, half = person.objpos.x - 0.5, person.objpos.y - 0.5, 100.0 * person.scale
            box = np.array([x - half, y - half, x + half, y + half])
        yield (number << 8) + place, points, box


def _list(value: Any) -> list[Any]:
    """What Matlab's squeezing made of a list: itself, its only element, or nothing."""
    if value is None or (isinstance(value, np.ndarray) and value.size == 0):
        return []
    return list(value) if isinstance(value, np.ndarray) else [value]
