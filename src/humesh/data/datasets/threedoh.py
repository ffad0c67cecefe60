"""3DOH50K (Zhang, Huang, Wang, CVPR 2020): photos of one person behind objects, with SMPL fits.

Reads `trainset/annots.json`, `testset/annots.json` and the `images/<number>.jpg` beside them. Its lengths are in the
units of its calibration (about 7 to a metre): the owner's SMPL code multiplies the body by the fit's `scale` before it
adds `trans`, so everything is divided by it here (the owner's answer in the issues of MvSMPLfitting; `*_joints_3d` are
in the camera's frame, as an example printed there shows). The names of the fields are from memory and from readers of
others: check with `humesh data check`.
"""

from __future__ import annotations

from pathlib import Path

from humesh.body.joints import LSP14, SMPL24, JointSet
from humesh.data.datasets import DatasetError
from humesh.data.datasets.download import Download, Files
from humesh.data.datasets.entries import Entry, json_entry
from humesh.data.datasets.labels import known_split, part
from humesh.data.datasets.labels3d import Bodies, calibrated_photo, person_3d, smpl_label, with_smpl
from humesh.data.sample import Sample

DOWNLOAD = Download(
    page="https://www.yangangwang.com/papers/ZHANG-OOH-2020-03.html",
    files=(
        Files("testset/annots.json", 1, "3DOH50K testset"),
        Files("testset/images/*.jpg", 1290, "3DOH50K testset"),
        Files("trainset/annots.json", 1, "3DOH50K trainset", needed=False),
        Files("trainset/images/*.jpg", 1, "3DOH50K trainset", needed=False),
    ),
)

SPLITS = {"train": "trainset", "test": "testset"}
_SETS = {"smpl": SMPL24, "lsp": LSP14}
_KEYS = ("pose", "betas", "trans", "scale", "intri", "extri", "bbox", "smpl_joints_2d", "smpl_joints_3d")


class ThreeDOH:
    """3DOH50K's photos; points: SMPL's 24 joints, or LSP's 14 with `points="lsp"`, from the owner's own joints.

    The body is neutral SMPL; pass `bodies` ("smpl-neutral") for labelled translations (see `smpl_label`). A third
    number of a 2D joint is taken for 1 where it can be seen, 0 where an object hides it.
    """

    tracks: tuple[range, ...] = ()

    def __init__(self, root: str | Path, split: str, points: str = "smpl", bodies: Bodies | None = None) -> None:
        known_split("3DOH50K", split, SPLITS)
        if points not in _SETS:
            raise DatasetError(f"3DOH50K: expected points of {' or '.join(_SETS)}, got {points!r}.")
        self.root, self.points, self.bodies = Path(root) / SPLITS[split], points, dict(bodies or {})
        (path,) = part(Path(root), [f"{SPLITS[split]}/annots.json"], DOWNLOAD)
        self._photos = sorted(json_entry(path, "3DOH50K's annots.json"), key=lambda person: person.key)
        for person in self._photos:
            person.has(*_KEYS, what="3DOH50K's annotations")

    def __len__(self) -> int:
        return len(self._photos)

    def __getitem__(self, index: int) -> Sample:
        entry = self._photos[index]
        name = Entry(entry.key, entry, "its name").path()
        photo = calibrated_photo(self.root / "images" / f"{name}.jpg", entry["intri"].intrinsics())
        scale = entry["scale"].number(1e-3, 1e3)
        joint_set: JointSet = _SETS[self.points]
        in2d = entry[f"{self.points}_joints_2d"].numbers(len(joint_set), -1)
        in3d = entry[f"{self.points}_joints_3d"].numbers(len(joint_set), 3) / scale
        if in2d.shape[1] < 2:
            raise entry[f"{self.points}_joints_2d"].wrong("x and y of every joint")
        hidden = 1.0 - (in2d[:, 2] > 0) if in2d.shape[1] > 2 else None
        person = person_3d(index, joint_set, photo.size, in2d[:, :2], in3d, hidden=hidden, box=entry["bbox"].box())
        extrinsics = entry["extri"].extrinsics()
        extrinsics[:, 3] /= scale
        vectors, betas, moved = entry["pose"].numbers(72), entry["betas"].first(10), entry["trans"].numbers(3)
        label = smpl_label(vectors, betas, moved / scale, extrinsics, self.bodies.get("smpl-neutral"))
        return Sample(photo, (with_smpl(person, label, "smpl-neutral"),), name, "", index)
