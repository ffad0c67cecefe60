"""`humesh data check`: looks whether a dataset was downloaded whole, and draws some of it with its labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro
from PIL import Image, ImageDraw
from rich.progress import track

from humesh.body.joints import mirrored_name
from humesh.commands.errors import UserError, say
from humesh.data import DATASETS, Reader
from humesh.data.datasets.download import Count, counts, fingerprint, packed
from humesh.data.sample import Dataset, LabelledPerson, Sample

_TILE = 320  # px, side of a picture on the sheet
_LIMBS = (
    ("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist"), ("left_hip", "left_knee"),
    ("left_knee", "left_ankle"), ("left_shoulder", "left_hip"), ("left_ankle", "left_foot"),
)  # fmt: skip
_TRUNK = (("left_shoulder", "right_shoulder"), ("left_hip", "right_hip"), ("neck", "head_top"), ("neck", "head"))


def data(
    action: tyro.conf.Positional[Literal["check"]],
    name: tyro.conf.Positional[str],
    root: Path,
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None,
    split: str = "",
) -> int:
    """Look whether a dataset that you downloaded is whole, and draw 16 of its samples with their labels.

    Args:
        action: Only "check".
        name: The dataset, as recipes call it.
        root: The folder where the download was unpacked.
        out: A picture (.jpg, .png) for the samples.
        split: The split to read and draw: train, test, ...; without it files are only counted.
    """
    readers = {key: entry for key, entry in DATASETS.items() if isinstance(entry, Reader)}
    if name not in readers:
        raise UserError(f"data check: expected one of {', '.join(sorted(readers))}, got {name!r}.")
    if not root.is_dir():
        raise UserError(f"--root {root}: expected a folder, found {'a file' if root.exists() else 'nothing'}.")
    if out is not None and out.suffix.lower() not in (".jpg", ".jpeg", ".png"):
        raise UserError(f"-o {out}: expected a name that ends in .jpg or .png.")
    if out is not None and not split:
        raise UserError(f"-o {out}: expected the split to draw; give it with --split.")
    download = readers[name].download
    found = list(track(counts(download, root), "counting", total=len(download.files), transient=True))
    say("| files | at least | found | |\n| --- | --- | --- | --- |")
    for count in found:
        pattern = count.files.pattern.replace("|", " or ")
        say(f"| {pattern} | {count.files.least:,} | {count.number:,} | {_told(count)} |")
    say(f"fingerprint of a few files: {fingerprint(root, [path for count in found for path in count.some])}")
    lacking = [count for count in found if not count.whole and count.files.needed]
    for count in lacking:
        say(f"missing: {count.files.called or count.files.pattern}; its owner offers it at {download.page}")
    if lacking and (archives := packed(root)):
        say(f"unpack first: {', '.join(path.name for path in archives)}")
    try:
        if split:
            dataset = readers[name](root=root, split=split)
            say(_summary(dataset))
            if out is not None:
                save_picture(contact_sheet(dataset), out)
                say(f"16 samples with labels in {out}")
    except OSError as error:
        raise UserError(f"cannot read or write {error.filename or root}: {error.strerror}.") from None
    return 1 if lacking else 0


def _told(count: Count) -> str:
    if count.empty is not None:
        return f"{count.empty.name} is empty"
    if count.whole:
        return "whole"
    return "missing" if count.files.needed else "missing, not needed"


def _summary(dataset: Dataset) -> str:
    videos = f", {len(dataset.tracks):,} tracks" if dataset.tracks else ""
    people = dataset[0].people
    points = people[0].joint_set.name if people else "nobody in the first"
    return f"{len(dataset):,} samples{videos}; points: {points}"


def contact_sheet(dataset: Dataset, count: int = 16, columns: int = 4) -> Image.Image:
    """Samples from all over a dataset with boxes and points: green ones are visible, red ones hidden, blue ones 3D."""
    numbers = np.linspace(0, len(dataset) - 1, count).round().astype(int)
    sheet = Image.new("RGB", (columns * _TILE, -(-count // columns) * _TILE))
    for i, number in enumerate(track(numbers.tolist(), "drawing", transient=True)):
        sheet.paste(_tile(dataset[number]), (i % columns * _TILE, i // columns * _TILE))
    return sheet


def _tile(sample: Sample) -> Image.Image:
    scale = _TILE / max(sample.photo.size)
    size = tuple(max(1, round(side * scale)) for side in sample.photo.size)
    image = Image.fromarray(np.ascontiguousarray(sample.photo.pixels)).resize((size[0], size[1]))
    brush = ImageDraw.Draw(image)
    for person in sample.people:
        brush.rectangle(_near(person.seen.box * scale).tolist(), outline=(255, 220, 0))
        _draw_points(brush, person, _near(person.points2d.numpy() * scale))
        known = person.points3d_weight.numpy() > 0
        projected = _near(sample.photo.camera.project(person.points3d.double()).numpy() * scale)
        for x, y in projected[known & (person.points3d[:, 2].numpy() > 0)]:
            brush.line((x - 3, y, x + 3, y), fill=(60, 140, 255))
            brush.line((x, y - 3, x, y + 3), fill=(60, 140, 255))
    return image


def _near(values: np.ndarray) -> np.ndarray:
    """Pixels of a tile; far outside they are drawn nearer, as Pillow walks along lines pixel by pixel."""
    return np.clip(np.nan_to_num(values, posinf=9 * _TILE, neginf=-9 * _TILE), -9 * _TILE, 9 * _TILE)


def _draw_points(brush: ImageDraw.ImageDraw, person: LabelledPerson, points: np.ndarray) -> None:
    known = person.points2d_weight.numpy() > 0
    at = {name: points[i] for i, name in enumerate(person.joint_set.names) if known[i]}
    sides = [(tuple(mirrored_name(n) for n in limb), (60, 120, 220)) for limb in _LIMBS]
    for (a, b), colour in [*((limb, (220, 90, 60)) for limb in _LIMBS), *sides, *((t, (190,) * 3) for t in _TRUNK)]:
        if a in at and b in at:
            brush.line((*at[a], *at[b]), fill=colour)
    for (x, y), visible in zip(points[known], person.visible.numpy()[known], strict=True):
        brush.ellipse((x - 2, y - 2, x + 2, y + 2), fill=(0, 230, 0) if visible else (230, 0, 0))


def save_picture(image: Image.Image, path: Path) -> None:
    """The picture appears only when it is whole; without an ending in its name it is a PNG."""
    from humesh.files import writing

    with writing(path) as draft:
        image.save(draft, format=None if path.suffix else "PNG")
