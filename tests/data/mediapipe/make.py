"""Made the arrays in this folder: what mediapipe 0.10.21 says of crops of our own rendering docs/pictures/rendered.jpg.

    PYTHONPATH=OLD/src python tests/data/mediapipe/make.py pose_landmark_heavy.tflite OLD/src/humesh/images/assets

in an environment of Python 3.11 with mediapipe 0.10.21 and what humesh needs. OLD is humesh as it was before it left
MediaPipe (commit 04ef899), built so that its assets are there: its own interpreter ran MoveNet. The .tflite file is
from the npm package @mediapipe/pose. README.md tells what the files hold.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).parent
PICTURE = HERE.parents[2] / "docs/pictures/rendered.jpg"
FULL = "mediapipe/modules/pose_landmark/pose_landmark_full.tflite"

LANDMARKS = """
input_stream: "image"
output_stream: "score"
output_stream: "coarse"
output_stream: "points"
output_stream: "world"
output_stream: "told"
output_stream: "heatmap"
output_stream: "mask"
node { calculator: "ImageToTensorCalculator" input_stream: "IMAGE:image" output_stream: "TENSORS:in" options {
  [mediapipe.ImageToTensorCalculatorOptions.ext] { output_tensor_width: 256 output_tensor_height: 256
    keep_aspect_ratio: true output_tensor_float_range { min: 0 max: 1 } } } }
node { calculator: "InferenceCalculatorCpu" input_stream: "TENSORS:in" output_stream: "TENSORS:out" options {
  [mediapipe.InferenceCalculatorOptions.ext] { delegate { xnnpack { num_threads: 1 } }
    model_path: "MODEL" } } }
node { calculator: "SplitTensorVectorCalculator" input_stream: "out" output_stream: "landmark_tensor"
  output_stream: "score_tensor" output_stream: "mask_tensor" output_stream: "heatmap_tensor"
  output_stream: "world_tensor" options { [mediapipe.SplitVectorCalculatorOptions.ext] { ranges { begin: 0 end: 1 }
    ranges { begin: 1 end: 2 } ranges { begin: 2 end: 3 } ranges { begin: 3 end: 4 } ranges { begin: 4 end: 5 } } } }
node { calculator: "TensorsToFloatsCalculator" input_stream: "TENSORS:score_tensor" output_stream: "FLOAT:score" }
node { calculator: "TensorsToFloatsCalculator" input_stream: "TENSORS:landmark_tensor" output_stream: "FLOATS:told" }
node { calculator: "TensorsToFloatsCalculator" input_stream: "TENSORS:heatmap_tensor" output_stream: "FLOATS:heatmap" }
node { calculator: "TensorsToFloatsCalculator" input_stream: "TENSORS:mask_tensor" output_stream: "FLOATS:mask" }
node { calculator: "TensorsToLandmarksCalculator" input_stream: "TENSORS:landmark_tensor"
  output_stream: "NORM_LANDMARKS:coarse" options { [mediapipe.TensorsToLandmarksCalculatorOptions.ext] {
    num_landmarks: 39 input_image_width: 256 input_image_height: 256
    visibility_activation: SIGMOID presence_activation: SIGMOID } } }
node { calculator: "RefineLandmarksFromHeatmapCalculator" input_stream: "NORM_LANDMARKS:coarse"
  input_stream: "TENSORS:heatmap_tensor" output_stream: "NORM_LANDMARKS:points" }
node { calculator: "TensorsToLandmarksCalculator" input_stream: "TENSORS:world_tensor"
  output_stream: "LANDMARKS:world" options { [mediapipe.TensorsToLandmarksCalculatorOptions.ext] {
    num_landmarks: 39 } } }
"""


def cut(picture: Image.Image, x: float, y: float, side: float, size: int, degrees: float = 0.0) -> np.ndarray:
    """A square crop about (x, y) px, black outside, in steps of 8 grey levels (which pack well)."""
    cos, sin = (side / size * way(math.radians(degrees)) for way in (math.cos, math.sin))
    matrix = (cos, -sin, x - (cos - sin) * size / 2, sin, cos, y - (sin + cos) * size / 2)
    crop = picture.transform((size, size), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    return np.asarray(crop) & np.uint8(0xF8)


def main() -> None:
    mediapipes(sys.argv[1])
    movenets(Path(sys.argv[2]))


def mediapipes(heavy: str) -> None:
    from mediapipe.python.solution_base import SolutionBase

    picture = Image.open(PICTURE).convert("RGB")
    crops = {
        "standing": cut(picture, 140, 305, 420, 256),
        "turned": cut(picture, 345, 310, 400, 256, degrees=-20),
        "kneeling": cut(picture, 570, 345, 330, 256),
        "cut": cut(picture, 120, 210, 170, 256),  # no legs
    }
    for name, crop in crops.items():
        Image.fromarray(crop).save(HERE / f"landmarks_{name}.png", optimize=True)
    for kind, path in (("full", FULL), ("heavy", heavy)):
        network = SolutionBase(graph_config=LANDMARKS.replace("MODEL", path))
        made = {}
        for name, crop in crops.items():
            got = network.process(crop)
            for part in ("coarse", "points"):
                rows = [(p.x, p.y, p.z, p.visibility, p.presence) for p in getattr(got, part).landmark]
                made[f"{name}_{part}"] = np.array(rows, np.float32)
            made[f"{name}_world"] = np.array([(p.x, p.y, p.z) for p in got.world.landmark], np.float32)
            made[f"{name}_score"] = np.float32(got.score)
            made[f"{name}_told"] = np.array(got.told, np.float32).reshape(39, 5)
            made[f"{name}_mask"] = np.array(got.mask, np.float32).reshape(256, 256)[::8, ::8].copy()
            heat = np.array(got.heatmap, np.float32).reshape(64, 64, 39)
            rows, columns = np.mgrid[:64, :64]
            for k, (x, y) in enumerate(made[f"{name}_coarse"][:, :2] * 64):  # what no window of 9 x 9 cells reaches
                heat[(abs(columns - math.floor(x)) > 5) | (abs(rows - math.floor(y)) > 5), k] = -9
            made[f"{name}_heatmap"] = heat
            moved = np.abs(made[f"{name}_points"] - made[f"{name}_coarse"]).max()
            print(kind, name, got.score, "moved by the heatmap", moved * 256, "px")
        np.savez_compressed(HERE / f"landmarks_{kind}.npz", **made)


def movenets(assets: Path) -> None:
    import torch
    from humesh.images.tfjs import GraphModel

    picture, made = Image.open(PICTURE).convert("RGB"), dict[str, np.ndarray]()
    for name, (width, height) in {"wide": (352, 256), "small": (192, 160)}.items():
        shrunk = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR)) & np.uint8(0xF8)
        Image.fromarray(shrunk).save(HERE / f"movenet_{name}.png", optimize=True)
    for kind in ("thunder", "multipose"):
        network = GraphModel(assets / f"movenet-{kind}")
        for path in sorted(HERE.glob("landmarks_*.png" if kind == "thunder" else "[lm]*.png")):
            pixels = np.asarray(Image.open(path)).astype(np.int32)
            made[f"{kind}_{path.stem.partition('_')[2]}"] = network(torch.from_numpy(pixels)[None]).squeeze().numpy()
    np.savez_compressed(HERE / "movenet.npz", **made)


if __name__ == "__main__":
    main()
