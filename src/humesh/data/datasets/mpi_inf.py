"""The datasets of Mehta et al.: MPI-INF-3DHP (3DV 2017), MuCo-3DHP and MuPoTS-3D (3DV 2018); their files have mm."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from humesh.body.joints import MPI_INF_3DHP17, MUCO21
from humesh.data.datasets.labels import fitted_camera, person_3d, pinhole, smpl_label, with_smpl
from humesh.data.datasets.matlab import cells, read_matlab, struct
from humesh.data.datasets.reader import Bodies, DatasetError, Entry, Files, PhotoDataset, loaded, runs, stored_photo
from humesh.data.sample import LabelledPerson, Sample
from humesh.media.photo import Photo

# The 28 joints of annot.mat in the owner's order; spine2 to spine4, clavicles and middle feet (here with a star) are
# those of their skeleton alone and are left out, the toes are what MuCo-3DHP's users take for SMPL's feet.
_OWNER28 = """
    *spine3 *spine4 *spine2 spine pelvis neck head head_top *left_clavicle left_shoulder left_elbow left_wrist left_hand
    *right_clavicle right_shoulder right_elbow right_wrist right_hand left_hip left_knee left_ankle *left_foot left_foot
    right_hip right_knee right_ankle *right_foot right_foot
"""
_CAMERAS = (0, 1, 2, 4, 5, 6, 7, 8)  # the owner's choice of the 14: those at chest height
_AXES = {"annot2": 2, "annot3": 3, "univ_annot3": 3}  # pixels; mm of the true skeleton, mm of one of a set height
_Row = tuple[Path, int, int, Path]  # labels, camera, frame from 0, image


class MpiInf3dhp(PhotoDataset):
    """One person in a studio with green walls, and a test set also outdoors; every `every`th frame.

    Training: `S1/Seq1/annot.mat`, `camera.calibration`, and the frames of each video extracted as images,
    `imageFrames/video_0/frame_000001.jpg` (`ffmpeg -i video_0.avi -start_number 1 ...`), of the eight cameras at chest
    height; 21 joints, measured (`annot3`). Test: `TS1/annot_data.mat` and `imageSequence/img_000001.jpg` (also below
    `mpi_inf_3dhp_test_set/`), the valid frames; 17 joints of skeletons of one height (`univ_annot3`), which the
    benchmark scores. The test's cameras are fitted to its pairs of `annot3` and `annot2`; those of TS5 and TS6 have
    distorting lenses, which a pinhole only approximates.
    """

    name, splits = "MPI-INF-3DHP", ("train", "test")
    page = "https://vcai.mpi-inf.mpg.de/3dhp-dataset/"
    parts = (
        Files("S*/Seq*/annot.mat", 16, "mpi_inf_3dhp.zip and its get_dataset.sh", needed=False),
        Files("S*/Seq*/imageFrames/video_*/*.jpg", 1, "frames extracted from its videos", needed=False),
        Files("TS*/annot_data.mat|*/TS*/annot_data.mat", 6, "get_testset.sh"),
        Files("TS*/imageSequence/*.jpg|*/TS*/imageSequence/*.jpg", 1, "get_testset.sh"),
    )

    def __init__(self, root: str | Path, split: str, every: int = 1) -> None:
        super().__init__(root, split)
        self.train = split == "train"
        self._known: dict[Path, dict[str, Any]] = {}
        rows = [row for row in (self._training() if self.train else self._test()) if row[2] % every == 0]
        if self.train and not rows:
            raise DatasetError(
                f"{root}: expected frames extracted as S1/Seq1/imageFrames/video_0/frame_000001.jpg, found none; "
                "extract the videos with ffmpeg."
            )
        self.rows = rows
        self.tracks = runs([(f"{path.parent}{camera}", frame) for path, camera, frame, _ in rows], every)

    def _training(self) -> Iterator[_Row]:
        """The images there are; their labels wait until they are needed."""
        for path in self.files("S*/Seq*/annot.mat"):
            for camera in _CAMERAS:
                for image in sorted((path.parent / "imageFrames" / f"video_{camera}").glob("frame_*.jpg")):
                    yield path, camera, int(image.stem.removeprefix("frame_")) - 1, image

    def _test(self) -> Iterator[_Row]:
        for path in self.files("TS*/annot_data.mat", "*/TS*/annot_data.mat"):
            for frame in np.flatnonzero(self._labels(path)["valid"]).tolist():
                yield path, 0, frame, path.parent / "imageSequence" / f"img_{frame + 1:06d}.jpg"

    def __getitem__(self, index: int) -> Sample:
        path, camera, frame, image = self.rows[index]
        labels, joint_set = self._labels(path), MUCO21 if self.train else MPI_INF_3DHP17
        pixels, points = labels["annot2"][camera], labels["annot3" if self.train else "univ_annot3"][camera]
        if frame >= len(pixels):
            raise DatasetError(f"{image}: expected one of the {len(pixels)} frames that {path} labels; extract anew.")
        photo = stored_photo(image, labels["cameras"][camera])
        folder = path.parent.parent.name if self.train else path.parent.name
        subject = int(re.sub(r"\D", "", folder) or 0) + (0 if self.train else 100)
        person = person_3d(subject, joint_set, photo, pixels[frame], points[frame])
        person = replace(person, metric=self.train)
        sequence = f"{folder}/{path.parent.name}/video_{camera}" if self.train else folder
        return Sample(photo, (person,), f"{sequence}/{frame:06d}", sequence, frame)

    def _labels(self, path: Path) -> dict[str, Any]:
        """By camera (the test has one) pixels, metres and the camera itself; of a test also which frames are valid."""
        if path not in self._known:
            self._known[path] = loaded(
                path, self._training_labels if self.train else _test_labels, "annotations of MPI-INF-3DHP"
            )
        return self._known[path]

    def _training_labels(self, path: Path) -> dict[str, Any]:
        stored, found = read_matlab(path, ("annot2", "annot3")), dict[str, Any]()
        owners = _OWNER28.split()
        order = [owners.index(name) for name in MUCO21.names]
        for name in ("annot2", "annot3"):
            axes, by_camera = _AXES[name], cells(stored[name])
            if max(_CAMERAS) >= len(by_camera):
                raise stored[name].wrong(f"a cell for each of {max(_CAMERAS) + 1} cameras")
            points = {c: by_camera[c].numbers(-1, len(owners), axes).astype(np.float32) for c in _CAMERAS}
            found[name] = {c: values[:, order] / (1 if axes == 2 else 1000) for c, values in points.items()}
        (path,) = self.files("camera.calibration", folder=path.parent)
        lines = [line.split()[1:] for line in path.read_text().splitlines() if line.split()[:1] == ["intrinsic"]]
        known = Entry([Entry(numbers, path, "intrinsic").numbers(4, 4)[:3, :3] for numbers in lines], path)
        return found | {"cameras": {camera: known[camera].camera() for camera in _CAMERAS}}


def _test_labels(path: Path) -> dict[str, Any]:
    """The labels of a test video; the file is HDF5 (MATLAB 7.3), which may hold no links to other files."""
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

        truth = {name: numbers(name, 17, axes) / (1 if axes == 2 else 1000) for name, axes in _AXES.items()}
        valid = numbers("valid_frame") > 0
    if {len(valid)} != {len(values) for values in truth.values()}:
        raise DatasetError(f"{path}: expected labels of {len(valid)} frames, as many as valid_frame; fetch it anew.")
    if not all(np.isfinite(values[valid]).all() for values in truth.values()):
        raise DatasetError(f"{path}: expected finite points in valid frames, got NaN; fetch it anew.")
    camera = fitted_camera(truth["annot3"][valid].reshape(-1, 3), truth["annot2"][valid].reshape(-1, 2), path)
    return {name: [values] for name, values in truth.items()} | {"cameras": [camera], "valid": valid}


class MuCo(PhotoDataset):
    """MuCo-3DHP: people of MPI-INF-3DHP pasted into photos together, with cameras and 21 joints.

    `MuCo-3DHP.json` and the images it names (`augmented_set/`, `unaugmented_set/`), in the form in which 3DMPPE's
    author gives the dataset away and 3DCrowdNet and JOTR use it. `nearest`: only the person nearest to the camera, as
    JOTR takes them. `fits`: also SMPL's pose and shape from `smpl_param.json` (neutral, in the camera's frame, metres:
    from memory, check before use); people without a fit keep their points.
    """

    name, splits = "MuCo-3DHP", ("train",)
    page = "https://github.com/mks0601/3DMPPE_POSENET_RELEASE"
    parts = (
        Files("MuCo-3DHP.json|data/MuCo-3DHP.json", 1, "MuCo annotations"),
        Files("*augmented_set|data/*augmented_set", 2, "MuCo images"),
        Files("smpl_param.json|data/smpl_param.json", 1, "SMPL parameters of MuCo", needed=False),
    )

    def __init__(
        self, root: str | Path, split: str, nearest: bool = False, fits: bool = False, bodies: Bodies | None = None
    ) -> None:
        super().__init__(root, split, bodies)
        (path,) = self.files("MuCo-3DHP.json", "data/MuCo-3DHP.json")
        self.folder = path.parent
        content = Entry.json(path, "MuCo-3DHP.json")
        content.has("images", "annotations", what="MuCo-3DHP's annotations")
        self._fits: Entry | None = None
        if fits:
            (path,) = self.files("smpl_param.json", folder=self.folder)
            self._fits = Entry.json(path, "SMPL fits by annotation")
        people, pelvis = defaultdict[int, list[Entry]](list), MUCO21.index("pelvis")
        for entry in content["annotations"]:
            people[entry["image_id"].integer()].append(entry)
        rows = [(image, people[image["id"].integer()]) for image in content["images"]]
        rows = [(image, annotated) for image, annotated in rows if annotated]
        if nearest:
            rows = [(image, [min(a, key=lambda e: e["keypoints_cam"][pelvis][2].number())]) for image, a in rows]
        self.rows, self.people_per_photo = rows, [len(annotated) for _, annotated in rows]

    def __getitem__(self, index: int) -> Sample:
        image, annotated = self.rows[index]
        name = image["file_name"].path()
        photo = stored_photo(self.folder / name, pinhole(image["f"], image["c"]))
        people = tuple(self._person(entry, photo) for entry in annotated)
        return Sample(photo, people, name, "", image["id"].integer())

    def _person(self, entry: Entry, photo: Photo) -> LabelledPerson:
        """A person of their own: the file does not say which of the eight actors."""
        count, identity, visible = len(MUCO21), entry["id"].integer(), entry.get("keypoints_vis")
        points, pixels = entry["keypoints_cam"].numbers(count, 3) / 1000, entry["keypoints_img"].numbers(count, 2)
        hidden = None if visible is None else 1.0 - (visible.numbers(count) > 0)
        box = entry["bbox"].box(corners=False)
        person = person_3d(identity, MUCO21, photo, pixels, points, hidden=hidden, box=box)
        fit = None if self._fits is None else self._fits.get(str(identity))
        if fit is None:
            return person
        vectors, betas, moved = fit["pose"].numbers(72), fit["shape"].first(10), fit["trans"].numbers(3)
        label = smpl_label(vectors, betas, moved, None, self.bodies.get("smpl-neutral"))
        return with_smpl(person, label, "smpl-neutral")


class MuPoTS3D(PhotoDataset):
    """MuPoTS-3D's 20 videos of two or three people, a test set: the frames with a valid person; 17 joints.

    `TS1/annot.mat`, `occlusion.mat` and `img_000000.jpg` (also below `MultiPersonTestSet/`). 3D points are
    `univ_annot3` (skeletons of one height, which the benchmark scores). The owner gives no intrinsics: each video's
    camera is fitted to its pairs of `annot3` and `annot2`. `sequences`: numbers of the videos.
    """

    name, splits = "MuPoTS-3D", ("test",)
    page = "https://vcai.mpi-inf.mpg.de/projects/SingleShotMultiPerson/"
    parts = (
        Files("TS*/annot.mat|MultiPersonTestSet/TS*/annot.mat", 20, "mupots-3d-eval"),
        Files("TS*/occlusion.mat|MultiPersonTestSet/TS*/occlusion.mat", 20, "mupots-3d-eval"),
        Files("TS*/img_*.jpg|MultiPersonTestSet/TS*/img_*.jpg", 1, "MultiPersonTestSet"),
    )

    def __init__(self, root: str | Path, split: str, sequences: Sequence[int] = tuple(range(1, 21))) -> None:
        super().__init__(root, split)
        self.folder = self.files("TS*/annot.mat", "MultiPersonTestSet/TS*/annot.mat")[0].parent.parent
        self._labels = {number: self._read(self.folder / f"TS{number}") for number in sequences}
        rows = [(s, int(f)) for s, truth in self._labels.items() for f in np.flatnonzero(truth["valid"].any(1))]
        self.rows, self.tracks = rows, runs(rows)

    def _read(self, folder: Path) -> dict[str, Any]:
        """A video's labels, frames x people x 17: pixels, metres, who is valid, what is hidden; and its camera."""
        (path,), (occlusions,) = (self.files(name, folder=folder) for name in ("annot.mat", "occlusion.mat"))
        entry = loaded(path, read_matlab, "MuPoTS-3D's annot.mat")["annotations"]
        people = [[struct(cell) for cell in row] for row in _frames_of_people(entry)]

        def numbers(name: str, *shape: int) -> np.ndarray:
            found = [[person[name].numbers(*shape, nan=True) for person in row] for row in people]
            return np.swapaxes(np.array(found), -1, -2)  # stored as 2 x 17 and 3 x 17

        truth = {name: numbers(name, axes, 17) / (1 if axes == 2 else 1000) for name, axes in _AXES.items()}
        valid = numbers("isValidFrame", 1, 1)[..., 0, 0] > 0
        if not all(np.isfinite(values[valid]).all() for values in truth.values()):
            raise entry.wrong("finite points of the people who are valid")
        labels = loaded(occlusions, read_matlab, "its occlusion.mat")["occlusion_labels"]
        hidden = np.array([[cell.numbers(17) > 0 for cell in row] for row in _frames_of_people(labels)]) * 1.0
        if hidden.shape[:2] != valid.shape:
            raise DatasetError(
                f"{folder}: expected occlusion.mat for the {valid.shape} frames and people of annot.mat, got "
                f"{hidden.shape[:2]}; fetch both anew."
            )
        camera = fitted_camera(truth["annot3"][valid].reshape(-1, 3), truth["annot2"][valid].reshape(-1, 2), path)
        return truth | {"valid": valid, "hidden": hidden, "camera": camera}

    def __getitem__(self, index: int) -> Sample:
        number, frame = self.rows[index]
        truth, sequence = self._labels[number], f"TS{number}"
        photo = stored_photo(self.folder / sequence / f"img_{frame:06d}.jpg", truth["camera"])
        pixels, points, hidden = (truth[field][frame] for field in ("annot2", "univ_annot3", "hidden"))
        people = [
            person_3d(10 * number + i, MPI_INF_3DHP17, photo, pixels[i], points[i], hidden=hidden[i])
            for i in np.flatnonzero(truth["valid"][frame]).tolist()
        ]
        people = [replace(person, metric=False) for person in people]
        return Sample(photo, tuple(people), f"{sequence}/{frame:06d}", sequence, frame)


def _frames_of_people(entry: Entry) -> list[list[Entry]]:
    """The cells of a cell array of frames x people, row by row."""
    listed = cells(entry)
    if not listed or entry.value.ndim != 2:
        raise entry.wrong("cells of frames x people")
    frames = len(entry.value)
    return [listed[frame::frames] for frame in range(frames)]
