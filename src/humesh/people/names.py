"""Which of the names in a file of detections means which photo."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
_Key = tuple[str, ...]
_ENDING = re.compile(r"\.(jpe?g|jpe|jfif|png|webp|bmp|tiff?|gif|hei[cf]|avif|jp2|jxl|ppm|dng)$", re.IGNORECASE)
_NUMBER = re.compile(r"(?:COCO_[a-z]+20\d\d_)?([0-9]{1,18})")
"""A stem that is COCO's image_id: one run of digits, as COCO names its pictures (before 2017 with the set's name)."""
_DEEPEST = 16  # folders of a path that count


class Names:
    """Names of photos: paths, names of files with or without their ending, or COCO's numbers ("785").

    A name fits a photo by the longest common end of their paths, folder by folder: the file's name without its ending
    at least; a number fits the photo whose name is that number.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._keys = {name: [*_keys(name, number=name.isdecimal())] for name in names}
        self._with = _by_key(self._keys)

    def of(self, photo: Path) -> list[str]:
        """The names that fit a photo best, all equally well; none where no name fits."""
        return _best(_keys(str(photo), number=True), self._with)

    def pairs(self, photos: Iterable[Path]) -> dict[Path, str]:
        """Photos and names of which each fits the other best, and nothing else fits either of them equally well."""
        keys = {photo: [*_keys(str(photo), number=True)] for photo in photos}
        having = _by_key(keys)
        pairs = {}
        for photo, mine in keys.items():
            names = _best(mine, self._with)
            if len(names) == 1 and _best(self._keys[names[0]], having) == [photo]:
                pairs[photo] = names[0]
        return pairs


def _keys(text: str, number: bool) -> Iterator[_Key]:
    """What a name is found by, the best first."""
    parts = unicodedata.normalize("NFC", text).replace("\\", "/").split("/")  # macOS writes names in another form
    *folders, name = [part for part in parts if part not in ("", ".", "..")] or [""]
    stem = _ENDING.sub("", name)
    for start in range(max(0, len(folders) - _DEEPEST), len(folders) + 1):
        yield ("name", *folders[start:], name)
        yield ("stem", *folders[start:], stem)
    if number and (digits := _NUMBER.fullmatch(stem)):
        yield ("number", str(int(digits[1])))


def _by_key(keys: Mapping[T, Iterable[_Key]]) -> dict[_Key, list[T]]:
    having: dict[_Key, list[T]] = defaultdict(list)
    for one, some in keys.items():
        for key in some:
            having[key].append(one)
    return dict(having)


def _best(keys: Iterable[_Key], having: Mapping[_Key, list[T]]) -> list[T]:
    return next((having[key] for key in keys if key in having), [])
