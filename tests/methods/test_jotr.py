"""JOTR against its authors' arrays, and its parts, switches and losses against naive twins."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import check_parity
import numpy as np
import pytest
import roma
import torch

from humesh.body.joints import COCO17, JOTR15, JOTR30, SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.crops.crops import Crops, group_people, jotr_box, visible_in_crop
from humesh.geometry.boxes import square_crop
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_from_axis_angle, rotation_to_axis_angle
from humesh.losses import Targets
from humesh.media.photo import Photo
from humesh.methods.jotr import Jotr, JotrConfig, JotrPrediction, weak_camera
from humesh.methods.jotr_loss import jotr_estimates, jotr_labels, nearest_vectors
from humesh.networks.heads import LiftedVolume, fractions, sine_code, sine_code_2d
from humesh.people.person import Person

PARITY = Path(__file__).parents[1] / "data" / "parity" / "jotr"
SMALL = JotrConfig(
    encoder="resnet18",
    size=96,
    width=32,
    heads=4,
    hidden=48,
    volume_hidden=40,
    depth=4,
    encoder_layers=1,
    decoder_layers=3,
)
SUPERVISED = (
    "body_joint_img", "smpl_joint_img", "smpl_pose", "smpl_shape", "body_joint_proj", "body_joint_cam",
)  # fmt: skip
ABLATIONS = [
    {},
    {"pose_decoder": "vposer"},
    *({"decoder_sees": sees, "contrast": ()} for sees in ("flat2d", "sampled2d", "sampled2d+sampled3d")),
    {"read_from": "joint_tokens"},
    {"contrast": ("joint_to_joint",)},
    {"contrast": ("joint_to_non_joint",), "warped_contrast": True},
]


def test_it_computes_what_the_authors_network_computes() -> None:
    for arrays in check_parity.check_folder("jotr", PARITY):
        assert not arrays.leftover()
        off = [f"{r.name}: {r.error:.1e} > {r.allowed:.1e}" for r in arrays.results if not r.holds]
        assert not off, arrays.path.stem


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load("open-low")


def _crops(groups: int, size: int = SMALL.size, seed: int = 0) -> Crops:
    generator = torch.Generator().manual_seed(seed)
    boxes = 300 * torch.rand(groups, 2, generator=generator)
    affine = square_crop(torch.cat([boxes, boxes + 200], dim=-1), size)[:, None]
    points = torch.rand(groups, 1, len(JOTR30), 3, generator=generator) * torch.tensor([size, size, 1.0])
    camera = Camera(Camera.guess((640, 480)).matrix.float().expand(groups, 1, 3, 3))
    here = torch.ones(groups, 1, dtype=torch.bool)
    return Crops(torch.rand(groups, 1, 3, size, size, generator=generator), affine, camera, points, here, here,
                 0.3 * torch.randn(groups, 1, 33, 4, generator=generator))  # fmt: skip


def _targets(groups: int, size: int = SMALL.size, seed: int = 1) -> Targets:
    """Every other person is known in 3D only, as are some of the joints; some are outside of the crop."""
    generator = torch.Generator().manual_seed(seed)
    joints, one = (groups, 1, len(JOTR30)), torch.ones(groups, 1)
    in_3d = (torch.arange(groups) % 2 == 0).float()[:, None, None]
    return Targets(
        BodyPose.rest(groups, 1),
        torch.ones(groups, 1, 24),
        one,
        one,
        JOTR30,
        torch.randn(*joints, 3, generator=generator) * 0.4,
        in_3d * (torch.rand(joints, generator=generator) > 0.2),
        (1.4 * torch.rand(*joints, 2, generator=generator) - 0.2) * size,
        (torch.rand(joints, generator=generator) > 0.2).float(),
        torch.arange(groups)[:, None],
        one,
        one,
    )


def _nudged(method: Jotr) -> Jotr:
    """Off the start, at which the queries' zeros hide some gradients."""
    for parameter in method.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    return method


@pytest.mark.parametrize("change", ABLATIONS, ids=str)
def test_every_form_trains(body: BodyModel, change: dict[str, object]) -> None:
    method = _nudged(Jotr(replace(SMALL, **change), body)).train()
    crops, targets = _crops(4), _targets(4)
    prediction = method(crops)
    losses = method.objective(crops, prediction, targets)
    assert set(losses) == {*SUPERVISED, *method.config.contrast}
    assert all(loss.isfinite() and loss > 0 for loss in losses.values()), losses
    sum(losses.values()).backward()
    for name, parameter in method.named_parameters():
        if name.startswith("vposer"):
            continue  # frozen
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


