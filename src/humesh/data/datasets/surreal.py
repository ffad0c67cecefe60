"""SURREAL: rendered people in front of photos, as short videos (Varol et al., CVPR 2017).

From the owner's repository (README and the scripts under datageneration/misc that relate its labels): 320 x 240 px, a
focal length of 600 px; joints in the world's metres; the camera looks along -x, the world's y points down. The owner's
map from world to camera is a mirror (its determinant is -1): the videos show mirrored people, which is why their left
and right look swapped. Here the labels are mirrored as well, so that they describe the people that are visible.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from humesh.body.joints import SMPL24
from humesh.body.pose import BodyPose
from humesh.data.datasets import DatasetError
from humesh.data.datasets.labels import person_3d, with_smpl
from humesh.data.datasets.matlab import matlab_shape, read_matlab
from humesh.data.datasets.reader import CALIBRATED, Download, Files, PhotoDataset, loaded, runs
from humesh.data.sample import LabelledPerson, Sample
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_from_axis_angle
from humesh.media.photo import Photo

_CAMERA_FROM_WORLD = torch.tensor([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])  # a mirror
_MIRROR = torch.diag(torch.tensor([-1.0, 1.0, 1.0]))
_MOST_FRAMES = 10_000  # the owner's clips have about a hundred
_Y_DOWN_FROM_Z_UP = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])  # 90 degrees about x
_PART = "SURREAL_v1.tar.gz or download_surreal.sh"


class Surreal(PhotoDataset):
    """`cmu/{split}/run{run}/SEQUENCE/SEQUENCE_c0001_info.mat` and `.mp4` below root, `data/` or `SURREAL/data/`.

    Every `every`-th frame is a sample. Pose and shape are those of SMPL's body of the person's sex. Where the body
    stands follows from its rest pelvis, which only SMPL's file gives: the translation, with weight 0, is where the
    pelvis is. A person's identity is the clip: the files do not say which clips share a body.
    """

    name, splits = "SURREAL", ("train", "val", "test")
    download = Download(
        page="https://www.di.ens.fr/willow/research/surreal/data/ (licence form)",
        files=(
            Files("**/train/run[012]/*/*_info.mat", 1, _PART),
            Files("**/train/run[012]/*/*_c[0-9][0-9][0-9][0-9].mp4", 1, _PART),
            Files("**/val/run[012]/*/*_info.mat", 1, _PART, needed=False),
            Files("**/test/run[012]/*/*_info.mat", 1, _PART, needed=False),
        ),
    )

    def __init__(self, root: str | Path, split: str, every: int = 1) -> None:
        super().__init__(root, split)
        bases = ("cmu/", "", "data/cmu/", "SURREAL/data/cmu/")
        self._files, rows = self.files(*[f"{base}{split}/run[012]/*/*_info.mat" for base in bases]), []
        for clip, path in enumerate(track(self._files, "SURREAL", transient=True)):
            length = loaded(path, _frame_count, "SURREAL's labels of a clip")
            rows += [(clip, frame) for frame in range(0, length, every)]
        self.rows, self.tracks = rows, runs(rows, every)

    def __getitem__(self, index: int) -> Sample:
        clip, frame = self.rows[index]
        path = self._files[clip]
        sequence = f"{path.parents[1].name}/{path.name.removesuffix('_info.mat')}"
        pixels = _pixels(path.with_name(path.name.removesuffix("_info.mat") + ".mp4"))
        if frame >= len(pixels):
            raise DatasetError(f"{sequence}.mp4: expected frame {frame} of its labels, it has {len(pixels)} frames.")
        camera = Camera.virtual(600.0, (320, 240))  # 60 mm before a sensor of 32 mm
        person = _person(path, frame, clip, camera)
        return Sample(Photo(pixels[frame], camera, CALIBRATED), (person,), f"{sequence}/{frame}", sequence, frame)


def _frame_count(path: Path) -> int:
    """Frames of a clip, from the sizes of the file's variables alone."""
    shape = matlab_shape(path, "pose")
    if shape[0] != 72 or not 0 < shape[1] <= _MOST_FRAMES:
        raise DatasetError(f"{path}: expected poses of 72 x F, got {' x '.join(map(str, shape))}; fetch it anew.")
    return shape[1]


@lru_cache(maxsize=2)
def _pixels(path: Path) -> list[np.ndarray]:
    """All frames of a clip, which has about a hundred small ones."""
    try:
        with av.open(str(path)) as video:
            return [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise DatasetError(f"{path}: expected the clip's video, could not read it ({error}); fetch it anew.") from error


def _person(path: Path, frame: int, clip: int, camera: Camera) -> LabelledPerson:
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
    person = person_3d(clip, SMPL24, (320, 240), camera.project(joints).numpy(), joints.numpy())
    pose = replace(pose, translation=joints[SMPL24.index("pelvis")])
    return with_smpl(person, (pose, 0.0), "smpl-male" if labels["gender"].first(1)[0] else "smpl-female")
