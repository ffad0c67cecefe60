"""CMU Panoptic (Joo et al., ICCV 2015): groups in a dome full of cameras, skeletons triangulated from all of them.

Reads a folder per sequence, as panoptic-toolbox downloads and unpacks it: `calibration_<sequence>.json`,
`hdPose3d_stage1_coco19/body3DScene_00000000.json` (or `hdPose3d_stage1/`: the mafia sequences and some others have only
the older 15 joints) and the extracted frames `hdImgs/00_16/00_16_00000000.jpg`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from humesh.body.joints import PANOPTIC15, PANOPTIC19
from humesh.data.datasets import DatasetError
from humesh.data.datasets.download import Download, Files
from humesh.data.datasets.entries import Entry, json_entry
from humesh.data.datasets.labels import known_split, part, runs
from humesh.data.datasets.labels3d import calibrated, calibrated_photo, person_3d, projected
from humesh.data.sample import LabelledPerson, Sample
from humesh.geometry.camera import Camera

DOWNLOAD = Download(
    page="http://domedb.perception.cs.cmu.edu",
    files=(
        Files("*/calibration_*.json", 1, "getData.sh SEQUENCE"),
        Files("*/hdPose3d_stage1_coco19/*.json|*/hdPose3d_stage1/*.json", 1, "hdPose3d_stage1_coco19.tar"),
        Files("*/hdImgs/00_*/00_*.jpg|*/hdImgs/00_*/00_*.png", 1, "hdVideos, extracted by extractAll.sh"),
    ),
)

ACTIVITIES = {
    "haggling": ("160226_haggling1", "160422_haggling1"),
    "mafia": ("160226_mafia1", "160422_mafia2"),
    "ultimatum": ("160226_ultimatum1", "160422_ultimatum1"),
    "pizza": ("160906_pizza1",),
}
"""The test split: the sequences of the activities that multi-person tables are measured on, as SMAP's authors name them
(ECCV 2020, in their issues 1 and 24) for the 9,600 photos of Zanfir et al. (CVPR 2018): of each activity 2,400, evenly
spread, cameras 16 and 30. That JOTR's and 3DCrowdNet's numbers are of the same photos is not said."""
_TEST = {name for names in ACTIVITIES.values() for name in names}
_CAMERAS = {"train": (3, 6, 12, 13, 23), "test": (16, 30)}  # ours for training: no paper here names its cameras


class CmuPanoptic:
    """Extracted frames of HD cameras, perhaps of nobody; joints without confidence weigh nothing.

    Test: the sequences of an `activity` of `ACTIVITIES`, cameras 16 and 30; train: all other sequences of the download,
    five other cameras. `sequences`: these names instead, for training none of the test's. `cameras`: numbers of HD
    cameras. `every`: takes each such frame; `count`: of these so many a sequence and camera, evenly spread. `joints`:
    19 or 15, None: 19 where a sequence has them. The lenses distort, and so 2D labels do; the camera is the pinhole
    without. A person keeps the file's `id` in a sequence; the owner warns that one person may have several.
    """

    def __init__(
        self,
        root: str | Path,
        split: str,
        activity: str = "",
        sequences: Sequence[str] = (),
        cameras: Sequence[int] = (),
        every: int = 1,
        count: int | None = None,
        joints: int | None = None,
    ) -> None:
        known_split("CMU Panoptic", split, _CAMERAS)
        if split == "test" and not sequences and activity not in ACTIVITIES:
            raise DatasetError(f"CMU Panoptic: expected one of {', '.join(ACTIVITIES)}, got {activity!r}.")
        tested = sorted({activity} - {""} | _TEST & set(sequences))
        if split == "train" and tested:
            raise DatasetError(f"CMU Panoptic: expected training sequences, got {tested[0]}, which is measured on.")
        self.root = Path(root)
        there = [path.parent.name for path in part(self.root, ["*/calibration_*.json"], DOWNLOAD)]
        others = tuple(sorted(set(there) - _TEST))
        names = tuple(sequences) or (ACTIVITIES[activity] if split == "test" else others)
        if not names:
            raise DatasetError(
                f"{self.root}: expected sequences to train on, found only those of the test ({', '.join(there)})."
            )
        if missing := sorted(set(names) - set(there)):
            raise DatasetError(
                f"{self.root}: expected {', '.join(missing)}, found {', '.join(there[:6])}; fetch with getData.sh, or "
                "say with `sequences` which to read."
            )
        self._cameras = {
            name: _cameras(json_entry(self._calibration(name), "a calibration of its HD cameras")) for name in names
        }
        folders = {19: "hdPose3d_stage1_coco19", 15: "hdPose3d_stage1"}
        wanted = [f"{folders[n]}/body3DScene_*.json" for n in ((19, 15) if joints is None else (joints,))]
        self._frames: list[tuple[str, str, int, Path, Path]] = []  # sequence, camera, frame, image, labels
        for name in names:
            labels = self._numbered(name, wanted)
            for camera in (f"00_{camera:02d}" for camera in cameras or _CAMERAS[split]):
                if camera not in self._cameras[name]:
                    raise DatasetError(f"{self._calibration(name)}: expected the HD camera {camera}, it is not there.")
                images = self._numbered(name, [f"hdImgs/{camera}/{camera}_*.{kind}" for kind in ("jpg", "png")])
                frames = [frame for frame in sorted(images.keys() & labels.keys()) if frame % every == 0]
                if count is not None and count < len(frames):
                    frames = [frames[i * len(frames) // count] for i in range(count)]
                self._frames += [(name, camera, frame, images[frame], labels[frame]) for frame in frames]
        self.tracks = runs([(f"{name}/{camera}", frame) for name, camera, frame, _, _ in self._frames], every)

    def _numbered(self, name: str, patterns: Sequence[str]) -> dict[int, Path]:
        """A sequence's files by their frames."""
        named = ((path.stem.rpartition("_")[2], path) for path in part(self.root / name, patterns, DOWNLOAD))
        return {int(number): path for number, path in named if number.isdecimal()}

    def _calibration(self, name: str) -> Path:
        return self.root / name / f"calibration_{name}.json"

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> Sample:
        """The photo with the people of whom the camera sees a joint at least."""
        name, camera, frame, image, path = self._frames[index]
        seen_from = self._cameras[name][camera]
        photo = calibrated_photo(image, seen_from["camera"])
        entry = json_entry(path, "bodies of 19 or 15 joints")["bodies"]
        first = 1000 * sorted(self._cameras).index(name)
        people = (_person(body, first + body["id"].integer(), seen_from, photo.size) for body in entry)
        shown = tuple(person for person in people if person is not None)
        return Sample(photo, shown, f"{name}/{camera}/{frame:08d}", f"{name}/{camera}", frame)