def test_crops_of_another_size(body: BodyModel) -> None:
    method = Jotr(replace(SMALL, size=160), body).eval()
    prediction = method(_crops(2, 160))
    assert prediction.volume is not None
    assert prediction.volume.shape == (2, 1, 4 * 5 * 5, 32)
    assert prediction.joints.shape == (2, 1, 15, 3)


def test_people_do_not_mix_and_absent_ones_change_nothing(body: BodyModel) -> None:
    method = _nudged(Jotr(SMALL, body)).eval()
    crops = _crops(3)
    together, alone = method(crops), method(crops.map(lambda tensor: tensor[1:2]))
    assert torch.allclose(together.joints[1:2], alone.joints, atol=1e-5)
    assert torch.allclose(together.pose.rotations[1:2], alone.pose.rotations, atol=1e-5)
    present = torch.tensor([[True], [True], [False]])
    noise = torch.where(present[..., None, None, None], crops.pixels, torch.rand_like(crops.pixels))
    other = method(replace(crops, pixels=noise, present=present, wanted=present))
    assert torch.allclose(together.joints[:2], other.joints[:2], atol=1e-5)


def test_keypoints_unseen_or_outside_are_not_looked_at(body: BodyModel) -> None:
    method = _nudged(Jotr(SMALL, body)).eval()
    crops = _crops(1)
    points = crops.keypoints.clone()
    points[..., :2] = points[..., :2].clamp(1, SMALL.size - 1)
    points[..., 2] = 1
    hidden, moved, outside = points.clone(), points.clone(), points.clone()
    hidden[0, 0, 4, 2] = 0.05
    moved[0, 0, 4] = torch.tensor([50.0, 20.0, 0.0])
    outside[0, 0, 4, 0] = SMALL.size
    answers = [method(replace(crops, keypoints=given)).joints for given in (points, hidden, moved, outside)]
    assert not torch.allclose(answers[0], answers[1], atol=1e-6)
    assert torch.equal(answers[1], answers[2])
    assert torch.equal(answers[1], answers[3])
    assert visible_in_crop(torch.tensor([[0.0, 0, 0.06], [96, 0, 1], [-0.1, 0, 1]]), (96, 96)).tolist() == [
        True,
        False,
        False,
    ]


def test_training_drops_three_of_thirty_joints(body: BodyModel) -> None:
    method = Jotr(SMALL, body).train()
    maps: list[torch.Tensor] = []
    method.fusion.register_forward_hook(lambda module, inputs, output: maps.append(inputs[0][:, -30:]))
    crops = _crops(4)
    method.network(crops.pixels[:, 0], torch.full((4, 30, 2), 12.0), torch.ones(4, 30))
    kept = maps[0].amax((-2, -1)) > 0
    assert kept.sum(1).tolist() == [27] * 4
    assert len({tuple(row) for row in kept.tolist()}) > 1


def test_the_depth_axis_is_stretched() -> None:
    volume = LiftedVolume(6, 8, (4, 2, 3), torch.nn.ModuleList())
    volume.exponent.data = torch.tensor(2.0)
    assert torch.allclose(volume.warped(torch.tensor([[[0.5, 0.5, 0.5]]])), torch.tensor([[[0.5, 0.5, 0.25]]]))
    grid = fractions((4, 2, 3), volume.clamped_exponent()).unflatten(0, (4, 2, 3))
    assert torch.allclose(grid[3, 1, 2], torch.tensor([9 / 16, 1 / 2, 2 / 3]))
    volume.exponent.data = torch.tensor(0.2)
    assert volume.clamped_exponent() == 1
    assert volume(torch.randn(2, 6, 2, 3)).shape == (2, 24, 8)


