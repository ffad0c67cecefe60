"""Reads the weights of MediaPipe's full landmark model out of its ONNX file, for an encoder to start from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from humesh.people.runtime import ASSETS
from humesh.training.recipe import TrainingError

BLAZEPOSE = ASSETS / "pose_landmark_full.onnx"
"""Where an installation that was built with a connection has it; `hatch_build.py` puts it there."""


def load_convolutions(network: nn.Module, path: Path) -> None:
    """Gives a network's convolutions, in order, the next ones of an ONNX file that have their shapes.

    Those of side branches have other shapes than what comes next and are passed over. TrainingError if the file ends
    early or cannot be read.
    """
    found = iter(_convolutions(path))
    for conv in (module for module in network.modules() if isinstance(module, nn.Conv2d)):
        shape = tuple(conv.weight.shape)
        weight, bias = next((pair for pair in found if pair[0].shape == shape), (None, None))
        if weight is None or bias is None or conv.bias is None:
            raise TrainingError(f"{path}: expected MediaPipe's full landmark model, found no convolution {shape}.")
        with torch.no_grad():
            conv.weight.copy_(torch.from_numpy(weight))
            conv.bias.copy_(torch.from_numpy(bias))


def _convolutions(path: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weights and biases of all convolutions of an ONNX model, in order; constants may be kept in 16 or 8 bits."""
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError:
        raise TrainingError('these weights are read by the package onnx: pip install "humesh[export]".') from None
    try:
        graph = onnx.load(path).graph
    except (OSError, ValueError, DecodeError) as error:
        raise TrainingError(f"{path}: expected an ONNX model, cannot read it ({error}).") from None
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor).astype(np.float32) for tensor in graph.initializer}
    pairs = []
    for node in graph.node:
        if node.op_type == "Cast" and node.input[0] in constants:
            constants[node.output[0]] = constants[node.input[0]]
        elif node.op_type == "Mul" and constants.keys() >= set(node.input):  # kernels kept in 8 bits and a scale
            constants[node.output[0]] = constants[node.input[0]] * constants[node.input[1]]
        elif node.op_type == "Conv" and len(node.input) == 3 and constants.keys() >= set(node.input[1:]):
            pairs.append((constants[node.input[1]], constants[node.input[2]]))
    return pairs
