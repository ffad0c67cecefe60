"""MPII Human Pose (Andriluka et al., CVPR 2014), from its owner's Matlab file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.progress import track

from humesh.body.joints import MPII16
from humesh.data.datasets import DatasetError
from humesh.data.datasets.download import Download, Files
from humesh.data.datasets.entries import Entry
from humesh.data.datasets.labels import (
    below_the_head,
    box_of,
    known_split,
    loaded,
    part,
    person_2d,
    stored_photo,
    usable,
)
from humesh.data.datasets.matlab import cells, read_matlab, struct
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

    Matlab counts pixel centres from 1, so labels are moved by -0.5. The head's two points have no visibility flag. A
    person's box is the square of their height (200 px at scale 1) about the position that the owner gives. Those whose
    box is too small to cut out are left out, and those with fewer than `least_points` points below the head (see
    `people_per_photo`).
    """

    tracks: tuple[range, ...] = ()

    def __init__(self, root: str | Path, split: str, least_points: int = 0) -> None:
        known_split("MPII", split, ("train",))
        root = Path(root)
        name = "mpii_human_pose_v1_u12_1.mat"
        path = part(root, [name, f"*/{name}"], DOWNLOAD)[0]
        self.folder = part(root, ["images"], DOWNLOAD)[0]
        for file in track([path], "MPII", transient=True):  # some 20 seconds
            content = loaded(file, read_matlab, "MPII's annotations (the struct RELEASE)")
            self._photos = _labelled_photos(content, least_points)
        self.people_per_photo = [len(people) for _, people in self._photos]
        if not self._photos:
            raise DatasetError(f"{path}: expected training photos with labelled joints, found none; fetch it anew.")

    def __len__(self) -> int:
        return len(self._photos)

    def __getitem__(self, index: int) -> Sample:
        name, people = self._photos[index]
        found = (person_2d(box, at[:, :3], MPII16, identity, at[:, 3]) for identity, at, box in people)
        return Sample(stored_photo(self.folder / name), tuple(found), name)


_Person = tuple[int, np.ndarray, np.ndarray]  # identity, points K 4 (x, y, labelled, visible), box 4


def _labelled_photos(content: Entry, least_points: int) -> list[tuple[str, list[_Person]]]:
    release = struct(content["RELEASE"])
    photos, training = cells(release["annolist"]), release["img_train"].numbers(-1)
    if len(photos) != len(training):
        raise release["img_train"].wrong(f"a number for each of {len(photos)} photos")
    found = []
    for number, photo in enumerate(photos):
        annotated = _people(photo, number) if training[number] else ()
        people = [p for p in annotated if usable(p[2]) and below_the_head(p[1][:, :3], MPII16) >= least_points]
        if people:
            found.append((struct(photo["image"])["name"].path(), people))
    return found


def _people(photo: Entry, number: int) -> Iterator[_Person]:
    for place, person in enumerate(_structs(photo, "annorect")):
        points = np.zeros((len(MPII16), 4))
        for annotated in _structs(person, "annopoints"):
            for point in _structs(annotated, "point"):
                flag = point.get("is_visible")  # a number, a letter or nothing
                shown = flag is None or str(np.squeeze(flag.value)) not in ("0", "0.0")
                at = point["x"].number() - 0.5, point["y"].number() - 0.5
                points[point["id"].integer(0, len(MPII16) - 1)] = (*at, 1, shown)
        if not points[:, 2].any():
            continue
        box, middles, scale = box_of(points[:, :3]), _structs(person, "objpos"), person.get("scale")
        if middles and scale is not None and np.size(scale.value) == 1:
            middle = np.array([middles[0][axis].number() - 0.5 for axis in "xy"])
            half = 100.0 * scale.number(0.0, 1e3)
            box = np.concatenate([middle - half, middle + half])
        yield (number << 8) + place, points, box


def _structs(entry: Entry, name: str) -> list[Entry]:
    """The structs of a field, none where the field is lacking or empty."""
    field = entry.get(name)
    return [] if field is None else cells(field)
