"""Crops are cut where their cameras say."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from humesh.crops.crops import Crops, cut
from humesh.geometry.boxes import affine_apply, crop_around, square_crop
from humesh.geometry.camera import Camera


def _smooth(points: torch.Tensor) -> torch.Tensor:
    """A picture as a function of its pixels: linear, so that bilinear sampling is exact."""
    return 0.1 + 0.002 * points[..., 0] + 0.001 * points[..., 1]


def _photo(width: int = 200, height: int = 150) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width] + 0.5
    grey = _smooth(torch.tensor(np.stack([columns, rows], axis=-1)))
    return np.repeat((grey.numpy() * 255).round().astype(np.uint8)[..., None], 3, axis=-1)


@given(
    x=st.floats(60, 140),
    y=st.floats(50, 100),
    height=st.floats(20, 60),
    high=st.integers(8, 40),
    wide=st.integers(8, 40),
)
def test_a_crops_pixels_are_the_photos(x: float, y: float, height: float, high: int, wide: int) -> None:
    affine = crop_around(torch.tensor([[x, y]]).double(), torch.tensor([height]).double(), (high, wide))
    crop = cut(_photo(), affine, (high, wide))[0]
    zoom = high / height
    columns, rows = (torch.arange(wide) + 0.5 - wide / 2) / zoom + x, (torch.arange(high) + 0.5 - high / 2) / zoom + y
    grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)
    inside = (grid[..., 0] > 1) & (grid[..., 0] < 199) & (grid[..., 1] > 1) & (grid[..., 1] < 149)
    assert torch.allclose(crop[0][inside], _smooth(grid)[inside].float(), atol=1.5 / 255)


def test_a_turned_crop_is_cut_turned() -> None:
    box = torch.tensor([[60.0, 40.0, 100.0, 80.0]]).double()
    affine = square_crop(box, 32, angle=0.7)
    crop = cut(_photo(), affine, (32, 32))[0, 0]
    point = torch.tensor([[[75.0, 66.0]]]).double()
    column, row = affine_apply(affine, point)[0, 0].floor().long().tolist()
    assert crop[row, column].item() == pytest.approx(float(_smooth(point)[0, 0]), abs=0.01)


def test_outside_of_the_photo_it_is_black() -> None:
    affine = crop_around(
        torch.tensor([[0.0, 75.0], [-500.0, 75.0]]).double(), torch.tensor([40.0, 40.0]).double(), (16, 16)
    )
    crops = cut(_photo(), affine, (16, 16))
    assert (crops[0, :, :, :7] == 0).all()
    assert (crops[0, :, :, 9:] > 0).all()
    assert (crops[1] == 0).all()
    assert cut(_photo(), torch.zeros(0, 2, 3), (16, 16)).shape == (0, 3, 16, 16)


def test_a_crop_of_the_whole_photo_is_the_photo() -> None:
    affine = torch.tensor([[[1.0, 0, 0], [0, 1, 0]]])
    photo = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    crop = cut(photo, affine, (20, 30))[0]
    assert torch.allclose(crop.permute(1, 2, 0) * 255, torch.tensor(photo).float(), atol=1e-3)


def test_a_crop_is_a_camera() -> None:
    photo_camera = Camera.virtual(900.0, (640, 480))
    affine = crop_around(torch.tensor([[[100.0, 200.0]]]), torch.tensor([[80.0]]), (64, 48))
    no = torch.zeros(1, 1, 0, 3)
    yes = torch.ones(1, 1, dtype=torch.bool)
    matrix = photo_camera.matrix.float().expand(1, 1, 3, 3)
    crops = Crops(torch.zeros(1, 1, 3, 64, 48), affine, Camera(matrix), no, yes, yes, torch.zeros(1, 1, 0, 4))
    points = torch.tensor([[[[0.1, -0.2, 3.0]]]])
    assert torch.allclose(
        crops.camera.project(points), affine_apply(affine, crops.photo_camera.project(points)), atol=1e-3
    )
    assert crops.size == (64, 48)
    assert crops.map(lambda tensor: tensor[:0]).pixels.shape == (0, 1, 3, 64, 48)
