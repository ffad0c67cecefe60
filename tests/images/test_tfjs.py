"""Graphs of TensorFlow.js, made here: their operations against plain numpy."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from humesh.images.tfjs import GraphModel


def text(word: str) -> str:
    return base64.b64encode(word.encode()).decode()


def node(name: str, op: str, *wires: str, **attributes: Any) -> dict[str, Any]:
    return {"name": name, "op": op, "input": list(wires), "attr": attributes}


def numbers(*values: int) -> dict[str, Any]:
    return {"list": {"i": [str(value) for value in values]}}


def graph(folder: Path, nodes: list[dict[str, Any]], output: str, **constants: np.ndarray) -> Path:
    """Writes a graph of input "x"; float32 constants are stored in 16 bits."""
    entries, data = [], b""
    for name, array in constants.items():
        entry: dict[str, Any] = {"name": name, "shape": list(array.shape), "dtype": str(array.dtype)}
        if array.dtype == np.float32:
            entry["quantization"] = {"dtype": "float16", "original_dtype": "float32"}
            array = array.astype(np.float16)
        entries.append(entry)
        data += array.tobytes()
    everything = [*nodes, node("x", "Placeholder"), *(node(name, "Const") for name in constants)]
    about = {
        "modelTopology": {"node": everything},
        "signature": {"outputs": {"y": {"name": output}}},
        "weightsManifest": [{"paths": ["g.bin"], "weights": entries}],
    }
    folder.joinpath("g.json").write_text(json.dumps(about))
    folder.joinpath("g.bin").write_bytes(data)
    return folder / "g"


def run(
    folder: Path, nodes: list[dict[str, Any]], output: str, given: np.ndarray, **constants: np.ndarray
) -> np.ndarray:
    return GraphModel(graph(folder, nodes, output, **constants))(torch.from_numpy(given)).numpy()


def convolved(x: np.ndarray, kernel: np.ndarray, stride: int, same: bool) -> np.ndarray:
    """TensorFlow's convolution by its definition, loop by loop; its padding puts the odd pixel after."""
    size, side = np.array(x.shape[1:3]), kernel.shape[0]
    out = -(-size // stride) if same else (size - side) // stride + 1
    before = np.maximum((out - 1) * stride + side - size, 0) // 2 if same else np.zeros(2, int)
    padded = np.zeros((x.shape[1] + 2 * side, x.shape[2] + 2 * side, x.shape[3]))
    padded[side : side + size[0], side : side + size[1]] = x[0]
    answer = np.zeros((1, *out, kernel.shape[3]))
    for i in range(out[0]):
        for j in range(out[1]):
            top, left = np.array([i, j]) * stride - before + side
            answer[0, i, j] = np.tensordot(padded[top : top + side, left : left + side], kernel, 3)
    return answer


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(3, 9), st.integers(3, 9), st.sampled_from([1, 3]), st.sampled_from([1, 2]), st.booleans(), st.booleans()
)
def test_convolutions_are_tensorflows(
    tmp_path: Path, height: int, width: int, side: int, stride: int, same: bool, deep: bool
) -> None:
    g = np.random.default_rng(height * 10 + width)
    x = g.normal(size=(1, height, width, 2)).astype(np.float32)
    kernel = g.normal(size=(side, side, 2, 1 if deep else 3)).astype(np.float16).astype(np.float32)
    bias = g.normal(size=2 if deep else 3).astype(np.float16).astype(np.float32)
    full = np.zeros((side, side, 2, 2)) if deep else kernel
    if deep:
        for channel in range(2):
            full[:, :, channel, channel] = kernel[:, :, channel, 0]
    op = "FusedDepthwiseConv2dNative" if deep else "_FusedConv2D"
    attributes = {
        "strides": numbers(1, stride, stride, 1),
        "padding": {"s": text("SAME" if same else "VALID")},
        "fused_ops": {"list": {"s": [text("BiasAdd"), text("Relu6")]}},
    }
    answer = run(tmp_path, [node("y", op, "x", "k", "b", **attributes)], "y", x, k=kernel, b=bias)
    np.testing.assert_allclose(answer, np.clip(convolved(x, full, stride, same) + bias, 0, 6), atol=1e-5)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


