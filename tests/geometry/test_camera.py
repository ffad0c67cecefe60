"""The camera against the published conversions of which it is the general form."""

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from humesh.geometry.boxes import affine_apply, square_crop
from humesh.geometry.camera import Camera
from humesh.geometry.rotations import rotation_about_z

sizes = st.tuples(st.integers(10, 4000), st.integers(10, 4000))


def _points(seed: int) -> torch.Tensor:
    points = torch.randn(2, 7, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return points + torch.tensor([0.0, 0.0, 6.0]).double()


def test_a_point_on_the_axis_is_seen_in_the_middle() -> None:
    camera = Camera.virtual(500.0, (640, 480))
    assert camera.project(torch.tensor([[0.0, 0.0, 3.0]]).double()).tolist() == [[320.0, 240.0]]
    right_and_down = camera.project(torch.tensor([[0.3, 0.6, 3.0]], dtype=torch.float64))
    assert torch.allclose(right_and_down, torch.tensor([[370.0, 340.0]], dtype=torch.float64), atol=1e-9)
    assert camera.focal_px == 500
    assert camera.principal_point_px.tolist() == [320.0, 240.0]


def test_the_guess_is_a_lens_of_28_mm_on_film() -> None:
    camera = Camera.guess((720, 480))  # of the shape of film's frame, 36 x 24 mm
    assert math.isclose(float(camera.focal_px), 28 * 720 / 36, rel_tol=1e-4)


@given(sizes, st.integers(0, 1000))
def test_rays_undo_the_projection(size: tuple[int, int], seed: int) -> None:
    camera, points = Camera.guess(size), _points(seed)
    rays = camera.rays(camera.project(points))
    assert torch.allclose(rays * points[..., 2:], points, atol=1e-9)


@given(st.integers(0, 1000), st.floats(-3, 3))
def test_a_crop_is_a_camera(seed: int, angle: float) -> None:
    """A K projects straight to where the crop's map takes the photo's pixels."""
    camera, points = Camera.guess((900, 700)), _points(seed)
    crop = square_crop(torch.tensor([100.0, 50.0, 400.0, 600.0]).double(), 256, 1.2, angle)
    expected = affine_apply(crop, camera.project(points))
    assert torch.allclose(camera.cropped(crop).project(points), expected, atol=1e-8)


@given(st.integers(0, 1000), st.floats(-3, 3))
def test_rolling_the_camera_and_turning_the_scene_cancel(seed: int, angle: float) -> None:
    camera, points = Camera.guess((900, 700)), _points(seed)
    turn = torch.tensor(angle, dtype=torch.float64)
    turned = points @ rotation_about_z(turn).mT
    assert torch.allclose(camera.rolled(turn).project(turned), camera.project(points), atol=1e-8)


@given(st.floats(0.3, 2), st.floats(-0.5, 0.5), st.floats(-0.5, 0.5), st.floats(40, 900))
def test_weak_perspective_in_a_crop_gives_cliffs_full_image_translation(
    s: float, tx: float, ty: float, side: float
) -> None:
    """CLIFF (Li et al., ECCV 2022): t = (tx + 2 cx / (s b), ty + 2 cy / (s b), 2 f / (s b)), c from the photo's centre.

    Here: the crop's camera sees the body's origin at the pixel that (s, tx, ty) says, at the depth 2 f / (s b).
    """
    camera = Camera.guess((900, 700))
    focal, centre = camera.focal_px, torch.tensor([300.0, 500.0]).double()
    box = torch.cat([centre - side / 2, centre + side / 2])
    depth = 2 * focal / (s * side)
    offset = centre - camera.principal_point_px
    cliff = torch.stack([tx + 2 * offset[0] / (s * side), ty + 2 * offset[1] / (s * side), depth])
    size = 224
    seen = torch.tensor([[size / 2 * (1 + s * tx), size / 2 * (1 + s * ty)]]).double()
    crop = camera.cropped(square_crop(box, size))
    assert torch.allclose(crop.rays(seen)[0] * depth, cliff, atol=1e-9)
    assert torch.allclose(crop.translation_from_weak(torch.tensor([s, tx, ty]).double(), size), cliff, rtol=1e-6)
