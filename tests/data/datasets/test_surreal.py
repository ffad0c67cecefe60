"""SURREAL: clips whose mirrored people are labelled as they are visible."""

from pathlib import Path

import av
import numpy as np
import pytest
import torch
from scipy.io import savemat

from humesh.body.joints import SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.data.datasets.reader import DatasetError
from humesh.data.datasets.rendered import Surreal
from humesh.geometry.rotations import rotation_from_axis_angle

ZROT = 0.7


def body_in_the_world(body: BodyModel, poses: torch.Tensor, shape: torch.Tensor) -> torch.Tensor:
    """Joints T 24 3 of the owner's bodies: z-up poses turned by zrot about z, then to y down, at (0, -1, -2)."""
    turn = rotation_from_axis_angle(torch.tensor([0.0, 0.0, ZROT]))
    upright = rotation_from_axis_angle(torch.tensor([np.pi / 2, 0.0, 0.0], dtype=torch.float32))
    rotations = rotation_from_axis_angle(poses)
    rotations[:, 0] = upright @ turn @ rotations[:, 0]
    return body.joints(BodyPose(rotations, shape, torch.tensor([0.0, -1.0, -2.0]).expand(len(poses), 3)))


def write(folder: Path, name: str, frames: int, body: BodyModel) -> np.ndarray:
    """A clip as the owner has it, its joints in the world projected by the owner's own two matrices."""
    folder.mkdir(parents=True, exist_ok=True)
    poses = 0.3 * torch.randn(frames, 24, 3)
    poses[:, 0] = torch.tensor([np.pi / 2, 0.0, 0.0])  # SMPL's y is the motion capture's z
    shape = torch.zeros(frames, 10)
    joints = body_in_the_world(body, poses, shape).numpy()
    location = np.array([6.7, -1.0, -1.9])
    extrinsic = np.array([[0, 0, -1], [0, 1, 0], [-1, 0, 0]])
    seen = (joints - location) @ extrinsic.T
    pixels = 600 * seen[..., :2] / seen[..., 2:] + [160, 120]
    labels = {
        "pose": poses.reshape(frames, 72).T.numpy(), "shape": shape.T.numpy(), "zrot": np.full((frames, 1), ZROT),
        "joints3D": joints.transpose(2, 1, 0), "joints2D": pixels.round().transpose(2, 1, 0),
        "gender": np.ones((frames, 1), np.uint8), "camLoc": location[:, None], "sequence": name,
    }  # fmt: skip
    if frames == 1:  # Matlab drops last axes of one
        labels |= {key: labels[key][..., 0] for key in ("joints3D", "joints2D")}
    savemat(folder / f"{name}_info.mat", labels)
    with av.open(str(folder / f"{name}.mp4"), "w") as video:
        stream = video.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for i in range(frames):
            picture = np.full((240, 320, 3), 60 * i, np.uint8)
            video.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        video.mux(stream.encode())
    return pixels


def test_labels_agree_with_the_owners_projection_and_each_other(tmp_path: Path, open_body: BodyModel) -> None:
    pixels = write(tmp_path / "SURREAL/data/cmu/train/run0/01_01", "01_01_c0001", 4, open_body)
    write(tmp_path / "SURREAL/data/cmu/train/run0/01_01", "01_01_c0002", 1, open_body)
    dataset = Surreal(tmp_path, "train")
    assert len(dataset) == 5
    assert dataset.tracks == (range(4),)
    sample = dataset[2]
    (person,) = sample.people
    assert (sample.sequence, sample.frame, person.body) == ("run0/01_01_c0001", 2, "smpl-male")
    assert abs(float(sample.photo.pixels.mean()) - 120) < 5
    # The owner's left is the visible right.
    mirror = list(SMPL24.mirror)
    np.testing.assert_allclose(person.points2d.numpy()[mirror], pixels[2], atol=1e-3)
    torch.testing.assert_close(sample.photo.camera.project(person.points3d), person.points2d)
    # The pose says the same as the points: the open body is its own mirror image but for millimetres.
    posed = open_body.joints(person.pose)
    away = (posed - posed[:1]) - (person.points3d - person.points3d[:1])
    assert away.norm(dim=-1).max() < 0.01
    assert torch.linalg.det(person.pose.rotations).allclose(torch.ones(24))
    assert (person.points3d[:, 2] > 1).all()
    upright = person.points3d[SMPL24.index("head"), 1] - person.points3d[SMPL24.index("pelvis"), 1]
    assert upright < -0.3
    assert dataset[4].people[0].identity != person.identity


def test_what_is_wrong_is_refused(tmp_path: Path, open_body: BodyModel) -> None:
    with pytest.raises(DatasetError, match=r"cmu/val/run\[012\]/\*/\*_info.mat"):
        Surreal(tmp_path, split="val")
    folder = tmp_path / "cmu/train/run0/01_01"
    write(folder, "01_01_c0001", 2, open_body)
    (folder / "01_01_c0001.mp4").write_bytes(b"not a video")
    with pytest.raises(DatasetError, match="expected the clip's video"):
        Surreal(tmp_path, "train")[0]
    (folder / "01_01_c0001_info.mat").write_bytes(b"not a matrix" * 20)
    with pytest.raises(DatasetError, match="SURREAL's labels of a clip"):
        Surreal(tmp_path, "train")
