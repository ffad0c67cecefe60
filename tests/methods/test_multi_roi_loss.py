"""Multi-RoI's losses against naive twins; and how much each of them moves the features."""

import math
from dataclasses import replace
from itertools import combinations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from humesh.body.joints import SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.crops.crops import Crops
from humesh.geometry.boxes import crop_around
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_from_axis_angle
from humesh.losses import Label, Targets
from humesh.methods.base import Prediction
from humesh.methods.multi_roi_loss import (
    camera_consistency,
    camera_consistency_authors,
    crop_contrast,
    crop_contrast_authors,
    roi_estimates,
    roi_labels,
    supervised_losses,
)

seeds = st.integers(0, 1000)


def _cameras(seed: int, groups: int = 2, views: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    """Weak cameras (s, tx, ty), boxes (cx, cy, b) px and focal lengths px, in photos of 640 x 480."""
    generator = torch.Generator().manual_seed(seed)
    draw = torch.rand(groups, views, 6, generator=generator, dtype=torch.float64)
    weak = torch.stack([0.4 + draw[..., 0], draw[..., 1] - 0.5, draw[..., 2] - 0.5], dim=-1)
    boxes = torch.stack([640 * draw[..., 3], 480 * draw[..., 4], 100 + 200 * draw[..., 5]], dim=-1)
    return weak, boxes, torch.full((groups, views), 700.0, dtype=torch.float64)


def _translations(weak: Tensor, boxes: Tensor) -> Tensor:
    photo = Camera(Camera.virtual(700.0, (640, 480)).matrix.expand(*weak.shape[:-1], 3, 3))
    return photo.cropped(crop_around(boxes[..., :2], boxes[..., 2], (256, 192))).translation_from_weak(weak, (256, 192))


def _full(weak: Tensor, box: Tensor) -> tuple[float, float, float]:
    """X, Y and S = b s as the paper writes them."""
    (s, tx, ty), (cx, cy, b) = weak.tolist(), box.tolist()
    return tx + 2 * (cx - 320) / (b * s), ty + 2 * (cy - 240) / (b * s), b * s


@given(seeds)
def test_the_papers_cameras_differ_by_the_sum_over_all_pairs(seed: int) -> None:
    weak, boxes, focal = _cameras(seed)
    loss = camera_consistency(_translations(weak, boxes), focal, torch.ones_like(focal, dtype=torch.bool))
    sums = []
    for group in range(2):
        views = [_full(w, b) for w, b in zip(weak[group], boxes[group], strict=True)]
        sums += [
            0.1 * (a[0] - b[0]) ** 2 + 0.1 * (a[1] - b[1]) ** 2 + 1e-4 * (a[2] - b[2]) ** 2
            for a, b in combinations(views, 2)
        ]
    assert math.isclose(float(loss), sum(sums) / 2, rel_tol=1e-6)


@given(seeds)
def test_the_authors_cameras_differ_from_the_first(seed: int) -> None:
    weak, boxes, focal = _cameras(seed)
    loss = camera_consistency_authors(_translations(weak, boxes), focal, torch.ones_like(focal, dtype=torch.bool))
    along, deep = [], []
    for group in range(2):
        views = [_full(w, b) for w, b in zip(weak[group], boxes[group], strict=True)]
        along += [((views[0][0] - v[0]) + (views[0][1] - v[1])) ** 2 for v in views]
        deep += [(1e-4 * (views[0][2] - v[2])) ** 2 for v in views]
    assert math.isclose(float(loss), sum(along) / 8 + sum(deep) / 8, rel_tol=1e-6)


def test_cameras_that_agree_cost_nothing() -> None:
    same = torch.tensor([0.3, -0.2, 4.0]).expand(3, 5, 3)
    focal, present = torch.full((3, 5), 900.0), torch.ones(3, 5, dtype=torch.bool)
    assert camera_consistency(same, focal, present) == 0
    assert camera_consistency_authors(same, focal, present) == 0


def test_absent_cameras_and_crops_count_nothing() -> None:
    weak, boxes, focal = _cameras(3)
    present = torch.tensor([[True, True, True, False], [False, False, False, False]])
    translation = _translations(weak, boxes)
    wild = torch.where(present[..., None], translation, 1e4)
    for loss in (camera_consistency, camera_consistency_authors):
        assert torch.equal(loss(translation, focal, present), loss(wild, focal, present))
        assert torch.isclose(
            loss(translation, focal, present), loss(translation[:1, :3], focal[:1, :3], present[:1, :3])
        )

    later = torch.tensor([[False, True, True, True]] * 2)
    assert camera_consistency_authors(translation, focal, later) == 0  # all are compared with the first
    z, there = torch.randn(3, 3, 6), torch.tensor([[True, True, True], [True, False, False], [True, True, False]])
    for contrast in (crop_contrast, crop_contrast_authors):
        assert torch.equal(contrast(z, there), contrast(torch.where(there[..., None], z, 50.0), there))


def _naive(z: Tensor, present: Tensor, authors: bool) -> float:
    """The contrastive loss in loops."""
    rows = [(g, z[g, n] / z[g, n].norm()) for g, n in present.nonzero().tolist()]
    losses = []
    for i, (sample, anchor) in enumerate(rows):
        likeness = [math.exp(float(anchor @ other) / 0.5) for _, other in rows]
        below = sum(v for j, v in enumerate(likeness) if j != i and (authors or rows[j][0] != sample))
        positive = [j for j in range(len(rows)) if j != i and rows[j][0] == sample]
        if positive:
            losses.append(sum(-math.log(likeness[j] / below) for j in positive) / len(positive))
    return (0.5 if authors else 1.0) * sum(losses) / len(losses)


@given(seeds)
def test_crops_are_contrasted_as_in_loops(seed: int) -> None:
    z = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    alone = torch.tensor([[True, False, False, False], [True, True, True, False], [True, True, True, True]])
    for present in (torch.ones_like(alone), alone):
        assert math.isclose(float(crop_contrast(z, present)), _naive(z, present, False), rel_tol=1e-9)
        assert math.isclose(float(crop_contrast_authors(z, present)), _naive(z, present, True), rel_tol=1e-9)


def test_the_authors_contrast_is_least_where_people_are_points_far_apart() -> None:
    """Then the sum below holds the four positives alone: 0.5 log 4, but for what little other people add."""
    z = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)[:, None].expand(-1, 5, -1)
    value = crop_contrast_authors(z, torch.ones(2, 5, dtype=torch.bool), temperature=0.02)
    assert math.isclose(float(value), 0.02 * math.log(4), rel_tol=1e-9)