def test_position_codes_are_the_published_sums() -> None:
    code = sine_code(torch.arange(5).float(), 6)
    assert np.isclose(code[3, 4], np.sin(3 / 10000 ** (4 / 6)), atol=1e-6)
    assert np.isclose(code[3, 5], np.cos(3 / 10000 ** (4 / 6)), atol=1e-6)
    flat = sine_code_2d(2, 3, 8).unflatten(0, (2, 3))
    assert np.isclose(flat[0, 2, 1], np.cos(2 * np.pi / 2), atol=1e-5)  # y, its half of the numbers first
    assert np.isclose(flat[0, 1, 6], np.sin(2 * np.pi * 2 / 3 / 10000 ** (2 / 4)), atol=1e-5)


def test_the_body_is_seen_in_the_crop_where_the_camera_numbers_say(body: BodyModel) -> None:
    """The virtual camera (5000 px) before the crop and the photo's own camera put the body onto the same place."""
    crops = _crops(2)
    numbers = torch.tensor([[[0.2, -0.1, -0.5]], [[-0.3, 0.1, 0.4]]])
    translation = crops.camera.translation_from_weak(weak_camera(numbers), crops.size)
    depth = 5000 * 2.5 / SMALL.size * numbers[..., 2:].sigmoid()
    virtual = Camera.virtual(5000.0, crops.size).project(torch.cat([numbers[..., :2], depth], dim=-1))
    assert torch.allclose(crops.camera.project(translation[..., None, :])[..., 0, :], virtual, atol=1e-3)
    size = crops.camera.focal_px / translation[..., 2]  # pixels of a metre there
    assert torch.allclose(size, 5000 / depth[..., 0], rtol=1e-5)


def test_6d_starts_about_the_t_pose_and_vposer_leaves_the_hands(body: BodyModel) -> None:
    zero = Jotr(SMALL, body).rotations(torch.eye(3)[None, :, :2].flatten(1), torch.zeros(1, 138))
    assert torch.allclose(zero, torch.eye(3).expand(1, 24, 3, 3), atol=1e-6)
    method = Jotr(replace(SMALL, pose_decoder="vposer"), body)
    code = torch.randn(2, 32, requires_grad=True)
    rotations = method.rotations(torch.randn(2, 6), code)
    assert roma.rotmat_geodesic_distance(rotations[:, 22:], torch.eye(3)).max() < 1e-3
    rotations.sum().backward()
    assert code.grad.any()
    assert not any(parameter.requires_grad for parameter in method.vposer.parameters())
    assert sum(key.startswith("vposer.") for key in method.state_dict()) == 6


def test_a_stage_reads_an_earlier_layer(body: BodyModel) -> None:
    last, first = Jotr(SMALL, body).eval(), Jotr(SMALL, body).eval()
    first.load_state_dict(last.state_dict())
    first.use_stage("layer0")
    crops = _crops(2)
    output = last.network(crops.pixels[:, 0], crops.keypoints[:, 0, :, :2] / 4, torch.ones(2, 30))
    again = first.network(crops.pixels[:, 0], crops.keypoints[:, 0, :, :2] / 4, torch.ones(2, 30))
    assert torch.equal(output.pose, again.pose)
    assert torch.equal(again.rotations, last.rotations(output.root[0], output.pose[0]))
    assert torch.equal(output.rotations, last.rotations(output.root[2], output.pose[2]))


