"""`humesh synth`: renders synthetic people into shards that training reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro
from PIL import Image

from humesh.commands.data import contact_sheet, save_picture
from humesh.commands.errors import UserError, say, within
from humesh.commands.progress import progress_bar
from humesh.data.sample import Dataset
from humesh.data.synthetic.scenes import SyntheticPeople
from humesh.data.synthetic.shards import Plan, ShardedPeople, write_shards


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
