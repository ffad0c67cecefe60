"""What readers share: people with 2D labels alone, stored photos, and errors for missing and damaged parts."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image

from humesh.body.joints import JointSet
from humesh.body.pose import BodyPose
from humesh.data.datasets import DatasetError
from humesh.data.datasets.download import Download
from humesh.data.sample import LabelledPerson
from humesh.geometry.camera import Camera
from humesh.media.photo import MAX_MEGAPIXELS, Photo
from humesh.people.person import Person

T = TypeVar("T")

_SMALLEST = 8.0  # px, a box's longer side
_HEAD = {"nose", "left_eye", "right_eye", "left_ear", "right_ear", "jaw", "head", "head_top"}


def person_2d(
    box: Float[np.ndarray, "4"],
    points: Float[np.ndarray, "K 3"],
    joint_set: JointSet,
    identity: int,
    visible: Float[np.ndarray, " K"] | None = None,
    size: tuple[int, int] | None = None,
) -> LabelledPerson:
    """A person of whom only a box (x0 y0 x1 y1) and points (x, y px, weight) are known; visible: where weighted.

    Points of weight 0 are moved to (0, 0): what stands there in files means nothing. With the photo's `size` (width,
    height) points outside of it keep their weight, but are neither visible nor seen.
    """
    points = np.where(points[:, 2:] > 0, points, 0.0).astype(np.float64)
    labels, count = torch.from_numpy(points).float(), len(joint_set)
    if size is not None:
        inside = np.all((points[:, :2] >= 0) & (points[:, :2] < size), axis=-1)
        visible = inside.astype(np.float64) if visible is None else visible * inside
        points = np.where(inside[:, None], points, 0.0)
    seen = Person(np.asarray(box, dtype=np.float64), 1.0, points, joint_set)
    shown = (labels[:, 2] > 0).float() if visible is None else torch.from_numpy(np.asarray(visible)).float()
    return LabelledPerson(
        seen=seen,
        identity=identity,
        pose=BodyPose.rest(),
        pose_weight=torch.zeros(24),
        shape_weight=torch.zeros(()),
        translation_weight=torch.zeros(()),
        joint_set=joint_set,
        points3d=torch.zeros(count, 3),
        points3d_weight=torch.zeros(count),
        points2d=labels[:, :2],
        points2d_weight=labels[:, 2],
        visible=shown * (labels[:, 2] > 0),
    )


def box_of(points: Float[np.ndarray, "K 3"]) -> Float[np.ndarray, "4"]:
    """The box of the weighted points (x, y px, weight), grown on each side by a tenth of its longer side; or zeros."""
    known = points[points[:, 2] > 0, :2]
    if not len(known):
        return np.zeros(4)
    low, high = known.min(0), known.max(0)
    grown = 0.1 * max((high - low).max(), 1.0)
    return np.concatenate([low - grown, high + grown]).astype(np.float64)


def usable(box: Float[np.ndarray, "4"]) -> bool:
    """Whether a person's box is large enough to cut a crop around: of less nothing can be seen (our bound)."""
    return bool((box[2:] - box[:2]).max() >= _SMALLEST)


def below_the_head(points: Float[np.ndarray, "K 3"], joint_set: JointSet) -> int:
    """How many labelled points a person has besides those of the head, which alone tell nothing of the body."""
    return sum(name not in _HEAD for name, weight in zip(joint_set.names, points[:, 2], strict=True) if weight > 0)


def stored_photo(source: Path | io.BytesIO, camera: Camera | None = None, *, name: str = "") -> Photo:
    """A photo as its labels mean it: the stored pixels in RGB, whatever its EXIF says of its orientation.

    `name`: of a source in memory.
    """
    try:
        with Image.open(source) as image:
            if image.width * image.height > 1e6 * MAX_MEGAPIXELS:
                raise ValueError(f"{image.width} x {image.height} pixels")
            return Photo.of(np.array(image.convert("RGB")), camera)
    except FileNotFoundError:
        raise DatasetError(f"{source}: expected an image that the labels name, found nothing; fetch it anew.") from None
    except Exception as error:  # Pillow's readers raise anything on damaged images
        raise DatasetError(
            f"{name or source}: expected an image, it is damaged or none ({error}); fetch it anew."
        ) from error


def part(root: Path, patterns: Sequence[str], download: Download) -> list[Path]:
    """The files of the first of the glob patterns that has any, in order of their names; DatasetError where none."""
    for pattern in patterns:
        if found := sorted(path for path in root.glob(pattern) if not path.name.startswith(".")):
            return found
    there = ", ".join(sorted(path.name for path in root.iterdir())[:6]) if root.is_dir() else "no such folder"
    raise DatasetError(
        f"{root}: expected {' or '.join(patterns)}, found {there or 'an empty folder'}; give the folder where the "
        f"download was unpacked, or fetch it from {download.page}."
    )


def loaded(path: Path, read: Callable[[Path], T], what: str) -> T:
    """A label file, read; whatever a damaged or foreign one raises becomes one sentence."""
    try:
        return read(path)
    except DatasetError:
        raise
    except Exception as error:  # readers of foreign formats have no common base of errors
        why = " ".join(str(error).split()) or type(error).__name__
        raise DatasetError(f"{path}: expected {what}, could not read it ({why}); fetch it anew.") from error


def known_split(name: str, split: str, splits: Collection[str]) -> str:
    """The split of a dataset called `name`, DatasetError where it has none of that name."""
    if split not in splits:
        raise DatasetError(f"{name}: expected the split {' or '.join(splits)}, got {split!r}.")
    return split


def runs(keys: Sequence[tuple[str | int, int]], step: int = 1) -> tuple[range, ...]:
    """`tracks` of frames (video, frame number) in order: ranges of two or more that are `step` apart in one video."""
    found, start = [], 0
    for i in range(1, len(keys) + 1):
        if i == len(keys) or keys[i][0] != keys[i - 1][0] or keys[i][1] - keys[i - 1][1] != step:
            found += [range(start, i)] if i - start > 1 else []
            start = i
    return tuple(found)