def test_losses_are_the_authors_sums_in_their_units(body: BodyModel) -> None:
    """Loops over people, joints and axes: heatmap cells, metres from the pelvis, axis-angle; means over everything."""
    method, crops, targets = Jotr(replace(SMALL, contrast=()), body), _crops(4), _targets(4)
    generator = torch.Generator().manual_seed(5)
    joints = torch.rand(4, 1, 15, 3, generator=generator)
    turns = rotation_from_axis_angle(0.3 * torch.randn(2, 4, 1, 24, 3, generator=generator))
    away = crops.camera.translation_from_weak(torch.tensor([0.7, 0.0, 0.0]).expand(4, 1, 3), crops.size)
    shapes = torch.rand(2, 4, 1, 10, generator=generator)
    fit, made = (BodyPose(turn, shape, away) for turn, shape in zip(turns, shapes, strict=True))
    fitted, known = torch.tensor([1.0, 0, 1, 1])[:, None], torch.tensor([1.0, 0, 1, 0])[:, None]
    targets = replace(
        targets, pose=fit, pose_weight=fitted[..., None].expand(-1, -1, 24), shape_weight=fitted,
        translation_weight=torch.tensor([1.0, 1, 0, 0])[:, None],  # the third's place is known from their 3D points
        points3d_weight=targets.points3d_weight.index_fill(2, torch.tensor([0]), 1.0) * known[..., None],
        points2d_weight=targets.points2d_weight * (torch.arange(30) < torch.tensor([[[30]], [[30]], [[30]], [[5]]])),
    )  # fmt: skip
    losses = method.objective(crops, JotrPrediction(made, joints, None), targets)
    points, fits = (body.points(body(pose), JOTR30)[:, 0] for pose in (made, fit))
    fits[2] += targets.points3d[2, 0, 0] - fits[2, 0]
    pixels, fit_pixels = (crops.camera.project(p[:, None])[:, 0] / SMALL.size for p in (points, fits))
    label2d, label3d = targets.points2d[:, 0] / SMALL.size, targets.points3d[:, 0]
    sums = dict.fromkeys(SUPERVISED, 0.0)
    fifteen = JOTR30.indices(*JOTR15.names)
    for n in range(4):
        for k in range(30):
            deep = bool(targets.points3d_weight[n, 0, k] * targets.points3d_weight[n, 0, 0])
            z = float(label3d[n, k, 2] - label3d[n, 0, 2]) / 2 + 0.5
            seen = bool(targets.points2d_weight[n, 0, k]) and all(0 <= v < 1 for v in label2d[n, k])
            seen = seen and (not deep or 0 <= z < 1)
            apart = 5 * ((points[n, k] - points[n, 0]) - (label3d[n, k] - label3d[n, 0])).abs()
            sums["body_joint_cam"] += deep * float(apart.sum())
            sums["body_joint_proj"] += seen * float((64 * pixels[n, k] - 64 * label2d[n, k]).abs().sum() / 8)
            if k not in fifteen:
                continue
            joint = 64 * joints[n, 0, fifteen.index(k)]
            miss = (joint - 64 * torch.tensor([*label2d[n, k], z])).abs() / 64
            sums["body_joint_img"] += seen * float(miss[0] + miss[1] + deep * miss[2])
            z = float(fits[n, k, 2] - fits[n, 0, 2]) / 2 + 0.5
            place = torch.tensor([*fit_pixels[n, k], z])
            inside = bool(fitted[n]) and n < 3 and bool(((place >= 0) & (place < 1)).all())  # the last one's is unknown
            sums["smpl_joint_img"] += inside * float((joint / 64 - place).abs().sum())
        for k, name in enumerate(SMPL24.names):
            if not name.endswith(("ankle", "foot", "wrist", "hand")) and fitted[n]:
                vectors = (rotation_to_axis_angle(pose.rotations[n, 0, k]) for pose in (made, fit))
                sums["smpl_pose"] += float((next(vectors) - next(vectors)).abs().sum())
        sums["smpl_shape"] += float(fitted[n] * (made.shape[n] - fit.shape[n]).abs().sum())
    counts = {
        "body_joint_cam": 360, "body_joint_img": 180, "body_joint_proj": 240, "smpl_joint_img": 180, "smpl_pose": 288,
        "smpl_shape": 40,
    }  # fmt: skip
    for name, loss in losses.items():
        assert np.isclose(float(loss), sums[name] / counts[name], rtol=1e-4), name
        assert loss > 0, name


