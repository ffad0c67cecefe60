"""Human3.6M (Ionescu et al., TPAMI 2014) with the SMPL fits and selections of the common .npz files.

Reads a label file of the SPIN family, `h36m_train.npz` / `h36m_valid_protocol1.npz` / `h36m_valid_protocol2.npz` or
`h36m_mosh_train.npz` / `h36m_mosh_valid_p2.npz`, whose `imgname` names frames of the videos extracted below the same
folder or its `images/`, like `S9_Directions_1.60457274_000001.jpg`. Optionally the cameras of 3DMPPE's
`annotations/Human36M_subject9_camera.json`. The layout of these files is from memory and from readers of others.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from humesh.body.joints import H36M17, SPIN24
from humesh.data.datasets import DatasetError
from humesh.data.datasets.entries import Entry, json_entry
from humesh.data.datasets.labels import box_about, person_3d, pinhole, smpl_label, with_smpl
from humesh.data.datasets.reader import Download, Files, PhotoDataset, runs, stored_photo
from humesh.data.sample import Sample
from humesh.files import Array, read_arrays
from humesh.geometry.absolute import solved_offset
from humesh.geometry.camera import Camera

SUBJECTS = {"train": (1, 5, 6, 7, 8), "test": (9, 11)}
CAMERAS = ("54138969", "55011271", "58860488", "60457274")
"""Human3.6M's cameras, in the order of 3DMPPE's numbers 1 to 4; protocol 2 measures on the last, the frontal one."""

_FILES = {
    ("train", None): ("h36m_train.npz", "h36m_mosh_train.npz"),
    ("test", 1): ("h36m_valid_protocol1.npz",),
    ("test", 2): ("h36m_valid_protocol2.npz", "h36m_mosh_valid_p2.npz", "h36m_valid_protocol1.npz"),
}
_LAYOUT = {
    "imgname": Array(("N",), "text"), "center": Array(("N", 2), "float"), "scale": Array(("N",), "float"),
    "part": Array(("N", 24, 3), "float"), "S": Array(("N", 24, 4), "float"),
    "pose": Array(("N", 72), "float", optional=True), "shape": Array(("N", 10), "float", optional=True),
    "gender": Array(("N",), "text", optional=True),
}  # fmt: skip
_GENDERS = {"m": "smpl-male", "f": "smpl-female"}
_NAME = re.compile(r"(?P<video>S(?P<subject>\d+)_(?P<action>[^/]+)\.(?P<camera>\d{8}))_(?P<frame>\d+)\.(jpg|png)$")
# Where SPIN's 24 joints hold Human3.6M's 17; what SPIN calls head there is their top of the head.
_PLACES = SPIN24.indices(*("head" if name == "head_top" else name for name in H36M17.names))


class Human36M(PhotoDataset):
    """Human3.6M's frames: S1, S5-S8 to train on, S9 and S11 to test by protocol 1 (all cameras) or 2 (the frontal one).

    Points: Human3.6M's 17 joints, which the files keep relative to the pelvis: they are put where they lie best on the
    2D joints' rays (`solved_offset`; the lens's distortion leaves a few millimetres), before the true camera if the
    JSONs are there, else before a guessed one, where depths mean nothing (they are not `metric`). Pose and shape (SMPL
    of the file's `gender`, m or f, else neutral; in the camera's frame) where the file has them, which SPIN's file of
    protocol 1 has not; there are no translations, so these stand at the pelvis and have weight 0. Of several training
    files one with fits is read. `step`: how many video frames apart the file's are, for `tracks`. `labels`: another
    file's name.
    """

    name, splits = "Human3.6M", tuple(SUBJECTS)
    download = Download(
        page="http://vision.imar.ro/human3.6m/",
        files=(
            Files("h36m_*.npz", 1, "labels of SPIN or of its successors"),
            Files("S*/**/*.jpg|images/**/*.jpg|S*.jpg", 1, "frames extracted from the videos"),
            Files("annotations/Human36M_subject*_camera.json", 7, "cameras, from 3DMPPE", needed=False),
        ),
    )

    def __init__(
        self, root: str | Path, split: str, protocol: int | None = None, labels: str | None = None, step: int = 5
    ) -> None:
        if (split, protocol) not in _FILES:
            raise DatasetError(
                f"Human3.6M: expected the split train, or test with protocol 1 or 2, got {split!r} and {protocol!r}."
            )
        super().__init__(root, split)
        self._labels = self._read((labels,) if labels else _FILES[split, protocol])
        cameras, rows = CAMERAS if split == "train" or protocol == 1 else CAMERAS[-1:], []
        for row, name in enumerate(self._labels["imgname"]):
            found = _NAME.search(name.path())
            if found is None:
                raise name.wrong("images like S9_Directions_1.60457274_000001.jpg")
            subject, camera = int(found["subject"]), found["camera"]
            if camera in cameras and subject in SUBJECTS[split]:
                rows.append((row, found["video"], int(found["frame"]), subject, camera))
        self.rows, self.tracks = rows, runs([(video, frame) for _, video, frame, *_ in rows], step)
        self._cameras: dict[int, Entry | None] = {}

    def _read(self, names: tuple[str, ...]) -> Entry:
        """The first label file there is; to train on, the first that has fits, if one has."""
        self.files(*names)
        found: list[Entry] = []
        for path in (self.root / name for name in names if (self.root / name).is_file()):
            what = "labels of Human3.6M in SPIN's format"
            found.append(Entry(read_arrays(path, _LAYOUT, what=what, error=DatasetError, only=_LAYOUT), path))
            if self.split != "train" or found[-1].get("pose") is not None:
                return found[-1]
        return found[0]

    def __getitem__(self, index: int) -> Sample:
        row, video, frame, subject, camera_name = self.rows[index]
        entry = {key: self._labels[key][row] for key in self._labels.value}
        image = entry["imgname"].path()
        path = next((p for p in (self.root / image, self.root / "images" / image) if p.is_file()), self.root / image)
        camera = self._camera(subject, camera_name)
        photo = stored_photo(path, camera)
        joints2d, joints3d = entry["part"].numbers(24, 3)[_PLACES], entry["S"].numbers(24, 4)[_PLACES]
        known = joints3d[:, 3] * (joints2d[:, 2] > 0)
        points = _on_rays(joints3d[:, :3], joints2d[:, :2], known, photo.camera)
        box = box_about(entry["center"].numbers(2), entry["scale"].number(0.0, 1e3))
        person = person_3d(subject, H36M17, photo.size, joints2d[:, :2], points, known, box=box)
        if "pose" in entry and "shape" in entry:
            pelvis = points[H36M17.index("pelvis")]
            pose, _ = smpl_label(entry["pose"].numbers(72), entry["shape"].numbers(10), pelvis)
            gender = str(entry["gender"].value) if "gender" in entry else ""
            person = with_smpl(person, (pose, 0.0), _GENDERS.get(gender, "smpl-neutral"))
        return Sample(photo, (replace(person, metric=camera is not None),), image, video, frame)

    def _camera(self, subject: int, camera: str) -> Camera | None:
        if subject not in self._cameras:
            path = self.root / "annotations" / f"Human36M_subject{subject}_camera.json"
            self._cameras[subject] = json_entry(path, "cameras") if path.is_file() else None
        known = self._cameras[subject]
        if known is None:
            return None
        entry = known[str(CAMERAS.index(camera) + 1)]
        return pinhole(entry["f"], entry["c"])


def _on_rays(
    relative: Float[np.ndarray, "K 3"],
    pixels: Float[np.ndarray, "K 2"],
    known: Float[np.ndarray, " K"],
    camera: Camera,
) -> Float[np.ndarray, "K 3"]:
    """Points relative to the pelvis, moved to where the known ones lie best on the rays of their pixels."""
    if not known.any():
        return relative
    at = torch.from_numpy(known > 0)
    rays = camera.rays(torch.from_numpy(pixels))[at]
    return (
        relative + solved_offset(torch.from_numpy(relative)[at], rays, torch.ones(len(rays), dtype=torch.bool)).numpy()
    )
