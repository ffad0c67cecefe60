"""Points to heatmaps and back."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from humesh.networks.heads import gaussian_heatmaps, soft_argmax


def test_a_heatmap_is_its_formula() -> None:
    points, weights = torch.tensor([[3.25, 6.5]]), torch.tensor([0.5])
    heatmap = gaussian_heatmaps(points, weights, 12, 2.0)[0]
    row, column = 5, 4
    squared = (column - 3.25) ** 2 + (row - 6.5) ** 2
    assert torch.allclose(heatmap[row, column], 0.5 * torch.exp(torch.tensor(-squared / 8)))


@given(x=st.integers(0, 8), y=st.integers(0, 6), z=st.integers(0, 4))
def test_a_sharp_peak_is_found(x: int, y: int, z: int) -> None:
    logits = torch.zeros(1, 5, 7, 9)
    logits[0, z, y, x] = 50
    expected = torch.tensor([[x / 8, y / 6, z / 4]])
    assert torch.allclose(soft_argmax(logits, 3), expected, atol=1e-5)
    assert torch.allclose(soft_argmax(logits[:, z], 2), expected[:, :2], atol=1e-5)


def test_no_peak_is_the_middle() -> None:
    assert torch.allclose(soft_argmax(torch.zeros(2, 4, 4, 4), 3), torch.tensor(0.5))
