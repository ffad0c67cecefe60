"""Runs a TensorFlow.js graph model with torch: the dozens of operations that MoveNet is made of, and no others."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as nnf

_KINDS = {"float32": np.float32, "float16": np.float16, "int32": np.int32, "bool": np.bool_}
_CASTS = {"DT_FLOAT": torch.float32, "DT_INT32": torch.int32, "DT_INT64": torch.int64, "DT_BOOL": torch.bool}
_CONVOLUTIONS = ("Conv2D", "_FusedConv2D", "DepthwiseConv2dNative", "FusedDepthwiseConv2dNative")


class GraphModel:
    """A graph of one input and one output, read from NAME.json (nodes) and NAME.bin (weights, as float16 or as told).

    Arrays are as in TensorFlow: a picture is `1 H W C`. Raises ValueError for files that are not such a graph, and for
    operations that are not known.
    """

    def __init__(self, path: Path) -> None:
        try:
            about = json.loads(path.with_suffix(".json").read_text())
            (entry,) = about["weightsManifest"]
            (output,) = about["signature"]["outputs"].values()
            self._nodes = {node["name"]: node for node in about["modelTopology"]["node"]}
            self._output = output["name"]
            constants = _weights(entry["weights"], path.with_suffix(".bin").read_bytes())
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}: expected a TensorFlow.js graph model with one output ({error}).") from None
        self._steps: list[tuple[str, list[str], Callable[..., Any]]] = []
        self._constants: dict[str, Tensor] = {}
        self._input = ""
        for node in self._in_order():
            name, kind = node["name"], node["op"]
            given = [wire for wire in node.get("input", []) if not wire.startswith("^")]
            if kind == "Const":
                self._constants[name] = constants[name]
            elif kind in _CONVOLUTIONS:
                kernel = constants[given[1].partition(":")[0]]
                bias = constants[given[2].partition(":")[0]] if len(given) > 2 else None
                self._steps.append((name, given[:1], _convolution(node, kernel, bias)))
            elif kind == "Placeholder":
                self._input = name
            elif kind in _OPERATIONS:
                self._steps.append((name, given, _OPERATIONS[kind](node.get("attr", {}))))
            else:
                raise ValueError(f"{path}: operation {kind} is not known.")
        last = {wire.partition(":")[0]: step for step, (_, wires, _) in enumerate(self._steps) for wire in wires}
        self._spent: list[list[str]] = [[] for _ in self._steps]  # what no later step needs; kept, it would be 0.1 GB
        for name, step in last.items():
            if name not in self._constants and name != self._output.partition(":")[0]:
                self._spent[step].append(name)

    @torch.inference_mode()
    def __call__(self, given: Tensor) -> Tensor:
        """The graph's answer."""
        values: dict[str, Any] = {**self._constants, self._input: given}

        def value(wire: str) -> Tensor:
            name, _, part = wire.partition(":")
            found = values[name]
            answer: Tensor = found[int(part or 0)] if isinstance(found, list) else found
            return answer

        for (name, wires, operation), spent in zip(self._steps, self._spent, strict=True):
            values[name] = operation(*(value(wire) for wire in wires))
            for gone in spent:
                del values[gone]
        return value(self._output)

    def _in_order(self) -> list[dict[str, Any]]:
        """The nodes that the output needs, each after those it needs itself."""
        ordered: dict[str, dict[str, Any]] = {}
        waiting = [self._output.partition(":")[0]]
        while waiting:
            node = self._nodes[waiting[-1]]
            needs = [wire.lstrip("^").partition(":")[0] for wire in node.get("input", [])]
            if missing := [name for name in needs if name not in ordered]:
                waiting += missing
            else:
                ordered[waiting.pop()] = node
        return list(ordered.values())


