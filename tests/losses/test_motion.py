"""Errors of motion against a naive twin."""

import torch

from humesh.losses import reduced, velocity


def test_velocity_is_its_naive_twin() -> None:
    prediction, target, weight = torch.randn(2, 4, 5, 3), torch.randn(2, 4, 5, 3), torch.rand(2, 4, 5)
    expected = []
    for clip in range(2):
        for frame in range(3):
            for joint in range(5):
                for axis in range(3):
                    moved = prediction[clip, frame + 1, joint, axis] - prediction[clip, frame, joint, axis]
                    should = target[clip, frame + 1, joint, axis] - target[clip, frame, joint, axis]
                    both = weight[clip, frame, joint] * weight[clip, frame + 1, joint]
                    expected.append(both * (moved - should) ** 2)
    assert torch.allclose(reduced(velocity(prediction, target, weight)), torch.stack(expected).mean())


def test_velocity_sees_no_constant_offset_and_no_frame_of_weight_0() -> None:
    target, weight = torch.randn(3, 5, 7, 3), torch.ones(3, 5, 7)
    error, _ = velocity(target + torch.randn(3, 1, 7, 3), target, weight)
    assert error.max() < 1e-10
    weight[:, 2] = 0
    wrong = target.clone()
    wrong[:, 2] += 5
    error, weights = velocity(wrong, target, weight)
    assert error.max() > 1
    assert (error * weights).max() == 0


def test_a_single_frame_does_not_move() -> None:
    error, weight = velocity(torch.randn(2, 1, 5, 3), torch.randn(2, 1, 5, 3), torch.ones(2, 1, 5))
    assert error.shape == (2, 0, 5, 3)
    assert weight.shape == (2, 0, 5, 1)
