"""Multi-RoI against its authors' arrays, and its parts against naive twins."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import check_parity
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from humesh.body.joints import COCO17, SMPL24
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.crops.crops import Crops, group_people
from humesh.geometry.boxes import crop_around
from humesh.geometry.camera import Camera
from humesh.losses import Targets
from humesh.media.photo import Photo
from humesh.methods.multi_roi import (
    MultiRoi,
    MultiRoiAuthors,
    MultiRoiAuthorsConfig,
    MultiRoiConfig,
    MultiRoiPrediction,
)
from humesh.methods.rois import (
    ROI_COPIES,
    PairLinear,
    box_code,
    box_code_authors,
    box_vectors,
    keypoint_box,
    roi_copies,
)
from humesh.networks.encoders import HrNet
from humesh.networks.heads import Regressor, mean_starts
from humesh.people.person import Person

PARITY = Path(__file__).parents[1] / "data" / "parity" / "multi_roi"
SIZE = (64, 48)
SPINS = {"kp2d", "kp3d", "vertices", "pose", "betas"}
SMALL = MultiRoiConfig(encoder="resnet18", crop=SIZE, frequencies=4, hidden=(24, 16))
SMALL_AUTHORS = MultiRoiAuthorsConfig(encoder="resnet18", crop=SIZE, frequencies=4, mixing=12, hidden=(24, 16))


def test_it_computes_what_the_authors_network_computes() -> None:
    for arrays in check_parity.check_folder("multi_roi", PARITY):
        assert not arrays.leftover()
        off = [f"{r.name}: {r.error:.1e} > {r.allowed:.1e}" for r in arrays.results if not r.holds]
        assert not off, arrays.path.stem


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.load("open-low")


def _photo() -> Photo:
    pixels = np.random.default_rng(0).integers(0, 255, (120, 160, 3)).astype(np.uint8)
    return Photo(pixels, Camera.virtual(200.0, (160, 120)))


def _people(count: int = 2) -> list[Person]:
    return [Person(np.array([20.0 + 30 * i, 10.0, 60.0 + 30 * i, 100.0]), 1.0) for i in range(count)]


def _crops(method: MultiRoi | MultiRoiAuthors, people: int = 2) -> Crops:
    return group_people(method.spec, _photo(), _people(people))


def _targets(crops: Crops) -> Targets:
    group, one = crops.present.shape, torch.ones(crops.present.shape)
    joints, identity = len(SMPL24), torch.arange(group[0])[:, None].expand(group)
    points = torch.zeros(*group, joints, 3), torch.ones(*group, joints)
    flat = torch.zeros(*group, joints, 2), torch.ones(*group, joints)
    pose = BodyPose.rest(*group)
    return Targets(pose, torch.ones(*group, joints), one, one, SMPL24, *points, *flat, identity, one, one)


def _vary(method: MultiRoi | MultiRoiAuthors) -> None:
    """Heads start near 0; larger ones make differences visible."""
    for name, parameter in method.named_parameters():
        if ".heads." in name and name.endswith("weight"):
            torch.nn.init.normal_(parameter, std=0.3)


# Boxes


@pytest.mark.parametrize(
    ("keypoints", "box"),
    [
        (None, [20.0, 10.0, 60.0, 100.0]),
        ([[30.0, 40, 0.9], [90, 50, 0.4], [5, 5, 0.1]], [30.0, 40.0, 90.0, 50.0]),  # wider than high
        ([[30.0, 40, 0.9], [5, 5, 0.1]], [20.0, 10.0, 60.0, 100.0]),  # one point spans no box
        ([[30.0, 40, 0.9], [38, 44, 0.9]], [20.0, 10.0, 60.0, 100.0]),  # a face is not the person
    ],
)
def test_a_person_is_cut_in_five_ways(body: BodyModel, keypoints: list[list[float]] | None, box: list[float]) -> None:
    """Height 1.2 max(4/3 width, height), then the paper's table."""
    points = None if keypoints is None else np.array(keypoints + [[0.0, 0, 0]] * (17 - len(keypoints)))
    person = replace(_people(1)[0], keypoints=points, keypoint_set=None if points is None else COCO17)
    assert keypoint_box(person, (160, 120)).tolist() == box
    spec = MultiRoi(SMALL, body).spec
    crops = group_people(spec, _photo(), [person])
    x0, y0, x1, y1 = box
    cx, cy, b = (x0 + x1) / 2, (y0 + y1) / 2, 1.2 * max((x1 - x0) * 4 / 3, y1 - y0)
    shifts = [(0, 0, 1), (0.1, 0, 1.5), (-0.1, 0, 1.25), (0, 0.1, 0.8), (0, -0.1, 0.65)]  # fact: the paper's 3.1
    for affine, (dx, dy, scale) in zip(crops.crop_from_photo[0], shifts, strict=True):
        zoom = 64 / (scale * b)
        centre = torch.tensor([cx + dx * b, cy + dy * b])
        assert torch.allclose(affine[:, :2], zoom * torch.eye(2), rtol=1e-5)
        assert torch.allclose(affine @ torch.tensor([*centre.tolist(), 1.0]), torch.tensor([24.0, 32.0]), atol=1e-3)
    assert crops.wanted.tolist() == [[True, False, False, False, False]]


