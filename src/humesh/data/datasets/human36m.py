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
from humesh.data.datasets.download import Download, Files
from humesh.data.datasets.entries import Entry, json_entry
from humesh.data.datasets.labels import part, runs, stored_photo
from humesh.data.datasets.labels3d import calibrated_photo, person_3d, pinhole, smpl_label, with_smpl
from humesh.data.sample import Sample
from humesh.files import Array, read_arrays
from humesh.geometry.absolute import solved_offset
from humesh.geometry.camera import Camera

DOWNLOAD = Download(
    page="http://vision.imar.ro/human3.6m/",
    files=(
        Files("h36m_*.npz", 1, "labels of SPIN or of its successors"),
        Files("S*/**/*.jpg|images/**/*.jpg|S*.jpg", 1, "frames extracted from the videos"),
        Files("annotations/Human36M_subject*_camera.json", 7, "cameras, from 3DMPPE", needed=False),
    ),
)

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


class Human36M:
    """Human3.6M's frames: S1, S5-S8 to train on, S9 and S11 to test by protocol 1 (all cameras) or 2 (the frontal one).

    Points: Human3.6M's 17 joints, which the files keep relative to the pelvis: they are put where they lie best on the
    2D joints' rays (`solved_offset`; the lens's distortion leaves a few millimetres), before the true camera if the
    JSONs are there, else before a guessed one, where depths mean nothing (they are not `metric`). Pose and shape (SMPL
    of the file's `gender`, m or f, else neutral; in the camera's frame) where the file has them, which SPIN's file of
    protocol 1 has not; there are no translations, so these stand at the pelvis and weigh nothing. Of several training
    files one with fits is read.
    `step`: how many video frames apart the file's are, for `tracks`. `labels`: another file's name.
    """

    def __init__(
        self, root: str | Path, split: str, protocol: int | None = None, labels: str | None = None, step: int = 5
    ) -> None:
        if (split, protocol) not in _FILES:
            raise DatasetError(
                f"Human3.6M: expected the split train, or test with protocol 1 or 2, got {split!r} and {protocol!r}."
            )
        self.root = Path(root)
        self._labels = self._read([labels] if labels else list(_FILES[split, protocol]), fits=split == "train")
        found = [_NAME.search(name.path()) for name in self._labels["imgname"]]
        if None in found:
            raise self._labels["imgname"][found.index(None)].wrong("images like S9_Directions_1.60457274_000001.jpg")
        self._names = [match.groupdict() for match in found if match is not None]
        wanted = CAMERAS if split == "train" or protocol == 1 else CAMERAS[-1:]
        self._rows = [
            row
            for row, name in enumerate(self._names)
            if name["camera"] in wanted and int(name["subject"]) in SUBJECTS[split]
        ]
        frames = [(self._names[row]["video"], int(self._names[row]["frame"])) for row in self._rows]
        self.tracks = runs(frames, step)
        self._cameras: dict[str, Entry | None] = {}

    def _read(self, names: list[str], fits: bool) -> Entry:
        """The first label file there is; `fits`: the first that has fits, if one has."""
        (first, *_) = part(self.root, names, DOWNLOAD)
        paths = [path for name in names if (path := self.root / name).is_file()] if fits else [first]
        for path in paths or [first]:
            what = "labels of Human3.6M in SPIN's format"
            labels = Entry(read_arrays(path, _LAYOUT, what=what, error=DatasetError, only=_LAYOUT), path)
            if not fits or labels.get("pose") is not None:
                return labels
        return labels

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Sample:
        row = self._rows[index]
        entry = {key: self._labels[key][row] for key in self._labels.value}
        name, image = self._names[row], entry["imgname"].path()
        path = next((p for p in (self.root / image, self.root / "images" / image) if p.is_file()), self.root / image)
        camera = self._camera(name["subject"], name["camera"])
        photo = stored_photo(path) if camera is None else calibrated_photo(path, camera)
        joints2d, joints3d = _human36m_joints(entry["part"].numbers(24, 3)), _human36m_joints(entry["S"].numbers(24, 4))
        relative, known = joints3d[:, :3], joints3d[:, 3] * (joints2d[:, 2] > 0)
        at = torch.from_numpy(known > 0)
        rays = photo.camera.rays(torch.from_numpy(joints2d[:, :2]))
        offset = solved_offset(torch.from_numpy(relative)[at], rays[at], torch.ones(int(at.sum()), dtype=torch.bool))
        points = relative + (offset.numpy() if known.any() else 0.0)
        centre, reach = (
            entry["center"].numbers(2),
            100 * entry["scale"].number(0.0, 1e3),
        )  # the box's height over 200 px
        box = np.concatenate([centre - reach, centre + reach])
        person = person_3d(int(name["subject"]), H36M17, photo.size, joints2d[:, :2], points, known, box=box)
        if "pose" in entry and "shape" in entry:
            pelvis = points[H36M17.index("pelvis")]
            pose, _ = smpl_label(entry["pose"].numbers(72), entry["shape"].numbers(10), pelvis)
            gender = str(entry["gender"].value) if "gender" in entry else ""
            person = with_smpl(person, (pose, 0.0), _GENDERS.get(gender, "smpl-neutral"))
        person = replace(person, metric=camera is not None)
        return Sample(photo, (person,), image, name["video"], int(name["frame"]))

    def _camera(self, subject: str, camera: str) -> Camera | None:
        if subject not in self._cameras:
            path = self.root / "annotations" / f"Human36M_subject{subject}_camera.json"
            self._cameras[subject] = json_entry(path, "cameras") if path.is_file() else None
        known = self._cameras[subject]
        if known is None:
            return None
        entry = known[str(CAMERAS.index(camera) + 1)]
        return pinhole(entry["f"], entry["c"])


def _human36m_joints(values: Float[np.ndarray, "24 n"]) -> Float[np.ndarray, "17 n"]:
    """The rows of SPIN's 24 joints that hold Human3.6M's 17; what SPIN calls head there is their top of the head."""
    own = {"head_top": "head"}
    return np.asarray(values, dtype=np.float64)[SPIN24.indices(*(own.get(name, name) for name in H36M17.names))]
