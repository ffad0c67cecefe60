"""Old names, until the commands and the evaluation use the new ones."""

import numpy as np

from humesh.scene.pictures import Studio as _Studio
from humesh.scene.pictures import facing
from humesh.scene.render import Stage

__all__ = ["Studio", "facing"]


class Studio:
    """The old studio."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def picture(self, turn: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """A picture."""
        return _Studio(self.stage.points, turn, size).picture(self.stage)