X = np.random.default_rng(0).normal(size=(1, 4, 6, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("nodes", "constants", "wanted"),
    [
        ([node("y", "Sigmoid", "x")], {}, 1 / (1 + np.exp(-X))),
        ([node("y", "Max", "x", "a", keep_dims={"b": True})], {"a": ints(1, 2)}, X.max((1, 2), keepdims=True)),
        ([node("y", "Sum", "x", "a")], {"a": np.array(3, np.int32)}, X.sum(3)),
        ([node("y", "ArgMax", "x", "a")], {"a": np.array(1, np.int32)}, X.argmax(1)),
        ([node("y", "Reshape", "x", "a")], {"a": ints(2, -1)}, X.reshape(2, -1)),
        ([node("y", "Tile", "x", "a")], {"a": ints(1, 2, 1, 1)}, np.tile(X, (1, 2, 1, 1))),
        ([node("y", "Squeeze", "x", squeeze_dims=numbers(0))], {}, X[0]),
        ([node("s", "Split", "a", "x", num_split={"i": "3"}), node("y", "Sub", "s:2", "s")],
         {"a": np.array(3, np.int32)}, X[..., 2:] - X[..., :1]),
        ([node("u", "Unpack", "x", axis={"i": "1"}), node("y", "Pack", "u:3", "u:1", axis={"i": "2"})], {},
         np.stack([X[:, 3], X[:, 1]], 2)),
        ([node("y", "ConcatV2", "x", "x", "a")], {"a": np.array(-1, np.int32)}, np.concatenate([X, X], -1)),
        ([node("y", "GatherNd", "x", "a")], {"a": np.array([[0, 1, 2], [0, 3, 5]], np.int32)}, X[0, [1, 3], [2, 5]]),
        ([node("y", "StridedSlice", "x", "a", "e", "s", begin_mask={"i": "1"}, shrink_axis_mask={"i": "2"},
               end_mask={"i": "4"})], {"a": ints(5, 2, 1), "e": ints(1, 3, 0), "s": ints(1, 1, 2)}, X[:1, 2, 1::2]),
        ([node("y", "FloorDiv", "a", "b")], {"a": ints(-7, 7), "b": ints(2, 2)}, np.array([-4, 3])),
        ([node("t", "TopKV2", "a", "b"), node("y", "Identity", "t:1")], {"a": np.array([1, 3, 2], np.float32),
         "b": np.array(2, np.int32)}, np.array([1, 2])),
        ([node("y", "Cast", "x", DstT={"type": "DT_INT32"})], {}, X.astype(np.int32)),
        ([node("c", "Greater", "x", "z"), node("y", "Select", "c", "x", "z")], {"z": np.zeros(X.shape, np.float32)},
         np.maximum(X, 0)),
    ],
)  # fmt: skip
def test_operations_are_numpys(
    tmp_path: Path, nodes: list[dict[str, Any]], constants: dict[str, np.ndarray], wanted: np.ndarray
) -> None:
    answer = run(tmp_path, nodes, "y", X, **constants)
    assert answer.shape == wanted.shape
    np.testing.assert_allclose(answer, wanted, atol=1e-6)


def test_pictures_grow_as_tensorflow_says(tmp_path: Path) -> None:
    ramp = np.arange(4, dtype=np.float32)[None, :, None, None] * np.ones((1, 4, 2, 1), np.float32)
    resize = node("y", "ResizeBilinear", "x", "a", half_pixel_centers={"b": True})
    answer = run(tmp_path, [resize], "y", ramp, a=ints(8, 2))
    np.testing.assert_allclose(answer[0, :, 0, 0], [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3], atol=1e-6)
    with pytest.raises(ValueError, match="half_pixel_centers is not known"):
        GraphModel(graph(tmp_path, [node("y", "ResizeBilinear", "x", "a")], "y", a=ints(8, 2)))


def test_the_largest_of_nine_neighbours(tmp_path: Path) -> None:
    pool = node("y", "MaxPool", "x", ksize=numbers(1, 3, 3, 1), strides=numbers(1, 1, 1, 1))
    padded = np.pad(X[0], ((1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    wanted = np.max([padded[i : i + 4, j : j + 6] for i in range(3) for j in range(3)], axis=0)
    np.testing.assert_array_equal(run(tmp_path, [pool], "y", X)[0], wanted)


def test_nodes_may_come_in_any_order_and_unneeded_ones_do_not_matter(tmp_path: Path) -> None:
    nodes = [node("y", "Sqrt", "m"), node("odd", "NobodyKnows", "y"), node("m", "Mul", "x", "x")]
    np.testing.assert_allclose(run(tmp_path, nodes, "y", X), np.abs(X), atol=1e-6)


def test_what_is_not_known_is_told(tmp_path: Path) -> None:
    wide = node("y", "Conv2D", "x", "k", strides=numbers(1, 1, 1, 1), dilations=numbers(1, 2, 2, 1))
    with pytest.raises(ValueError, match="y: a convolution with dilations is not known"):
        GraphModel(graph(tmp_path, [wide], "y", k=np.zeros((3, 3, 3, 1), np.float32)))
    with pytest.raises(ValueError, match="operation NobodyKnows is not known"):
        GraphModel(graph(tmp_path, [node("y", "NobodyKnows", "x")], "y"))
    path = graph(tmp_path, [node("y", "AddV2", "x", "a")], "y", a=np.ones(3, np.float32))
    for damage in (lambda data: data[:-1], lambda data: data + b"x"):
        path.with_suffix(".bin").write_bytes(damage(b"\0" * 6))
        with pytest.raises(ValueError, match="js graph model with one output"):
            GraphModel(path)
    path.with_suffix(".json").write_text("[]")
    with pytest.raises(ValueError, match="js graph model with one output"):
        GraphModel(path)
