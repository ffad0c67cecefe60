"""MPI-INF-3DHP (Mehta et al., 3DV 2017): one person in a studio with green walls, and a test set also outdoors.

Training: `S1` ... `S8` / `Seq1`, `Seq2`: `annot.mat`, `camera.calibration`, and the frames of each video as images,
`imageFrames/video_0/frame_000001.jpg`, which SPIN's users extract (`ffmpeg -i video_0.avi -start_number 1 ...`). Test:
`TS1` ... `TS6` (also below `mpi_inf_3dhp_test_set/`): `annot_data.mat` and `imageSequence/img_000001.jpg`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from humesh.body.joints import MPI_INF_3DHP17, MUCO21
from humesh.data.datasets import DatasetError
from humesh.data.datasets.download import Download, Files
from humesh.data.datasets.entries import Entry
from humesh.data.datasets.labels import known_split, loaded, part, runs
from humesh.data.datasets.labels3d import calibrated, calibrated_photo, fitted_camera, person_3d
from humesh.data.datasets.matlab import cells, read_matlab
from humesh.data.sample import Sample

DOWNLOAD = Download(
    page="https://vcai.mpi-inf.mpg.de/3dhp-dataset/",
    files=(
        Files("S*/Seq*/annot.mat", 16, "mpi_inf_3dhp.zip and its get_dataset.sh", needed=False),
        Files("S*/Seq*/imageFrames/video_*/*.jpg", 1, "frames extracted from its videos", needed=False),
        Files("TS*/annot_data.mat|*/TS*/annot_data.mat", 6, "get_testset.sh"),
        Files("TS*/imageSequence/*.jpg|*/TS*/imageSequence/*.jpg", 1, "get_testset.sh"),
    ),
)

# The 28 joints of annot.mat in the owner's order; spine2 to spine4, clavicles and middle feet (here with a star) are
# those of their skeleton alone and are left out, the toes are what MuCo-3DHP's users take for SMPL's feet.
_OWNER28 = """
    *spine3 *spine4 *spine2 spine pelvis neck head head_top *left_clavicle left_shoulder left_elbow left_wrist left_hand
    *right_clavicle right_shoulder right_elbow right_wrist right_hand left_hip left_knee left_ankle *left_foot left_foot
    right_hip right_knee right_ankle *right_foot right_foot
