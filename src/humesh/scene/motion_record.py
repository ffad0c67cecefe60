"""Old names, until the commands and the evaluation use the new ones."""

from pathlib import Path

from humesh.body.model import BodyModel
from humesh.scene.mocap import clock, start_frame
from humesh.scene.record import load
from humesh.scene.result import ResultError, VideoResult

__all__ = ["clock", "read_motion_npz", "start_frame"]


def read_motion_npz(path: str | Path, body: BodyModel | None = None) -> tuple[VideoResult, str]:
    """The result of a video, and its path."""
    result = load(path, body=body)
    if not isinstance(result, VideoResult):
        raise ResultError(f"{path}: expected a video's .npz of humesh, got a photo's.")
    return result, result.path