def test_one_person_alone_gives_no_contrast_and_no_nan() -> None:
    z = torch.randn(1, 4, 5, requires_grad=True)
    loss = crop_contrast(z, torch.ones(1, 4, dtype=torch.bool))
    loss.backward()
    assert loss == 0
    assert z.grad is not None
    assert (z.grad == 0).all()


def test_supervised_losses_are_means_over_those_who_have_a_label() -> None:
    """Confidences count in no denominator; who is absent, or has no 3D or no fit, counts in none either."""
    torch.manual_seed(0)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(3, *shape, dtype=torch.float64)

    shapes = {"kp2d": (7, 2), "kp3d": (7, 3), "pose": (24, 3, 3), "betas": (10,), "vertices": (9, 3)}
    made, true = ({name: drawn(*shape) for name, shape in shapes.items()} for _ in range(2))
    confidence = torch.rand(2, 3, 7, dtype=torch.float64)
    in_2d, in_3d, fitted = (torch.tensor(v) for v in ([True, True, False], [True, False, False], [False, True, False]))

    def label(name: str, counted: Tensor, weight: Tensor) -> Label:
        return Label(true[name], weight, counted.view(3, *[1] * len(shapes[name])))

    one = torch.ones(())
    labels = {
        "kp2d": label("kp2d", in_2d, confidence[0, ..., None]),
        "kp3d": label("kp3d", in_3d, confidence[1, ..., None]),
        **{name: label(name, fitted, one) for name in ("vertices", "pose", "betas")},
    }
    losses = supervised_losses(made, labels)
    apart = {name: value - true[name] for name, value in made.items()}
    expected = {
        "kp2d": (confidence[0, :2, :, None] * apart["kp2d"][:2] ** 2).mean(),
        "kp3d": (confidence[1, 0, :, None] * apart["kp3d"][0] ** 2).mean(),
        "vertices": apart["vertices"][1].abs().mean(),
        "pose": (apart["pose"][1] ** 2).mean(),
        "betas": (apart["betas"][1] ** 2).mean(),
    }
    assert losses.keys() == expected.keys()
    for name, loss in losses.items():
        assert torch.isclose(loss, expected[name]), name
    nobody = {name: label._replace(counted=torch.zeros_like(label.counted)) for name, label in labels.items()}
    assert all(loss == 0 for loss in supervised_losses(made, nobody).values())


