"""The old place of what is in crops.py now; removed when nobody imports it."""

from humesh.crops.crops import GroupError, group_people, keypoints_as, landmarks_of, points_as

__all__ = ["GroupError", "group_people", "keypoints_as", "landmarks_of", "points_as"]
