"""Human3.6M, 3DPW, EMDB and 3DOH50K: photos and videos of real people with SMPL fits and calibrated cameras."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from humesh.body.joints import H36M17, OPENPOSE18, SMPL24, SPIN24
from humesh.body.pickles import read_pickle
from humesh.data.datasets.labels import box_about, person_3d, pinhole, smpl_label, with_smpl
from humesh.data.datasets.reader import Bodies, DatasetError, Entry, Files, PhotoDataset, loaded, runs, stored_photo
from humesh.data.sample import LabelledPerson, Sample
from humesh.geometry.absolute import solved_offset
from humesh.geometry.camera import Camera
from humesh.media.photo import Photo

_GENDERS = {"m": "smpl-male", "f": "smpl-female"}
_3DPW = (
    "poses", "betas", "trans", "genders", "jointPositions", "poses2d", "cam_poses", "cam_intrinsics", "campose_valid",
)  # fmt: skip
_EMDB = ("gender", "name", "emdb1", "emdb2", "good_frames_mask", "camera", "smpl", "kp2d", "bboxes")


class ThreeDPW(PhotoDataset):
    """3DPW (von Marcard et al., ECCV 2018): frames in which at least one person's camera is valid (`campose_valid`).

    `sequenceFiles/<split>/*.pkl` and `imageFiles/<sequence>/image_00000.jpg`. Labels of people whose camera is not
    valid are left out. Points: SMPL's 24 joints (`jointPositions`). Detected: the owner's OpenPose keypoints (all zero
    where fewer than six were found) and the box of the projected joints. Bodies are gendered SMPL; `bodies`
    ("smpl-male", "smpl-female") give labelled translations (see `smpl_label`).
    """

    name, splits = "3DPW", ("train", "validation", "test")
    page = "https://virtualhumans.mpi-inf.mpg.de/3DPW/"
    parts = (
        Files("sequenceFiles/train/*.pkl", 24, "sequenceFiles.zip"),
        Files("sequenceFiles/validation/*.pkl", 12, "sequenceFiles.zip"),
        Files("sequenceFiles/test/*.pkl", 24, "sequenceFiles.zip"),
        Files("imageFiles/*/image_*.jpg", 1, "imageFiles.zip"),
    )

    def __init__(self, root: str | Path, split: str, bodies: Bodies | None = None) -> None:
        super().__init__(root, split, bodies)
        paths = self.files(f"sequenceFiles/{split}/*.pkl")
        self._names = [path.stem for path in paths]
        self._sequences = [_sequence(path, "a sequence of 3DPW", _3DPW) for path in paths]
        flags = [sequence["campose_valid"] for sequence in self._sequences]
        self._valid = [people.numbers(len(list(people)), -1) > 0 for people in flags]
        rows = [(s, int(f)) for s, valid in enumerate(self._valid) for f in np.flatnonzero(valid.any(0))]
        self.rows, self.tracks = rows, runs(rows)
        self.people_per_photo = [int(self._valid[s][:, f].sum()) for s, f in rows]

    def __getitem__(self, index: int) -> Sample:
        number, frame = self.rows[index]
        sequence, name = self._sequences[number], self._names[number]
        path = self.root / "imageFiles" / name / f"image_{frame:05d}.jpg"
        photo = stored_photo(path, sequence["cam_intrinsics"].camera())
        valid = np.flatnonzero(self._valid[number][:, frame]).tolist()
        # The people of a sequence keep their places in it; the files do not say which actors are in several.
        people = tuple(self._person(sequence, i, frame, 100 * number + i, photo) for i in valid)
        return Sample(photo, people, f"{name}/{frame:05d}", name, frame)

    def _person(self, sequence: Entry, i: int, frame: int, identity: int, photo: Photo) -> LabelledPerson:
        extrinsics = sequence["cam_poses"][frame].extrinsics()
        world = sequence["jointPositions"][i][frame].numbers(len(SMPL24), 3)
        points = world @ extrinsics[:, :3].T + extrinsics[:, 3]
        detected = sequence["poses2d"][i][frame].numbers(3, len(OPENPOSE18)).T
        person = person_3d(identity, SMPL24, photo, None, points, detected=(detected, OPENPOSE18))
        body = _GENDERS.get(sequence["genders"][i].text(), "")
        if not body:
            raise sequence["genders"][i].wrong("the gender m or f")
        pose, translation = sequence["poses"][i][frame].numbers(72), sequence["trans"][i][frame].numbers(3)
        label = smpl_label(pose, sequence["betas"][i].first(10), translation, extrinsics, self.bodies.get(body))
        return with_smpl(person, label, body)


def _sequence(path: Path, what: str, keys: tuple[str, ...]) -> Entry:
    return Entry(loaded(path, read_pickle, what), path).has(*keys, what=what)


class Emdb(PhotoDataset):
    """EMDB (Kaufmann et al., ICCV 2023): the frames that the owner calls good (the person is in view), of one person.

    `P0/<sequence>/images/00000.jpg` and `P0/<sequence>/P0_<sequence>_data.pkl`, as the owner's `dataset.md` describes
    them, of EMDB 1, of EMDB 2 or of all sequences. Points: SMPL's 24 joints in the photo (`kp2d`); the owner gives none
    in 3D, so they (and the translation) are labelled only where the gendered body is in `bodies` ("smpl-male",
    "smpl-female", "smpl-neutral"). Detected: the same 2D joints and the annotated box.
    """

    name, splits = "EMDB", ("emdb1", "emdb2", "all")
    page = "https://eth-ait.github.io/emdb/"
    parts = (Files("P*/*/*_data.pkl", 1, "EMDB"), Files("P*/*/images/*.jpg", 1, "EMDB"))

    def __init__(self, root: str | Path, split: str, bodies: Bodies | None = None) -> None:
        super().__init__(root, split, bodies)
        paths = self.files("P*/*/*_data.pkl")
        sequences = [(path, _sequence(path, "a sequence of EMDB", _EMDB)) for path in paths]
        self._sequences = [(path, s) for path, s in sequences if split == "all" or s[split].integer(0, 1)]
        if not self._sequences:
            raise DatasetError(f"{self.root}: expected sequences of {split}, the {len(paths)} there are none of it.")
        good = [sequence["good_frames_mask"].numbers(-1) > 0 for _, sequence in self._sequences]
        rows = [(s, int(f)) for s, flags in enumerate(good) for f in np.flatnonzero(flags)]
        self.rows, self.tracks = rows, runs(rows)

    def __getitem__(self, index: int) -> Sample:
        number, frame = self.rows[index]
        path, sequence = self._sequences[number]
        camera, smpl, name = sequence["camera"], sequence["smpl"], sequence["name"].text()
        photo = stored_photo(path.parent / "images" / f"{frame:05d}.jpg", camera["intrinsics"].camera())
        body = f"smpl-{sequence['gender'].text()}"
        model = self.bodies.get(body)
        vectors = np.concatenate([smpl["poses_root"][frame].numbers(3), smpl["poses_body"][frame].numbers(69)])
        extrinsics = camera["extrinsics"][frame].extrinsics()
        label = smpl_label(vectors, smpl["betas"].first(10), smpl["trans"][frame].numbers(3), extrinsics, model)
        points = None if model is None else model.joints(label[0]).double().numpy()
        pixels = sequence["kp2d"][frame].numbers(len(SMPL24), 2)
        given = sequence["bboxes"]["bboxes"][frame].numbers(4, nan=True, most=1e5)
        box = given if (given[2:] > given[:2]).all() else None
        participant = path.parent.parent.name.removeprefix("P")  # P0 to P9 are in several sequences
        identity = int(participant) if participant.isdecimal() else 0
        person = with_smpl(person_3d(identity, SMPL24, photo, pixels, points, box=box), label, body)
        return Sample(photo, (person,), f"{name}/{frame:05d}", name, frame)


_KEYS = ("pose", "betas", "trans", "scale", "intri", "extri", "bbox", "smpl_joints_2d", "smpl_joints_3d")


class ThreeDOH(PhotoDataset):
    """3DOH50K (Zhang, Huang, Wang, CVPR 2020): photos of one person behind objects, with SMPL's 24 joints.

    `testset/annots.json` and `testset/images/<number>.jpg`, likewise `trainset/`. Lengths are in the units of its
    calibration (about 7 to a metre): the owner's SMPL code multiplies the body by the fit's `scale` before it adds
    `trans`, so everything is divided by it here (the owner in the issues of MvSMPLfitting). The body is neutral SMPL;
    `bodies` ("smpl-neutral") give labelled translations (see `smpl_label`). A third number of a 2D joint is taken for 1
    where it is visible, 0 where an object hides it. The fields' names are from memory: check with `humesh data check`.
    """

    name, splits = "3DOH50K", ("train", "test")
    page = "https://www.yangangwang.com/papers/ZHANG-OOH-2020-03.html"
    parts = (
        Files("testset/annots.json", 1, "3DOH50K testset"),
        Files("testset/images/*.jpg", 1290, "3DOH50K testset"),
        Files("trainset/annots.json", 1, "3DOH50K trainset", needed=False),
        Files("trainset/images/*.jpg", 1, "3DOH50K trainset", needed=False),
    )

    def __init__(self, root: str | Path, split: str, bodies: Bodies | None = None) -> None:
        super().__init__(root, split, bodies)
        (path,) = self.files(f"{split}set/annots.json")
        self.images = path.parent / "images"
        self.rows = sorted(Entry.json(path, "3DOH50K's annots.json"), key=lambda person: str(person.key))
        for person in self.rows:
            person.has(*_KEYS, what="3DOH50K's annotations")

    def __getitem__(self, index: int) -> Sample:
        entry = self.rows[index]
        name = Entry(str(entry.key), entry, "its name").path()
        photo = stored_photo(self.images / f"{name}.jpg", entry["intri"].camera())
        scale = entry["scale"].number(1e-3, 1e3)
        in2d = entry["smpl_joints_2d"].numbers(len(SMPL24), -1)
        in3d = entry["smpl_joints_3d"].numbers(len(SMPL24), 3) / scale
        if in2d.shape[1] < 2:
            raise entry["smpl_joints_2d"].wrong("x and y of every joint")
        hidden = 1.0 - (in2d[:, 2] > 0) if in2d.shape[1] > 2 else None
        person = person_3d(index, SMPL24, photo, in2d[:, :2], in3d, hidden=hidden, box=entry["bbox"].box())
        extrinsics = entry["extri"].extrinsics()
        extrinsics[:, 3] /= scale
        vectors, betas, moved = entry["pose"].numbers(72), entry["betas"].first(10), entry["trans"].numbers(3)
        label = smpl_label(vectors, betas, moved / scale, extrinsics, self.bodies.get("smpl-neutral"))
        return Sample(photo, (with_smpl(person, label, "smpl-neutral"),), name, "", index)


SUBJECTS = {"train": (1, 5, 6, 7, 8), "test": (9, 11)}
CAMERAS = ("54138969", "55011271", "58860488", "60457274")
"""Human3.6M's cameras, in the order of 3DMPPE's numbers 1 to 4; protocol 2 measures on the last, the frontal one."""

_FILES = {
    ("train", None): ("h36m_train.npz", "h36m_mosh_train.npz"),
    ("test", 1): ("h36m_valid_protocol1.npz",),
    ("test", 2): ("h36m_valid_protocol2.npz", "h36m_mosh_valid_p2.npz", "h36m_valid_protocol1.npz"),
}
_STEP = 5  # frames of a video from one that is labelled to the next
_SPIN = ("imgname", "center", "scale", "part", "S")
_NAME = re.compile(r"(?P<video>S(?P<subject>\d+)_(?P<action>[^/]+)\.(?P<camera>\d{8}))_(?P<frame>\d+)\.(jpg|png)$")
# Where SPIN's 24 joints hold Human3.6M's 17; what SPIN calls head there is their top of the head.
_PLACES = SPIN24.indices(*("head" if name == "head_top" else name for name in H36M17.names))


class Human36M(PhotoDataset):
    """Human3.6M (Ionescu et al., TPAMI 2014) by the label files of the SPIN family, such as `h36m_train.npz`.

    S1, S5-S8 to train on, S9 and S11 to test by protocol 1 (all cameras) or 2 (the frontal one). `imgname` are frames
    extracted below root or `images/`, like `S9_Directions_1.60457274_000001.jpg`; the layout is from memory and from
    readers of others. Points: 17 joints, which the files keep relative to the pelvis: they are put where they lie best
    on the 2D joints' rays (the lens's distortion leaves a few millimetres), before the true camera if 3DMPPE's
    `annotations/Human36M_subject9_camera.json` are there, else before a guessed one, where they are not `metric`. Pose
    and shape (SMPL of the file's `gender`, m or f, else neutral) where the file has them, which SPIN's of protocol 1
    has not; translations stand at the pelvis and have weight 0. Of several training files one with fits is read.
    """

    name, splits = "Human3.6M", tuple(SUBJECTS)
    page = "http://vision.imar.ro/human3.6m/"
    parts = (
        Files("h36m_*.npz", 1, "labels of SPIN or of its successors"),
        Files("S*/**/*.jpg|images/**/*.jpg|S*.jpg", 1, "frames extracted from the videos"),
        Files("annotations/Human36M_subject*_camera.json", 7, "cameras, from 3DMPPE", needed=False),
    )

    def __init__(self, root: str | Path, split: str, protocol: int | None = None) -> None:
        super().__init__(root, split)
        if (split, protocol) not in _FILES:
            raise DatasetError(f"Human3.6M: expected the split train, or test with protocol 1 or 2, got {protocol!r}.")
        self._labels = self._read(_FILES[split, protocol])
        cameras, rows = CAMERAS if split == "train" or protocol == 1 else CAMERAS[-1:], []
        for row, name in enumerate(self._labels["imgname"]):
            found = _NAME.search(name.path())
            if found is None:
                raise name.wrong("images like S9_Directions_1.60457274_000001.jpg")
            subject, camera = int(found["subject"]), found["camera"]
            if camera in cameras and subject in SUBJECTS[split]:
                rows.append((row, found["video"], int(found["frame"]), subject, camera))
        self.rows, self.tracks = rows, runs([(video, frame) for _, video, frame, *_ in rows], _STEP)
        self._cameras: dict[int, Entry | None] = {}

    def _read(self, names: tuple[str, ...]) -> Entry:
        """The first label file there is; to train on, the first that has fits, if one has."""
        self.files(*names)
        found: list[Entry] = []
        for path in (self.root / name for name in names if (self.root / name).is_file()):
            what = "labels of Human3.6M in SPIN's format"
            found.append(Entry.npz(path, what, *_SPIN, optional=("pose", "shape", "gender")))
            if self.split != "train" or found[-1].get("pose") is not None:
                return found[-1]
        return found[0]

    def __getitem__(self, index: int) -> Sample:
        row, video, frame, subject, camera_name = self.rows[index]
        entry = {key: self._labels[key][row] for key in self._labels.value}
        image = entry["imgname"].path()
        path = next((p for p in (self.root / image, self.root / "images" / image) if p.is_file()), self.root / image)
        camera = self._camera(subject, camera_name)
        photo = stored_photo(path, camera)
        joints2d, joints3d = entry["part"].numbers(24, 3)[_PLACES], entry["S"].numbers(24, 4)[_PLACES]
        known = joints3d[:, 3] * (joints2d[:, 2] > 0)
        points, at = joints3d[:, :3], torch.from_numpy(known > 0)
        if known.any():
            rays = photo.camera.rays(torch.from_numpy(joints2d[:, :2]))[at]
            points = points + solved_offset(torch.from_numpy(points)[at], rays, torch.ones_like(at)[at]).numpy()
        box = box_about(entry["center"].numbers(2), entry["scale"].number(0.0, 1e3))
        person = person_3d(subject, H36M17, photo, joints2d[:, :2], points, known, box=box)
        if "pose" in entry and "shape" in entry:
            pelvis = points[H36M17.index("pelvis")]
            pose, _ = smpl_label(entry["pose"].numbers(72), entry["shape"].numbers(10), pelvis)
            gender = str(entry["gender"].value) if "gender" in entry else ""
            person = with_smpl(person, (pose, 0.0), _GENDERS.get(gender, "smpl-neutral"))
        return Sample(photo, (replace(person, metric=camera is not None),), image, video, frame)

    def _camera(self, subject: int, camera: str) -> Camera | None:
        if subject not in self._cameras:
            path = self.root / "annotations" / f"Human36M_subject{subject}_camera.json"
            self._cameras[subject] = Entry.json(path, "cameras") if path.is_file() else None
        known = self._cameras[subject]
        entry = None if known is None else known[str(CAMERAS.index(camera) + 1)]
        return None if entry is None else pinhole(entry["f"], entry["c"])
