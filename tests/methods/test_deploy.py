"""Every method of the zoo for other programs: traced whole, compiled, and as ONNX."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
from torch import Tensor

from humesh.body.model import BodyModel
from humesh.methods import METHODS
from humesh.methods.base import Method
from humesh.methods.deploy import Deployed, example_crops, export_onnx, inputs_of
from humesh.methods.weights import build

every_method = pytest.mark.parametrize("name", METHODS)
SHORT: dict[str, dict[str, Any]] = {
    "ik_refine": {"depth": 1},  # blocks that repeat make the graph longer and nothing else
    "int": {"depth": 1},
    "jotr": {"decoder_layers": 1},
    "lifter": {"blocks": 1},
    "lifter_video": {"depth": 1, "lifter_blocks": 1},
    "multi_roi": {"frequencies": 8},  # with 32 the last bit of a box changes its code, see `rounding`
}


def check(
    method: Method, count: int | None, other: Callable[[dict[str, Tensor]], Sequence[Tensor]], noisy: bool = False
) -> None:
    """Another program gives a method's bodies to 1e-4, or, of `noisy` networks, to twice their own rounding."""
    inputs, deployed = inputs_of(example_crops(method, 1, count)), Deployed(method).eval()
    with torch.no_grad():
        expected, found = deployed(**inputs), other(inputs)
        allowed = [max(1e-4, 2 * error) for error in rounding(deployed, inputs)] if noisy else [1e-4] * 3
    for a, b, most in zip(expected, found, allowed, strict=True):
        assert (a - b).abs().max() < most


def rounding(deployed: Deployed, inputs: dict[str, Tensor]) -> list[float]:
    """How far each output moves when pixels move by 1e-6 and boxes by their last bit: the largest of four trials.

    Of an untrained ik_refine of full size all joints fall nearly together, and which way a bone points is rounding:
    such pixels change its rotations by 4e-4. Multi-RoI's 32 frequencies turn the last bit of a box into another code.
    No other arithmetic can come nearer than that.
    """
    expected, pixels, affine = deployed(**inputs), inputs["pixels"], inputs["crop_from_photo"]
    errors = []
    for _ in range(4):
        near = inputs | {
            "pixels": pixels + 1e-6 * torch.randn_like(pixels),
            "crop_from_photo": affine * (1 + 6e-8 * torch.randn_like(affine)),
        }
        errors.append([float((a - b).abs().max()) for a, b in zip(expected, deployed(**near), strict=True)])
    return [max(of_output) for of_output in zip(*errors, strict=True)]


def check_onnx(method: Method, count: int | None, path: Path, noisy: bool = False) -> None:
    export_onnx(method, path, 1, count)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    used = [entry.name for entry in session.get_inputs()]

    def run(inputs: dict[str, Tensor]) -> list[Tensor]:
        return [torch.from_numpy(array) for array in session.run(None, {name: inputs[name].numpy() for name in used})]

    check(method, count, run, noisy)


@every_method
def test_onnxruntime_gives_the_same_bodies(
    name: str, settings: dict[str, Any], counts: dict[str, int], small_body: BodyModel, tmp_path: Path
) -> None:
    method = build(name, settings[name] | SHORT.get(name, {}), small_body)
    check_onnx(method, counts.get(name), tmp_path / "model.onnx")


@pytest.mark.slow
@every_method
def test_onnxruntime_gives_the_same_bodies_at_full_size(
    name: str, counts: dict[str, int], small_body: BodyModel, tmp_path: Path
) -> None:
    check_onnx(build(name, {}, small_body), counts.get(name), tmp_path / "model.onnx", noisy=True)


def in_plain_process(call: str) -> None:
    """A call of a function of this file where annotations are not checked, as compilers cannot trace the checks."""
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_deploy; test_deploy.{call}"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]


def traced_whole(settings: dict[str, dict[str, Any]], counts: dict[str, int]) -> None:
    for name in METHODS:
        torch.manual_seed(0)
        deployed = Deployed(build(name, settings[name] | SHORT.get(name, {}), BodyModel.load("open-low"))).eval()
        inputs = inputs_of(example_crops(deployed.method, 2, counts.get(name)))
        with torch.no_grad():
            expected, found = deployed(**inputs), torch.compile(deployed, fullgraph=True, backend="eager")(**inputs)
        for a, b in zip(expected, found, strict=True):
            assert (a - b).abs().max() < 1e-4, name


def test_methods_can_be_traced_whole(settings: dict[str, Any], counts: dict[str, int]) -> None:
    """The tracer finds no control flow that depends on data; one process for all, as it is slow to start."""
    in_plain_process(f"traced_whole({settings!r}, {counts!r})")


def compiled(name: str, count: int | None) -> None:
    torch.manual_seed(0)
    method = build(name)
    compiled = torch.compile(Deployed(method).eval())
    check(method, count, lambda inputs: compiled(**inputs), noisy=True)


@pytest.mark.slow
@every_method
def test_compiled_it_gives_the_same_bodies(name: str, counts: dict[str, int]) -> None:
    in_plain_process(f"compiled({name!r}, {counts.get(name)!r})")