def test_box_schemes() -> None:
    assert roi_copies("both", 5) == ROI_COPIES
    assert roi_copies("random", 3) == ROI_COPIES[:3]
    assert roi_copies("none", 4) == ((0.0, 0.0, 1.0),) * 4
    assert [c[2] for c in roi_copies("scale", 5)] == [c[2] for c in ROI_COPIES]
    assert {c[:2] for c in roi_copies("scale", 5)} == {(0.0, 0.0)}
    assert [c[:2] for c in roi_copies("shift", 5)] == [c[:2] for c in ROI_COPIES]
    assert {c[2] for c in roi_copies("shift", 5)} == {1.0}
    generator = torch.Generator().manual_seed(1)
    first, again = (roi_copies("random", 5, generator) for _ in range(2))
    assert first != again
    assert first[0] == again[0] == (0.0, 0.0, 1.0)
    assert all(abs(dx) <= 0.1 and abs(dy) <= 0.1 and 0.65 <= scale <= 1.5 for dx, dy, scale in first + again)


@given(st.floats(0, 640), st.floats(0, 480), st.floats(30, 900))
def test_box_vectors_are_cliffs(cx: float, cy: float, b: float) -> None:
    crop = crop_around(torch.tensor([cx, cy]).double(), torch.tensor(b).double(), (256, 192))
    f = math.hypot(640, 480)
    expected = [(cx - 320) / f * 2.8, (cy - 240) / f * 2.8, (b - 0.24 * f) / (0.06 * f)]
    camera = Camera.virtual(f, (640, 480)).cropped(crop)
    assert torch.allclose(box_vectors(camera, (256, 192)), torch.tensor(expected).double(), atol=1e-6)


# Bricks


def test_the_code_is_rounded_once() -> None:
    numbers = torch.randn(20, 3)
    code = box_code_authors(numbers, 32)
    assert code.shape == (20, 195)
    x, pi = numbers.double().numpy(), float(np.float32(math.pi))
    for k in range(32):
        for which, phase in ((0, 0.0), (1, float(np.float32(math.pi / 2)))):
            argument = torch.from_numpy((x * (pi * 2.0**k) + phase).astype(np.float32))
            at = 3 + 6 * k + 3 * which
            assert torch.equal(code[:, at : at + 3], argument.sin()), (k, which)
    assert torch.equal(box_code_authors(numbers, 0), numbers)


