"""A recipe's data sets, from where the user has them, and their batches made by worker processes ahead of time."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from humesh.body.model import BodyModel
from humesh.data import DATASETS
from humesh.data.batch import Batch, DataError, Groups, joined
from humesh.data.sample import Dataset
from humesh.training.recipe import Recipe, Source, TrainingError

Given = Mapping[str, list[Path]]
"""Paths by the name of the data set that they are for; "": for any."""

_PLACES = {"synthetic": "folder", "posed": "motion", "posed_clips": "motion"}
_WANTED = {
    "synthetic": "FOLDER of shards from `humesh synth`",
    "posed": "posed=FILE of motion",
    "posed_clips": "posed_clips=FILE of motion",
}
_OWNERS = "NAME=FOLDER as its owner gives it (`humesh data check NAME --root FOLDER`)"


def sources(
    recipe: Recipe,
    given: Given | None = None,
    backgrounds: Path | None = None,
    labels: Given | None = None,
    bodies: Mapping[str, BodyModel] | None = None,
) -> list[Dataset]:
    """The data sets of a recipe, from what is `given` for each; one sentence names what is missing.

    `labels`: files of pseudo labels, [Path("none")] for none; `bodies`: body models by the names that labels speak of.
    """
    found = those_given(recipe, given or {}, labels or {}, bodies or {}, backgrounds)
    missing = [source for source in recipe.data if source.name not in found]
    if missing:
        names = ", ".join(source.name for source in recipe.data)
        wanted = "; ".join(f"{source.name}: {_WANTED.get(source.name, _OWNERS)}" for source in missing)
        raise TrainingError(f"this recipe trains on {names}; give what is missing with --data. {wanted}.")
    unlabelled = [source for source in recipe.data if source.labels and source.name not in (labels or {})]
    if unlabelled:
        wanted = "; ".join(f"--labels {source.name}=FILE of {source.labels}" for source in unlabelled)
        raise TrainingError(f"this recipe's people have pseudo labels: {wanted}; or {unlabelled[0].name}=none without.")
    return [found[source.name] for source in recipe.data]


def those_given(
    recipe: Recipe, given: Given, labels: Given, bodies: Mapping[str, BodyModel], backgrounds: Path | None = None
) -> dict[str, Dataset]:
    """The data sets of a recipe that are there already, by name."""
    names = [source.name for source in recipe.data]
    for option, paths in (("--data", given), ("--labels", labels)):
        if unknown := [name for name in paths if name not in ("", *names)]:
            raise TrainingError(f"{option} {unknown[0]}=...: this recipe trains on {', '.join(names)}.")
    if "" in given and len(names) > 1:
        raise TrainingError(f"--data {given[''][0]}: expected NAME=PATH, as the recipe trains on {', '.join(names)}.")
    if "" in labels:
        raise TrainingError(f"--labels {labels[''][0]}: expected NAME=FILE, NAME of {', '.join(names)}.")
    options = {source.name: _options(source, given, labels, bodies, backgrounds) for source in recipe.data}
    return {name: DATASETS[name](**chosen) for name, chosen in options.items() if chosen is not None}


def _options(
    source: Source, given: Given, labels: Given, bodies: Mapping[str, BodyModel], backgrounds: Path | None
) -> dict[str, Any] | None:
    """What a data set is made of; None where its place is not given."""
    name, options, place = source.name, dict(source.options), given.get(source.name, given.get(""))
    key = _PLACES.get(name, "root")
    if place and name == "drawn":
        raise TrainingError(f"--data {place[0]}: expected none, the people of this recipe are drawn; leave it out.")
    if place:
        if len(place) > 1 and key != "folder":
            raise TrainingError(f"--data: expected one path for {name}, got {', '.join(map(str, place))}.")
        options[key] = str(place[0]) if len(place) == 1 else list(map(str, place))
    if name == "synthetic" and place is not None and backgrounds is not None:
        options["backgrounds"] = str(backgrounds)
    if files := [str(path) for path in labels.get(name, []) if path != Path("none")]:
        if not source.split:
            raise TrainingError(f"--labels {name}=...: the people of this data set have labels of their own.")
        options["pseudo"] = files
    if source.split:
        options |= {"split": source.split, "bodies": bodies}
    if name == "drawn":
        return options | {"body": bodies.get("smpl-neutral")}
    return options if options.keys() & {key, "motion"} else None


def loaded(groups: Groups, numbers: Iterator[list[int]], workers: int, device: torch.device) -> Iterator[Batch]:
    """The batches of lists of numbers, in their order. Raises TrainingError for bad data or a worker that died."""
    loader: DataLoader[Batch] = DataLoader(
        groups,  # type: ignore[arg-type]
        batch_sampler=numbers,
        collate_fn=joined,
        num_workers=workers,
        worker_init_fn=_start_worker,
        pin_memory=device.type == "cuda",
    )
    try:
        yield from loader
    except DataError as error:  # torch puts the worker's traceback before the sentence
        lines = [line for line in str(error.args[0]).splitlines() if line.strip()]
        raise TrainingError(lines[-1].split("DataError: ", 1)[-1]) from error
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise TrainingError(
            f"a data worker died ({error}); if it was killed for memory use fewer --workers, --workers 0 shows the "
            "error itself."
        ) from error


def _start_worker(_: int) -> None:
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the main process, which needs its last batches
