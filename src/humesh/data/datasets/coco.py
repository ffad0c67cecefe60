"""COCO's people (2017, 2014), CrowdPose and PoseTrack18, which all come in COCO's file format."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from rich.progress import track

from humesh.body.joints import COCO17, CROWDPOSE14, POSETRACK17, JointSet
from humesh.data.datasets.labels import below_the_head, box_of, person_2d, usable
from humesh.data.datasets.reader import DatasetError, Entry, Files, PhotoDataset, runs, stored_photo
from humesh.data.sample import Sample

_Person = tuple[int, np.ndarray, np.ndarray]  # identity, box 4 (two corners), points K 3


class CocoFormat(PhotoDataset):
    """Photos of COCO-format files with all their people who have labelled points; no other photos.

    People whose box, the annotated one or else that of their points, is too small to crop are left out, and those with
    fewer than `least_points` labelled points below the head. A person's identity is the annotation's id.
    """

    joint_set: ClassVar[JointSet]
    annotation_ids = True  # side files of fits name people by them
    corner = 0.5  # COCO counts pixel centres from 0; its boxes, of outlines, are measured from the pixel's corner
    visible = 2.0  # the least flag of a point that is not hidden (0: not labelled, 1: hidden)
    least_points = 0

    def read(self, files: Sequence[Path], folder: Path) -> None:
        """Reads the label files; the photos that they name are below `folder`."""
        self.folder, by_photo = folder, defaultdict[str, list[_Person]](list)
        for number, path in enumerate(track(files, "labels", transient=True)):
            for photo, person in self._people(path, number):
                by_photo[photo].append(person)
        if not by_photo:
            raise DatasetError(f"{files[0]}: expected people with labelled points, found none; use the train labels.")
        self.rows = [
            (photo, sorted(people, key=lambda person: person[0])) for photo, people in sorted(by_photo.items())
        ]
        self.people_per_photo = [len(people) for _, people in self.rows]

    def _people(self, path: Path, file: int) -> Iterator[tuple[str, _Person]]:
        content = Entry.json(path, "a COCO-format file of labelled people")
        content.has("images", "annotations", what="a COCO-format file")
        photos = {}
        for image in content["images"]:
            labelled = image.get("is_labeled")  # PoseTrack's
            if labelled is None or labelled.value:
                photos[image["id"].integer()] = image["file_name"].path()
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
                yield photo, (self.identity(label, file), around, points.astype(np.float32))

    def identity(self, label: Entry, file: int) -> int:
        """The number of an annotation's person."""
        return label["id"].integer()

    def place(self, name: str) -> tuple[str, int]:
        """(sequence, frame) of a photo."""
        return "", 0

    def __getitem__(self, index: int) -> Sample:
        name, labelled = self.rows[index]
        people = []
        for identity, box, values in labelled:
            x, y, flag = values.astype(np.float64).T
            points = np.stack([x + self.corner, y + self.corner, (flag > 0).astype(np.float64)], axis=-1)
            people.append(person_2d(box, points, self.joint_set, identity, (flag >= self.visible).astype(np.float64)))
        return Sample(stored_photo(self.folder / name), tuple(people), name, *self.place(name))


class Coco(CocoFormat):
    """`annotations/person_keypoints_{split}{year}.json` and the photos of `{split}{year}/`, below root or `images/`."""

    name, splits, joint_set = "COCO", ("train", "val"), COCO17
    page = "https://cocodataset.org/#download"
    parts = (
        Files("annotations/person_keypoints_*.json", 2, "2017 Train/Val annotations"),
        Files("train2017/*.jpg|images/train2017/*.jpg", 118_287, "2017 Train images"),
        Files("val2017/*.jpg|images/val2017/*.jpg", 5_000, "2017 Val images", needed=False),
    )

    def __init__(self, root: str | Path, split: str, year: int = 2017, least_points: int = 0) -> None:
        super().__init__(root, split)
        self.least_points = least_points
        files = self.files(f"annotations/person_keypoints_{split}{year}.json")
        self.read(files, self.files(f"{split}{year}", f"images/{split}{year}")[0])


class CrowdPose(CocoFormat):
    """`crowdpose_{split}.json` in root or a folder of it, and `images/` (Li et al., CVPR 2019).

    Pixels and flags are taken to be COCO's, of whose photos it is partly made (from memory).
    """

    name, splits, joint_set = "CrowdPose", ("train", "val", "trainval", "test"), CROWDPOSE14
    page = "https://github.com/jeffffffli/CrowdPose"
    parts = (
        Files("**/crowdpose_train.json", 1, "annotations"),
        Files("**/crowdpose_val.json|**/crowdpose_test.json", 1, "annotations", needed=False),
        Files("images/*.jpg", 20_000, "images"),
    )

    def __init__(self, root: str | Path, split: str) -> None:
        super().__init__(root, split)
        files = self.files(f"crowdpose_{split}.json", f"*/crowdpose_{split}.json")
        self.read(files[:1], self.files("images")[0])


class PoseTrack(CocoFormat):
    """`annotations/{split}/*.json`, a file a video, and the frames that they name below root.

    A track is a run of labelled frames. Points are given in fractions of pixels from the corner, and only where they
    are visible, as flag 1; some annotations have no box (from memory; check against the owner's README). The test
    labels are not published.
    """

    name, splits, joint_set = "PoseTrack", ("train", "val"), POSETRACK17
    page = "https://posetrack.net (registration; PoseTrack18)"
    parts = (
        Files("annotations/train/*.json", 1, "annotations of PoseTrack18"),
        Files("annotations/val/*.json", 1, "annotations of PoseTrack18", needed=False),
        Files("images/train/*/*.jpg", 1, "images of PoseTrack18"),
        Files("images/val/*/*.jpg", 1, "images of PoseTrack18", needed=False),
    )
    annotation_ids, corner, visible = False, 0.0, 1.0

    def __init__(self, root: str | Path, split: str) -> None:
        super().__init__(root, split)
        self.read(self.files(f"annotations/{split}/*.json"), self.root)
        self.tracks = runs([self.place(name) for name, _ in self.rows])

    def identity(self, label: Entry, file: int) -> int:
        """One number for a track of a video."""
        return (file << 20) + label["track_id"].integer(most=(1 << 20) - 1)

    def place(self, name: str) -> tuple[str, int]:
        """`.../VIDEO/000012.jpg` is frame 12 of VIDEO."""
        path = Path(name)
        if not path.stem.isdecimal():
            raise DatasetError(f"PoseTrack: expected frames called .../VIDEO/000012.jpg, got {name}; fetch it anew.")
        return path.parent.name, int(path.stem)