def test_the_papers_code_is_exact_at_all_octaves() -> None:
    """Against sines of rational turns; one rounding of float64 does not change it, one of float32 changes all of it."""
    numbers = torch.tensor([[0.3, -1.7, 11.2]]).double()
    code = box_code(numbers, 32)
    assert code.shape == (1, 195)
    for axis, number in enumerate(numbers[0].tolist()):
        for k in range(32):
            turn = float(Fraction(number) * 2**k % 2)
            assert math.isclose(code[0, 3 + 6 * k + axis], math.sin(math.pi * turn), abs_tol=1e-6)
            assert math.isclose(code[0, 6 + 6 * k + axis], math.cos(math.pi * turn), abs_tol=1e-6)
    assert (box_code(numbers * (1 + 1e-16), 32) - code).abs().max() < 1e-4
    assert (box_code_authors(numbers.float(), 32) - code).abs().max() > 0.5


def test_what_is_mixed_depends_on_the_target_unless_as_printed(body: BodyModel) -> None:
    """gamma(B_m) - gamma(B_n) under a linear layer and softmax over n: what is of m cancels."""
    torch.manual_seed(0)
    features, boxes, present = torch.randn(1, 5, 512), torch.randn(1, 5, 3).double(), torch.ones(1, 5, dtype=torch.bool)
    for code, differ in (("difference", True), ("relative", False), ("own", False)):
        method = MultiRoi(replace(SMALL, code=code), body)
        torch.nn.init.normal_(method.fusion.pair.weight)
        mixed = method.mix(features, boxes, present)[0]
        assert bool((mixed - mixed[:1]).abs().max() > 1e-2) == differ, code


def test_self_attention_sees_the_boxes(body: BodyModel) -> None:
    method = MultiRoi(replace(SMALL, fusion="self_attention"), body).eval()
    features, present = torch.randn(1, 5, 512), torch.ones(1, 5, dtype=torch.bool)
    one, two = (method.mix(features, torch.randn(1, 5, 3).double(), present) for _ in range(2))
    assert (one - two).abs().max() > 1e-4


def test_pairs_are_multiplied_as_if_laid_side_by_side() -> None:
    layer, features, code = PairLinear(7 + 4, 3), torch.randn(2, 5, 7), torch.randn(2, 6, 5, 4)
    pairs = torch.cat([features[:, None].expand(2, 6, 5, 7), code], dim=-1)
    expected = pairs @ layer.weight.T + layer.bias
    assert torch.allclose(layer(features, code), expected, atol=1e-6)


def test_the_regressor_corrects_three_times() -> None:
    starts = {"a": torch.randn(4), "b": torch.randn(2)}
    regressor = Regressor(5, (8, 7), starts, 0.5).eval()
    known = torch.randn(3, 2, 5)
    a, b = starts["a"].expand(3, 2, 4), starts["b"].expand(3, 2, 2)
    for _ in range(3):
        hidden = regressor.fc2(regressor.fc1(torch.cat([known, a, b], dim=-1)))
        a, b = a + regressor.heads["a"](hidden), b + regressor.heads["b"](hidden)
    found = regressor(known)
    assert torch.allclose(found[0], a, atol=1e-6)
    assert torch.allclose(found[1], b, atol=1e-6)


def test_untrained_bodies_stand_upright_and_fill_the_box(body: BodyModel) -> None:
    method = MultiRoi(SMALL, body).eval()
    for name, parameter in method.named_parameters():
        if ".heads." in name:
            torch.nn.init.zeros_(parameter)
    crops = _crops(method)
    with torch.no_grad():
        pose = method(crops).pose
    first = pose.map(lambda tensor: tensor[:, 0])
    pixels = Camera(crops.camera.matrix[:, 0]).project(body(first).vertices)
    low, high = pixels.amin(1), pixels.amax(1)
    assert (pixels[:, body(first).vertices[0, :, 1].argmin(), 1] < 32).all()
    head, foot = (body(first).joints[:, SMPL24.index(joint), 1] for joint in ("head", "left_foot"))
    assert (head < foot).all()  # y is down
    assert ((high - low)[:, 1] > 0.6 * SIZE[0]).all()
    assert mean_starts(10)["cam"].tolist() == pytest.approx([0.9, 0, 0])


