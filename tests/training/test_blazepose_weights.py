"""MediaPipe's landmark model as our encoder: the same numbers as from the runtime that the finder uses."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from humesh.networks.backbones import Encoder
from humesh.training import prepare
from humesh.training.blazepose_weights import BLAZEPOSE, load_convolutions
from humesh.training.prepare import start_blazepose
from humesh.training.recipe import TrainingError

onnx = pytest.importorskip("onnx")

needs_blazepose = pytest.mark.skipif(not BLAZEPOSE.is_file(), reason="humesh was built without a connection to npm")


@needs_blazepose
def test_the_trunk_is_mediapipes() -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    model = onnx.load(BLAZEPOSE)
    told = [node.output[0] for node in model.graph.node if node.op_type in ("Add", "Clip")]
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in told)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    pixels = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    pixels = np.sort(pixels, axis=0)  # something smoother than noise
    theirs = [torch.from_numpy(array) for array in session.run(told, {"pixels": pixels[None]})]
    encoder = Encoder("blazepose").eval()
    load_convolutions(encoder, BLAZEPOSE)
    encoder.double()  # so that all rounding is theirs
    with torch.no_grad():
        near = encoder.stem(torch.from_numpy(pixels).permute(2, 0, 1)[None].double() / 255)
        far = encoder.body(near)
    for ours in (near, far):
        apart = min((their.double() - ours).abs().max().item() for their in theirs if their.shape == ours.shape)
        assert ours.abs().max() > 1
        # They count in float32 with numbers up to 200; their kernels, and so the rounding, differ between processors.
        assert apart < 3e-5 * 200


def kept(path: Path, conv: nn.Conv2d, half: bool) -> Path:
    """Writes a model of one convolution, its constants in 16 bits or in 32."""
    assert conv.bias is not None
    kind = np.float16 if half else np.float32
    arrays = {"weight": conv.weight.detach().numpy().astype(kind), "bias": conv.bias.detach().numpy().astype(kind)}
    casts = [onnx.helper.make_node("Cast", [name], [f"{name}32"], to=onnx.TensorProto.FLOAT) for name in arrays]
    info = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in ("x", "y")]
    nodes = [*casts, onnx.helper.make_node("Conv", ["x", "weight32", "bias32"], ["y"])]
    constants = [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()]
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", info[:1], info[1:], constants)), path)
    return path


@pytest.mark.parametrize("half", [True, False])
def test_weights_of_16_and_32_bits_are_read(tmp_path: Path, half: bool) -> None:
    ours, theirs = nn.Conv2d(2, 3, 3), nn.Conv2d(2, 3, 3)
    load_convolutions(ours, kept(tmp_path / "a.onnx", theirs, half))
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(mine, other.half().float() if half else other)
    with pytest.raises(TrainingError, match="found no convolution"):
        load_convolutions(nn.Sequential(ours, nn.Conv2d(2, 3, 3)), tmp_path / "a.onnx")


def test_what_is_no_such_file_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole = kept(tmp_path / "a.onnx", nn.Conv2d(2, 3, 3), half=True).read_bytes()
    for content in (b"", b"\0" * 64, b"no model at all, but some text", whole[:-20]):
        (tmp_path / "bad.onnx").write_bytes(content)
        with pytest.raises(TrainingError, match="expected"):
            load_convolutions(nn.Conv2d(2, 3, 3), tmp_path / "bad.onnx")
    with pytest.raises(TrainingError, match="cannot read it"):
        load_convolutions(nn.Conv2d(2, 3, 3), tmp_path / "none.onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(TrainingError, match=r"by the package onnx: pip install"):
        load_convolutions(nn.Conv2d(2, 3, 3), tmp_path / "a.onnx")


@needs_blazepose
def test_an_encoder_starts_from_it() -> None:
    assert "MediaPipe's landmark model" in start_blazepose(nn.Sequential(Encoder("blazepose")), None)


def test_another_encoder_or_no_file_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(prepare, "BLAZEPOSE", tmp_path / "none.onnx")
    assert "starts from random weights" in start_blazepose(nn.Sequential(Encoder("blazepose")), None)
    with pytest.raises(TrainingError, match="the method has another encoder"):
        start_blazepose(nn.Sequential(Encoder("resnet18")), None)
