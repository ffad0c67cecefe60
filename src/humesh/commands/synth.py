"""`humesh synth`: renders synthetic people into shards that training reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from PIL import Image, ImageDraw
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from humesh.body.joints import SMPL24
from humesh.commands.errors import UserError
from humesh.data.sample import Dataset, Sample
from humesh.data.synthetic import detected
from humesh.data.synthetic.backgrounds import BackgroundError
from humesh.data.synthetic.motion import MotionError
from humesh.data.synthetic.shards import Plan, ShardedPeople, ShardError, SyntheticPeople, write_shards


def synth(
    motion: list[Path],
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None,
    count: int = 2000,
    people: tuple[int, int] = (1, 1),
    size: int = 256,
    clips: bool = False,
    frames: int = 16,
    seed: int = 0,
    workers: int = 1,
    backgrounds: Path | None = None,
    preview: Path | None = None,
    detect: bool = False,
) -> int:
    """Render synthetic people: photos, or videos with --clips. A run that was stopped goes on where it was.

    Args:
        motion: Motion files: .npz with `poses` (ours or AMASS-style) or .bvh.
        out: Folder for the shards.
        count: How many photos, or frames of videos, in all.
        people: Least and greatest number of people in a photo.
        size: Side of a photo in pixels.
        clips: Make videos of people moving instead of photos.
        frames: Frames in a video.
        seed: The same seed gives the same bytes.
        workers: Processes.
        backgrounds: A folder of photos for the preview's backgrounds (training chooses its own).
        preview: Draw 16 samples with their labels into this picture.
        detect: Let MediaPipe look at every photo of the shards and keep what it says beside them: 0.1 s a person.
    """
    if out is None and preview is None:
        raise UserError("synth: expected -o FOLDER for shards or --preview PICTURE.png, got neither.")
    if not (1 <= people[0] <= people[1] <= 8 and 32 <= size <= 2048 and count > 0 and frames > 1 and workers > 0):
        raise UserError(
            "synth: expected 1 to 8 people (least first), a size of 32 to 2048 px, and a count, frames (2 or more) and "
            f"workers above 0; got --people {people[0]} {people[1]} --size {size} --count {count} --frames {frames} "
            f"--workers {workers}."
        )
    length = frames if clips else 1
    count = -(-count // length) * length
    try:
        if out is not None:
            plan = Plan(tuple(map(str, motion)), count, people, size, seed, length)
            with Progress(
                TextColumn("synthetic people"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), transient=True
            ) as bar:
                task = bar.add_task("", total=count)
                for ready in write_shards(out, plan, workers):
                    bar.update(task, completed=ready)
            print(f"{count} {'frames' if clips else 'photos'} in {out}")
        if detect and out is not None:
            with Progress(
                TextColumn("MediaPipe looks"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), transient=True
            ) as bar:
                task = bar.add_task("")
                for done, shards in detected.detect(out, workers):
                    bar.update(task, completed=done, total=shards)
            print(f"{len(detected.DetectedPeople(out))} people found by MediaPipe")
        if preview is not None:
            dataset: Dataset = (
                ShardedPeople(out, backgrounds=backgrounds)
                if out is not None
                else SyntheticPeople(
                    motion, 16 * length, people=people, size=size, seed=seed, frames=length, backgrounds=backgrounds
                )
            )
            draw_preview(dataset, preview)
            print(f"16 samples with labels in {preview}")
    except (MotionError, BackgroundError, ShardError) as error:
        raise UserError(str(error)) from None
    except OSError as error:
        raise UserError(f"cannot write {error.filename or out}: {error.strerror}.") from None
    return 0


def draw_preview(dataset: Dataset, path: Path, rows: int = 4, columns: int = 4) -> None:
    """A sheet of a dataset's first samples with boxes and joints: green is visible, red is hidden."""
    tiles = [_drawn(dataset[i % len(dataset)]) for i in range(rows * columns)]
    side = max(max(tile.size) for tile in tiles)
    sheet = Image.new("RGB", (columns * side, rows * side))
    for i, tile in enumerate(tiles):
        sheet.paste(tile, (i % columns * side, i // columns * side))
    draft = path.with_name(f".{path.stem}.draft{path.suffix or '.png'}")
    try:
        sheet.save(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _drawn(sample: Sample) -> Image.Image:
    image = Image.fromarray(np.ascontiguousarray(sample.photo.pixels))
    brush = ImageDraw.Draw(image)
    for person in sample.people:
        brush.rectangle(person.seen.box.tolist(), outline=(255, 220, 0))
        points = person.points2d.tolist()
        for joint, parent in enumerate(SMPL24.parents):
            if parent >= 0:
                brush.line((*points[parent], *points[joint]), fill=(90, 160, 255))
        for (x, y), visible in zip(points, person.visible.tolist(), strict=True):
            brush.ellipse((x - 2, y - 2, x + 2, y + 2), fill=(0, 230, 0) if visible else (230, 0, 0))
    return image