def test_hrnet_lays_all_branches_side_by_side() -> None:
    encoder = HrNet("hrnet_w18_small").eval()
    with torch.no_grad():
        features = encoder(torch.rand(1, 3, 64, 96))
    assert encoder.width == features.shape[1]
    assert features.shape[2:] == (2, 3)
    with pytest.raises(ValueError, match="expected one of timm's hrnet networks"):
        HrNet("hrnet_w47")


# Methods

small_methods = pytest.mark.parametrize(
    ("kind", "config"),
    [
        (MultiRoi, SMALL),
        (MultiRoi, replace(SMALL, rois=1)),
        (MultiRoi, replace(SMALL, rois=2, code="own")),
        (MultiRoi, replace(SMALL, code="none")),
        (MultiRoi, replace(SMALL, code="relative", gate="linear", contrast_below="all")),
        (MultiRoi, replace(SMALL, frequencies=0)),
        (MultiRoi, replace(SMALL, fusion="self_attention", rois=3)),
        (MultiRoi, replace(SMALL, fusion="none", boxes="scale")),
        (MultiRoiAuthors, SMALL_AUTHORS),
    ],
)


@small_methods
def test_every_form_answers_and_trains(kind: type, config: object, body: BodyModel) -> None:
    method = kind(config, body).train()
    for parameter in method.parameters():
        parameter.data += 0.01 * torch.randn_like(parameter)  # timm starts the last scale of each block at 0
    crops = _crops(method, 3)
    groups = crops.present.shape
    prediction = method(crops)
    assert isinstance(prediction, MultiRoiPrediction)
    assert prediction.pose.rotations.shape == (*groups, 24, 3, 3)
    losses = method.objective(crops, prediction, _targets(crops))
    assert set(losses) == SPINS | {"camera", "contrast"}
    sum(losses.values()).backward()
    missed = [name for name, p in method.named_parameters() if p.grad is None or not p.grad.any()]
    if groups[1] == 1:  # nobody is seen twice, so there is nothing to contrast
        missed = [name for name in missed if not name.startswith("contrast.")]
    assert not missed
    assert all(torch.isfinite(p.grad).all() for p in method.parameters())
    method.eval()
    with torch.no_grad():
        assert method(crops).z is None
        assert method(crops, contrasted=True).z.shape == (*groups, method.encoder.width)
        assert set(method.objective(crops, method(crops), _targets(crops))) == SPINS | {"camera"}


@small_methods
def test_absent_crops_change_nothing(kind: type, config: object, body: BodyModel) -> None:
    method = kind(config, body).eval()
    _vary(method)
    crops = _crops(method, 3)
    present = crops.present.clone()
    present[0, -1] = False
    present[1] = False
    plain = replace(crops, present=present)
    wild = replace(
        plain,
        pixels=torch.where(present[..., None, None, None], crops.pixels, 0.7),
        crop_from_photo=torch.where(present[..., None, None], crops.crop_from_photo, 3 * crops.crop_from_photo),
    )
    with torch.no_grad():
        one, two, all_there = (method(each).pose for each in (plain, wild, crops))
    for a, b in ((one.rotations, two.rotations), (one.shape, two.shape), (one.translation, two.translation)):
        assert torch.allclose(a[present], b[present], atol=1e-5)
        assert torch.isfinite(b).all()
    assert torch.allclose(one.translation[2], all_there.translation[2], atol=1e-5)
    assert not torch.allclose(one.rotations[0], all_there.rotations[0], atol=1e-6) or config == replace(
        SMALL, fusion="none"
    )


