"""MuCo-3DHP (Mehta et al., 3DV 2018): people of MPI-INF-3DHP pasted into photos together.

Reads `MuCo-3DHP.json` and the images it names (`augmented_set/`, `unaugmented_set/`), the form in which 3DMPPE's author
gives the dataset away and 3DCrowdNet and JOTR use it; optionally the SMPL fits of his `smpl_param.json`.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from humesh.body.joints import MUCO21
from humesh.data.datasets.download import Download, Files
from humesh.data.datasets.labels import checked, loaded, part, read_json
from humesh.data.datasets.labels3d import Bodies, calibrated_photo, person_3d, smpl_label, with_smpl
from humesh.data.sample import LabelledPerson, Sample

DOWNLOAD = Download(
    page="https://github.com/mks0601/3DMPPE_POSENET_RELEASE",
    files=(
        Files("MuCo-3DHP.json|data/MuCo-3DHP.json", 1, "MuCo annotations"),
        Files("*augmented_set|data/*augmented_set", 2, "MuCo images"),
        Files("smpl_param.json|data/smpl_param.json", 1, "SMPL parameters of MuCo", needed=False),
    ),
)


class MuCo:
    """MuCo-3DHP's composed photos with their cameras. Points: 21 joints, millimetres in the file.

    `nearest`: only the person nearest to the camera, as JOTR takes them. `fits`: also SMPL's pose and shape from
    `smpl_param.json` (neutral, in the camera's frame, metres: from memory, check before use); people without a fit keep
    their points. JOTR drops fits whose joints are 25 mm and more off on average; nothing is dropped here.
    """

    tracks: tuple[range, ...] = ()

    def __init__(
        self, root: str | Path, nearest: bool = False, fits: bool = False, bodies: Bodies | None = None
    ) -> None:
        (path,) = part(Path(root), ["MuCo-3DHP.json", "data/MuCo-3DHP.json"], DOWNLOAD)
        self.root, self.bodies = path.parent, dict(bodies or {})
        content = loaded(path, read_json, "MuCo-3DHP.json")
        checked(path, content, ("images", "annotations"), "MuCo-3DHP's annotations")
        self._fits: dict[str, Any] = {}
        if fits:
            (stored,) = part(self.root, ["smpl_param.json"], DOWNLOAD)
            self._fits = loaded(stored, read_json, "SMPL fits by annotation")
        people: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for said in content["annotations"]:
            people[said["image_id"]].append(said)
        photos = [(image, people[image["id"]]) for image in content["images"] if people[image["id"]]]
        pelvis = MUCO21.index("pelvis")
        if nearest:
            photos = [(image, [min(all_, key=lambda a: a["keypoints_cam"][pelvis][2])]) for image, all_ in photos]
        self._photos = photos

    def __len__(self) -> int:
        return len(self._photos)

    def __getitem__(self, index: int) -> Sample:
        image, annotated = self._photos[index]
        (fx, fy), (cx, cy) = image["f"], image["c"]
        matrix = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
        photo = calibrated_photo(self.root / image["file_name"], matrix)
        people = tuple(self._person(said, photo.size) for said in annotated)
        return Sample(photo, people, image["file_name"], "", int(image["id"]))

    def _person(self, said: dict[str, Any], size: tuple[int, int]) -> LabelledPerson:
        """A person of their own: the file does not say which of the eight actors."""
        points = np.array(said["keypoints_cam"], dtype=np.float64) / 1000
        pixels = np.array(said["keypoints_img"], dtype=np.float64)
        seen = np.array(said.get("keypoints_vis", np.ones(len(points))), dtype=np.float64).ravel()
        x, y, width, height = said["bbox"]
        box = np.array([x, y, x + width, y + height], dtype=np.float64)
        person = person_3d(int(said["id"]), MUCO21, size, pixels, points, hidden=1.0 - (seen > 0), box=box)
        fit = self._fits.get(str(said["id"]))
        if fit is None:
            return person
        vectors, betas, moved = (np.ravel(fit[key]).astype(np.float64) for key in ("pose", "shape", "trans"))
        label = smpl_label(vectors, betas, moved, None, self.bodies.get("smpl-neutral"))
        return with_smpl(person, label, "smpl-neutral")
