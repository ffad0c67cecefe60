"""The old place of what is in finder.py now; removed when nobody imports it."""

from humesh.people.finder import RtmlibPeople

__all__ = ["RtmlibPeople"]
