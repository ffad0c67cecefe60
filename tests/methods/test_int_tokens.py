"""INT against its authors' network, and what holds for it of any size."""

import dataclasses
from pathlib import Path

import check_parity
import numpy as np
import pytest
import roma
import timm
import torch

from humesh.body.joints import COCO17, JOINT_SETS, SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.crops.crops import Crops
from humesh.geometry.rotations import rotation_from_axis_angle, rotation_to_axis_angle
from humesh.losses import Label, Targets, spin_estimates
from humesh.methods.deploy import Deployed, example_crops, inputs_of
from humesh.methods.int_tokens import IntConfig, IntTokens, int_labels, int_losses, person_square, resized
from humesh.networks.encoders import HYBRID, PLAIN, PatchEmbed, StandardisedConv
from humesh.people.person import Person

DATA = Path(__file__).parents[1] / "data" / "parity" / "int"
SMALL = IntConfig("resnet18", crop=(64, 64), width=48, heads=4, depth=2, frames=4, temporal_depth=2)
KINDS = ("none", "per_joint", "whole_pose")


def _small(body: BodyModel, temporal: str = "per_joint") -> IntTokens:
    return IntTokens(dataclasses.replace(SMALL, temporal=temporal), body).eval()


def _crops(network: IntTokens, batch: int = 2, count: int = 3) -> Crops:
    return example_crops(network, batch, count)


def _targets(body: BodyModel, count: int = 3) -> Targets:
    joint_set = JOINT_SETS[body.keypoint_names[0]]
    ones, points = torch.ones(2, count), torch.randn(2, count, len(joint_set), 3)
    return Targets(BodyPose.rest(2, count), torch.ones(2, count, 24), ones, ones, joint_set, points,
                   torch.ones(points.shape[:3]), points[..., :2], torch.ones(points.shape[:3]),
                   torch.zeros(2, count, dtype=torch.int64), ones, ones)  # fmt: skip


def _check(folder: Path) -> None:
    for arrays in check_parity.check_folder("int", folder):
        assert arrays.results
        assert [result for result in arrays.results if not result.holds] == []
        assert arrays.leftover() == []


def test_parity_frame_by_frame_of_a_clip_and_of_functions(tmp_path: Path) -> None:
    for path in DATA.iterdir():
        if path.name != "temporal_t32.npz":
            (tmp_path / path.name).symlink_to(path)
    _check(tmp_path)


@pytest.mark.slow
def test_parity_of_the_whole_folder() -> None:
    _check(DATA)


def test_standardised_weights_are_their_naive_twin() -> None:
    conv = StandardisedConv(4, 6, 3, stride=2)
    conv.weight.data.mul_(3).add_(1)
    w = conv.weight.detach().double().numpy()
    twin = np.stack([(f - f.mean()) / (f.std() + 1e-5) for f in w])
    assert np.abs(conv.standardised().detach().numpy() - twin).max() < 1e-6
    image = torch.randn(1, 4, 7, 7)  # 7 px, stride 2, kernel 3: one row before, one after
    padded = torch.nn.functional.pad(image, (1, 1, 1, 1))
    expected = torch.nn.functional.conv2d(padded, torch.from_numpy(twin).float(), stride=2)
    assert torch.allclose(conv(image), expected, atol=1e-5)


@pytest.mark.parametrize(("encoder", "stride"), [(HYBRID, 16), (PLAIN, 16), ("resnet18", 32)])
def test_patches_are_row_by_row(encoder: str, stride: int) -> None:
    embed = PatchEmbed(encoder, 24).eval()
    assert embed.stride == stride
    pixels = torch.zeros(1, 3, 4 * stride, 6 * stride)
    with torch.no_grad():
        dark = embed(pixels)
        pixels[..., 3 * stride :, 5 * stride :] = 1  # the last patch, of row 3 and column 5
        change = (embed(pixels) - dark).abs().amax(-1)[0]
    assert change.shape == (24,)
    assert change[23] > 0
    if encoder == PLAIN:  # the others look over the edges of patches
        assert change[:23].max() == 0


