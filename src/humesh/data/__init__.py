"""Photos with labelled people: made by ourselves, or read from other people's datasets."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from humesh.data.sample import Dataset


def _drawn(**options: Any) -> Dataset:
    from humesh.data.drawn import DrawnPeople

    return DrawnPeople(**options)


def _synthetic(folder: str | list[str] | None = None, **options: Any) -> Dataset:
    """Shards of a folder (`humesh synth`), each time in another variation; else people rendered when asked for."""
    if folder is not None:
        from humesh.data.synthetic.shards import ShardedPeople

        return ShardedPeople(folder, **{"variations": 64, **options})
    from humesh.data.synthetic.shards import SyntheticPeople

    return SyntheticPeople(**options)


def _posed(motion: str = "", **options: Any) -> Dataset:
    """People without pictures, in the poses of a motion file."""
    from humesh.data.synthetic.posed import PosedPeople

    return PosedPeople([motion], **options)


DATASETS: dict[str, Callable[..., Dataset]] = {"drawn": _drawn, "posed": _posed, "synthetic": _synthetic}
"""The data sets that can be read, by the names that recipes call them; each makes one of its options."""
