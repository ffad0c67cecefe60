"""CrowdPose: photos of crowds in COCO's file format with 14 joints (Li et al., CVPR 2019)."""

from __future__ import annotations

from pathlib import Path

from humesh.body.joints import CROWDPOSE14
from humesh.data.datasets.coco import CocoFormat
from humesh.data.datasets.download import Download, Files
from humesh.data.datasets.labels import known_split, part

DOWNLOAD = Download(
    page="https://github.com/jeffffffli/CrowdPose",
    files=(
        Files("**/crowdpose_train.json", 1, "annotations"),
        Files("**/crowdpose_val.json|**/crowdpose_test.json", 1, "annotations", needed=False),
        Files("images/*.jpg", 20_000, "images"),
    ),
)


class CrowdPose(CocoFormat):
    """`crowdpose_{split}.json` (train, val, trainval, test) anywhere below root, and `images/`.

    Pixels and flags are taken to be COCO's, of whose photos it is partly made (from memory).
    """

    def __init__(self, root: str | Path, split: str) -> None:
        root, split = Path(root), known_split("CrowdPose", split, ("train", "val", "trainval", "test"))
        files = part(root, [f"crowdpose_{split}.json", f"*/crowdpose_{split}.json"], DOWNLOAD)[:1]
        super().__init__(files, part(root, ["images"], DOWNLOAD)[0], CROWDPOSE14)