@pytest.mark.parametrize("frames", [1, 3, 4, 10])
def test_the_code_of_time_is_linear_between_the_middles_of_places(frames: int) -> None:
    code = torch.randn(1, 4, 5)
    at = np.clip((np.arange(frames) + 0.5) * 4 / frames - 0.5, 0, 3)
    twin = np.stack([np.interp(at, np.arange(4), code[0, :, c].numpy()) for c in range(5)], axis=-1)
    assert np.abs(resized(code, frames)[0].numpy() - twin).max() < 1e-6


def test_clips_of_any_length_leave_the_weights_alone(open_body: BodyModel) -> None:
    network = _small(open_body)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    first = network(_crops(network, count=4)).pose.rotations
    for count in (1, 7):
        assert network(_crops(network, count=count)).pose.rotations.shape == (2, count, 24, 3, 3)
    assert torch.equal(network(_crops(network, count=4)).pose.rotations, first)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_without_temporal_part_frames_know_nothing_of_each_other(open_body: BodyModel) -> None:
    network, pixels = _small(open_body, "none"), torch.randn(2, 3, 3, 64, 64)
    clip = network.network(pixels)
    alone = [torch.cat(part, dim=1) for part in zip(*(network.network(pixels[:, [i]]) for i in range(3)), strict=True)]
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(clip, alone, strict=True))
    assert network.spec.count == 1


def test_joints_have_their_own_motion_or_the_pose_has_one(open_body: BodyModel) -> None:
    for kind, alone in (("per_joint", True), ("whole_pose", False)):
        motion = _small(open_body, kind).temporal
        tokens, present = torch.randn(1, 4, 24, 48), torch.ones(1, 4, dtype=torch.bool)
        other = tokens.clone()
        other[0, 1, 5] += 1
        change = (motion(other, present) - motion(tokens, present)).abs().amax(-1)[0]  # frames x joints
        assert (change[:, 5] > 0).all()
        assert (torch.cat([change[:, :5], change[:, 6:]], dim=1).amax() == 0) == alone


@pytest.mark.parametrize("kind", KINDS)
def test_absent_frames_change_nothing(open_body: BodyModel, kind: str) -> None:
    network = _small(open_body, kind)
    crops = _crops(network, count=4)
    crops.present[0, 2] = crops.present[1, 0] = crops.present[1, 3] = False
    other = dataclasses.replace(crops, pixels=torch.where(crops.present[..., None, None, None], crops.pixels, 1.0))
    a, b = network(crops).pose, network(other).pose
    for one, two in ((a.rotations, b.rotations), (a.shape, b.shape), (a.translation, b.translation)):
        assert torch.allclose(one[crops.present], two[crops.present], atol=1e-6)
    nobody = dataclasses.replace(crops, present=torch.zeros_like(crops.present))
    assert network(nobody).pose.rotations.isfinite().all()


