"""Shapes by the outline, on masks drawn from bodies whose shape is known."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

import humesh
from humesh.body.joints import COCO17, MEDIAPIPE33
from humesh.body.model import BodyModel
from humesh.body.pose import BodyPose
from humesh.fitting import outline
from humesh.fitting.outline import MEAN, drawn, edges, outline_widths, shapes_by_outline
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_from_axis_angle
from humesh.media.photo import Photo
from humesh.methods.weights import shipped
from humesh.people.person import MASK_SIDE, Mask, Person

SIZE = (600, 800)
CAMERA = Camera.virtual(1000.0, SIZE)
REGION = np.array([[760.0, 0, -80], [0, 760, 20]])


@pytest.fixture(scope="module")
def low() -> BodyModel:
    return BodyModel.load("open-low")


def _pose(build: float = 0.0, yaw: float = 0.0) -> BodyPose:
    """Somebody upright with lowered arms, of that second shape coefficient (how wide the trunk is)."""
    turns = torch.zeros(1, 24, 3).double()
    turns[:, 16, 2], turns[:, 17, 2] = -0.8, 0.8
    rotations = rotation_from_axis_angle(turns)
    upright = torch.diag(torch.tensor([1.0, -1.0, -1.0])).double()
    rotations[:, 0] = upright @ rotation_from_axis_angle(torch.tensor([0.0, yaw, 0.0]).double())
    shape = torch.zeros(1, 10).double()
    shape[0, 1] = build
    return BodyPose(rotations, shape, torch.tensor([[0.0, -0.05, 2.9]]).double())


def _pixels(body: BodyModel, pose: BodyPose) -> np.ndarray:
    vertices = body(pose).vertices[0].numpy() @ CAMERA.matrix.numpy().T
    return np.asarray(vertices[:, :2] / vertices[:, 2:])


def _person(body: BodyModel, pose: BodyPose) -> Person:
    points = body.keypoints(body(pose).vertices, MEDIAPIPE33)
    keypoints = np.concatenate([CAMERA.project(points)[0].numpy(), np.ones((33, 1))], axis=1)
    region = drawn((_pixels(body, pose) - REGION[:, 2]) / 760 * MASK_SIDE, body.faces)
    box = np.concatenate([keypoints[:, :2].min(0), keypoints[:, :2].max(0)])
    deep = (points - points.mean(-2, keepdim=True))[0].numpy()
    return Person(box, 1.0, keypoints, MEDIAPIPE33, deep, mask=Mask.of(region, REGION))


def _shape(person: Person, pose: BodyPose) -> torch.Tensor:
    return shapes_by_outline(pose, [person], CAMERA, SIZE)[0]


def test_a_discs_edge_is_found_within_a_third_of_a_pixel() -> None:
    y, x = np.mgrid[:MASK_SIDE, :MASK_SIDE] + 0.5
    disc = np.hypot(x - 60.3, y - 70.6) < 20.4
    angles = np.linspace(0, 2 * np.pi, 40)
    ways = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    found = edges(disc, np.tile([60.3, 70.6], (40, 1)), ways, np.arange(0, 40, 0.5))
    assert np.abs(found - 20.4).max() < 0.6
    assert abs(found.mean() - 20.4) < 0.1


def test_no_edge_is_found_from_outside_nor_beyond_the_region_or_the_reach() -> None:
    mask = np.zeros((MASK_SIDE, MASK_SIDE), bool)
    mask[:, :100] = True
    starts = np.array([[110.0, 50.0], [50.0, 50.0], [50.0, 50.0], [90.0, 50.0]])
    ways = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    found = edges(mask, starts, ways, np.arange(0, 40, 0.5))
    assert np.isnan(found[:3]).all()
    assert found[3] == pytest.approx(10.0)


def test_the_silhouette_is_that_of_all_triangles(low: BodyModel) -> None:
    pixels = (_pixels(low, _pose(yaw=0.7)) - REGION[:, 2]) / 760 * MASK_SIDE
    image = Image.new("1", (MASK_SIDE, MASK_SIDE))
    for corners in pixels[low.faces]:
        ImageDraw.Draw(image).polygon([tuple(corner) for corner in corners], fill=1)
    ours, whole = drawn(pixels, low.faces), np.asarray(image)
    assert whole.sum() > 1000
    assert (ours == whole).mean() > 0.999


@pytest.mark.parametrize("yaw", [0.0, 0.8, 1.6])
def test_widths_are_those_of_the_mask_beside_the_mean_body(low: BodyModel, yaw: float) -> None:
    pose = _pose(yaw=yaw)
    people = [_person(low, _pose(build, yaw)) for build in (0.0, 3.0, -3.0)]
    widths, belief = outline_widths(BodyPose.joined([pose] * 3), people, CAMERA, SIZE)
    assert (belief > 0.9).all()
    assert np.abs(widths[0]).max() < 0.03
    assert (widths[1, 1:3] > [0.12, 0.06]).all()
    assert (widths[2, 1:3] < [-0.12, -0.06]).all()


@pytest.mark.parametrize("yaw", [0.0, 1.6])
def test_the_broader_the_mask_the_broader_the_shape(low: BodyModel, yaw: float) -> None:
    builds = [float(_shape(_person(low, _pose(build, yaw)), _pose(yaw=yaw))[1]) for build in (-3.0, 0.0, 3.0)]
    assert all(more > less + 0.3 for less, more in pairwise(builds))


def test_where_the_mask_tells_nothing_the_shape_is_the_mean(low: BodyModel) -> None:
    pose, person = _pose(), _person(low, _pose(2.0))
    assert person.mask is not None
    assert _shape(person, pose).any()
    assert not _shape(replace(person, mask=None), pose).any()
    aside = replace(person, mask=Mask(person.mask.packed, REGION + np.array([[0, 0, 300], [0, 0, 0]])))
    empty = replace(person, mask=Mask.of(np.zeros((MASK_SIDE, MASK_SIDE), bool), REGION))
    for nothing in (aside, empty):
        assert not _shape(nothing, pose).any()
    lost = BodyPose(pose.rotations * torch.nan, pose.shape, pose.translation)
    assert not _shape(person, lost).any()
    short = BodyPose(pose.rotations, pose.shape[:, :2], pose.translation)
    assert torch.allclose(shapes_by_outline(short, [person], CAMERA, SIZE)[0], _shape(person, pose)[:2])
    assert shapes_by_outline(BodyPose.rest(0), [], CAMERA, SIZE).shape == (0, 10)


def test_a_mask_that_ends_at_the_photos_border_is_no_width(low: BodyModel) -> None:
    """All of the trunk's right edge is outside of a photo that ends where the trunk's middle is."""
    pose, person = _pose(), _person(low, _pose(2.0))
    whole, cut = (outline_widths(pose, [person], CAMERA, size)[0][0] for size in (SIZE, (320, 800)))
    assert whole[1] > 0.08
    assert not np.isclose(cut[1], whole[1], atol=0.01)


def test_other_joint_sets_and_doubtful_points_do(low: BodyModel) -> None:
    pose, person = _pose(), _person(low, _pose(2.0))
    points = CAMERA.project(low.points(low(_pose(2.0)), COCO17))[0].numpy()
    keypoints = np.concatenate([points, np.ones((17, 1))], axis=1)
    other = Person(person.box, 1.0, keypoints, COCO17, mask=person.mask)
    assert _shape(other, pose)[1] == pytest.approx(float(_shape(person, pose)[1]), abs=0.15)
    assert person.keypoints is not None
    holes = person.keypoints.copy()
    holes[:11] = np.nan
    assert _shape(replace(person, keypoints=holes), pose)[1] == pytest.approx(float(_shape(person, pose)[1]), abs=0.15)


def test_a_recovered_broad_person_is_broader_than_a_slight_one(low: BodyModel) -> None:
    photo = replace(Photo.of(np.zeros((SIZE[1], SIZE[0], 3), np.uint8)), camera=CAMERA)
    recoverer = humesh.Recoverer("open-low")
    broad, slight = (_waist(recoverer, photo, _person(low, _pose(build))) for build in (3.0, -3.0))
    assert broad > 1.05 * slight


def test_weights_of_others_keep_their_shapes(low: BodyModel) -> None:
    """They may have looked at the picture: the file is the same, but not named as ours is."""
    photo = replace(Photo.of(np.zeros((SIZE[1], SIZE[0], 3), np.uint8)), camera=CAMERA)
    recoverer = humesh.Recoverer("open-low", weights=shipped()["lifter"])
    person = _person(low, _pose(2.0))
    assert _waist(recoverer, photo, person) == _waist(recoverer, photo, replace(person, mask=None))


def _waist(recoverer: humesh.Recoverer, photo: Photo, person: Person) -> float:
    """The width of the recovered body at rest a little above its pelvis, metres."""
    rest = recoverer.body.rest_vertices(recoverer(photo, [person]).pose.shape)[0]
    ring = rest[(rest[:, 1] - 0.1).abs() < 0.04]
    return float(ring[ring[:, 0].abs() < 0.3, 0].max() - ring[ring[:, 0].abs() < 0.3, 0].min())


def test_what_was_learned_has_a_row_for_each_width() -> None:
    assert MEAN.shape == (len(outline._ACROSS),) == outline.SLOPES.shape[:1]