def _weights(entries: list[dict[str, Any]], data: bytes) -> dict[str, Tensor]:
    found, start = dict[str, Tensor](), 0
    for entry in entries:
        stored = np.dtype(_KINDS[entry.get("quantization", entry)["dtype"]])
        count = int(np.prod(entry["shape"], dtype=int))
        array = np.frombuffer(data, stored, count, start).reshape(entry["shape"])
        found[entry["name"]] = torch.from_numpy(array.astype(_KINDS[entry["dtype"]]))
        start += array.nbytes
    if start != len(data):
        raise ValueError(f"expected {start} bytes of weights, got {len(data)}")
    return found


def _convolution(node: dict[str, Any], kernel: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
    """A convolution with TensorFlow's padding and what is fused to it."""
    attributes = node["attr"]
    after = [_text(word) for word in attributes.get("fused_ops", {}).get("list", {}).get("s", [])]
    if set(after) - {"BiasAdd", "Relu", "Relu6"}:
        raise ValueError(f"{node['name']}: a convolution with {', '.join(after)} is not known.")
    if "dilations" in attributes and set(_numbers(attributes["dilations"])) - {1}:
        raise ValueError(f"{node['name']}: a convolution with dilations is not known.")
    height, width, fed, _ = kernel.shape
    deep = "epthwise" in node["op"]
    weight = kernel.permute(2, 3, 0, 1).reshape(-1, 1, height, width) if deep else kernel.permute(3, 2, 0, 1)
    weight, groups = weight.contiguous(), fed if deep else 1
    stride = _numbers(attributes["strides"])[1:3]
    same = _text(attributes["padding"]["s"]) == "SAME"

    def run(picture: Tensor) -> Tensor:
        x = picture.permute(0, 3, 1, 2)
        if same:
            extra = [
                max((-(-size // step) - 1) * step + side - size, 0)
                for size, step, side in zip(x.shape[2:], stride, (height, width), strict=True)
            ]
            if any(extra):  # the odd pixel comes after
                x = nnf.pad(x, [p for e in reversed(extra) for p in (e // 2, e - e // 2)])
        x = nnf.conv2d(x, weight, bias, stride, groups=groups)
        if "Relu6" in after:
            x = x.clamp_(0, 6)
        elif "Relu" in after:
            x = x.relu_()
        return x.permute(0, 2, 3, 1)

    return run


def _text(word: str) -> str:
    return base64.b64decode(word).decode()


def _numbers(attribute: dict[str, Any]) -> list[int]:
    return [int(number) for number in attribute["list"].get("i", [])]


def _whole(attributes: dict[str, Any], name: str) -> int:
    return int(attributes.get(name, {}).get("i", 0))


def _ints(x: Tensor) -> list[int]:
    return [int(number) for number in x.reshape(-1).tolist()]


def _slices(attributes: dict[str, Any]) -> Callable[..., Tensor]:
    open_start, open_end, shrink, new, dots = (
        _whole(attributes, f"{name}_mask") for name in ("begin", "end", "shrink_axis", "new_axis", "ellipsis")
    )

    def run(x: Tensor, begin: Tensor, end: Tensor, step: Tensor) -> Tensor:
        places = list[Any]()
        for i, (start, stop, by) in enumerate(zip(_ints(begin), _ints(end), _ints(step), strict=True)):
            bit = 1 << i
            if dots & bit or new & bit:
                places.append(... if dots & bit else None)
            elif shrink & bit:
                places.append(start)
            else:
                places.append(slice(None if open_start & bit else start, None if open_end & bit else stop, by))
        return x[tuple(places)]

    return run


def _squeeze(attributes: dict[str, Any]) -> Callable[..., Tensor]:
    axes = _numbers(attributes.get("squeeze_dims", {"list": {}}))
    return lambda x: x.squeeze(axes) if axes else x.squeeze()


def _reduced(how: Callable[..., Tensor]) -> Callable[[dict[str, Any]], Callable[..., Tensor]]:
    return lambda attributes: (
        lambda x, axes: how(x, _ints(axes), keepdim=attributes.get("keep_dims", {}).get("b", False))
    )


def _pool(attributes: dict[str, Any]) -> Callable[..., Tensor]:
    side, stride = _numbers(attributes["ksize"])[1], _numbers(attributes["strides"])[1]
    if stride != 1 or side % 2 == 0:
        raise ValueError(f"a pool of side {side} and stride {stride} is not known.")
    return lambda x: nnf.max_pool2d(x.permute(0, 3, 1, 2), side, 1, side // 2).permute(0, 2, 3, 1)


def _resize(attributes: dict[str, Any]) -> Callable[..., Tensor]:
    if not attributes.get("half_pixel_centers", {}).get("b"):
        raise ValueError("a resize without half_pixel_centers is not known.")
    return lambda x, size: nnf.interpolate(
        x.permute(0, 3, 1, 2), size=_ints(size), mode="bilinear", align_corners=False
    ).permute(0, 2, 3, 1)


def _plain(operation: Callable[..., Any]) -> Callable[[dict[str, Any]], Callable[..., Any]]:
    """An operation that has no attributes."""
    return lambda _: operation


_OPERATIONS: dict[str, Callable[[dict[str, Any]], Callable[..., Any]]] = {
    "Abs": _plain(torch.abs),
    "AddN": _plain(lambda *parts: sum(parts)),
    "AddV2": _plain(torch.add),
    "ArgMax": _plain(lambda x, axis: x.argmax(int(axis))),
    "Cast": lambda attributes: lambda x: x.to(_CASTS[attributes["DstT"]["type"]]),
    "ConcatV2": _plain(lambda *parts: torch.cat(parts[:-1], int(parts[-1]))),
    "Equal": _plain(torch.eq),
    "Exp": _plain(torch.exp),
    "ExpandDims": _plain(lambda x, axis: x.unsqueeze(int(axis))),
    "Fill": _plain(lambda shape, value: torch.full(_ints(shape), value.item(), dtype=value.dtype)),
    "FloorDiv": _plain(lambda a, b: torch.div(a, b, rounding_mode="floor")),
    "GatherNd": _plain(lambda x, places: x[tuple(places.long().unbind(-1))]),
    "Greater": _plain(torch.gt),
    "GreaterEqual": _plain(torch.ge),
    "Identity": _plain(lambda x: x),
    "Less": _plain(torch.lt),
    "LogicalAnd": _plain(torch.logical_and),
    "Max": _reduced(torch.amax),
    "MaxPool": _pool,
    "Maximum": _plain(torch.maximum),
    "Minimum": _plain(torch.minimum),
    "Mul": _plain(torch.mul),
    "Pack": lambda attributes: lambda *parts: torch.stack(parts, _whole(attributes, "axis")),
    "Range": _plain(lambda start, end, step: torch.arange(int(start), int(end), int(step), dtype=start.dtype)),
    "RealDiv": _plain(torch.div),
    "Reciprocal": _plain(torch.reciprocal),
    "Reshape": _plain(lambda x, shape: x.reshape(_ints(shape))),
    "ResizeBilinear": _resize,
    "Select": _plain(torch.where),
    "Shape": _plain(lambda x: torch.tensor(x.shape, dtype=torch.int32)),
    "Sigmoid": _plain(torch.sigmoid),
    "Size": _plain(lambda x: torch.tensor(x.numel(), dtype=torch.int32)),
    "Split": lambda attributes: lambda axis, x: list(x.chunk(_whole(attributes, "num_split"), int(axis))),
    "Sqrt": _plain(torch.sqrt),
    "SquaredDifference": _plain(lambda a, b: (a - b) ** 2),
    "Squeeze": _squeeze,
    "StridedSlice": _slices,
    "Sub": _plain(torch.sub),
    "Sum": _reduced(torch.sum),
    "Tile": _plain(lambda x, times: x.repeat(_ints(times))),
    "TopKV2": _plain(lambda x, count: list(x.topk(int(count)))),
    "Unpack": lambda attributes: lambda x: list(x.unbind(_whole(attributes, "axis"))),
}
