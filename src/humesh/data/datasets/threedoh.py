"""3DOH50K (Zhang, Huang, Wang, CVPR 2020): photos of one person behind objects, with SMPL fits.

Reads `trainset/annots.json`, `testset/annots.json` and the `images/<number>.jpg` beside them. Its lengths are in the
units of its calibration (about 7 to a metre): the owner's SMPL code multiplies the body by the fit's `scale` before it
adds `trans`, so everything is divided by it here (the owner's answer in the issues of MvSMPLfitting; `*_joints_3d` are
in the camera's frame, as an example printed there shows). The names of the fields are from memory and from readers of
others: check with `humesh data check`.
"""

from __future__ import annotations

from pathlib import Path

from humesh.body.joints import SMPL24
from humesh.data.datasets.entries import Entry, json_entry
from humesh.data.datasets.labels import Bodies, calibrated, person_3d, smpl_label, with_smpl
from humesh.data.datasets.reader import Download, Files, PhotoDataset, stored_photo
from humesh.data.sample import Sample

_KEYS = ("pose", "betas", "trans", "scale", "intri", "extri", "bbox", "smpl_joints_2d", "smpl_joints_3d")


class ThreeDOH(PhotoDataset):
    """3DOH50K's photos; points: SMPL's 24 joints.

    The body is neutral SMPL; `bodies` ("smpl-neutral") give labelled translations (see `smpl_label`). A third number of
    a 2D joint is taken for 1 where it is visible, 0 where an object hides it.
    """

    name, splits = "3DOH50K", ("train", "test")
    download = Download(
        page="https://www.yangangwang.com/papers/ZHANG-OOH-2020-03.html",
        files=(
            Files("testset/annots.json", 1, "3DOH50K testset"),
            Files("testset/images/*.jpg", 1290, "3DOH50K testset"),
            Files("trainset/annots.json", 1, "3DOH50K trainset", needed=False),
            Files("trainset/images/*.jpg", 1, "3DOH50K trainset", needed=False),
        ),
    )

    def __init__(self, root: str | Path, split: str, bodies: Bodies | None = None) -> None:
        super().__init__(root, split)
        self.bodies = bodies or {}
        (path,) = self.files(f"{split}set/annots.json")
        self.images = path.parent / "images"
        self.rows = sorted(json_entry(path, "3DOH50K's annots.json"), key=lambda person: str(person.key))
        for person in self.rows:
            person.has(*_KEYS, what="3DOH50K's annotations")

    def __getitem__(self, index: int) -> Sample:
        entry = self.rows[index]
        name = Entry(str(entry.key), entry, "its name").path()
        photo = stored_photo(self.images / f"{name}.jpg", calibrated(entry["intri"].intrinsics()))
        scale = entry["scale"].number(1e-3, 1e3)
        in2d = entry["smpl_joints_2d"].numbers(len(SMPL24), -1)
        in3d = entry["smpl_joints_3d"].numbers(len(SMPL24), 3) / scale
        if in2d.shape[1] < 2:
            raise entry["smpl_joints_2d"].wrong("x and y of every joint")
        hidden = 1.0 - (in2d[:, 2] > 0) if in2d.shape[1] > 2 else None
        person = person_3d(index, SMPL24, photo.size, in2d[:, :2], in3d, hidden=hidden, box=entry["bbox"].box())
        extrinsics = entry["extri"].extrinsics()
        extrinsics[:, 3] /= scale
        vectors, betas, moved = entry["pose"].numbers(72), entry["betas"].first(10), entry["trans"].numbers(3)
        label = smpl_label(vectors, betas, moved / scale, extrinsics, self.bodies.get("smpl-neutral"))
        return Sample(photo, (with_smpl(person, label, "smpl-neutral"),), name, "", index)
