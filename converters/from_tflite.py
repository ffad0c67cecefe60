"""TensorFlow Lite to ONNX: the dozen operations that MediaPipe's pose networks are made of, and no others.

Pictures are N H W C in TensorFlow Lite and N C H W in between here; the first axis of every value becomes a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tflite

from converters.onnx_graph import Graph

_KINDS = {
    tflite.TensorType.FLOAT32: np.float32,
    tflite.TensorType.FLOAT16: np.float16,
    tflite.TensorType.INT32: np.int32,
}
_NAMES = {number: name for name, number in vars(tflite.BuiltinOperator).items() if isinstance(number, int)}
_ACTIVATIONS = {
    tflite.ActivationFunctionType.NONE: "",
    tflite.ActivationFunctionType.RELU: "relu",
    tflite.ActivationFunctionType.RELU6: "relu6",
}


def converted(data: bytes, outputs: dict[str, int], scale: float, shift: float) -> bytes:
    """An ONNX model of a .tflite file that takes pictures as bytes.

    `pixels` N H W 3 uint8 become the network's input by `scale` and `shift`; `outputs` gives the wanted outputs' names
    and numbers. ValueError for a file with operations that are not known.
    """
    model = tflite.Model.GetRootAs(data, 0)
    graph, source = Graph(), model.Subgraphs(0)
    (first,) = source.InputsAsNumpy().tolist()
    height, width = source.Tensors(first).ShapeAsNumpy().tolist()[1:3]
    pixels = graph.transposed(graph.cast("pixels", np.float32), 0, 3, 1, 2)
    scaled = graph.add("Mul", pixels, graph.constant(scale, np.float32))
    values = {first: graph.add("Add", scaled, graph.constant(shift, np.float32))}
    reader = _Reader(model, graph, values)
    for number in range(source.OperatorsLength()):
        reader.add(source.Operators(number))
    made = {}
    for name, number in outputs.items():
        tensor = source.OutputsAsNumpy().tolist()[number]
        shape = source.Tensors(tensor).ShapeAsNumpy().tolist()
        value = values[tensor]
        made[name] = (graph.transposed(value, 0, 2, 3, 1) if len(shape) == 4 else value, np.float32, ["N", *shape[1:]])
    return graph.bytes({"pixels": (np.uint8, ["N", height, width, 3])}, made)


class _Reader:
    """Adds a file's operators to a graph, one after the other; `values` names what each tensor has become."""

    def __init__(self, model: tflite.Model, graph: Graph, values: dict[int, str]) -> None:
        self.model, self.graph, self.values = model, graph, values
        self.tensors = model.Subgraphs(0)
        self.arrays: dict[int, np.ndarray] = {}  # constants that are known by now

    def shape(self, tensor: int) -> list[int]:
        shape: list[int] = self.tensors.Tensors(tensor).ShapeAsNumpy().tolist()
        return shape

    def array(self, number: int) -> np.ndarray:
        """A constant."""
        if number not in self.arrays:
            tensor = self.tensors.Tensors(number)
            stored = self.model.Buffers(tensor.Buffer()).DataAsNumpy().tobytes()
            flat = np.frombuffer(stored, _KINDS[tensor.Type()])
            self.arrays[number] = flat.reshape(self.shape(number))
        return self.arrays[number]

    def is_constant(self, number: int) -> bool:
        return number in self.arrays or self.model.Buffers(self.tensors.Tensors(number).Buffer()).DataLength() > 0

    def value(self, number: int) -> str:
        """What a tensor is in the graph; constant pictures are turned as all others are."""
        if number not in self.values:
            array = self.array(number)
            self.values[number] = self.graph.constant(array.transpose(0, 3, 1, 2) if array.ndim == 4 else array)
        return self.values[number]

    def add(self, operator: tflite.Operator) -> None:
        code = self.model.OperatorCodes(operator.OpcodeIndex())
        name = _NAMES[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        given, made = operator.InputsAsNumpy().tolist(), operator.OutputsAsNumpy().tolist()
        if name == "DEQUANTIZE" and self.is_constant(given[0]):
            self.arrays[made[0]] = self.array(given[0])  # float16 constants stay so in the file
            return
        method = getattr(self, f"_{name.lower()}", None)
        if method is None:
            raise ValueError(f"expected one of MediaPipe's pose networks, got an operation {name}")
        self.values[made[0]] = method(operator, given, made[0])

    def _options(self, operator: tflite.Operator, kind: Any) -> Any:
        options, table = kind(), operator.BuiltinOptions()
        options.Init(table.Bytes, table.Pos)
        return options

    def _window(self, options: Any, size: Sequence[int], side: Sequence[int]) -> dict[str, Any]:
        """Strides and pads of a convolution or pool over a picture of that size."""
        strides = [options.StrideH(), options.StrideW()]
        extra = [0, 0]
        if options.Padding() == tflite.Padding.SAME:
            extra = [max((-(-n // s) - 1) * s + k - n, 0) for n, s, k in zip(size, strides, side, strict=True)]
        before = [e // 2 for e in extra]  # the odd pixel comes after
        return {"strides": strides, "pads": [*before, *(e - b for e, b in zip(extra, before, strict=True))]}

    def _convolved(self, options: Any, given: list[int], order: tuple[int, ...], groups: int) -> str:
        kernel = self.array(given[1]).transpose(order)
        window = self._window(options, self.shape(given[0])[1:3], kernel.shape[2:])
        if (options.DilationHFactor(), options.DilationWFactor()) != (1, 1):
            raise ValueError("expected one of MediaPipe's pose networks, got a convolution with dilations")
        constants = [self.graph.kernel(kernel), self.graph.constant(self.array(given[2]))]
        value = self.graph.add("Conv", self.value(given[0]), *constants, group=groups, **window)
        return self.graph.activated(value, _ACTIVATIONS[options.FusedActivationFunction()])

    def _conv_2d(self, operator: tflite.Operator, given: list[int], made: int) -> str:
        return self._convolved(self._options(operator, tflite.Conv2DOptions), given, (0, 3, 1, 2), 1)

    def _depthwise_conv_2d(self, operator: tflite.Operator, given: list[int], made: int) -> str:
        options = self._options(operator, tflite.DepthwiseConv2DOptions)
        return self._convolved(options, given, (3, 0, 1, 2), self.shape(given[0])[3])

    def _max_pool_2d(self, operator: tflite.Operator, given: list[int], made: int) -> str:
        options = self._options(operator, tflite.Pool2DOptions)
        side = [options.FilterHeight(), options.FilterWidth()]
        window = self._window(options, self.shape(given[0])[1:3], side)
        return str(self.graph.add("MaxPool", self.value(given[0]), kernel_shape=side, **window))

    def _add(self, operator: tflite.Operator, given: list[int], made: int) -> str:
        options = self._options(operator, tflite.AddOptions)
        value = self.graph.add("Add", *(self.value(tensor) for tensor in given))
        return self.graph.activated(value, _ACTIVATIONS[options.FusedActivationFunction()])

    def _pad(self, operator: tflite.Operator, given: list[int], made: int) -> str:
        before, after = self.array(given[1])[[0, 3, 1, 2]].T.tolist()
        return str(self.graph.add("Pad", self.value(given[0]), self.graph.ints(*before, *after)))

    def _resize_bilinear(self, operator: tflite.Operator, given: list[int], made: int) -> str:
        options = self._options(operator, tflite.ResizeBilinearOptions)
        if options.AlignCorners():
            raise ValueError("expected one of MediaPipe's pose networks, got a resize that aligns corners")
        zoom = [new / old for new, old in zip(self.shape(made)[1:3], self.shape(given[0])[1:3], strict=True)]
        way = "half_pixel" if options.HalfPixelCenters() else "asymmetric"
        scales = self.graph.constant([1, 1, *zoom], np.float32)
        value = self.value(given[0])
        return str(self.graph.add("Resize", value, "", scales, mode="linear", coordinate_transformation_mode=way))

    def _reshape(self, operator: tflite.Operator, given: list[int], made: int) -> str:
        value, shape = self.value(given[0]), self.shape(made)
        if len(self.shape(given[0])) == 4:
            value = self.graph.transposed(value, 0, 2, 3, 1)
        value = self.graph.add("Reshape", value, self.graph.ints(0, *shape[1:]))
        return self.graph.transposed(value, 0, 3, 1, 2) if len(shape) == 4 else str(value)

    def _logistic(self, operator: tflite.Operator, given: list[int], made: int) -> str:
        return str(self.graph.add("Sigmoid", self.value(given[0])))
