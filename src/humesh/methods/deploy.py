"""Methods as plain functions of tensors, for compilers and for ONNX."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from humesh.body.joints import MEDIAPIPE33
from humesh.crops.crops import Crops
from humesh.errors import HumeshError
from humesh.files import writing
from humesh.geometry.boxes import crop_around
from humesh.geometry.camera import Camera
from humesh.methods.base import Method

_MOST_BYTES = 10**9  # of the example's pixels


class DeployError(HumeshError):
    """A network that cannot be written for other programs."""


class Deployed(nn.Module):
    """A method whose crops come, and whose bodies go, as plain tensors."""

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method

    def forward(
        self,
        pixels: Float[Tensor, "B N 3 H W"],
        crop_from_photo: Float[Tensor, "B N 2 3"],
        camera: Float[Tensor, "B N 3 3"],
        keypoints: Float[Tensor, "B N K 3"],
        present: Bool[Tensor, "B N"],
        landmarks: Float[Tensor, "B N L 4"],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Rotations `B N 24 3 3`, shape `B N S` and translation `B N 3` (metres, the photo's camera) of all crops."""
        crops = Crops(pixels, crop_from_photo, Camera(camera), keypoints, present, present, landmarks)
        pose = self.method(crops).pose
        return pose.rotations, pose.shape, pose.translation


def inputs_of(crops: Crops) -> dict[str, Tensor]:
    """The arguments of `Deployed`, and the inputs of its ONNX file, for these crops."""
    return {
        "pixels": crops.pixels,
        "crop_from_photo": crops.crop_from_photo,
        "camera": crops.photo_camera.matrix,
        "keypoints": crops.keypoints,
        "present": crops.present,
        "landmarks": crops.landmarks,
    }


def example_crops(method: Method, batch: int = 1, count: int | None = None) -> Crops:
    """Made-up crops of the right shapes: noise seen by a camera of 1,000 px, all present.

    `count`: crops in a group, where the method takes any number. DeployError for pixels of more than a gigabyte.
    """
    spec = method.spec
    count = (spec.count or 1) if count is None or spec.group in ("single", "rois") else count
    height, width = spec.size
    size = 12 * batch * count * height * width
    if size > _MOST_BYTES:
        raise DeployError(
            f"expected groups whose pictures take at most {_MOST_BYTES / 1e9:.0f} GB, {batch:,} of them would take "
            f"{size / 1e9:,.1f}; give a smaller --batch or fewer --crops."
        )
    generator = torch.Generator().manual_seed(0)
    centre = torch.tensor([320.0, 240.0]) + 20 * torch.rand(batch, count, 2, generator=generator)
    copies = torch.tensor(spec.copies)[:, 2] if spec.group == "rois" else torch.ones(count)
    points = torch.rand(batch, count, len(spec.keypoints or ()), 3, generator=generator)
    present = torch.ones(batch, count, dtype=torch.bool)
    return Crops(
        pixels=torch.rand(batch, count, 3, height, width, generator=generator),
        crop_from_photo=crop_around(centre, 200.0 * copies.expand(batch, count), spec.size),
        photo_camera=Camera(Camera.virtual(1000.0, (640, 480)).matrix.float().repeat(batch, count, 1, 1)),
        keypoints=points * torch.tensor([width, height, 1.0]),
        present=present,
        wanted=present,
        landmarks=torch.rand(batch, count, len(MEDIAPIPE33) * spec.landmarks, 4, generator=generator) - 0.5,
    )


def export_onnx(method: Method, path: str | Path, batch: int = 1, count: int | None = None) -> None:
    """Writes the method as ONNX for that many groups of that many crops; the file appears only when it is whole.

    DeployError as from `example_crops`, and without the packages that write ONNX.
    """
    if find_spec("onnxscript") is None:
        raise DeployError('writing ONNX needs the packages onnx and onnxscript: pip install "humesh[export]"')
    inputs = inputs_of(example_crops(method, batch, count))
    with torch.no_grad():
        program = torch.onnx.export(
            Deployed(method).eval(),
            tuple(inputs.values()),
            input_names=list(inputs),
            output_names=["rotations", "shape", "translation"],
            dynamo=True,
            verbose=False,
        )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path) as draft:
        program.save(draft)  # type: ignore[union-attr]
