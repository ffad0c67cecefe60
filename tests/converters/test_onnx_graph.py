"""What both converters share: how kernels are kept."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needed by the build only")
import onnxruntime

from converters.onnx_graph import Graph


def kept(kernel: np.ndarray) -> tuple[np.ndarray, int]:
    """A kernel as a model gives it back, and the bytes of the model."""
    graph = Graph()
    model = graph.bytes({}, {"kernel": (graph.kernel(kernel), np.float32, list(kernel.shape))})
    return onnxruntime.InferenceSession(model).run(None, {})[0], len(model)


def test_large_kernels_of_one_pixel_are_rounded_to_eight_bits() -> None:
    kernel = np.random.default_rng(0).normal(size=(500, 500, 1, 1)).astype(np.float16)
    kernel[3] = 0
    kernel[4] *= 1000  # each output has a scale of its own
    found, size = kept(kernel)
    step = np.abs(kernel.astype(np.float32)).max(1, keepdims=True) / 127
    assert (np.abs(found - kernel) <= 0.501 * step).all()
    assert np.ptp(found[5] / np.maximum(step[5], 1e-9)) > 200
    assert size < 1.1 * kernel.size


@pytest.mark.parametrize("shape", [(200, 200, 1, 1), (500, 50, 3, 3)])
def test_other_kernels_stay_as_they_are(shape: tuple[int, ...]) -> None:
    kernel = np.random.default_rng(0).normal(size=shape).astype(np.float16)
    np.testing.assert_array_equal(kept(kernel)[0], kernel.astype(np.float32))
