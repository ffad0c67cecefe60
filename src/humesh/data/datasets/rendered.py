"""BEDLAM and SURREAL: videos of rendered people with the bodies that were rendered."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from humesh.body.joints import SMPL24, JointSet
from humesh.body.pose import BodyPose
from humesh.data.datasets.labels import box_about, person_2d, person_3d, with_smpl
from humesh.data.datasets.matlab import read_matlab
from humesh.data.datasets.reader import DatasetError, Entry, Files, PhotoDataset, loaded, runs, stored_photo
from humesh.data.sample import LabelledPerson, Sample
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_from_axis_angle
from humesh.media.photo import Photo

_BEDLAM = ("imgname", "center", "scale", "pose_cam", "shape", "trans_cam", "gtkps", "cam_int", "cam_ext")
_BODY22 = JointSet("smpl24_without_hands", SMPL24.names[:22])  # the joints that SMPL-X and SMPL share, in this order


class Bedlam(PhotoDataset):
    """BEDLAM (Black et al., CVPR 2023): scenes with SMPL-X or SMPL labels, many people in a picture.

    `training_labels/*/SCENE.npz`, pictures `training_images/SCENE/png/SEQUENCE/SEQUENCE_0000.png`. By the owner's
    processing script a row is a person; `pose_cam` is in the camera's axes, `trans_cam + cam_ext[:3, 3]` the
    translation, `gtkps` the projected joints, `center` and `scale` the box. Labels of "closeup" scenes are for the
    picture turned clockwise by 90 degrees. `labels`: the folder of the labels, where there are several (SMPL-X, SMPL).
    SMPL-X has 22 joints in common with SMPL: the hands' weight is 0. Equal shapes are the same person.
    """

    name, splits = "BEDLAM", ("train",)
    page = "https://bedlam.is.tue.mpg.de/download.php (registration)"
    parts = (
        Files("training_labels/**/*.npz|all_npz_12*/*.npz|*.npz", 1, "ground truth labels (processed, npz)"),
        Files("training_images/*/png/*/*.png|*/png/*/*.png", 1, "images (png, by scene)"),
    )

    def __init__(self, root: str | Path, split: str, labels: str | None = None) -> None:
        super().__init__(root, split)
        usual = ("training_labels/all_npz_12_training", "training_labels", "all_npz_12_training", ".")
        files = self.files(*[f"{folder}/*.npz" for folder in ((labels,) if labels else usual)])
        images = self.root / "training_images"
        self.images = images if images.is_dir() else self.root
        self._scenes = {
            path.stem: Entry.npz(path, "BEDLAM's labels", *_BEDLAM, optional=("gender",))
            for path in track(files, "BEDLAM", transient=True)
        }
        shapes = {shape.value.tobytes() for scene in self._scenes.values() for shape in scene["shape"]}
        self._identities = {shape: i for i, shape in enumerate(sorted(shapes))}
        rows, keys = list[tuple[str, str, int, list[int]]](), list[tuple[str, int]]()  # scene, photo, frame, people
        for scene, labelled in self._scenes.items():
            step = 5 if "6fps" in scene else 1  # frames of 30 a second, as their names count them
            by_photo = defaultdict[str, list[int]](list)
            for row, name in enumerate(labelled["imgname"]):
                by_photo[name.text()].append(row)
            for _, people in sorted(by_photo.items()):
                photo = labelled["imgname"][people[0]]
                path = Path(photo.path())
                number = path.stem.rpartition("_")[2]
                if not number.isdecimal():
                    raise photo.wrong("images like seq_000000/seq_000000_0000.png")
                rows.append((scene, photo.path(), int(number), people))
                keys.append((f"{scene}/{path.parent}", int(number) // step))
        self.rows, self.tracks = rows, runs(keys)

    def __getitem__(self, index: int) -> Sample:
        scene, name, frame, people = self.rows[index]
        labels = self._scenes[scene]
        camera = labels["cam_int"][people[0]].camera()
        photo = stored_photo(self.images / scene / "png" / name, camera)
        if "closeup" in scene:
            photo = replace(photo, pixels=np.ascontiguousarray(np.rot90(photo.pixels, -1)))
        found = tuple(self._person(labels, row, photo.size) for row in people)
        return Sample(photo, found, f"{scene}/{name}", f"{scene}/{Path(name).parent}", frame)

    def _person(self, labels: Entry, row: int, size: tuple[int, int]) -> LabelledPerson:
        entry = {key: labels[key][row] for key in labels.value}
        points = np.array([[*entry["gtkps"][joint].first(2), 1.0] for joint in range(len(_BODY22))])
        box = box_about(entry["center"].numbers(2), entry["scale"].number(0.0, 1e3))
        of_smpl = np.size(entry["pose_cam"].value) == 3 * len(SMPL24)
        used = len(SMPL24 if of_smpl else _BODY22)
        vectors = entry["pose_cam"].first(3 * used).reshape(used, 3)
        rotations = torch.eye(3).repeat(24, 1, 1)
        rotations[:used] = rotation_from_axis_angle(torch.from_numpy(vectors).float())
        shape = torch.from_numpy(entry["shape"].first(10)).float()
        translation = entry["trans_cam"].numbers(3) + entry["cam_ext"].extrinsics()[:, 3]
        identity = self._identities[entry["shape"].value.tobytes()]
        person = person_2d(box, points, _BODY22, identity, size=size)
        pose = BodyPose(rotations, shape, torch.from_numpy(translation).float())
        given = str(entry["gender"].value) if "gender" in entry else ""
        gender = given if given in ("male", "female") else "neutral"
        labelled = with_smpl(person, (pose, 1.0), f"{'smpl' if of_smpl else 'smplx'}-{gender}")
        return replace(labelled, pose_weight=(torch.arange(24) < used).float())


_CAMERA_FROM_WORLD = torch.tensor([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])  # a mirror
_MIRROR = torch.diag(torch.tensor([-1.0, 1.0, 1.0]))
_Y_DOWN_FROM_Z_UP = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])  # 90 degrees about x
_PART = "SURREAL_v1.tar.gz or download_surreal.sh"


class Surreal(PhotoDataset):
    """SURREAL (Varol et al., CVPR 2017): short videos of one person in front of photos.

    `cmu/{split}/run{run}/SEQUENCE/SEQUENCE_c0001_info.mat` and `.mp4` below root, `data/` or `SURREAL/data/`. From the
    owner's README and datageneration/misc: joints in the world's metres; the camera looks along -x, the world's y
    points down. The owner's map from world to camera is a mirror: the videos show mirrored people, so labels are
    mirrored as well. Pose and shape are of SMPL's body of the person's sex; the translation, with weight 0, is where
    the pelvis is, as only SMPL's file gives its rest pelvis. A person's identity is the clip.
    """

    name, splits = "SURREAL", ("train", "val", "test")
    page = "https://www.di.ens.fr/willow/research/surreal/data/ (licence form)"
    parts = (
        Files("**/train/run[012]/*/*_info.mat", 1, _PART),
        Files("**/train/run[012]/*/*_c[0-9][0-9][0-9][0-9].mp4", 1, _PART),
        Files("**/val/run[012]/*/*_info.mat", 1, _PART, needed=False),
        Files("**/test/run[012]/*/*_info.mat", 1, _PART, needed=False),
    )

    def __init__(self, root: str | Path, split: str) -> None:
        super().__init__(root, split)
        bases = ("cmu/", "", "data/cmu/", "SURREAL/data/cmu/")
        self._files, rows = self.files(*[f"{base}{split}/run[012]/*/*_info.mat" for base in bases]), []
        for clip, path in enumerate(track(self._files, "SURREAL", transient=True)):
            poses = loaded(path, lambda file: read_matlab(file, ("pose",)), "SURREAL's labels of a clip")["pose"]
            rows += [(clip, frame) for frame in range(poses.numbers(72, -1).shape[1])]
        self.rows, self.tracks = rows, runs(rows)

    def __getitem__(self, index: int) -> Sample:
        clip, frame = self.rows[index]
        path = self._files[clip]
        sequence = f"{path.parents[1].name}/{path.name.removesuffix('_info.mat')}"
        pixels = _pixels(path.with_name(path.name.removesuffix("_info.mat") + ".mp4"))
        if frame >= len(pixels):
            raise DatasetError(f"{sequence}.mp4: expected frame {frame} of its labels, it has {len(pixels)} frames.")
        camera = Camera.virtual(600.0, (320, 240))  # 60 mm before a sensor of 32 mm
        photo = Photo.of(pixels[frame], camera)
        return Sample(photo, (_person(path, frame, clip, photo),), f"{sequence}/{frame}", sequence, frame)


@lru_cache(maxsize=2)
def _pixels(path: Path) -> list[np.ndarray]:
    """All frames of a clip, which has about a hundred small ones."""
    try:
        with av.open(str(path)) as video:
            return [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise DatasetError(f"{path}: expected the clip's video, could not read it ({error}); fetch it anew.") from error


def _person(path: Path, frame: int, clip: int, photo: Photo) -> LabelledPerson:
    labels = loaded(path, read_matlab, "SURREAL's labels of a clip")

    def of_frame(name: str, *shape: int) -> Tensor:  # Matlab drops the last axis of clips of one frame
        numbers = labels[name].numbers(*shape, -1)
        if frame >= numbers.shape[-1]:
            raise labels[name].wrong(f"the numbers of more than {frame} frames")
        return torch.from_numpy(numbers[..., frame]).float()

    location = torch.from_numpy(labels["camLoc"].numbers(3)).float()
    joints = (of_frame("joints3D", 3, 24).T - location) @ _CAMERA_FROM_WORLD.T
    joints = joints[list(SMPL24.mirror)]
    rotations = rotation_from_axis_angle(of_frame("pose", 72).reshape(24, 3))
    turn = rotation_from_axis_angle(torch.tensor([0.0, 0.0, float(labels["zrot"].first(1)[0])]))
    rotations[0] = _Y_DOWN_FROM_Z_UP @ turn @ rotations[0]
    pose = BodyPose(rotations, of_frame("shape", 10), torch.zeros(3)).mirrored()
    pose.rotations[0] = _CAMERA_FROM_WORLD @ _MIRROR @ pose.rotations[0]
    person = person_3d(clip, SMPL24, photo, photo.camera.project(joints).numpy(), joints.numpy())
    pose = replace(pose, translation=joints[SMPL24.index("pelvis")])
    return with_smpl(person, (pose, 0.0), "smpl-male" if labels["gender"].first(1)[0] else "smpl-female")
