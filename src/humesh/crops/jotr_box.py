"""The old place of what is in crops.py now; removed when nobody imports it."""

from humesh.crops.crops import jotr_box, jotr_boxes, visible_in_crop

__all__ = ["jotr_box", "jotr_boxes", "visible_in_crop"]
