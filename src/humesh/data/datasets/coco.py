"""MSCOCO's people (2017, 2014), and the reader of its file format, in which CrowdPose and PoseTrack come too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.progress import track

from humesh.body.joints import COCO17, JointSet
from humesh.data.datasets import DatasetError
from humesh.data.datasets.download import Download, Files
from humesh.data.datasets.entries import Entry, json_entry
from humesh.data.datasets.labels import below_the_head, box_of, known_split, part, person_2d, stored_photo, usable
from humesh.data.sample import LabelledPerson, Sample

DOWNLOAD = Download(
    page="https://cocodataset.org/#download",
    files=(
        Files("annotations/person_keypoints_*.json", 2, "2017 Train/Val annotations"),
        Files("train2017/*.jpg|images/train2017/*.jpg", 118_287, "2017 Train images"),
        Files("val2017/*.jpg|images/val2017/*.jpg", 5_000, "2017 Val images", needed=False),
    ),
)


_Row = tuple[str, int, np.ndarray, np.ndarray]  # photo, identity, box 4 (two corners), points K 3


class CocoFormat:
    """Photos of COCO-format files with all their people who have labelled points; nobody else's photos.

    People whose box, the annotated one or else that of their points, is too small to cut out are left out, and those
    with fewer than `least_points` labelled points below the head (`people_per_photo`). `corner` moves labels into
    pixels whose corner is (0, 0): COCO counts pixel centres from 0, so 0.5; its boxes, of outlines, are measured from
    the corner. `shown`: the visibility flag from which a point is not hidden (COCO: 0 not labelled, 1 hidden, 2
    visible). A person's identity is the annotation's id.
    """

    tracks: tuple[range, ...] = ()
    annotation_ids = True  # of people, as side files of fits name them

    def __init__(
        self,
        files: Sequence[Path],
        folder: Path,
        joint_set: JointSet,
        corner: float = 0.5,
        shown: float = 2.0,
        least_points: int = 0,
    ) -> None:
        self.folder, self.joint_set, self.corner, self.shown = folder, joint_set, corner, shown
        self.least_points = least_points
        rows = []
        for number, path in enumerate(track(files, "labels", transient=True)):
            rows += self._rows(path, number)
        rows.sort(key=lambda row: row[:2])
        if not rows:
            raise DatasetError(f"{files[0]}: expected people with labelled points, found none; use the train labels.")
        self._identities = np.array([row[1] for row in rows], dtype=np.int64)
        self._boxes = np.array([row[2] for row in rows])
        self._points = np.array([row[3] for row in rows], dtype=np.float32)
        names = [row[0] for row in rows]
        self._starts = [i for i, name in enumerate(names) if not i or name != names[i - 1]]
        self.names = tuple(names[i] for i in self._starts)
        self._starts.append(len(rows))
        self.people_per_photo = np.diff(self._starts).tolist()

    def _rows(self, path: Path, number: int) -> list[_Row]:
        """Every annotation of one file that has points."""
        content = json_entry(path, "a COCO-format file of labelled people")
        content.has("images", "annotations", what="a COCO-format file")
        photos = {image["id"].integer(): image["file_name"].path() for image in content["images"] if self.wanted(image)}
        rows = []
        for label in content["annotations"]:
            keypoints, crowd, box = (label.get(key) for key in ("keypoints", "iscrowd", "bbox"))
            photo = photos.get(label["image_id"].integer())
            if photo is None or keypoints is None or (crowd is not None and crowd.integer()):
                continue
            points = keypoints.numbers(-1, 3)
            if not (points[:, 2] > 0).any():
                continue
            if len(points) != len(self.joint_set):
                expected = f"{len(self.joint_set)} points of {self.joint_set.name}"
                raise DatasetError(f"{path}: expected {expected} a person, got {len(points)}; use its own reader.")
            around = box.box(corners=False) if box is not None and box.value else np.zeros(4)
            if not (around[2:] - around[:2] > 1).all():
                around = box_of(points + np.array([self.corner, self.corner, 0.0]))
            if usable(around) and below_the_head(points, self.joint_set) >= self.least_points:
                rows.append((photo, self.identity(label, number), around, points))
        return rows

    def wanted(self, image: Entry) -> bool:
        """Whether a photo of the file is to be read."""
        return True

    def identity(self, label: Entry, number: int) -> int:
        """The number of an annotation's person; `number`: that of the file."""
        return label["id"].integer()

    def place(self, name: str) -> tuple[str, int]:
        """(sequence, frame) of a photo."""
        return "", 0

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        name, people = self.names[index], range(self._starts[index], self._starts[index + 1])
        sequence, frame = self.place(name)
        photo = stored_photo(self.folder / name)
        return Sample(photo, tuple(self._person(i) for i in people), name, sequence, frame)

    def _person(self, number: int) -> LabelledPerson:
        x, y, flag = self._points[number].astype(np.float64).T
        points = np.stack([x + self.corner, y + self.corner, (flag > 0).astype(np.float64)], axis=-1)
        identity = int(self._identities[number])
        return person_2d(self._boxes[number], points, self.joint_set, identity, (flag >= self.shown).astype(np.float64))


class Coco(CocoFormat):
    """`annotations/person_keypoints_{split}{year}.json` and the photos of `{split}{year}/`, below root or `images/`."""

    def __init__(self, root: str | Path, split: str, year: int = 2017, least_points: int = 0) -> None:
        root, split = Path(root), known_split("COCO", split, ("train", "val"))
        files = part(root, [f"annotations/person_keypoints_{split}{year}.json"], DOWNLOAD)
        folder = part(root, [f"{split}{year}", f"images/{split}{year}"], DOWNLOAD)[0]
        super().__init__(files, folder, COCO17, least_points=least_points)
