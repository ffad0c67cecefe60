"""PoseTrack18: videos of people with tracks, in COCO's file format, one file a video."""

from __future__ import annotations

from pathlib import Path

from humesh.body.joints import POSETRACK17
from humesh.data.datasets import DatasetError
from humesh.data.datasets.coco import CocoFormat
from humesh.data.datasets.download import Download, Files
from humesh.data.datasets.entries import Entry
from humesh.data.datasets.labels import known_split, part, runs

DOWNLOAD = Download(
    page="https://posetrack.net (registration; PoseTrack18)",
    files=(
        Files("annotations/train/*.json", 1, "annotations of PoseTrack18"),
        Files("annotations/val/*.json", 1, "annotations of PoseTrack18", needed=False),
        Files("images/train/*/*.jpg", 1, "images of PoseTrack18"),
        Files("images/val/*/*.jpg", 1, "images of PoseTrack18", needed=False),
    ),
)


class PoseTrack(CocoFormat):
    """`annotations/{split}/*.json` and the frames that they name below root; a track is a run of labelled frames.

    Points are given in parts of pixels (no corner to add) and only where they can be seen, as flag 1; some annotations
    have no box (from memory; check against the owner's README). The test labels are not published.
    """

    annotation_ids = False

    def __init__(self, root: str | Path, split: str) -> None:
        root, split = Path(root), known_split("PoseTrack", split, ("train", "val"))
        files = part(root, [f"annotations/{split}/*.json"], DOWNLOAD)
        super().__init__(files, root, POSETRACK17, corner=0.0, shown=1.0)
        self.tracks = runs([self.place(name) for name in self.names])

    def wanted(self, image: Entry) -> bool:
        """Only labelled frames."""
        labelled = image.get("is_labeled")
        return labelled is None or bool(labelled.value)

    def identity(self, label: Entry, number: int) -> int:
        """One number for a track of a video."""
        return (number << 20) + label["track_id"].integer(most=(1 << 20) - 1)

    def place(self, name: str) -> tuple[str, int]:
        """`.../VIDEO/000012.jpg` is frame 12 of VIDEO."""
        path = Path(name)
        if not path.stem.isdecimal():
            raise DatasetError(f"PoseTrack: expected frames called .../VIDEO/000012.jpg, got {name}; fetch it anew.")
        return path.parent.name, int(path.stem)