def test_a_fit_without_a_place_is_put_where_its_points_are_seen(body: BodyModel) -> None:
    crops, targets = _crops(2), _targets(2)
    place = crops.camera.translation_from_weak(torch.tensor([0.7, 0.0, 0.0]).expand(2, 1, 3), crops.size)
    pose = BodyPose(rotation_from_axis_angle(0.3 * torch.randn(2, 1, 24, 3)), torch.randn(2, 1, 10), place)
    points = body.points(body(pose), JOTR30)
    unplaced = replace(pose, translation=torch.randn(2, 1, 3))
    nothing, one = torch.zeros(2, 1), torch.ones(2, 1, 30)
    targets = replace(
        targets, pose=unplaced, translation_weight=nothing, points3d_weight=0 * one, points2d_weight=one,
        points2d=crops.camera.project(points),
    )  # fmt: skip
    made = jotr_estimates(body, torch.rand(2, 1, 15, 3), pose, crops)
    labels, at = jotr_labels(body, made, targets, crops), JOTR30.indices(*JOTR15.names)
    assert torch.allclose(labels["smpl_joint_img"][0][..., :2], made["body_joint_proj"][..., at, :], atol=2e-3)
    assert torch.allclose(labels["smpl_joint_img"][0][..., 2], 0.5 + made["body_joint_cam"][..., at, 2] / 2, atol=1e-3)
    assert labels["smpl_joint_img"][1].all()
    for count in (6, 5):  # points that place a fit, and too few
        few = replace(targets, points2d_weight=one * (torch.arange(30) < count))
        assert bool(jotr_labels(body, made, few, crops)["smpl_joint_img"][1].any()) == (count == 6)
    half = torch.ones(2, 1, 24).index_fill(2, torch.tensor([4]), 0.0)
    for weights in ({"shape_weight": nothing}, {"pose_weight": half}):
        assert not jotr_labels(body, made, replace(targets, **weights), crops)["smpl_joint_img"][1].any()
    floating = jotr_labels(body, made, replace(targets, points3d_weight=one.index_fill(2, torch.tensor([0]), 0)), crops)
    assert not floating["body_joint_cam"][1].any()  # without a pelvis 3D is relative to nothing
    assert not floating["body_joint_img"][1][..., 2].any()
    vectors = made["smpl_pose"]
    other = made | {"smpl_pose": vectors * (1 - 2 * torch.pi / vectors.norm(dim=-1, keepdim=True))}
    turned, _ = jotr_labels(body, other, targets, crops)["smpl_pose"]
    much = vectors.norm(dim=-1) > 0.2
    assert torch.allclose(turned[much], other["smpl_pose"][much], atol=1e-3)
    behind = replace(pose, translation=torch.tensor([0.0, 0.0, -3.0]).expand(2, 1, 3))
    targets = replace(targets, pose=behind, translation_weight=torch.ones(2, 1))
    assert not jotr_labels(body, made, targets, crops)["smpl_joint_img"][1].any()


def test_a_turn_beyond_half_a_one_is_compared_with_the_nearer_vector() -> None:
    """(3.2, 0, 0) and (-3.08, 0, 0) are the same turn: a prediction of (3.1, 0, 0) is 0.1 off, not 6.2."""
    label, made = torch.zeros(1, 24, 3), torch.zeros(1, 24, 3)
    label[0, 0, 0], made[0, 0, 0] = 3.2 - 2 * torch.pi, 3.1
    near = nearest_vectors(label, made)
    assert torch.allclose(near[0, 0], torch.tensor([3.2, 0, 0]), atol=1e-5)
    assert torch.equal(near[0, 1:], label[0, 1:])


def test_without_3d_there_is_no_contrast(body: BodyModel) -> None:
    method, crops, targets = Jotr(SMALL, body), _crops(2), _targets(2)
    flat = replace(targets, points3d_weight=torch.zeros_like(targets.points3d_weight))
    losses = method.objective(crops, method(crops), flat)
    assert losses["joint_to_joint"] == losses["joint_to_non_joint"] == losses["body_joint_cam"] == 0
    assert losses["body_joint_img"] > 0
    (losses["joint_to_joint"] + losses["joint_to_non_joint"]).backward()


