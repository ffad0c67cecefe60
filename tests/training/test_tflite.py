"""MediaPipe's landmark model as our encoder: the same numbers as from MediaPipe's own runtime."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from humesh.images import landmark_models
from humesh.networks.backbones import Encoder
from humesh.training.prepare import start_blazepose
from humesh.training.recipe import TrainingError
from humesh.training.tflite import blazepose_file, load_convolutions

MAPS = {"near": (216, 24, 64), "far": (271, 864, 8)}  # tensors of the file, their channels and sides

needs_mediapipe = pytest.mark.skipif(blazepose_file() is None, reason="MediaPipe is not installed")


def _also_telling(model: bytes, tensors: list[int]) -> bytes:
    """The model with more tensors among its outputs: a longer vector at the file's end."""
    data = bytearray(model)

    def follow(at: int) -> int:
        return at + struct.unpack_from("<I", data, at)[0]

    def field(table: int, number: int) -> int:
        fields = table - struct.unpack_from("<i", data, table)[0]
        return table + struct.unpack_from("<H", data, fields + 4 + 2 * number)[0]

    graph = follow(follow(field(follow(0), 2)) + 4)
    at = field(graph, 2)
    outputs = follow(at)
    (count,) = struct.unpack_from("<I", data, outputs)
    told = [*struct.unpack_from(f"<{count}i", data, outputs + 4), *tensors]
    data += bytes(-len(data) % 4)
    struct.pack_into("<I", data, at, len(data) - at)
    return bytes(data + struct.pack(f"<I{len(told)}i", len(told), *told))


@needs_mediapipe
def test_the_trunk_is_mediapipes(tmp_path: Path) -> None:
    path = blazepose_file()
    assert path is not None
    more = tmp_path / "more.tflite"
    more.write_bytes(_also_telling(path.read_bytes(), [tensor for tensor, _, _ in MAPS.values()]))
    graph = landmark_models._LANDMARK_GRAPH.replace("MODEL", str(more))
    for place, name in enumerate(MAPS, start=5):
        also = f'output_stream: "world_tensor" output_stream: "{name}_tensor"'
        graph = graph.replace('output_stream: "world_tensor"', also)
        graph = graph.replace("begin: 4 end: 5 }", f"begin: 4 end: 5 }} ranges {{ begin: {place} end: {place + 1} }}")
        graph = f'output_stream: "{name}"\n' + graph
        graph += f'node {{ calculator: "TensorsToFloatsCalculator" input_stream: "TENSORS:{name}_tensor" '
        graph += f'output_stream: "FLOATS:{name}" }}\n'
    pixels = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    pixels = np.sort(pixels, axis=0)  # something smoother than noise
    with landmark_models._quiet():
        theirs = landmark_models._mediapipe()(graph_config=graph).process(pixels)
    encoder = Encoder("blazepose").eval()
    load_convolutions(encoder, path)
    encoder.double()  # so that all rounding is theirs
    with torch.no_grad():
        near = encoder.stem(torch.from_numpy(pixels).permute(2, 0, 1)[None].double() / 255)
        maps = {"near": near[0], "far": encoder.body(near)[0]}
    for name, (_, width, side) in MAPS.items():
        wanted = (
            torch.tensor(getattr(theirs, name), dtype=torch.float64).unflatten(0, (side, side, width)).permute(2, 0, 1)
        )
        assert wanted.abs().max() > 1
        # They count in float32 with numbers up to 200; their kernels, and so the rounding, differ between processors.
        assert torch.allclose(maps[name], wanted, rtol=0, atol=3e-5 * 200)


@needs_mediapipe
def test_what_is_no_such_file_is_told(tmp_path: Path) -> None:
    path = blazepose_file()
    assert path is not None
    assert "MediaPipe" in start_blazepose(torch.nn.Sequential(Encoder("blazepose")), None)
    with pytest.raises(TrainingError, match="the method has another encoder"):
        start_blazepose(torch.nn.Sequential(Encoder("resnet18")), None)
    for content in (b"", b"\0" * 64, b"no model at all, but some text", path.read_bytes()[:5000]):
        (tmp_path / "bad.tflite").write_bytes(content)
        with pytest.raises(TrainingError, match="expected"):
            load_convolutions(Encoder("blazepose"), tmp_path / "bad.tflite")
    with pytest.raises(TrainingError, match="found no convolution"):
        load_convolutions(torch.nn.Conv2d(5, 7, 3), path)
    with pytest.raises(TrainingError, match="cannot read it"):
        load_convolutions(Encoder("blazepose"), tmp_path / "none.tflite")