def test_the_papers_body_is_one_and_its_cameras_many(body: BodyModel) -> None:
    """Against the paper's sums in loops: weights over sources, mean over crops, a camera from each."""
    method = MultiRoi(SMALL, body).eval()
    _vary(method)
    features, boxes = torch.randn(2, 5, 512), torch.randn(2, 5, 3)
    present = torch.ones(2, 5, dtype=torch.bool)
    with torch.no_grad():
        six, shape, weak = method.regressed(features, boxes, present)
        for group in range(2):
            mixed = []
            for m in range(5):
                codes = method.box_code(boxes[group, m] - boxes[group])
                pairs = torch.cat([features[group], codes], dim=-1)
                logits = pairs @ method.fusion.pair.weight[0]
                mixed.append(logits.softmax(0) @ features[group])
                known = torch.cat([mixed[m], boxes[group, m]])
                assert torch.allclose(method.camera(known)[0], weak[group, m], atol=1e-4)
            known = torch.cat([torch.stack(mixed).mean(0), boxes[group].mean(0)])
            assert torch.allclose(method.mesh(known)[0].expand(5, -1), six[group], atol=1e-4)
            assert torch.allclose(method.mesh(known)[1].expand(5, -1), shape[group], atol=1e-4)


def test_translations_are_the_cameras_of_the_crops(body: BodyModel) -> None:
    """t = (tx + 2 (cx - W/2) / (b s), ..., 2 f / (b s)), CLIFF's."""
    method = MultiRoiAuthors(SMALL_AUTHORS, body).eval()
    crops = _crops(method, 1)
    with torch.no_grad():
        prediction = method(crops)
    b, f = 1.2 * 90, 200.0  # of the box 40 x 90, in a photo of 160 x 120
    for (dx, dy, scale), weak, t in zip(ROI_COPIES, prediction.weak[0], prediction.pose.translation[0], strict=True):
        s, tx, ty = weak.tolist()
        bs = scale * b * s
        expected = [tx + 2 * (40 + dx * b - 80) / bs, ty + 2 * (55 + dy * b - 60) / bs, 2 * f / bs]
        assert torch.allclose(t, torch.tensor(expected), rtol=1e-4, atol=1e-4)


def test_wrong_settings_and_crops_are_told(body: BodyModel) -> None:
    with pytest.raises(ValueError, match="rois: expected 1 to 5, got 6"):
        replace(SMALL, rois=6)
    wrong = replace(SMALL)
    object.__setattr__(wrong, "fusion", "mean")  # no type is checked, as in a user's program
    with pytest.raises(ValueError, match="fusion: expected one of relative, self_attention, none, got 'mean'"):
        MultiRoi(wrong, body)
    method = MultiRoiAuthors(SMALL_AUTHORS, body).eval()
    crops = _crops(method).map(lambda tensor: tensor[:, :3])
    with pytest.raises(ValueError, match="expected groups of 5 crops, got 3; use `multi_roi` for fewer"):
        method(crops)


def test_the_authors_keys_need_nothing_else() -> None:
    """A small network's keys go to the authors' names and come back as they were."""
    method = MultiRoiAuthors(SMALL_AUTHORS, BodyModel.load("open-low"))
    theirs: dict[str, Tensor] = {"pos_enc._freqs": torch.zeros(1)}
    for name, value in method.state_dict().items():
        key = name.replace("regressor.heads.", "dec").replace("regressor.", "").replace("fusion.pair", "fuse_fc")
        key = key.replace("fusion.mlp", "attention").replace("contrast.projector", "proj_head")
        theirs[key.replace("encoder.", "")] = value
    assert MultiRoiAuthors.authors_keys is not None
    ours, left = MultiRoiAuthors.authors_keys.apply(theirs)
    assert list(left.values()) == [["pos_enc._freqs"]]
    method.load_state_dict(ours, strict=True)
    config = MultiRoiAuthors.authors_keys.config(theirs)
    assert (config.encoder, config.mixing, config.hidden) == ("resnet50", 12, (24, 16))