def test_present_frames_are_looked_at(open_body: BodyModel) -> None:
    network = _small(open_body)
    pixels, other = torch.randn(2, 1, 4, 3, 64, 64).unbind(0)
    other[:, 1:] = pixels[:, 1:]
    six, _, _ = network.network(pixels)
    changed, _, _ = network.network(other)
    assert ((six - changed).abs().amax((-2, -1))[0] > 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_every_parameter(open_body: BodyModel, kind: str) -> None:
    network = _small(open_body, kind).train()
    crops = _crops(network)
    prediction = network(crops)
    losses = network.objective(crops, prediction, _targets(open_body))
    assert losses.keys() == {"kp_2d", "kp_3d", "velocity", "pose", "shape", "norm"}
    assert all(loss > 0 for loss in losses.values()), losses
    sum(losses.values()).backward()
    lost = [
        n for n, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all() or not p.grad.any()
    ]
    assert lost == []


def _drawn(batch: int, frames: int) -> tuple[dict[str, torch.Tensor], dict[str, Label]]:
    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(batch, frames, *shape, dtype=torch.float64)

    def drawn() -> dict[str, torch.Tensor]:
        turned = rotation_from_axis_angle(0.5 * normal(24, 3))
        return {"kp_2d": normal(7, 2), "kp_3d": normal(7, 3), "pose": turned, "shape": normal(10)}

    made, true = drawn(), drawn()
    present = torch.rand(batch, frames) > 0.3
    counted = present & (torch.arange(batch) % 2 == 0)[:, None]
    fitted = counted & (torch.rand(batch, frames) > 0.4)
    one, some = torch.ones(batch, frames), torch.rand(2, batch, frames, 7, 1, dtype=torch.float64)
    return made, {
        "kp_2d": Label(true["kp_2d"], some[0], present[..., None, None]),
        "kp_3d": Label(true["kp_3d"], some[1], counted[..., None, None]),
        "pose": Label(true["pose"], one[..., None, None, None], fitted[..., None, None, None]),
        "shape": Label(true["shape"], one[..., None], fitted[..., None]),
    }


@pytest.mark.parametrize("seed", range(3))
def test_losses_are_sums_in_loops(seed: int) -> None:
    """Squared errors times confidences over all points and axes of the frames that count."""
    torch.manual_seed(seed)
    made, true = _drawn(4, 5)
    losses = int_losses(made, true)
    errors: dict[str, list[torch.Tensor]] = {name: [] for name in losses if name != "norm"}
    apart = {name: made[name] - true[name].value for name in made}
    counted = true["kp_3d"].counted[..., 0, 0]
    length, frames = 0.0, 0
    for b in range(4):
        for t in range(5):
            for name, label in true.items():
                if label.counted[b, t].all():
                    errors[name].append(label.confidence[b, t] * apart[name][b, t] ** 2)
            if not counted[b, t]:
                continue
            vectors = rotation_to_axis_angle(made["pose"][b, t])
            length += float(vectors.square().sum() + made["shape"][b, t].square().sum())
            frames += 1
            if t and counted[b, t - 1]:
                moved = apart["kp_3d"][b, t] - apart["kp_3d"][b, t - 1]
                errors["velocity"].append(true["kp_3d"].confidence[b, t - 1 : t + 1].prod(0) * moved**2)
    for name, each in errors.items():
        assert torch.isclose(losses[name], torch.stack(each).mean()), name
    assert torch.isclose(losses["norm"], torch.tensor(length**0.5 / frames).double())


def test_clips_and_images_are_two_batches_mixed_by_their_frames(open_body: BodyModel) -> None:
    """Three frames of a clip beside one image: each part's means, 3 to 1; points are about the hips, crops -1 to 1."""
    network = _small(open_body)
    crops, targets = _crops(network), _targets(open_body)
    crops.present[1, 1:] = False
    prediction = network(crops)
    losses = network.objective(crops, prediction, targets)

    def part(group: int, frames: int) -> dict[str, torch.Tensor]:
        def chosen(tensor: torch.Tensor) -> torch.Tensor:
            return tensor[group : group + 1, :frames]

        labels = {n: chosen(v) if isinstance(v, torch.Tensor) else v for n, v in vars(targets).items() if n != "pose"}
        some = dataclasses.replace(targets, **labels, pose=targets.pose.map(chosen))
        pose = prediction.pose.map(chosen)
        return network.objective(crops.map(chosen), dataclasses.replace(prediction, pose=pose), some)

    clip, image = part(0, 3), part(1, 1)
    for name, loss in losses.items():
        assert torch.isclose(loss, 0.75 * clip[name] + 0.25 * image[name], rtol=1e-4), name
    assert image["velocity"] == 0
    pose = prediction.pose.map(lambda tensor: tensor[:1])
    points, truth = open_body.points(open_body(pose), targets.joint_set), targets.points3d[:1]
    hips = targets.joint_set.indices("left_hip", "right_hip")
    apart = (points - points[..., hips, :].mean(-2, keepdim=True)) - (
        truth - truth[..., hips, :].mean(-2, keepdim=True)
    )
    assert torch.isclose(clip["kp_3d"], apart.square().mean(), rtol=1e-3)


def test_absent_frames_are_not_encoded_and_images_are_no_clips(open_body: BodyModel) -> None:
    network = _small(open_body)
    crops, seen = _crops(network, count=4), []
    crops.present[1, 1:] = False
    network.norm.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    pose = network(crops).pose
    assert seen == [5]  # four frames and one image
    image = network(crops.map(lambda tensor: tensor[1:, :1])).pose
    assert torch.allclose(pose.rotations[1, :1], image.rotations[0], atol=1e-5)
    clip = network(crops.map(lambda tensor: tensor[:1])).pose
    assert torch.allclose(pose.rotations[0], clip.rotations[0], atol=1e-5)


def test_untrained_bodies_stand_about_the_rest_pose_before_the_camera(open_body: BodyModel) -> None:
    network = IntTokens(dataclasses.replace(SMALL, width=384, heads=6), open_body).eval()
    pose = network(_crops(network)).pose
    assert roma.rotmat_geodesic_distance(pose.rotations, torch.eye(3).expand_as(pose.rotations)).mean() < 0.8
    assert pose.translation.isfinite().all()
    assert ((pose.translation[..., 2] > 5) & (pose.translation[..., 2] < 20)).all()  # f / (s b / 2), about 11 m


def test_released_checkpoints_say_their_sizes_and_lose_prefix_and_body(open_body: BodyModel) -> None:
    ours = _small(open_body).state_dict()
    keys = IntTokens.authors_keys
    back = {
        "joint_tokens": "joint3d_tokens",
        "camera_token": "cam_token",
        "temporal.position": "temporal_pos_embedding",
    }
    prefixes = (
        ("joint_head", "joint3d_head"),
        ("camera_head", "cam_head"),
        ("temporal.blocks", "temporal_transformer"),
    )
    theirs = {}
    for name, value in ours.items():
        for new, old in prefixes:
            name = name.replace(new, old)
        theirs["module." + back.get(name, name)] = value
    theirs["module.smpl.faces_tensor"] = torch.zeros(3)
    mapped, left = keys.apply(theirs)
    assert mapped.keys() == ours.keys()
    assert left == {"the body model's own arrays": ["module.smpl.faces_tensor"]}
    state = {"pos_embed": torch.zeros(1, 197, 768)}
    assert keys.config(state) == IntConfig(temporal="none")
    assert keys.config({**state, "temporal_pos_embedding": torch.zeros(1, 64, 768)}) == IntConfig(frames=64)
    with pytest.raises(KeyError, match="pos_embed"):
        keys.config({"something": torch.zeros(1)})


@pytest.mark.parametrize("encoder", [HYBRID, PLAIN])
def test_pretrained_transformers_find_all_their_places(open_body: BodyModel, encoder: str) -> None:
    given = timm.create_model(encoder, depth=1, num_classes=0).state_dict()
    own = IntTokens(IntConfig(encoder, depth=1, temporal="none"), open_body).state_dict()
    assert {name: own[name].shape for name in given} == {name: value.shape for name, value in given.items()}


def test_the_crop_is_a_square_of_the_diagonal() -> None:
    keypoints = np.zeros((17, 3))
    keypoints[0], keypoints[5], keypoints[9] = (10, 20, 0.9), (40, 60, 0.4), (500, 500, 0.3)  # the last is not seen
    person = Person(np.array([0.0, 0.0, 30.0, 40.0]), 1.0, keypoints, COCO17)
    assert np.allclose(person_square(person, (640, 480)), [25 - 27.5, 40 - 27.5, 25 + 27.5, 40 + 27.5])
    box_only = Person(np.array([0.0, 0.0, 30.0, 40.0]), 1.0)
    assert np.allclose(person_square(box_only, (640, 480)), [15 - 27.5, 20 - 27.5, 15 + 27.5, 20 + 27.5])


def test_it_becomes_a_plain_graph(open_body: BodyModel) -> None:
    network = _small(open_body)
    inputs = tuple(inputs_of(_crops(network, 1, 6)).values())
    with torch.no_grad():
        graph = torch.export.export(Deployed(network), inputs).module()
        for a, b in zip(graph(*inputs), Deployed(network)(*inputs), strict=True):
            assert torch.allclose(a, b, atol=1e-6)


def test_frames_looked_at_one_by_one_are_the_clip(open_body: BodyModel) -> None:
    network = _small(open_body)
    crops = _crops(network, count=3)
    features = torch.cat(
        [network.frame_features(crops.map(lambda tensor, i=i: tensor[:, i : i + 1])) for i in range(3)], dim=1
    )
    blank = dataclasses.replace(crops, pixels=torch.zeros(()).expand(crops.pixels.shape))
    one, whole = network.through_time(features, blank).pose, network(crops).pose
    assert torch.allclose(one.rotations, whole.rotations, atol=1e-5)
    assert torch.allclose(one.translation, whole.translation, rtol=1e-4)


def test_the_body_stays_out_of_the_network(open_body: BodyModel) -> None:
    network = _small(open_body)
    assert not any(module is open_body for module in network.modules())
    assert network.spec.size == (64, 64)
    assert (network.spec.group, network.spec.count) == ("frames", 4)
    assert network.joint_tokens.shape == (1, len(SMPL24), 48)


def test_wrong_settings_are_said_in_a_sentence(open_body: BodyModel) -> None:
    wrong = dataclasses.replace(SMALL)
    object.__setattr__(wrong, "temporal", "parallel")  # no type is checked, as in a user's program
    with pytest.raises(ValueError, match=r"temporal: expected one of none, per_joint, whole_pose, got 'parallel'\."):
        IntTokens(wrong, open_body)
    with pytest.raises(ValueError, match=r"crop: expected multiples of 32 px, got \(64, 50\)\."):
        IntTokens(dataclasses.replace(SMALL, crop=(64, 50)), open_body)
    with pytest.raises(ValueError, match="no_such_net"):
        IntTokens(dataclasses.replace(SMALL, encoder="no_such_net"), open_body)


def test_labels_say_who_has_a_fit_and_which_frames_count(open_body: BodyModel) -> None:
    """Of clips without 3D only 2D counts; images always count; pixels are from -1 to 1 in the crop."""
    network = _small(open_body)
    crops, targets = _crops(network, 4), _targets(open_body)
    targets = Targets(**{name: _twice(value) for name, value in vars(targets).items()})
    crops.present[:] = torch.tensor([[1, 1, 1], [1, 0, 1], [1, 0, 0], [1, 1, 1]]).bool()
    targets.points3d_weight[1, [0, 2]] = 0  # what is labelled is absent
    targets.points3d_weight[2] = 0
    targets.pose_weight[0, 1, 3] = 0
    targets.shape_weight[0, 2] = 0
    targets.points2d_weight[0, 0, 0] = 0.3
    labels = int_labels(targets, crops)
    assert torch.equal(labels["kp_2d"].counted.squeeze(), crops.present)
    assert labels["kp_3d"].counted.squeeze().tolist() == [[True] * 3, [False] * 3, [True, False, False], [True] * 3]
    for name in ("pose", "shape"):
        assert labels[name].counted.squeeze()[:2].tolist() == [[True, False, False], [False] * 3]
    assert torch.equal(labels["kp_2d"].confidence[..., 0], targets.points2d_weight)
    assert torch.allclose(labels["kp_2d"].value, targets.points2d / 32 - 1, atol=1e-6)
    points = open_body.points(open_body(targets.pose), targets.joint_set)
    pixels, *_ = spin_estimates(points, targets.pose, targets.joint_set, crops.camera, crops.size)
    points = torch.cat([points[..., :2], points[..., 2:].clamp(min=0.2)], dim=-1)
    expected = crops.camera.project(points) / 32 - 1
    assert torch.allclose(pixels, expected, rtol=1e-3, atol=1e-3)


def _twice(value: object) -> object:
    """What is of two people, for four; absent frames are changed, so it is copied."""
    if isinstance(value, BodyPose):
        return value.map(lambda tensor: tensor.repeat(2, *[1] * (tensor.dim() - 1)))
    return value.repeat(2, *[1] * (value.dim() - 1)) if isinstance(value, torch.Tensor) else value