def test_the_contrast_is_warped_where_that_is_wanted(body: BodyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """The paper samples H_3D at z^k in the contrastive losses too, the authors do not."""
    given: list[tuple[torch.Tensor, ...]] = []

    def noted(names: tuple[str, ...], *tensors: torch.Tensor) -> dict[str, torch.Tensor]:
        given.append(tensors)
        return {}

    monkeypatch.setattr("humesh.methods.jotr.joint_contrasts", noted)
    method, crops, targets = Jotr(SMALL, body), _crops(2), _targets(2)
    for warped in (False, True):
        method.config = replace(SMALL, warped_contrast=warped)
        method.objective(crops, method.eval()(crops), targets)
    (_, plain, true, valid, known, *_), (_, warped, warped_true, *_) = given
    cube = torch.tensor([1.0, 1.0, 3.0])  # k = 3 at first
    assert torch.allclose(warped, plain**cube, atol=1e-6)
    assert torch.allclose(warped_true[..., 2], true[..., 2].clamp(min=0) ** 3, atol=1e-6)
    assert known.tolist() == [True, False]
    at = JOTR30.indices(*JOTR15.names)
    inside = ((targets.points2d >= 0) & (targets.points2d < SMALL.size)).all(-1) & (targets.points2d_weight > 0)
    assert torch.equal(valid[1], inside[1, 0, at])  # of whom nothing is known in 3D


def test_the_box_without_keypoints_is_the_persons() -> None:
    points = np.zeros((17, 3))
    person = Person(np.array([100.0, 50.0, 200.0, 250.0]), 1.0, points, COCO17)
    box = jotr_box(person, (640, 480))
    assert np.allclose(box, [149.5 - 109.45, 149.5 - 109.45, 149.5 + 109.45, 149.5 + 109.45])  # 1.1 of 199 px
    points[5:7] = [[120.0, 100.0, 0.9], [180.0, 160.0, 0.9]]
    points[9] = [600.0, 400.0, 0.05]  # not seen
    box = jotr_box(person, (640, 480))
    assert np.allclose(box, [149.5 - 39.05, 129.5 - 39.05, 149.5 + 39.05, 129.5 + 39.05])  # 1.1 of 1.2 * 60 - 1
    far = Person(np.array([700.0, 0.0, 720.0, 40.0]), 1.0, np.zeros((17, 3)), COCO17)
    assert np.allclose(jotr_box(far, (640, 480)), [688.0, -2.0, 732.0, 42.0])


def test_from_a_photo_with_coco_keypoints(body: BodyModel) -> None:
    method = Jotr(SMALL, body).eval()
    rng = np.random.default_rng(0)
    photo = Photo.of(rng.integers(0, 255, (120, 160, 3)).astype(np.uint8))
    points = np.concatenate([rng.uniform(20, 100, (17, 2)), np.ones((17, 1))], axis=1)
    people = [Person(np.array([20.0, 20.0, 100.0, 100.0]), 1.0, points, COCO17)] * 2
    prediction = method(group_people(method.spec, photo, people))
    assert prediction.pose.rotations.shape == (2, 1, 24, 3, 3)
    assert (prediction.pose.translation[..., 2] > 0).all()


def test_wrong_inputs_are_told(body: BodyModel) -> None:
    wrong = replace(SMALL)
    object.__setattr__(wrong, "decoder_sees", "flat3d")  # no type is checked, as in a user's program
    with pytest.raises(ValueError, match=r"decoder_sees: expected one of flat2d, .*, got 'flat3d'"):
        Jotr(wrong, body)
    with pytest.raises(ValueError, match=r"contrast: expected some of joint_to_joint, .*, got \('all',\)"):
        JotrConfig(contrast=("all",))
    with pytest.raises(ValueError, match="size: expected a multiple of 32 px, got 250"):
        JotrConfig(size=250)
    with pytest.raises(ValueError, match=r"expected crops of \(96, 96\) px with 30 keypoints, got \(64, 64\) px"):
        Jotr(SMALL, body)(_crops(1, 64))
    with pytest.raises(ValueError, match="needs 2D keypoints of 'jotr30', got a person with only a box"):
        jotr_box(Person(np.zeros(4), 1.0), (10, 10))


def test_the_start_is_the_published_one(body: BodyModel) -> None:
    torch.manual_seed(0)
    method = Jotr(SMALL, body)
    assert not method.smpl_content.any()
    assert not method.joint_content.any()
    assert 0.8 < method.joint_code.std() < 1.2
    assert method.volume.exponent == 3
    assert 0.0008 < method.fusion[0].weight.std() < 0.0012
    assert not method.fusion[0].bias.any()
    first, second = (dict(layer.named_parameters()) for layer in method.volume.layers)
    assert all(torch.equal(first[name], second[name]) for name in first)
    bound = (6 / (32 + 48)) ** 0.5  # Xavier: width to feed-forward
    assert 0.9 * bound < method.decoder[0].linear1.weight.abs().max() <= bound


def test_untrained_it_answers_with_an_upright_body_at_rest(body: BodyModel) -> None:
    """From random heads some joints turn over for good: every start must be near the rest pose."""
    rest = torch.eye(3).repeat(24, 1, 1)
    rest[0] = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    for seed in range(3):
        torch.manual_seed(seed)
        with torch.no_grad():
            rotations = Jotr(SMALL, body).eval()(_crops(2)).pose.rotations
        assert (rotations - rest).abs().max() < 0.35
