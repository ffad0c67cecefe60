"""`humesh data check` and `humesh synth`: data that were downloaded or are rendered, and pictures of their labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import tyro
from PIL import Image, ImageDraw
from rich.progress import track

from humesh.commands.errors import UserError, say, within
from humesh.commands.progress import progress_bar
from humesh.data import DATASETS, Reader
from humesh.data.sample import Dataset, Sample
from humesh.data.synthetic.scenes import SyntheticPeople
from humesh.data.synthetic.shards import Plan, ShardedPeople, write_shards
from humesh.evaluation.report import draw_bones
from humesh.files import parse_json, writing

_TILE = 320  # px, side of a picture on the sheet
_SIDES = {"left": (220, 90, 60), "right": (60, 120, 220)}


def data(
    action: tyro.conf.Positional[Literal["check"]],
    name: tyro.conf.Positional[str],
    root: Path,
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None,
    split: str = "",
    option: tyro.conf.UseAppendAction[tuple[str, ...]] = (),
) -> int:
    """Check that a dataset that you downloaded is complete, and draw 16 of its samples with their labels.

    Args:
        action: Only "check".
        name: The dataset, as recipes call it.
        root: The folder where the download was unpacked.
        out: A picture (.jpg, .png) for the samples.
        split: The split to read and draw: train, test, ...; without it files are only counted.
        option: An option of the dataset's reader, such as protocol=1 or activity=pizza; several times for several.
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
    options = dict(_option(text) for text in option)
    try:
        complete = _count(readers[name], root)
        if split:
            dataset = readers[name](root=root, split=split, **options)
            videos = f", {len(dataset.tracks):,} tracks" if dataset.tracks else ""
            people = dataset[0].people
            points = people[0].joint_set.name if people else "nobody in the first"
            say(f"{len(dataset):,} samples{videos}; points: {points}")
            if out is not None:
                save_picture(contact_sheet(dataset), out)
                say(f"16 samples with labels in {out}")
    except OSError as error:
        raise UserError(f"cannot read or write {error.filename or root}: {error.strerror}.") from None
    return 0 if complete else 1


def _option(text: str) -> tuple[str, Any]:
    key, sign, value = text.partition("=")
    if not sign:
        raise UserError(f"--option {text}: expected key=value, such as protocol=1.")
    try:
        return key, parse_json(value)
    except ValueError:
        return key, value


def _count(reader: Reader, root: Path) -> bool:
    """Prints how many of a download's files there are; whether all that the reader needs are, and none is empty."""
    say("| files | at least | found | |\n| --- | --- | --- | --- |")
    missing = []
    for files in track(reader.kind.parts, "counting", transient=True):
        paths = sorted(files.found(root))
        empty = next((path for path in paths if path.is_file() and not path.stat().st_size), None)
        complete = len(paths) >= files.least and empty is None
        missing += [files.part or files.pattern] if files.needed and not complete else []
        found = "complete" if complete else "missing" if files.needed else "missing, not needed"
        found = found if empty is None else f"{empty.name} is empty"
        say(f"| {files.pattern.replace('|', ' or ')} | {files.least:,} | {len(paths):,} | {found} |")
    for part in missing:
        say(f"missing: {part}; its owner offers it at {reader.kind.page}")
    packed = sorted(p.name for p in root.iterdir() if p.suffix in (".zip", ".tar", ".gz", ".tgz", ".rar", ".7z"))
    if missing and packed:
        say(f"unpack first: {', '.join(packed)}")
    return not missing


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
        points, known = _near(person.points2d.numpy() * scale), person.points2d_weight.numpy() > 0
        for side, colour in _SIDES.items():
            here = known & [name.startswith(side) for name in person.joint_set.names]
            draw_bones(image, torch.from_numpy(np.where(here[:, None], points, np.nan)), person.joint_set.names, colour)
        for (x, y), visible in zip(points[known], person.visible.numpy()[known], strict=True):
            brush.ellipse((x - 2, y - 2, x + 2, y + 2), fill=(0, 230, 0) if visible else (230, 0, 0))
        ahead = (person.points3d_weight.numpy() > 0) & (person.points3d[:, 2].numpy() > 0)
        for x, y in _near(sample.photo.camera.project(person.points3d.double()).numpy() * scale)[ahead]:
            brush.line((x - 3, y, x + 3, y), fill=(60, 140, 255))
            brush.line((x, y - 3, x, y + 3), fill=(60, 140, 255))
    return image


def _near(values: np.ndarray) -> np.ndarray:
    """Pixels of a tile, clipped, as Pillow walks along lines pixel by pixel."""
    return np.clip(np.nan_to_num(values, posinf=9 * _TILE, neginf=-9 * _TILE), -9 * _TILE, 9 * _TILE)


def save_picture(image: Image.Image, path: Path) -> None:
    """Writes a picture completely or not at all; without an ending in its name it is a PNG."""
    with writing(path) as draft:
        image.save(draft, format=None if path.suffix else "PNG")


def synth(
    motion: list[Path],
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None,
    count: int = 2000,
    people: tuple[int, int] = (1, 1),
    size: int = 256,
    seed: int = 0,
    workers: int = 1,
    backgrounds: Path | None = None,
    preview: Path | None = None,
) -> int:
    """Render photos of synthetic people. A run that was stopped goes on where it was.

    Args:
        motion: Motion files: .npz with `poses`, ours or AMASS-style.
        out: Folder for the shards.
        count: How many photos.
        people: Least and greatest number of people in a photo.
        size: Side of a photo in pixels.
        seed: The same seed gives the same bytes.
        workers: Processes.
        backgrounds: A folder of photos for the preview's backgrounds (training chooses its own).
        preview: Draw 16 samples with their labels into this picture.
    """
    if out is None and preview is None:
        raise UserError("synth: expected -o FOLDER for shards or --preview PICTURE.png, got neither.")
    if preview is not None and preview.suffix and preview.suffix.lower() not in Image.registered_extensions():
        raise UserError(f"--preview {preview}: expected a name that ends in .jpg or .png.")
    if not 1 <= people[0] <= people[1] <= 8:
        raise UserError(f"--people: expected 1 to 8 people (least first), got {people[0]} {people[1]}.")
    for option, value, least, most in (
        ("--size", size, 32, 2048), ("--count", count, 1, 10**8), ("--workers", workers, 1, 256),
        ("--seed", seed, 0, 2**63 - 1),
    ):  # fmt: skip
        within(option, value, least, most)
    try:
        if out is not None:
            plan = Plan(tuple(map(str, motion)), count, people, size, seed)
            with progress_bar(transient=True) as bar:
                task = bar.add_task("synthetic people", total=count)
                for ready in write_shards(out, plan, workers):
                    bar.update(task, completed=ready)
            say(f"{count} photos in {out}")
        if preview is not None:
            dataset: Dataset = SyntheticPeople(motion, 16, people=people, size=size, seed=seed, backgrounds=backgrounds)
            if out is not None:
                dataset = ShardedPeople(out, backgrounds=backgrounds)
            save_picture(contact_sheet(dataset), preview)
            say(f"16 samples with labels in {preview}")
    except OSError as error:
        raise UserError(f"cannot write {error.filename or out}: {error.strerror}.") from None
    return 0
