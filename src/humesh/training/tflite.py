"""Reads the weights of MediaPipe's landmark model out of the file in its wheel, for an encoder to start from."""

from __future__ import annotations

import importlib.util
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from humesh.training.recipe import TrainingError

_FILE = "modules/pose_landmark/pose_landmark_full.tflite"
_CONV, _DEPTHWISE, _DEQUANTIZE = 3, 4, 6  # operators' numbers in TensorFlow Lite's schema
_FLOAT16 = 1  # and a tensor type's


def blazepose_file() -> Path | None:
    """Where the installed MediaPipe has its landmark model; None without MediaPipe."""
    found = importlib.util.find_spec("mediapipe")
    path = None if found is None or found.origin is None else Path(found.origin).parent / _FILE
    return path if path is not None and path.is_file() else None


def load_convolutions(network: nn.Module, path: Path) -> None:
    """Gives a network's convolutions, in order, the next ones of a TensorFlow Lite file that have their shapes.

    Those of side branches have other shapes than what comes next and are passed over. TrainingError if it ends early.
    """
    try:
        found = iter(list(_convolutions(path.read_bytes())))
    except (struct.error, IndexError, ValueError, OSError) as error:
        raise TrainingError(f"{path}: expected a TensorFlow Lite model, cannot read it ({error}).") from None
    for conv in (module for module in network.modules() if isinstance(module, nn.Conv2d)):
        shape = tuple(conv.weight.shape)
        weight, bias = next((pair for pair in found if pair[0].shape == shape), (None, None))
        if weight is None or bias is None or conv.bias is None:
            raise TrainingError(f"{path}: expected MediaPipe's full landmark model, found no convolution {shape}.")
        with torch.no_grad():
            conv.weight.copy_(torch.from_numpy(weight))
            conv.bias.copy_(torch.from_numpy(bias))


def _convolutions(data: bytes) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Weights, as torch lays them out, and biases of all convolutions of a model with 16-bit constants, in order."""
    model = _Table(data, *struct.unpack_from("<I", data))
    codes = [max(code.number(0, "b"), code.number(3, "i")) for code in model.tables(1)]
    buffers = model.tables(4)
    (graph,) = model.tables(2)
    tensors = graph.tables(0)
    constants: dict[int, np.ndarray] = {}
    for operator in graph.tables(3):
        code, given, made = codes[operator.number(0, "I")], operator.numbers(1, "i"), operator.numbers(2, "i")
        if code == _DEQUANTIZE and tensors[given[0]].number(1, "b") == _FLOAT16:
            tensor = tensors[given[0]]
            kept = np.frombuffer(bytes(buffers[tensor.number(2, "I")].numbers(0, "B")), np.float16)
            constants[made[0]] = kept.astype(np.float32).reshape(tensor.numbers(0, "i"))
        elif code in (_CONV, _DEPTHWISE) and given[1] in constants:
            order = (0, 3, 1, 2) if code == _CONV else (3, 0, 1, 2)  # from (out, h, w, in) and (1, h, w, channels)
            yield np.ascontiguousarray(constants[given[1]].transpose(order)), constants[given[2]]


class _Table:
    """A table of a FlatBuffer (flatbuffers.dev/internals): its fields by their numbers, absent ones 0 or empty."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at = data, at

    def _place(self, field: int) -> int:
        fields = self.at - struct.unpack_from("<i", self.data, self.at)[0]
        length = struct.unpack_from("<H", self.data, fields)[0]
        offset = struct.unpack_from("<H", self.data, fields + 4 + 2 * field)[0] if 4 + 2 * field < length else 0
        return self.at + offset if offset else 0

    def number(self, field: int, kind: str) -> int:
        """A number of a `struct` kind."""
        place = self._place(field)
        return int(struct.unpack_from(f"<{kind}", self.data, place)[0]) if place else 0

    def numbers(self, field: int, kind: str) -> tuple[int, ...]:
        """A vector of numbers."""
        place = self._place(field)
        if not place:
            return ()
        place += struct.unpack_from("<I", self.data, place)[0]
        (count,) = struct.unpack_from("<I", self.data, place)
        return struct.unpack_from(f"<{count}{kind}", self.data, place + 4)

    def tables(self, field: int) -> list[_Table]:
        """A vector of tables."""
        place = self._place(field)
        start = place + struct.unpack_from("<I", self.data, place)[0] + 4 if place else 0
        offsets = enumerate(self.numbers(field, "I"))
        return [_Table(self.data, start + 4 * i + offset) for i, offset in offsets]
