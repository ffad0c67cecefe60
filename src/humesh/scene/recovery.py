"""Old names, until the commands and the evaluation use the new ones."""

from humesh.scene.result import Motion as PersonMotion
from humesh.scene.result import Result as Recovery
from humesh.scene.result import ResultError as RecoveryError
from humesh.scene.result import VideoResult as VideoRecovery

__all__ = ["PersonMotion", "Recovery", "RecoveryError", "VideoRecovery"]
