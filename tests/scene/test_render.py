"""The renderer against algebra: what projects where is known for squares and balls."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from humesh.body.mesh import vertex_normals
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_about_z
from humesh.scene.render import PHOTO_VIEW, Stage, View

SIZE = (120, 90)
CAMERA = Camera.virtual(100.0, SIZE)
QUAD = np.array([[0, 2, 1], [0, 3, 2]])  # of corners left-top, right-top, right-bottom, left-bottom, facing the camera
WHITE = np.ones((1, 3))


def square(x0: float, y0: float, x1: float, y1: float, depth: float) -> np.ndarray:
    """The corners of the rectangle that covers these pixels exactly, at a depth in metres."""
    pixels = torch.tensor([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], dtype=torch.float64)
    return (CAMERA.rays(pixels) * depth).numpy()


def ball(radius: float, centre: tuple[float, float, float], fine: int = 4) -> trimesh.Trimesh:
    mesh = trimesh.creation.icosphere(subdivisions=fine, radius=radius)
    return mesh.apply_translation(centre)


def test_square_covers_its_pixels() -> None:
    picture = Stage(square(20, 10, 50, 70, 2.0)[None], QUAD, WHITE).render(CAMERA, SIZE)
    wanted = np.zeros((90, 120), bool)
    wanted[10:70, 20:50] = True
    assert np.array_equal(picture.person >= 0, wanted)
    assert np.array_equal(picture.rgba[..., 3], np.where(wanted, 255, 0))
    np.testing.assert_allclose(picture.depth[wanted], 2.0, rtol=1e-6)
    assert np.isinf(picture.depth[~wanted]).all()


@pytest.mark.parametrize("shift", [0.25, 0.5, 0.75])
def test_cover_of_a_pixel_is_the_part_of_it_that_is_hidden(shift: float) -> None:
    picture = Stage(square(20 + shift, 10, 50, 70 + shift, 2.0)[None], QUAD, WHITE).render(CAMERA, SIZE)
    cover = picture.rgba[..., 3] / 255
    np.testing.assert_allclose(cover[20:60, 20], 1 - shift, atol=0.01)
    np.testing.assert_allclose(cover[70, 25:45], shift, atol=0.01)
    np.testing.assert_allclose(cover[70, 20], shift * (1 - shift), atol=1 / 16)


def test_slanted_edge_covers_its_area() -> None:
    turned = Camera.virtual(100.0, SIZE).rolled(torch.tensor(0.3, dtype=torch.float64))
    picture = Stage(square(45, 30, 75, 60, 2.0)[None], QUAD, WHITE).render(turned, SIZE)
    assert picture.rgba[..., 3].sum() / 255 == pytest.approx(900, abs=3)


def test_ball_is_a_disc_with_the_depth_of_a_ball() -> None:
    mesh = ball(0.5, (0, 0, 3.0), fine=5)
    picture = Stage(mesh.vertices[None], mesh.faces, WHITE).render(CAMERA, SIZE)
    radius = 100 * 0.5 / (9 - 0.25) ** 0.5  # focal * r / sqrt(d^2 - r^2)
    assert picture.rgba[..., 3].sum() / 255 == pytest.approx(np.pi * radius**2, rel=0.005)
    assert picture.depth[45, 60] == pytest.approx(2.5, abs=1e-3)


def test_general_intrinsics_agree_with_camera_rays() -> None:
    skewed = Camera(torch.tensor([[90.0, 7.0, 55.0], [0.0, 110.0, 40.0], [1e-4, -2e-4, 1.1]], dtype=torch.float64))
    mesh = ball(0.4, (0.1, -0.1, 2.5))
    picture = Stage(mesh.vertices[None], mesh.faces, WHITE).render(skewed, SIZE)
    rows, columns = np.nonzero(picture.person >= 0)
    rays = skewed.rays(torch.tensor(np.stack([columns, rows], -1) + 0.5)).numpy()
    points = rays * picture.depth[rows, columns, None]
    away = np.linalg.norm(points - [0.1, -0.1, 2.5], axis=-1)
    assert len(rows) > 500
    np.testing.assert_allclose(away, 0.4, atol=1e-3)


def test_the_nearer_person_hides_the_farther_one() -> None:
    people = np.stack([square(20, 10, 60, 70, 3.0), square(40, 20, 80, 60, 2.0)])
    red_green = np.array([[1.0, 0, 0], [0, 1.0, 0]])
    picture = Stage(people, QUAD, red_green).render(CAMERA, SIZE)
    assert (picture.person[10:70, 20:40] == 0).all()
    assert (picture.person[20:60, 40:80] == 1).all()
    assert picture.depth[20:60, 40:80] == pytest.approx(2.0, rel=1e-6)
    red, green = picture.rgba[40, 30, :2].astype(int), picture.rgba[40, 50, :2].astype(int)
    assert red[0] > red[1] + 50
    assert green[1] > green[0] + 50


@pytest.mark.parametrize(
    "place",
    [(100.0, 0.0, 3.0), (0.0, 0.0, -3.0), (-1.75, 0.0, 3.0), (0.0, 0.0, 0.2), (0.3, 0.0, 0.0)],
    ids=["outside", "behind", "on the border", "around the camera", "in the camera's plane"],
)
def test_people_anywhere(place: tuple[float, float, float]) -> None:
    mesh = ball(0.5, place)
    picture = Stage(mesh.vertices[None], mesh.faces, WHITE).render(CAMERA, SIZE)
    seen = (picture.person >= 0).mean()
    if place[0] == 100.0 or place[2] < 0:
        assert seen == 0
    elif place[:2] == (0.0, 0.0):
        assert seen == 1  # the camera is inside the ball
    else:
        assert 0 < seen <= 1


def test_nobody() -> None:
    picture = Stage(np.zeros((0, 4, 3)), QUAD, np.zeros((0, 3))).render(CAMERA, SIZE)
    assert not picture.rgba.any()


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="expected finite vertices"):
        Stage(np.full((1, 4, 3), np.nan), QUAD, WHITE).render(CAMERA, SIZE)


def test_a_view_is_the_same_as_moving_the_scene() -> None:
    mesh = ball(0.4, (0.2, 0.1, 3.0))
    turn = rotation_about_z(torch.tensor(0.4, dtype=torch.float64)).numpy()
    view = View(turn, np.array([0.1, -0.05, 0.3]))
    here = Stage(mesh.vertices[None], mesh.faces, WHITE).render(CAMERA, SIZE, view)
    moved = Stage(view.from_world(mesh.vertices)[None], mesh.faces, WHITE).render(CAMERA, SIZE, PHOTO_VIEW)
    assert (here.person != moved.person).mean() < 1e-3
    both = (here.person >= 0) & (moved.person >= 0)
    np.testing.assert_allclose(here.depth[both], moved.depth[both], atol=1e-5)
    assert np.abs(here.rgba[both].astype(int) - moved.rgba[both]).max() <= 1


def test_rendering_in_parts_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = ball(0.5, (0.2, 0, 2.0))
    whole = Stage(mesh.vertices[None], mesh.faces, WHITE).render(CAMERA, SIZE)
    monkeypatch.setattr("humesh.scene.render._CHUNK", 256)
    assert np.array_equal(Stage(mesh.vertices[None], mesh.faces, WHITE).render(CAMERA, SIZE).rgba, whole.rgba)


def test_over_mixes_with_the_background() -> None:
    picture = Stage(square(20.5, 10, 50, 70, 2.0)[None], QUAD, WHITE).render(CAMERA, SIZE)
    background = np.full((90, 120, 3), 100, np.uint8)
    paint, mixed = picture.rgba[30, 30, :3].astype(float), picture.over(background, 0.9)
    assert np.array_equal(mixed[0, 0], [100, 100, 100])
    np.testing.assert_allclose(mixed[30, 30], 0.1 * 100 + 0.9 * paint, atol=0.51)
    np.testing.assert_allclose(mixed[30, 20], 0.55 * 100 + 0.45 * paint, atol=2)


def test_normals_of_a_ball_point_outwards() -> None:
    mesh = ball(1.0, (0, 0, 0))
    np.testing.assert_allclose(vertex_normals(mesh.vertices, mesh.faces), mesh.vertices, atol=0.01)


def test_corners_between_bodies_are_darker() -> None:
    mesh = ball(0.1, (0, 0, 2.0))
    beside = mesh.vertices + np.array([0.2, 0, 0])
    stage = Stage(np.stack([mesh.vertices, beside]), mesh.faces, np.ones((2, 3)))
    towards, away = np.argmax(mesh.vertices[:, 0]), np.argmin(mesh.vertices[:, 0])
    assert stage.openness[away] == 1
    # Where the balls touch a ray ends at its chord 0.2 m cos, of 0.25 m; the mean of cos is 2/3.
    assert stage.openness[towards] == pytest.approx(0.2 / 0.25 * 2 / 3, abs=0.01)
    assert stage.openness.shape == (2 * len(mesh.vertices),)
