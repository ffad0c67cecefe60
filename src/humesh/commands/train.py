"""`humesh train`: a method's weights from a recipe."""

from __future__ import annotations

import ctypes
import dataclasses
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.progress import TextColumn, TimeElapsedColumn

from humesh.commands.errors import UserError, say, within
from humesh.commands.progress import Pace, progress_bar, say_above

if TYPE_CHECKING:
    from humesh.training.loop import Training

Append = tyro.conf.UseAppendAction


def train(
    recipe: tyro.conf.Positional[str],
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None,
    data: Annotated[tuple[str, ...], Append] = (),
    labels: Annotated[tuple[str, ...], Append] = (),
    body: str | None = None,
    backgrounds: Path | None = None,
    steps: int | None = None,
    batch: int | None = None,
    rate: float | None = None,
    seed: int | None = None,
    held_out: int | None = None,
    precision: Literal["float32", "bfloat16", "float16"] | None = None,
    workers: int | None = None,
    device: str = "",
    settings: Annotated[tuple[str, ...], Append, tyro.conf.arg(name="set")] = (),
    weights: Annotated[tuple[str, ...], Append] = (),
    init: str = "",
    pretrained: Annotated[tuple[str, ...], Append] = (),
    real: Path | None = None,
    dry_run: bool = False,
) -> int:
    """Train a method after a recipe; the same command goes on after it was stopped or killed.

    Under torchrun several processes train together, each on its own part of every batch. RUN gets weights.safetensors
    for `humesh predict --weights`, checkpoints, log.csv, validation.csv, recipe.json and pictures.

    Args:
        recipe: The recipe's name: debug, lite-lifter, synthetic-jotr, jotr-stage1, ...
        out: The run's folder, RUN; a dry run needs none.
        data: Folder of shards that `humesh synth` wrote, or for people without pictures a motion file; of several
            sources each by its name, as in --data posed=poses.npz --data coco=COCO. Shards may lie in several
            folders, each given with its own --data.
        labels: Pseudo labels of EFT, NeuralAnnot or CLIFF for a data set's people, as NAME=FILE; NAME=none: without.
        body: The body to train instead of the recipe's: your SMPL file (.pkl, .npz); the folder of SMPL's neutral, male
            and female files, where labels are of these; open or open-low. J_regressor_extra.npy beside it is used.
        backgrounds: A folder of photos to put the people of the shards before, besides drawn backgrounds.
        steps: How many steps, instead of the recipe's.
        batch: Groups of crops in a step, over all processes.
        rate: Learning rate.
        seed: Of everything that is random.
        held_out: How many samples of the first data set are only validated on, instead of the recipe's.
        precision: Of encoders and transformers, instead of the recipe's.
        workers: Processes that make data; default: one a core but one, at most 16.
        device: cpu, cuda or cuda:1; default: the GPU if there is one.
        settings: Fields of the method's configuration, as key=value; may be repeated.
        weights: Weights of loss terms, as key=value; may be repeated.
        init: Weights (.safetensors) to start from; what fits by name and shape is taken. "none": a recipe that goes on
            from another's weights starts without.
        pretrained: What the encoder starts from: timm (its own download) or a file of ImageNet or COCO-pose weights in
            their authors' names; smpl_mean_params.npz for regressors. May be repeated.
        real: A folder of labelled photos (see docs/benchmarks.md): each validation also measures on these what
            `humesh evaluate WEIGHTS real` does.
        dry_run: Only print the recipe; with data also counts and labels.
    """
    import torch

    from humesh.commands.describe import describe
    from humesh.evaluation.real import read_labels
    from humesh.recover import device_named
    from humesh.training.data import Given
    from humesh.training.files import checkpoints
    from humesh.training.loop import Place
    from humesh.training.prepare import prepare
    from humesh.training.recipe import known, overridden
    from humesh.training.recipes import RECIPES

    within("--workers", workers, 0, 256)
    known(recipe, RECIPES, "recipe: there is no")
    changed: dict[str, Any] = {"steps": steps, "batch": batch, "rate": rate, "seed": seed, "held_out": held_out}
    changed |= {"precision": precision, "body": body or None}
    plan = dataclasses.replace(RECIPES[recipe], **{k: v for k, v in changed.items() if v is not None})
    plan = overridden(plan, settings, weights)
    workers = max(1, min(16, (os.cpu_count() or 1) - 1)) if workers is None else workers
    rank, local = (int(os.environ.get(name, "0")) for name in ("RANK", "LOCAL_RANK"))
    where = device_named(device or (f"cuda:{local}" if torch.cuda.is_available() else "cpu"))
    speak = say if rank == 0 else lambda sentence: None
    place = Place(out or Path("run"), where, workers, speak, real=real)
    if real is not None:
        read_labels(real)  # before the first step, as a validation only says what is wrong with them
    start = None if init in ("", "none") else Path(init)
    given = Given(_places(data), _places(labels), backgrounds, start, pretrained)
    if dry_run:
        for line in describe(recipe, plan, place, given):
            say(line)
        return 0
    if out is None:
        raise UserError("train: expected a folder for the run; give it with -o.")
    if plan.starts_from and not init and not checkpoints(out):
        raise UserError(
            f"{recipe} goes on from the weights of {plan.starts_from}: give them with --init FILE (or --init none)."
        )
    out.mkdir(parents=True, exist_ok=True)
    if where.type == "cpu":
        _use_cores(workers)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return _run(prepare(recipe, plan, place, given))
    torch.distributed.init_process_group("nccl" if where.type == "cuda" else "gloo")
    try:
        return _run(prepare(recipe, plan, place, given))
    finally:
        torch.distributed.destroy_process_group()


def _places(data: tuple[str, ...]) -> dict[str, list[Path]]:
    """NAME=PATH, or a path for whatever has no other; of one name several."""
    places: dict[str, list[Path]] = {}
    for entry in data:
        name, place = entry.split("=", 1) if "=" in entry else ("", entry)
        places.setdefault(name, []).append(Path(place))
    return places


def _run(training: Training) -> int:
    recipe, out, rank = training.recipe, training.place.out, training.place.rank
    columns = Pace("samples", recipe.batch), TextColumn("{task.fields[loss]}"), TimeElapsedColumn()
    with progress_bar(*columns, speed_estimate_period=300, disable=rank > 0) as progress:
        task = progress.add_task("training", total=recipe.steps, loss="")

        def watch(step: int, means: Mapping[str, float]) -> None:
            progress.update(task, completed=step)
            if means:
                progress.update(task, loss=f"loss {means['loss']:.3f}")

        speak = partial(say_above, progress) if rank == 0 else lambda sentence: None
        training.place = dataclasses.replace(training.place, say=speak, watch=watch)
        training.run()
    is_finished = training.step == recipe.steps
    if rank == 0:
        how = "finished" if is_finished else "stopped; the same command goes on from there"
        say(f"{how} at step {training.step} of {recipe.steps}: {out / 'weights.safetensors'}")
    return 0 if is_finished else 130


def _use_cores(workers: int) -> None:
    """One thread for each core that no worker has, and freed memory kept for the next step.

    Threads that wait for a core that another process has cost much more than they bring, and so does fetching every
    large tensor's memory anew from the system.
    """
    import torch

    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) - workers))
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(-3, 2**30)  # M_MMAP_THRESHOLD
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD
    except OSError:  # another system: it works as it does
        return
