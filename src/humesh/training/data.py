"""A recipe's data sets, from where the user has them, and their batches made by worker processes ahead of time."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from humesh.body.model import BodyModel
from humesh.data import DATASETS
from humesh.data.batch import Batch, DataError, Groups, joined
from humesh.data.sample import Dataset
from humesh.training.recipe import Recipe, Source, TrainingError

Paths = Mapping[str, list[Path]]
"""Paths by the name of the data set that they are for; "": for any."""


@dataclass(frozen=True)
class Given:
    """What the user gives a training besides its recipe.

    `data`: where its data sets are; `labels`: files of pseudo labels, [Path("none")] for none; `backgrounds`: a folder
    of photos to put rendered people before; `init`: weights to start from; `pretrained`: see `start_pretrained`.
    """

    data: Paths = field(default_factory=dict)
    labels: Paths = field(default_factory=dict)
    backgrounds: Path | None = None
    init: Path | None = None
    pretrained: tuple[str, ...] = ()


_PLACES = {  # the reader's option, and what the user gives for it
    "synthetic": ("folder", "FOLDER of shards from `humesh synth`"),
    "posed": ("motion", "posed=FILE of motion"),
    "posed_clips": ("motion", "posed_clips=FILE of motion"),
}
_OWNERS = "root", "NAME=FOLDER as its owner gives it (`humesh data check NAME --root FOLDER`)"


def sources(recipe: Recipe, given: Given, bodies: Mapping[str, BodyModel] | None = None) -> list[Dataset]:
    """The data sets of a recipe; one sentence names what is missing. `bodies`: by the names that labels speak of."""
    found = those_given(recipe, given, bodies or {})
    if missing := [source.name for source in recipe.data if source.name not in found]:
        names = ", ".join(source.name for source in recipe.data)
        wanted = "; ".join(f"{name}: {_PLACES.get(name, _OWNERS)[1]}" for name in missing)
        raise TrainingError(f"this recipe trains on {names}; give what is missing with --data. {wanted}.")
    if unlabelled := [source for source in recipe.data if source.labels and source.name not in given.labels]:
        wanted = "; ".join(f"--labels {source.name}=FILE of {source.labels}" for source in unlabelled)
        raise TrainingError(f"this recipe's people have pseudo labels: {wanted}; or {unlabelled[0].name}=none without.")
    return [found[source.name] for source in recipe.data]


def those_given(recipe: Recipe, given: Given, bodies: Mapping[str, BodyModel]) -> dict[str, Dataset]:
    """The data sets of a recipe that are there already, by name."""
    names = [source.name for source in recipe.data]
    for option, paths in (("--data", given.data), ("--labels", given.labels)):
        if unknown := [name for name in paths if name not in ("", *names)]:
            raise TrainingError(f"{option} {unknown[0]}=...: this recipe trains on {', '.join(names)}.")
        if "" in paths and (option == "--labels" or len(names) > 1):
            where = ", ".join(names)
            raise TrainingError(f"{option} {paths[''][0]}: expected NAME=PATH, as the recipe trains on {where}.")
    options = {source.name: _options(source, given, bodies) for source in recipe.data}
    return {name: DATASETS[name](**chosen) for name, chosen in options.items() if chosen is not None}


def _options(source: Source, given: Given, bodies: Mapping[str, BodyModel]) -> dict[str, Any] | None:
    """What a data set is made of; None where its place is not given."""
    name, options = source.name, dict(source.options)
    place, key = given.data.get(name, given.data.get("")), _PLACES.get(name, _OWNERS)[0]
    if name == "drawn":
        if place:
            raise TrainingError(f"--data {place[0]}: expected none, the people of this recipe are drawn; leave it out.")
        options["body"] = bodies.get("smpl-neutral")
    if place and len(place) > 1 and key != "folder":
        raise TrainingError(f"--data: expected one path for {name}, got {', '.join(map(str, place))}.")
    if place:
        options[key] = str(place[0]) if len(place) == 1 else list(map(str, place))
    if name == "synthetic" and place and given.backgrounds is not None:
        options["backgrounds"] = str(given.backgrounds)
    if files := [str(path) for path in given.labels.get(name, []) if path != Path("none")]:
        if not source.split:
            raise TrainingError(f"--labels {name}=...: the people of this data set have labels of their own.")
        options["pseudo"] = files
    if source.split:
        options |= {"split": source.split, "bodies": bodies}
    return options if name == "drawn" or options.keys() & {key, "motion"} else None


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
