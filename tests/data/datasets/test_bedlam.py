"""BEDLAM: many people a picture, true cameras, turned close-ups, SMPL-X and SMPL."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from humesh.body.joints import SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.data.datasets.reader import DatasetError
from humesh.data.datasets.rendered import Bedlam
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_from_axis_angle, rotation_to_axis_angle

SCENE = "20221010_3_1000_batch01hand_6fps"


def write(root: Path, body: BodyModel, scene: str = SCENE, joints: int = 55, turned: bool = False) -> dict:
    """Two people in frames 0, 5 and 10 of one sequence and one in frame 0 of another; rows are out of order."""
    width, height = (72, 128) if turned else (128, 72)
    camera = np.array([[150.0, 0, width / 2], [0, 150.0, height / 2], [0, 0, 1]])
    rows = [("seq_000000", f, p) for p in (0, 1) for f in (10, 0, 5)] + [("seq_000001", 0, 1)]
    count = len(rows)
    vectors = 0.2 * torch.randn(count, joints, 3)
    vectors[:, 0] = rotation_to_axis_angle(rotation_from_axis_angle(torch.tensor([np.pi - 0.1, 0.1, 0.0])).float())
    shapes = torch.randn(2, 11)
    offset, place = 0.1 * torch.randn(count, 3), torch.tensor([0.0, 0.3, 4.0])
    rotations = torch.eye(3).repeat(count, 24, 1, 1)
    rotations[:, :22] = rotation_from_axis_angle(vectors[:, :22])
    shape = torch.stack([shapes[p] for _, _, p in rows])
    points = body.joints(BodyPose(rotations, shape[:, :10], offset + place))
    pixels = Camera(torch.from_numpy(camera)).project(points.double()).numpy()
    external = np.tile(np.eye(4), (count, 1, 1))
    external[:, :3, 3] = place
    labels = {
        "imgname": np.array([f"{s}/{s}_{f:04d}.png" for s, f, _ in rows]), "center": pixels.mean(1),
        "scale": np.full(count, 0.3), "pose_cam": vectors.reshape(count, -1).numpy(), "shape": shape.numpy(),
        "trans_cam": offset.numpy(), "trans_world": np.zeros((count, 3)), "cam_ext": external,
        "cam_int": np.tile(camera, (count, 1, 1)), "gender": np.array(["female"] * count),
        "gtkps": np.pad(pixels, ((0, 0), (0, joints), (0, 0))), "proj_verts": np.zeros((count, 5, 2)),
    }  # fmt: skip
    (root / "training_labels/all_npz_12_training").mkdir(parents=True, exist_ok=True)
    np.savez(root / f"training_labels/all_npz_12_training/{scene}.npz", **labels)
    picture = np.zeros((72, 128, 3), np.uint8)  # stored pictures are wide
    picture[:, :20] = 255
    for sequence, frame, _ in rows:
        path = root / f"training_images/{scene}/png/{sequence}/{sequence}_{frame:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
    return labels


def test_people_cameras_and_tracks(tmp_path: Path, open_body: BodyModel) -> None:
    labels = write(tmp_path, open_body)
    dataset = Bedlam(tmp_path, "train")
    assert len(dataset) == 4
    assert dataset.tracks == (range(3),)
    samples = [dataset[i] for i in range(4)]
    assert [s.frame for s in samples] == [0, 5, 10, 0]
    assert [len(s.people) for s in samples] == [2, 2, 2, 1]
    identities = [[p.identity for p in s.people] for s in samples]
    assert identities[0] == identities[1] == identities[2]
    assert len(set(identities[0])) == 2
    row = 1  # person 0 in frame 0
    person = samples[0].people[0]
    assert person.body == "smplx-female"
    torch.testing.assert_close(person.points2d.double(), torch.from_numpy(labels["gtkps"][row, :22]), rtol=0, atol=1e-3)
    joints = open_body.joints(person.pose)[:22]
    torch.testing.assert_close(samples[0].photo.camera.project(joints), person.points2d, rtol=0, atol=1e-2)
    assert {SMPL24.names[i] for i in np.flatnonzero(person.pose_weight == 0)} == {"left_hand", "right_hand"}
    half = 30
    np.testing.assert_allclose(person.seen.box, [*(labels["center"][row] - half), *(labels["center"][row] + half)])
    assert person.seen.keypoints is not None
    inside = ((person.points2d > 0) & (person.points2d < torch.tensor([128.0, 72.0]))).all(-1)
    assert (person.seen.keypoints[:, 2] > 0).tolist() == inside.tolist() == (person.visible > 0).tolist()
    assert person.points2d_weight.all()


def test_closeups_are_turned_clockwise(tmp_path: Path, open_body: BodyModel) -> None:
    write(tmp_path, open_body, "20221018_3-8_250_batch01hand_orbit_bigOffice_closeup_30fps", turned=True)
    dataset = Bedlam(tmp_path, "train")
    photo = dataset[0].photo
    assert photo.size == (72, 128)
    assert photo.pixels[:20].all()  # the left edge is the top now
    assert photo.camera.principal_point_px.tolist() == [36, 64]
    assert dataset.tracks == ()  # at 30 frames a second, frames 0, 5 and 10 are not neighbours


def test_smpl_labels_have_hands_too(tmp_path: Path, open_body: BodyModel) -> None:
    write(tmp_path, open_body, joints=24)
    person = Bedlam(tmp_path, "train", labels="training_labels/all_npz_12_training")[0].people[0]
    assert person.body == "smpl-female"
    assert person.pose_weight.all()


def test_what_is_wrong_is_refused(tmp_path: Path, open_body: BodyModel) -> None:
    with pytest.raises(DatasetError, match="registration"):
        Bedlam(tmp_path, "train")
    labels = write(tmp_path, open_body)
    path = tmp_path / f"training_labels/all_npz_12_training/{SCENE}.npz"
    np.savez(path, **{key: value for key, value in labels.items() if key != "cam_int"})
    with pytest.raises(DatasetError, match="expected BEDLAM's labels, it has no cam_int"):
        Bedlam(tmp_path, "train")
    np.savez(path, **{**labels, "shape": np.array([None, {}], dtype=object)})
    with pytest.raises(DatasetError, match=r"cannot be read as one \(it holds object"):
        Bedlam(tmp_path, "train")


def test_scenes_may_lie_beside_the_labels(tmp_path: Path, open_body: BodyModel) -> None:
    write(tmp_path, open_body)
    (tmp_path / f"training_images/{SCENE}").rename(tmp_path / SCENE)
    (tmp_path / "training_images").rmdir()
    assert Bedlam(tmp_path, "train")[0].photo.size == (128, 72)
