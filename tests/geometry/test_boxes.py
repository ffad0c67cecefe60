"""Boxes and crops against plain twins."""

import math

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from humesh.geometry.boxes import affine_apply, affine_inverse, box_around, box_iou, square_crop

corners = st.tuples(*[st.floats(0, 50)] * 4)


def _box(c: tuple[float, ...]) -> torch.Tensor:
    return torch.tensor([c[0], c[1], c[0] + c[2] + 1, c[1] + c[3] + 1], dtype=torch.float64)


def _iou_twin(a: list[float], b: list[float]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    inside = width * height if width > 0 and height > 0 else 0.0
    areas = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (a, b)]
    return inside / (areas[0] + areas[1] - inside)


@given(corners, corners)
def test_iou_equals_the_plain_form(a: tuple[float, ...], b: tuple[float, ...]) -> None:
    first, second = _box(a), _box(b)
    assert math.isclose(float(box_iou(first, second)), _iou_twin(first.tolist(), second.tolist()), abs_tol=1e-12)
    assert math.isclose(float(box_iou(first, first)), 1.0, abs_tol=1e-12)


def test_iou_of_all_pairs_and_of_flat_boxes() -> None:
    boxes = torch.tensor([[0.0, 0, 2, 2], [1, 0, 3, 2], [5, 5, 5, 9]])
    table = box_iou(boxes[:, None], boxes[None])
    assert table.shape == (3, 3)
    assert torch.allclose(table[0], torch.tensor([1.0, 1 / 3, 0.0]))
    assert table[2, 2] == 0
    assert box_iou(torch.tensor([3.0, 3, 1, 5]), torch.tensor([0.0, 0, 9, 9])) == 0


def test_box_around_holds_the_points() -> None:
    points = torch.tensor([[[0.0, 0], [10, 20], [99, 99]], [[1, 4], [2, 2], [3, 3]]])
    assert box_around(points).tolist() == [[0, 0, 99, 99], [1, 2, 3, 4]]


@given(corners, st.floats(0.5, 2), st.integers(8, 500))
def test_an_upright_crop_takes_the_square_to_the_pixels(c: tuple[float, ...], scale: float, size: int) -> None:
    box = _box(c)
    centre = (box[:2] + box[2:]) / 2
    half = scale * (box[2:] - box[:2]).max() / 2
    square = torch.stack([centre - half, centre + half])
    expected = torch.tensor([[0.0, 0.0], [size, size]]).double()
    assert torch.allclose(affine_apply(square_crop(box, size, scale), square), expected, atol=1e-8)


def test_a_quarter_turn_turns_the_content_clockwise() -> None:
    crop = square_crop(torch.tensor([0.0, 0.0, 10.0, 10.0]).double(), 10, angle=math.pi / 2)
    right_middle = torch.tensor([[10.0, 5.0]]).double()
    assert torch.allclose(affine_apply(crop, right_middle), torch.tensor([[5.0, 10.0]]).double())


@given(corners, st.floats(-3, 3))
def test_the_inverse_map_goes_back(c: tuple[float, ...], angle: float) -> None:
    crop = square_crop(_box(c).expand(3, 4), 256, 1.2, torch.full((3,), angle, dtype=torch.float64))
    points = torch.rand(3, 5, 2).double() * 100
    assert torch.allclose(affine_apply(affine_inverse(crop), affine_apply(crop, points)), points, atol=1e-8)


@given(st.lists(st.tuples(*[st.integers(0, 20)] * 4), min_size=1, max_size=4))
def test_intersections_over_unions_are_counted_pixels(corners: list[tuple[int, int, int, int]]) -> None:
    boxes = np.array([[min(a, c), min(b, d), max(a, c) + 1, max(b, d) + 1] for a, b, c, d in corners], dtype=np.float64)
    masks = np.zeros((len(boxes), 22, 22), bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes.astype(int), strict=True):
        mask[y0:y1, x0:x1] = True
    expected = [[(a & b).sum() / (a | b).sum() for b in masks] for a in masks]
    made = torch.from_numpy(boxes)
    np.testing.assert_allclose(box_iou(made[:, None], made[None]).numpy(), expected)
