"""Files of TensorFlow Lite, made here operation by operation: what ONNX Runtime makes of them, against plain NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

tflite = pytest.importorskip("tflite", reason="needed by the build only")
pytest.importorskip("onnx", reason="needed by the build only")
import flatbuffers  # noqa: E402
import onnxruntime  # noqa: E402

from converters.from_tflite import converted  # noqa: E402

SCALE, SHIFT = 1 / 100, -1.0
PIXELS = np.random.default_rng(0).integers(0, 256, (2, 5, 6, 3), np.uint8)
X = (PIXELS * np.float32(SCALE) + np.float32(SHIFT)).astype(np.float32)


class File:
    """A .tflite file under construction; tensor 0 is the picture."""

    def __init__(self, *picture: int) -> None:
        self.builder = flatbuffers.Builder()
        self.buffers, self.tensors, self.codes, self.operators = [self.table("Buffer")], list[int](), list[int](), []
        self.tensor(picture)

    def table(self, kind: str, **fields: Any) -> int:
        getattr(tflite, f"{kind}Start")(self.builder)
        for name, value in fields.items():
            getattr(tflite, f"{kind}Add{name}")(self.builder, value)
        return int(getattr(tflite, f"{kind}End")(self.builder))

    def numbers(self, values: Any, kind: Any = np.int32) -> int:
        return int(self.builder.CreateNumpyVector(np.array(values, kind).ravel()))

    def tables(self, places: list[int]) -> int:
        self.builder.StartVector(4, len(places), 4)
        for place in reversed(places):
            self.builder.PrependUOffsetTRelative(place)
        return int(self.builder.EndVector())

    def tensor(self, shape: tuple[int, ...], data: np.ndarray | None = None) -> int:
        """The number of a new tensor; with `data` a constant one."""
        buffer, kind = 0, tflite.TensorType.FLOAT32
        if data is not None:
            kind = {"f": tflite.TensorType.FLOAT32, "e": tflite.TensorType.FLOAT16}.get(data.dtype.char, 2)
            stored = self.numbers(np.frombuffer(data.tobytes(), np.uint8), np.uint8)
            self.buffers.append(self.table("Buffer", Data=stored))
            buffer = len(self.buffers) - 1
        self.tensors.append(self.table("Tensor", Shape=self.numbers(shape), Type=kind, Buffer=buffer))
        return len(self.tensors) - 1

    def constant(self, array: np.ndarray) -> int:
        return self.tensor(array.shape, array)

    def add(self, name: str, given: list[int], shape: tuple[int, ...], options: str = "", **fields: Any) -> int:
        """The number of an operator's output."""
        code = getattr(tflite.BuiltinOperator, name)
        self.codes.append(self.table("OperatorCode", BuiltinCode=code, DeprecatedBuiltinCode=min(code, 127)))
        more = {}
        if options:
            kind = getattr(tflite.BuiltinOptions, options)
            more = {"BuiltinOptions": self.table(options, **fields), "BuiltinOptionsType": kind}
        made, wires = self.tensor(shape), self.numbers(given)
        outputs = self.numbers([made])
        index = len(self.codes) - 1
        self.operators.append(self.table("Operator", OpcodeIndex=index, Inputs=wires, Outputs=outputs, **more))
        return made

    def bytes(self, *outputs: int) -> bytes:
        parts = [self.tables(self.tensors), self.numbers([0]), self.numbers(outputs), self.tables(self.operators)]
        graph = self.table("SubGraph", **dict(zip(("Tensors", "Inputs", "Outputs", "Operators"), parts, strict=True)))
        fields = {"OperatorCodes": self.codes, "Subgraphs": [graph], "Buffers": self.buffers}
        self.builder.Finish(self.table("Model", **{name: self.tables(part) for name, part in fields.items()}))
        return bytes(self.builder.Output())


def run(data: bytes, pixels: np.ndarray = PIXELS) -> np.ndarray:
    model = converted(data, {"y": 0}, SCALE, SHIFT)
    assert model == converted(data, {"y": 0}, SCALE, SHIFT)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["y"], {"pixels": pixels})[0])


def windows(x: np.ndarray, side: tuple[int, int], stride: int, same: bool, fill: float) -> np.ndarray:
    """N h w kh kw C: what a window sees at each place; padding by TensorFlow's rule puts the odd pixel after."""
    size = np.array(x.shape[1:3])
    out = -(-size // stride) if same else (size - side) // stride + 1
    extra = np.maximum((out - 1) * stride + side - size, 0) if same else np.zeros(2, int)
    before = extra // 2
    pads = [(0, 0), *zip(before, extra - before, strict=True), (0, 0)]
    padded = np.pad(x, pads, constant_values=fill)
    seen = np.zeros((len(x), *out, *side, x.shape[3]))
    for i in range(out[0]):
        for j in range(out[1]):
            top, left = i * stride, j * stride
            seen[:, i, j] = padded[:, top : top + side[0], left : left + side[1]]
    return seen


ACTIVATIONS = {"NONE": (-np.inf, np.inf), "RELU": (0, np.inf), "RELU6": (0, 6)}


@settings(max_examples=40)
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 4)), st.sampled_from([1, 2]), st.booleans(), st.booleans(),
    st.sampled_from(list(ACTIVATIONS)),
)  # fmt: skip
def test_convolutions_are_tensorflows(
    side: tuple[int, int], stride: int, same: bool, deep: bool, activation: str
) -> None:
    g = np.random.default_rng(side[0] + 10 * side[1])
    kernel = (4 * g.normal(size=(1, *side, 3) if deep else (4, *side, 3))).astype(np.float16)
    bias = g.normal(size=3 if deep else 4).astype(np.float32)
    seen = windows(X, side, stride, same, 0)
    wanted = np.einsum("nhwijc,ijc->nhwc" if deep else "nhwijc,oijc->nhwo", seen, kernel[0] if deep else kernel) + bias
    file = File(*X.shape)
    weights = file.add("DEQUANTIZE", [file.constant(kernel)], kernel.shape)
    kind = "DepthwiseConv2D" if deep else "Conv2D"
    made = file.add(
        "DEPTHWISE_CONV_2D" if deep else "CONV_2D", [0, weights, file.constant(bias)], wanted.shape, f"{kind}Options",
        StrideH=stride, StrideW=stride, Padding=tflite.Padding.SAME if same else tflite.Padding.VALID,
        FusedActivationFunction=getattr(tflite.ActivationFunctionType, activation),
    )  # fmt: skip
    got = run(file.bytes(made))
    assert got.shape == wanted.shape
    np.testing.assert_allclose(got, np.clip(wanted, *ACTIVATIONS[activation]), atol=1e-4)


