"""CMU Panoptic (Joo et al., ICCV 2015): groups in a dome full of cameras, skeletons triangulated from all of them.

Reads a folder per sequence, as panoptic-toolbox downloads and unpacks it: `calibration_<sequence>.json`,
`hdPose3d_stage1_coco19/body3DScene_00000000.json` (or `hdPose3d_stage1/`: the mafia sequences and some others have only
the older 15 joints) and the extracted frames `hdImgs/00_16/00_16_00000000.jpg`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from humesh.body.joints import PANOPTIC15, PANOPTIC19
from humesh.data.datasets.labels import person_3d
from humesh.data.datasets.reader import DatasetError, Entry, Files, PhotoDataset, runs, stored_photo
from humesh.data.sample import LabelledPerson, Sample
from humesh.geometry.camera import Camera
from humesh.media.photo import Photo

ACTIVITIES = {
    "haggling": ("160226_haggling1", "160422_haggling1"),
    "mafia": ("160226_mafia1", "160422_mafia2"),
    "ultimatum": ("160226_ultimatum1", "160422_ultimatum1"),
    "pizza": ("160906_pizza1",),
}
"""The test split: the sequences of the activities that multi-person tables are measured on, as SMAP's authors name them
(ECCV 2020, in their issues 1 and 24) for the 9,600 photos of Zanfir et al. (CVPR 2018): of each activity 2,400, evenly
spread, cameras 16 and 30. Whether JOTR's and 3DCrowdNet's numbers are of the same photos is unknown."""
_TEST = {name for names in ACTIVITIES.values() for name in names}
_CAMERAS = {"train": (3, 6, 12, 13, 23), "test": (16, 30)}  # ours for training: no paper here names its cameras


class CmuPanoptic(PhotoDataset):
    """Extracted frames of HD cameras, perhaps of nobody; joints without confidence have weight 0.

    Test: the sequences of an `activity` of `ACTIVITIES`, cameras 16 and 30; train: all other sequences of the download,
    five other cameras. `cameras`: numbers of HD cameras. Joints: 19, or 15 where a
    sequence has no others. The lenses distort, and so 2D labels do; the camera is the pinhole without. A person keeps
    the file's `id` in a sequence; the owner warns that one person may have several.
    """

    name, splits = "CMU Panoptic", tuple(_CAMERAS)
    page = "http://domedb.perception.cs.cmu.edu"
    parts = (
        Files("*/calibration_*.json", 1, "getData.sh SEQUENCE"),
        Files("*/hdPose3d_stage1_coco19/*.json|*/hdPose3d_stage1/*.json", 1, "hdPose3d_stage1_coco19.tar"),
        Files("*/hdImgs/00_*/00_*.jpg|*/hdImgs/00_*/00_*.png", 1, "hdVideos, extracted by extractAll.sh"),
    )

    def __init__(self, root: str | Path, split: str, activity: str = "", cameras: Sequence[int] = ()) -> None:
        super().__init__(root, split)
        if split == "test" and activity not in ACTIVITIES:
            raise DatasetError(f"CMU Panoptic: expected one of {', '.join(ACTIVITIES)}, got {activity!r}.")
        if split == "train" and activity:
            raise DatasetError(f"CMU Panoptic: expected training sequences, got {activity}, which is measured on.")
        there = [path.parent.name for path in self.files("*/calibration_*.json")]
        names = ACTIVITIES[activity] if activity else tuple(sorted(set(there) - _TEST))
        if not names:
            raise DatasetError(
                f"{self.root}: expected sequences to train on, found only those of the test ({', '.join(there)})."
            )
        if missing := sorted(set(names) - set(there)):
            raise DatasetError(
                f"{self.root}: expected {', '.join(missing)}, found {', '.join(there[:6])}; fetch with getData.sh."
            )
        rows = list[tuple[str, str, int, Path, Path]]()  # sequence, camera, frame, image, labels
        self._cameras = dict[str, dict[str, Entry]]()
        for name in names:
            path = self.root / name / f"calibration_{name}.json"
            listed = Entry.json(path, "a calibration of its HD cameras")["cameras"]
            known = {camera["name"].text(): camera for camera in listed if camera["type"].text() == "hd"}
            self._cameras[name] = known
            labels = self._numbered(name, *(f"hdPose3d_stage1{kind}/body3DScene_*.json" for kind in ("_coco19", "")))
            for camera in (f"00_{number:02d}" for number in cameras or _CAMERAS[split]):
                if camera not in known:
                    raise DatasetError(f"{path}: expected the HD camera {camera}, it is not there.")
                images = self._numbered(name, f"hdImgs/{camera}/{camera}_*.jpg", f"hdImgs/{camera}/{camera}_*.png")
                frames = sorted(images.keys() & labels.keys())
                rows += [(name, camera, frame, images[frame], labels[frame]) for frame in frames]
        self.rows = rows
        self.tracks = runs([(f"{name}/{camera}", frame) for name, camera, frame, _, _ in rows])

    def _numbered(self, name: str, *patterns: str) -> dict[int, Path]:
        """A sequence's files by their frames."""
        named = ((path.stem.rpartition("_")[2], path) for path in self.files(*patterns, folder=self.root / name))
        return {int(number): path for number, path in named if number.isdecimal()}

    def __getitem__(self, index: int) -> Sample:
        """The photo with the people who have a joint in it."""
        name, camera, frame, image, path = self.rows[index]
        view = self._cameras[name][camera]
        photo = stored_photo(image, view["K"].camera())
        bodies = Entry.json(path, "bodies of 19 or 15 joints")["bodies"]
        first = 1000 * sorted(self._cameras).index(name)
        people = (_person(body, first + body["id"].integer(), view, photo) for body in bodies)
        visible = tuple(person for person in people if person is not None)
        return Sample(photo, visible, f"{name}/{camera}/{frame:08d}", f"{name}/{camera}", frame)


