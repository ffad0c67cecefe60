"""The landmark form of ik_refine on bodies whose pose, shape and place are known."""

import pytest
import torch

from humesh.body.joints import LIMBS12, MEDIAPIPE33, SMPL24
from humesh.body.kinematics import swing
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.fitting.landmark_ik import LandmarkIK
from humesh.geometry.align import procrustes
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_from_axis_angle
from humesh.methods.base import SkeletonPrediction

SIZE = (1280, 960)
FACING = torch.diag(torch.tensor([1.0, -1.0, -1.0])).double()  # a T-posed body upright in the camera's axes, facing it
LIMBS = SMPL24.indices(*LIMBS12.names)

# Axis-angle, radians: people that somebody could draw by hand.
POSES: dict[str, dict[str, tuple[float, float, float]]] = {
    "standing": {"left_shoulder": (0, 0, -1.2), "right_shoulder": (0, 0, 1.2)},
    "t": {},
    "squat": {"left_hip": (-1.5, 0, 0.2), "right_hip": (-1.5, 0, -0.2),
              "left_knee": (1.7, 0, 0), "right_knee": (1.7, 0, 0)},
    "boxer": {"left_shoulder": (0, -0.5, -0.9), "right_shoulder": (0, 0.5, 0.9),
              "left_elbow": (0, -1.9, 0), "right_elbow": (0, 1.9, 0)},
    "bent": {"spine1": (0.3, 0, 0), "spine2": (0.3, 0, 0), "left_knee": (0.4, 0, 0)},
    "turned away": {"pelvis": (0, 2.6, 0), "right_shoulder": (0, 0.4, 1.0), "right_elbow": (0, 1.0, 0)},
}  # fmt: skip


def _people(body: BodyModel) -> BodyPose:
    vectors = torch.zeros(len(POSES), 24, 3, dtype=torch.float64)
    for i, pose in enumerate(POSES.values()):
        for joint, vector in pose.items():
            vectors[i, SMPL24.index(joint)] = torch.tensor(vector)
    rotations = rotation_from_axis_angle(vectors)
    rotations[:, 0] = FACING @ rotations[:, 0]
    shape = torch.zeros(len(POSES), body.shapes).double()
    shape[:, 0] = torch.linspace(-1.5, 1.5, len(POSES))
    places = torch.tensor([[-1.0, 0.2, 5.0], [0, 0, 3.0], [0.8, 0, 4.0], [0, -0.3, 6.0], [0.5, 0.2, 4.0], [0, 0, 4.5]])
    return BodyPose(rotations, shape, places.double())


def _landmarks(body: BodyModel, pose: BodyPose, camera: Camera) -> tuple[torch.Tensor, torch.Tensor]:
    """What a perfect landmark model would say: points on the photo, and metres as seen along the ray to the person."""
    points = body.keypoints(body(pose).vertices, MEDIAPIPE33)
    pixels = camera.project(points)
    keypoints = torch.cat([pixels, torch.ones_like(pixels[..., :1])], dim=-1)
    centre = points.mean(-2, keepdim=True)
    straight = torch.tensor([0.0, 0.0, 1.0]).double().expand_as(centre[:, 0])
    return keypoints, (points - centre) @ swing(straight, centre[:, 0])


@pytest.fixture(scope="module")
def camera() -> Camera:
    return Camera.guess(SIZE)


def _solve(body: BodyModel, keypoints: torch.Tensor, landmarks: torch.Tensor, camera: Camera) -> SkeletonPrediction:
    return LandmarkIK(body)(keypoints, landmarks, camera, SIZE)


def test_known_people_are_found_again(open_body: BodyModel, camera: Camera) -> None:
    truth = _people(open_body)
    found = _solve(open_body, *_landmarks(open_body, truth, camera), camera)
    ours, theirs = open_body.joints(found.pose)[:, LIMBS], open_body.joints(truth)[:, LIMBS]
    aligned = procrustes(ours, theirs)(ours)
    # 30 mm: joint centres and landmarks are not the same points, and limbs are longer or shorter than the body's
    assert (aligned - theirs).norm(dim=-1).mean(-1).max() < 0.030
    pixels = (camera.project(ours) - camera.project(theirs)).norm(dim=-1).mean(-1)
    height = camera.project(theirs).amax((-2, -1)) - camera.project(theirs).amin((-2, -1))
    assert (pixels / height).max() < 0.03
    assert (found.pose.translation - truth.translation).norm(dim=-1).max() < 0.35  # depth goes with the guessed size
    assert found.seen.all()


