"""Human3.6M (Ionescu et al., TPAMI 2014) with the SMPL fits and selections of the common .npz files.

Reads a label file of the SPIN family, `h36m_train.npz` / `h36m_valid_protocol1.npz` / `h36m_valid_protocol2.npz` or
`h36m_mosh_train.npz` / `h36m_mosh_valid_p2.npz`, whose `imgname` names frames of the videos extracted below the same
folder or its `images/`, like `S9_Directions_1.60457274_000001.jpg`. Optionally the cameras of 3DMPPE's
`annotations/Human36M_subject9_camera.json`. The layout of these files is from memory and from readers of others.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from humesh.body.joints import H36M17, SPIN24
from humesh.data.datasets import DatasetError
from humesh.data.datasets.download import Download, Files
from humesh.data.datasets.labels import loaded, part, read_json, runs, stored_photo
from humesh.data.datasets.labels3d import calibrated, calibrated_photo, person_3d, smpl_label, with_smpl
from humesh.data.sample import Sample
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
    ("train", 1): ("h36m_train.npz", "h36m_mosh_train.npz"),
    ("train", 2): ("h36m_train.npz", "h36m_mosh_train.npz"),
    ("test", 1): ("h36m_valid_protocol1.npz",),
    ("test", 2): ("h36m_valid_protocol2.npz", "h36m_mosh_valid_p2.npz", "h36m_valid_protocol1.npz"),
}
_GENDERS = {"m": "smpl-male", "f": "smpl-female"}
_NAME = re.compile(r"(?P<video>S(?P<subject>\d+)_(?P<action>[^/]+)\.(?P<camera>\d{8}))_(?P<frame>\d+)\.(jpg|png)$")


class Human36M:
    """Human3.6M's frames: S1, S5-S8 to train on, S9 and S11 to test; protocol 1 all cameras, 2 the frontal one.

    Points: Human3.6M's 17 joints, which the files keep relative to the pelvis: they are put where they lie best on the
    2D joints' rays (`solved_offset`; the lens's distortion leaves a few millimetres), before the true camera if the
    JSONs are there, else before a guessed one, where depths mean nothing. Pose and shape (SMPL of the file's `gender`,
    m or f, else neutral; in the camera's frame) where the file has them, which SPIN's file of protocol 1 has not; there
    are no translations, so these stand at the pelvis and weigh nothing.
    `step`: how many video frames apart the file's are, for `tracks`. `labels`: another file's name.
    """

    def __init__(
        self, root: str | Path, split: str = "test", protocol: int = 2, labels: str | None = None, step: int = 5
    ) -> None:
        if (split, protocol) not in _FILES:
            raise DatasetError(
                f"Human3.6M: expected train or test and protocol 1 or 2, got {split!r} and {protocol!r}."
            )
        self.root = Path(root)
        (path, *_) = part(self.root, [labels] if labels else list(_FILES[split, protocol]), DOWNLOAD)
        self._said = loaded(path, _read, "labels of Human3.6M in SPIN's format")
        found = [_NAME.search(str(name)) for name in self._said["imgname"]]
        odd = next((str(n) for n, match in zip(self._said["imgname"], found, strict=True) if match is None), None)
        if odd is not None:
            raise DatasetError(f"{path}: expected images like S9_Directions_1.60457274_000001.jpg, got {odd!r}.")
        self._names = [match.groupdict() for match in found if match is not None]
        wanted = CAMERAS if split == "train" or protocol == 1 else CAMERAS[-1:]
        self._rows = [
            row
            for row, name in enumerate(self._names)
            if name["camera"] in wanted and int(name["subject"]) in SUBJECTS[split]
        ]
        frames = [(self._names[row]["video"], int(self._names[row]["frame"])) for row in self._rows]
        self.tracks = runs(frames, step)
        self._cameras: dict[str, dict[str, Any] | None] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Sample:
        row = self._rows[index]
        name, image = self._names[row], str(self._said["imgname"][row])
        path = next((p for p in (self.root / image, self.root / "images" / image) if p.is_file()), self.root / image)
        camera = self._camera(name["subject"], name["camera"])
        photo = stored_photo(path) if camera is None else calibrated_photo(path, camera)
        joints2d, joints3d = (_human36m_joints(self._said[key][row]) for key in ("part", "S"))
        relative, known = joints3d[:, :3], joints3d[:, 3] * (joints2d[:, 2] > 0)
        at = torch.from_numpy(known > 0)
        rays = photo.camera.rays(torch.from_numpy(joints2d[:, :2]))
        offset = solved_offset(torch.from_numpy(relative)[at], rays[at], torch.ones(int(at.sum()), dtype=torch.bool))
        points = relative + offset.numpy()
        centre, reach = self._said["center"][row], 100 * self._said["scale"][row]  # the box's height over 200 px
        box = np.concatenate([centre - reach, centre + reach]).astype(np.float64)
        person = person_3d(int(name["subject"]), H36M17, photo.size, joints2d[:, :2], points, known, box=box)
        if "pose" in self._said:
            pose, _ = smpl_label(self._said["pose"][row], self._said["shape"][row], points[H36M17.index("pelvis")])
            person = with_smpl(person, (pose, 0.0), _GENDERS.get(str(self._said["gender"][row]), "smpl-neutral"))
        return Sample(photo, (person,), image, name["video"], int(name["frame"]))

    def _camera(self, subject: str, camera: str) -> Camera | None:
        if subject not in self._cameras:
            path = self.root / "annotations" / f"Human36M_subject{subject}_camera.json"
            self._cameras[subject] = loaded(path, read_json, "cameras") if path.is_file() else None
        known = self._cameras[subject]
        if known is None:
            return None
        (fx, fy), (cx, cy) = (known[str(CAMERAS.index(camera) + 1)][key] for key in ("f", "c"))
        return calibrated(np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]))


def _read(path: Path) -> dict[str, np.ndarray]:
    """The arrays that are used, by row."""
    with np.load(path, allow_pickle=False) as stored:
        keys = ["imgname", "center", "scale", "part", "S", *(k for k in ("pose", "shape") if k in stored.files)]
        said = {key: stored[key] for key in keys}
        return {"gender": stored["gender"] if "gender" in stored.files else np.full(len(said["imgname"]), "")} | said


def _human36m_joints(values: Float[np.ndarray, "24 n"]) -> Float[np.ndarray, "17 n"]:
    """The rows of SPIN's 24 joints that hold Human3.6M's 17; what SPIN calls head there is their top of the head."""
    own = {"head_top": "head"}
    return np.asarray(values, dtype=np.float64)[SPIN24.indices(*(own.get(name, name) for name in H36M17.names))]