def _person(body: Entry, identity: int, view: Entry, photo: Photo) -> LabelledPerson | None:
    """A person, None where no joint is in the photo."""
    joint_set = PANOPTIC19 if body.get("joints19") is not None else PANOPTIC15
    joints = body[f"joints{len(joint_set)}"].numbers(len(joint_set), 4)
    points = joints[:, :3] / 100 @ view["R"].numbers(3, 3).T + view["t"].numbers(3) / 100  # centimetres in the file
    known = ((joints[:, 3] > 0) & (points[:, 2] > 0.1)).astype(np.float64)  # behind the camera there are no pixels
    size, pinhole = np.array(photo.size), photo.camera.project(torch.from_numpy(points)).numpy()
    # Far outside the photo the lens's polynomial folds points back into it; there the pinhole's pixels stand.
    near = np.all(np.abs(pinhole - size / 2) < size, axis=-1)
    pixels = np.where(near[:, None], distorted(points, photo.camera, view["distCoef"].numbers(5)), pinhole)
    inside = ((pixels >= 0) & (pixels < size)).all(-1) & (known > 0)
    return person_3d(identity, joint_set, photo, pixels, points, known) if inside.any() else None


def distorted(
    points: Float[np.ndarray, "K 3"], camera: Camera, coefficients: Float[np.ndarray, "5"]
) -> Float[np.ndarray, "K 2"]:
    """Pixels of points through a lens with OpenCV's coefficients k1 k2 p1 p2 k3."""
    k1, k2, p1, p2, k3 = coefficients
    x, y = (points[:, :2] / np.maximum(points[:, 2:], 1e-6)).T
    square = x * x + y * y
    radial = 1 + square * (k1 + square * (k2 + square * k3))
    bent_x = x * radial + 2 * p1 * x * y + p2 * (square + 2 * x * x)
    bent_y = y * radial + 2 * p2 * x * y + p1 * (square + 2 * y * y)
    return camera.project(torch.from_numpy(np.stack([bent_x, bent_y, np.ones_like(x)], axis=-1))).numpy()
