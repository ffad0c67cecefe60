"""Old names, until the commands and the evaluation use the new ones."""

from humesh.scene.pictures import MotionPictures, contact_sheet, overlay
from humesh.scene.render import PALETTE, colours

__all__ = ["PALETTE", "MotionPictures", "colours", "contact_sheet", "overlay"]
