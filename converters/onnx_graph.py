"""The little of ONNX that both converters share: a graph under construction, and what is written of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

OPSET = 17
_LARGE = 200_000  # numbers in a kernel


class Graph:
    """Nodes and constants in the order in which they are added; a value is known by its name."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self._count = 0

    def name(self) -> str:
        """A name that nothing has yet."""
        self._count += 1
        return f"v{self._count}"

    def add(self, kind: str, *given: str, outputs: int = 1, **attributes: Any) -> Any:
        """Adds a node; the name of its output, or the names of its `outputs`."""
        names = [self.name() for _ in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(given), names, **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, array: Any, kind: Any = None) -> str:
        """An array as a value; float16 ones stay small in the file and are float32 to whoever uses them."""
        array = np.asarray(array, dtype=kind)
        name = self.name()
        self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)
        return self.cast(name, np.float32) if array.dtype == np.float16 else name

    def kernel(self, array: Any) -> str:
        """A convolution's kernel (out, in, h, w); large ones of 1 x 1 are rounded to 8 bits a number, out by out.

        They lie deep in the networks and can take it: points of the heavy landmark model move by 0.08 px of 256 in the
        mean. Kernels of 20,000 numbers and more, nearer to the picture, would move them by 0.96 px, all kernels by 5.5.
        """
        array = np.asarray(array)
        if array.shape[2:] != (1, 1) or array.size < _LARGE:
            return self.constant(array)
        scale = np.abs(array).max((1, 2, 3), keepdims=True).astype(np.float32) / 127
        rounded = np.round(array / np.maximum(scale, 1e-20)).astype(np.int8)
        return str(self.add("Mul", self.cast(self.constant(rounded), np.float32), self.constant(scale)))

    def ints(self, *numbers: int) -> str:
        """A list of whole numbers, as shapes and axes are given."""
        return self.constant(numbers, np.int64)

    def cast(self, value: str, kind: Any) -> str:
        """The value as another type of numbers."""
        return str(self.add("Cast", value, to=helper.np_dtype_to_tensor_dtype(np.dtype(kind))))

    def transposed(self, value: str, *order: int) -> str:
        """The value with its axes in this order."""
        return str(self.add("Transpose", value, perm=order))

    def activated(self, value: str, kind: str) -> str:
        """The value after an activation: "", "relu" or "relu6"."""
        if kind == "relu":
            return str(self.add("Relu", value))
        if kind == "relu6":
            return str(self.add("Clip", value, self.constant(0, np.float32), self.constant(6, np.float32)))
        assert kind == "", kind
        return value

    def bytes(self, given: dict[str, tuple[Any, list[Any]]], made: dict[str, tuple[str, Any, list[Any]]]) -> bytes:
        """The finished model: `given` inputs (name: type, shape), `made` outputs (name: value, type, shape)."""

        def info(name: str, kind: Any, shape: list[Any]) -> onnx.ValueInfoProto:
            return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(kind)), shape)

        last = [helper.make_node("Identity", [value], [name]) for name, (value, _, _) in made.items()]
        graph = helper.make_graph(
            [*self.nodes, *last],
            "humesh",
            [info(name, kind, shape) for name, (kind, shape) in given.items()],
            [info(name, kind, shape) for name, (_, kind, shape) in made.items()],
            list(self.constants.values()),
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString(deterministic=True))