def grown(x: np.ndarray, axis: int, size: int, half: bool) -> np.ndarray:
    """Linear interpolation of one axis."""
    old = x.shape[axis]
    at = (np.arange(size) + 0.5) * old / size - 0.5 if half else np.arange(size) * old / size
    at = np.clip(at, 0, old - 1)
    low = np.floor(at).astype(int)
    share = (at - low).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    return x.take(low, axis) * (1 - share) + x.take(np.minimum(low + 1, old - 1), axis) * share


@pytest.mark.parametrize("half", [True, False])
def test_pictures_grow_as_tensorflow_says(half: bool) -> None:
    file = File(*X.shape)
    size = file.constant(np.array([10, 18], np.int32))
    made = file.add("RESIZE_BILINEAR", [0, size], (2, 10, 18, 3), "ResizeBilinearOptions", HalfPixelCenters=half)
    np.testing.assert_allclose(run(file.bytes(made)), grown(grown(X, 1, 10, half), 2, 18, half), atol=1e-5)


@pytest.mark.parametrize(("same", "shape"), [(True, (3, 3)), (False, (2, 3))])
def test_the_largest_in_each_window(same: bool, shape: tuple[int, int]) -> None:
    file = File(*X.shape)
    made = file.add(
        "MAX_POOL_2D", [0], (2, *shape, 3), "Pool2DOptions", StrideH=2, StrideW=2, FilterHeight=2, FilterWidth=2,
        Padding=tflite.Padding.SAME if same else tflite.Padding.VALID,
    )  # fmt: skip
    np.testing.assert_array_equal(run(file.bytes(made)), windows(X, (2, 2), 2, same, -np.inf).max((3, 4)))


def test_pads_of_every_axis() -> None:
    pads = np.array([[0, 0], [1, 0], [0, 2], [0, 3]], np.int32)
    file = File(*X.shape)
    made = file.add("PAD", [0, file.constant(pads)], (2, 6, 8, 6), "PadOptions")
    np.testing.assert_array_equal(run(file.bytes(made)), np.pad(X, pads))


def test_shapes_are_those_of_pictures_with_channels_last() -> None:
    for shape in ((2, 90), (2, 30, 3), (2, 3, 10, 3)):
        file = File(*X.shape)
        made = file.add("RESHAPE", [0], shape, "ReshapeOptions")
        np.testing.assert_array_equal(run(file.bytes(made)), X.reshape(shape))
    file = File(*X.shape)
    flat = file.add("RESHAPE", [0], (2, 90))
    np.testing.assert_array_equal(run(file.bytes(file.add("RESHAPE", [flat], X.shape))), X)


def test_sums_constants_and_the_logistic_curve() -> None:
    more = np.random.default_rng(1).normal(size=(1, 5, 6, 3)).astype(np.float32)
    file = File(*X.shape)
    made = file.add("ADD", [0, file.constant(more)], X.shape, "AddOptions", FusedActivationFunction=1)
    made = file.add("LOGISTIC", [made], X.shape)
    np.testing.assert_allclose(run(file.bytes(made)), 1 / (1 + np.exp(-np.maximum(X + more, 0))), atol=1e-6)


def test_a_batch_of_any_length() -> None:
    file = File(1, *X.shape[1:])
    made = file.add("LOGISTIC", [0], (1, *X.shape[1:]))
    data = file.bytes(file.add("RESHAPE", [made], (1, 90)))
    for count in (1, 2):
        one_by_one = [run(data, PIXELS[i : i + 1])[0] for i in range(count)]
        np.testing.assert_array_equal(run(data, PIXELS[:count]), one_by_one)


def test_what_is_not_known_is_refused() -> None:
    file = File(*X.shape)
    with pytest.raises(ValueError, match="got an operation TANH"):
        run(file.bytes(file.add("TANH", [0], X.shape)))
    file, kernel = File(*X.shape), np.zeros((3, 3, 3, 3), np.float32)
    given = [0, file.constant(kernel), file.constant(np.zeros(3, np.float32))]
    wide = {"StrideH": 1, "StrideW": 1, "DilationHFactor": 2}
    with pytest.raises(ValueError, match="a convolution with dilations"):
        run(file.bytes(file.add("CONV_2D", given, X.shape, "Conv2DOptions", **wide)))
    file = File(*X.shape)
    with pytest.raises(ValueError, match="a resize that aligns corners"):
        run(file.bytes(file.add("RESIZE_BILINEAR", [0], (2, 10, 12, 3), "ResizeBilinearOptions", AlignCorners=True)))
