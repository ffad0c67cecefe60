"""MuCo-3DHP (Mehta et al., 3DV 2018): people of MPI-INF-3DHP pasted into photos together.

Reads `MuCo-3DHP.json` and the images it names (`augmented_set/`, `unaugmented_set/`), the form in which 3DMPPE's author
gives the dataset away and 3DCrowdNet and JOTR use it; optionally the SMPL fits of his `smpl_param.json`.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from humesh.body.joints import MUCO21
from humesh.data.datasets.download import Download, Files
from humesh.data.datasets.entries import Entry, json_entry
from humesh.data.datasets.labels import known_split, part
from humesh.data.datasets.labels3d import Bodies, calibrated_photo, person_3d, pinhole, smpl_label, with_smpl
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
    their points.
    """

    tracks: tuple[range, ...] = ()

    def __init__(
        self, root: str | Path, split: str, nearest: bool = False, fits: bool = False, bodies: Bodies | None = None
    ) -> None:
        known_split("MuCo-3DHP", split, ("train",))
        (path,) = part(Path(root), ["MuCo-3DHP.json", "data/MuCo-3DHP.json"], DOWNLOAD)
        self.root, self.bodies = path.parent, dict(bodies or {})
        content = json_entry(path, "MuCo-3DHP.json")
        content.has("images", "annotations", what="MuCo-3DHP's annotations")
        self._fits: Entry | None = None
        if fits:
            self._fits = json_entry(part(self.root, ["smpl_param.json"], DOWNLOAD)[0], "SMPL fits by annotation")
        people: dict[int, list[Entry]] = defaultdict(list)
        for entry in content["annotations"]:
            people[entry["image_id"].integer()].append(entry)
        found = ((image, people.get(image["id"].integer(), [])) for image in content["images"])
        self._photos = [(image, annotated) for image, annotated in found if annotated]
        pelvis = MUCO21.index("pelvis")
        if nearest:
            self._photos = [
                (image, [min(annotated, key=lambda entry: entry["keypoints_cam"][pelvis][2].number())])
                for image, annotated in self._photos
            ]
        self.people_per_photo = [len(annotated) for _, annotated in self._photos]

    def __len__(self) -> int:
        return len(self._photos)

    def __getitem__(self, index: int) -> Sample:
        image, annotated = self._photos[index]
        name = image["file_name"].path()
        photo = calibrated_photo(self.root / name, pinhole(image["f"], image["c"]))
        people = tuple(self._person(entry, photo.size) for entry in annotated)
        return Sample(photo, people, name, "", image["id"].integer())

    def _person(self, entry: Entry, size: tuple[int, int]) -> LabelledPerson:
        """A person of their own: the file does not say which of the eight actors."""
        count, identity, seen = len(MUCO21), entry["id"].integer(), entry.get("keypoints_vis")
        points, pixels = entry["keypoints_cam"].numbers(count, 3) / 1000, entry["keypoints_img"].numbers(count, 2)
        hidden = None if seen is None else 1.0 - (seen.numbers(count) > 0)
        box = entry["bbox"].box(corners=False)
        person = person_3d(identity, MUCO21, size, pixels, points, hidden=hidden, box=box)
        fit = None if self._fits is None else self._fits.get(str(identity))
        if fit is None:
            return person
        vectors, betas, moved = fit["pose"].numbers(72), fit["shape"].first(10), fit["trans"].numbers(3)
        label = smpl_label(vectors, betas, moved, None, self.bodies.get("smpl-neutral"))
        return with_smpl(person, label, "smpl-neutral")
