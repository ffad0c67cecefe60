"""The old place of what is in groups.py now; removed when nobody imports it."""

from humesh.crops.groups import jotr_box, jotr_boxes, visible_in_crop

__all__ = ["jotr_box", "jotr_boxes", "visible_in_crop"]