"""
_CHEST_HEIGHT = (0, 1, 2, 4, 5, 6, 7, 8)  # the owner's choice of the 14 cameras, which most trainings use


class MpiInf3dhp:
    """MPI-INF-3DHP. Training: every `every`th extracted frame of `cameras`, 21 joints; test: the valid frames, 17.

    `universal`: points in 3D are `univ_annot3` (skeletons of one height, which the benchmark scores), else `annot3`
    (the measured ones); None: universal for the test alone. The test's cameras are fitted to its pairs of `annot3` and
    `annot2`; those of TS5 and TS6 have distorting lenses, of which a pinhole leaves something.
    """

    def __init__(
        self,
        root: str | Path,
        split: str,
        universal: bool | None = None,
        every: int = 1,
        cameras: Sequence[int] = _CHEST_HEIGHT,
    ) -> None:
        known_split("MPI-INF-3DHP", split, ("train", "test"))
        self.train, self._cameras = split == "train", tuple(cameras)
        self.field = "univ_annot3" if (not self.train if universal is None else universal) else "annot3"
        self._known: dict[Path, dict[str, Any]] = {}
        self._frames = list(self._training(Path(root), every) if self.train else self._test(Path(root), every))
        self.tracks = runs([(f"{video.parent}{camera}", frame) for video, camera, frame, _ in self._frames], every)

    def _training(self, root: Path, every: int) -> list[tuple[Path, int, int, Path]]:
        """(annotations, camera, frame from 0, image) of the images there are; the annotations wait until needed."""
        found = []
        for path in part(root, ["S*/Seq*/annot.mat"], DOWNLOAD):
            for camera in self._cameras:
                for image in sorted((path.parent / "imageFrames" / f"video_{camera}").glob("frame_*.jpg")):
                    frame = int(image.stem.removeprefix("frame_")) - 1
                    found += [(path, camera, frame, image)] if frame % every == 0 else []
        if not found:
            raise DatasetError(
                f"{root}: expected frames extracted as S1/Seq1/imageFrames/video_0/frame_000001.jpg, found none; "
                "extract the videos with ffmpeg."
            )
        return found

    def _test(self, root: Path, every: int) -> list[tuple[Path, int, int, Path]]:
        found = []
        for path in part(root, ["TS*/annot_data.mat", "*/TS*/annot_data.mat"], DOWNLOAD):
            for frame in np.flatnonzero(self._labels(path)["valid"]):
                image = path.parent / "imageSequence" / f"img_{frame + 1:06d}.jpg"
                found += [(path, 0, int(frame), image)] if frame % every == 0 else []
        return found

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> Sample:
        path, camera, frame, image = self._frames[index]
        truth, joint_set = self._labels(path), MUCO21 if self.train else MPI_INF_3DHP17
        pixels, points = truth["annot2"][camera], truth[self.field][camera]
        if frame >= len(pixels):
            raise DatasetError(f"{image}: expected one of the {len(pixels)} frames that {path} labels; extract anew.")
        source = "the dataset's calibration" if self.train else "fitted to the dataset's 3D and 2D labels"
        photo = calibrated_photo(image, truth["cameras"][camera], source)
        folder = path.parent.parent.name if self.train else path.parent.name
        subject = int(re.sub(r"\D", "", folder) or 0) + (0 if self.train else 100)
        person = person_3d(subject, joint_set, photo.size, pixels[frame], points[frame])
        person = replace(person, metric=self.field == "annot3")
        sequence = f"{folder}/{path.parent.name}/video_{camera}" if self.train else folder
        return Sample(photo, (person,), f"{sequence}/{frame:06d}", sequence, frame)

    def _labels(self, path: Path) -> dict[str, Any]:
        if path not in self._known:
            read = _training_labels if self.train else _test_labels
            self._known[path] = loaded(path, lambda p: read(p, self._cameras), "annotations of MPI-INF-3DHP")
        return self._known[path]


def _training_labels(path: Path, cameras: Sequence[int]) -> dict[str, Any]:
    """Pixels, metres (in the file millimetres) and calibrated cameras, by camera."""
    stored = read_matlab(path, ("annot2", "annot3", "univ_annot3"))
    owners = _OWNER28.split()
    order = [owners.index(name) for name in MUCO21.names]

    def joints(name: str, axes: int) -> dict[int, np.ndarray]:
        units, found = 1 if axes == 2 else 1000, cells(stored[name])
        if max(cameras) >= len(found):
            raise stored[name].wrong(f"a cell for each of {max(cameras) + 1} cameras")
        rows = {c: found[c].numbers(-1, len(owners), axes).astype(np.float32) for c in cameras}
        return {c: values[:, order] / units for c, values in rows.items()}

    known = calibrations(path.parent / "camera.calibration")
    truth = {"annot2": joints("annot2", 2), "annot3": joints("annot3", 3), "univ_annot3": joints("univ_annot3", 3)}
    return truth | {"cameras": {camera: calibrated(known[camera].intrinsics()) for camera in cameras}}


def calibrations(path: Path) -> Entry:
    """The cameras of a `camera.calibration`: each has a line `intrinsic` with 4 x 4 numbers, row by row."""
    (path,) = part(path.parent, [path.name], DOWNLOAD)
    lines = [line.split()[1:] for line in path.read_text().splitlines() if line.split()[:1] == ["intrinsic"]]
    return Entry([Entry(numbers, path, "intrinsic").numbers(4, 4)[:3, :3] for numbers in lines], path)


def _test_labels(path: Path, _: Sequence[int]) -> dict[str, Any]:
    """The same for a test video, which has one camera, and which frames are valid; the file is HDF5 (Matlab 7.3)."""
    try:
        from h5py import File, HardLink
    except ImportError:
        raise DatasetError(f'{path}: reading Matlab 7.3 files needs h5py: pip install "humesh[datasets]".') from None
    most = max(16 * 2**20, 100 * path.stat().st_size)  # bytes: packed numbers do not grow more
    with File(path, "r") as stored:

        def numbers(name: str, *shape: int) -> np.ndarray:
            if not isinstance(stored.get(name, getlink=True), HardLink):
                raise ValueError(f"{name} is a link, which may lead to another file")
            held = stored[name]
            if held.external or held.is_virtual:
                raise ValueError(f"{name} has its numbers in another file")
            if held.size * held.dtype.itemsize > most or held.dtype.kind not in "biuf":
                raise ValueError(f"{name} is no array of numbers of the size of such a file")
            return Entry(np.array(held), path, name).numbers(-1, *shape, nan=True)

        truth = {name: numbers(name, 17, axes) for name, axes in (("annot2", 2), ("annot3", 3), ("univ_annot3", 3))}
        valid = numbers("valid_frame") > 0
    pixels, points, universal = truth["annot2"], truth["annot3"] / 1000, truth["univ_annot3"] / 1000
    if {len(valid)} != {len(values) for values in truth.values()}:
        raise DatasetError(f"{path}: expected labels of {len(valid)} frames, as many as valid_frame; fetch it anew.")
    if not all(np.isfinite(values[valid]).all() for values in truth.values()):
        raise DatasetError(f"{path}: expected finite points in valid frames, got NaN; fetch it anew.")
    camera = fitted_camera(points[valid].reshape(-1, 3), pixels[valid].reshape(-1, 2), path)
    return {"annot2": [pixels], "annot3": [points], "univ_annot3": [universal], "cameras": [camera], "valid": valid}