def test_taller_people_get_larger_bodies(open_body: BodyModel, camera: Camera) -> None:
    found = _solve(open_body, *_landmarks(open_body, _people(open_body), camera), camera)
    height = found.pose.shape[:, 0]
    assert height[-1] > height[0] + 1


def test_left_and_right_are_where_they_belong(open_body: BodyModel, camera: Camera) -> None:
    """Somebody who faces the camera has the left hand on the photo's right."""
    truth = _people(open_body).map(lambda t: t[1:2])
    found = _solve(open_body, *_landmarks(open_body, truth, camera), camera)
    pixels = camera.project(open_body.joints(found.pose))[0]
    assert pixels[SMPL24.index("left_wrist"), 0] > pixels[SMPL24.index("right_wrist"), 0] + 100


def test_an_unseen_arm_hangs_at_rest_and_is_marked(open_body: BodyModel, camera: Camera) -> None:
    truth = _people(open_body).map(lambda t: t[3:4])  # the boxer's arms are up
    keypoints, landmarks = _landmarks(open_body, truth, camera)
    arm = [i for i, name in enumerate(MEDIAPIPE33.names) if name.startswith("left_") and name.split("_")[1] in
           ("elbow", "wrist", "pinky", "index", "thumb")]  # fmt: skip
    keypoints[:, arm, 2] = 0.05
    landmarks[:, arm] += torch.randn(1, len(arm), 3).double()  # noise that must not show
    found = _solve(open_body, keypoints, landmarks, camera)
    unseen = {SMPL24.names[i] for i in (~found.seen[0]).nonzero()[:, 0]}
    assert unseen == {"left_elbow", "left_wrist", "left_hand"}
    joints = dict(zip(SMPL24.names, open_body.joints(found.pose)[0], strict=True))
    assert joints["left_wrist"][1] > joints["left_shoulder"][1] + 0.3  # hangs: y points down
    other = open_body.joints(_solve(open_body, *_landmarks(open_body, truth, camera), camera).pose)[0]
    seen = SMPL24.indices("right_wrist", "left_knee", "right_ankle", "head")
    assert (open_body.joints(found.pose)[0, seen] - other[seen]).norm(dim=-1).max() < 0.05


def test_points_outside_the_photo_count_as_unseen(open_body: BodyModel, camera: Camera) -> None:
    truth = _people(open_body).map(lambda t: t[:1])
    truth = BodyPose(truth.rotations, truth.shape, torch.tensor([[0.0, 0.75, 2.2]]).double())  # cut off at the waist
    found = _solve(open_body, *_landmarks(open_body, truth, camera), camera)
    assert not found.seen[0, SMPL24.indices("left_knee", "right_knee", "left_ankle", "right_foot")].any()
    assert found.seen[0, SMPL24.indices("head", "left_shoulder", "right_elbow")].all()
    joints = dict(zip(SMPL24.names, open_body.joints(found.pose)[0], strict=True))
    assert joints["left_ankle"][1] > joints["left_hip"][1] + 0.6  # legs hang straight below


def test_one_person_does_not_change_another(open_body: BodyModel, camera: Camera) -> None:
    keypoints, landmarks = _landmarks(open_body, _people(open_body), camera)
    together = _solve(open_body, keypoints, landmarks, camera)
    alone = _solve(open_body, keypoints[2:3], landmarks[2:3], camera)
    assert torch.allclose(together.pose.rotations[2:3], alone.pose.rotations, atol=1e-8)
    assert torch.allclose(together.pose.translation[2:3], alone.pose.translation, atol=1e-6)


def test_noise_and_nonsense_give_finite_bodies(open_body: BodyModel, camera: Camera) -> None:
    keypoints = torch.rand(5, 33, 3).double() * torch.tensor([1280.0, 960.0, 1.0])
    landmarks = torch.randn(5, 33, 3).double()
    keypoints[0, :, 2] = 0
    landmarks[1] = 0
    keypoints[2, :, :2] = 400.0
    keypoints[3, :, :2] += 1e5
    found = _solve(open_body, keypoints, landmarks, camera)
    for tensor in (found.pose.rotations, found.pose.shape, found.pose.translation):
        assert tensor.isfinite().all()
    rotations = found.pose.rotations
    assert torch.allclose(rotations @ rotations.mT, torch.eye(3).double().expand_as(rotations), atol=1e-6)
