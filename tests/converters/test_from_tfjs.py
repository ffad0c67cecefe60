"""Graphs of TensorFlow.js, made here: what ONNX Runtime makes of them, against plain NumPy."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("onnx", reason="needed by the build only")
import onnxruntime

from converters.from_tfjs import converted

PIXELS = np.random.default_rng(0).integers(0, 256, (1, 4, 6, 3), np.uint8)
X = PIXELS.astype(np.float32) / 64 - 2  # exact, as are the two numbers in 16 bits


def text(word: str) -> str:
    return base64.b64encode(word.encode()).decode()


def node(name: str, op: str, *wires: str, **attributes: Any) -> dict[str, Any]:
    return {"name": name, "op": op, "input": list(wires), "attr": attributes}


def numbers(*values: int) -> dict[str, Any]:
    return {"list": {"i": [str(value) for value in values]}}


def graph(nodes: list[dict[str, Any]], output: str, **constants: np.ndarray) -> tuple[bytes, bytes]:
    """A graph whose "x" is X; float32 constants are stored in 16 bits."""
    constants = constants | {"scale": np.array(1 / 64, np.float32), "shift": np.array(2, np.float32)}
    entries, data = [], b""
    for name, array in constants.items():
        entry: dict[str, Any] = {"name": name, "shape": list(array.shape), "dtype": str(array.dtype)}
        if array.dtype == np.float32:
            entry["quantization"] = {"dtype": "float16", "original_dtype": "float32"}
            array = array.astype(np.float16)
        entries.append(entry)
        data += array.tobytes()
    picture = [
        node("picture", "Placeholder"), node("numbers", "Cast", "picture", DstT={"type": "DT_FLOAT"}),
        node("scaled", "Mul", "numbers", "scale"), node("x", "Sub", "scaled", "shift"),
        node("out", "Cast", output, DstT={"type": "DT_FLOAT"}),
    ]  # fmt: skip
    everything = [*nodes, *picture, *(node(name, "Const") for name in constants)]
    about = {
        "modelTopology": {"node": everything},
        "signature": {"outputs": {"y": {"name": "out:0", "tensorShape": {"dim": []}}}},
        "weightsManifest": [{"paths": ["g.bin"], "weights": entries}],
    }
    return json.dumps(about).encode(), data


def run(nodes: list[dict[str, Any]], output: str, pixels: np.ndarray = PIXELS, **constants: np.ndarray) -> np.ndarray:
    files = graph(nodes, output, **constants)
    model = converted(*files, side=0)
    assert model == converted(*files, side=0)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # the shape that `graph` tells is nobody's
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["people"], {"pixels": pixels})[0])


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


@settings(max_examples=40)
@given(
    st.integers(3, 9), st.integers(3, 9), st.sampled_from([1, 3]), st.sampled_from([1, 2]), st.booleans(), st.booleans()
)
def test_convolutions_are_tensorflows(height: int, width: int, side: int, stride: int, same: bool, deep: bool) -> None:
    g = np.random.default_rng(height * 10 + width)
    pixels = g.integers(0, 256, (1, height, width, 3), np.uint8)
    kernel = g.normal(size=(side, side, 3, 1 if deep else 4)).astype(np.float16).astype(np.float32)
    bias = g.normal(size=3 if deep else 4).astype(np.float16).astype(np.float32)
    full = np.eye(3) * kernel if deep else kernel
    op = "FusedDepthwiseConv2dNative" if deep else "_FusedConv2D"
    attributes = {
        "strides": numbers(1, stride, stride, 1),
        "padding": {"s": text("SAME" if same else "VALID")},
        "fused_ops": {"list": {"s": [text("BiasAdd"), text("Relu6")]}},
    }
    answer = run([node("y", op, "x", "k", "b", **attributes)], "y", pixels, k=kernel, b=bias)
    wanted = convolved(pixels.astype(np.float32) / 64 - 2, full, stride, same) + bias
    np.testing.assert_allclose(answer, np.clip(wanted, 0, 6), atol=1e-5)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


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
        ([node("u", "Unpack", "x", axis={"i": "1"}, num={"i": "4"}),
          node("y", "Pack", "u:3", "u:1", axis={"i": "2"})], {}, np.stack([X[:, 3], X[:, 1]], 2)),
        ([node("y", "ConcatV2", "x", "x", "a")], {"a": np.array(-1, np.int32)}, np.concatenate([X, X], -1)),
        ([node("y", "GatherNd", "x", "a")], {"a": np.array([[0, 1, 2], [0, 3, 5]], np.int32)}, X[0, [1, 3], [2, 5]]),
        ([node("y", "StridedSlice", "x", "a", "e", "s", begin_mask={"i": "1"}, shrink_axis_mask={"i": "2"},
               end_mask={"i": "4"})], {"a": ints(5, 2, 1), "e": ints(1, 3, 0), "s": ints(1, 1, 2)}, X[:1, 2, 1::2]),
        ([node("y", "FloorDiv", "a", "b")], {"a": ints(6, 7), "b": ints(2, 2)}, np.array([3, 3])),
        ([node("t", "TopKV2", "a", "b"), node("y", "Identity", "t:1")], {"a": np.array([1, 3, 2], np.float32),
         "b": np.array(2, np.int32)}, np.array([1, 2])),
        ([node("y", "Cast", "x", DstT={"type": "DT_INT32"})], {}, X.astype(np.int32)),
        ([node("c", "Greater", "x", "z"), node("y", "Select", "c", "x", "z")], {"z": np.zeros(X.shape, np.float32)},
         np.maximum(X, 0)),
        ([node("r", "Range", "a", "b", "c"), node("s", "Shape", "x"),
          node("y", "ConcatV2", "r", "e", "s", "d")],
         {"a": np.array(1, np.int32), "b": np.array(8, np.int32), "c": np.array(3, np.int32), "e": ints(-1),
          "d": np.array(0, np.int32)}, np.array([1, 4, 7, -1, 1, 4, 6, 3])),
        ([node("z", "Size", "x"), node("y", "ExpandDims", "z", "a")], {"a": np.array(0, np.int32)}, np.array([72])),
        ([node("y", "Fill", "a", "b")], {"a": ints(2, 3), "b": np.array(7, np.int32)}, np.full((2, 3), 7)),
        ([node("y", "SquaredDifference", "x", "a")], {"a": np.array(1, np.float32)}, (X - 1) ** 2),
        ([node("n", "AddN", "x", "x", "x"), node("r", "Reciprocal", "a"), node("y", "RealDiv", "n", "r")],
         {"a": np.array(2, np.float32)}, 6 * X),
        ([node("y", "StridedSlice", "x", "a", "e", "s", begin_mask={"i": "10"}, end_mask={"i": "10"},
               shrink_axis_mask={"i": "1"}, new_axis_mask={"i": "4"})],
         {"a": ints(0, 0, 0, 0), "e": ints(0, 0, 0, 0), "s": ints(1, 2, 1, 3)}, X[0, ::2, None, ::3]),
        ([node("y", "StridedSlice", "x", "a", "e", "s", shrink_axis_mask={"i": "2"}, begin_mask={"i": "1"},
               end_mask={"i": "1"})], {"a": ints(0, -1), "e": ints(0, 0), "s": ints(1, 1)}, X[:, -1]),
    ],
)  # fmt: skip
def test_operations_are_numpys(
    nodes: list[dict[str, Any]], constants: dict[str, np.ndarray], wanted: np.ndarray
) -> None:
    answer = run(nodes, "y", **constants)
    assert answer.shape == wanted.shape
    np.testing.assert_allclose(answer, wanted, atol=1e-6)


def test_pictures_grow_as_tensorflow_says() -> None:
    ramp = np.tile(np.arange(128, 132, dtype=np.uint8)[None, :, None, None], (1, 1, 2, 3))
    resize = node("y", "ResizeBilinear", "x", "a", half_pixel_centers={"b": True})
    answer = run([resize], "y", ramp, a=ints(8, 2))
    np.testing.assert_allclose(answer[0, :, 0, 0] * 64, [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3], atol=1e-5)
    with pytest.raises(ValueError, match="a resize without half_pixel_centers"):
        run([node("y", "ResizeBilinear", "x", "a")], "y", a=ints(8, 2))


def test_the_largest_of_nine_neighbours() -> None:
    same = {"padding": {"s": text("SAME")}}
    pool = node("y", "MaxPool", "x", ksize=numbers(1, 3, 3, 1), strides=numbers(1, 1, 1, 1), **same)
    padded = np.pad(X[0], ((1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    wanted = np.max([padded[i : i + 4, j : j + 6] for i in range(3) for j in range(3)], axis=0)
    np.testing.assert_array_equal(run([pool], "y")[0], wanted)


def test_nodes_may_come_in_any_order_and_unneeded_ones_do_not_matter() -> None:
    nodes = [node("y", "Sqrt", "m", "^odd2"), node("odd", "NobodyKnows", "y"), node("m", "Mul", "x", "x")]
    nodes.append(node("odd2", "Exp", "x"))
    np.testing.assert_allclose(run(nodes, "y"), np.abs(X), atol=1e-6)


def test_what_is_not_known_is_told() -> None:
    wide = node("y", "Conv2D", "x", "k", strides=numbers(1, 1, 1, 1), dilations=numbers(1, 2, 2, 1))
    with pytest.raises(ValueError, match="a convolution with dilations"):
        run([wide], "y", k=np.zeros((3, 3, 3, 1), np.float32))
    elu = node("y", "_FusedConv2D", "x", "k", fused_ops={"list": {"s": [text("Elu")]}})
    with pytest.raises(ValueError, match="a convolution with Elu"):
        run([elu], "y", k=np.zeros((3, 3, 3, 1), np.float32))
    with pytest.raises(ValueError, match="got an operation NobodyKnows"):
        run([node("y", "NobodyKnows", "x")], "y")
    topology, data = graph([node("y", "Abs", "x")], "y", a=np.ones(3, np.float32))
    with pytest.raises(ValueError, match="expected 10 bytes of weights, got 11"):
        converted(topology, data + b"x", side=0)
    with pytest.raises(ValueError, match="buffer"):
        converted(topology, data[:-1], side=0)
