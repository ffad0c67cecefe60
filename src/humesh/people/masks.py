"""The old place of what is in person.py now; removed when nobody imports it."""

from humesh.people.person import MASK_SIDE as SIDE
from humesh.people.person import Mask

__all__ = ["SIDE", "Mask"]
