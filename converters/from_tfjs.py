"""TensorFlow.js graph models to ONNX: the few dozen operations that MoveNet is made of, and no others."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import numpy as np

from converters.onnx_graph import Graph

_KINDS = {"float32": np.float32, "float16": np.float16, "int32": np.int32, "bool": np.bool_}
_CASTS = {"DT_FLOAT": np.float32, "DT_INT32": np.int32, "DT_INT64": np.int64, "DT_BOOL": np.bool_}
_SAME = {
    "Abs": "Abs", "AddN": "Sum", "AddV2": "Add", "Equal": "Equal", "Exp": "Exp", "FloorDiv": "Div",
    "Greater": "Greater", "GreaterEqual": "GreaterOrEqual", "Identity": "Identity", "Less": "Less",
    "LogicalAnd": "And", "Maximum": "Max", "Minimum": "Min", "Mul": "Mul", "Range": "Range", "RealDiv": "Div",
    "Reciprocal": "Reciprocal", "Select": "Where", "Sigmoid": "Sigmoid", "Sqrt": "Sqrt", "Sub": "Sub",
}  # fmt: skip
"""Operations that ONNX has under another name; whole numbers that are divided are never negative."""


def converted(topology: bytes, data: bytes, side: int) -> bytes:
    """An ONNX model of a TensorFlow.js graph model of one input and one output, which takes pictures as bytes.

    `topology`: the model's .json; `data`: its weights. `side`: the longer one's length of a picture that the model is
    made for, `pixels` 1 H W 3 uint8; what it gives is `people`. ValueError for operations that are not known.
    """
    about = json.loads(topology)
    (entry,) = about["weightsManifest"]
    (output,) = about["signature"]["outputs"].values()
    nodes = {node["name"]: node for node in about["modelTopology"]["node"]}
    reader = _Reader(_weights(entry["weights"], data))
    last = output["name"].partition(":")[0]
    for node in _in_order(nodes, last):
        reader.add(node)
    shape = [int(size["size"]) for size in output["tensorShape"]["dim"]]
    sides = ["H", "W"] if side == 0 else [side, side]
    return reader.graph.bytes(
        {"pixels": (np.uint8, [1, *sides, 3])}, {"people": (reader.values[last], np.float32, shape)}
    )


def _in_order(nodes: dict[str, Any], last: str) -> list[dict[str, Any]]:
    """The nodes that the last one needs, each after those it needs itself."""
    ordered: dict[str, dict[str, Any]] = {}
    waiting = [last]
    while waiting:
        node = nodes[waiting[-1]]
        needs = [wire.lstrip("^").partition(":")[0] for wire in node.get("input", [])]
        if missing := [name for name in needs if name not in ordered]:
            waiting += missing
        else:
            ordered[waiting.pop()] = node
    return list(ordered.values())


def _weights(entries: list[dict[str, Any]], data: bytes) -> dict[str, np.ndarray]:
    found, start = dict[str, np.ndarray](), 0
    for entry in entries:
        stored = np.dtype(_KINDS[entry.get("quantization", entry)["dtype"]])
        count = int(np.prod(entry["shape"], dtype=int))
        found[entry["name"]] = np.frombuffer(data, stored, count, start).reshape(entry["shape"])
        start += found[entry["name"]].nbytes
    if start != len(data):
        raise ValueError(f"expected {start} bytes of weights, got {len(data)}")
    return found


def _text(word: str) -> str:
    return base64.b64decode(word).decode()


def _numbers(attribute: dict[str, Any]) -> list[int]:
    return [int(number) for number in attribute["list"].get("i", [])]


def _whole(attributes: dict[str, Any], name: str) -> int:
    return int(attributes.get(name, {}).get("i", 0))


class _Reader:
    """Adds a model's nodes to a graph, one after the other; `values` names what each node has become."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self.arrays, self.graph = arrays, Graph()
        self.values: dict[str, Any] = {}

    def add(self, node: dict[str, Any]) -> None:
        name, kind, attributes = node["name"], node["op"], node.get("attr", {})
        wires = [wire for wire in node.get("input", []) if not wire.startswith("^")]
        if kind == "Placeholder":
            self.values[name] = self.graph.cast("pixels", np.int32)
        elif kind == "Const":
            self.values[name] = None  # added where it is used
        elif kind in _SAME:
            self.values[name] = self.graph.add(_SAME[kind], *map(self.value, wires))
        else:
            method: Callable[..., Any] | None = getattr(self, f"_{kind.lower().strip('_')}", None)
            if method is None:
                raise ValueError(f"expected MoveNet, got an operation {kind}")
            self.values[name] = method(wires, attributes)

    def value(self, wire: str) -> str:
        """What a wire carries, in the graph."""
        name, _, part = wire.partition(":")
        if self.values[name] is None:
            self.values[name] = self.graph.constant(self.arrays[name])
        found = self.values[name]
        return str(found[int(part or 0)] if isinstance(found, list) else found)

    def array(self, wire: str) -> np.ndarray:
        """The constant that a wire carries."""
        return self.arrays[wire.partition(":")[0]]

    def shape(self, wire: str) -> str:
        """A value that is used as a shape or as places."""
        return self.graph.cast(self.value(wire), np.int64)

    def _convolved(self, wires: list[str], attributes: dict[str, Any], deep: bool) -> str:
        after = [_text(word) for word in attributes.get("fused_ops", {}).get("list", {}).get("s", [])]
        if set(after) - {"BiasAdd", "Relu", "Relu6"}:
            raise ValueError(f"expected MoveNet, got a convolution with {', '.join(after)}")
        if set(_numbers(attributes.get("dilations", {"list": {}}))) - {1}:
            raise ValueError("expected MoveNet, got a convolution with dilations")
        kernel = self.array(wires[1])
        height, width, fed, _ = kernel.shape
        kernel = kernel.transpose(2, 3, 0, 1).reshape(-1, 1, height, width) if deep else kernel.transpose(3, 2, 0, 1)
        constants = [self.graph.kernel(kernel), *(self.graph.constant(self.array(wire)) for wire in wires[2:3])]
        same = _text(attributes["padding"]["s"]) == "SAME"
        value = self.graph.add(
            "Conv",
            self.graph.transposed(self.value(wires[0]), 0, 3, 1, 2),
            *constants,
            group=fed if deep else 1,
            strides=_numbers(attributes["strides"])[1:3],
            auto_pad="SAME_UPPER" if same else "VALID",
        )
        value = self.graph.activated(value, "relu6" if "Relu6" in after else "relu" if "Relu" in after else "")
        return self.graph.transposed(value, 0, 2, 3, 1)

    def _conv2d(self, wires: list[str], attributes: dict[str, Any]) -> str:
        return self._convolved(wires, attributes, deep=False)

    def _depthwiseconv2dnative(self, wires: list[str], attributes: dict[str, Any]) -> str:
        return self._convolved(wires, attributes, deep=True)

    _fusedconv2d, _fuseddepthwiseconv2dnative = _conv2d, _depthwiseconv2dnative

    def _argmax(self, wires: list[str], attributes: dict[str, Any]) -> str:
        axis = int(self.array(wires[1]))
        return self.graph.cast(self.graph.add("ArgMax", self.value(wires[0]), axis=axis, keepdims=0), np.int32)

    def _cast(self, wires: list[str], attributes: dict[str, Any]) -> str:
        return self.graph.cast(self.value(wires[0]), _CASTS[attributes["DstT"]["type"]])

    def _concatv2(self, wires: list[str], attributes: dict[str, Any]) -> str:
        return str(self.graph.add("Concat", *map(self.value, wires[:-1]), axis=int(self.array(wires[-1]))))

    def _expanddims(self, wires: list[str], attributes: dict[str, Any]) -> str:
        return str(self.graph.add("Unsqueeze", self.value(wires[0]), self.graph.ints(int(self.array(wires[1])))))

    def _fill(self, wires: list[str], attributes: dict[str, Any]) -> str:
        return str(self.graph.add("Expand", self.value(wires[1]), self.shape(wires[0])))

    def _gathernd(self, wires: list[str], attributes: dict[str, Any]) -> str:
        return str(self.graph.add("GatherND", self.value(wires[0]), self.shape(wires[1])))

    def _reduced(self, kind: str, wires: list[str], attributes: dict[str, Any]) -> str:
        kept = int(bool(attributes.get("keep_dims", {}).get("b", False)))
        axes = [int(axis) for axis in self.array(wires[1]).reshape(-1)]
        if kind == "ReduceSum":
            return str(self.graph.add(kind, self.value(wires[0]), self.graph.ints(*axes), keepdims=kept))
        return str(self.graph.add(kind, self.value(wires[0]), axes=axes, keepdims=kept))

    def _max(self, wires: list[str], attributes: dict[str, Any]) -> str:
        return self._reduced("ReduceMax", wires, attributes)

    def _sum(self, wires: list[str], attributes: dict[str, Any]) -> str:
        return self._reduced("ReduceSum", wires, attributes)

    def _maxpool(self, wires: list[str], attributes: dict[str, Any]) -> str:
        value = self.graph.transposed(self.value(wires[0]), 0, 3, 1, 2)
        side, strides = _numbers(attributes["ksize"])[1:3], _numbers(attributes["strides"])[1:3]
        pad = "SAME_UPPER" if _text(attributes["padding"]["s"]) == "SAME" else "VALID"
        value = self.graph.add("MaxPool", value, kernel_shape=side, strides=strides, auto_pad=pad)
        return self.graph.transposed(value, 0, 2, 3, 1)

    def _pack(self, wires: list[str], attributes: dict[str, Any]) -> str:
        axis = _whole(attributes, "axis")
        parts = [self.graph.add("Unsqueeze", self.value(wire), self.graph.ints(axis)) for wire in wires]
        return str(self.graph.add("Concat", *parts, axis=axis))

    def _reshape(self, wires: list[str], attributes: dict[str, Any]) -> str:
        return str(self.graph.add("Reshape", self.value(wires[0]), self.shape(wires[1])))

    def _resizebilinear(self, wires: list[str], attributes: dict[str, Any]) -> str:
        if not attributes.get("half_pixel_centers", {}).get("b"):
            raise ValueError("expected MoveNet, got a resize without half_pixel_centers")
        value = self.value(wires[0])
        start = self.graph.add("Slice", self.graph.add("Shape", value), self.graph.ints(0), self.graph.ints(1))
        depth = self.graph.add("Slice", self.graph.add("Shape", value), self.graph.ints(3), self.graph.ints(4))
        sizes = self.graph.add("Concat", start, depth, self.shape(wires[1]), axis=0)
        planes = self.graph.transposed(value, 0, 3, 1, 2)
        resized = self.graph.add(
            "Resize", planes, "", "", sizes, mode="linear", coordinate_transformation_mode="half_pixel"
        )
        return self.graph.transposed(resized, 0, 2, 3, 1)

    def _shape(self, wires: list[str], attributes: dict[str, Any]) -> str:
        return self.graph.cast(self.graph.add("Shape", self.value(wires[0])), np.int32)

    def _size(self, wires: list[str], attributes: dict[str, Any]) -> str:
        return self.graph.cast(self.graph.add("Size", self.value(wires[0])), np.int32)

    def _split(self, wires: list[str], attributes: dict[str, Any]) -> Any:
        count, axis = _whole(attributes, "num_split"), int(self.array(wires[0]))
        parts = self.graph.add("Split", self.value(wires[1]), outputs=count, axis=axis)
        return parts if count > 1 else [parts]

    def _squareddifference(self, wires: list[str], attributes: dict[str, Any]) -> str:
        apart = self.graph.add("Sub", *map(self.value, wires))
        return str(self.graph.add("Mul", apart, apart))

    def _squeeze(self, wires: list[str], attributes: dict[str, Any]) -> str:
        axes = _numbers(attributes.get("squeeze_dims", {"list": {}}))
        return str(self.graph.add("Squeeze", self.value(wires[0]), *([self.graph.ints(*axes)] if axes else [])))

    def _stridedslice(self, wires: list[str], attributes: dict[str, Any]) -> str:
        begin, end, steps = ([int(n) for n in self.array(wire).reshape(-1)] for wire in wires[1:])
        open_start, open_end, shrink, new, dots = (
            _whole(attributes, f"{name}_mask") for name in ("begin", "end", "shrink_axis", "new_axis", "ellipsis")
        )
        if dots:
            raise ValueError("expected MoveNet, got a slice with an ellipsis")
        starts, stops, strides, axes, gone, added = (list[int]() for _ in range(6))
        axis = 0
        for i, (start, stop, step) in enumerate(zip(begin, end, steps, strict=True)):
            bit = 1 << i
            if new & bit:
                added.append(i - len(gone))
                continue
            if shrink & bit:
                stop, gone_here = (start + 1 if start != -1 else np.iinfo(np.int64).max), True
            else:
                start, stop, gone_here = (
                    0 if open_start & bit else start,
                    int(np.iinfo(np.int64).max) if open_end & bit else stop,
                    False,
                )
            if gone_here:
                gone.append(axis)
            starts.append(start)
            stops.append(int(stop))
            strides.append(step)
            axes.append(axis)
            axis += 1
        value = self.value(wires[0])
        if axes:
            value = self.graph.add("Slice", value, *(self.graph.ints(*part) for part in (starts, stops, axes, strides)))
        if gone:
            value = self.graph.add("Squeeze", value, self.graph.ints(*gone))
        if added:
            value = self.graph.add("Unsqueeze", value, self.graph.ints(*added))
        return str(value)

    def _tile(self, wires: list[str], attributes: dict[str, Any]) -> str:
        return str(self.graph.add("Tile", self.value(wires[0]), self.shape(wires[1])))

    def _topkv2(self, wires: list[str], attributes: dict[str, Any]) -> list[str]:
        count = self.graph.add("Reshape", self.shape(wires[1]), self.graph.ints(1))
        values, places = self.graph.add("TopK", self.value(wires[0]), count, outputs=2)
        return [values, self.graph.cast(places, np.int32)]

    def _unpack(self, wires: list[str], attributes: dict[str, Any]) -> list[str]:
        axis, count = _whole(attributes, "axis"), _whole(attributes, "num")
        parts = self.graph.add("Split", self.value(wires[0]), outputs=count, axis=axis)
        parts = parts if count > 1 else [parts]
        return [self.graph.add("Squeeze", part, self.graph.ints(axis)) for part in parts]
