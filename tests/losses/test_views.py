"""The losses of several views of the same person, against naive twins."""

import math
from itertools import combinations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from humesh.geometry.boxes import crop_around
from humesh.geometry.camera import Camera
from humesh.losses.total import reduced
from humesh.losses.views import (
    camera_consistency,
    camera_consistency_authors,
    person_contrast,
    person_contrast_authors,
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
    error, weight = camera_consistency(_translations(weak, boxes), focal, torch.ones_like(focal, dtype=torch.bool))
    for group in range(2):
        views = [_full(w, b) for w, b in zip(weak[group], boxes[group], strict=True)]
        sums = [
            0.1 * (a[0] - b[0]) ** 2 + 0.1 * (a[1] - b[1]) ** 2 + 1e-4 * (a[2] - b[2]) ** 2
            for a, b in combinations(views, 2)
        ]
        assert math.isclose(float(error[group]), sum(sums), rel_tol=1e-6)
    assert weight.tolist() == [1, 1]


@given(seeds)
def test_the_authors_cameras_differ_from_the_first(seed: int) -> None:
    weak, boxes, focal = _cameras(seed)
    term = camera_consistency_authors(_translations(weak, boxes), focal, torch.ones_like(focal, dtype=torch.bool))
    along, deep = [], []
    for group in range(2):
        views = [_full(w, b) for w, b in zip(weak[group], boxes[group], strict=True)]
        along += [((views[0][0] - v[0]) + (views[0][1] - v[1])) ** 2 for v in views]
        deep += [(1e-4 * (views[0][2] - v[2])) ** 2 for v in views]
    assert math.isclose(float(reduced(term)), sum(along) / 8 + sum(deep) / 8, rel_tol=1e-6)


def test_cameras_that_agree_cost_nothing() -> None:
    same = torch.tensor([0.3, -0.2, 4.0]).expand(3, 5, 3)
    focal, present = torch.full((3, 5), 900.0), torch.ones(3, 5, dtype=torch.bool)
    assert reduced(camera_consistency(same, focal, present)) == 0
    assert reduced(camera_consistency_authors(same, focal, present)) == 0


def test_absent_cameras_and_crops_count_nothing() -> None:
    weak, boxes, focal = _cameras(3)
    present = torch.tensor([[True, True, True, False], [False, False, False, False]])
    translation = _translations(weak, boxes)
    wild = torch.where(present[..., None], translation, 1e4)
    for loss in (camera_consistency, camera_consistency_authors):
        assert torch.equal(reduced(loss(translation, focal, present)), reduced(loss(wild, focal, present)))
    alone = camera_consistency(translation[:1, :3], focal[:1, :3], present[:1, :3])
    assert math.isclose(float(reduced(camera_consistency(translation, focal, present))), float(reduced(alone)) / 2)

    z, identity = torch.randn(8, 6), torch.tensor([0, 0, 0, 1, 1, 2, 2, 2])
    there = torch.tensor([True] * 4 + [False] + [True] * 3)
    for contrast in (person_contrast, person_contrast_authors):
        error, weight = contrast(z, identity, there)
        other = contrast(torch.where(there[:, None], z, 50.0), identity, there)
        assert torch.equal(error, other[0])
        assert (weight > 0).tolist() == [True, True, True, False, False, True, True, True]  # 3: no positive is left


def _naive(z: Tensor, identity: list[int], authors: bool) -> float:
    """The contrastive loss in loops."""
    if authors:
        z = z / z.norm(dim=-1, keepdim=True)
    losses, n = [], len(identity)
    for i in range(n):
        likeness = [math.exp(float(z[i] @ z[j]) / 0.5) for j in range(n)]
        below = sum(likeness[j] for j in range(n) if j != i and (authors or identity[j] != identity[i]))
        positive = [j for j in range(n) if j != i and identity[j] == identity[i]]
        losses.append(sum(-math.log(likeness[j] / below) for j in positive) / len(positive))
    return 0.5 * sum(losses) / n if authors else sum(losses)


@given(seeds)
def test_people_are_told_apart_as_in_loops(seed: int) -> None:
    z = torch.randn(7, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    identity = [4, 4, 9, 9, 9, 0, 0]
    assert math.isclose(float(reduced(person_contrast(z, torch.tensor(identity)))), _naive(z, identity, False))
    value = float(reduced(person_contrast_authors(z, torch.tensor(identity))))
    assert math.isclose(value, _naive(z, identity, True), rel_tol=1e-9)


def test_the_authors_contrast_is_least_where_people_are_points_far_apart() -> None:
    """Then the sum below holds the four positives alone: 0.5 log 4, but for what little other people add."""
    z = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64).repeat_interleave(5, 0)
    identity = torch.tensor([0, 1]).repeat_interleave(5)
    value = reduced(person_contrast_authors(z, identity, temperature=0.02))
    assert math.isclose(float(value), 0.02 * math.log(4), rel_tol=1e-9)


def test_one_person_alone_gives_no_contrast_and_no_nan() -> None:
    z = torch.randn(4, 5, requires_grad=True)
    term = person_contrast(z, torch.zeros(4, dtype=torch.int64))
    reduced(term).backward()
    assert reduced(term) == 0
    assert z.grad is not None
    assert (z.grad == 0).all()