def _cameras(calibration: Entry) -> dict[str, dict[str, Any]]:
    """The HD cameras of a calibration by name; their translations are centimetres."""
    return {
        entry["name"].text(): {
            "camera": calibrated(entry["K"].intrinsics()), "R": entry["R"].numbers(3, 3),
            "t": entry["t"].numbers(3) / 100, "distCoef": entry["distCoef"].numbers(5),
        }
        for entry in calibration["cameras"]
        if entry["type"].text() == "hd"
    }  # fmt: skip


def _person(body: Entry, identity: int, seen_from: dict[str, Any], size: tuple[int, int]) -> LabelledPerson | None:
    """A person, None where no joint is in the photo."""
    joint_set = PANOPTIC19 if body.get("joints19") is not None else PANOPTIC15
    joints = body[f"joints{len(joint_set)}"].numbers(len(joint_set), 4)
    points = joints[:, :3] / 100 @ seen_from["R"].T + seen_from["t"]  # centimetres in the file
    known = ((joints[:, 3] > 0) & (points[:, 2] > 0.1)).astype(np.float64)  # behind the camera there are no pixels
    pinhole = projected(seen_from["camera"], points)
    # Far outside the photo the lens's polynomial folds points back into it; there the pinhole's pixels stand.
    near = np.all(np.abs(pinhole - np.array(size) / 2) < np.array(size), axis=-1)
    pixels = np.where(near[:, None], distorted(points, seen_from["camera"], seen_from["distCoef"]), pinhole)
    inside = ((pixels >= 0) & (pixels < np.array(size))).all(-1) & (known > 0)
    return person_3d(identity, joint_set, size, pixels, points, known) if inside.any() else None


def distorted(
    points: Float[np.ndarray, "K 3"], camera: Camera, coefficients: Float[np.ndarray, "5"]
) -> Float[np.ndarray, "K 2"]:
    """Pixels of points seen through a lens with OpenCV's coefficients k1 k2 p1 p2 k3."""
    k1, k2, p1, p2, k3 = coefficients
    x, y = (points[:, :2] / np.maximum(points[:, 2:], 1e-6)).T
    square = x * x + y * y
    radial = 1 + square * (k1 + square * (k2 + square * k3))
    bent_x = x * radial + 2 * p1 * x * y + p2 * (square + 2 * x * x)
    bent_y = y * radial + 2 * p2 * x * y + p1 * (square + 2 * y * y)
    return projected(camera, np.stack([bent_x, bent_y, np.ones_like(x)], axis=-1))
