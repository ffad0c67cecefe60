"""`humesh evaluate`: scores of a method on a test set."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.progress import track

from humesh.commands.errors import UserError


def evaluate(
    what: tyro.conf.Positional[str],
    benchmark: tyro.conf.Positional[Literal["synthetic"]],
    motion: tuple[Path, ...],
    count: int = 300,
    people: tuple[int, int] = (1, 2),
    detector: Literal["simulated", "mediapipe"] = "simulated",
    refine: bool = False,
    seed: int = 2026,
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None,
) -> int:
    """Score a method on people that are rendered for it, always the same ones for the same options.

    Errors are over 12 limb joints in millimetres: PA-MPJPE after the best similarity, MPJPE about the pelvis.

    Args:
        what: A method whose weights are shipped, a weights file (.safetensors), or "landmarks": without a network.
        benchmark: Only the synthetic test so far.
        motion: Motion files that nothing was trained on (.npz with `poses`).
        count: How many photos.
        people: Least and greatest number of people in a photo.
        detector: Whose keypoints the method gets: simulated ones, or MediaPipe's on the rendered photo.
        refine: Fit the answers to the keypoints afterwards, as `humesh predict --refine` does.
        seed: Another seed is another test set.
        out: A .json file for every person's scores.
    """
    from humesh.data.sample import Sample
    from humesh.data.synthetic.motion import MotionError
    from humesh.data.synthetic.shards import SyntheticPeople
    from humesh.evaluation.synthetic import scores, simulated, summary
    from humesh.images.people import MediaPipePeople
    from humesh.images.photo import Person, Photo
    from humesh.methods.weights import WeightsError
    from humesh.recover import Recoverer

    if out is not None and out.suffix != ".json":
        raise UserError(f"-o {out}: expected a name that ends in .json.")
    try:
        recoverer = Recoverer(weights=what, refine=refine)
        samples = SyntheticPeople(motion, count, people=people, seed=seed)
    except (WeightsError, MotionError, ValueError) as error:
        raise UserError(str(error)) from None
    finder = MediaPipePeople() if detector == "mediapipe" or what == "landmarks" else None

    def detected(photo: Photo, labelled: list[Person]) -> list[Person]:
        import numpy as np

        assert finder is not None
        return finder.landmarks(photo, np.array([person.box for person in labelled]).reshape(-1, 4))

    def each() -> Iterator[Sample]:
        yield from (samples[i] for i in track(range(count), "evaluating", transient=True))

    found = list(scores(recoverer, each(), simulated if finder is None else detected))
    told = "MediaPipe's keypoints" if finder is not None else "simulated keypoints"
    print(f"{what}{' --refine' * refine}, {told}: {count} photos, seed {seed}, body {recoverer.body.name}")
    print("| slice | people | no body | PA-MPJPE, mm | MPJPE, mm |\n| --- | --- | --- | --- | --- |")
    for name, number, missed, pa, half, plain in summary(found):
        print(f"| {name} | {number} | {100 * missed:.0f} % | {pa:.1f} ± {half:.1f} | {plain:.1f} |")
    if out is not None:
        out.write_text(json.dumps([{**vars(s), "slices": sorted(s.slices)} for s in found], indent=1))
        print(f"wrote {out}")
    return 0