def test_labels_and_estimates_are_in_their_units_and_who_lacks_a_label_is_known(open_body: BodyModel) -> None:
    """The crop's axes from -1 to 1, metres from the middle of the hips, vertices from the pelvis."""
    torch.manual_seed(0)
    camera, here = Camera.virtual(100.0, (64, 128)).matrix.float().expand(1, 3, 3, 3), torch.ones(1, 3).bool()
    crops = Crops(torch.zeros(1, 3, 3, 128, 64), torch.eye(2, 3).expand(1, 3, 2, 3), Camera(camera),
                  torch.zeros(1, 3, 0, 3), here, here, torch.zeros(1, 3, 0, 4))  # fmt: skip
    away, rotations = torch.tensor([0.2, 0.1, 4.0]), rotation_from_axis_angle(0.4 * torch.randn(2, 1, 3, 24, 3))
    made, true = (BodyPose(turn, torch.randn(1, 3, 10), away.expand(1, 3, 3)) for turn in rotations)
    bodies, truth = open_body(made), open_body(true)
    points, labels3d, joints = open_body.points(bodies, SMPL24), torch.randn(1, 3, 24, 3), torch.ones(1, 3, 24)
    weights, hips = joints.clone(), SMPL24.indices("left_hip", "right_hip")
    weights[0, 1, hips[0]] = 0
    fit, one = joints.clone(), torch.ones(1, 3)
    fit[0, 1, 5] = 0
    pixels, confidence = 100 * torch.rand(1, 3, 24, 2), torch.rand(1, 3, 24)
    targets = Targets(true, fit, torch.tensor([[1.0, 1, 0]]), one, SMPL24, labels3d, weights, pixels, confidence,
                      torch.zeros(1, 3, dtype=torch.long), one, one)  # fmt: skip
    found, known = roi_estimates(open_body, Prediction(made), targets, crops), roi_labels(open_body, targets, crops)
    half = torch.tensor([32.0, 64.0])
    assert torch.allclose(found["kp2d"], Camera(camera).project(points) / half - 1, atol=1e-5)
    assert torch.allclose(known["kp2d"].value, pixels / half - 1, atol=1e-6)
    assert torch.allclose(found["kp3d"], points - points[..., hips, :].mean(-2, keepdim=True), atol=1e-6)
    assert torch.allclose(known["kp3d"].value, labels3d - labels3d[..., hips, :].mean(-2, keepdim=True), atol=1e-6)
    for vertices, body in ((found["vertices"], bodies), (known["vertices"].value, truth)):
        assert torch.allclose(vertices, body.vertices - body.joints[..., :1, :], atol=1e-6)
    assert torch.equal(known["kp2d"].confidence[..., 0], confidence)
    assert known["kp3d"].counted.squeeze().tolist() == [True, False, True]
    for name in ("pose", "betas", "vertices"):
        assert known[name].counted.squeeze().tolist() == [True, False, False]
    assert not known["kp3d"].confidence[0, 1].any()
    absent = roi_labels(open_body, targets, replace(crops, present=torch.tensor([[False, True, True]])))
    assert not any(label.counted.flatten()[0] for label in absent.values())
