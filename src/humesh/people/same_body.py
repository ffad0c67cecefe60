"""The old place of what is in person.py now; removed when nobody imports it."""

from humesh.people.person import box_around_keypoints as box_around_points

__all__ = ["box_around_points"]
