"""MPII, LSP, LSPET and Penn Action: 2D keypoints in MATLAB files, in whose pixels centres count from 1."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
from rich.progress import track

from humesh.body.joints import LSP14, MPII16, PENN13
from humesh.data.datasets.labels import below_the_head, box_about, box_of, person_2d, usable
from humesh.data.datasets.matlab import cells, read_matlab, struct
from humesh.data.datasets.reader import DatasetError, Entry, Files, PhotoDataset, loaded, runs, stored_photo
from humesh.data.sample import Sample

_Person = tuple[int, np.ndarray, np.ndarray]  # identity, points K 4 (x, y, labelled, visible), box 4


class Mpii(PhotoDataset):
    """MPII's training photos with everybody whose joints are labelled (Andriluka et al., CVPR 2014).

    The labels of the test set are not published. The head's two points have no visibility flag. A person's box is the
    square of their height (200 px at scale 1) about the position that the owner gives. People whose box is too small
    to crop are left out, and those with fewer than `least_points` points below the head.
    """

    name, splits = "MPII", ("train",)
    page = "http://human-pose.mpi-inf.mpg.de/#download"
    parts = (
        Files("mpii_human_pose_v1_u12_1.mat|*/mpii_human_pose_v1_u12_1.mat", 1, "Annotations"),
        Files("images/*.jpg", 24_900, "Images (12.9 GB)"),  # about 25,000 by the owner
    )

    def __init__(self, root: str | Path, split: str, least_points: int = 0) -> None:
        super().__init__(root, split)
        path = self.files("mpii_human_pose_v1_u12_1.mat", "*/mpii_human_pose_v1_u12_1.mat")[0]
        self.folder = self.files("images")[0]
        for file in track([path], "MPII", transient=True):  # which takes a while
            release = struct(loaded(file, read_matlab, "MPII's annotations (the struct RELEASE)")["RELEASE"])
        photos, training = cells(release["annolist"]), release["img_train"].numbers(-1)
        if len(photos) != len(training):
            raise release["img_train"].wrong(f"a number for each of {len(photos)} photos")
        rows = list[tuple[str, list[_Person]]]()
        for number in np.flatnonzero(training).tolist():
            photo = photos[number]
            people = [
                person for person in _mpii_people(photo, number)
                if usable(person[2]) and below_the_head(person[1][:, :3], MPII16) >= least_points
            ]  # fmt: skip
            if people:
                rows.append((struct(photo["image"])["name"].path(), people))
        if not rows:
            raise DatasetError(f"{path}: expected training photos with labelled joints, found none; fetch it anew.")
        self.rows, self.people_per_photo = rows, [len(people) for _, people in rows]

    def __getitem__(self, index: int) -> Sample:
        name, people = self.rows[index]
        found = (person_2d(box, at[:, :3], MPII16, identity, at[:, 3]) for identity, at, box in people)
        return Sample(stored_photo(self.folder / name), tuple(found), name)


def _mpii_people(photo: Entry, number: int) -> Iterator[_Person]:
    for place, person in enumerate(_structs(photo, "annorect")):
        points = np.zeros((len(MPII16), 4))
        for point in (point for labels in _structs(person, "annopoints") for point in _structs(labels, "point")):
            flag = point.get("is_visible")  # a number, a letter or nothing
            visible = flag is None or str(np.squeeze(flag.value)) not in ("0", "0.0")
            at = point["x"].number() - 0.5, point["y"].number() - 0.5
            points[point["id"].integer(0, len(MPII16) - 1)] = (*at, 1, visible)
        if not points[:, 2].any():
            continue
        box, middles, scale = box_of(points[:, :3]), _structs(person, "objpos"), person.get("scale")
        if middles and scale is not None and np.size(scale.value) == 1:
            box = box_about(np.array([middles[0][axis].number() - 0.5 for axis in "xy"]), scale.number(0.0, 1e3))
        yield (number << 8) + place, points, box


def _structs(entry: Entry, name: str) -> list[Entry]:
    """The structs of a field, none where the field is lacking or empty."""
    field = entry.get(name)
    return [] if field is None else cells(field)


class Leeds(PhotoDataset):
    """Photos `images/im0001.jpg` and so on, each with one person's 14 points (Johnson and Everingham).

    `joints.mat` has x, y and a flag: of LSP 3 x 14 x N (BMVC 2010), of LSPET 14 x 3 x N (CVPR 2011).
    """

    axes: ClassVar[tuple[int, int]]

    def __init__(self, root: str | Path, split: str) -> None:
        super().__init__(root, split)
        (path,) = self.files("joints.mat")
        joints = loaded(path, read_matlab, "Leeds' joints")["joints"]
        found, (rows, columns) = np.shape(joints.value), self.axes
        if len(found) != 3 or found[:2] != self.axes:
            other = "LSPET" if rows == 3 else "LSP"
            raise DatasetError(f"{path}: expected joints of {rows} x {columns} x N, got {found}; is it {other}'s?")
        numbers = joints.numbers(*found).transpose((2, 1, 0) if rows == 3 else (2, 0, 1))
        self._points, flags = numbers[..., :2] - 0.5, numbers[..., 2] > 0
        self._labelled, self._visible = (np.ones_like(flags), ~flags) if rows == 3 else (flags, flags)
        self._photos = self.files("images/im*.jpg", "images/im*.png")
        if len(self._photos) != len(numbers):
            raise DatasetError(
                f"{self.root / 'images'}: expected {len(numbers)} photos, as many as joints.mat has, found "
                f"{len(self._photos)}; unpack all of the download (LSP and LSPET into folders of their own)."
            )
        self.rows = range(len(numbers))

    def __getitem__(self, index: int) -> Sample:
        number = self.rows[index]
        labelled, visible = self._labelled[number], self._visible[number].astype(np.float64)
        points = np.concatenate([self._points[number], labelled[:, None]], axis=1, dtype=np.float64)
        person = person_2d(box_of(points), points, LSP14, number, visible)
        return Sample(stored_photo(self._photos[number]), (person,), self._photos[number].name)


class Lsp(Leeds):
    """LSP's 2,000 photos, the first half "train", the second "test", or "all".

    Its flag means that a point is hidden, though labelled (from memory; LSPET's means the opposite).
    """

    name, splits, axes = "LSP", ("train", "test", "all"), (3, 14)
    page = "https://github.com/axelcarlier/lsp (a copy; the owner's page at sam.johnson.io was closed)"
    parts = (Files("joints.mat", 1, "lsp_dataset"), Files("images/im*.jpg", 2_000, "lsp_dataset"))

    def __init__(self, root: str | Path, split: str) -> None:
        super().__init__(root, split)
        half, count = len(self.rows) // 2, len(self.rows)
        self.rows = {"train": range(half), "test": range(half, count), "all": range(count)}[split]


class Lspet(Leeds):
    """LSPET's 10,000 training photos; a point whose flag is 0 is not labelled."""

    name, splits, axes = "LSPET", ("train",), (14, 3)
    page = "https://github.com/axelcarlier/lsp (or HR-LSPET with larger photos, from the owners of UP-3D)"
    parts = (
        Files("joints.mat", 1, "lspet_dataset"),
        Files("images/im*.jpg|images/im*.png", 10_000, "lspet_dataset"),
    )

    def __init__(self, root: str | Path, split: str) -> None:
        super().__init__(root, split)
        self.rows = np.flatnonzero(self._labelled.any(-1)).tolist()


class PennAction(PhotoDataset):
    """Sports videos with 13 joints, `labels/0001.mat` and `frames/0001/000001.jpg` (Zhang et al., ICCV 2013).

    x, y and visibility are F x 13, bbox F x 4 (x0 y0 x1 y1). A point that is not visible has no place; frames without
    any point are left out. Some videos have boxes for fewer frames than they have: then the box is that of the points.
    """

    name, splits = "Penn Action", ("train", "test", "all")
    page = "https://dreamdragon.github.io/PennAction/"
    parts = (
        Files("labels/*.mat", 2_326, "Penn_Action.tar.gz"),
        Files("frames/*", 2_326, "Penn_Action.tar.gz"),
        Files("frames/*/000001.jpg", 2_326, "Penn_Action.tar.gz"),
    )

    def __init__(self, root: str | Path, split: str) -> None:
        super().__init__(root, split)
        rows = list[tuple[str, int, np.ndarray, np.ndarray]]()  # video, frame, points, box
        for path in track(self.files("labels/*.mat"), "Penn Action", transient=True):
            training, points, boxes = _penn_video(path)
            if split == "all" or (split == "train") == training:
                frames = enumerate(zip(points, boxes, strict=True), start=1)
                rows += [(path.stem, f, at, box) for f, (at, box) in frames if at[:, 2].any() and usable(box)]
        if not rows:
            raise DatasetError(f"{self.root / 'labels'}: expected videos of the split {split!r}, found none.")
        self.rows, self.tracks = rows, runs([row[:2] for row in rows])

    def __getitem__(self, index: int) -> Sample:
        video, frame, points, box = self.rows[index]
        name = f"frames/{video}/{frame:06d}.jpg"
        person = person_2d(box, points, PENN13, int(video) if video.isdecimal() else 0)
        return Sample(stored_photo(self.root / name), (person,), name, video, frame)


def _penn_video(path: Path) -> tuple[bool, np.ndarray, list[np.ndarray]]:
    """Whether a video is for training, its points F 13 3 and its boxes."""
    labels = loaded(path, read_matlab, "Penn Action's labels of a video")
    shapes = [np.shape(labels[name].value) for name in ("x", "y", "visibility")]
    if len(set(shapes)) > 1 or shapes[0][1:] != (len(PENN13),):
        raise DatasetError(f"{path}: expected x, y, visibility of F x 13, got {', '.join(map(str, shapes))}.")
    x, y, flags = (labels[name].numbers(-1, len(PENN13)) for name in ("x", "y", "visibility"))
    points = np.stack([x - 0.5, y - 0.5, (flags > 0).astype(np.float64)], axis=-1)
    boxes, given = [box_of(frame) for frame in points], labels.get("bbox")
    if given is not None:
        annotated = given.numbers(-1, 4, most=1e5, nan=True) - 0.5
        for i, box in enumerate(annotated[: len(boxes)]):
            boxes[i] = box if (box[2:] > box[:2]).all() else boxes[i]
    return labels["train"].integer(-1, 1) == 1, points, boxes
